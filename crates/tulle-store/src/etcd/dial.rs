//! Connections to the members of an etcd, plain or TLS.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;
use tulle_identity::connect::{Connector, Transport};
use tulle_identity::{
    Certificate, CertificateSource, ClientTls, PeerRules, TlsVersion, TrustBundle, VerifyPeer, Watched,
};

use super::error::EtcdError;

/// How often an idle connection is checked.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long the answer to such a check may take.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// TLS to etcd. The files are read once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EtcdTls {
    /// PEM file with the roots that the servers' certificates must lead to. They must carry the name that was dialled.
    pub roots: PathBuf,
    /// PEM files of the certificate chain to present and of its key, if etcd asks for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// How to reach one member: its name is looked up for every connection.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    host: String,
    port: u16,
    tls: Option<ClientTls>,
}

/// The client's side of TLS.
pub(super) fn client_tls(tls: &EtcdTls) -> Result<ClientTls, EtcdError> {
    let roots = TrustBundle::from_file(&tls.roots)?;
    let mut client =
        ClientTls::new(VerifyPeer::ChainAndHost { trust: Watched::of(roots), rules: PeerRules::default() });
    if let Some((chain, key)) = &tls.certificate {
        client.certificate = Some(CertificateSource::fixed(Certificate::from_files(chain, key)?));
    }
    client.alpn = vec![b"h2".to_vec()];
    client.min_version = TlsVersion::V1_2;
    // Whether it can be made is said now and not at the first connection.
    client.build()?;
    Ok(client)
}

impl Dial {
    /// `endpoint` is HOST:PORT, with an IPv6 address in brackets.
    pub(super) fn new(endpoint: &str, tls: Option<ClientTls>) -> Result<Self, EtcdError> {
        let bad = || EtcdError::Endpoint(endpoint.to_owned());
        let (host, port) = endpoint.rsplit_once(':').ok_or_else(bad)?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|p| *p != 0).ok_or_else(bad)?;
        let plausible =
            !host.is_empty() && !host.contains(|c: char| c == '/' || c == '@' || c.is_whitespace());
        if !plausible {
            return Err(bad());
        }
        Ok(Self { host: host.to_owned(), port, tls })
    }

    /// A channel that connects when it is first used and again whenever the connection was lost.
    pub(super) fn channel(&self) -> Channel {
        // The scheme only decides what tonic itself does about TLS: nothing, that is the connector's part.
        let authority = if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        };
        let uri = Uri::builder().scheme("http").authority(authority).path_and_query("/").build();
        Endpoint::from(uri.unwrap_or_else(|_| Uri::from_static("http://etcd/")))
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true)
            .connect_with_connector_lazy(self.clone())
    }

    async fn connect(&self) -> io::Result<Box<dyn Transport>> {
        let addresses = tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect();
        let connector = match &self.tls {
            None => Connector::plain(&self.host, addresses),
            Some(tls) => {
                Connector::with_tls(&self.host, addresses, tls, &self.host).map_err(io::Error::other)?
            }
        };
        connector.connect().await.map_err(io::Error::other)
    }
}

impl Service<Uri> for Dial {
    type Response = TokioIo<Box<dyn Transport>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dial = self.clone();
        Box::pin(async move { Ok(TokioIo::new(dial.connect().await?)) })
    }
}
