//! Timeouts, retries, faults, circuit breakers and outlier detection, with Envoy's words.

mod common;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use common::{Backend, Client, Proxy, any_host, cluster, get, http, listener, ok, request, router, status};
use serde_json::{Value, json};

fn with_route(route: Value, clusters: Value) -> Proxy {
    Proxy::start(json!({
        "listeners": [listener("in", http(any_host(json!([
            { "match": { "prefix": "/" }, "route": route }
        ])), json!({})))],
        "clusters": clusters,
    }))
}

#[test]
fn a_route_timeout_answers_504_in_time() {
    let slow = Backend::http(|_| {
        std::thread::sleep(Duration::from_secs(2));
        ok("late")
    });
    let proxy =
        with_route(json!({ "cluster": "app", "timeout": "0.2s" }), json!([cluster("app", &[slow.address])]));
    let start = Instant::now();
    let response = get(proxy.address("in"), "/");
    assert_eq!((response.status, response.body.as_str()), (504, "upstream request timeout"));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(proxy.stat("cluster.app.upstream_rq_timeout"), 1);
}

#[test]
fn retries_replay_the_body_until_an_answer_is_good() {
    let tries = AtomicUsize::new(0);
    let app = Backend::http(move |r| {
        if tries.fetch_add(1, Ordering::Relaxed) < 2 { status(503, "not yet") } else { ok(&r.line) }
    });
    let proxy = with_route(
        json!({ "cluster": "app", "retry_policy": { "retry_on": "5xx", "num_retries": 3 } }),
        json!([cluster("app", &[app.address])]),
    );
    let mut client = Client::connect(proxy.address("in"));
    client.send("POST /x HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\n\r\nbody");
    let response = client.receive().unwrap();
    assert_eq!((response.status, response.body.as_str()), (200, "POST /x HTTP/1.1"));
    assert_eq!(app.hits(), 3);
    assert_eq!(proxy.stat("cluster.app.upstream_rq_retry"), 2);
}

#[test]
fn a_refused_connection_says_so_and_is_retried_elsewhere() {
    let gone = Backend::text("gone");
    let dead = gone.address;
    drop(gone);
    std::thread::sleep(Duration::from_millis(50));
    let proxy = with_route(json!({ "cluster": "app" }), json!([cluster("app", &[dead])]));
    let response = get(proxy.address("in"), "/");
    assert_eq!(response.status, 503);
    assert_eq!(
        response.body,
        "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, \
         transport failure reason: delayed connect error: Connection refused"
    );
    let alive = Backend::text("alive");
    let proxy = with_route(
        json!({ "cluster": "app", "retry_policy": {
            "retry_on": "connect-failure", "num_retries": 5,
            "retry_host_predicate": [{
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": { "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate" },
            }],
            "host_selection_retry_max_attempts": 5,
        } }),
        json!([cluster("app", &[dead, alive.address])]),
    );
    for _ in 0..10 {
        assert_eq!(get(proxy.address("in"), "/").body, "alive");
    }
}

#[test]
fn an_upstream_that_hangs_up_is_503_uc_and_an_empty_cluster_503_uh() {
    let rude = Backend::http(|_| Vec::new());
    let proxy = with_route(
        json!({ "cluster": "app" }),
        json!([cluster("app", &[rude.address]), cluster("none", &[])]),
    );
    let response = request(proxy.address("in"), "POST /", &[]);
    assert_eq!(response.status, 503);
    assert!(response.body.ends_with("reset reason: connection termination"), "{}", response.body);
    let empty = with_route(json!({ "cluster": "none" }), json!([cluster("none", &[])]));
    let response = get(empty.address("in"), "/");
    assert_eq!((response.status, response.body.as_str()), (503, "no healthy upstream"));
}

#[test]
fn faults_delay_and_abort() {
    let app = Backend::text("ok");
    let fault = json!({
        "name": "envoy.filters.http.fault",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            "delay": { "fixed_delay": "0.2s", "percentage": { "numerator": 100 } },
            "abort": { "http_status": 555, "percentage": { "numerator": 100 } },
            "headers": [{ "name": "x-fault", "string_match": { "exact": "yes" } }],
        },
    });
    let proxy = Proxy::start(json!({
        "listeners": [listener("in", http(any_host(json!([
            { "match": { "prefix": "/" }, "route": { "cluster": "app" } }
        ])), json!({ "http_filters": [fault, router()] })))],
        "clusters": [cluster("app", &[app.address])],
    }));
    let start = Instant::now();
    let response = request(proxy.address("in"), "GET /", &[("x-fault", "yes")]);
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!((response.status, response.body.as_str()), (555, "fault filter abort"));
    assert_eq!(get(proxy.address("in"), "/").status, 200);
}

#[test]
fn authorization_refuses_with_403() {
    let app = Backend::text("ok");
    let rbac = json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": { "action": "DENY", "policies": { "ns[shop]-policy[no-admin]-rule[0]": {
                "permissions": [{ "url_path": { "path": { "prefix": "/admin" } } }],
                "principals": [{ "any": true }],
            } } },
        },
    });
    let proxy = Proxy::start(json!({
        "listeners": [listener("in", http(any_host(json!([
            { "match": { "prefix": "/" }, "route": { "cluster": "app" } }
        ])), json!({ "http_filters": [rbac, router()] })))],
        "clusters": [cluster("app", &[app.address])],
    }));
    let response = get(proxy.address("in"), "/admin/x");
    assert_eq!((response.status, response.body.as_str()), (403, "RBAC: access denied"));
    assert_eq!(get(proxy.address("in"), "/shop").status, 200);
    assert_eq!(proxy.stat("http.test.rbac.denied"), 1);
}

#[test]
fn breakers_refuse_what_is_too_much() {
    let slow = Backend::http(|_| {
        std::thread::sleep(Duration::from_millis(400));
        ok("done")
    });
    let mut app = cluster("app", &[slow.address]);
    app["circuit_breakers"] = json!({ "thresholds": [{ "max_connections": 1, "max_pending_requests": 1 }] });
    let proxy = with_route(json!({ "cluster": "app" }), json!([app]));
    let at = proxy.address("in");
    let threads: Vec<_> = (0..6)
        .map(|i| {
            std::thread::sleep(Duration::from_millis(10));
            std::thread::spawn(move || get(at, &format!("/{i}")))
        })
        .collect();
    let answers: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    let good = answers.iter().filter(|a| a.status == 200).count();
    assert_eq!(good, 2, "one under way, one waiting");
    let refused = answers.iter().find(|a| a.status == 503).unwrap();
    assert!(refused.body.ends_with("reset reason: overflow"), "{}", refused.body);
}

#[test]
fn an_endpoint_that_fails_is_left_out_for_a_while() {
    let (bad, good) = (Backend::http(|_| status(500, "bad")), Backend::text("good"));
    let mut app = cluster("app", &[bad.address, good.address]);
    app["outlier_detection"] = json!({
        "consecutive_5xx": 2, "interval": "0.1s", "base_ejection_time": "30s", "max_ejection_percent": 100 });
    let proxy = with_route(json!({ "cluster": "app" }), json!([app]));
    let mut client = Client::connect(proxy.address("in"));
    let bodies: Vec<String> = (0..20).map(|_| client.get("/").body).collect();
    assert_eq!(bodies.iter().filter(|b| *b == "bad").count(), 2, "{bodies:?}");
    assert_eq!(proxy.stat("cluster.app.outlier_detection.ejections_enforced_total"), 1);
}
