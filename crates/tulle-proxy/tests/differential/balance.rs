//! Which cluster and which endpoint: weights, hashes, mirrors.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::status,
    case::{get, post},
    config::{any_host, endpoint, merged, prefix},
};

pub fn area() -> Area {
    let mut a = Area::new("balance");
    for name in ["a", "b", "c"] {
        a.cluster(name, &[name], json!({}));
    }
    let six = ["r1", "r2", "r3", "r4", "r5", "r6"];
    a.cluster("ring", &six, json!({ "lb_policy": "RING_HASH" }));
    a.cluster("murmur", &six, json!({ "lb_policy": "RING_HASH", "ring_hash_lb_config": { "hash_function": "MURMUR_HASH_2" } }));
    a.cluster("maglev", &six, json!({ "lb_policy": "MAGLEV", "maglev_lb_config": { "table_size": 251 } }));
    a.cluster("maglevbig", &six, json!({ "lb_policy": "MAGLEV" }));
    let weighted: Vec<Value> = six.iter().zip([1, 2, 3, 4, 5, 6]).map(|(u, w)| merged(endpoint(u), &json!({ "load_balancing_weight": w }))).collect();
    for (name, policy) in [("ringweights", "RING_HASH"), ("maglevweights", "MAGLEV")] {
        a.cluster(name, &six, json!({ "lb_policy": policy, "load_assignment": { "endpoints": [{ "lb_endpoints": weighted }] } }));
    }
    a.cluster("robin", &["r1", "r2", "r3"], json!({ "lb_policy": "ROUND_ROBIN" }));
    // Most endpoints are canaries: a retry that passes them over finds the other one, whatever chance does.
    let canary = |name: &str| merged(endpoint(name), &json!({ "metadata": { "filter_metadata": { "envoy.lb": { "canary": true, "stages": ["alpha", "beta"] } } } }));
    a.cluster("canaries", &["n"], json!({ "lb_policy": "RANDOM", "load_assignment": { "endpoints": [{ "lb_endpoints": [
        endpoint("n"), canary("k1"), canary("k2"), canary("k3")] }] } }));
    let passing = |path: &str, predicate: Value| prefix(path, "canaries", json!({ "retry_policy": { "retry_on": "5xx", "retry_back_off": { "base_interval": "0.001s" },
        "host_selection_retry_max_attempts": 200, "retry_host_predicate": [predicate] } }));
    let without = |stage: &str| json!({ "name": "envoy.retry_host_predicates.omit_host_metadata", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig",
        "metadata_match": { "filter_metadata": { "envoy.lb": { "stages": stage } } } } });
    let by = |cluster: &str, policy: Value| prefix(&format!("/{cluster}"), cluster, json!({ "hash_policy": policy }));
    let user = || json!([{ "header": { "header_name": "x-user" } }]);
    let split = |extra: Value| merged(json!({ "clusters": [{ "name": "a", "weight": 30 }, { "name": "b", "weight": 0 }, { "name": "c", "weight": 70 }] }), &extra);
    let weights = |path: &str, config: Value| json!({ "match": { "prefix": path }, "route": { "weighted_clusters": config } });
    let mirror = |path: &str, mirrors: Value, more: Value| prefix(path, "a", merged(json!({ "request_mirror_policies": mirrors }), &more));
    a.http(
        "in",
        any_host(json!([
            by("ringweights", user()),
            by("ring", user()),
            by("murmur", user()),
            by("maglevweights", user()),
            by("maglevbig", user()),
            by("maglev", user()),
            prefix("/query", "ring", json!({ "hash_policy": [{ "query_parameter": { "name": "u" } }] })),
            prefix("/cookie", "ring", json!({ "hash_policy": [{ "cookie": { "name": "sticky" } }] })),
            prefix("/both", "ring", json!({ "hash_policy": [{ "header": { "header_name": "x-user" } }, { "query_parameter": { "name": "u" } }] })),
            prefix("/terminal", "ring", json!({ "hash_policy": [{ "header": { "header_name": "x-user" }, "terminal": true }, { "query_parameter": { "name": "u" } }] })),
            prefix("/source", "ring", json!({ "hash_policy": [{ "connection_properties": { "source_ip": true } }] })),
            prefix("/rewritten", "ring", json!({ "hash_policy": [{ "header": { "header_name": "x-user", "regex_rewrite": {
                "pattern": { "regex": "-.*" }, "substitution": "" } } }] })),
            weights("/split", split(json!({ "header_name": "x-rand" }))),
            weights("/total", json!({ "header_name": "x-rand", "clusters": [{ "name": "a", "weight": 1 }, { "name": "c", "weight": 2 }] })),
            weights("/whole", json!({ "clusters": [{ "name": "b", "weight": 0 }, { "name": "c", "weight": 1 }] })),
            weights("/named", json!({ "clusters": [{ "cluster_header": "x-to", "weight": 1 }] })),
            { "match": { "prefix": "/header" }, "route": { "cluster_header": "x-to" } },
            { "match": { "prefix": "/missing404" }, "route": { "cluster": "nowhere", "cluster_not_found_response_code": "NOT_FOUND" } },
            { "match": { "prefix": "/missing500" }, "route": { "cluster": "nowhere", "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR" } },
            { "match": { "prefix": "/missing" }, "route": { "cluster": "nowhere" } },
            mirror("/mirror", json!([{ "cluster": "b" }]), json!({})),
            mirror("/mirrors", json!([{ "cluster": "b" }, { "cluster": "c" }]), json!({})),
            mirror("/rewmirror", json!([{ "cluster": "b" }]), json!({ "prefix_rewrite": "/new", "host_rewrite_literal": "new.test" })),
            mirror("/nomirror", json!([{ "cluster": "b", "runtime_fraction": { "default_value": { "numerator": 0 } } }]), json!({})),
            mirror("/lostmirror", json!([{ "cluster": "nowhere" }]), json!({})),
            mirror("/tracemirror", json!([{ "cluster": "b", "disable_shadow_host_suffix_append": true }]), json!({})),
            prefix("/robin", "robin", json!({})),
            passing("/canaries", json!({ "name": "envoy.retry_host_predicates.omit_canary_hosts", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate" } })),
            passing("/beta", without("beta")),
            passing("/gamma", without("gamma")),
            passing("/unsaid", json!({ "name": "envoy.retry_host_predicates.omit_host_metadata", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig" } })),
        ])),
        json!({}),
    );
    for cluster in ["ring", "murmur", "ringweights", "maglev", "maglevbig", "maglevweights"] {
        for user in ["ann", "bob", "carol", "dave", "eve", "a much longer name of a user who goes on and on"] {
            a.case(format!("{cluster} for {user}"), "in", get(&format!("/{cluster}")).header("x-user", user));
        }
    }
    for (n, value) in ["1", "two", "3", "a%20b"].iter().enumerate() {
        a.case(format!("query {n}"), "in", get(&format!("/query?x&u={value}")));
        a.case(format!("cookie {n}"), "in", get("/cookie").header("cookie", &format!("a=b; sticky={value}")));
        a.case(format!("both {n}"), "in", get(&format!("/both?u={value}")).header("x-user", "ann"));
        a.case(format!("terminal {n}"), "in", get(&format!("/terminal?u={value}")).header("x-user", "ann"));
        a.case(format!("terminal without header {n}"), "in", get(&format!("/terminal?u={value}")));
        a.case(format!("rewritten {n}"), "in", get("/rewritten").header("x-user", &format!("ann-{value}")));
    }
    a.case("two lines of a header", "in", get("/ring").header("x-user", "ann").header("x-user", "bob"));
    a.case("two lines in another order", "in", get("/ring").header("x-user", "bob").header("x-user", "ann"));
    for last in [1, 2, 3, 9] {
        a.case(format!("source {last}"), "in", get("/source")).from([127, 0, 0, last]);
    }
    for number in ["0", "29", "30", "99", "100", "129", "130", "18446744073709551615", "7"] {
        a.case(format!("split {number}"), "in", get("/split").header("x-rand", number));
        a.case(format!("total {number}"), "in", get("/total").header("x-rand", number));
    }
    a.case("whole", "in", get("/whole"));
    a.case("named", "in", get("/named").header("x-to", "b"));
    a.case("named nowhere", "in", get("/named").header("x-to", "x"));
    for (what, request) in [
        ("b", get("/header").header("x-to", "b")), ("nowhere", get("/header").header("x-to", "x")), ("nothing", get("/header")),
    ] {
        a.case(format!("cluster_header {what}"), "in", request);
    }
    for path in ["/missing", "/missing404", "/missing500", "/nomirror", "/lostmirror"] {
        a.case(path, "in", get(path));
    }
    a.case("mirror", "in", post("/mirror?q", "the body").host("host:80")).seen(2);
    a.case("mirrors", "in", get("/mirrors")).seen(3);
    a.case("mirror that fails", "in", get("/mirror")).answer_of("b", status(500)).seen(2);
    a.case("mirror of a rewritten request", "in", get("/rewmirror/x").host("[::1]:8")).seen(2);
    for (path, passed) in [("/canaries", true), ("/beta", true), ("/gamma", false), ("/unsaid", false)] {
        let requests: Vec<_> = (0..if passed { 8 } else { 1 }).map(|_| get(path)).collect();
        let case = a.case(format!("hosts that retries pass over: {path}"), "in", requests);
        // Where nothing is passed over, every host fails: which ones are asked is chance.
        case.answer_of("n", status(if passed { 200 } else { 500 }).body("an answer")).blind();
        for canary in ["k1", "k2", "k3"] {
            case.answer_of(canary, status(500).body("an answer"));
        }
    }
    a.case("mirror without suffix", "in", get("/tracemirror").header("x-forwarded-for", "1.2.3.4")).seen(2);
    a
}
