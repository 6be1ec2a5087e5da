//! Requests that say themselves where they go.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    case::{get, post},
    config::{any_host, filter, manager, merged, prefix, router},
};

const CACHE: &str = "type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig";

/// A cache of names that may lead to loopback.
fn names(name: &str, more: Value) -> Value {
    let cache = json!({ "name": name, "dns_lookup_family": "V4_ONLY", "dns_query_timeout": "2s",
        "resolved_address_filter": { "ranges": [{ "address_prefix": "10.255.0.0", "prefix_len": 16 }] } });
    json!({ "dns_cache_config": merged(cache, &more) })
}

fn forwarding(name: &str, names: &Value, extra: Value) -> Value {
    let kind = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig";
    merged(json!({ "name": name, "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "1s",
        "cluster_type": filter("envoy.clusters.dynamic_forward_proxy", kind, names.clone()) }), &extra)
}

fn finder(names: &Value) -> Value {
    let kind = "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig";
    filter("envoy.filters.http.dynamic_forward_proxy", kind, names.clone())
}

pub fn area() -> Area {
    let mut a = Area::new("forward proxy");
    a.logging("%RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_CLUSTER% %UPSTREAM_HOST% %REQ(:AUTHORITY)%");
    a.cluster("app", &["one"], json!({}));
    a.cluster("app2", &["two"], json!({}));
    let usual = json!({ "dns_cache_config": { "name": "usual", "dns_lookup_family": "V4_ONLY", "dns_query_timeout": "2s" } });
    let all = [
        ("in", names("in", json!({}))),
        ("unfound", names("unfound", json!({}))),
        ("none", names("none", json!({ "dns_cache_circuit_breaker": { "max_pending_requests": 0 } }))),
        ("few", names("few", json!({ "max_hosts": 1 }))),
        ("filtered", names("filtered", json!({ "resolved_address_filter": { "ranges": [
            { "address_prefix": "127.0.0.0", "prefix_len": 8 }] } }))),
        ("usual", usual),
    ];
    let log = a.log_format();
    for (name, names) in &all {
        let cluster = format!("to-{name}");
        a.written_cluster(forwarding(&cluster, names, json!({})));
        let with = |path: &str, per_route: Value| {
            let mut route = prefix(path, &cluster, json!({}));
            route["typed_per_filter_config"] =
                json!({ "envoy.filters.http.dynamic_forward_proxy": merged(json!({ "@type": CACHE }), &per_route) });
            route
        };
        let routes = json!([
            with("/literal", json!({ "host_rewrite_literal": "localhost:{port:two}" })),
            with("/header", json!({ "host_rewrite_header": "x-to" })),
            prefix("/static", "app", json!({ "host_rewrite_literal": "app.test" })),
            prefix("/rewritten", &cluster, json!({ "host_rewrite_literal": "other.test" })),
            prefix("/found", &cluster, json!({ "host_rewrite_literal": "localhost:{port:two}" })),
            prefix("/endpoint", &cluster, json!({ "auto_host_rewrite": true })),
            prefix("/", &cluster, json!({ "retry_policy": { "retry_on": "5xx", "retry_back_off": { "base_interval": "0.001s" } } })),
        ]);
        let filters: Vec<Value> =
            if *name == "unfound" { vec![router()] } else { vec![finder(names), router()] };
        let log = crate::harness::config::access_log("{log}", &log);
        a.listener(name, manager(any_host(routes), &json!({ "http_filters": filters }), Some(log)), json!({}));
    }
    let to = |path: &str, host: &str| get(path).host(host);
    let here = "localhost:{port:one}";
    a.case("a name", "in", to("/", here));
    a.case("the same name again", "in", vec![to("/", here), to("/again", here)]).lines(2);
    a.case("a name in upper case", "in", to("/", "LOCALHOST:{port:one}"));
    a.case("another port", "in", to("/", "localhost:{port:two}"));
    a.case("an address", "in", to("/", "127.0.0.1:{port:one}"));
    a.case("a body", "in", post("/", "the body").host(here));
    a.case("tried again", "in", to("/", here)).answers([crate::harness::answer::status(503), crate::harness::answer::status(200)]);
    a.case("nobody there", "in", to("/", "localhost:1"));
    a.case("the usual port", "in", to("/", "localhost"));
    a.case("a name that is none", "in", to("/", "nowhere.invalid"));
    a.case("the same once more", "in", to("/", "nowhere.invalid"));
    a.case("the route names the host", "in", to("/literal", here));
    a.case("a header names the host", "in", to("/header", "other.test").header("x-to", "x"));
    a.case("no header names the host", "in", to("/header", here));
    a.case("a cluster that does not forward", "in", to("/static", "nowhere.invalid"));
    a.case("rewritten afterwards", "in", to("/rewritten", here));
    a.case("rewritten from nowhere", "in", to("/found", "nowhere.invalid"));
    a.case("rewritten from nowhere without the filter", "unfound", to("/found", "nowhere.invalid"));
    a.case("rewritten to the endpoint", "in", to("/endpoint", here));
    a.case("without the filter", "unfound", to("/", here));
    a.case("no request may wait", "none", to("/", here));
    a.case("the first of few", "few", to("/", here));
    a.case("one too many", "few", to("/", "localhost:{port:two}"));
    a.case("the first of few again", "few", to("/", here));
    a.case("filtered", "filtered", to("/", here));
    a.case("usual name of loopback", "usual", to("/", here));
    a.case("usual address of loopback", "usual", to("/", "127.0.0.1:{port:one}"));
    a.case("usual address of the link", "usual", to("/", "169.254.169.254:1"));
    a
}
