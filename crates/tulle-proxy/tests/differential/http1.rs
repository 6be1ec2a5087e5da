//! HTTP/1: messages right and wrong.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::{Ending, Framing, bytes, status},
    case::{Turn, get, post, raw, request, turn},
    config::{any_host, merged, prefix, single_use},
};

/// Requests that are wrong or odd, by name.
fn odd() -> Vec<(&'static str, &'static [u8])> {
    vec![
        ("http/1.0", b"GET / HTTP/1.0\r\n\r\n"),
        ("http/1.0 with host", b"GET / HTTP/1.0\r\nhost: test\r\n\r\n"),
        ("http/1.0 keep-alive", b"GET / HTTP/1.0\r\nhost: test\r\nconnection: keep-alive\r\n\r\n"),
        ("http/0.9", b"GET /\r\n\r\n"),
        ("http/1.2", b"GET / HTTP/1.2\r\nhost: test\r\n\r\n"),
        ("http/2.0", b"GET / HTTP/2.0\r\nhost: test\r\n\r\n"),
        ("lower version", b"GET / http/1.1\r\nhost: test\r\n\r\n"),
        ("no version", b"GET / \r\nhost: test\r\n\r\n"),
        ("unknown method", b"BREW / HTTP/1.1\r\nhost: test\r\n\r\n"),
        ("lower method", b"get / HTTP/1.1\r\nhost: test\r\n\r\n"),
        ("patch", b"PATCH / HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n"),
        ("trace", b"TRACE / HTTP/1.1\r\nhost: test\r\n\r\n"),
        ("propfind", b"PROPFIND / HTTP/1.1\r\nhost: test\r\n\r\n"),
        ("two spaces", b"GET  / HTTP/1.1\r\nhost: test\r\n\r\n"),
        ("tab", b"GET\t/ HTTP/1.1\r\nhost: test\r\n\r\n"),
        ("leading empty line", b"\r\nGET / HTTP/1.1\r\nhost: test\r\n\r\n"),
        ("leading space", b" GET / HTTP/1.1\r\nhost: test\r\n\r\n"),
        ("bare lf", b"GET / HTTP/1.1\nhost: test\n\n"),
        ("cr alone", b"GET / HTTP/1.1\rhost: test\r\n\r\n"),
        ("cr in a value", b"GET / HTTP/1.1\r\nhost: test\r\nx-a: b\rc\r\n\r\n"),
        ("nul in a value", b"GET / HTTP/1.1\r\nhost: test\r\nx-a: b\0c\r\n\r\n"),
        ("high byte in a value", b"GET / HTTP/1.1\r\nhost: test\r\nx-a: \xe4\r\n\r\n"),
        ("tab in a value", b"GET / HTTP/1.1\r\nhost: test\r\nx-a: b\tc\r\n\r\n"),
        ("control in a value", b"GET / HTTP/1.1\r\nhost: test\r\nx-a: b\x01c\r\n\r\n"),
        ("space before the colon", b"GET / HTTP/1.1\r\nhost: test\r\nx-a : b\r\n\r\n"),
        ("no colon", b"GET / HTTP/1.1\r\nhost: test\r\nbroken\r\n\r\n"),
        ("no name", b"GET / HTTP/1.1\r\nhost: test\r\n: b\r\n\r\n"),
        ("odd name", b"GET / HTTP/1.1\r\nhost: test\r\nx(a): b\r\n\r\n"),
        ("folded", b"GET / HTTP/1.1\r\nhost: test\r\nx-a: b\r\n c\r\n\r\n"),
        ("spaces around a value", b"GET / HTTP/1.1\r\nhost: test\r\nx-a: \t b \t\r\n\r\n"),
        ("empty value", b"GET / HTTP/1.1\r\nhost: test\r\nx-a:\r\n\r\n"),
        ("two hosts", b"GET / HTTP/1.1\r\nhost: test\r\nhost: other\r\n\r\n"),
        ("host twice the same", b"GET / HTTP/1.1\r\nhost: test\r\nhost: test\r\n\r\n"),
        ("host with user", b"GET / HTTP/1.1\r\nhost: me@test\r\n\r\n"),
        ("host with a bad port", b"GET / HTTP/1.1\r\nhost: test:x\r\n\r\n"),
        ("host with a large port", b"GET / HTTP/1.1\r\nhost: test:99999\r\n\r\n"),
        ("host with a space", b"GET / HTTP/1.1\r\nhost: te st\r\n\r\n"),
        ("host with a slash", b"GET / HTTP/1.1\r\nhost: te/st\r\n\r\n"),
        ("host list", b"GET / HTTP/1.1\r\nhost: a,b\r\n\r\n"),
        ("cl and te", b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("te and cl", b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n"),
        ("two lengths", b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi!"),
        ("one length twice", b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nhi"),
        ("list of lengths", b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 2, 2\r\n\r\nhi"),
        ("length plus", b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: +2\r\n\r\nhi"),
        ("negative length", b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: -2\r\n\r\nhi"),
        ("length in hex", b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 0x2\r\n\r\nhi"),
        ("empty length", b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length:\r\n\r\nhi"),
        ("huge length", b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 99999999999999999999\r\n\r\nhi"),
        ("length with zeros", b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 002\r\n\r\nhi"),
        ("te gzip", b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: gzip\r\n\r\n"),
        ("te gzip, chunked", b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ("te chunked twice", b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        ("te two lines", b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("te identity", b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: identity\r\n\r\n"),
        ("te upper", b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: CHUNKED\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        ("te with junk", b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("te in http/1.0", b"POST / HTTP/1.0\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("chunk extension", b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0;c\r\n\r\n"),
        ("chunk size in upper case", b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n"),
        ("chunk size with zeros", b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n00002\r\nhi\r\n000\r\n\r\n"),
        ("bad chunk size", b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n"),
        ("negative chunk", b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n-2\r\nhi\r\n0\r\n\r\n"),
        ("huge chunk", b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nhi\r\n0\r\n\r\n"),
        ("chunk without its end", b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi0\r\n\r\n"),
        ("chunks with bare lf", b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n2\nhi\n0\n\n"),
        ("fragment", b"GET /a#b HTTP/1.1\r\nhost: test\r\n\r\n"),
        ("ftp url", b"GET ftp://test/ HTTP/1.1\r\nhost: test\r\n\r\n"),
        ("https url", b"GET https://test/x HTTP/1.1\r\nhost: test\r\n\r\n"),
        ("url with user", b"GET http://me@test/x HTTP/1.1\r\nhost: test\r\n\r\n"),
        ("asterisk for get", b"GET * HTTP/1.1\r\nhost: test\r\n\r\n"),
        ("authority form for get", b"GET test:80 HTTP/1.1\r\nhost: test\r\n\r\n"),
        ("get with a body", b"GET / HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi"),
        ("get with chunks", b"GET / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        ("delete with a body", b"DELETE / HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi"),
        ("post without length", b"POST / HTTP/1.1\r\nhost: test\r\n\r\n"),
        ("unknown expectation", b"POST / HTTP/1.1\r\nhost: test\r\nexpect: magic\r\ncontent-length: 2\r\n\r\nhi"),
        ("upgrade not allowed", b"GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n"),
        ("upgrade to h2c", b"GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"),
        ("upgrade without connection", b"GET / HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\n\r\n"),
        ("connect", b"CONNECT test:80 HTTP/1.1\r\nhost: test:80\r\n\r\n"),
        ("connect without port", b"CONNECT test HTTP/1.1\r\nhost: test\r\n\r\n"),
        ("connect with a path", b"CONNECT / HTTP/1.1\r\nhost: test\r\n\r\n"),
        ("proxy connection", b"GET / HTTP/1.1\r\nhost: test\r\nproxy-connection: close\r\n\r\n"),
        ("nominated field", b"GET / HTTP/1.1\r\nhost: test\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n"),
        ("nominated host", b"GET / HTTP/1.1\r\nhost: test\r\nconnection: host\r\n\r\n"),
        ("nominated length", b"POST / HTTP/1.1\r\nhost: test\r\nconnection: content-length\r\ncontent-length: 2\r\n\r\nhi"),
        ("te trailers", b"GET / HTTP/1.1\r\nhost: test\r\nconnection: te\r\nte: trailers\r\n\r\n"),
        ("tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
        ("only line ends", b"\r\n\r\n\r\n\r\n"),
        ("pseudo header", b"GET / HTTP/1.1\r\nhost: test\r\n:path: /x\r\n\r\n"),
        ("underscore", b"GET / HTTP/1.1\r\nhost: test\r\nx_a: b\r\n\r\n"),
        ("range", b"GET / HTTP/1.1\r\nhost: test\r\nrange: bytes=0-1\r\nif-none-match: \"x\"\r\n\r\n"),
    ]
}

pub fn area() -> Area {
    let mut a = Area::new("http1");
    a.logging("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %PROTOCOL% %BYTES_RECEIVED% %BYTES_SENT%");
    a.cluster("app", &["one"], single_use());
    a.cluster("trailers", &["one"], json!({ "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": { "http_protocol_options": { "enable_trailers": true } } } } }));
    let app = |extra: Value| any_host(json!([prefix("/", "app", extra)]));
    a.http("in", app(json!({})), json!({}));
    a.http("old", app(json!({})), json!({ "http_protocol_options": { "accept_http_10": true, "default_host_for_http_10": "old.test" } }));
    a.http("custom", app(json!({})), json!({ "http_protocol_options": { "allow_custom_methods": true } }));
    a.http("trailers", any_host(json!([prefix("/", "trailers", json!({}))])), json!({ "http_protocol_options": { "enable_trailers": true } }));
    a.http("upgrades", any_host(json!([prefix("/ws", "app", json!({})), prefix("/off", "app", json!({ "upgrade_configs": [{ "upgrade_type": "websocket", "enabled": false }] })),
        merged(json!({ "match": { "connect_matcher": {} } }), &json!({ "route": { "cluster": "app", "upgrade_configs": [{ "upgrade_type": "CONNECT" }] } }))])),
        json!({ "upgrade_configs": [{ "upgrade_type": "websocket" }] }));
    a.http("terminate", any_host(json!([{ "match": { "connect_matcher": {} }, "route": { "cluster": "app", "upgrade_configs": [
        { "upgrade_type": "CONNECT", "connect_config": {} }] } }])), json!({}));
    a.http("continue", app(json!({})), json!({ "proxy_100_continue": true }));
    a.http("absolute", app(json!({})), json!({ "http_protocol_options": { "allow_absolute_url": false } }));
    a.http("small", app(json!({})), json!({ "max_request_headers_kb": 1, "common_http_protocol_options": { "max_headers_count": 10 } }));

    for (name, bytes) in odd() {
        let method = if bytes.starts_with(b"CONNECT") { "CONNECT" } else { "GET" };
        a.case(name, "in", turn(bytes, method));
    }
    for (name, bytes) in odd().into_iter().filter(|(n, _)| n.contains("http/") || n.contains("http/1.0")) {
        a.case(format!("old {name}"), "old", turn(bytes, "GET"));
    }
    for (name, bytes) in odd().into_iter().filter(|(n, _)| n.contains("method") || *n == "propfind") {
        a.case(format!("custom {name}"), "custom", turn(bytes, "GET"));
    }
    a.case("large head", "in", raw(format!("GET / HTTP/1.1\r\nhost: test\r\nx-large: {}\r\n\r\n", "x".repeat(70_000))));
    a.case("large path", "in", raw(format!("GET /{} HTTP/1.1\r\nhost: test\r\n\r\n", "x".repeat(70_000))));
    a.case("many fields", "in", raw(format!("GET / HTTP/1.1\r\nhost: test\r\n{}\r\n", "x: y\r\n".repeat(120))));
    a.case("small large head", "small", raw(format!("GET / HTTP/1.1\r\nhost: test\r\nx-large: {}\r\n\r\n", "x".repeat(1200))));
    a.case("small many fields", "small", raw(format!("GET / HTTP/1.1\r\nhost: test\r\n{}\r\n", "x: y\r\n".repeat(20))));

    a.case("head", "in", request("HEAD", "/"));
    a.case("head with a length", "in", request("HEAD", "/")).answer(status(200).body("12345"));
    a.case("head, then get", "in", vec![request("HEAD", "/"), get("/")]);
    for code in [201, 202, 204, 205, 206, 301, 304, 400, 404, 417, 451, 500, 599] {
        a.case(format!("status {code}"), "in", vec![get("/"), get("/")]).answer(status(code));
    }
    a.case("304 with a length", "in", vec![get("/"), get("/")]).answer(status(304).header("content-length", "5").header("etag", "x"));
    a.case("204 with a length", "in", vec![get("/"), get("/")]).answer(status(204).header("content-length", "0"));
    a.case("own reason", "in", get("/")).answer(status(200).reason("Fine"));
    a.case("chunked answer", "in", vec![get("/"), get("/")]).answer(status(200).framing(Framing::Chunked).body("hello"));
    a.case("empty chunked answer", "in", get("/")).answer(status(200).framing(Framing::Chunked).body(""));
    a.case("answer until close", "in", get("/")).answer(status(200).framing(Framing::UntilClose).body("hello"));
    a.case("answer that closes", "in", vec![get("/"), get("/")]).answer(status(200).header("connection", "close").ending(Ending::Close));
    a.case("trailers dropped", "in", get("/")).answer(status(200).trailer("x-t", "1"));
    a.case("trailers kept", "trailers", get("/")).answer(status(200).trailer("x-t", "1").trailer("X-U", "2"));
    a.case("trailers sent", "trailers", post("/", "body").trailer("x-t", "1").header("trailer", "x-t"));
    a.case("trailers sent and dropped", "in", post("/", "body").trailer("x-t", "1"));
    a.case("close asked", "in", get("/").header("connection", "close"));
    a.case("close asked in upper case", "in", get("/").header("connection", "Close"));
    a.case("keep-alive asked", "in", vec![get("/").header("connection", "keep-alive"), get("/")]);
    a.case("early hints", "in", get("/")).answer(status(200).informational(103));
    a.case("processing", "in", get("/")).answer(status(200).informational(102).informational(102));
    a.case("100 of the upstream", "in", get("/")).answer(status(200).informational(100));
    let expecting = "POST / HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    a.case("expect", "in", turn(format!("{expecting}body"), "POST"));
    a.case("expect, body later", "in", vec![turn(expecting, "POST").responses(0).raw_reply(25), turn("body", "POST")]).lines(1);
    a.case("expect in upper case", "in", turn(format!("{}body", expecting.replace("100-c", "100-C")), "POST"));
    a.case("expect passed on", "continue", turn(format!("{expecting}body"), "POST")).answer(status(200).informational(100));
    a.case("expect refused by the upstream", "continue", turn(format!("{expecting}body"), "POST")).answer(status(417));
    let websocket = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-key: k\r\n\r\n");
    let accepted = status(101).header("connection", "upgrade").header("upgrade", "websocket").ending(Ending::Tunnel);
    a.case("websocket", "upgrades", vec![turn(websocket("/ws"), "GET"), turn("hello", "GET").responses(0).raw_reply(5).ends_writing()]).answer(accepted.clone()).closes().lines(1);
    a.case("websocket refused by the upstream", "upgrades", turn(websocket("/ws"), "GET")).answer(status(403));
    a.case("websocket answered with 200", "upgrades", turn(websocket("/ws"), "GET"));
    a.case("websocket off on the route", "upgrades", turn(websocket("/off"), "GET"));
    a.case("websocket not configured", "in", turn(websocket("/ws"), "GET")).answer(accepted);
    a.case("other upgrade", "upgrades", turn(websocket("/ws").replace("WebSocket", "other"), "GET"));
    a.case("connect passed on", "upgrades", vec![turn("CONNECT test:80 HTTP/1.1\r\nhost: test:80\r\n\r\n", "CONNECT"), turn("hello", "GET").responses(0).raw_reply(5).ends_writing()])
        .answer(status(200).ending(Ending::Tunnel)).closes().lines(1);
    a.case("connect refused by the upstream", "upgrades", turn("CONNECT test:80 HTTP/1.1\r\nhost: test:80\r\n\r\n", "CONNECT")).answer(status(403));
    a.case("connect terminated", "terminate", vec![turn("CONNECT test:80 HTTP/1.1\r\nhost: test:80\r\n\r\n", "CONNECT"),
        turn("GET /inside HTTP/1.1\r\nhost: in\r\n\r\n", "GET").ends_writing()]).closes().lines(1);
    a.case("absolute off", "absolute", raw("GET http://other/x HTTP/1.1\r\nhost: test\r\n\r\n"));
    a.case("pipelined", "in", {
        let mut bytes = post("/", "one").bytes();
        bytes.extend(get("/two").bytes());
        bytes.extend(get("/three").bytes());
        turn(bytes, "GET").responses(3)
    });
    a.case("pipelined behind an error", "in", {
        let mut bytes = b"GET / HTTP/1.1\r\nhost: test\r\nbroken\r\n\r\n".to_vec();
        bytes.extend(get("/two").bytes());
        turn(bytes, "GET")
    });
    a.case("half closed in the body", "in", Turn::from(&post("/", "part").unfinished()).ends_writing()).lines(1);
    a.case("large body", "in", post("/", &"b".repeat(300_000))).answer(status(200).body("r".repeat(300_000)));
    a.case("answer with spaces in fields", "in", get("/")).answer(bytes("HTTP/1.1 200 OK\r\nx-a:   b  \r\ncontent-length: 0\r\n\r\n"));
    a.case("answer nominates a field", "in", get("/")).answer(status(200).header("connection", "x-hop").header("x-hop", "1"));
    a
}
