//! External authorization over gRPC and HTTP: what the service is asked, and what its answers do.

use prost::Message as _;
use serde_json::{Value, json};
use tulle_proto::envoy::{
    auth::{CheckResponse, DeniedHttpResponse, OkHttpResponse, check_response::HttpResponse},
    core::{HeaderValue, HeaderValueOption, QueryParameter},
    kind, rpc,
};

use crate::harness::{
    Area,
    answer::{Answer, hang_up, status},
    case::{Request, get, grpc, h2, post},
    config::{any_host, filter, http2, merged, prefix, router, single_use},
};

/// A gRPC answer of one message.
pub fn message(bytes: &[u8]) -> Answer {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    let body = [&[0], &length[..], bytes].concat();
    status(200).header("content-type", "application/grpc").body(body).trailer("grpc-status", "0")
}

fn check(code: i32, response: Option<HttpResponse>) -> Answer {
    let status = (code != 0).then(|| rpc::Status { code, ..Default::default() });
    message(&CheckResponse { status, http_response: response, ..Default::default() }.encode_to_vec())
}

fn field(key: &str, value: &str, action: i32) -> HeaderValueOption {
    let header = HeaderValue { key: key.into(), value: value.into(), raw_value: Vec::new() };
    HeaderValueOption { header: Some(header), append_action: action, ..Default::default() }
}

fn yes(change: impl FnOnce(&mut OkHttpResponse)) -> Answer {
    let mut ok = OkHttpResponse::default();
    change(&mut ok);
    check(0, Some(HttpResponse::OkResponse(ok)))
}

fn no(code: i32, body: &str, headers: Vec<HeaderValueOption>) -> Answer {
    let status = (code != 0).then_some(kind::HttpStatus { code });
    check(7, Some(HttpResponse::DeniedResponse(DeniedHttpResponse { status, headers, body: body.into() })))
}

pub fn area() -> Area {
    let mut a = Area::new("ext authz");
    a.logging("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%");
    a.cluster("app", &["one"], json!({}));
    a.cluster("auth", &["auth"], http2());
    a.cluster("web", &["web"], single_use());
    a.cluster("down", &["down"], http2());
    let own = |change: Value| {
        let kind = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute";
        json!({ "typed_per_filter_config": { "a": merged(json!({ "@type": kind }), &change) } })
    };
    let routes = || {
        any_host(json!([
            merged(prefix("/off", "app", json!({})), &own(json!({ "disabled": true }))),
            merged(prefix("/extended", "app", json!({})), &own(json!({ "check_settings": { "context_extensions": { "a": "1", "b": "2" } } }))),
            merged(prefix("/bodiless", "app", json!({})), &own(json!({ "check_settings": { "disable_request_body_buffering": true } }))),
            { "match": { "prefix": "/direct" }, "direct_response": { "status": 200, "body": { "inline_string": "direct" } } },
            prefix("/", "app", json!({})),
        ]))
    };
    let authz = |more: Value| {
        let config = merged(json!({ "transport_api_version": "V3" }), &more);
        json!({ "http_filters": [filter("a", "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", config), router()] })
    };
    let service = |cluster: &str| json!({ "grpc_service": { "envoy_grpc": { "cluster_name": cluster }, "timeout": "1s" } });
    let http = |more: Value| {
        json!({ "http_service": merged(json!({ "server_uri": { "uri": "http://web.test", "cluster": "web", "timeout": "1s" } }), &more) })
    };
    let with = |more: Value| merged(service("auth"), &more);
    for (name, config) in [
        ("grpc", service("auth")),
        ("body", with(json!({ "with_request_body": { "max_request_bytes": 10, "allow_partial_message": true } }))),
        ("whole", with(json!({ "with_request_body": { "max_request_bytes": 10 } }))),
        ("bytes", with(json!({ "with_request_body": { "max_request_bytes": 100, "pack_as_bytes": true } }))),
        ("listed", with(json!({ "allowed_headers": { "patterns": [{ "prefix": "x-" }] }, "disallowed_headers": { "patterns": [{ "exact": "x-b" }] } }))),
        ("open", with(json!({ "failure_mode_allow": true, "failure_mode_allow_header_add": true }))),
        ("status", with(json!({ "status_on_error": { "code": "ServiceUnavailable" } }))),
        ("clearing", with(json!({ "clear_route_cache": true }))),
        ("down", service("down")),
        ("downopen", merged(service("down"), &json!({ "failure_mode_allow": true }))),
        ("http", http(json!({}))),
        ("httppath", http(json!({ "path_prefix": "/check", "authorization_request": { "headers_to_add": [{ "key": "x-added", "value": "1" }] },
            "authorization_response": { "allowed_upstream_headers": { "patterns": [{ "prefix": "x-up" }] }, "allowed_upstream_headers_to_append": { "patterns": [{ "exact": "x-more" }] },
                "allowed_client_headers": { "patterns": [{ "exact": "x-client" }] }, "allowed_client_headers_on_success": { "patterns": [{ "exact": "x-good" }] } } }))),
        ("httpbody", merged(http(json!({})), &json!({ "with_request_body": { "max_request_bytes": 10, "allow_partial_message": true } }))),
        ("httplisted", merged(http(json!({})), &json!({ "allowed_headers": { "patterns": [{ "prefix": "x-" }] } }))),
    ] {
        a.http(name, routes(), authz(config));
    }
    let full = |path: &str| get(path).header("x-a", "1").header("x-a", "2").header("x-b", "b").header("user-agent", "t").header("cookie", "c=1");
    let ok = || yes(|_| {});
    let mut ask = |name: &str, listener: &str, request: Request, answer: Answer| {
        a.case(format!("{listener} {name}"), listener, request).answer_of("auth", answer.clone()).answer_of("web", answer);
    };
    for listener in ["grpc", "listed", "open", "status", "clearing"] {
        ask("allowed", listener, full("/app?q=1"), ok());
        ask("refused without words", listener, full("/app"), check(7, None));
        ask("refused by a status alone", listener, full("/app"), check(16, None));
        ask("fails", listener, get("/app"), message(b"\xff\xff\xff"));
        ask("fails by status", listener, get("/app"), status(200).header("content-type", "application/grpc").header("grpc-status", "14").body(""));
        ask("is no grpc", listener, get("/app"), status(500).body("broken"));
        ask("hangs up", listener, get("/app"), hang_up());
        ask("late", listener, get("/app"), ok().delay(1500));
    }
    for path in ["/off", "/extended", "/bodiless", "/direct", "/none"] {
        ask(path, "grpc", post(path, "the body"), ok());
        ask(path, "body", post(path, "the body"), ok());
    }
    for listener in ["body", "whole", "bytes"] {
        for length in [0, 10, 11, 200] {
            ask(&format!("{length}"), listener, post("/app", &"b".repeat(length)), ok());
            ask(&format!("{length} chunked"), listener, post("/app", &"b".repeat(length)).chunked(), ok());
        }
        ask("a claim", listener, post("/app", "body").header("x-envoy-auth-partial-body", "false"), ok());
    }
    for listener in ["down", "downopen"] {
        ask("nobody there", listener, get("/app"), ok());
    }
    for (what, code, body, headers) in [
        ("401", 401, "who are you?", vec![]),
        ("no status", 0, "text", vec![]),
        ("redirect", 302, "", vec![field("location", "http://login.test/", 2)]),
        ("with fields", 403, "no", vec![field("x-a", "1", 0), field("x-a", "2", 0), field("content-type", "text/html", 2)]),
        ("strange fields", 403, "no", vec![field("content-length", "100", 2), field("connection", "close", 2), field(":status", "200", 2)]),
    ] {
        ask(&format!("refuses {what}"), "grpc", get("/app"), no(code, body, headers));
    }
    let grown = |r: Request| r.header("x-a", "client").header("x-gone", "1").header("x-c", "client");
    ask("adds and removes", "grpc", grown(get("/app")), yes(|ok| {
        ok.headers = vec![field("x-a", "appended", 0), field("x-b", "absent", 1), field("x-c", "over", 2), field("x-d", "only", 3)];
        ok.headers_to_remove = vec!["x-gone".into(), "host".into(), ":path".into()];
        ok.response_headers_to_add = vec![field("x-told", "1", 0), field("server", "auth", 2)];
    }));
    ask("changes the query", "grpc", get("/app?a=1&b=2&a=3"), yes(|ok| {
        ok.query_parameters_to_set = vec![QueryParameter { key: "c".into(), value: "4 5".into() }, QueryParameter { key: "b".into(), value: "9".into() }];
        ok.query_parameters_to_remove = vec!["a".into()];
    }));
    ask("changes the host", "grpc", get("/app"), yes(|ok| ok.headers = vec![field(":authority", "other.test", 2)]));
    ask("changes the path", "clearing", get("/app"), yes(|ok| ok.headers = vec![field(":path", "/direct", 2)]));
    for listener in ["http", "httppath", "httpbody", "httplisted"] {
        ask("allowed", listener, full("/app?q=1"), status(200).header("x-up", "1").header("x-more", "2").header("x-good", "3").header("x-client", "4"));
        ask("post", listener, post("/app", "a body that is longer").header("x-a", "1").header("x-more", "client"), status(200).header("x-more", "2"));
        ask("refused", listener, get("/app"), status(403).header("x-client", "4").header("x-other", "5").header("www-authenticate", "Basic").body("no"));
        ask("redirects", listener, get("/app"), status(302).header("location", "http://login.test/"));
        ask("created", listener, get("/app"), status(201).body("made"));
        ask("broken", listener, get("/app"), status(500).body("broken"));
        ask("hangs up", listener, get("/app"), hang_up());
        ask("late", listener, get("/app"), status(200).delay(1500));
    }
    a.case("refused grpc", "grpc", h2(grpc("/app"))).answer_of("auth", no(401, "who?", vec![]));
    a.case("refused over h2", "grpc", h2(get("/app"))).answer_of("auth", no(401, "who?", vec![]));
    a
}
