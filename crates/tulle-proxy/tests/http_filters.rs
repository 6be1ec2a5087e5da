//! HTTP filters that change, hold or answer requests. The expectations are what a stock Envoy 1.40 does with the same configuration
//! and requests.

mod common;

use std::{
    io::{BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use common::{Backend, Client, Proxy, any_host, cluster, get, http, http2, listener, ok, request, router};
use serde_json::{Value, json};
use tulle_base::drain::DrainState;

const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions.filters.http";

/// A filter of that type.
fn filter(name: &str, kind: &str, mut config: Value) -> Value {
    config["@type"] = json!(format!("{EXTENSIONS}.{kind}"));
    json!({ "name": name, "typed_config": config })
}

/// A proxy whose listener has these filters in front of the router.
fn proxy(filters: Vec<Value>, hosts: Value, clusters: Value) -> Proxy {
    with(filters, hosts, clusters, json!({}))
}

fn with(mut filters: Vec<Value>, hosts: Value, clusters: Value, mut manager: Value) -> Proxy {
    filters.push(router());
    manager["http_filters"] = json!(filters);
    Proxy::start(json!({ "listeners": [listener("in", http(hosts, manager))], "clusters": clusters }))
}

fn to_app() -> Value {
    any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "app" } }]))
}

fn append(name: &str, value: &str) -> Value {
    json!({ "append": { "header": { "key": name, "value": value } } })
}

fn mutation(mutations: Value) -> Value {
    filter("mutation", "header_mutation.v3.HeaderMutation", json!({ "mutations": mutations }))
}

#[test]
fn mutations_of_all_levels_apply_and_the_filters_own_come_first() {
    let app = Backend::echo();
    let level = |name: &str| {
        let mutations = json!({
            "request_mutations": [append("x-level", name)], "response_mutations": [append("x-level", name)],
        });
        let kind = format!("{EXTENSIONS}.header_mutation.v3.HeaderMutationPerRoute");
        json!({ "mutation": { "@type": kind, "mutations": mutations } })
    };
    let hosts = json!([{
        "name": "all", "domains": ["*"], "typed_per_filter_config": level("host"),
        "routes": [{
            "match": { "prefix": "/" }, "route": { "cluster": "app" }, "typed_per_filter_config": level("route"),
        }],
    }]);
    for (most_specific_wins, want) in [(false, "route|host"), (true, "host|route")] {
        let config = json!({
            "mutations": { "request_mutations": [append("x-own", "filter"), { "remove": "x-gone" }] },
            "most_specific_header_mutations_wins": most_specific_wins,
        });
        let filters = vec![filter("mutation", "header_mutation.v3.HeaderMutation", config)];
        let lines = Backend::raw(|stream| {
            // Repeated fields matter: answer with them in their order.
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut text = String::new();
            let mut all = Vec::new();
            loop {
                text.clear();
                if std::io::BufRead::read_line(&mut reader, &mut text).unwrap_or(0) == 0 {
                    return;
                }
                if text.trim().is_empty() {
                    let body = all.join("|");
                    let _ = stream.write_all(&ok(&body));
                    all.clear();
                } else if let Some(value) = text.strip_prefix("x-level: ") {
                    all.push(value.trim().to_owned());
                }
            }
        });
        let proxy = proxy(filters, hosts.clone(), json!([cluster("app", &[lines.address])]));
        assert_eq!(get(proxy.address("in"), "/").body, want);
    }
    let own =
        vec![mutation(json!({ "request_mutations": [append("x-own", "filter"), { "remove": "x-gone" }] }))];
    let proxy = proxy(own, to_app(), json!([cluster("app", &[app.address])]));
    let body = request(proxy.address("in"), "GET /", &[("x-gone", "1")]).body;
    assert!(body.contains("x-own: filter") && !body.contains("x-gone"), "{body}");
}

#[test]
fn responses_of_all_kinds_are_mutated_but_not_what_the_proxy_says_of_itself() {
    let app = Backend::text("hello");
    let filters = vec![mutation(json!({ "response_mutations": [
        append("x-seen", "%RESPONSE_CODE%"), { "remove": "server" }, { "remove": "date" },
    ] }))];
    let hosts = any_host(json!([
        { "match": { "path": "/none" }, "route": { "cluster": "none" } },
        { "match": { "path": "/answer" }, "direct_response": { "status": 202 } },
        { "match": { "path": "/app" }, "route": { "cluster": "app" } },
    ]));
    let proxy = proxy(filters, hosts, json!([cluster("app", &[app.address])]));
    for (path, status) in [("/app", 200), ("/none", 503), ("/answer", 202), ("/nowhere", 404)] {
        let response = get(proxy.address("in"), path);
        assert_eq!(response.status, status, "{path}");
        assert_eq!(response.headers["x-seen"], status.to_string(), "{path}");
        assert_eq!(response.headers["server"], "envoy");
        assert!(response.headers.contains_key("date"));
    }
    let mut client = Client::connect(proxy.address("in"));
    client.send("BAD\r\n\r\n");
    assert_eq!(client.receive().unwrap().headers["x-seen"], "400", "even where there was no request");
}

#[test]
fn queries_are_mutated() {
    let app = Backend::echo();
    let add = |key: &str, value: &str, action: &str| json!({ "append": { "record": { "key": key, "value": value }, "action": action } });
    let filters = vec![mutation(json!({ "query_parameter_mutations": [
        { "remove": "gone" }, add("who", "%REQ(x-user)% & co", "OVERWRITE_IF_EXISTS_OR_ADD"),
    ] }))];
    let proxy = proxy(filters, to_app(), json!([cluster("app", &[app.address])]));
    let body = request(proxy.address("in"), "GET /p?z=1&gone=2&a=%20&who=x", &[("x-user", "ann")]).body;
    assert!(body.starts_with("GET /p?a=%20&who=ann%20%26%20co&z=1 HTTP/1.1\n"), "{body}");
}

#[test]
fn metadata_that_a_filter_wrote_is_there_for_rules_limits_headers_and_logs() {
    let app = Backend::echo();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let tier = |tier: &str| json!({ "metadata": [{ "metadata_namespace": "shop", "value": { "tier": tier, "n": 2 }, "allow_overwrite": true }] });
    let always = json!({ "default_value": { "numerator": 100 } });
    let filters = vec![
        filter("set", "set_metadata.v3.Config", tier("gold")),
        mutation(
            json!({ "request_mutations": [append("x-shop", "%DYNAMIC_METADATA(shop:tier)% %DYNAMIC_METADATA(shop)%")] }),
        ),
        filter(
            "rbac",
            "rbac.v3.RBAC",
            json!({ "rules": { "action": "DENY", "policies": { "p": {
            "permissions": [{ "metadata": {
                "filter": "shop", "path": [{ "key": "tier" }], "value": { "string_match": { "exact": "banned" } },
            } }],
            "principals": [{ "any": true }],
        } } } }),
        ),
        filter(
            "limit",
            "local_ratelimit.v3.LocalRateLimit",
            json!({
                "stat_prefix": "limit", "filter_enabled": always, "filter_enforced": always,
                "token_bucket": { "max_tokens": 100, "fill_interval": "60s" },
                "rate_limits": [{ "actions": [{ "metadata": {
                    "descriptor_key": "tier", "metadata_key": { "key": "shop", "path": [{ "key": "tier" }] },
                } }] }],
                "descriptors": [{
                    "entries": [{ "key": "tier", "value": "poor" }],
                    "token_bucket": { "max_tokens": 1, "fill_interval": "60s" },
                }],
            }),
        ),
    ];
    let own = |name: &str| {
        let mut config = tier(name);
        config["@type"] = json!(format!("{EXTENSIONS}.set_metadata.v3.Config"));
        json!({ "set": config })
    };
    let hosts = any_host(json!([
        { "match": { "path": "/banned" }, "route": { "cluster": "app" }, "typed_per_filter_config": own("banned") },
        { "match": { "path": "/poor" }, "route": { "cluster": "app" }, "typed_per_filter_config": own("poor") },
        { "match": { "prefix": "/" }, "route": { "cluster": "app" } },
    ]));
    let access_log = json!([{ "name": "file", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": log,
        "log_format": { "text_format_source": { "inline_string":
            "%REQ(:path)% %RESPONSE_CODE% %DYNAMIC_METADATA(shop:tier)% %DYNAMIC_METADATA(shop)% %DYNAMIC_METADATA(none)%\n" } },
    } }]);
    let clusters = json!([cluster("app", &[app.address])]);
    let proxy = with(filters, hosts, clusters, json!({ "access_log": access_log }));
    let gold = get(proxy.address("in"), "/");
    assert!(gold.body.contains("x-shop: gold {\"n\":2,\"tier\":\"gold\"}"), "{}", gold.body);
    assert_eq!(get(proxy.address("in"), "/banned").status, 403);
    assert_eq!([0; 2].map(|_| get(proxy.address("in"), "/poor").status), [200, 429]);
    drop(proxy);
    let lines = std::fs::read_to_string(log).unwrap();
    assert_eq!(lines.lines().next(), Some("/ 200 gold {\"n\":2,\"tier\":\"gold\"} -"));
    assert_eq!(lines.lines().count(), 4);
}

fn buffer(limit: u32) -> Value {
    filter("buffer", "buffer.v3.Buffer", json!({ "max_request_bytes": limit }))
}

#[test]
fn a_buffered_request_goes_on_when_it_is_complete_and_with_a_length() {
    let app = Backend::echo();
    let proxy = proxy(vec![buffer(10)], to_app(), json!([cluster("app", &[app.address])]));
    let mut client = Client::connect(proxy.address("in"));
    client.send("POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(
        app.connections.load(std::sync::atomic::Ordering::Relaxed),
        0,
        "nothing is sent before the end"
    );
    client.send("4\r\ndefg\r\n0\r\n\r\n");
    let response = client.receive().unwrap();
    assert!(
        response.body.contains("content-length: 7\n") && response.body.ends_with("abcdefg"),
        "{}",
        response.body
    );
    assert!(!response.body.contains("transfer-encoding"));
    // The connection lives on, and requests without body pass.
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn a_request_over_the_limit_is_refused() {
    let app = Backend::text("hello");
    let kind = format!("{EXTENSIONS}.buffer.v3.BufferPerRoute");
    let per_route = |change: Value| {
        let mut config = change;
        config["@type"] = json!(kind);
        json!({ "buffer": config })
    };
    let hosts = any_host(json!([
        { "match": { "path": "/more" }, "route": { "cluster": "app" },
          "typed_per_filter_config": per_route(json!({ "buffer": { "max_request_bytes": 20 } })) },
        { "match": { "path": "/off" }, "route": { "cluster": "app" },
          "typed_per_filter_config": per_route(json!({ "disabled": true })) },
        { "match": { "prefix": "/" }, "route": { "cluster": "app" } },
    ]));
    let proxy = proxy(vec![buffer(10)], hosts, json!([cluster("app", &[app.address])]));
    let post = |path: &str, length: usize| {
        let mut client = Client::connect(proxy.address("in"));
        let body = "x".repeat(length);
        client.send(format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: {length}\r\n\r\n{body}"));
        client.receive().unwrap()
    };
    assert_eq!(post("/", 10).status, 200);
    let refused = post("/", 11);
    assert_eq!((refused.status, refused.body.as_str()), (413, "Payload Too Large"));
    assert_eq!(refused.headers["connection"], "close");
    assert_eq!(
        (post("/more", 20).status, post("/more", 21).status, post("/off", 999).status),
        (200, 413, 200)
    );
    assert_eq!(proxy.stat("http.test.downstream_rq_too_large"), 2);
}

#[test]
fn a_client_that_waits_is_told_to_send_what_is_buffered() {
    let app = Backend::echo();
    let proxy = proxy(vec![buffer(10)], to_app(), json!([cluster("app", &[app.address])]));
    let mut client = Client::connect(proxy.address("in"));
    client.send("POST / HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n");
    assert_eq!(client.receive_for("HEAD").unwrap().status, 100);
    client.send("abc");
    let response = client.receive().unwrap();
    assert_eq!(response.status, 200);
    assert!(response.body.ends_with("abc") && !response.body.contains("\nexpect:"), "{}", response.body);
}

#[test]
fn a_buffered_request_is_tried_again_with_its_body() {
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let app = Backend::http(move |r| {
        let first = tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        if first { common::status(503, "not yet") } else { ok(&String::from_utf8_lossy(&r.body)) }
    });
    let hosts = any_host(json!([{ "match": { "prefix": "/" }, "route": {
        "cluster": "app", "retry_policy": { "retry_on": "5xx", "num_retries": 1 } } }]));
    let proxy = proxy(vec![buffer(1_000_000)], hosts, json!([cluster("app", &[app.address])]));
    let body = "0123456789".repeat(50_000);
    let mut client = Client::connect(proxy.address("in"));
    client.send(format!("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
    let response = client.receive().unwrap();
    assert_eq!((response.status, response.body.len(), app.hits()), (200, body.len(), 2));
}

/// An upstream that answers as it reads must get all of what was held, although its head comes early.
#[test]
fn a_response_that_begins_early_does_not_cut_a_held_request_off() {
    let app = Backend::raw(|stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut length = 0;
        let mut line = String::new();
        while std::io::BufRead::read_line(&mut reader, &mut line).unwrap_or(0) > 2 {
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = text.trim().parse().unwrap();
            }
            line.clear();
        }
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes()).unwrap();
        let mut left: usize = length;
        let mut piece = [0; 8192];
        while left > 0 {
            let count = std::io::Read::read(&mut reader, &mut piece).unwrap();
            if count == 0 || stream.write_all(&piece[..count]).is_err() {
                return;
            }
            left -= count;
        }
    });
    let proxy = proxy(vec![buffer(20_000_000)], to_app(), json!([cluster("app", &[app.address])]));
    let body = "0123456789".repeat(1_000_000);
    let mut client = Client::connect(proxy.address("in"));
    let mut writer = client.stream.try_clone().unwrap();
    let sent = body.clone();
    let thread = std::thread::spawn(move || {
        let head = format!("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n", sent.len());
        writer.write_all(head.as_bytes()).unwrap();
        writer.write_all(sent.as_bytes()).unwrap();
    });
    let response = client.receive().unwrap();
    thread.join().unwrap();
    assert!(response.status == 200 && response.body == body, "{} {}", response.status, response.body.len());
}

#[test]
fn a_held_request_goes_upstream_over_http2() {
    let inner_app = Backend::echo();
    // The upstream speaks HTTP/2: another proxy of ours, which passes on to an echo.
    let inner = proxy(vec![], to_app(), json!([cluster("app", &[inner_app.address])]));
    let outer = proxy(vec![buffer(100)], to_app(), json!([http2(cluster("app", &[inner.address("in")]))]));
    let mut client = Client::connect(outer.address("in"));
    client.send(
        "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n",
    );
    let response = client.receive().unwrap();
    assert!(
        response.body.contains("content-length: 3\n") && response.body.ends_with("abc"),
        "{}",
        response.body
    );
}

#[test]
fn requests_of_other_origins_are_refused_or_only_counted() {
    let app = Backend::text("hello");
    let all = json!({ "default_value": { "numerator": 100 } });
    let none = json!({ "default_value": { "numerator": 0 } });
    let policy = |config: Value| filter("csrf", "csrf.v3.CsrfPolicy", config);
    let enforced = proxy(
        vec![policy(json!({ "filter_enabled": all, "additional_origins": [{ "exact": "friend" }] }))],
        to_app(),
        json!([cluster("app", &[app.address])]),
    );
    let post = |proxy: &Proxy, origin: &str| {
        request(proxy.address("in"), "POST /", &[("content-length", "0"), ("origin", origin)])
    };
    assert_eq!(post(&enforced, "http://test").status, 200);
    assert_eq!(post(&enforced, "https://friend/x").status, 200);
    let refused = post(&enforced, "http://other");
    assert_eq!((refused.status, refused.body.as_str()), (403, "Invalid origin"));
    assert_eq!(request(enforced.address("in"), "POST /", &[("content-length", "0")]).status, 403);
    assert_eq!(get(enforced.address("in"), "/").status, 200);
    for (name, want) in [("request_valid", 2), ("request_invalid", 1), ("missing_source_origin", 1)] {
        assert_eq!(enforced.stat(&format!("http.test.csrf.{name}")), want, "{name}");
    }
    let shadow = proxy(
        vec![policy(json!({ "filter_enabled": none, "shadow_enabled": all }))],
        to_app(),
        json!([cluster("app", &[app.address])]),
    );
    assert_eq!(post(&shadow, "http://other").status, 200);
    assert_eq!(shadow.stat("http.test.csrf.request_invalid"), 1);
}

fn health(config: Value) -> Value {
    let mut config = config;
    config["headers"] = json!([{ "name": ":path", "string_match": { "exact": "/health" } }]);
    filter("health", "health_check.v3.HealthCheck", config)
}

#[test]
fn health_checks_are_answered_until_the_proxy_is_on_its_way_down() {
    let app = Backend::text("hello");
    let mut proxy = proxy(
        vec![health(json!({ "pass_through_mode": false }))],
        to_app(),
        json!([cluster("app", &[app.address])]),
    );
    let healthy = get(proxy.address("in"), "/health");
    assert_eq!((healthy.status, app.hits()), (200, 0));
    assert!(healthy.headers.contains_key("x-envoy-upstream-healthchecked-cluster"));
    assert_eq!(get(proxy.address("in"), "/").body, "hello");
    let address = proxy.address("in");
    proxy.fleet().drain(DrainState::Draining);
    proxy.vitals();
    let failed = get(address, "/health");
    assert_eq!(failed.status, 503);
    assert_eq!(failed.headers["x-envoy-immediate-health-check-fail"], "true");
    assert_eq!(get(address, "/").headers["x-envoy-immediate-health-check-fail"], "true");
}

#[test]
fn health_may_depend_on_clusters() {
    let app = Backend::text("hello");
    let status = |percentages: Value| {
        let filters = vec![health(
            json!({ "pass_through_mode": false, "cluster_min_healthy_percentages": percentages }),
        )];
        let clusters = json!([cluster("app", &[app.address]), cluster("empty", &[])]);
        get(proxy(filters, to_app(), clusters).address("in"), "/health").status
    };
    let percent = |value: f64| json!({ "value": value });
    assert_eq!(status(json!({ "app": percent(100.0) })), 200);
    assert_eq!(status(json!({ "none": percent(1.0) })), 503);
    assert_eq!(status(json!({ "empty": percent(1.0) })), 503);
    assert_eq!(status(json!({ "empty": percent(0.0), "app": percent(50.0) })), 200);
}

#[test]
fn a_health_check_that_passes_through_is_remembered() {
    let app = Backend::http(|_| common::status(204, ""));
    let proxy = proxy(
        vec![health(json!({ "pass_through_mode": true, "cache_time": "600s" }))],
        to_app(),
        json!([cluster("app", &[app.address])]),
    );
    for _ in 0..3 {
        assert_eq!(get(proxy.address("in"), "/health").status, 204);
    }
    assert_eq!(app.hits(), 1);
}

/// A fault that slows responses down to so many KiB each second.
fn slow(kbps: u64, more: Value) -> Value {
    let mut config = json!({ "response_rate_limit": {
        "fixed_limit": { "limit_kbps": kbps }, "percentage": { "numerator": 100 },
    } });
    for (key, value) in more.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    filter("envoy.filters.http.fault", "fault.v3.HTTPFault", config)
}

#[test]
fn an_upstream_waits_with_what_a_slowed_response_has_no_room_for() {
    const LENGTH: usize = 200 << 20;
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let app = Backend::raw(move |stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        if common::read_request(&mut reader).is_none() {
            return;
        }
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n").as_bytes());
        let piece = [b'x'; 16 * 1024];
        while stream.write_all(&piece).is_ok() {
            count.fetch_add(piece.len(), Ordering::Relaxed);
        }
    });
    let proxy = proxy(vec![slow(100, json!({}))], to_app(), json!([cluster("app", &[app.address])]));
    let mut client = TcpStream::connect(proxy.address("in")).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let (start, mut got) = (Instant::now(), 0);
    let mut buffer = [0; 16 * 1024];
    while start.elapsed() < Duration::from_secs(2) {
        got += client.read(&mut buffer).unwrap();
    }
    let most = 100 * 1024 * (start.elapsed().as_millis() as usize + 1000) / 1000;
    assert!((100 * 1024..=most).contains(&got), "{got} bytes in {:?}", start.elapsed());
    // What the kernel keeps of both connections, and little more.
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent < LENGTH / 8, "{sent} bytes were read of the upstream");
    assert_eq!(proxy.stat("http.test.fault.response_rl_injected"), 1);
    assert_eq!(proxy.stat("http.test.fault.active_faults"), 1);
    drop(client);
    common::eventually("the fault is over with its request", || {
        proxy.stat("http.test.fault.active_faults") == 0
    });
}

#[test]
fn faults_count_as_active_until_their_requests_are_over() {
    let app = Backend::http(|_| ok(&"x".repeat(3 * 1024)));
    let proxy = proxy(
        vec![slow(1, json!({ "max_active_faults": 1 }))],
        to_app(),
        json!([cluster("app", &[app.address])]),
    );
    let address = proxy.address("in");
    let first = std::thread::spawn(move || {
        let start = Instant::now();
        assert_eq!(get(address, "/").body.len(), 3 * 1024);
        start.elapsed()
    });
    common::eventually("the first one meets the fault", || proxy.stat("http.test.fault.active_faults") == 1);
    assert_eq!(get(address, "/").body.len(), 3 * 1024);
    assert!(!first.is_finished(), "the second one is not slowed");
    assert_eq!(proxy.stat("http.test.fault.faults_overflow"), 1);
    assert!(first.join().unwrap() > Duration::from_secs(2));
    assert_eq!(proxy.stat("http.test.fault.response_rl_injected"), 1);
}
