//! Cross-origin policies.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::status,
    case::{Request, get, h2, request},
    config::{any_host, filter, merged, prefix, router, single_use},
};

fn policy(members: Value) -> Value {
    merged(json!({ "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy" }), &members)
}

fn preflight(path: &str, origin: &str) -> Request {
    request("OPTIONS", path).header("origin", origin).header("access-control-request-method", "PUT")
}

pub fn area() -> Area {
    let mut a = Area::new("cors");
    a.cluster("app", &["one"], single_use());
    let cors = filter("envoy.filters.http.cors", "envoy.extensions.filters.http.cors.v3.Cors", json!({}));
    let with = |path: &str, members: Value| {
        merged(prefix(path, "app", json!({})), &json!({ "typed_per_filter_config": { "envoy.filters.http.cors": policy(members) } }))
    };
    let origins = json!([{ "exact": "https://a.test" }, { "suffix": ".b.test" }, { "safe_regex": { "regex": "https?://c[0-9]\\.test" } }]);
    a.http(
        "in",
        any_host(json!([
            with("/full", json!({ "allow_origin_string_match": origins, "allow_methods": "GET,PUT", "allow_headers": "x-a,x-b",
                "expose_headers": "x-e", "max_age": "600", "allow_credentials": true })),
            with("/bare", json!({ "allow_origin_string_match": origins })),
            with("/any", json!({ "allow_origin_string_match": [{ "exact": "*" }], "allow_methods": "*" })),
            with("/star", json!({ "allow_origin_string_match": [{ "safe_regex": { "regex": ".*" } }] })),
            with("/private", json!({ "allow_origin_string_match": origins, "allow_private_network_access": true })),
            with("/denied", json!({ "allow_origin_string_match": origins, "forward_not_matching_preflights": false })),
            with("/off", json!({ "allow_origin_string_match": origins, "filter_enabled": { "default_value": { "numerator": 0 } } })),
            with("/shadow", json!({ "allow_origin_string_match": origins, "filter_enabled": { "default_value": { "numerator": 0 } },
                "shadow_enabled": { "default_value": { "numerator": 100 } } })),
            merged(json!({ "match": { "prefix": "/direct" }, "direct_response": { "status": 200, "body": { "inline_string": "d" } } }),
                &json!({ "typed_per_filter_config": { "envoy.filters.http.cors": policy(json!({ "allow_origin_string_match": origins })) } })),
            prefix("/", "app", json!({})),
        ])),
        json!({ "http_filters": [cors, router()] }),
    );
    for path in ["/full", "/bare", "/any", "/star", "/private", "/denied", "/off", "/shadow", "/direct", "/none"] {
        for origin in ["https://a.test", "https://x.b.test", "http://c1.test", "https://evil.test"] {
            a.case(format!("{path} from {origin}"), "in", get(path).header("origin", origin));
            a.case(format!("preflight {path} from {origin}"), "in", preflight(path, origin));
        }
    }
    a.case("no origin", "in", get("/full"));
    a.case("options without origin", "in", request("OPTIONS", "/full").header("access-control-request-method", "PUT"));
    a.case("options without method", "in", request("OPTIONS", "/full").header("origin", "https://a.test"));
    a.case("options with empty method", "in", request("OPTIONS", "/full").header("origin", "https://a.test").header("access-control-request-method", ""));
    a.case("private network", "in", preflight("/private", "https://a.test").header("access-control-request-private-network", "true"));
    a.case("private network where not allowed", "in", preflight("/full", "https://a.test").header("access-control-request-private-network", "true"));
    a.case("headers of the upstream", "in", get("/full").header("origin", "https://a.test")).answer(
        status(200).header("access-control-allow-origin", "upstream").header("access-control-expose-headers", "u").header("access-control-allow-credentials", "u").header("vary", "x"),
    );
    a.case("origin of another case", "in", get("/full").header("origin", "HTTPS://A.TEST"));
    a.case("two origins", "in", get("/full").header("origin", "https://evil.test").header("origin", "https://a.test"));
    a.case("h2 preflight", "in", h2(preflight("/full", "https://a.test").header("access-control-request-headers", "x-a")));
    a.case("failure of the upstream", "in", get("/full").header("origin", "https://a.test")).answer(crate::harness::answer::hang_up());
    a
}
