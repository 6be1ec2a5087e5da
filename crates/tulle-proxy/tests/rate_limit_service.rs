//! The rate limit service: what it is asked, what its answers mean, and what happens without one.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{Backend, Proxy, cluster, get, h2, http, http2, listener, request, router};
use prost::Message as _;
use serde_json::{Value, json};
use tulle_http::{HeaderList, RequestHead, ResponseHead};
use tulle_proto::envoy::{
    core::HeaderValue,
    google,
    ratelimit::{
        RateLimitRequest, RateLimitResponse,
        rate_limit_response::{Code, DescriptorStatus, RateLimit, rate_limit::Unit},
    },
};

type Asked = Arc<Mutex<Vec<(RequestHead, RateLimitRequest)>>>;

/// A service that answers so, and what it was asked.
fn service(
    answer: impl Fn(&RateLimitRequest) -> RateLimitResponse + Send + Sync + 'static,
) -> (Backend, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let backend = h2::backend(move |head, body| {
        let message = RateLimitRequest::decode(&body[5..]).unwrap();
        let answer = answer(&message).encode_to_vec();
        seen.lock().unwrap().push((head.clone(), message));
        let mut framed = vec![0];
        framed.extend_from_slice(&u32::try_from(answer.len()).unwrap().to_be_bytes());
        framed.extend_from_slice(&answer);
        let mut response = ResponseHead::new(200);
        response.headers.append("content-type", b"application/grpc");
        let trailers: HeaderList = [("grpc-status", "0")].into_iter().collect();
        (response, framed, trailers)
    });
    (backend, asked)
}

fn over(code: Code) -> RateLimitResponse {
    RateLimitResponse { overall_code: code.into(), ..Default::default() }
}

/// A proxy in front of `app` whose filter asks the service; `filter` and `host` are merged into the configuration.
fn proxy(app: &Backend, rls: std::net::SocketAddr, filter: Value, host: Value) -> Proxy {
    let mut config = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit",
        "domain": "shop",
        "timeout": "5s",
        "rate_limit_service": {
            "grpc_service": { "envoy_grpc": { "cluster_name": "rls" } }, "transport_api_version": "V3",
        },
    });
    let mut hosts = json!([{
        "name": "all",
        "domains": ["*"],
        "routes": [
            { "match": { "path": "/free" }, "route": { "cluster": "app" } },
            { "match": { "prefix": "/" }, "route": { "cluster": "app", "rate_limits": [
                { "actions": [{ "request_headers": { "header_name": "x-user", "descriptor_key": "user" } }] },
                { "actions": [{ "generic_key": { "descriptor_value": "all" } }, { "destination_cluster": {} }] },
            ] } },
        ],
    }]);
    filter.as_object().unwrap().iter().for_each(|(key, value)| config[key] = value.clone());
    host.as_object().unwrap().iter().for_each(|(key, value)| hosts[0][key] = value.clone());
    let filters = json!([{ "name": "limit", "typed_config": config }, router()]);
    Proxy::start(json!({
        "listeners": [listener("in", http(hosts, json!({ "http_filters": filters })))],
        "clusters": [cluster("app", &[app.address]), http2(cluster("rls", &[rls]))],
    }))
}

/// Descriptors as `key=value,...` each.
fn said(message: &RateLimitRequest) -> Vec<String> {
    let one = |d: &tulle_proto::envoy::ratelimit_common::RateLimitDescriptor| {
        d.entries.iter().map(|e| format!("{}={}", e.key, e.value)).collect::<Vec<_>>().join(",")
    };
    message.descriptors.iter().map(one).collect()
}

#[test]
fn the_service_is_asked_about_every_descriptor_and_lets_pass() {
    let app = Backend::echo();
    let (rls, asked) = service(|_| RateLimitResponse {
        response_headers_to_add: vec![HeaderValue {
            key: "x-said".into(),
            value: "ok".into(),
            ..Default::default()
        }],
        request_headers_to_add: vec![HeaderValue {
            key: "x-quota".into(),
            value: "7".into(),
            ..Default::default()
        }],
        ..over(Code::Ok)
    });
    let proxy = proxy(&app, rls.address, json!({}), json!({}));
    let response = request(proxy.address("in"), "GET /", &[("x-user", "ann")]);
    assert_eq!((response.status, response.headers["x-said"].as_str()), (200, "ok"));
    assert!(response.body.contains("x-quota: 7"), "{}", response.body);
    request(proxy.address("in"), "GET /", &[]);
    assert_eq!(get(proxy.address("in"), "/free").status, 200);
    let asked = asked.lock().unwrap();
    let (head, message) = &asked[0];
    assert_eq!(head.path, "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit");
    assert_eq!((head.method.as_str(), head.authority.as_str()), ("POST", "rls"));
    assert_eq!(head.headers.get("content-type"), Some(&b"application/grpc"[..]));
    assert_eq!(head.headers.get("te"), Some(&b"trailers"[..]));
    assert_eq!(head.headers.get("grpc-timeout"), Some(&b"5000m"[..]));
    assert_eq!(message.domain, "shop");
    assert_eq!(said(message), ["user=ann", "generic_key=all,destination_cluster=app"]);
    assert_eq!(
        said(&asked[1].1),
        ["generic_key=all,destination_cluster=app"],
        "a missing header makes no descriptor"
    );
    assert_eq!(asked.len(), 2, "a route without rules asks nobody");
    assert_eq!(rls.connections.load(std::sync::atomic::Ordering::Relaxed), 1, "calls share a connection");
    assert_eq!(proxy.stat("cluster.app.ratelimit.ok"), 2);
}

#[test]
fn a_request_over_the_limit_gets_what_the_service_says() {
    let app = Backend::text("hello");
    let status = |code: Code, requests_per_unit, unit: Unit, limit_remaining, seconds| DescriptorStatus {
        code: code.into(),
        current_limit: Some(RateLimit { name: String::new(), requests_per_unit, unit: unit.into() }),
        limit_remaining,
        duration_until_reset: Some(google::Duration { seconds, nanos: 0 }),
        ..Default::default()
    };
    let (rls, _) = service(move |_| RateLimitResponse {
        statuses: vec![
            status(Code::Ok, 1000, Unit::Hour, 900, 1000),
            status(Code::OverLimit, 10, Unit::Minute, 0, 17),
        ],
        raw_body: b"slow down".to_vec(),
        response_headers_to_add: [("content-type", "text/x"), ("content-length", "99")]
            .map(|(key, value)| HeaderValue { key: key.into(), value: value.into(), ..Default::default() })
            .into(),
        ..over(Code::OverLimit)
    });
    let filter =
        json!({ "enable_x_ratelimit_headers": "DRAFT_VERSION_03", "enable_retry_after_header": true });
    let proxy = proxy(&app, rls.address, filter, json!({}));
    let refused = request(proxy.address("in"), "GET /", &[("x-user", "ann")]);
    assert_eq!((refused.status, refused.body.as_str()), (429, "slow down"));
    for (name, want) in [
        ("content-type", "text/x"),
        ("x-envoy-ratelimited", "true"),
        ("x-ratelimit-limit", "10, 1000;w=3600, 10;w=60"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "17"),
        ("retry-after", "17"),
    ] {
        assert_eq!(refused.headers.get(name).map(String::as_str), Some(want), "{name}");
    }
    let grpc = request(
        proxy.address("in"),
        "POST /a.B/C",
        &[("content-type", "application/grpc"), ("content-length", "0")],
    );
    assert_eq!((grpc.status, grpc.headers["grpc-status"].as_str()), (200, "14"));
    assert_eq!(app.hits(), 0);
    assert_eq!(proxy.stat("cluster.app.ratelimit.over_limit"), 2);
}

#[test]
fn a_limit_may_be_watched_without_being_enforced() {
    let app = Backend::text("hello");
    let (rls, _) = service(|_| over(Code::OverLimit));
    let none = json!({ "default_value": { "numerator": 0 } });
    let proxy = proxy(&app, rls.address, json!({ "filter_enforced": none }), json!({}));
    let passed = get(proxy.address("in"), "/");
    assert_eq!((passed.status, passed.headers.contains_key("x-envoy-ratelimited")), (200, true));
    assert_eq!(proxy.stat("cluster.app.ratelimit.over_limit"), 1);
}

#[test]
fn without_an_answer_requests_pass_or_are_refused_as_configured() {
    let app = Backend::text("hello");
    let silent = Backend::raw(|stream| {
        let mut bytes = [0; 1024];
        while std::io::Read::read(stream, &mut bytes).is_ok_and(|count| count > 0) {}
    });
    let dead = {
        let gone = Backend::text("");
        gone.address
    };
    let refusing = h2::backend(|_, _| {
        let mut head = ResponseHead::new(200);
        head.headers.append("grpc-status", b"13");
        (head, Vec::new(), HeaderList::new())
    });
    let garbled = h2::backend(|_, _| {
        let trailers: HeaderList = [("grpc-status", "0")].into_iter().collect();
        (ResponseHead::new(200), b"\0\0\0\0\x63garbage".to_vec(), trailers)
    });
    std::thread::sleep(Duration::from_millis(50));
    for (name, address) in [
        ("silent", silent.address),
        ("dead", dead),
        ("refusing", refusing.address),
        ("garbled", garbled.address),
    ] {
        // The default timeout of 20 ms is in force.
        let open = proxy(&app, address, json!({ "timeout": null }), json!({}));
        assert_eq!(get(open.address("in"), "/").status, 200, "{name}");
        assert_eq!(open.stat("cluster.app.ratelimit.error"), 1, "{name}");
        assert_eq!(open.stat("cluster.app.ratelimit.failure_mode_allowed"), 1, "{name}");
        let config =
            json!({ "failure_mode_deny": true, "status_on_error": { "code": 503 }, "timeout": "0.05s" });
        let closed = proxy(&app, address, config, json!({}));
        assert_eq!(get(closed.address("in"), "/").status, 503, "{name}");
    }
}

#[test]
fn rules_of_the_filter_and_of_a_route_stand_in_place_of_others() {
    let app = Backend::text("hello");
    let (rls, asked) = service(|_| over(Code::Ok));
    let key = |value: &str| json!([{ "actions": [{ "generic_key": { "descriptor_value": value } }] }]);
    let mut own = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute",
        "domain": "other",
    });
    own["rate_limits"] = json!([{
        "actions": [{ "generic_key": { "descriptor_value": "route" } }],
        "limit": { "rate_limit": { "requests_per_unit": 5, "unit": "MINUTE" } },
        "hits_addend": { "number": 3 },
    }]);
    let host = json!({ "routes": [
        { "match": { "path": "/own" }, "route": { "cluster": "app" }, "typed_per_filter_config": { "limit": own } },
        { "match": { "prefix": "/" }, "route": { "cluster": "app", "rate_limits": key("unread") } },
    ] });
    let proxy = proxy(&app, rls.address, json!({ "rate_limits": key("filter") }), host);
    get(proxy.address("in"), "/");
    get(proxy.address("in"), "/own");
    let asked = asked.lock().unwrap();
    assert_eq!(
        (asked[0].1.domain.as_str(), said(&asked[0].1)),
        ("shop", vec!["generic_key=filter".to_owned()])
    );
    let message = &asked[1].1;
    assert_eq!((message.domain.as_str(), said(message)), ("other", vec!["generic_key=route".to_owned()]));
    let descriptor = &message.descriptors[0];
    assert_eq!(descriptor.limit.map(|l| (l.requests_per_unit, l.unit)), Some((5, 2)));
    assert_eq!(descriptor.hits_addend.map(|h| h.value), Some(3));
}
