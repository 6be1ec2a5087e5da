//! Whatever clients send ends in the right status or a reset, is counted, and harms nobody else.

mod common;

use common::{Backend, Client, Proxy, any_host, cluster, eventually, get, http, listener};
use serde_json::{Value, json};

fn proxy(backend: &Backend, extra: Value) -> Proxy {
    Proxy::start(json!({
        "listeners": [listener("in", http(any_host(json!([
            { "match": { "prefix": "/" }, "route": { "cluster": "app" } }
        ])), extra))],
        "clusters": [cluster("app", &[backend.address])],
    }))
}

#[test]
fn malformed_requests_get_their_status_and_the_connection_ends() {
    let backend = Backend::echo();
    let proxy = proxy(&backend, json!({}));
    let long = "x".repeat(70_000);
    let cases: [(String, u16); 10] = [
        ("\u{1}\u{2}\u{3}garbage\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".into(), 400),
        ("GET / HTTP/1.0\r\nhost: a\r\n\r\n".into(), 426),
        (format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"), 431),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
                .into(),
            400,
        ),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n".into(), 501),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n".into(),
            400,
        ),
        ("GET / HTTP/1.1\r\nhost: a\r\nbad name: x\r\n\r\n".into(), 400),
        ("GET /\u{e9} HTTP/1.1\r\nhost: a\r\n\r\n".into(), 400),
    ];
    let count = cases.len();
    for (text, status) in cases {
        let mut client = Client::connect(proxy.address("in"));
        client.send(&text);
        let response = client.receive();
        assert_eq!(response.map(|r| r.status), Some(status), "{:?}", &text[..text.len().min(60)]);
        assert!(client.rest().is_empty(), "the connection ends");
    }
    assert!(proxy.stat("http.test.downstream_cx_protocol_error") >= count as u64 - 1);
    assert_eq!(get(proxy.address("in"), "/fine").status, 200);
    assert_eq!(proxy.vitals().active_requests, 0);
}

#[test]
fn a_megabyte_of_header_is_refused_long_before_its_end() {
    let backend = Backend::echo();
    let proxy = proxy(&backend, json!({}));
    let mut client = Client::connect(proxy.address("in"));
    client.send("GET / HTTP/1.1\r\nhost: a\r\nx: ");
    let chunk = "y".repeat(16 * 1024);
    // The proxy may have closed before all of it is written.
    for _ in 0..64 {
        use std::io::Write as _;
        if client.stream.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    assert_eq!(client.receive().map(|r| r.status), Some(431));
}

#[test]
fn a_slow_head_is_answered_with_408() {
    let backend = Backend::echo();
    let proxy = proxy(&backend, json!({ "request_headers_timeout": "0.2s" }));
    let mut client = Client::connect(proxy.address("in"));
    client.send("GET / HT");
    assert_eq!(client.receive().map(|r| r.status), Some(408));
    eventually("counted", || proxy.stat("http.test.downstream_rq_header_timeout") == 1);
}

#[test]
fn half_a_tls_hello_is_reset_and_counted() {
    let backend = Backend::echo();
    let mut inspected = listener("in", http(any_host(json!([])), json!({})));
    inspected["listener_filters"] = json!([{
        "name": "envoy.filters.listener.tls_inspector",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector" },
    }]);
    inspected["stat_prefix"] = json!("in");
    let proxy = Proxy::start(json!({
        "listeners": [inspected],
        "clusters": [cluster("app", &[backend.address])],
    }));
    let mut client = Client::connect(proxy.address("in"));
    client.send([22, 3, 1, 1, 0, 1, 0, 0, 200]);
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(client.rest().is_empty());
    eventually("counted", || proxy.stat("listener.in.ssl.connection_error") == 1);
}

#[test]
fn random_bytes_never_get_through_and_never_hurt() {
    let backend = Backend::echo();
    let proxy = proxy(&backend, json!({}));
    let mut seed = 42u64;
    for _ in 0..200 {
        let mut client = Client::connect(proxy.address("in"));
        let bytes: Vec<u8> = (0..300)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 33) as u8
            })
            .collect();
        client.send(&bytes);
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        client.rest();
    }
    assert_eq!(backend.hits(), 0);
    assert_eq!(get(proxy.address("in"), "/fine").status, 200);
    eventually("all closed", || proxy.vitals().downstream_connections == 0);
}
