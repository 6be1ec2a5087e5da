//! Injected faults.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::{Framing, status},
    case::{get, grpc, h2, post, request},
    config::{any_host, filter, http2, merged, prefix, router},
};

const KIND: &str = "envoy.extensions.filters.http.fault.v3.HTTPFault";

fn abort(members: Value) -> Value {
    json!({ "abort": merged(json!({ "percentage": { "numerator": 100 } }), &members) })
}

fn delay(seconds: &str, members: Value) -> Value {
    json!({ "delay": merged(json!({ "fixed_delay": seconds, "percentage": { "numerator": 100 } }), &members) })
}

fn rate(members: Value) -> Value {
    json!({ "response_rate_limit": merged(json!({ "percentage": { "numerator": 100 } }), &members) })
}

/// How much takes about one and a half seconds at 1 KiB each second.
fn long() -> String {
    "0123456789abcdef".repeat(94)
}

pub fn area() -> Area {
    let mut a = Area::new("faults");
    a.logging("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %GRPC_STATUS%");
    a.cluster("app", &["one"], json!({}));
    a.cluster("other", &["two"], json!({}));
    a.cluster("h2", &["three"], http2());
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
        with("/rate", "app", rate(json!({ "fixed_limit": { "limit_kbps": 1 } }))),
        with("/h2rate", "h2", rate(json!({ "fixed_limit": { "limit_kbps": 1 } }))),
        with("/rateoff", "app", rate(json!({ "fixed_limit": { "limit_kbps": 1 }, "percentage": tenth }))),
        with("/ratefast", "app", rate(json!({ "fixed_limit": { "limit_kbps": 1000000 } }))),
        with("/rateasked", "app", rate(json!({ "header_limit": {} }))),
        with("/ratemillion", "app", rate(json!({ "header_limit": {}, "percentage": { "numerator": 1000000, "denominator": "MILLION" } }))),
        with("/rateboth", "app", merged(rate(json!({ "fixed_limit": { "limit_kbps": 1 } })), &delay("0.5s", json!({})))),
        with("/rateabort", "app", merged(rate(json!({ "fixed_limit": { "limit_kbps": 1 } })), &abort(json!({ "http_status": 503 })))),
        merged(with("/ratetime", "app", rate(json!({ "fixed_limit": { "limit_kbps": 1 } }))), &json!({ "route": { "timeout": "0.5s" } })),
        merged(json!({ "match": { "prefix": "/direct" }, "direct_response": { "status": 200 } }),
            &json!({ "typed_per_filter_config": { "envoy.filters.http.fault": merged(json!({ "@type": format!("type.googleapis.com/{KIND}") }), &http(503)) } })),
        prefix("/", "app", json!({})),
    ];
    routes.sort_by_key(|r| std::cmp::Reverse(r["match"]["prefix"].as_str().map_or(0, str::len)));
    a.http("in", any_host(json!(routes)), json!({ "http_filters": [fault(json!({})), router()] }));
    a.http("slow", any_host(json!([
        { "match": { "prefix": "/long" }, "direct_response": { "status": 200, "body": { "inline_string": long() } } },
        prefix("/", "app", json!({})),
    ])), json!({ "http_filters": [fault(rate(json!({ "fixed_limit": { "limit_kbps": 1 } }))), router()] }));
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
    slow(&mut a);
    a.case("everywhere", "all", get("/"));
    a.case("post", "all", post("/", "the body"));
    a.case("post, then another", "all", vec![post("/", "the body"), get("/")]);
    a
}

/// Responses that are slowed down.
fn slow(a: &mut Area) {
    let answer = || status(200).body(long());
    for path in ["/rate", "/rateoff", "/ratefast", "/rateasked", "/rateboth", "/rateabort", "/ratetime"] {
        a.case(path, "in", get(path)).answer(answer()).timed();
    }
    a.case("slow for HTTP/2", "in", h2(get("/rate"))).answer(answer()).timed();
    a.case("slow and chunked", "in", get("/rate")).answer(answer().framing(Framing::Chunked)).timed();
    a.case("slow with trailers", "in", h2(grpc("/h2rate"))).answer(answer().trailer("grpc-status", "0")).timed();
    a.case("slow without a body", "in", get("/rate")).answer(status(204)).timed();
    a.case("slow HEAD", "in", request("HEAD", "/rate")).answer(answer()).timed();
    a.case("slow, then another", "in", vec![get("/rate"), get("/rateoff")]).answer(answer()).timed();
    a.case("slow everywhere", "slow", get("/")).answer(answer()).timed();
    a.case("slow answer of the route", "slow", get("/long")).timed();
    let asked = |value: &str| get("/rateasked").header("x-envoy-fault-throughput-response", value);
    for value in ["1", "0", "-1", "x", "1000000"] {
        a.case(format!("asked for {value} KiB each second"), "in", asked(value)).answer(answer()).timed();
    }
    let share = "x-envoy-fault-throughput-response-percentage";
    a.case("asked for a percentage of 0", "in", asked("1").header(share, "0")).answer(answer()).timed();
    a.case("asked for a percentage of 100", "in", asked("1").header(share, "100")).answer(answer()).timed();
    a.case("asked for no percentage", "in", asked("1").header(share, "x")).answer(answer()).timed();
    let million = || get("/ratemillion").header("x-envoy-fault-throughput-response", "1");
    a.case("asked for a part of a million", "in", million().header(share, "1")).answer(answer()).timed();
    a.case("asked for a million", "in", million().header(share, "1000000")).answer(answer()).timed();
}
