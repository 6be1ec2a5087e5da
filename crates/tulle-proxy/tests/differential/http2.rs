//! HTTP/2 on either side.

use serde_json::json;

use crate::harness::{
    Area,
    answer::{Ending, status},
    case::{Talk, get, h2, post, request},
    config::{any_host, http2, prefix},
};

pub fn area() -> Area {
    let mut a = Area::new("http2");
    a.logging("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %PROTOCOL% %BYTES_RECEIVED% %BYTES_SENT%");
    a.cluster("one", &["one"], json!({}));
    a.cluster("two", &["two"], http2());
    let routes = || any_host(json!([prefix("/h1", "one", json!({})), prefix("/h2", "two", json!({})),
        { "match": { "prefix": "/d" }, "direct_response": { "status": 200, "body": { "inline_string": "direct" } } }]));
    a.http("in", routes(), json!({}));
    a.http("upgrades", routes(), json!({ "http2_protocol_options": { "allow_connect": true }, "upgrade_configs": [{ "upgrade_type": "websocket" }] }));
    a.http("impatient", any_host(json!([prefix("/", "two", json!({ "timeout": "0.3s" }))])),
        json!({ "http2_protocol_options": { "allow_connect": true }, "upgrade_configs": [{ "upgrade_type": "websocket" }] }));
    a.http("trailers", routes(), json!({ "http_protocol_options": { "enable_trailers": true } }));
    a.http("only", routes(), json!({ "codec_type": "HTTP2" }));
    a.http("never", routes(), json!({ "codec_type": "HTTP1" }));
    a.http("counted", routes(), json!({ "common_http_protocol_options": { "max_headers_count": 10 } }));
    for path in ["/h1", "/h2", "/d"] {
        a.case(format!("get {path}"), "in", h2(get(path)));
        a.case(format!("head {path}"), "in", h2(request("HEAD", path)));
        a.case(format!("post {path}"), "in", h2(post(path, "hello")));
        a.case(format!("post with a length {path}"), "in", h2(post(path, "hello").header("content-length", "5")));
        a.case(format!("post with a wrong length {path}"), "in", h2(post(path, "hello").header("content-length", "9")));
        a.case(format!("empty post {path}"), "in", h2(post(path, "")));
        a.case(format!("h1 client {path}"), "in", post(path, "hello"));
        a.case(format!("trailers {path}"), "in", h2(post(path, "hello").trailer("x-t", "1")));
        a.case(format!("trailers with an h1 option {path}"), "trailers", post(path, "hello").trailer("x-t", "1"));
        a.case(format!("cookies {path}"), "in", h2(get(path).header("cookie", "a=1").header("cookie", "b=2")));
        a.case(format!("cookies of h1 {path}"), "in", get(path).header("cookie", "a=1").header("cookie", "b=2"));
        a.case(format!("host beside authority {path}"), "in", h2(get(path).header("host", "other")));
        a.case(format!("connection {path}"), "in", h2(get(path).header("connection", "close")));
        a.case(format!("te {path}"), "in", h2(get(path).header("te", "trailers")));
        a.case(format!("te gzip {path}"), "in", h2(get(path).header("te", "gzip")));
        a.case(format!("transfer-encoding {path}"), "in", h2(get(path).header("transfer-encoding", "chunked")));
        a.case(format!("expect {path}"), "in", h2(post(path, "hello").header("expect", "100-continue")));
        a.case(format!("empty path query {path}"), "in", h2(get(&format!("{path}?"))));
        a.case(format!("no authority {path}"), "in", h2(get(path).host("")));
        a.case(format!("many fields {path}"), "counted", h2((0..12).fold(get(path), |r, n| r.header(&format!("x-{n}"), "1"))));
        a.case(format!("odd values {path}"), "in", h2(get(path).header("x-a", "").header("x-b", "a, b").header("x-c", "\u{e4}")));
        a.case(format!("priority {path}"), "in", h2(get(path).header("priority", "u=1")));
        a.case(format!("several at once {path}"), "in", Talk::Http2(vec![get(path), get(path), get(path)]));
        a.case(format!("websocket {path}"), "upgrades", h2(request("CONNECT", path).protocol("websocket").header("sec-websocket-version", "13").unfinished()))
            .answer(status(if path == "/h1" { 101 } else { 200 }).header("x-ok", "1").ending(if path == "/h2" { Ending::Hasty } else { Ending::Close }));
        a.case(format!("websocket not allowed {path}"), "in", h2(request("CONNECT", path).protocol("websocket")));
        a.case(format!("prior knowledge to h1 only {path}"), "never", h2(get(path))).lines(0);
        a.case(format!("h1 to h2 only {path}"), "only", get(path));
        a.case(format!("h2 to h2 only {path}"), "only", h2(get(path)));
    }
    a.case("websocket without an answer /h2", "impatient", h2(request("CONNECT", "/h2").protocol("websocket").header("sec-websocket-version", "13").unfinished()));
    for path in ["/h1", "/h2"] {
        for code in [204, 205, 304, 404, 500] {
            a.case(format!("status {code} {path}"), "in", h2(get(path))).answer(status(code));
        }
        a.case(format!("answer with trailers {path}"), "in", h2(get(path))).answer(status(200).body("x").trailer("x-t", "1"));
        a.case(format!("answer with trailers alone {path}"), "in", h2(get(path))).answer(status(200).body("").trailer("x-t", "1"));
        a.case(format!("answer with trailers to h1 {path}"), "in", get(path)).answer(status(200).body("x").trailer("x-t", "1"));
        a.case(format!("answer with trailers to h1 that takes them {path}"), "trailers", get(path)).answer(status(200).body("x").trailer("x-t", "1"));
        a.case(format!("early hints {path}"), "in", h2(get(path))).answer(status(200).informational(103));
        a.case(format!("large body {path}"), "in", h2(post(path, &"b".repeat(100_000)))).answer(status(200).body("r".repeat(100_000)));
        a.case(format!("head with a length {path}"), "in", h2(request("HEAD", path))).answer(status(200).body("12345"));
        a.case(format!("breaks off {path}"), "in", h2(get(path))).answer(status(200).body("part").ending(Ending::BreakOff));
        a.case(format!("connection fields of the upstream {path}"), "in", h2(get(path))).answer(status(200).header("x-a", "1").header("keep-alive", "3"));
    }
    a
}
