//! The filter `grpc_web`: requests of browsers become gRPC, and responses what browsers read.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::{Answer, Ending, status},
    case::{Request, get, h2, post, request},
    config::{any_host, filter, http2, prefix, router},
};

/// A request of a message, or of two.
fn web(kind: &str, target: &str) -> Request {
    let frame = "\0\0\0\0\x02hi";
    let body = if kind.contains("text") { STANDARD.encode(frame) } else { frame.to_owned() };
    post(target, &body).header("content-type", kind)
}

fn reply(code: &str) -> Answer {
    status(200)
        .header("content-type", "application/grpc")
        .body("\0\0\0\0\x02ok\x01\0\0\0\0\0\0\0\0\x05hello")
        .trailer("grpc-status", code)
        .trailer("grpc-message", "a%20b")
        .trailer("X-Case", "Kept")
}

pub fn area() -> Area {
    let mut a = Area::new("grpc web");
    a.logging("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%");
    a.cluster("app", &["one"], http2());
    a.cluster("down", &["down"], http2());
    let web_filter =
        || filter("envoy.filters.http.grpc_web", "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb", json!({}));
    let buffer = || filter("envoy.filters.http.buffer", "envoy.extensions.filters.http.buffer.v3.Buffer", json!({ "max_request_bytes": 1000 }));
    let routes = || {
        any_host(json!([
            prefix("/down", "down", json!({})),
            { "match": { "prefix": "/direct" }, "direct_response": { "status": 503, "body": { "inline_string": "a b%\"\u{e4}" } } },
            prefix("/app", "app", json!({})),
        ]))
    };
    let with = |filters: Vec<Value>| json!({ "http_filters": filters });
    a.http("in", routes(), with(vec![web_filter(), router()]));
    a.http("held", routes(), with(vec![buffer(), web_filter(), router()]));
    a.http("holds", routes(), with(vec![web_filter(), buffer(), router()]));
    a.http("without", routes(), json!({}));
    const KINDS: &[&str] = &[
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web-text",
        "application/grpc-web-text+proto",
        "application/grpc-web+json",
        "application/grpc-web; charset=x",
        "Application/Grpc-Web",
        "application/grpc",
    ];
    for kind in KINDS {
        a.case(format!("{kind} over h2"), "in", h2(web(kind, "/app"))).answer(reply("5"));
        a.case(format!("{kind} without the filter"), "without", h2(web(kind, "/app"))).answer(reply("0"));
    }
    for kind in &KINDS[..4] {
        a.case(format!("{kind} over h1"), "in", web(kind, "/app")).answer(reply("0"));
        a.case(format!("{kind} wants text"), "in", web(kind, "/app").header("accept", "application/grpc-web-text")).answer(reply("0"));
    }
    let kind = "application/grpc-web-text+proto";
    let text = |target: &str| web(kind, target).header("accept", kind);
    let plain = |target: &str| web("application/grpc-web+proto", target);
    for listener in ["held", "holds"] {
        a.case(format!("{listener} text"), listener, text("/app")).answer(reply("0"));
        a.case(format!("{listener} plain"), listener, h2(plain("/app"))).answer(reply("0"));
    }
    for (name, answer) in [
        ("trailers only", status(200).header("content-type", "application/grpc").header("grpc-status", "5").header("grpc-message", "m").body("")),
        ("no trailers", status(200).header("content-type", "application/grpc").body("\0\0\0\0\x02ok")),
        ("trailers alone", status(200).header("content-type", "application/grpc").body("").trailer("grpc-status", "0")),
        ("no grpc", status(200).header("content-type", "text/html").body("<p>100% \u{e4}")),
        ("no grpc, no body", status(404).body("")),
        ("error", status(503).body("out of order")),
        ("error as grpc", status(503).header("content-type", "application/grpc").body("out of order")),
        ("web already", status(200).header("content-type", "application/grpc-web+proto").body("\0\0\0\0\x02ok")),
        ("error with trailers", status(500).body("broken").trailer("x-t", "1")),
        ("resets", status(200).ending(Ending::Reset)),
        ("breaks off", reply("0").ending(Ending::BreakOff)),
    ] {
        a.case(format!("{name}, text"), "in", text("/app")).answer(answer.clone());
        a.case(format!("{name}, plain"), "in", h2(plain("/app"))).answer(answer);
    }
    for target in ["/direct", "/down", "/none"] {
        a.case(format!("text {target}"), "in", h2(text(target)));
        a.case(format!("plain {target}"), "in", h2(plain(target)));
    }
    a.case("head", "in", request("HEAD", "/direct").header("content-type", kind));
    a.case("without a body", "in", request("POST", "/app").header("content-type", kind)).answer(reply("0"));
    a.case("get", "in", get("/app").header("content-type", kind)).answer(reply("0"));
    a.case("own fields", "in", plain("/app").header("te", "gzip").header("grpc-accept-encoding", "gzip")).answer(reply("0"));
    a.case("chunked", "in", text("/app").chunked()).answer(reply("0"));
    a.case("not base64", "in", post("/app", "!!!!").header("content-type", kind)).answer(reply("0"));
    a.case("base64 cut off", "in", post("/app", "AAAAA").header("content-type", kind)).answer(reply("0"));
    a
}
