//! Timeouts: status, body, flags and details of each.

use serde_json::json;

use crate::harness::{
    Area,
    answer::{Answer, Ending, status},
    case::{Turn, get, grpc, h2, post, turn},
    config::{any_host, prefix, single_use},
};

/// A head and a part of the body, and then silence.
fn stuck() -> Answer {
    Answer { raw: Some(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart".to_vec()), ending: Ending::Tunnel, ..status(200) }
}

pub fn area() -> Area {
    let mut a = Area::new("timeouts");
    a.logging("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %GRPC_STATUS% %UPSTREAM_CLUSTER% %REQ(:PATH)% %BYTES_SENT%");
    a.cluster("app", &["one"], single_use());
    a.http(
        "in",
        any_host(json!([
            prefix("/route", "app", json!({ "timeout": "0.5s" })),
            prefix("/none", "app", json!({ "timeout": "0s" })),
            prefix("/try", "app", json!({ "timeout": "3s", "retry_policy": { "per_try_timeout": "0.15s" } })),
            prefix("/again", "app", json!({ "timeout": "3s", "retry_policy": { "retry_on": "5xx", "per_try_timeout": "0.15s",
                "retry_back_off": { "base_interval": "0.001s" } } })),
            prefix("/both", "app", json!({ "timeout": "0.5s", "retry_policy": { "retry_on": "5xx", "num_retries": 20, "per_try_timeout": "0.11s",
                "retry_back_off": { "base_interval": "0.001s" } } })),
            prefix("/longtry", "app", json!({ "timeout": "0.5s", "retry_policy": { "retry_on": "5xx", "per_try_timeout": "5s" } })),
            prefix("/tryidle", "app", json!({ "retry_policy": { "retry_on": "5xx", "per_try_idle_timeout": "0.15s",
                "retry_back_off": { "base_interval": "0.001s" } } })),
            prefix("/idle", "app", json!({ "idle_timeout": "0.5s" })),
            prefix("/max", "app", json!({ "max_stream_duration": { "max_stream_duration": "0.5s" } })),
            prefix("/grpcmax", "app", json!({ "max_stream_duration": { "grpc_timeout_header_max": "0.5s" } })),
            prefix("/grpcany", "app", json!({ "max_stream_duration": { "grpc_timeout_header_max": "0s" } })),
            prefix("/grpcoff", "app", json!({ "max_stream_duration": { "grpc_timeout_header_max": "0s", "grpc_timeout_header_offset": "0.1s" } })),
            prefix("/istio", "app", json!({ "timeout": "0.5s", "max_stream_duration": { "grpc_timeout_header_max": "0.5s" } })),
            prefix("/grpcold", "app", json!({ "max_grpc_timeout": "0.5s" })),
            prefix("/", "app", json!({})),
        ])),
        json!({}),
    );
    a.http("requests", any_host(json!([prefix("/", "app", json!({}))])), json!({ "request_timeout": "0.3s" }));
    a.http("headers", any_host(json!([prefix("/", "app", json!({}))])), json!({ "request_headers_timeout": "0.3s" }));
    a.http("idle", any_host(json!([prefix("/", "app", json!({}))])), json!({ "stream_idle_timeout": "0.3s" }));
    a.http("life", any_host(json!([prefix("/", "app", json!({}))])), json!({ "common_http_protocol_options": { "max_stream_duration": "0.3s" } }));
    a.http(
        "internal",
        any_host(json!([prefix("/", "app", json!({ "timeout": "3s" }))])),
        json!({ "use_remote_address": true, "internal_address_config": { "cidr_ranges": [{ "address_prefix": "127.0.0.0", "prefix_len": 8 }] } }),
    );

    let slow = |millis| status(200).delay(millis);
    for path in ["/route", "/try", "/longtry", "/idle", "/max"] {
        a.case(format!("{path} slow"), "in", get(path)).answer(slow(1200));
        a.case(format!("{path} in time"), "in", get(path)).answer(slow(10));
        a.case(format!("{path} slow for grpc"), "in", h2(grpc(path))).answer(slow(1200));
        a.case(format!("{path} slow with a body"), "in", post(path, "hello")).answer(slow(1200));
    }
    a.case("max_stream_duration and a timeout", "in", get("/istio")).answer(slow(1200));
    a.case("max_grpc_timeout without grpc", "in", get("/grpcold")).answer(slow(1200));
    a.case("max_grpc_timeout without grpc-timeout", "in", h2(grpc("/grpcold"))).answer(slow(1200));
    a.case("no timeout", "in", get("/none")).answer(slow(400));
    a.case("tried again in time", "in", get("/again")).answers([slow(900), status(200)]);
    a.case("tried again for nothing", "in", get("/again")).answer(slow(900));
    a.case("idle try", "in", get("/tryidle")).answers([slow(1200), status(200)]);
    for (path, timeout) in [
        ("/grpcmax", "100m"), ("/grpcmax", "9S"), ("/grpcany", "200m"), ("/grpcany", "200000u"), ("/grpcoff", "300m"), ("/grpcold", "1H"),
        ("/", "100m"), ("/grpcany", "nonsense"), ("/grpcany", "100000000m"),
    ] {
        let wait = if path == "/" || timeout.len() > 7 { 300 } else { 1200 };
        a.case(format!("{path} within {timeout}"), "in", h2(grpc(path).header("grpc-timeout", timeout))).answer(slow(wait));
    }
    a.case("grpc-timeout without grpc", "in", get("/grpcany").header("grpc-timeout", "100m")).answer(slow(300));
    a.case("body stops on the way back", "in", get("/idle")).answer(stuck());
    a.case("body stops within the route's time", "in", get("/route")).answer(stuck());
    a.case("body stops within a try's time", "in", get("/try")).answer(slow(20));
    a.case("request stops for the stream's idle time", "idle", post("/", "part").unfinished());
    a.case("answer stops for the stream's idle time", "idle", get("/")).answer(slow(900));
    a.case("idle over h2", "idle", h2(get("/"))).answer(slow(900));
    a.case("request stops for the request's time", "requests", post("/", "part").unfinished());
    a.case("request in time", "requests", post("/", "all")).answer(slow(900));
    a.case("head stops", "headers", turn("GET / HTTP/1.1\r\nhost:", "GET")).lines(0);
    a.case("head in time, answer late", "headers", get("/")).answer(slow(900));
    a.case("life of a stream", "life", get("/")).answer(slow(1200));
    a.case("life of a stream over h2", "life", h2(get("/"))).answer(slow(1200));
    a.case("next stream on the connection", "life", vec![get("/"), get("/")]);
    for (name, value) in [("x-envoy-upstream-rq-timeout-ms", "150"), ("x-envoy-upstream-rq-timeout-ms", "0"), ("x-envoy-upstream-rq-timeout-ms", "nonsense"),
        ("x-envoy-upstream-rq-per-try-timeout-ms", "150"), ("x-envoy-upstream-rq-per-try-timeout-ms", "9000"), ("x-envoy-upstream-rq-timeout-alt-response", "1")] {
        a.case(format!("asked {name} {value}"), "internal", get("/").header(name, value)).answer(slow(900));
        a.case(format!("not believed {name} {value}"), "in", get("/").header(name, value)).answer(slow(50));
    }
    a.case("alternative answer to a timeout", "internal", get("/").header("x-envoy-upstream-rq-timeout-ms", "100").header("x-envoy-upstream-rq-timeout-alt-response", "1"))
        .answer(slow(400));
    a.case("slow request does not count", "in", vec![
        Turn { responses: 0, ..turn("POST /route HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nab", "POST") },
        turn("cd", "POST").pause(400),
    ]).lines(1);
    a
}
