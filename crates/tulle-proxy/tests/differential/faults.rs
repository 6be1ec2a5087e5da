//! Injected faults.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    case::{get, grpc, h2, post},
    config::{any_host, filter, merged, prefix, router},
};

const KIND: &str = "envoy.extensions.filters.http.fault.v3.HTTPFault";

fn abort(members: Value) -> Value {
    json!({ "abort": merged(json!({ "percentage": { "numerator": 100 } }), &members) })
}

fn delay(seconds: &str, members: Value) -> Value {
    json!({ "delay": merged(json!({ "fixed_delay": seconds, "percentage": { "numerator": 100 } }), &members) })
}

pub fn area() -> Area {
    let mut a = Area::new("faults");
    a.logging("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %GRPC_STATUS%");
    a.cluster("app", &["one"], json!({}));
    a.cluster("other", &["two"], json!({}));
    let fault = |config: Value| filter("envoy.filters.http.fault", KIND, config);
    let with = |path: &str, cluster: &str, config: Value| {
        let typed = merged(json!({ "@type": format!("type.googleapis.com/{KIND}") }), &config);
        merged(prefix(path, cluster, json!({})), &json!({ "typed_per_filter_config": { "envoy.filters.http.fault": typed } }))
    };
    let http = |status: u16| abort(json!({ "http_status": status }));
    let tenth = json!({ "numerator": 0 });
    let mut routes = vec![
        with("/a503", "app", http(503)),
        with("/a200", "app", http(200)),
        with("/a418", "app", http(418)),
        with("/grpc14", "app", abort(json!({ "grpc_status": 14 }))),
        with("/grpc5", "app", abort(json!({ "grpc_status": 5 }))),
        with("/never", "app", abort(json!({ "http_status": 503, "percentage": tenth }))),
        with("/delay", "app", delay("0.05s", json!({}))),
        with("/both", "app", merged(delay("0.05s", json!({})), &http(500))),
        with("/headers", "app", merged(http(500), &json!({ "headers": [{ "name": "x-fault", "string_match": { "exact": "yes" } }] }))),
        with("/upstream", "app", merged(http(500), &json!({ "upstream_cluster": "app" }))),
        with("/otherupstream", "other", merged(http(500), &json!({ "upstream_cluster": "app" }))),
        with("/nodes", "app", merged(http(500), &json!({ "downstream_nodes": ["n1"] }))),
        with("/hdelay", "app", json!({ "delay": { "header_delay": {}, "percentage": { "numerator": 100 } } })),
        with("/habort", "app", json!({ "abort": { "header_abort": {}, "percentage": { "numerator": 100 } } })),
        with("/habortnone", "app", json!({ "abort": { "header_abort": {}, "percentage": { "numerator": 0 } } })),
        with("/stats", "app", merged(http(500), &json!({ "disable_downstream_cluster_stats": true }))),
        with("/max0", "app", merged(http(500), &json!({ "max_active_faults": 0 }))),
        with("/nothing", "app", json!({})),
        merged(json!({ "match": { "prefix": "/direct" }, "direct_response": { "status": 200 } }),
            &json!({ "typed_per_filter_config": { "envoy.filters.http.fault": merged(json!({ "@type": format!("type.googleapis.com/{KIND}") }), &http(503)) } })),
        prefix("/", "app", json!({})),
    ];
    routes.sort_by_key(|r| std::cmp::Reverse(r["match"]["prefix"].as_str().map_or(0, str::len)));
    a.http("in", any_host(json!(routes)), json!({ "http_filters": [fault(json!({})), router()] }));
    a.http("all", any_host(json!([prefix("/", "app", json!({}))])), json!({ "http_filters": [fault(http(503)), router()] }));
    for path in ["/a503", "/a200", "/a418", "/grpc14", "/grpc5", "/never", "/delay", "/both", "/headers", "/upstream", "/otherupstream", "/nodes", "/habort", "/hdelay",
        "/stats", "/max0", "/nothing", "/direct", "/none"] {
        a.case(path, "in", get(path));
        a.case(format!("{path} with grpc"), "in", h2(grpc(path)));
    }
    a.case("headers fit", "in", get("/headers").header("x-fault", "yes"));
    a.case("headers differ", "in", get("/headers").header("x-fault", "no"));
    a.case("node fits", "in", get("/nodes").header("x-envoy-downstream-service-node", "n1"));
    for value in ["503", "404", "200", "100", "600", "nonsense", "0"] {
        a.case(format!("header abort {value}"), "in", get("/habort").header("x-envoy-fault-abort-request", value));
    }
    a.case("header abort off", "in", get("/habortnone").header("x-envoy-fault-abort-request", "503"));
    a.case("header abort with percentage", "in", get("/habortnone").header("x-envoy-fault-abort-request", "503").header("x-envoy-fault-abort-request-percentage", "100"));
    a.case("header abort with lower percentage", "in", get("/habort").header("x-envoy-fault-abort-request", "503").header("x-envoy-fault-abort-request-percentage", "0"));
    a.case("header abort grpc", "in", h2(grpc("/habort").header("x-envoy-fault-abort-grpc-request", "7")));
    a.case("header abort grpc on plain", "in", get("/habort").header("x-envoy-fault-abort-grpc-request", "7"));
    a.case("header delay", "in", get("/hdelay").header("x-envoy-fault-delay-request", "30"));
    a.case("header delay nonsense", "in", get("/hdelay").header("x-envoy-fault-delay-request", "x"));
    a.case("everywhere", "all", get("/"));
    a.case("post", "all", post("/", "the body"));
    a.case("post, then another", "all", vec![post("/", "the body"), get("/")]);
    a
}
