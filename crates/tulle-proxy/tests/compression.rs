//! Compression and decompression on the way. The expectations are what a stock Envoy 1.40 does, except where a body cannot be read or
//! becomes too long: there it cuts the body off and calls it complete, and we break off.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
};

use common::{Backend, Client, Proxy, any_host, cluster, http, listener, router};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::{Value, json};

const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions";

fn compressor(more: Value) -> Value {
    let mut config = json!({
        "@type": format!("{EXTENSIONS}.filters.http.compressor.v3.Compressor"),
        "compressor_library": { "name": "gzip", "typed_config": {
            "@type": format!("{EXTENSIONS}.compression.gzip.compressor.v3.Gzip") } },
    });
    merge(&mut config, more);
    json!({ "name": "compressor", "typed_config": config })
}

fn decompressor(ratio: u32) -> Value {
    json!({ "name": "decompressor", "typed_config": {
        "@type": format!("{EXTENSIONS}.filters.http.decompressor.v3.Decompressor"),
        "decompressor_library": { "name": "gzip", "typed_config": {
            "@type": format!("{EXTENSIONS}.compression.gzip.decompressor.v3.Gzip"), "max_inflate_ratio": ratio } },
    } })
}

fn merge(into: &mut Value, from: Value) {
    for (key, value) in from.as_object().unwrap() {
        into[key] = value.clone();
    }
}

fn proxy(mut filters: Vec<Value>, route: Value, app: &Backend) -> Proxy {
    filters.push(router());
    Proxy::start(json!({
        "listeners": [listener("in", http(any_host(json!([route])), json!({ "http_filters": filters })))],
        "clusters": [cluster("app", &[app.address])],
    }))
}

fn to_app() -> Value {
    json!({ "match": { "prefix": "/" }, "route": { "cluster": "app" } })
}

fn packed(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn unpacked(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    GzDecoder::new(body).read_to_end(&mut out).unwrap();
    out
}

/// A response with these fields and this body.
fn response(fields: &str, body: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 200 OK\r\n{fields}content-length: {}\r\n\r\n", body.len()).into_bytes();
    out.extend_from_slice(body);
    out
}

/// One request on a connection of its own: the head of the answer in lower case, and its body without chunks; `None` for a body that
/// ends too early.
fn ask(address: SocketAddr, head: &str, body: &[u8]) -> (String, Option<Vec<u8>>) {
    let mut client = Client::connect(address);
    client.send(format!("{head}\r\nhost: t\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len()));
    client.send(body);
    let all = client.rest();
    let end = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
    let mut rest = &all[end + 4..];
    if !head.contains("transfer-encoding: chunked") {
        return (head, Some(rest.to_vec()));
    }
    let mut body = Vec::new();
    loop {
        let Some(line) = rest.windows(2).position(|w| w == b"\r\n") else { return (head, None) };
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return (head, Some(body));
        }
        let Some(piece) = rest.get(line + 2..line + 2 + size) else { return (head, None) };
        body.extend_from_slice(piece);
        rest = rest.get(line + 4 + size..).unwrap_or_default();
    }
}

const HTML: &str = "content-type: text/html\r\n";

fn text() -> Vec<u8> {
    "hello world ".repeat(20_000).into_bytes()
}

#[test]
fn responses_are_compressed_for_clients_that_take_it() {
    let app = Backend::http(|_| response(HTML, &text()));
    let proxy = proxy(vec![compressor(json!({}))], to_app(), &app);
    let (head, body) = ask(proxy.address("in"), "GET / HTTP/1.1\r\naccept-encoding: gzip", b"");
    assert!(head.contains("content-encoding: gzip") && head.contains("vary: accept-encoding"), "{head}");
    assert!(!head.contains("content-length"), "{head}");
    let body = body.unwrap();
    assert!(body.len() < 10_000 && unpacked(&body) == text());
    let (head, body) = ask(proxy.address("in"), "GET / HTTP/1.1\r\naccept-encoding: br", b"");
    assert!(!head.contains("content-encoding") && head.contains("vary: accept-encoding"), "{head}");
    assert!(body.unwrap() == text());
    let (head, _) = ask(proxy.address("in"), "HEAD / HTTP/1.1\r\naccept-encoding: gzip", b"");
    assert!(head.contains("content-length: 240000") && head.contains("vary"), "{head}");
}

#[test]
fn what_the_proxy_answers_itself_is_compressed_too() {
    let app = Backend::text("");
    let answer = "hello world ".repeat(20);
    let route = json!({
        "match": { "prefix": "/" }, "direct_response": { "status": 200, "body": { "inline_string": answer } },
    });
    let proxy = proxy(vec![compressor(json!({}))], route, &app);
    let (head, body) = ask(proxy.address("in"), "GET / HTTP/1.1\r\naccept-encoding: gzip", b"");
    assert!(head.contains("content-encoding: gzip"), "{head}");
    assert_eq!(unpacked(&body.unwrap()), answer.as_bytes());
}

/// An event stream must not wait for the compressor.
#[test]
fn what_has_come_goes_out_although_more_may_come() {
    let app = Backend::raw(|stream| {
        let mut piece = [0; 4096];
        let _ = stream.read(&mut piece);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n9\r\none event\r\n";
        let _ = stream.write_all(head.as_bytes());
        // Nothing more comes until the client goes away.
        let _ = stream.read(&mut piece);
    });
    let proxy = proxy(vec![compressor(json!({}))], to_app(), &app);
    let mut client = Client::connect(proxy.address("in"));
    client.send("GET / HTTP/1.1\r\nhost: t\r\naccept-encoding: gzip\r\n\r\n");
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    let found = loop {
        let count = client.stream.read(&mut piece).unwrap();
        seen.extend_from_slice(&piece[..count]);
        if let Some(at) = seen.windows(2).position(|w| w == [0x1f, 0x8b]) {
            let mut out = [0; 9];
            if GzDecoder::new(&seen[at..]).read_exact(&mut out).is_ok() {
                break out;
            }
        }
    };
    assert_eq!(&found, b"one event");
}

#[test]
fn requests_are_compressed_where_that_is_asked_for() {
    let app = Backend::http(|r| {
        let seen = format!("{:?} {:?}", r.headers.get("content-encoding"), r.headers.get("content-length"));
        let mut body = seen.into_bytes();
        body.push(b'\n');
        body.extend_from_slice(&r.body);
        response("", &body)
    });
    let proxy = proxy(
        vec![compressor(json!({ "request_direction_config": { "common_config": {} } }))],
        to_app(),
        &app,
    );
    let (_, body) = ask(proxy.address("in"), "POST / HTTP/1.1\r\ncontent-type: text/plain", &text());
    let body = body.unwrap();
    let line = body.iter().position(|b| *b == b'\n').unwrap();
    assert_eq!(&body[..line], b"Some(\"gzip\") None");
    assert!(unpacked(&body[line + 1..]) == text());
}

#[test]
fn a_route_switches_compression_off_or_keeps_accept_encoding_back() {
    let app = Backend::http(|r| {
        let seen = format!("{:?} {}", r.headers.get("accept-encoding"), "x".repeat(100));
        response(HTML, seen.as_bytes())
    });
    let kind = format!("{EXTENSIONS}.filters.http.compressor.v3.CompressorPerRoute");
    let with = |change: Value| {
        let mut config = json!({ "@type": kind });
        merge(&mut config, change);
        let mut route = to_app();
        route["typed_per_filter_config"] = json!({ "compressor": config });
        let proxy = proxy(vec![compressor(json!({}))], route, &app);
        ask(proxy.address("in"), "GET / HTTP/1.1\r\naccept-encoding: gzip", b"")
    };
    let (head, body) = with(json!({ "disabled": true }));
    assert!(!head.contains("content-encoding") && body.unwrap().starts_with(b"Some(\"gzip\")"));
    let (head, body) = with(
        json!({ "overrides": { "response_direction_config": { "remove_accept_encoding_header": true } } }),
    );
    assert!(head.contains("content-encoding: gzip"));
    assert!(unpacked(&body.unwrap()).starts_with(b"None"));
}

#[test]
fn bodies_are_decompressed_both_ways() {
    let app = Backend::http(|r| {
        assert_eq!(r.headers.get("accept-encoding").map(String::as_str), Some("gzip"));
        if r.body.is_empty() {
            return response("content-encoding: gzip\r\n", &packed(&text()));
        }
        let encoding = !r.headers.contains_key("content-encoding");
        response("", format!("{encoding} {}", r.body == text()).as_bytes())
    });
    let proxy = proxy(vec![decompressor(1000)], to_app(), &app);
    let (head, body) = ask(proxy.address("in"), "GET / HTTP/1.1", b"");
    assert!(!head.contains("content-encoding"), "{head}");
    assert!(body.unwrap() == text());
    let (_, body) = ask(proxy.address("in"), "POST / HTTP/1.1\r\ncontent-encoding: gzip", &packed(&text()));
    assert_eq!(body.unwrap(), b"true true");
}

#[test]
fn a_bomb_goes_nowhere() {
    let bomb = packed(&vec![0; 50_000_000]);
    let answer = response("content-encoding: gzip\r\n", &bomb);
    let app = Backend::http(move |_| answer.clone());
    let proxy = proxy(vec![decompressor(100)], to_app(), &app);
    let (head, body) = ask(proxy.address("in"), "GET / HTTP/1.1", b"");
    assert!(head.contains("200 ok") && body.is_none(), "the response is broken off: {head}");
    let (head, _) = ask(proxy.address("in"), "POST / HTTP/1.1\r\ncontent-encoding: gzip", &bomb[..40_000]);
    assert!(head.contains("400"), "{head}");
    let (head, _) = ask(proxy.address("in"), "POST / HTTP/1.1\r\ncontent-encoding: gzip", b"garbage garbage");
    assert!(head.contains("400"), "{head}");
}

#[test]
fn what_is_decompressed_may_be_held_compressed_again_and_limited_by_its_true_length() {
    let app = Backend::http(|r| {
        response("", format!("{:?} {}", r.headers.get("content-length"), r.body == text()).as_bytes())
    });
    let buffer = |limit: u32| {
        json!({ "name": "buffer", "typed_config": {
            "@type": format!("{EXTENSIONS}.filters.http.buffer.v3.Buffer"), "max_request_bytes": limit } })
    };
    let post = |filters: Vec<Value>| {
        let proxy = proxy(filters, to_app(), &app);
        let (head, body) =
            ask(proxy.address("in"), "POST / HTTP/1.1\r\ncontent-encoding: gzip", &packed(&text()));
        (head, String::from_utf8(body.unwrap()).unwrap())
    };
    for filters in [vec![decompressor(1000), buffer(300_000)], vec![buffer(300_000), decompressor(1000)]] {
        assert_eq!(post(filters).1, "Some(\"240000\") true");
    }
    assert!(post(vec![decompressor(1000), buffer(100_000)]).0.contains("413"));
}
