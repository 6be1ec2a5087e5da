//! Retries: which answers, how often, and what the upstream and the client see of it.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::{Answer, Ending, bytes, hang_up, status},
    case::{get, grpc, h2, post},
    config::{any_host, http2, merged, prefix, single_use},
};

const CONDITIONS: &[&str] = &[
    "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "refused-stream", "retriable-4xx", "envoy-ratelimited",
    "retriable-status-codes", "retriable-headers", "cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable",
];

fn failures() -> Vec<(&'static str, Answer)> {
    vec![
        ("500", status(500)),
        ("502", status(502)),
        ("409", status(409)),
        ("404", status(404)),
        ("418", status(418)),
        ("ratelimited 429", status(429).header("x-envoy-ratelimited", "true")),
        ("ratelimited 503", status(503).header("x-envoy-ratelimited", "true")),
        ("header", status(200).header("x-retry", "1")),
        ("close", hang_up()),
    ]
}

fn grpc_failures() -> Vec<(&'static str, Answer)> {
    let failure = |code: &str| status(200).header("content-type", "application/grpc").header("grpc-status", code).body("");
    vec![
        ("grpc 1", failure("1")),
        ("grpc 4", failure("4")),
        ("grpc 8", failure("8")),
        ("grpc 13", failure("13")),
        ("grpc 14", failure("14")),
        ("grpc 2", failure("2")),
        ("refused", status(200).ending(Ending::Refuse)),
        ("reset", status(200).ending(Ending::Reset)),
        ("503", status(503).body("")),
    ]
}

pub fn area() -> Area {
    let mut a = Area::new("retries");
    a.logging("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %GRPC_STATUS%");
    a.cluster("app", &["one"], single_use());
    a.cluster("app2", &["two"], http2());
    a.cluster("down", &["down"], json!({}));
    a.cluster("half", &["down1", "one"], json!({}));
    let fast = json!({ "base_interval": "0.001s", "max_interval": "0.002s" });
    let retry = |on: &str, more: Value| json!({ "retry_policy": merged(json!({ "retry_on": on, "retry_back_off": fast }), &more) });
    let mut routes: Vec<Value> = Vec::new();
    let all = json!({ "retriable_status_codes": [418], "retriable_headers": [{ "name": "x-retry", "present_match": true }] });
    for on in CONDITIONS {
        routes.push(prefix(&format!("/h1/{on}"), "app", retry(on, all.clone())));
        routes.push(prefix(&format!("/h2/{on}"), "app2", retry(on, all.clone())));
        routes.push(prefix(&format!("/down/{on}"), "down", retry(on, all.clone())));
    }
    // Longer names first: `reset` is a prefix of `reset-before-request`.
    routes.sort_by_key(|r| std::cmp::Reverse(r["match"]["prefix"].as_str().map_or(0, str::len)));
    routes.extend([
        prefix("/n0", "app", retry("5xx", json!({ "num_retries": 0 }))),
        prefix("/n3", "app", retry("5xx", json!({ "num_retries": 3 }))),
        prefix("/several", "app", retry("gateway-error,retriable-4xx", json!({}))),
        prefix("/spaces", "app", retry("gateway-error, retriable-4xx", json!({}))),
        prefix("/only", "app", retry("5xx", json!({ "retriable_request_headers": [{ "name": ":method", "string_match": { "exact": "GET" } }] }))),
        prefix("/previous", "half", retry("connect-failure", json!({ "host_selection_retry_max_attempts": 5,
            "retry_host_predicate": [{ "name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate" } }] }))),
        prefix("/limited", "app", retry("5xx", json!({ "rate_limited_retry_back_off": { "reset_headers": [
            { "name": "retry-after", "format": "SECONDS" }], "max_interval": "2s" } }))),
        prefix("/small", "app", merged(retry("5xx", json!({})), &json!({}))),
        prefix("/", "app", json!({})),
    ]);
    for route in &mut routes {
        if route["match"]["prefix"] == "/small" {
            route["per_request_buffer_limit_bytes"] = json!(4);
        }
    }
    a.http("in", any_host(json!(routes)), json!({}));
    a.http("hosts", json!([{ "name": "all", "domains": ["*"], "include_request_attempt_count": true, "include_attempt_count_in_response": true,
        "retry_policy": { "retry_on": "5xx", "retry_back_off": fast }, "routes": [
            prefix("/own", "app", retry("retriable-4xx", json!({}))),
            prefix("/", "app", json!({})),
        ] }]), json!({}));
    a.http("trusting", any_host(json!([prefix("/own", "app", retry("gateway-error", json!({}))), prefix("/", "app", json!({}))])),
        json!({ "use_remote_address": true, "internal_address_config": { "cidr_ranges": [{ "address_prefix": "127.0.0.0", "prefix_len": 8 }] } }));

    for on in CONDITIONS {
        for (what, answer) in failures() {
            a.case(format!("{on} of {what}"), "in", get(&format!("/h1/{on}"))).answers([answer, status(200)]);
        }
        for (what, answer) in grpc_failures() {
            a.case(format!("{on} of {what}"), "in", h2(grpc(&format!("/h2/{on}")))).answers([answer, status(200).body("")]);
        }
        a.case(format!("{on} of nobody there"), "in", get(&format!("/down/{on}")));
    }
    let e = || status(500);
    a.case("limit reached", "in", get("/h1/5xx")).answer(e());
    a.case("num_retries 0", "in", get("/n0")).answers([e(), status(200)]);
    a.case("num_retries 3 enough", "in", get("/n3")).answers([e(), e(), e(), status(200)]);
    a.case("num_retries 3 too few", "in", get("/n3")).answers([e(), e(), e(), status(502), status(200)]);
    a.case("several, first", "in", get("/several")).answers([status(502), status(200)]);
    a.case("several, second", "in", get("/several")).answers([status(409), status(200)]);
    a.case("with spaces", "in", get("/spaces")).answers([status(409), status(200)]);
    a.case("listed codes", "in", get("/codes")).answers([status(429), status(200)]);
    a.case("only requests with the header", "in", get("/only")).answers([e(), status(200)]);
    a.case("other requests", "in", post("/only", "x")).answers([e(), status(200)]);
    a.case("a body is sent again", "in", post("/h1/5xx", "the body")).answers([e(), status(200)]);
    a.case("a chunked body with trailers is sent again", "in", post("/h1/5xx", "the body").trailer("x-t", "1")).answers([e(), status(200)]);
    a.case("a body that was not kept", "in", post("/small", "the body")).answers([e(), status(200)]);
    a.case("garbage", "in", get("/h1/5xx")).answers([bytes("garbage\r\n\r\n"), status(200)]);
    a.case("garbage is a reset", "in", get("/h1/reset")).answers([bytes("garbage\r\n\r\n"), status(200)]);
    a.case("asked wait too long", "in", get("/limited")).answers([status(503).header("retry-after", "100"), status(200)]);
    a.case("a broken body is not tried again", "in", get("/h1/5xx")).answers([status(200).body("part").ending(Ending::BreakOff), status(200)]).closes();
    a.case("policy of the virtual host", "hosts", get("/")).answers([e(), status(200)]);
    a.case("own policy instead of the virtual host's", "hosts", get("/own")).answers([e(), status(200)]);
    a.case("own policy of the route", "hosts", get("/own")).answers([status(409), status(200)]);
    let asked = |on: &str| get("/").header("x-envoy-retry-on", on);
    a.case("asked by the client", "trusting", asked("5xx")).answers([e(), status(200)]);
    a.case("asked by the client, twice", "trusting", asked("5xx").header("x-envoy-max-retries", "2")).answers([e(), e(), status(200)]);
    a.case("asked for none", "trusting", asked("5xx").header("x-envoy-max-retries", "0")).answers([e(), status(200)]);
    a.case("asked for codes", "trusting", asked("retriable-status-codes").header("x-envoy-retriable-status-codes", "418,419")).answers([status(419), status(200)]);
    a.case("asked for headers", "trusting", asked("retriable-headers").header("x-envoy-retriable-header-names", "x-again,x-other")).answers([status(200).header("x-again", "1"), status(200)]);
    a.case("asked beside the policy", "trusting", get("/own").header("x-envoy-retry-on", "retriable-4xx")).answers([status(409), status(502), status(200)]);
    a.case("asked grpc", "trusting", get("/").header("x-envoy-retry-grpc-on", "unavailable")).answers([status(200).header("grpc-status", "14"), status(200)]);
    a.case("asked nonsense count", "trusting", asked("5xx").header("x-envoy-max-retries", "many")).answers([e(), status(200)]);
    a.case("asked, not believed", "in", asked("5xx")).answers([e(), status(200)]);
    a
}
