//! A small HTTP/1.1 server.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use super::{Exposed, routes};
use crate::boot::Main;
use tulle_telemetry::audit::{Entry, Event};

/// How many connections one port serves at a time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;
/// How long a client may take for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// What programs ask for again and again, which is not recorded.
const POLLED: [&str; 3] = ["/ready", "/stats", "/stats/prometheus"];

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

impl Reply {
    /// 200 with plain text.
    pub(crate) fn text(body: impl Into<Bytes>) -> Self {
        Self::of(StatusCode::OK, body)
    }

    /// Plain text with another status.
    pub(crate) fn of(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, content_type: "text/plain; charset=UTF-8", body: body.into() }
    }

    /// 200 with JSON.
    pub(crate) fn json(value: &serde_json::Value) -> Self {
        let mut body = serde_json::to_vec_pretty(value).unwrap_or_default();
        body.push(b'\n');
        Self { status: StatusCode::OK, content_type: "application/json", body: body.into() }
    }
}

/// What a handler needs of a request.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: hyper::Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: hyper::HeaderMap,
}

impl Asked {
    /// The value of a query parameter; empty for one without value.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the request may change something.
    pub(crate) fn is_post(&self) -> bool {
        self.method == hyper::Method::POST
    }
}

/// Serves one port for as long as the main thread runs.
pub(crate) async fn serve(main: Rc<Main>, listener: TcpListener, exposed: Exposed) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "port not served");
            return;
        }
    };
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let main = Rc::clone(&main);
        tokio::task::spawn_local(async move {
            let _slot = slot;
            let service = service_fn(move |request| {
                let main = Rc::clone(&main);
                async move { Ok::<_, Infallible>(answer(&main, exposed, peer, request).await) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(64 * 1024)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "admin connection ended");
            }
        });
    }
}

async fn answer(
    main: &Rc<Main>,
    exposed: Exposed,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (head, _body) = request.into_parts();
    let asked = Asked {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(parse_query).unwrap_or_default(),
        headers: head.headers,
    };
    let Reply { status, content_type, body } = routes::route(main, exposed, &asked).await;
    // What is polled says nothing.
    if exposed == Exposed::Admin && !POLLED.contains(&asked.path.as_str()) {
        let what = format!("{} {}", asked.method, asked.path);
        let entry = Entry::new(Event::AdminUsed, peer.to_string(), what).with("status", status.as_u16());
        main.audit.record(entry);
    }
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-cache, max-age=0"));
    response
}

fn parse_query(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (percent_decode(key), percent_decode(value))
        })
        .collect()
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|h| std::str::from_utf8(h).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let got = parse_query("filter=a%7Cb+c&usedonly&x=%zz");
        let expected = [("filter", "a|b c"), ("usedonly", ""), ("x", "%zz")];
        assert_eq!(got, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }
}
