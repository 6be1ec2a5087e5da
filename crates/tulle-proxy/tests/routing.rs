//! Requests reach the cluster that the route says, changed as the route says.

mod common;

use common::{Backend, Client, Proxy, any_host, cluster, get, http, listener, request};
use serde_json::json;

#[test]
fn a_request_reaches_its_cluster_and_the_answer_comes_back() {
    let backend = Backend::text("hello");
    let proxy = Proxy::start(json!({
        "listeners": [listener("in", http(any_host(json!([
            { "match": { "prefix": "/" }, "route": { "cluster": "app" } }
        ])), json!({})))],
        "clusters": [cluster("app", &[backend.address])],
    }));
    let mut client = Client::connect(proxy.address("in"));
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!((response.status, response.body.as_str()), (200, "hello"));
        assert_eq!(response.headers["server"], "envoy");
        assert!(response.headers.contains_key("date"));
        assert!(response.headers.contains_key("x-envoy-upstream-service-time"));
    }
    assert_eq!(backend.connections.load(std::sync::atomic::Ordering::Relaxed), 1, "one pooled connection");
    assert_eq!(proxy.stat("cluster.app.upstream_rq_2xx"), 3);
    assert_eq!(proxy.stat("http.test.downstream_rq_2xx"), 3);
}

#[test]
fn routes_choose_by_path_and_header_and_change_the_request() {
    let echo = Backend::echo();
    let proxy = Proxy::start(json!({
        "listeners": [listener("in", http(any_host(json!([
            { "match": { "path": "/gone" }, "direct_response": { "status": 410, "body": { "inline_string": "away" } } },
            { "match": { "prefix": "/old/" }, "redirect": { "path_redirect": "/new", "response_code": "FOUND" } },
            { "match": { "prefix": "/v2/", "headers": [{ "name": "x-beta", "string_match": { "exact": "yes" } }] },
              "route": { "cluster": "app", "prefix_rewrite": "/beta/", "host_rewrite_literal": "beta.local" },
              "request_headers_to_add": [{ "header": { "key": "x-added", "value": "1" } }],
              "response_headers_to_add": [{ "header": { "key": "x-seen", "value": "beta" } }] },
            { "match": { "prefix": "/v2/" }, "route": { "cluster": "app" } },
            { "match": { "prefix": "/none" }, "route": { "cluster": "missing" } },
        ])), json!({})))],
        "clusters": [cluster("app", &[echo.address])],
    }));
    let at = proxy.address("in");
    let gone = get(at, "/gone");
    assert_eq!((gone.status, gone.body.as_str()), (410, "away"));
    let moved = get(at, "/old/x");
    assert_eq!((moved.status, moved.headers["location"].as_str()), (302, "http://test/new"));
    let beta = request(at, "GET /v2/a?b=c", &[("x-beta", "yes"), ("connection", "x-hop"), ("x-hop", "1")]);
    assert!(beta.body.starts_with("GET /beta/a?b=c HTTP/1.1\n"), "{}", beta.body);
    for line in
        ["host: beta.local", "x-added: 1", "x-envoy-original-path: /v2/a?b=c", "x-forwarded-proto: http"]
    {
        assert!(beta.body.contains(line), "{line} in {}", beta.body);
    }
    assert!(!beta.body.contains("x-hop"), "{}", beta.body);
    assert_eq!(beta.headers["x-seen"], "beta");
    assert!(get(at, "/v2/a").body.starts_with("GET /v2/a HTTP/1.1\n"));
    assert_eq!(get(at, "/none").status, 503);
    assert_eq!(get(at, "/nowhere").status, 404);
}

#[test]
fn weights_hold_over_many_requests() {
    let (one, two) = (Backend::text("1"), Backend::text("2"));
    let proxy = Proxy::start(json!({
        "listeners": [listener("in", http(any_host(json!([
            { "match": { "prefix": "/" }, "route": { "weighted_clusters": { "clusters": [
                { "name": "one", "weight": 80 }, { "name": "two", "weight": 20 } ] } } }
        ])), json!({})))],
        "clusters": [cluster("one", &[one.address]), cluster("two", &[two.address])],
    }));
    let mut client = Client::connect(proxy.address("in"));
    let ones = (0..1000).filter(|_| client.get("/").body == "1").count();
    // Three sigma of a binomial distribution: 800 +- 38.
    assert!((762..=838).contains(&ones), "{ones}");
}

#[test]
fn bodies_of_every_framing_pass_both_ways() {
    let echo = Backend::echo();
    let proxy = Proxy::start(json!({
        "listeners": [listener("in", http(any_host(json!([
            { "match": { "prefix": "/" }, "route": { "cluster": "app" } }
        ])), json!({})))],
        "clusters": [cluster("app", &[echo.address])],
    }));
    let mut client = Client::connect(proxy.address("in"));
    let big = "x".repeat(1_000_000);
    client.send(format!("POST /a HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{big}", big.len()));
    let answer = client.receive().unwrap();
    assert!(answer.body.ends_with(&big));
    client.send("POST /b HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;e=1\r\nde\r\n0\r\n\r\n");
    assert!(client.receive().unwrap().body.ends_with("\nabcde"));
    client.send("HEAD /c HTTP/1.1\r\nhost: t\r\n\r\nGET /d HTTP/1.1\r\nhost: t\r\n\r\n");
    let head = client.receive_for("HEAD").unwrap();
    assert!(head.headers["content-length"].parse::<usize>().unwrap() > 0);
    assert!(client.receive().unwrap().body.starts_with("GET /d"), "pipelined requests keep their order");
    client.send("POST /e HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
    assert_eq!(client.receive().unwrap().status, 100);
    client.send("ok");
    assert!(client.receive().unwrap().body.ends_with("\nok"));
}

#[test]
fn copies_go_elsewhere_and_hashes_stick() {
    let (main, shadow) = (Backend::text("main"), Backend::echo());
    let endpoints: Vec<Backend> = (0..4).map(|_| Backend::echo()).collect();
    let addresses: Vec<_> = endpoints.iter().map(|b| b.address).collect();
    let mut ring = cluster("ring", &addresses);
    ring["lb_policy"] = json!("RING_HASH");
    let proxy = Proxy::start(json!({
        "listeners": [listener("in", http(any_host(json!([
            { "match": { "prefix": "/sticky" }, "route": { "cluster": "ring",
                "hash_policy": [{ "header": { "header_name": "x-user" } }] } },
            { "match": { "prefix": "/" }, "route": { "cluster": "main",
                "request_mirror_policies": [{ "cluster": "shadow" }] } },
        ])), json!({})))],
        "clusters": [cluster("main", &[main.address]), cluster("shadow", &[shadow.address]), ring],
    }));
    let at = proxy.address("in");
    let mut client = Client::connect(at);
    client.send("POST /x HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\n\r\nabc");
    assert_eq!(client.receive().unwrap().body, "main");
    common::eventually("the copy arrives", || shadow.hits() == 1);
    for user in ["ann", "bob", "eve"] {
        for _ in 0..5 {
            request(at, "GET /sticky", &[("x-user", user)]);
        }
    }
    assert!(endpoints.iter().all(|b| b.hits() % 5 == 0), "each user has one endpoint");
}
