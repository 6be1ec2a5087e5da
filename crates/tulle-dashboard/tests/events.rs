//! Clients of the port: one that never reads, one without a token, one that asks twice.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tulle_dashboard::http::access::{Access, Key, Rules, TokenKind};
use tulle_dashboard::http::{Api, Hosts, LettingGo, serve};
use tulle_dashboard::query::QueryLimits;
use tulle_dashboard::store::{Description, Kind, Limits, Store, Tick, Value};

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

/// Reads a stream of events until `name` comes; its data.
fn event(reader: &mut impl BufRead, name: &str) -> serde_json::Value {
    let mut line = String::new();
    while line.trim_end() != format!("event: {name}") {
        line.clear();
        assert_ne!(reader.read_line(&mut line).expect("an event"), 0, "the stream ended before {name}");
    }
    line.clear();
    reader.read_line(&mut line).expect("its data");
    serde_json::from_str(line.trim_start_matches("data: ")).expect("JSON")
}

const EVENTS: &str = "GET /api/events HTTP/1.1\r\nHost: HOST\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_restarted_is_told_from_the_one_before() {
    let mut instances = Vec::new();
    let (first, second) = (api(), api());
    for api in [&first, &first, &second] {
        let address = start(api).await;
        let hello = tokio::task::spawn_blocking(move || {
            event(&mut BufReader::new(connect(address, EVENTS)), "hello")
        });
        instances.push(hello.await.expect("read")["instance"].clone());
    }
    assert!(instances[0].as_str().is_some_and(|name| !name.is_empty()), "{instances:?}");
    assert_eq!(instances[0], instances[1], "a connection that broke is no restart");
    assert_ne!(instances[0], instances[2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_listens_is_told_when_series_make_room_for_others() {
    let store = Arc::new(Store::new(Limits { series: 8, idle: 1_000, ..Limits::default() }));
    let api = Api::new(Arc::clone(&store), QueryLimits::default(), Hosts::Local);
    let address = start(&api).await;
    let source = store.source("web");
    let mut letting_go = LettingGo::default();
    let connected = tokio::task::spawn_blocking(move || {
        let mut reader = BufReader::new(connect(address, EVENTS));
        event(&mut reader, "hello");
        reader
    });
    let mut reader = connected.await.expect("connected");
    let told = tokio::task::spawn_blocking(move || event(&mut reader, "reset"));
    for n in 0..9_i64 {
        let name = format!("m{n}");
        let described = Description { name: &name, kind: Kind::Counter, labels: &[], bounds: &[] };
        let series = store.define(source, &described).expect("there is room, or some is made");
        store
            .tick(source, &Tick { time: (n + 1) * 5_000, changed: &[(series, Value::Number(1.0))] })
            .expect("taken");
        letting_go.look(&api);
    }
    assert_eq!(store.stats().losses.evicted, 1);
    let told = told.await.expect("told");
    assert_eq!(told, serde_json::json!({"series": 1, "chunks": 0, "samples": 0}));
}
