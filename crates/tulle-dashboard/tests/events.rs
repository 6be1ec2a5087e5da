//! Clients of the port: one that never reads, one without a token, one that asks twice.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tulle_dashboard::http::access::{Access, Key, Rules, TokenKind};
use tulle_dashboard::http::{Api, Hosts, serve};
use tulle_dashboard::query::QueryLimits;
use tulle_dashboard::store::{Limits, Store};

async fn start(api: &Api) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(serve(listener, api.clone(), std::future::pending()));
    address
}

fn api() -> Api {
    Api::new(Arc::new(Store::new(Limits::default())), QueryLimits::default(), Hosts::Local)
}

fn connect(address: SocketAddr, request: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).expect("it listens");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    socket.write_all(request.replace("HOST", &address.to_string()).as_bytes()).expect("sent");
    socket
}

/// The whole answer to a request that ends its connection.
async fn ask(address: SocketAddr, request: &'static str) -> String {
    let asked = tokio::task::spawn_blocking(move || {
        let mut socket = connect(address, request);
        let mut reply = String::new();
        socket.read_to_string(&mut reply).expect("an answer");
        reply.to_ascii_lowercase()
    });
    asked.await.expect("asked")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_reads_events_is_cut_off_and_counted() {
    let api = api();
    let address = start(&api).await;
    let mut socket = connect(address, "GET /api/events HTTP/1.1\r\nHost: HOST\r\n\r\n");
    let events = Arc::clone(api.events());
    while !events.is_heard() {
        tokio::task::yield_now().await;
    }
    // More than the kernel's buffers take, until the queue is full as well.
    let large = serde_json::json!({"text": "x".repeat(64 * 1024)});
    let mut told = 0;
    while events.counts().1 == 0 {
        events.tell("tick", &large);
        told += 1;
        assert!(told < 20_000, "everything was kept for somebody who does not read");
        tokio::task::yield_now().await;
    }
    assert_eq!(events.counts(), (0, 1));
    // Its connection ends: what was sent can still be read, and then there is no more.
    let read = tokio::task::spawn_blocking(move || {
        let mut all = Vec::new();
        // A connection that is closed with data unread may be reset.
        let _ = socket.read_to_end(&mut all);
        all.len()
    });
    let read = read.await.expect("read");
    assert!(read < told * 65 * 1024, "{read} bytes of {told} events");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_without_a_token_and_tags_save_what_is_known() {
    let dir = tempfile::tempdir().expect("a folder");
    let key = Key::open(dir.path()).expect("a key");
    let api = api().with_access(Arc::new(Access::new(key.clone(), Rules::default())));
    let address = start(&api).await;
    let close = "Connection: close\r\n\r\n";
    for path in ["/api/v1/query?query=up", "/api/graph", "/api/events", "/api/overview"] {
        let text = format!("GET {path} HTTP/1.1\r\nHost: HOST\r\n{close}");
        assert!(ask(address, text.leak()).await.starts_with("http/1.1 401 "), "{path}");
    }
    assert!(
        ask(address, "GET /-/healthy HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n")
            .await
            .contains("ready")
    );
    let token = key.token(TokenKind::Read, u64::MAX / 2);
    let text = format!("GET /api/graph HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer {token}\r\n{close}");
    assert!(ask(address, text.leak()).await.starts_with("http/1.1 200 "));
    // What writes is refused to a token that reads, and where nobody writes.
    let text = format!(
        "PUT /api/resources HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n{close}"
    );
    assert!(ask(address, text.leak()).await.starts_with("http/1.1 403 "));
    let twice = format!("GET /api/session HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\n{close}");
    assert!(ask(address, twice.leak()).await.starts_with("http/1.1 400 "));
    let other = format!("GET /api/session HTTP/1.1\r\nHost: evil.example\r\n{close}");
    assert!(ask(address, other.leak()).await.starts_with("http/1.1 421 "));
}
