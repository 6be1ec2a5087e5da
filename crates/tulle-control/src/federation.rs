//! Bundles of other trust domains, fetched from where they publish them: over HTTPS, from addresses that anybody may ask (`keys`).
//!
//! A bundle that was fetched stays in force while fetching fails: roots change rarely, and are published long before they sign.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tulle_identity::spiffe_bundle;

use crate::keys::Fetcher;
use crate::stop::Stop;

/// Time between two fetches of a bundle (SPIFFE Federation asks for 5 minutes where nothing else is said).
const REFRESH: Duration = Duration::from_secs(300);
/// Time before what failed is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// Longest time for one fetch.
const LIMIT: Duration = Duration::from_secs(10);
/// Bundles, at most; more are not fetched.
const MAX_BUNDLES: usize = 64;

/// Addresses that are wanted.
pub(crate) type Wanted = BTreeSet<String>;
/// A bundle by its address.
pub(crate) type Bundle = (String, Vec<CertificateDer<'static>>);

/// Fetches what `wanted` says, one after the other, until told to stop.
pub(crate) async fn keep(
    fetcher: Fetcher,
    mut wanted: watch::Receiver<Wanted>,
    told: mpsc::UnboundedSender<Bundle>,
    mut stop: Stop,
) {
    let mut due: BTreeMap<String, Instant> = BTreeMap::new();
    loop {
        {
            let all = wanted.borrow_and_update();
            due.retain(|address, _| all.contains(address));
            for address in all.iter().take(MAX_BUNDLES) {
                due.entry(address.clone()).or_insert_with(Instant::now);
            }
            if all.len() > MAX_BUNDLES {
                tracing::warn!(wanted = all.len(), "more than {MAX_BUNDLES} bundles are not fetched");
            }
        }
        let next = due.iter().min_by_key(|(_, at)| **at).map(|(address, at)| (address.clone(), *at));
        let at = next.as_ref().map(|(_, at)| *at);
        let wait = async {
            match at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            () = wait => if let Some((address, _)) = next {
                let fetched = tokio::time::timeout(LIMIT, fetcher.secure(&address)).await;
                let fetched = fetched.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")));
                let pause = match fetched.and_then(|answer| spiffe_bundle::read(&answer.text)) {
                    Ok(roots) => {
                        // The mesh is gone when everything ends.
                        let _ = told.send((address.clone(), roots));
                        REFRESH
                    }
                    Err(problem) => {
                        tracing::warn!(address, problem, "a trust bundle was not fetched; what was known stays");
                        RETRY
                    }
                };
                due.insert(address, Instant::now() + pause);
            },
            () = stop.said() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn root() -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    /// A bundle endpoint over TLS; its address, its certificate, and what it says.
    async fn endpoint() -> (String, CertificateDer<'static>, Arc<Mutex<String>>) {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let der = own.der().clone();
        let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![der.clone()], private).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://localhost:{}/bundle", listener.local_addr().unwrap().port());
        let said = Arc::new(Mutex::new(String::new()));
        let says = said.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(socket).await else { continue };
                let _ = stream.read(&mut [0; 4096]).await;
                let body = says.lock().unwrap().clone();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        (address, der, said)
    }

    #[tokio::test]
    async fn a_bundle_is_fetched_securely_or_not_at_all() {
        let (address, certificate, said) = endpoint().await;
        let first = [root()];
        *said.lock().unwrap() = spiffe_bundle::write(&first).to_string();
        let fetcher = Fetcher::trusting(certificate);
        let (wanted_sender, wanted) = watch::channel(Wanted::from([address.clone()]));
        let (told_sender, mut told) = mpsc::unbounded_channel();
        let (stop, stopped) = Stop::new();
        let task = tokio::spawn(keep(fetcher.clone(), wanted, told_sender, stopped));
        assert_eq!(told.recv().await.unwrap(), (address.clone(), first.to_vec()));
        drop(wanted_sender);
        task.await.unwrap();
        stop.send_replace(true);

        let plain = address.replace("https", "http");
        assert_eq!(fetcher.secure(&plain).await.unwrap_err(), "is not https");
        // Whoever is not asked for keys is not asked for bundles.
        let refused = Fetcher::new().secure(&address).await.unwrap_err();
        assert!(refused.contains("may be asked"), "{refused}");
    }
}
