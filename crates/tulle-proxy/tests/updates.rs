//! Changes take effect on new requests and drop no connection; shutting down ends in an orderly way.

mod common;

use std::{
    io::{Read as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{Backend, Client, Proxy, any_host, cluster, eventually, h2::H2Client, http, listener, ok};
use serde_json::{Value, json};
use tulle_base::drain::DrainState;
use tulle_proxy::worker::Changes;

fn resources(body: &str, app: &Backend) -> Value {
    json!({
        "listeners": [listener("in", http(any_host(json!([
            { "match": { "path": "/version" }, "direct_response": { "status": 200, "body": { "inline_string": body } } },
            { "match": { "prefix": "/" }, "route": { "cluster": "app" } },
        ])), json!({})))],
        "clusters": [cluster("app", &[app.address])],
    })
}

#[test]
fn a_changed_route_is_in_force_on_a_live_connection_and_the_socket_stays() {
    let app = Backend::text("app");
    let mut proxy = Proxy::start(resources("one", &app));
    let before = proxy.address("in");
    let mut client = Client::connect(before);
    let mut modern = H2Client::connect(before);
    assert_eq!(client.get("/version").body, "one");
    assert_eq!(modern.get("/version").body, b"one");
    proxy.apply(resources("two", &app));
    assert_eq!(client.get("/version").body, "two");
    assert_eq!(modern.get("/version").body, b"two");
    assert_eq!(proxy.address("in"), before);
}

#[test]
fn a_change_before_the_first_request_of_a_connection_holds_for_it() {
    let app = Backend::text("app");
    let inspected = |body: &str| {
        let mut all = resources(body, &app);
        all["listeners"][0]["listener_filters"] = json!([{ "name": "http", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector" } }]);
        all
    };
    let mut proxy = Proxy::start(inspected("one"));
    // The proxy has chosen what treats it, and waits for the first bytes.
    let mut client = Client::connect(proxy.address("in"));
    let mut modern = std::net::TcpStream::connect(proxy.address("in")).unwrap();
    eventually("both are accepted", || proxy.vitals().downstream_connections == 2);
    proxy.apply(inspected("two"));
    assert_eq!(client.get("/version").body, "two");
    // As a client of HTTP/2 that knows beforehand what is spoken: its preface, its settings and GET /version.
    let mut all = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    let head = [b"\x82\x86\x44\x08/version\x41\x01t".as_slice()].concat();
    all.extend([0, 0, u8::try_from(head.len()).unwrap(), 1, 5, 0, 0, 0, 1]);
    all.extend(head);
    modern.write_all(&all).unwrap();
    modern.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut seen = Vec::new();
    let has = |seen: &[u8], body: &[u8]| seen.windows(3).any(|w| w == body);
    while !has(&seen, b"two") && !has(&seen, b"one") {
        let mut buf = [0; 4096];
        let n = modern.read(&mut buf).unwrap();
        assert_ne!(n, 0, "an answer: {seen:?}");
        seen.extend(&buf[..n]);
    }
    assert!(has(&seen, b"two"));
}

#[test]
fn no_request_fails_while_configuration_changes_under_load() {
    let app = Backend::text("app");
    let mut proxy = Proxy::start(resources("0", &app));
    let at = proxy.address("in");
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut client = Client::connect(at);
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/").status, 200);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for i in 0..20 {
        proxy.apply(resources(&i.to_string(), &app));
        std::thread::sleep(Duration::from_millis(10));
    }
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|c| c.join().unwrap());
    assert!(done.load(Ordering::Relaxed) > 20);
}

#[test]
fn a_removed_listener_stops_accepting_and_asks_its_connections_to_end() {
    let app = Backend::text("app");
    let mut proxy = Proxy::start(resources("one", &app));
    let at = proxy.address("in");
    let mut client = Client::connect(at);
    assert_eq!(client.get("/").status, 200);
    let mut gone = Changes::default();
    gone.listeners.removed.push("in".into());
    proxy.fleet().apply(gone).unwrap();
    proxy.vitals();
    eventually("refused", || std::net::TcpStream::connect(at).is_err());
    assert!(client.rest().is_empty(), "the idle connection is closed");
}

#[test]
fn draining_asks_clients_to_leave_and_lets_requests_finish() {
    let slow = Backend::http(|_| {
        std::thread::sleep(Duration::from_millis(300));
        ok("finished")
    });
    let mut proxy = Proxy::start(resources("one", &slow));
    let at = proxy.address("in");
    let mut idle = Client::connect(at);
    assert_eq!(idle.get("/version").status, 200);
    let mut modern = H2Client::connect(at);
    modern.get("/version");
    let mut busy = Client::connect(at);
    busy.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    std::thread::sleep(Duration::from_millis(50));
    proxy.fleet().drain(DrainState::Draining);
    proxy.vitals();
    let last = idle.get("/version");
    assert_eq!((last.status, last.headers["connection"].as_str()), (200, "close"));
    assert!(modern.get("/version").reset || modern.going_away);
    proxy.fleet().drain(DrainState::Closing);
    let answer = busy.receive().unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "finished"));
    eventually("all closed", || proxy.vitals().downstream_connections == 0);
    assert!(std::net::TcpStream::connect(at).is_err());
}

#[test]
fn websockets_pass_as_bytes_after_the_switch() {
    let app = Backend::raw(|stream| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        let request = common::read_request(&mut reader).unwrap();
        assert_eq!(request.headers["upgrade"], "websocket");
        use std::io::Write as _;
        stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhello",
            )
            .unwrap();
        let mut bytes = [0; 4];
        reader.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
    });
    let proxy = Proxy::start(json!({
        "listeners": [listener("in", http(any_host(json!([
            { "match": { "prefix": "/" }, "route": { "cluster": "app" } },
        ])), json!({ "upgrade_configs": [{ "upgrade_type": "websocket" }] })))],
        "clusters": [cluster("app", &[app.address])],
    }));
    let mut client = Client::connect(proxy.address("in"));
    client.send("GET /chat HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nping");
    let bytes = client.rest();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    assert!(text.ends_with("\r\n\r\nhelloping"), "{text}");
}
