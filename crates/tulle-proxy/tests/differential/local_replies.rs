//! `local_reply_config`: status, body, fields and form of responses that the proxy makes itself.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::{hang_up, status},
    case::{get, grpc, h2, raw, request},
    config::{any_host, http2, merged, prefix, single_use},
};

fn mapper(filter: Value, change: Value) -> Value {
    merged(json!({ "filter": filter }), &change)
}

fn code(op: &str, value: u32) -> Value {
    json!({ "status_code_filter": { "comparison": { "op": op, "value": { "default_value": value, "runtime_key": "k" } } } })
}

pub fn area() -> Area {
    let mut a = Area::new("local replies");
    a.logging("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_SENT% %RESP(x-own)% %GRPC_STATUS%");
    a.cluster("app", &["one"], single_use());
    a.cluster("down", &["down"], http2());
    let routes = || {
        any_host(json!([
            prefix("/app", "app", json!({})),
            prefix("/down", "down", json!({})),
            prefix("/gone", "nowhere", json!({})),
            { "match": { "prefix": "/tea" }, "direct_response": { "status": 418, "body": { "inline_string": "tea" } } },
            { "match": { "prefix": "/own" }, "direct_response": { "status": 503, "body": { "inline_string": "own" } },
              "response_headers_to_add": [{ "header": { "key": "content-type", "value": "text/own" }, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" }] },
            { "match": { "prefix": "/empty" }, "direct_response": { "status": 500 } },
            { "match": { "prefix": "/redirect" }, "redirect": { "path_redirect": "/x" } },
        ]))
    };
    let replies = |config: Value| json!({ "local_reply_config": config });
    let text = |format: &str| json!({ "text_format_source": { "inline_string": format } });
    let own = json!([{ "header": { "key": "x-own", "value": "%RESPONSE_CODE%/%REQ(x-a)%" }, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" }]);
    for (name, config) in [
        ("status", json!({ "mappers": [mapper(code("EQ", 503), json!({ "status_code": 504 }))] })),
        ("body", json!({ "mappers": [mapper(code("GE", 400), json!({ "body": { "inline_string": "changed" } }))] })),
        ("gone", json!({ "mappers": [mapper(code("GE", 400), json!({ "body": { "inline_string": "" } }))] })),
        ("headers", json!({ "mappers": [mapper(code("GE", 400), json!({ "headers_to_add": own }))] })),
        ("type", json!({ "mappers": [mapper(code("GE", 400), json!({ "body": { "inline_string": "<p>" }, "headers_to_add": [
            { "header": { "key": "content-type", "value": "text/html" }, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" }] }))] })),
        ("format", json!({ "body_format": text("<%LOCAL_REPLY_BODY%> %RESPONSE_CODE% %REQ(:path)% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n") })),
        ("html", json!({ "body_format": merged(text("<b>%LOCAL_REPLY_BODY%</b>"), &json!({ "content_type": "text/html; charset=UTF-8" })) })),
        ("json", json!({ "body_format": { "json_format": { "code": "%RESPONSE_CODE%", "text": "%LOCAL_REPLY_BODY%", "a": "%REQ(x-a)%", "path": "%REQ(:path)%" } } })),
        ("several", json!({ "mappers": [
            mapper(json!({ "response_flag_filter": { "flags": ["NR"] } }), json!({ "status_code": 403, "body": { "inline_string": "no route" } })),
            mapper(json!({ "and_filter": { "filters": [code("EQ", 503), { "header_filter": { "header": { "name": "x-a", "present_match": true } } }] } }),
                json!({ "body_format_override": text("a: %LOCAL_REPLY_BODY%"), "headers_to_add": own })),
            mapper(code("EQ", 418), json!({ "status_code": 200, "body_format_override": { "json_format": { "b": "%LOCAL_REPLY_BODY%" } } })),
            mapper(code("GE", 300), json!({ "status_code": 599 })),
        ], "body_format": text("all: %LOCAL_REPLY_BODY%") })),
        ("grpc", json!({ "mappers": [mapper(code("EQ", 503), json!({ "status_code": 401, "headers_to_add": [
            { "header": { "key": "grpc-status", "value": "7" }, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" }] }))] })),
    ] {
        a.http(name, routes(), replies(config));
        for path in ["/app", "/down", "/gone", "/tea", "/own", "/empty", "/redirect", "/none"] {
            a.case(format!("{name} {path}"), name, get(path).header("x-a", "1")).answer(hang_up());
        }
        a.case(format!("{name} without the field"), name, get("/gone"));
        a.case(format!("{name} head"), name, request("HEAD", "/tea"));
        a.case(format!("{name} upstream error"), name, get("/app")).answer(status(503).body("from upstream"));
        a.case(format!("{name} over h2"), name, h2(get("/own").header("x-a", "1")));
        for path in ["/down", "/tea", "/none"] {
            a.case(format!("{name} grpc {path}"), name, h2(grpc(path)));
        }
        a.case(format!("{name} malformed"), name, raw("GET / HTTP/1.1\r\nhost: test\r\nbroken\r\n\r\n"));
    }
    a
}
