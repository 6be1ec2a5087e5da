//! The rate limit service: what it is asked, and what its answers do.

use prost::Message as _;
use serde_json::{Value, json};
use tulle_proto::envoy::{
    core::HeaderValue,
    google,
    ratelimit::{
        RateLimitResponse,
        rate_limit_response::{Code, DescriptorStatus, RateLimit, rate_limit::Unit},
    },
};

use super::ext_authz::message;
use crate::harness::{
    Area,
    answer::{hang_up, status},
    case::{get, grpc, h2, post},
    config::{any_host, filter, http2, merged, prefix, router},
};

fn says(code: Code, change: impl FnOnce(&mut RateLimitResponse)) -> crate::harness::answer::Answer {
    let mut response = RateLimitResponse { overall_code: code.into(), ..Default::default() };
    change(&mut response);
    message(&response.encode_to_vec())
}

pub fn area() -> Area {
    let mut a = Area::new("rate limits");
    a.logging("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%");
    a.cluster("app", &["one"], json!({}));
    a.cluster("rls", &["rls"], http2());
    a.cluster("down", &["down"], http2());
    let limits = |actions: Value| json!({ "route": { "cluster": "app", "rate_limits": actions } });
    let route = |path: &str, actions: Value| merged(json!({ "match": { "prefix": path } }), &limits(actions));
    let generic = json!({ "generic_key": { "descriptor_value": "all" } });
    let routes = || {
        any_host(json!([
            route("/generic", json!([{ "actions": [generic] }])),
            route("/key", json!([{ "actions": [{ "generic_key": { "descriptor_key": "k", "descriptor_value": "v" } }] }])),
            route("/header", json!([{ "actions": [{ "request_headers": { "header_name": "x-a", "descriptor_key": "a" } }] }])),
            route("/maybe", json!([{ "actions": [generic, { "request_headers": { "header_name": "x-none", "descriptor_key": "a", "skip_if_absent": true } }] }])),
            route("/address", json!([{ "actions": [{ "remote_address": {} }] }])),
            route("/masked", json!([{ "actions": [{ "masked_remote_address": { "v4_prefix_mask_len": 16 } }] }])),
            route("/clusters", json!([{ "actions": [{ "source_cluster": {} }, { "destination_cluster": {} }] }])),
            route("/value", json!([{ "actions": [{ "header_value_match": { "descriptor_value": "post", "headers": [{ "name": ":method", "string_match": { "exact": "POST" } }] } }] }])),
            route("/notvalue", json!([{ "actions": [{ "header_value_match": { "descriptor_value": "n", "expect_match": false, "headers": [{ "name": ":method", "string_match": { "exact": "POST" } }] } }] }])),
            route("/query", json!([{ "actions": [{ "query_parameter_value_match": { "descriptor_value": "q", "query_parameters": [{ "name": "q", "string_match": { "exact": "1" } }] } }] }])),
            route("/several", json!([{ "actions": [generic] }, { "actions": [{ "remote_address": {} }] }, { "stage": 1, "actions": [{ "generic_key": { "descriptor_value": "later" } }] }])),
            route("/metadata", json!([{ "actions": [{ "metadata": { "descriptor_key": "m", "default_value": "d", "metadata_key": { "key": "com.test", "path": [{ "key": "x" }] } } }] }])),
            route("/limited", json!([{ "actions": [generic], "limit": { "dynamic_metadata": { "metadata_key": { "key": "com.test", "path": [{ "key": "x" }] } } } }])),
            prefix("/", "app", json!({})),
        ]))
    };
    let limit = |cluster: &str, more: Value| {
        let config = merged(
            json!({ "domain": "shop", "timeout": "1s", "rate_limit_service": { "grpc_service": { "envoy_grpc": { "cluster_name": cluster } }, "transport_api_version": "V3" } }),
            &more,
        );
        json!({ "http_filters": [filter("r", "envoy.extensions.filters.http.ratelimit.v3.RateLimit", config), router()] })
    };
    for (name, config) in [
        ("in", limit("rls", json!({}))),
        ("draft", limit("rls", json!({ "enable_x_ratelimit_headers": "DRAFT_VERSION_03" }))),
        ("deny", limit("rls", json!({ "failure_mode_deny": true }))),
        ("later", limit("rls", json!({ "stage": 1 }))),
        ("exhausted", limit("rls", json!({ "rate_limited_as_resource_exhausted": true }))),
        ("quiet", limit("rls", json!({ "disable_x_envoy_ratelimited_header": true }))),
        ("own", limit("rls", json!({ "rate_limited_status": { "code": "ServiceUnavailable" }, "response_headers_to_add": [{ "header": { "key": "x-limited", "value": "yes" } }] }))),
        ("internal", limit("rls", json!({ "request_type": "internal" }))),
        ("down", limit("down", json!({}))),
        ("downdeny", limit("down", json!({ "failure_mode_deny": true, "status_on_error": { "code": "BadGateway" } }))),
    ] {
        a.http(name, routes(), config);
    }
    let ok = || says(Code::Ok, |_| {});
    for path in ["/generic", "/key", "/header", "/maybe", "/address", "/masked", "/clusters", "/value", "/notvalue", "/query?q=1", "/several", "/metadata", "/limited", "/"] {
        a.case(path, "in", get(path).header("x-a", "1").header("x-a", "2")).answer_of("rls", ok());
        a.case(format!("{path} post over h2"), "in", h2(post(path, "b"))).answer_of("rls", ok());
    }
    a.case("header is missing", "in", get("/header")).answer_of("rls", ok());
    let told = |code: Code| {
        says(code, |response| {
            let limit = |n: u32, unit: Unit| RateLimit { name: String::new(), requests_per_unit: n, unit: unit.into() };
            let one = |n: u32, left: u32, unit| DescriptorStatus {
                code: code.into(),
                current_limit: Some(limit(n, unit)),
                limit_remaining: left,
                duration_until_reset: Some(google::Duration { seconds: 30, nanos: 0 }),
                ..Default::default()
            };
            response.statuses = vec![one(100, 40, Unit::Minute), one(10, 5, Unit::Second)];
            let header = |key: &str, value: &str| HeaderValue { key: key.into(), value: value.into(), raw_value: Vec::new() };
            response.response_headers_to_add = vec![header("x-told", "1"), header("x-told", "2")];
            response.request_headers_to_add = vec![header("x-asked", "1")];
        })
    };
    for listener in ["in", "draft", "deny", "later", "exhausted", "quiet", "own", "internal"] {
        let path = "/several";
        a.case(format!("{listener} passes"), listener, get(path)).answer_of("rls", told(Code::Ok));
        a.case(format!("{listener} limits"), listener, get(path)).answer_of("rls", told(Code::OverLimit));
        a.case(format!("{listener} limits grpc"), listener, h2(grpc(path))).answer_of("rls", told(Code::OverLimit));
        a.case(format!("{listener} is unknown"), listener, get(path)).answer_of("rls", says(Code::Unknown, |_| {}));
        a.case(format!("{listener} says more"), listener, get(path)).answer_of("rls", says(Code::OverLimit, |r| r.raw_body = b"too many".to_vec()));
        a.case(format!("{listener} fails"), listener, get(path)).answer_of("rls", status(500));
        a.case(format!("{listener} hangs up"), listener, get(path)).answer_of("rls", hang_up());
        a.case(format!("{listener} late"), listener, get(path)).answer_of("rls", ok().delay(1500));
    }
    for listener in ["down", "downdeny"] {
        a.case(format!("{listener} nobody there"), listener, get("/generic"));
        a.case(format!("{listener} nothing to ask"), listener, get("/"));
    }
    a
}
