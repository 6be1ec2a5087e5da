//! Circuit breakers, ejection, and upstreams that cannot be reached.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::{Ending, bytes, hang_up, status},
    case::{Turn, get, grpc, h2, post, turn},
    config::{any_host, http2, merged, prefix, single_use},
};

pub fn area() -> Area {
    let mut a = Area::new("limits");
    a.logging("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON% %GRPC_STATUS%");
    let breaker = |members: Value| json!({ "circuit_breakers": { "thresholds": [members] } });
    a.cluster("app", &["one"], single_use());
    a.cluster("app2", &["two"], http2());
    a.cluster("down", &["down"], json!({}));
    a.cluster("down2", &["downtoo"], http2());
    a.cluster("empty", &[], json!({}));
    a.cluster("norequests", &["one"], breaker(json!({ "max_requests": 0 })));
    a.cluster("norequests2", &["two"], merged(breaker(json!({ "max_requests": 0 })), &http2()));
    a.cluster("nopending", &["one"], breaker(json!({ "max_pending_requests": 0 })));
    a.cluster("noconnections", &["one"], breaker(json!({ "max_connections": 0 })));
    a.cluster("noretries", &["one"], breaker(json!({ "max_retries": 0 })));
    a.cluster("high", &["one"], json!({ "circuit_breakers": { "thresholds": [{ "max_requests": 0 }, { "priority": "HIGH", "max_requests": 5 }] } }));
    a.cluster("ejecting", &["e1", "e2"], json!({ "lb_policy": "ROUND_ROBIN", "outlier_detection": { "consecutive_5xx": 2, "interval": "100s",
        "base_ejection_time": "100s", "max_ejection_percent": 50 } }));
    a.cluster("alone", &["e3"], json!({ "outlier_detection": { "consecutive_5xx": 2, "max_ejection_percent": 100, "base_ejection_time": "100s" },
        "common_lb_config": { "healthy_panic_threshold": { "value": 0 } } }));
    a.cluster("panic", &["e4"], json!({ "outlier_detection": { "consecutive_5xx": 2, "max_ejection_percent": 100, "base_ejection_time": "100s" } }));
    a.cluster("gateway", &["e5"], json!({ "outlier_detection": { "consecutive_5xx": 0, "enforcing_consecutive_5xx": 0, "consecutive_gateway_failure": 2,
        "enforcing_consecutive_gateway_failure": 100, "max_ejection_percent": 100 }, "common_lb_config": { "healthy_panic_threshold": { "value": 0 } } }));
    a.cluster("once", &["one"], json!({ "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options": { "max_requests_per_connection": 1 }, "explicit_http_config": { "http_protocol_options": {} } } } }));
    let retry = json!({ "retry_policy": { "retry_on": "5xx", "retry_back_off": { "base_interval": "0.001s" } } });
    a.http(
        "in",
        any_host(json!([
            prefix("/app", "app", json!({})), prefix("/h2", "app2", json!({})), prefix("/down2", "down2", json!({})), prefix("/down", "down", json!({})), prefix("/rdown", "down", retry.clone()), prefix("/empty", "empty", json!({})),
            prefix("/norequests2", "norequests2", json!({})), prefix("/norequests", "norequests", json!({})), prefix("/nopending", "nopending", json!({})), prefix("/noconnections", "noconnections", json!({})),
            prefix("/noretries", "noretries", retry.clone()), prefix("/highlow", "high", json!({})), prefix("/high", "high", json!({ "priority": "HIGH" })),
            prefix("/ejecting", "ejecting", json!({})), prefix("/alone", "alone", json!({})), prefix("/panic", "panic", json!({})), prefix("/gateway", "gateway", json!({})),
            prefix("/once", "once", json!({})), prefix("/rapp", "app", retry.clone()), prefix("/rh2", "app2", retry),
        ])),
        json!({}),
    );
    for path in ["/down", "/down2", "/rdown", "/empty", "/norequests", "/norequests2", "/nopending", "/noconnections", "/highlow", "/high"] {
        a.case(path, "in", get(path));
        a.case(format!("{path} for grpc"), "in", h2(grpc(path)));
    }
    a.case("no retry left", "in", get("/noretries")).answers([status(503), status(200)]);
    a.case("the only host in panic", "in", (0..4).map(|_| get("/panic")).collect::<Vec<_>>()).answer(status(503));
    a.case("one request on a connection", "in", vec![get("/once"), get("/once")]);
    for (what, answer) in [
        ("hangs up", hang_up()),
        ("breaks off", status(200).body("part").ending(Ending::BreakOff)),
        ("claims more", status(200).body("part").framing(crate::harness::answer::Framing::Claimed(100)).ending(Ending::Close)),
        ("claims less", status(200).body("more than that").framing(crate::harness::answer::Framing::Claimed(4)).ending(Ending::Close)),
        ("says nonsense", bytes("nonsense\r\n\r\n")),
        ("speaks of status 99", bytes("HTTP/1.1 99 Low\r\ncontent-length: 0\r\n\r\n")),
        ("speaks of status 999", bytes("HTTP/1.1 999 High\r\ncontent-length: 0\r\n\r\n")),
        ("speaks of status 600", bytes("HTTP/1.1 600 High\r\ncontent-length: 0\r\n\r\n")),
        ("speaks HTTP/1.0", bytes("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi")),
        ("speaks HTTP/1.0 until close", bytes("HTTP/1.0 200 OK\r\n\r\nhi")),
        ("sends two lengths", bytes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi!")),
        ("sends one length twice", bytes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nhi")),
        ("sends length and chunks", bytes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")),
        ("sends a negative length", bytes("HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nhi")),
        ("sends a bad chunk", bytes("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n")),
        ("sends a field without colon", bytes("HTTP/1.1 200 OK\r\nbroken\r\ncontent-length: 0\r\n\r\n")),
        ("sends a folded field", bytes("HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 0\r\n\r\n")),
        ("sends a space before the colon", bytes("HTTP/1.1 200 OK\r\nx-a : b\r\ncontent-length: 0\r\n\r\n")),
        ("ends lines with LF", bytes("HTTP/1.1 200 OK\ncontent-length: 2\n\nhi")),
        ("has no reason", bytes("HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nhi")),
        ("switches unasked", bytes("HTTP/1.1 101 Switching Protocols\r\n\r\nhi")),
        ("has a large head", bytes(format!("HTTP/1.1 200 OK\r\nx-large: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(70_000)))),
        ("has many fields", bytes(format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "x: y\r\n".repeat(120)))),
        ("sends gzip transfer", bytes("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhi")),
        ("sends more than asked", bytes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nho")),
        ("closes inside the head", bytes("HTTP/1.1 200 OK\r\nx-a: ")),
    ] {
        a.case(format!("upstream {what}"), "in", get("/app")).answer(answer.clone());
        a.case(format!("upstream {what}, over h2"), "in", h2(get("/app"))).answer(answer);
    }
    for (what, answer) in [
        ("resets", status(200).ending(Ending::Reset)),
        ("refuses", status(200).ending(Ending::Refuse)),
        ("breaks off", status(200).body("part").ending(Ending::BreakOff)),
    ] {
        a.case(format!("h2 upstream {what}"), "in", h2(get("/h2"))).answer(answer.clone());
        a.case(format!("h2 upstream {what}, twice"), "in", h2(get("/rh2"))).answer(answer.clone());
        a.case(format!("h2 upstream {what} on grpc"), "in", h2(grpc("/h2"))).answer(answer);
    }
    a.case("hangs up twice", "in", get("/rapp")).answer(hang_up());
    a.case("answers before the request is complete", "in", vec![
        Turn::from(&post("/app", "part").unfinished()).responses(0),
        turn("x", "POST"),
    ]).lines(1);
    a
}
