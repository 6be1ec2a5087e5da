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
        "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
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

/// A cluster whose endpoints are in several priorities.
fn in_priorities(name: &str, priorities: &[&[std::net::SocketAddr]]) -> Value {
    let mut all = cluster(name, &[]);
    let localities = priorities.iter().enumerate().map(|(priority, addresses)| {
        let mut one = cluster(name, addresses)["load_assignment"]["endpoints"][0].clone();
        one["priority"] = json!(priority);
        one["locality"] = json!({ "region": format!("r{priority}") });
        one
    });
    all["load_assignment"]["endpoints"] = localities.collect();
    all
}

#[test]
fn a_lower_priority_helps_when_the_first_is_ejected() {
    let near = Backend::http(|_| status(503, "near"));
    let far = Backend::text("far");
    let mut app = in_priorities("app", &[&[near.address], &[far.address]]);
    app["outlier_detection"] = json!({
        "consecutive_5xx": 3, "interval": "0.1s", "base_ejection_time": "600s", "max_ejection_percent": 100,
    });
    app["common_lb_config"] = json!({ "healthy_panic_threshold": { "value": 0 } });
    let proxy = with_route(json!({ "cluster": "app" }), json!([app]));
    let answers: Vec<u16> = (0..5).map(|_| get(proxy.address("in"), "/").status).collect();
    assert_eq!(answers, [503, 503, 503, 200, 200]);
    assert_eq!(proxy.stat("cluster.app.outlier_detection.ejections_active"), 1);
    assert_eq!(proxy.stat("cluster.app.outlier_detection.ejections_enforced_consecutive_5xx"), 1);
    assert_eq!(proxy.stat("cluster.app.membership_healthy"), 1);
}

#[test]
fn errors_are_what_the_matcher_says() {
    let app = Backend::http(|r| {
        let path = r.line.split(' ').nth(1).unwrap();
        status(path.trim_start_matches('/').parse().unwrap(), "")
    });
    let mut matched = cluster("app", &[app.address]);
    matched["outlier_detection"] =
        json!({ "consecutive_5xx": 3, "base_ejection_time": "600s", "max_ejection_percent": 100 });
    matched["common_lb_config"] = json!({ "healthy_panic_threshold": { "value": 0 } });
    matched["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http_protocol_options": {} },
            "outlier_detection": { "error_matcher": { "or_match": { "rules": [
                { "http_response_headers_match": { "headers": [
                    { "name": ":status", "string_match": { "exact": "429" } },
                ] } },
                { "any_match": false },
            ] } } },
        },
    });
    let proxy = with_route(json!({ "cluster": "app" }), json!([matched]));
    let ask = |code: u16| get(proxy.address("in"), &format!("/{code}")).status;
    assert_eq!(
        [503, 503, 503, 503, 429, 429, 500, 429, 429].map(ask),
        [503, 503, 503, 503, 429, 429, 500, 429, 429]
    );
    assert_eq!(ask(429), 429, "the third in a row");
    assert_eq!(get(proxy.address("in"), "/200").body, "no healthy upstream");
}

#[test]
fn retries_leave_the_priority_that_fails() {
    let near = [Backend::http(|_| status(503, "near")), Backend::http(|_| status(503, "near"))];
    let far = Backend::text("far");
    let app = in_priorities("app", &[&[near[0].address, near[1].address], &[far.address]]);
    let policy = |priority: Value| json!({ "retry_on": "5xx", "num_retries": 3, "retry_priority": priority });
    let remote = json!({
        "name": "envoy.retry_priorities.previous_priorities",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
            "update_frequency": 2,
        },
    });
    let proxy = with_route(json!({ "cluster": "app", "retry_policy": policy(remote) }), json!([app.clone()]));
    assert_eq!(get(proxy.address("in"), "/").body, "far");
    assert_eq!(near[0].hits() + near[1].hits(), 2, "two tries where it is near, then others are asked");
    let proxy = with_route(json!({ "cluster": "app", "retry_policy": policy(Value::Null) }), json!([app]));
    assert_eq!(get(proxy.address("in"), "/").body, "near", "without it all tries stay near");
}

#[test]
fn a_retry_budget_is_a_part_of_the_requests_under_way() {
    let app = Backend::http(|_| {
        std::thread::sleep(Duration::from_millis(150));
        status(503, "no")
    });
    let mut limited = cluster("app", &[app.address]);
    // Without other limits, so that nothing else has requests counted.
    limited["circuit_breakers"] = json!({ "thresholds": [{
        "max_connections": u32::MAX, "max_pending_requests": u32::MAX, "max_requests": u32::MAX, "max_retries": u32::MAX,
        "retry_budget": { "budget_percent": { "value": 25 }, "min_retry_concurrency": 1 },
    }] });
    let proxy = with_route(
        json!({ "cluster": "app", "retry_policy": { "retry_on": "5xx", "num_retries": 1,
            "retry_back_off": { "base_interval": "0.001s" } } }),
        json!([limited]),
    );
    let address = proxy.address("in");
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(move || assert_eq!(get(address, "/").status, 503));
        }
    });
    let retries = proxy.stat("cluster.app.upstream_rq_retry");
    let refused = proxy.stat("cluster.app.upstream_rq_retry_overflow");
    assert_eq!(retries + refused, 20);
    assert!(
        (1..=10).contains(&retries),
        "a quarter of those under way: {retries} retries, {refused} refused"
    );
}

#[test]
fn retries_under_way_are_limited_until_they_are_answered() {
    let app = Backend::http(|_| {
        std::thread::sleep(Duration::from_millis(300));
        status(503, "no")
    });
    let mut limited = cluster("app", &[app.address]);
    limited["circuit_breakers"] = json!({ "thresholds": [{ "max_retries": 1 }] });
    let proxy = with_route(
        json!({ "cluster": "app", "retry_policy": { "retry_on": "5xx", "num_retries": 1,
            "retry_back_off": { "base_interval": "0.001s" } } }),
        json!([limited]),
    );
    let address = proxy.address("in");
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(move || assert_eq!(get(address, "/").status, 503));
        }
    });
    let retries = proxy.stat("cluster.app.upstream_rq_retry");
    assert!(retries < 6, "the wait of a retry is not all of it: {retries}");
    assert_eq!(retries + proxy.stat("cluster.app.upstream_rq_retry_overflow"), 6);
}

#[test]
fn the_upstream_is_told_how_long_it_has() {
    let tries = AtomicUsize::new(0);
    let app = Backend::http(move |r| {
        if tries.fetch_add(1, Ordering::Relaxed) == 0 {
            std::thread::sleep(Duration::from_millis(300));
            return status(503, "again");
        }
        ok(r.headers.get("x-envoy-expected-rq-timeout-ms").map(String::as_str).unwrap_or("none"))
    });
    let proxy = with_route(
        json!({ "cluster": "app", "timeout": "15s", "retry_policy": { "retry_on": "5xx", "num_retries": 1 } }),
        json!([cluster("app", &[app.address])]),
    );
    let left: u64 = get(proxy.address("in"), "/").body.parse().unwrap();
    assert!((5_000..=14_700).contains(&left), "what the first try left: {left}");
    assert_eq!(get(proxy.address("in"), "/").body, "15000", "the whole time for a first try");
}

fn health_check(kind: &str, check: Value, thresholds: (u32, u32)) -> Value {
    json!([{
        "timeout": "2s", "interval": "0.05s", "no_traffic_interval": "0.05s",
        "unhealthy_threshold": thresholds.0, "healthy_threshold": thresholds.1,
        kind: check,
    }])
}

#[test]
fn endpoints_are_asked_over_http_whether_they_are_well() {
    use std::sync::Arc;
    let well = Arc::new(AtomicUsize::new(200));
    let asked = Arc::clone(&well);
    let sick = Backend::http(move |r| {
        if r.line.starts_with("GET /healthz ") {
            assert_eq!(r.headers.get("host").map(String::as_str), Some("checked"));
            assert_eq!(r.headers.get("x-check").map(String::as_str), Some("1"));
            return status(u16::try_from(asked.load(Ordering::Relaxed)).unwrap(), "");
        }
        ok("sick")
    });
    let fine = Backend::http(|r| if r.line.starts_with("GET /healthz ") { ok("") } else { ok("fine") });
    let mut app = cluster("app", &[sick.address, fine.address]);
    app["lb_policy"] = json!("ROUND_ROBIN");
    app["common_lb_config"] = json!({ "healthy_panic_threshold": { "value": 0 } });
    app["health_checks"] = health_check(
        "http_health_check",
        json!({ "path": "/healthz", "host": "checked",
            "request_headers_to_add": [{ "header": { "key": "x-check", "value": "1" } }] }),
        (2, 1),
    );
    let proxy = with_route(json!({ "cluster": "app" }), json!([app]));
    let healthy = || proxy.stat("cluster.app.membership_healthy");
    common::eventually("both are well", || healthy() == 2);
    well.store(503, Ordering::Relaxed);
    common::eventually("one is not", || healthy() == 1);
    for _ in 0..6 {
        assert_eq!(get(proxy.address("in"), "/").body, "fine");
    }
    well.store(200, Ordering::Relaxed);
    common::eventually("it is again", || healthy() == 2);
    assert!(proxy.stat("cluster.app.health_check.failure") >= 1);
}

#[test]
fn endpoints_are_asked_over_tcp_whether_they_are_well() {
    use std::io::{Read as _, Write as _};
    let pong = Backend::raw(|stream| {
        let mut word = [0; 4];
        if stream.read_exact(&mut word).is_ok() && &word == b"ping" {
            let _ = stream.write_all(b"..pong..");
        }
    });
    let silent = Backend::raw(|stream| {
        let _ = stream.write_all(b"nothing of the kind");
    });
    let checked = |backend: &Backend| {
        let mut app = cluster("app", &[backend.address]);
        app["common_lb_config"] = json!({ "healthy_panic_threshold": { "value": 0 } });
        // "ping", and "pong" with anything before it.
        app["health_checks"] = health_check(
            "tcp_health_check",
            json!({ "send": { "text": "70696e67" }, "receive": [{ "text": "706f6e67" }] }),
            (1, 1),
        );
        with_route(json!({ "cluster": "app" }), json!([app]))
    };
    let proxy = checked(&pong);
    common::eventually("it answers as it should", || proxy.stat("cluster.app.membership_healthy") == 1);
    let proxy = checked(&silent);
    common::eventually("it was asked", || proxy.stat("cluster.app.health_check.failure") >= 2);
    assert_eq!(proxy.stat("cluster.app.membership_healthy"), 0);
    assert_eq!(get(proxy.address("in"), "/").body, "no healthy upstream");
}

#[test]
fn endpoints_are_asked_over_grpc_whether_they_are_well() {
    // A gRPC server of few lines, with a proxy that speaks HTTP/2 for it.
    let server = |message: [u8; 7], code: u16| {
        let app = Backend::http(move |r| {
            assert_eq!(r.line, "POST /grpc.health.v1.Health/Check HTTP/1.1");
            // The service's name is field 1.
            assert_eq!(r.body, b"\0\0\0\0\x06\x0a\x04shop");
            let mut answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: {code}\r\ncontent-length: 7\r\n\r\n"
            )
            .into_bytes();
            answer.extend_from_slice(&message);
            answer
        });
        let proxy = Proxy::start(json!({
            "listeners": [listener("grpc", http(any_host(json!([
                { "match": { "prefix": "/" }, "route": { "cluster": "app" } }
            ])), json!({ "codec_type": "HTTP2" })))],
            "clusters": [cluster("app", &[app.address])],
        }));
        (proxy, app)
    };
    // Five bytes of framing, and field 1: SERVING (1) or NOT_SERVING (2).
    let (serving, not_serving) = ([0, 0, 0, 0, 2, 8, 1], [0, 0, 0, 0, 2, 8, 2]);
    for (message, code, well) in [(serving, 0, 1), (not_serving, 0, 0), (serving, 5, 0)] {
        let (server, _app) = server(message, code);
        let mut app = cluster("app", &[server.address("grpc")]);
        app["health_checks"] = health_check("grpc_health_check", json!({ "service_name": "shop" }), (1, 1));
        let proxy = with_route(json!({ "cluster": "app" }), json!([app]));
        common::eventually("it was asked", || proxy.stat("cluster.app.health_check.attempt") >= 2);
        common::eventually("it says so", || proxy.stat("cluster.app.membership_healthy") == well);
        let failed = proxy.stat("cluster.app.health_check.failure");
        assert_eq!(failed == 0, well == 1, "{message:?} {code}: {failed} failed");
        assert_eq!(proxy.stat("cluster.app.health_check.network_failure"), 0, "{message:?} {code}");
    }
}

#[test]
fn a_split_by_hash_keeps_a_user_on_one_side() {
    let sides = [Backend::text("one"), Backend::text("two")];
    let route = json!({
        "weighted_clusters": {
            "clusters": [{ "name": "one", "weight": 50 }, { "name": "two", "weight": 50 }],
            "use_hash_policy": true,
        },
        "hash_policy": [{ "cookie": { "name": "side", "ttl": "0s", "path": "/" } }],
    });
    let clusters = json!([cluster("one", &[sides[0].address]), cluster("two", &[sides[1].address])]);
    let proxy = with_route(route, clusters);
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..20 {
        let first = get(proxy.address("in"), "/");
        let cookie =
            first.headers.get("set-cookie").map(String::as_str).expect("a new user gets a cookie").to_owned();
        let cookie = cookie.split(';').next().unwrap();
        for _ in 0..5 {
            let again = request(proxy.address("in"), "GET /", &[("cookie", cookie)]);
            assert_eq!(again.body, first.body, "{cookie}");
            assert_eq!(again.headers.get("set-cookie").map(String::as_str), None);
        }
        *seen.entry(first.body).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 2, "users are on both sides: {seen:?}");
}

/// What is busy for one worker is busy for all: a request that hangs at one endpoint sends most others to the other one,
/// whichever worker they come to.
#[test]
fn least_request_knows_the_requests_of_all_workers() {
    let held = std::sync::Arc::new(std::sync::Mutex::new(()));
    let backend = |name: &'static str| {
        let held = std::sync::Arc::clone(&held);
        Backend::http(move |r| {
            if r.line.contains("/slow") {
                drop(held.lock());
            }
            ok(name)
        })
    };
    let (a, b) = (backend("a"), backend("b"));
    let mut least = cluster("app", &[a.address, b.address]);
    least["lb_policy"] = json!("LEAST_REQUEST");
    let proxy = Proxy::with(
        json!({
            "listeners": [listener("in", http(any_host(json!([
                { "match": { "prefix": "/" }, "route": { "cluster": "app" } }
            ])), json!({})))],
            "clusters": [least],
        }),
        tulle_proxy::worker::Settings { workers: 2, ..Default::default() },
    );
    let stuck = held.lock().unwrap();
    let mut slow = Client::connect(proxy.address("in"));
    slow.send("GET /slow HTTP/1.1\r\nhost: t\r\n\r\n");
    common::eventually("under way", || a.hits() + b.hits() == 1);
    // A connection each, so that both workers get some.
    let answers: Vec<String> = (0..1000).map(|_| get(proxy.address("in"), "/").body).collect();
    drop(stuck);
    let busy = slow.receive().unwrap().body;
    let others = answers.iter().filter(|name| **name != busy).count();
    // Three of four, as both draws fall on the busy one otherwise; without the other worker's numbers every second.
    assert!((690..=810).contains(&others), "{others} of 1000");
}
