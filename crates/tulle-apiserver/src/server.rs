//! The server: connections in, answers out.
//!
//! The path of a request: accept, within the number of connections → TLS → HTTP/1.1 or HTTP/2 → what the path names → who asks
//! → may they → body, within its size → [`dispatch`] → answer. Everything that can be wrong on that way is answered with a
//! `metav1.Status`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tulle_store::Store;
use tulle_telemetry::audit::{AuditLog, Entry, Event};

use crate::access::{self, Identity, Role, Token};
use crate::call::{Call, Limits, Machine, Shared};
use crate::delete;
use crate::discovery;
use crate::error::{ApiError, Reason, qualified};
use crate::hub::Hub;
use crate::page::Pages;
use crate::patching;
use crate::path::{self, Place, Target};
use crate::query::Query;
use crate::read;
use crate::respond::{self, Body};
use crate::reviews;
use crate::subresource;
use crate::tls::ServerTls;
use crate::watch;
use crate::write;

/// Headers of one request, in bytes and in number.
const MAX_HEADER_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 128;
/// How long an answer may take that is no watch.
const ANSWER: Duration = Duration::from_secs(60);
/// HTTP/2 connections without a request are closed after this time, give or take one look.
const IDLE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_secs(60);

/// What the server needs.
pub struct Options {
    /// Where the objects are.
    pub store: Arc<dyn Store>,
    /// Who may come in.
    pub tokens: Vec<Token>,
    /// What everybody may take at most.
    pub limits: Limits,
    /// The machine that runs the pods.
    pub machine: Arc<dyn Machine>,
    /// TLS; `None` for plain HTTP, which only tests on loopback should use.
    pub tls: Option<ServerTls>,
    /// Where what is refused is told, `config.refused`; by default nowhere.
    pub audit: AuditLog,
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Begins to serve on `listener`; within a tokio runtime.
    ///
    /// # Errors
    /// What the kernel says about the socket.
    pub fn start(listener: TcpListener, options: Options) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let Options { store, tokens, limits, machine, tls, audit } = options;
        let shared = Arc::new(Shared {
            hub: Hub::start(Arc::clone(&store)),
            store,
            tokens,
            limits,
            machine,
            audit,
            pages: Pages::default(),
            watches: Arc::new(Semaphore::new(limits.watches)),
        });
        let task = tokio::spawn(async move {
            let mut tasks = JoinSet::new();
            tasks.spawn(delete::empty_namespaces(Arc::downgrade(&shared)));
            accept(&listener, &shared, tls, &mut tasks).await;
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it ends, which it does not by itself.
    pub async fn ended(&mut self) {
        // Cancelled or not: it is over.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts until it is dropped; the connections end with it.
async fn accept(
    listener: &TcpListener,
    shared: &Arc<Shared>,
    tls: Option<ServerTls>,
    tasks: &mut JoinSet<()>,
) {
    let slots = Arc::new(Semaphore::new(shared.limits.connections));
    let acceptor = tls.map(|t| TlsAcceptor::from(t.config));
    loop {
        while tasks.try_join_next().is_some() {}
        // No more than allowed are taken from the kernel's queue.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "no connection was accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let (shared, acceptor) = (Arc::clone(shared), acceptor.clone());
        tasks.spawn(async move {
            let _slot = slot;
            if let Err(error) = connection(stream, shared, acceptor).await {
                tracing::debug!(%error, "a connection broke");
            }
        });
    }
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

async fn connection(
    stream: TcpStream,
    shared: Arc<Shared>,
    acceptor: Option<TlsAcceptor>,
) -> Result<(), Broken> {
    stream.set_nodelay(true)?;
    let Some(acceptor) = acceptor else { return http1(stream, shared).await };
    let stream = tokio::time::timeout(shared.limits.patience, acceptor.accept(stream)).await??;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2(stream, shared).await
    } else {
        http1(stream, shared).await
    }
}

async fn http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    shared: Arc<Shared>,
) -> Result<(), Broken> {
    let patience = shared.limits.patience;
    let service = service_fn(move |request| serve(Arc::clone(&shared), request));
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

async fn http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    shared: Arc<Shared>,
) -> Result<(), Broken> {
    let streams = shared.limits.streams;
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let service = service_fn(move |request| {
        counted.fetch_add(1, Ordering::Relaxed);
        serve(Arc::clone(&shared), request)
    });
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let (mut seen, mut quiet) = (0, Duration::ZERO);
    loop {
        tokio::select! {
            ended = connection.as_mut() => return Ok(ended?),
            () = tokio::time::sleep(LOOK) => {
                let now = requests.load(Ordering::Relaxed);
                quiet = if now == seen { quiet + LOOK } else { Duration::ZERO };
                seen = now;
                if quiet >= IDLE {
                    // Requests that still run, such as watches, are brought to their end.
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let answer = tokio::time::timeout(ANSWER, answer(shared, request)).await;
    let late = || ApiError::new(Reason::Timeout, "the request took too long");
    Ok(answer.unwrap_or_else(|_| Err(late())).unwrap_or_else(|error| respond::error(&error)))
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
    let (head, body) = request.into_parts();
    let target = path::target(head.uri.path());
    // Open for everybody: whether it lives, and which version it is.
    match (&target, &head.method) {
        (Target::Health, &Method::GET) => return health(&shared),
        (Target::Version, &Method::GET) => return Ok(respond::json(StatusCode::OK, &discovery::version())),
        _ => {}
    }
    let audit = shared.audit.clone();
    let asked = (head.method.clone(), head.uri.path().to_owned());
    let identity = access::authenticate(&head.headers, &shared.tokens)
        .inspect_err(|error| record_refusal(&audit, "", &asked, error))?;
    let who = identity.name.clone();
    let answered = async {
        let query = Query::parse(head.uri.query().unwrap_or_default())?;
        authorize(&identity, &target, &head.method, &query)?;
        let body = read_body(body, &shared.limits).await?;
        let call = Call { shared, identity, method: head.method, query, headers: head.headers, body };
        dispatch(&call, target).await
    };
    answered.await.inspect_err(|error| record_refusal(&audit, &who, &asked, error))
}

/// Tells of somebody who may not do what they asked for, and of what was written and is wrong.
fn record_refusal(audit: &AuditLog, who: &str, (method, path): &(Method, String), error: &ApiError) {
    let writes = !matches!(*method, Method::GET | Method::HEAD);
    let told = match error.reason {
        Reason::Unauthorized | Reason::Forbidden => true,
        Reason::Invalid | Reason::BadRequest | Reason::RequestEntityTooLarge => writes,
        _ => false,
    };
    if told {
        let entry =
            Entry::new(Event::ConfigRefused, who, format!("{method} {path}")).refused(&*error.message);
        audit.record(entry.with("code", error.reason.code()));
    }
}

fn health(shared: &Shared) -> Result<Response<Body>, ApiError> {
    if shared.hub.is_ready() {
        Ok(respond::bytes(StatusCode::OK, "text/plain; charset=utf-8", "ok"))
    } else {
        Err(ApiError::later(Reason::ServiceUnavailable, "the store was not read yet", 1))
    }
}

/// 403 if this user may not do that.
fn authorize(identity: &Identity, target: &Target, method: &Method, query: &Query) -> Result<(), ApiError> {
    let (verb, resource, subject) = match target {
        Target::Objects(place) => {
            let info = place.kind.info();
            let verb = match (method.as_str(), place.name.is_some()) {
                ("GET", true) => "get",
                ("GET", false) if query.flag("watch")? => "watch",
                ("GET", false) => "list",
                ("POST", _) => "create",
                ("PUT", _) => "update",
                ("PATCH", _) => "patch",
                ("DELETE", true) => "delete",
                ("DELETE", false) => "deletecollection",
                _ => return Ok(()),
            };
            (verb, info.plural, Some(place))
        }
        Target::Review(plural) => ("create", *plural, None),
        _ if *method == Method::GET || identity.role == Role::Admin => return Ok(()),
        _ => ("update", "paths", None),
    };
    if identity.may(verb, resource) {
        return Ok(());
    }
    let (name, of) = subject.map_or((resource.to_owned(), String::new()), |place| {
        let info = place.kind.info();
        (qualified(info), format!(" in API group {:?} in the namespace {:?}", info.group, place.namespace))
    });
    let message =
        format!("{name} is forbidden: User {:?} cannot {verb} resource {resource:?}{of}", identity.name);
    let mut error = ApiError::new(Reason::Forbidden, message);
    if let Some(place) = subject {
        error = error.about(place.kind.info(), place.name.as_deref().unwrap_or_default());
    }
    Err(error)
}

async fn read_body(body: Incoming, limits: &Limits) -> Result<Bytes, ApiError> {
    let collected = tokio::time::timeout(limits.patience, Limited::new(body, limits.body).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("the body is larger than {} bytes", limits.body);
            Err(ApiError::new(Reason::RequestEntityTooLarge, message))
        }
        Ok(Err(error)) => Err(ApiError::bad_request(format!("the body broke off: {error}"))),
        Err(_) => Err(ApiError::new(Reason::Timeout, "the body did not come in time")),
    }
}

/// The request of somebody who may make it.
async fn dispatch(call: &Call, target: Target) -> Result<Response<Body>, ApiError> {
    let get = call.method == Method::GET;
    match target {
        Target::Objects(place) => objects(call, &place).await,
        Target::Review(plural) if call.method == Method::POST => reviews::answer(call, plural),
        Target::Root if get => Ok(discovery::root()),
        Target::CoreVersions if get => discovery::core(&call.headers),
        Target::Groups if get => discovery::groups(&call.headers),
        Target::Group(group) if get => discovery::group(&group),
        Target::Resources(group, version) if get => discovery::resources(&group, &version),
        Target::OpenApiV2 if get => Ok(discovery::openapi_v2(&call.headers)),
        Target::OpenApiV3(path) if get => discovery::openapi(&path),
        Target::Nothing => Err(discovery::nothing()),
        _ => Err(not_allowed(&call.method)),
    }
}

async fn objects(call: &Call, place: &Place) -> Result<Response<Body>, ApiError> {
    if !place.sub.is_empty() {
        return subresource::serve(call, place).await;
    }
    match (call.method.as_str(), place.name.is_some()) {
        ("GET", true) => read::get(call, place).await,
        ("GET", false) if call.query.flag("watch")? => watch::watch(call, place).await,
        ("GET", false) => read::list(call, place).await,
        ("POST", false) => write::create(call, place).await,
        ("PUT", true) => write::replace(call, place).await,
        ("PATCH", true) => patching::patch(call, place).await,
        ("DELETE", true) => delete::delete(call, place).await,
        ("DELETE", false) => delete::delete_all(call, place).await,
        _ => Err(not_allowed(&call.method)),
    }
}

fn not_allowed(method: &Method) -> ApiError {
    let message = format!("the server does not allow {method} on this path");
    ApiError::new(Reason::MethodNotAllowed, message)
}
