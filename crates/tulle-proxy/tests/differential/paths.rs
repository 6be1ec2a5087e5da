//! Path matching.

use serde_json::json;

use crate::harness::{
    Area,
    case::{get, h2, raw, request},
    config::{answering, any_host, route},
};

pub fn area() -> Area {
    let mut a = Area::new("paths");
    a.cluster("app", &["one"], json!({}));
    a.http(
        "in",
        any_host(json!([
            answering(json!({ "path": "/exact" }), "exact"),
            answering(json!({ "path": "/NoCase", "case_sensitive": false }), "exact without case"),
            answering(json!({ "path": "/with%20escape" }), "escape"),
            answering(json!({ "path": "/semi;v=1" }), "semicolon"),
            answering(json!({ "safe_regex": { "regex": "/re/[a-z]+" } }), "regex"),
            answering(json!({ "safe_regex": { "regex": "/re/a|/re/b/c" } }), "alternatives"),
            answering(json!({ "safe_regex": { "regex": "(?i)/ire/.*" } }), "regex without case"),
            answering(json!({ "safe_regex": { "regex": "/dot/.{3}" } }), "regex dots"),
            answering(json!({ "safe_regex": { "regex": "/uni/\\pL+" } }), "unicode"),
            answering(json!({ "safe_regex": { "regex": "/flag/x", }, "case_sensitive": false }), "flagged regex"),
            answering(json!({ "path_separated_prefix": "/seg" }), "segments"),
            answering(json!({ "path_separated_prefix": "/Seg/Case", "case_sensitive": false }), "segments without case"),
            answering(json!({ "prefix": "/pre/", "case_sensitive": false }), "prefix without case"),
            answering(json!({ "prefix": "/pre" }), "prefix"),
            answering(json!({ "prefix": "/double//slash" }), "double slash"),
            { "match": { "connect_matcher": {} }, "direct_response": { "status": 418, "body": { "inline_string": "connect" } } },
            route(json!({ "prefix": "/up" }), "app", json!({})),
        ])),
        json!({ "http2_protocol_options": { "allow_connect": true }, "upgrade_configs": [{ "upgrade_type": "websocket" }] }),
    );
    for path in [
        "/exact",
        "/exact?query",
        "/exact?",
        "/exact/",
        "/EXACT",
        "/exact;p",
        "/nocase",
        "/NOCASE?x=Y",
        "/with%20escape",
        "/with%20Escape",
        "/semi;v=1",
        "/semi",
        "/re/abc",
        "/re/abc1",
        "/re/",
        "/re/a?b=1",
        "/re/b/c",
        "/re/b/c/d",
        "/IRE/x",
        "/dot/a/b",
        "/dot/abcd",
        "/uni/%c3%a4",
        "/FLAG/x",
        "/flag/x",
        "/seg",
        "/seg/",
        "/seg/more",
        "/seg?q",
        "/segment",
        "/seg//",
        "/SEG/CASE/x",
        "/pre",
        "/PRE/",
        "/PRE",
        "/prefix",
        "/preamble?x#",
        "/double//slash",
        "/double/slash",
        "/up/..",
        "/up/%2e%2e/x",
        "/up/a//b",
        "/up?a=b?c",
        "/up?",
        "/nothing",
        "/",
    ] {
        a.case(path, "in", get(path));
    }
    a.case("options star", "in", raw("OPTIONS * HTTP/1.1\r\nhost: test\r\n\r\n"));
    a.case("connect", "in", crate::harness::case::turn("CONNECT up:1 HTTP/1.1\r\nhost: up:1\r\n\r\n", "CONNECT"));
    a.case("absolute form", "in", raw("GET http://test/exact HTTP/1.1\r\nhost: test\r\n\r\n"));
    a.case("absolute form upstream", "in", raw("GET http://other:81/up/x?y HTTP/1.1\r\nhost: test\r\n\r\n"));
    a.case("absolute form without path", "in", raw("GET http://test HTTP/1.1\r\nhost: test\r\n\r\n"));
    a.case("h2 exact", "in", h2(get("/exact?x")));
    a.case("h2 connect", "in", h2(request("CONNECT", "").host("up:1")));
    a.case("h2 extended connect", "in", h2(request("CONNECT", "/exact").protocol("websocket")));
    a.case("h2 options star", "in", h2(request("OPTIONS", "*")));
    a
}
