//! A small HTTP/1.1 server.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

use super::events::{MAX_CLIENTS, Stream};
use super::patience::Patient;
use super::reply::Caching;
use super::tap::{self, Requests};
use super::{Api, Asked, Hosts, Params, Reply};

/// Connections at a time, those that listen to events not among them; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 128;
/// How long a client may take for the head of a request, and for its body.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client may take before it reads more of an answer.
const UNREAD: Duration = Duration::from_secs(30);
/// The largest body: manifests, or a form with a query.
const MAX_BODY: usize = 1 << 20;
/// Serves a port until `stop` is done.
pub async fn serve(listener: TcpListener, api: Api, stop: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS + MAX_CLIENTS));
    let mut stop = std::pin::pin!(stop);
    loop {
        // Never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => return,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let api = api.clone();
        tokio::spawn(async move {
            let _slot = slot;
            connection(socket, peer, api).await;
        });
    }
}

async fn connection(socket: TcpStream, peer: SocketAddr, api: Api) {
    // Told when the client is to be got rid of.
    let close = Arc::new(Notify::new());
    let closing = Arc::clone(&close);
    let service = service_fn(move |request| {
        let (api, close) = (api.clone(), Arc::clone(&close));
        async move { Ok::<_, Infallible>(answer(&api, request, peer.ip(), close).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(Patient::new(socket, UNREAD)), service);
    tokio::select! {
        served = served => {
            if let Err(error) = served {
                tracing::debug!(%error, "connection ended");
            }
        }
        () = closing.notified() => tracing::debug!(%peer, "cut off: it did not read events"),
    }
}

/// What is sent.
enum Sent {
    Whole(Full<Bytes>),
    Events(Stream),
    Requests(Requests),
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Events(body) => Pin::new(body).poll_frame(cx),
            Self::Requests(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Events(_) | Self::Requests(_) => hyper::body::SizeHint::default(),
        }
    }
}

async fn answer(api: &Api, request: Request<Incoming>, peer: IpAddr, close: Arc<Notify>) -> Response<Sent> {
    let head = request.method() == Method::HEAD;
    if let Some(page) = crate::ui::answer(request.method(), request.uri().path(), request.headers()) {
        return page.map(Sent::Whole);
    }
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let reply = match read(api, request, peer).await {
        Ok(asked) if asked.path == "/api/events" && asked.method == Method::GET => {
            match events(api, &asked, close) {
                Ok(response) => return response,
                Err(reply) => reply,
            }
        }
        Ok(asked) if asked.path == tap::STREAM && asked.method == Method::GET => {
            match requests(api, &asked) {
                Ok(response) => return response,
                Err(reply) => reply,
            }
        }
        Ok(asked) => {
            let encodings = asked.encodings.clone();
            let reply = api.answer(asked, now()).await;
            // Packing a large answer takes as long as making it.
            if reply.body.len() > 32 * 1024 {
                tokio::task::spawn_blocking(move || reply.packed(&encodings))
                    .await
                    .unwrap_or_else(|_| Reply::unavailable())
            } else {
                reply.packed(&encodings)
            }
        }
        Err(reply) => reply,
    };
    respond(reply, head, known.as_ref())
}

/// A stream of records of requests, for who may read.
fn requests(api: &Api, asked: &Asked) -> Result<Response<Sent>, Reply> {
    if !api.who(asked, now()).can_read() {
        return Err(Reply::refused(401, "Unauthorized", "log in to read this", "tulle dashboard"));
    }
    let found = tap::stream(api, asked).unwrap_or_else(|| Err(Reply::text(404, "not found\n")));
    let mut response = Response::new(Sent::Requests(found?));
    let headers = response.headers_mut();
    crate::ui::secure(headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A stream of events, for who may read.
fn events(api: &Api, asked: &Asked, close: Arc<Notify>) -> Result<Response<Sent>, Reply> {
    let who = api.who(asked, now());
    if !who.can_read() {
        return Err(Reply::refused(401, "Unauthorized", "log in to read this", "tulle dashboard"));
    }
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of this century")]
    let time = now() as f64 / 1000.0;
    let version = api.plane.as_ref().map(|plane| plane.version());
    let hello = json!({
        "time": time, "version": version, "user": who.name, "canWrite": who.can_write,
        "instance": api.events.instance(),
    });
    let stream = api.events.listen(&hello, close);
    let stream = stream.ok_or_else(|| {
        Reply::refused(503, "TooMany", "too many pages listen", "close some, or ask again later")
    })?;
    let mut response = Response::new(Sent::Events(stream));
    let headers = response.headers_mut();
    crate::ui::secure(headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn respond(reply: Reply, head: bool, known: Option<&HeaderValue>) -> Response<Sent> {
    let Reply { status, content_type, body, tag, cookie, encoding, caching } = reply;
    let same = tag
        .as_deref()
        .zip(known.and_then(|k| k.to_str().ok()))
        .is_some_and(|(tag, known)| known.split(',').any(|one| one.trim() == tag || one.trim() == "*"));
    let status = if same {
        StatusCode::NOT_MODIFIED
    } else {
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    };
    let body = if head || same { Bytes::new() } else { body.into() };
    let mut response = Response::new(Sent::Whole(Full::new(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    crate::ui::secure(headers);
    if !same {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
    }
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding, cookie, authorization"));
    let cache = match caching {
        Caching::Never => "no-store",
        Caching::Ask => "no-cache, private",
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    for (name, value) in [(header::ETAG, tag), (header::SET_COOKIE, cookie)] {
        if let Some(value) = value.and_then(|v| HeaderValue::from_str(&v).ok()) {
            headers.insert(name, value);
        }
    }
    response
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

async fn read(api: &Api, request: Request<Incoming>, peer: IpAddr) -> Result<Asked, Reply> {
    let (head, body) = request.into_parts();
    let get = matches!(head.method, Method::GET | Method::HEAD);
    if !get && !matches!(head.method, Method::POST | Method::PUT | Method::DELETE) {
        return Err(Reply::text(405, "only GET, POST, PUT and DELETE\n"));
    }
    let text = |name: HeaderName| -> String {
        let between = if name == header::COOKIE { "; " } else { ", " };
        let all = head.headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
        all.collect::<Vec<_>>().join(between)
    };
    let host = text(header::HOST);
    if head.headers.get_all(header::HOST).iter().count() > 1 {
        return Err(Reply::text(400, "more than one host\n"));
    }
    // No page has a token to show that it got from elsewhere: only programs do.
    let shows_token = text(header::AUTHORIZATION).starts_with("Bearer ");
    if api.hosts == Hosts::Local && !shows_token && !is_local(&host) {
        return Err(Reply::text(421, "this server is reached as localhost or by its address\n"));
    }
    let mut params = head.uri.query().map(Params::parse).unwrap_or_default();
    let mut sent = Bytes::new();
    if !get {
        let body = tokio::time::timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await;
        let Ok(Ok(body)) = body else {
            return Err(Reply::text(413, "a body that is too large, or too slow\n"));
        };
        if text(header::CONTENT_TYPE).starts_with("application/x-www-form-urlencoded") {
            params.add(&String::from_utf8_lossy(&body.to_bytes()));
        } else {
            sent = body.to_bytes();
        }
    }
    Ok(Asked {
        method: if get { Method::GET } else { head.method.clone() },
        path: head.uri.path().to_owned(),
        params,
        body: sent,
        cookie: text(header::COOKIE),
        authorization: text(header::AUTHORIZATION),
        csrf: text(HeaderName::from_static("x-tulle-csrf")),
        origin: text(header::ORIGIN),
        host,
        encodings: text(header::ACCEPT_ENCODING),
        peer: Some(peer),
    })
}

/// Whether a `Host` is an address or a name that is nobody's in the public DNS: `localhost`, one of a single label, one of a cluster.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let last = name.rsplit('.').next().unwrap_or("");
    let cluster = ["svc", "local", "internal", "localhost"].iter().any(|end| last.eq_ignore_ascii_case(end));
    name.parse::<IpAddr>().is_ok() || (!name.is_empty() && !name.contains('.')) || cluster
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn names_of_others_are_not_local() {
        for (host, local) in [
            ("localhost:20001", true),
            ("127.0.0.1:20001", true),
            ("127.0.0.1", true),
            ("[::1]:20001", true),
            ("evil.example:20001", false),
            ("localhost.evil.example", false),
            ("istiod.istio-system.svc:20001", true),
            ("istiod.istio-system.svc.cluster.local", true),
            ("istiod:20001", true),
            ("", false),
        ] {
            assert_eq!(is_local(host), local, "{host}");
        }
    }
}
