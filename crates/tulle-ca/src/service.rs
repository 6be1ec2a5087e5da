//! `istio.v1.auth.IstioCertificateService`.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;
use std::time::{Duration, SystemTime};

use tonic::body::Body;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tulle_proto::istio::ca::{CREATE_CERTIFICATE, IstioCertificateRequest, IstioCertificateResponse};
use tulle_telemetry::audit::{AuditLog, Entry, Event};

use crate::authorities::Authorities;
use crate::caller::{Aliases, Authenticator, Bindings, Caller, Credential, PeerCertificate};
use crate::csr::SigningRequest;
use crate::issued::{Holding, IssuedBook, fingerprint};
use crate::limit::Limiter;
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
    /// Sound requests that ask for what their sender may not have.
    pub overreaching: AtomicU64,
    /// Requests that came too often.
    pub limited: AtomicU64,
}

/// What the service is made of.
pub struct Setup {
    /// Who signs.
    pub authorities: Arc<Authorities>,
    /// Trust domain of all identities.
    pub trust_domain: String,
    /// Other names of it.
    pub aliases: Aliases,
    /// Whose tokens are believed.
    pub tokens: TokenVerifier,
    /// What tokens are bound to.
    pub bindings: Arc<dyn Bindings>,
    /// For how long is signed.
    pub policy: TtlPolicy,
    /// Where what is issued is noted.
    pub issued: Arc<IssuedBook>,
    /// Where what is issued and refused is told.
    pub audit: AuditLog,
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct CaService(Arc<Inner>);

struct Inner {
    authorities: Arc<Authorities>,
    authenticator: Authenticator,
    policy: TtlPolicy,
    issued: Arc<IssuedBook>,
    audit: AuditLog,
    limiter: Limiter,
    counters: Arc<Counters>,
}

impl CaService {
    /// A service.
    pub fn new(setup: Setup) -> Self {
        let Setup { authorities, trust_domain, aliases, tokens, bindings, policy, issued, audit } = setup;
        let authenticator = Authenticator { trust_domain, aliases, tokens, bindings };
        let limiter = Limiter::new(Instant::now());
        let counters = Arc::default();
        Self(Arc::new(Inner { authorities, authenticator, policy, issued, audit, limiter, counters }))
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
            // The certificate, where there is one, was verified, so that it says who asks even if the token does not.
            let who = certificate.and_then(|c| c.0.principal()).map(ToString::to_string).unwrap_or_default();
            self.refuse(&who, None, Status::unauthenticated(error.to_string()))
        })?;
        let signed = self.sign(&caller, request.get_ref(), now);
        signed.map_err(|status| self.refuse(&caller.id.to_string(), Some(&caller), status))
    }

    fn sign(
        &self,
        caller: &Caller,
        request: &IstioCertificateRequest,
        now: SystemTime,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        self.limiter.take(&caller.key(), Instant::now()).map_err(|wait| {
            count(&self.counters.limited);
            let wait = wait.as_millis().max(1);
            Status::resource_exhausted(format!(
                "too many certificates were asked for; try again in {wait} ms"
            ))
        })?;
        let IstioCertificateRequest { csr, validity_duration, metadata } = request;
        for option in metadata.iter().flat_map(|m| m.fields.keys()) {
            if matches!(option.as_str(), "ImpersonatedIdentity" | "CertSigner") {
                return Err(Status::permission_denied(format!("{option} is not granted to anybody here")));
            }
        }
        let requested = u64::try_from(*validity_duration)
            .map_err(|_| Status::invalid_argument("validity_duration is negative"))?;
        let csr = SigningRequest::read(csr).map_err(|error| {
            count(&self.counters.unreadable);
            Status::invalid_argument(error.to_string())
        })?;
        csr.check(&caller.id, &self.authenticator.aliases.load()).map_err(|error| {
            count(&self.counters.overreaching);
            Status::permission_denied(error.to_string())
        })?;
        let ttl = self.policy.grant(Duration::from_secs(requested));
        let in_force = self.authorities.current();
        let mut issued = in_force.signing.issue(&caller.id, &csr, ttl, now).map_err(|error| {
            count(&self.counters.unsigned);
            tracing::error!(identity = %caller.id, %error, "certificate not signed");
            Status::internal(error.to_string())
        })?;
        count(&self.counters.issued);
        let root = in_force.signing.roots().first().map(fingerprint).unwrap_or_default();
        self.tell(caller, &issued, ttl, &root, now);
        issued.chain.push(in_force.roots_pem());
        Ok(Response::new(IstioCertificateResponse { cert_chain: issued.chain }))
    }

    /// Notes what was issued, in the book, the audit log and the log.
    fn tell(&self, caller: &Caller, issued: &crate::Issued, ttl: Duration, root: &str, now: SystemTime) {
        let Caller { id, credential, pod } = caller;
        let not_after = issued.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let holding = Holding {
            pod: pod.as_ref().map(|p| (p.namespace.clone(), p.name.clone())),
            uid: pod.as_ref().map(|p| p.uid.clone()).unwrap_or_default(),
            id: id.to_string(),
            serial: issued.serial.clone(),
            not_after,
            root: root.to_owned(),
        };
        self.issued.note(holding, now);
        let credential = match credential {
            Credential::Token => "token",
            Credential::Certificate => "certificate",
        };
        let entry = Entry::new(Event::CertificateIssued, id.to_string(), id.to_string())
            .with("serial", issued.serial.as_str())
            .with("credential", credential)
            .with("pod", pod_name(caller))
            .with("notAfter", not_after)
            .with("root", root);
        self.audit.record(entry);
        tracing::info!(
            identity = %id, credential, serial = issued.serial, ttl_s = ttl.as_secs(), "certificate issued"
        );
    }

    fn refuse(&self, who: &str, caller: Option<&Caller>, status: Status) -> Status {
        tracing::warn!(identity = who, code = ?status.code(), reason = status.message(), "certificate refused");
        let entry = Entry::new(Event::CertificateRefused, who, who)
            .refused(status.message())
            .with("pod", caller.map(pod_name).unwrap_or_default());
        self.audit.record(entry);
        status
    }
}

fn pod_name(caller: &Caller) -> String {
    caller.pod.as_ref().map(|p| format!("{}/{}", p.namespace, p.name)).unwrap_or_default()
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
