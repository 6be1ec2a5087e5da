//! The workload's identity for other processes of its pod, over a unix socket: SDS for proxies, the SPIFFE Workload API for
//! applications.
//!
//! What is given away is a certificate of its own with a key of its own: the proxy's key stays in the proxy. The first who asks has it
//! made; while nobody asks there is none.

pub mod external;
mod peer;
mod sds;
pub mod spiffe;

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tulle_identity::{Svid, TrustBundle, Watched};
use tulle_telemetry::audit::{AuditLog, Entry, Event};
use tulle_xds::server::AdsService;

/// Connections at a time.
const MAX_CONNECTIONS: usize = 256;
/// Streams at a time on one connection.
const MAX_STREAMS: u32 = 64;
/// Bytes of headers in one request.
const MAX_HEADERS: u32 = 16 << 10;
/// How often a silent connection is checked, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// What is served.
#[derive(Clone)]
pub struct Identity {
    /// The certificate that is given away; empty until it has come.
    pub svid: Watched<Svid>,
    /// What is trusted.
    pub bundle: Watched<TrustBundle>,
    /// Has the certificate made; called for everybody who asks.
    pub begin: Arc<dyn Fn() + Send + Sync>,
    /// Where it is told to whom identity was given.
    pub audit: AuditLog,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("svid", &self.svid).finish_non_exhaustive()
    }
}

/// Makes the socket at `path`. Everybody in the pod may connect; who is of another pod is refused by its network namespace.
///
/// # Errors
/// What the system says.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Serves until it is dropped. Must be called within a tokio runtime.
pub async fn serve(listener: UnixListener, identity: Identity) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let sds = sds::start(&identity);
    let number = peer::number(&listener);
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "the socket for identities cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let who = peer::describe(&socket);
        if let Err(reason) = peer::check(&socket, number) {
            tracing::warn!(peer = who, reason, "identity refused");
            identity.audit.record(Entry::new(Event::IdentityServed, who, "").refused(reason));
            continue;
        }
        let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
        let (sds, identity) = (sds.clone(), identity.clone());
        tokio::spawn(async move {
            connection(socket, who, sds, identity).await;
            drop(slot);
        });
    }
}

async fn connection(socket: UnixStream, who: String, sds: AdsService, identity: Identity) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (sds, identity, who) = (sds.clone(), identity.clone(), who.clone());
        async move { Ok::<_, Infallible>(answer(request.map(Body::new), &who, &sds, &identity).await) }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS);
    if let Err(error) = builder.serve_connection(TokioIo::new(socket), service).await {
        tracing::debug!(%error, "a connection for identities ended");
    }
}

async fn answer(
    mut request: http::Request<Body>,
    who: &str,
    sds: &AdsService,
    identity: &Identity,
) -> http::Response<Body> {
    let path = request.uri().path().to_owned();
    if let Some(method) = path.strip_prefix(sds::SERVICE) {
        let Some(path) = sds::path_of(method) else {
            return tonic::Status::unimplemented("no such method").into_http();
        };
        *request.uri_mut() = http::Uri::from_static(path);
        (identity.begin)();
        identity.audit.record(Entry::new(Event::IdentityServed, who, "SDS"));
        return sds.call(request).await;
    }
    if let Some(method) = path.strip_prefix(spiffe::SERVICE) {
        return spiffe::answer(method, request, who, identity).await;
    }
    tonic::Status::unimplemented("this socket serves SDS and the SPIFFE Workload API").into_http()
}
