//! The client of the mesh's CA (`istio.v1.auth.IstioCertificateService`).

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use http::uri::PathAndQuery;
use rustls_pki_types::CertificateDer;
use tonic::codegen::http;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;
use tulle_proto::istio::ca::{CREATE_CERTIFICATE, IstioCertificateRequest, IstioCertificateResponse};

use crate::material::{MaterialError, read_certificates, read_file};

/// How long the CA may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The service account token cannot be read.
    #[error("service account token: {0}")]
    Token(MaterialError),
    /// The token is not one line of ASCII.
    #[error("service account token {0}: not a token")]
    NotAToken(PathBuf),
    /// The CA refused, or could not be reached.
    #[error("the CA answered {}: {}", .0.code(), .0.message())]
    Refused(#[from] tonic::Status),
    /// The CA's answer is not a certificate for our key.
    #[error("the CA's answer: {0}")]
    Answer(#[from] MaterialError),
    /// No key, or no request for it.
    #[error(transparent)]
    Key(#[from] crate::key::KeyError),
    /// The certificate is for somebody else.
    #[error("the CA issued a certificate for {found:?} instead of {wanted}")]
    WrongIdentity {
        /// The id asked for.
        wanted: String,
        /// The URI names in the certificate.
        found: Vec<String>,
    },
}

/// What the CA issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The chain to present: leaf first, without the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The roots that came with it.
    pub roots: Vec<CertificateDer<'static>>,
}

/// Somebody who signs requests: the mesh's CA, or a test's.
pub trait Issuer: Send + Sync {
    /// Has a PEM signing request signed for `ttl`.
    fn issue(
        &self,
        request: String,
        ttl: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Issued, CaError>> + Send + '_>>;
}

/// The CA behind a gRPC channel.
#[derive(Clone, Debug)]
pub struct CaClient {
    channel: Channel,
    token: PathBuf,
    cluster_id: String,
}

impl CaClient {
    /// A client that shows the token in the file `token`, which is read for every request since the kubelet replaces it.
    pub fn new(channel: Channel, token: PathBuf, cluster_id: String) -> Self {
        Self { channel, token, cluster_id }
    }

    async fn create_certificate(&self, csr: String, ttl: Duration) -> Result<Issued, CaError> {
        let token = read_file(&self.token).map_err(CaError::Token)?;
        let bad = || CaError::NotAToken(self.token.clone());
        let token = std::str::from_utf8(&token).map_err(|_| bad())?.trim();
        let mut bearer = MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| bad())?;
        bearer.set_sensitive(true);
        let mut request = tonic::Request::new(IstioCertificateRequest {
            csr,
            validity_duration: i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX),
            metadata: None,
        });
        request.set_timeout(TIMEOUT);
        request.metadata_mut().insert("authorization", bearer);
        if let Ok(cluster) = MetadataValue::try_from(self.cluster_id.as_str()) {
            request.metadata_mut().insert("clusterid", cluster);
        }
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|e| tonic::Status::unavailable(describe(&e)))?;
        let codec: ProstCodec<IstioCertificateRequest, IstioCertificateResponse> = ProstCodec::default();
        let path = PathAndQuery::from_static(CREATE_CERTIFICATE);
        let answer = tokio::time::timeout(TIMEOUT, grpc.unary(request, path, codec))
            .await
            .map_err(|_| tonic::Status::deadline_exceeded("no answer within 10 s"))??;
        split_chain(&answer.into_inner().cert_chain)
    }
}

impl Issuer for CaClient {
    fn issue(
        &self,
        request: String,
        ttl: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Issued, CaError>> + Send + '_>> {
        Box::pin(self.create_certificate(request, ttl))
    }
}

/// Leaf first, intermediates, and the roots in the last entry.
fn split_chain(entries: &[String]) -> Result<Issued, CaError> {
    let (roots, chain) = match entries {
        [] => return Err(MaterialError::NoCertificate.into()),
        [only] => (None, std::slice::from_ref(only)),
        [chain @ .., roots] => (Some(roots), chain),
    };
    let mut all = Vec::new();
    for entry in chain {
        all.extend(read_certificates(entry.as_bytes())?);
    }
    let roots = roots.map(|r| read_certificates(r.as_bytes())).transpose()?.unwrap_or_default();
    Ok(Issued { chain: all, roots })
}

/// An error with everything behind it, which tonic's `Display` leaves out.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        text.push_str(": ");
        text.push_str(&e.to_string());
        source = e.source();
    }
    text
}
