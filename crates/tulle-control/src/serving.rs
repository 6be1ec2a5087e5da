//! The control plane's own certificate.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use tokio::sync::watch;
use tulle_base::SpiffeId;
use tulle_ca::{Authorities, IssueError};
use tulle_identity::tls::{ClientAuth, TlsBuildError};
use tulle_identity::{
    Certificate, CertificateSource, PeerRules, ServerTls, TrustSource, VerifyPeer, Watched,
};

use crate::stop::Stop;
use crate::trust::Trusted;

/// Longest wait before a failed renewal is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Name and life of the certificate.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    pub(crate) id: SpiffeId,
    pub(crate) names: Vec<String>,
    pub(crate) ttl: Duration,
}

impl Serving {
    /// The control plane of `namespace`, under the names by which proxies know istiod.
    pub(crate) fn new(trust_domain: &str, namespace: &str, ttl: Duration) -> Self {
        let mut names = Vec::new();
        for service in ["istiod", "istio-pilot"] {
            names.push(format!("{service}.{namespace}.svc"));
            names.push(format!("{service}.{namespace}.svc.cluster.local"));
            names.push(format!("{service}.{namespace}"));
        }
        Self { id: SpiffeId::new(trust_domain, namespace, "istiod"), names, ttl }
    }

    fn issue(&self, authorities: &Authorities) -> Result<Certificate, IssueError> {
        let signing = authorities.current().signing.clone();
        signing.serving_certificate(&self.id, &self.names, self.ttl, SystemTime::now())
    }

    /// Issues the first certificate, into a new cell.
    pub(crate) fn begin(&self, authorities: &Authorities) -> Result<Watched<Certificate>, IssueError> {
        Ok(Watched::of(self.issue(authorities)?))
    }

    /// Renews the certificate at half of its life, and at once when something else is `trusted`, until told to stop. Connections
    /// that stand are not touched.
    pub(crate) async fn renew(
        self,
        authorities: Arc<Authorities>,
        mut trusted: watch::Receiver<Trusted>,
        cell: Watched<Certificate>,
        mut stop: Stop,
    ) {
        let mut wait = self.ttl / 2;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                Ok(()) = trusted.changed() => {}
                () = stop.said() => return,
            }
            wait = match self.issue(&authorities) {
                Ok(certificate) => {
                    tracing::info!(serial = certificate.info().serial, "renewed the serving certificate");
                    cell.set(Arc::new(certificate));
                    self.ttl / 2
                }
                Err(error) => {
                    tracing::error!(%error, "cannot renew the serving certificate");
                    RETRY.min(self.ttl / 4)
                }
            };
        }
    }
}

/// TLS for port 15012: a client may show its certificate (and must, for discovery), a bad one is refused at once.
pub(crate) fn tls(
    trust: TrustSource,
    certificate: Watched<Certificate>,
) -> Result<Arc<ServerConfig>, TlsBuildError> {
    let mut tls = ServerTls::new(CertificateSource::one(certificate));
    tls.client_auth = ClientAuth::Optional(VerifyPeer::Chain { trust, rules: PeerRules::default() });
    tls.alpn = vec![b"h2".to_vec()];
    tls.build()
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The roots cannot be used.
    #[error("roots: {0}")]
    Roots(#[from] tulle_identity::MaterialError),
    /// The configuration cannot be made.
    #[error(transparent)]
    Build(#[from] TlsBuildError),
}
