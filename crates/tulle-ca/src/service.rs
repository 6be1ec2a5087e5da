//! `istio.v1.auth.IstioCertificateService`.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tonic::body::Body;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tulle_proto::istio::ca::{CREATE_CERTIFICATE, IstioCertificateRequest, IstioCertificateResponse};

use crate::authority::Authority;
use crate::caller::{Authenticator, Bindings, PeerCertificate};
use crate::csr::SigningRequest;
use crate::policy::TtlPolicy;
use crate::token::TokenVerifier;

/// Largest message that is read.
const MAX_MESSAGE: usize = 64 << 10;

/// What the service counts, by Istio's names (`citadel_server_*`).
#[derive(Debug, Default)]
pub struct Counters {
    /// `csr_count`: requests.
    pub requests: AtomicU64,
    /// `success_cert_issuance_count`: certificates issued.
    pub issued: AtomicU64,
    /// `authentication_failure_count`: callers refused.
    pub unauthenticated: AtomicU64,
    /// `csr_parsing_err_count`: requests that cannot be read.
    pub unreadable: AtomicU64,
    /// `csr_sign_err_count`: signing failures.
    pub unsigned: AtomicU64,
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct CaService(Arc<Inner>);

struct Inner {
    authority: Arc<Authority>,
    authenticator: Authenticator,
    policy: TtlPolicy,
    counters: Arc<Counters>,
}

impl CaService {
    /// Signs with `authority` for callers that `tokens` (or their certificate) vouch for.
    pub fn new(
        authority: Arc<Authority>,
        trust_domain: &str,
        tokens: TokenVerifier,
        bindings: Arc<dyn Bindings>,
        policy: TtlPolicy,
    ) -> Self {
        let authenticator = Authenticator { trust_domain: trust_domain.to_owned(), tokens, bindings };
        Self(Arc::new(Inner { authority, authenticator, policy, counters: Arc::default() }))
    }

    /// What was done so far.
    pub fn counters(&self) -> Arc<Counters> {
        self.0.counters.clone()
    }

    /// Answers a request to the only method; `UNIMPLEMENTED` for any other path. The connection's verified client certificate
    /// is taken from the extensions ([`PeerCertificate`]).
    pub async fn call(&self, request: http::Request<Body>) -> http::Response<Body> {
        if request.uri().path() != CREATE_CERTIFICATE {
            return Status::unimplemented("no such method").into_http();
        }
        let codec: ProstCodec<IstioCertificateResponse, IstioCertificateRequest> = ProstCodec::default();
        let mut grpc = tonic::server::Grpc::new(codec).max_decoding_message_size(MAX_MESSAGE);
        grpc.unary(Method(self.0.clone()), request).await
    }
}

impl tower_service::Service<http::Request<Body>> for CaService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(CaService::call(&service, request).await) })
    }
}

struct Method(Arc<Inner>);

impl tonic::server::UnaryService<IstioCertificateRequest> for Method {
    type Response = IstioCertificateResponse;
    type Future = Ready<Result<Response<IstioCertificateResponse>, Status>>;

    fn call(&mut self, request: Request<IstioCertificateRequest>) -> Self::Future {
        ready(self.0.create(&request, SystemTime::now()))
    }
}

impl Inner {
    fn create(
        &self,
        request: &Request<IstioCertificateRequest>,
        now: SystemTime,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        count(&self.counters.requests);
        let token = bearer(request);
        let certificate = request.extensions().get::<PeerCertificate>();
        let caller = self.authenticator.authenticate(token, certificate, now).map_err(|error| {
            count(&self.counters.unauthenticated);
            tracing::warn!(%error, "certificate refused: caller not authenticated");
            Status::unauthenticated(error.to_string())
        })?;
        let IstioCertificateRequest { csr, validity_duration, metadata } = request.get_ref();
        for option in metadata.iter().flat_map(|m| m.fields.keys()) {
            if matches!(option.as_str(), "ImpersonatedIdentity" | "CertSigner") {
                tracing::warn!(identity = %caller.id, option, "certificate refused: option not granted");
                return Err(Status::permission_denied(format!("{option} is not granted to anybody here")));
            }
        }
        let requested = u64::try_from(*validity_duration)
            .map_err(|_| Status::invalid_argument("validity_duration is negative"))?;
        let csr = SigningRequest::read(csr).map_err(|error| {
            count(&self.counters.unreadable);
            tracing::warn!(identity = %caller.id, %error, "certificate refused: bad signing request");
            Status::invalid_argument(error.to_string())
        })?;
        let ttl = self.policy.grant(Duration::from_secs(requested));
        let issued = self.authority.issue(&caller.id, &csr, ttl, now).map_err(|error| {
            count(&self.counters.unsigned);
            tracing::error!(identity = %caller.id, %error, "certificate not signed");
            Status::internal(error.to_string())
        })?;
        count(&self.counters.issued);
        tracing::info!(
            identity = %caller.id,
            credential = ?caller.credential,
            serial = issued.serial,
            ttl_s = ttl.as_secs(),
            "certificate issued"
        );
        Ok(Response::new(IstioCertificateResponse { cert_chain: issued.chain }))
    }
}

/// The token of an `authorization: Bearer` header.
fn bearer(request: &Request<IstioCertificateRequest>) -> Option<&str> {
    let value = request.metadata().get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
