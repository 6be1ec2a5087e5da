//! Local rate limits: buckets, descriptors and what the client is told. The expectations are what a stock Envoy 1.40 answers to the
//! same configuration and requests.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{Backend, Client, Proxy, Response, any_host, cluster, http, listener, request, router};
use serde_json::{Value, json};
use tulle_proxy::worker::Settings;

const NAME: &str = "envoy.filters.http.local_ratelimit";

/// The configuration of a filter that is on and enforced; `more` is merged into it.
fn limit(more: Value) -> Value {
    let always = json!({ "default_value": { "numerator": 100, "denominator": "HUNDRED" } });
    let mut config = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "limit",
        "filter_enabled": always,
        "filter_enforced": always,
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn bucket(max_tokens: u32, fill: &str) -> Value {
    json!({ "max_tokens": max_tokens, "tokens_per_fill": 1, "fill_interval": fill })
}

fn descriptor(key: &str, value: &str, bucket: Value) -> Value {
    json!({ "entries": [{ "key": key, "value": value }], "token_bucket": bucket })
}

fn by_header() -> Value {
    json!([{ "actions": [{ "request_headers": { "header_name": "x-tier", "descriptor_key": "tier" } }] }])
}

/// A proxy whose only listener has this filter and these virtual hosts in front of `app`.
fn proxy(filter: Value, hosts: Value, app: &Backend, settings: Settings) -> Proxy {
    let filters = json!([{ "name": NAME, "typed_config": filter }, router()]);
    Proxy::with(
        json!({
            "listeners": [listener("in", http(hosts, json!({ "http_filters": filters })))],
            "clusters": [cluster("app", &[app.address])],
        }),
        settings,
    )
}

fn one_route() -> Value {
    any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "app" } }]))
}

/// Status, and the three headers joined by slashes (empty where they are missing).
fn told(response: &Response) -> (u16, String) {
    let field = |name: &str| response.headers.get(name).cloned().unwrap_or_default();
    let all = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"].map(field);
    (response.status, if all.iter().all(String::is_empty) { String::new() } else { all.join("/") })
}

#[test]
fn a_bucket_refuses_when_it_is_empty_and_says_when_to_come_back() {
    let app = Backend::text("hello");
    let filter = limit(json!({
        "token_bucket": bucket(2, "60s"),
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "enable_retry_after_header": true,
        "response_headers_to_add": [{ "header": { "key": "x-limited", "value": "yes" } }],
    }));
    let proxy = proxy(filter, one_route(), &app, Settings::default());
    let get = || common::get(proxy.address("in"), "/");
    assert_eq!(told(&get()), (200, "2/1/0".into()));
    assert_eq!(told(&get()), (200, "2/0/60".into()));
    let refused = get();
    assert_eq!(told(&refused), (429, "2/0/60".into()));
    assert_eq!(refused.body, "local_rate_limited");
    assert_eq!(refused.headers["x-limited"], "yes");
    assert_eq!(refused.headers["retry-after"], "60");
    assert_eq!(app.hits(), 2);
    for (name, want) in [("enabled", 3), ("ok", 2), ("rate_limited", 1), ("enforced", 1), ("shadow_mode", 0)]
    {
        assert_eq!(proxy.stat(&format!("limit.http_local_rate_limit.{name}")), want, "{name}");
    }
}

#[test]
fn all_workers_share_the_bucket() {
    let app = Backend::text("hello");
    let filter = limit(json!({ "token_bucket": bucket(10, "600s") }));
    let proxy = proxy(filter, one_route(), &app, Settings { workers: 4, ..Settings::default() });
    let passed = (0..40).filter(|_| common::get(proxy.address("in"), "/").status == 200).count();
    assert_eq!(passed, 10);
}

#[test]
fn each_descriptor_has_a_bucket_and_open_values_one_each() {
    let app = Backend::text("hello");
    let filter = limit(json!({
        "token_bucket": bucket(3, "60s"),
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "rate_limits": by_header(),
        "descriptors": [descriptor("tier", "gold", bucket(1, "10s")), descriptor("tier", "", bucket(2, "3s"))],
    }));
    let proxy = proxy(filter, one_route(), &app, Settings::default());
    for (tier, want) in [
        ("gold", (200, "1/0/10")),
        ("gold", (429, "1/0/10")),
        ("silver", (200, "2/1/0")),
        ("silver", (200, "2/0/3")),
        ("silver", (429, "2/0/3")),
        ("bronze", (429, "3/0/60")),
    ] {
        let response = request(proxy.address("in"), "GET /", &[("x-tier", tier)]);
        assert_eq!(told(&response), (want.0, want.1.to_owned()), "{tier}");
    }
}

#[test]
fn rules_come_from_the_virtual_host_where_the_route_has_none() {
    let app = Backend::text("hello");
    let filter = limit(json!({
        "token_bucket": bucket(100, "60s"),
        "always_consume_default_token_bucket": false,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "descriptors": [descriptor("tier", "gold", bucket(5, "10s")), descriptor("generic_key", "own", bucket(7, "10s"))],
    }));
    let own = json!([{ "actions": [{ "generic_key": { "descriptor_value": "own" } }] }]);
    let hosts = json!([{
        "name": "all",
        "domains": ["*"],
        "rate_limits": by_header(),
        "routes": [
            { "match": { "path": "/own" }, "route": { "cluster": "app", "rate_limits": own } },
            { "match": { "path": "/both" }, "route": { "cluster": "app", "rate_limits": own, "include_vh_rate_limits": true } },
            { "match": { "path": "/stage" }, "route": { "cluster": "app", "rate_limits": [
                { "stage": 1, "actions": [{ "generic_key": { "descriptor_value": "own" } }] },
            ] } },
            { "match": { "path": "/answer" }, "direct_response": { "status": 200 } },
            { "match": { "prefix": "/" }, "route": { "cluster": "app" } },
        ],
    }]);
    let proxy = proxy(filter, hosts, &app, Settings::default());
    let get = |path: &str| told(&request(proxy.address("in"), &format!("GET {path}"), &[("x-tier", "gold")]));
    assert_eq!(get("/"), (200, "5/4/0".into()));
    assert_eq!(
        get("/own"),
        (200, "7/6/0".into()),
        "the route's own rules stand in place of the virtual host's"
    );
    assert_eq!(get("/both").0, 200);
    assert_eq!(get("/"), (200, "5/2/0".into()), "both were asked");
    assert_eq!(get("/stage"), (200, "100/99/0".into()), "the rule is for another stage");
    assert_eq!(get("/answer"), (200, "100/98/0".into()), "a route that does not forward has no rules");
}

#[test]
fn a_connection_may_have_buckets_of_its_own() {
    let app = Backend::text("hello");
    let filter = limit(json!({
        "token_bucket": bucket(1, "60s"),
        "local_rate_limit_per_downstream_connection": true,
    }));
    let proxy = proxy(filter, one_route(), &app, Settings::default());
    let mut one = Client::connect(proxy.address("in"));
    assert_eq!(one.get("/").status, 200);
    assert_eq!(one.get("/").status, 429);
    assert_eq!(Client::connect(proxy.address("in")).get("/").status, 200);
}

#[test]
fn what_is_not_enforced_is_marked_and_passes() {
    let app = Backend::echo();
    let filter = limit(json!({
        "token_bucket": bucket(1, "60s"),
        "filter_enforced": { "default_value": { "numerator": 0 } },
        "request_headers_to_add_when_not_enforced": [{ "header": { "key": "x-over", "value": "limit" } }],
    }));
    let proxy = proxy(filter, one_route(), &app, Settings::default());
    assert!(!common::get(proxy.address("in"), "/").body.contains("x-over"));
    let over = common::get(proxy.address("in"), "/");
    assert_eq!(over.status, 200);
    assert!(over.body.contains("x-over: limit"), "{}", over.body);
    assert_eq!(proxy.stat("limit.http_local_rate_limit.rate_limited"), 1);
    assert_eq!(proxy.stat("limit.http_local_rate_limit.enforced"), 0);
}

#[test]
fn a_shadow_descriptor_counts_and_refuses_nothing() {
    let app = Backend::text("hello");
    let mut shadow = descriptor("tier", "gold", bucket(1, "60s"));
    shadow["shadow_mode"] = json!(true);
    let filter = limit(json!({
        "token_bucket": bucket(100, "60s"), "rate_limits": by_header(), "descriptors": [shadow],
    }));
    let proxy = proxy(filter, one_route(), &app, Settings::default());
    for _ in 0..3 {
        assert_eq!(request(proxy.address("in"), "GET /", &[("x-tier", "gold")]).status, 200);
    }
    assert_eq!(proxy.stat("limit.http_local_rate_limit.shadow_mode"), 2);
}

#[test]
fn grpc_clients_are_refused_in_their_own_way() {
    let app = Backend::text("hello");
    let grpc = |exhausted: bool| {
        let filter = limit(
            json!({ "token_bucket": bucket(0, "60s"), "rate_limited_as_resource_exhausted": exhausted }),
        );
        let proxy = proxy(filter, one_route(), &app, Settings::default());
        request(
            proxy.address("in"),
            "POST /a.B/C",
            &[("content-type", "application/grpc"), ("content-length", "0")],
        )
    };
    for (exhausted, status) in [(false, "14"), (true, "8")] {
        let response = grpc(exhausted);
        assert_eq!(response.status, 200);
        assert_eq!(response.headers["grpc-status"], status);
        assert_eq!(response.headers["grpc-message"], "local_rate_limited");
    }
}

#[test]
fn a_route_and_a_weighted_cluster_bring_buckets_of_their_own() {
    let app = Backend::text("hello");
    let own = |max: u32| json!({ NAME: limit(json!({ "token_bucket": bucket(max, "60s"), "status": { "code": 503 } })) });
    let hosts = any_host(json!([
        { "match": { "path": "/own" }, "route": { "cluster": "app" }, "typed_per_filter_config": own(1) },
        { "match": { "path": "/weighted" }, "route": { "weighted_clusters": { "clusters": [
            { "name": "app", "weight": 1, "typed_per_filter_config": own(2) },
        ] } } },
        { "match": { "prefix": "/" }, "route": { "cluster": "app" } },
    ]));
    // The filter itself limits nothing.
    let proxy = proxy(limit(json!({})), hosts, &app, Settings::default());
    let statuses =
        |path: &str| -> Vec<u16> { (0..4).map(|_| common::get(proxy.address("in"), path).status).collect() };
    assert_eq!(statuses("/own"), [200, 503, 503, 503]);
    assert_eq!(statuses("/weighted"), [200, 200, 503, 503]);
    assert_eq!(statuses("/"), [200, 200, 200, 200]);
}
