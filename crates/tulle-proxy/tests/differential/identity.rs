//! Who the client is, what is believed, and what the proxy says about itself.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::status,
    case::{Request, get, h2, post},
    config::{any_host, merged, prefix, router},
};

/// A request with every header that could steer the proxy.
fn steering() -> Request {
    [
        ("x-envoy-retry-on", "5xx"),
        ("x-envoy-retry-grpc-on", "unavailable"),
        ("x-envoy-max-retries", "1"),
        ("x-envoy-upstream-rq-timeout-ms", "7000"),
        ("x-envoy-upstream-rq-per-try-timeout-ms", "900"),
        ("x-envoy-expected-rq-timeout-ms", "5"),
        ("x-envoy-internal", "true"),
        ("x-envoy-external-address", "6.6.6.6"),
        ("x-envoy-original-path", "/forged"),
        ("x-envoy-original-host", "forged"),
        ("x-envoy-decorator-operation", "op"),
        ("x-envoy-downstream-service-cluster", "c"),
        ("x-envoy-downstream-service-node", "n"),
        ("x-envoy-force-trace", "1"),
        ("x-envoy-hedge-on-per-try-timeout", "1"),
        ("x-envoy-ip-tags", "t"),
        ("x-envoy-original-url", "u"),
        ("x-envoy-retriable-header-names", "x-h"),
        ("x-envoy-retriable-status-codes", "418"),
        ("x-envoy-upstream-alt-stat-name", "s"),
        ("x-envoy-upstream-rq-timeout-alt-response", "1"),
        ("x-envoy-attempt-count", "9"),
        ("x-envoy-is-timeout-retry", "true"),
        ("x-envoy-peer-metadata-id", "m"),
        ("x-envoy-upstream-service-time", "3"),
        ("x-envoy-ratelimited", "true"),
        ("x-envoy-unknown", "kept"),
    ]
    .iter()
    .fold(get("/"), |r, (n, v)| r.header(n, v))
}

pub fn area() -> Area {
    let mut a = Area::new("identity");
    a.cluster("app", &["one"], json!({}));
    let told = json!([
        { "header": { "key": "x-remote", "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%" } },
        { "header": { "key": "x-direct", "value": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%" } },
    ]);
    let host = |route: Value| any_host(json!([merged(route, &json!({ "request_headers_to_add": told }))]));
    let plain = || host(prefix("/", "app", json!({})));
    let internal = json!({ "cidr_ranges": [{ "address_prefix": "127.0.0.0", "prefix_len": 8 },
        { "address_prefix": "10.0.0.0", "prefix_len": 8 }] });
    let trust: [(&str, Value); 8] = [
        ("plain", json!({})),
        ("edge", json!({ "use_remote_address": true })),
        ("hops", json!({ "use_remote_address": true, "xff_num_trusted_hops": 1 })),
        ("plainhops", json!({ "xff_num_trusted_hops": 1 })),
        ("skip", json!({ "use_remote_address": true, "skip_xff_append": true })),
        ("inside", json!({ "internal_address_config": internal })),
        ("insideedge", json!({ "use_remote_address": true, "internal_address_config": internal })),
        ("ported", json!({ "use_remote_address": true, "append_x_forwarded_port": true })),
    ];
    for (name, extra) in &trust {
        a.http(name, plain(), extra.clone());
        for (what, request) in [
            ("bare", get("/")),
            ("one address", get("/").header("x-forwarded-for", "6.6.6.6")),
            ("two addresses", get("/").header("x-forwarded-for", "10.1.1.1, 7.7.7.7")),
            ("two lines", get("/").header("x-forwarded-for", "6.6.6.6").header("x-forwarded-for", "7.7.7.7,8.8.8.8")),
            ("inside address", get("/").header("x-forwarded-for", "10.1.1.1")),
            ("v6 address", get("/").header("x-forwarded-for", "2001:db8::1")),
            ("address with port", get("/").header("x-forwarded-for", "6.6.6.6:80")),
            ("nonsense", get("/").header("x-forwarded-for", "nonsense")),
            ("steering", steering()),
            ("proto and port", get("/").header("x-forwarded-proto", "https").header("x-forwarded-port", "1").header("x-forwarded-host", "h")),
            ("odd proto", get("/").header("x-forwarded-proto", "ftp")),
            ("own id", get("/").header("x-request-id", "mine")),
        ] {
            a.case(format!("{name} {what}"), name, request.clone());
            if what == "bare" || what == "steering" || what == "one address" {
                a.case(format!("{name} {what} from elsewhere"), name, request).from([127, 0, 0, 9]);
            }
        }
    }
    let said: [(&str, Value); 12] = [
        ("via", json!({ "via": "1.1 tulle" })),
        ("name", json!({ "server_name": "me" })),
        ("absent", json!({ "server_header_transformation": "APPEND_IF_ABSENT" })),
        ("pass", json!({ "server_header_transformation": "PASS_THROUGH" })),
        ("noid", json!({ "generate_request_id": false })),
        ("idback", json!({ "always_set_request_id_in_response": true })),
        ("preserve", json!({ "use_remote_address": true, "preserve_external_request_id": true })),
        ("agent", json!({ "add_user_agent": true })),
        ("https", json!({ "scheme_header_transformation": { "scheme_to_overwrite": "https" } })),
        ("proper", json!({ "http_protocol_options": { "header_key_format": { "proper_case_words": {} } } })),
        ("drop", json!({ "common_http_protocol_options": { "headers_with_underscores_action": "DROP_HEADER" } })),
        ("reject", json!({ "common_http_protocol_options": { "headers_with_underscores_action": "REJECT_REQUEST" } })),
    ];
    for (name, extra) in &said {
        a.http(name, plain(), extra.clone());
        a.case(format!("{name} bare"), name, get("/"));
        a.case(format!("{name} full"), name, get("/").header("via", "1.0 first").header("x-request-id", "mine").header("user-agent", "theirs")
            .header("x_under", "score").header("X-MiXeD", "Case"))
            .answer(status(200).header("server", "upstream").header("via", "1.1 back").header("date", "yesterday").header("x-request-id", "theirs").header("X-UP_case", "1"));
        a.case(format!("{name} h2"), name, h2(get("/").header("x_under", "score")));
    }
    a.http("counted", json!([{ "name": "all", "domains": ["*"], "include_request_attempt_count": true,
        "include_attempt_count_in_response": true, "routes": [prefix("/", "app", json!({ "retry_policy": {
            "retry_on": "5xx", "retry_back_off": { "base_interval": "0.001s" } } }))] }]), json!({}));
    a.case("attempts", "counted", get("/")).answers([status(503), status(200)]);
    a.case("one attempt", "counted", get("/").header("x-envoy-attempt-count", "7"));
    a.http("timed", host(prefix("/", "app", json!({ "timeout": "7s" }))), json!({}));
    a.case("expected time", "timed", get("/"));
    a.http("untimed", host(prefix("/", "app", json!({ "timeout": "0s" }))), json!({}));
    a.case("no expected time", "untimed", get("/"));
    a.http("router", plain(), json!({ "http_filters": [merged(router(), &json!({ "typed_config": {
        "respect_expected_rq_timeout": true } }))] }));
    a.case("respected expectation", "router", get("/").header("x-envoy-expected-rq-timeout-ms", "5000"));
    for name in ["plain", "edge"] {
        a.case(format!("{name} hop by hop"), name, post("/", "x").header("connection", "x-hop, close").header("x-hop", "1").header("keep-alive", "3")
            .header("proxy-connection", "keep-alive").header("te", "trailers, gzip").header("upgrade", "foo").header("trailer", "x-t"))
            .answer(status(200).header("connection", "x-back").header("x-back", "1").header("keep-alive", "3").header("proxy-connection", "y")
                .header("upgrade", "h2c").header("trailer", "z"));
        a.case(format!("{name} authentication passes"), name, get("/").header("authorization", "Basic x").header("proxy-authorization", "y").header("cookie", "a=1"))
            .answer(status(401).header("www-authenticate", "Basic").header("proxy-authenticate", "Basic"));
    }
    a
}
