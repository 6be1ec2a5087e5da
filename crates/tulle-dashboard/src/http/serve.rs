//! A small HTTP/1.1 server.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::{Api, Asked, Hosts, Params, Reply};

/// Connections at a time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 128;
/// How long a client may take for the head of a request, and for its body.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest body: a form with a query.
const MAX_BODY: usize = 256 << 10;

/// Serves a port until `stop` is done.
pub async fn serve(listener: TcpListener, api: Api, stop: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut stop = std::pin::pin!(stop);
    loop {
        // Never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => return,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::debug!(%error, "not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let api = api.clone();
        tokio::spawn(async move {
            let _slot = slot;
            let service = service_fn(move |request| {
                let api = api.clone();
                async move { Ok::<_, Infallible>(answer(&api, request).await) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_buf_size(64 * 1024)
                .serve_connection(TokioIo::new(socket), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
}

async fn answer(api: &Api, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let head = request.method() == Method::HEAD;
    if let Some(page) = crate::ui::answer(request.method(), request.uri().path(), request.headers()) {
        return page;
    }
    let Reply { status, content_type, body } = match read(api, request).await {
        Ok(asked) => api.answer(asked, now()).await,
        Err(reply) => reply,
    };
    let mut response = Response::new(Full::new(if head { Bytes::new() } else { body.into() }));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

async fn read(api: &Api, request: Request<Incoming>) -> Result<Asked, Reply> {
    let (head, body) = request.into_parts();
    let get = matches!(head.method, Method::GET | Method::HEAD);
    if !get && head.method != Method::POST {
        return Err(Reply::text(405, "only GET and POST\n"));
    }
    let host = head.headers.get(HOST).and_then(|h| h.to_str().ok()).unwrap_or("");
    if api.hosts == Hosts::Local && !is_local(host) {
        return Err(Reply::text(421, "this server is reached as localhost or by its address\n"));
    }
    let mut params = head.uri.query().map(Params::parse).unwrap_or_default();
    if !get {
        let form = head.headers.get(CONTENT_TYPE).and_then(|t| t.to_str().ok()).unwrap_or("");
        let body = tokio::time::timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await;
        let Ok(Ok(body)) = body else {
            return Err(Reply::text(413, "a body that is too large, or too slow\n"));
        };
        if form.starts_with("application/x-www-form-urlencoded") {
            params.add(&String::from_utf8_lossy(&body.to_bytes()));
        }
    }
    Ok(Asked { get, path: head.uri.path().to_owned(), params })
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
