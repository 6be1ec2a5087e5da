//! Filters of a few fields: buffer, csrf, header mutation, health check.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::status,
    case::{get, h2, post, request},
    config::{any_host, filter, merged, prefix, router},
};

fn of(name: &str, kind: &str, config: Value) -> Value {
    filter(name, &format!("envoy.extensions.filters.http.{kind}"), config)
}

fn own(name: &str, kind: &str, config: Value) -> Value {
    let kind = format!("type.googleapis.com/envoy.extensions.filters.http.{kind}");
    json!({ "typed_per_filter_config": { name: merged(json!({ "@type": kind }), &config) } })
}

fn with(filters: Vec<Value>) -> Value {
    json!({ "http_filters": filters.into_iter().chain([router()]).collect::<Vec<_>>() })
}

fn percent(numerator: u32) -> Value {
    json!({ "default_value": { "numerator": numerator } })
}

fn buffers(a: &mut Area) {
    let kind = "buffer.v3.BufferPerRoute";
    let routes = any_host(json!([
        merged(prefix("/off", "app", json!({})), &own("b", kind, json!({ "disabled": true }))),
        merged(prefix("/more", "app", json!({})), &own("b", kind, json!({ "buffer": { "max_request_bytes": 100 } }))),
        prefix("/", "app", json!({})),
    ]));
    a.http("buffer", routes, with(vec![of("b", "buffer.v3.Buffer", json!({ "max_request_bytes": 10 }))]));
    for path in ["/", "/off", "/more"] {
        for length in [0, 5, 10, 11, 100, 101] {
            a.case(format!("buffer {path} {length}"), "buffer", post(path, &"b".repeat(length)));
            a.case(format!("buffer {path} {length} chunked"), "buffer", post(path, &"b".repeat(length)).chunked());
            a.case(format!("buffer {path} {length} h2"), "buffer", h2(post(path, &"b".repeat(length))));
        }
        a.case(format!("buffer {path} trailers"), "buffer", h2(post(path, "12345").trailer("x-t", "1")));
    }
}

fn origins(a: &mut Area) {
    let policy = |more: Value| merged(json!({ "filter_enabled": percent(100) }), &more);
    let routes = any_host(json!([
        merged(prefix("/off", "app", json!({})), &own("c", "csrf.v3.CsrfPolicy", json!({ "filter_enabled": percent(0) }))),
        merged(prefix("/shadow", "app", json!({})), &own("c", "csrf.v3.CsrfPolicy", json!({ "filter_enabled": percent(0), "shadow_enabled": percent(100) }))),
        merged(prefix("/friends", "app", json!({})), &own("c", "csrf.v3.CsrfPolicy", policy(json!({ "additional_origins": [
            { "exact": "friend.test" }, { "suffix": ".friends.test" }, { "prefix": "http" }] })))),
        prefix("/", "app", json!({})),
    ]));
    a.http("csrf", routes, with(vec![of("c", "csrf.v3.CsrfPolicy", policy(json!({})))]));
    for path in ["/", "/off", "/shadow", "/friends"] {
        for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"] {
            a.case(format!("csrf {method} {path}"), "csrf", request(method, path).header("origin", "http://evil.test"));
        }
        for (field, value) in [
            ("origin", "http://test"), ("origin", "https://test:443"), ("origin", "test"), ("origin", "null"), ("origin", ""), ("origin", "http://test.evil"),
            ("origin", "https://friend.test"), ("origin", "https://x.friends.test:8443"), ("referer", "http://test/page"), ("referer", "https://friend.test/a?b"),
            ("referer", "evil"), ("x-none", "1"),
        ] {
            a.case(format!("csrf {path} {field} {value:?}"), "csrf", post(path, "b").header(field, value));
        }
        a.case(format!("csrf {path} origin before referer"), "csrf", post(path, "b").header("origin", "http://evil.test").header("referer", "http://test/"));
        a.case(format!("csrf {path} with a port"), "csrf", post(path, "b").host("test:80").header("origin", "http://test:80"));
    }
}

fn mutations(a: &mut Area) {
    let append = |key: &str, value: &str, action: &str| {
        json!({ "append": { "header": { "key": key, "value": value }, "append_action": action } })
    };
    let list = json!([
        append("x-a", "more", "APPEND_IF_EXISTS_OR_ADD"), append("x-b", "new", "ADD_IF_ABSENT"), append("x-b", "newer", "ADD_IF_ABSENT"),
        append("x-c", "over", "OVERWRITE_IF_EXISTS_OR_ADD"), append("x-d", "only", "OVERWRITE_IF_EXISTS"), { "remove": "x-gone" },
        append("x-path", "%REQ(:path)% %REQ(x-a)%", "APPEND_IF_EXISTS_OR_ADD"), append("x-none", "%REQ(x-nothing)%", "APPEND_IF_EXISTS_OR_ADD"),
    ]);
    let mutation = |more: Value| of("m", "header_mutation.v3.HeaderMutation", json!({ "mutations": more }));
    let both = json!({ "request_mutations": list, "response_mutations": list });
    let routes = || {
        any_host(json!([
            merged(prefix("/route", "app", json!({})), &own("m", "header_mutation.v3.HeaderMutationPerRoute", json!({ "mutations": {
                "request_mutations": [append("x-a", "route", "APPEND_IF_EXISTS_OR_ADD"), { "remove": "x-c" }],
                "response_mutations": [append("x-a", "route", "OVERWRITE_IF_EXISTS_OR_ADD")] } }))),
            { "match": { "prefix": "/direct" }, "direct_response": { "status": 200, "body": { "inline_string": "direct" } } },
            prefix("/", "app", json!({})),
        ]))
    };
    a.http("mutation", routes(), with(vec![mutation(both)]));
    for path in ["/", "/route", "/direct", "/none"] {
        a.case(format!("mutation {path}"), "mutation", get(path)).answer(status(200).header("x-a", "up").header("x-gone", "1"));
        let full = ["x-a", "x-b", "x-c", "x-d", "x-gone"].into_iter().fold(get(path), |r, n| r.header(n, "old").header(n, "older"));
        let answer = ["x-a", "x-b", "x-c", "x-d", "x-gone"].into_iter().fold(status(503), |r, n| r.header(n, "old"));
        a.case(format!("mutation {path} of what is there"), "mutation", full.clone()).answer(answer.clone());
        a.case(format!("mutation {path} of what is there, h2"), "mutation", h2(full)).answer(answer);
    }
}

fn health(a: &mut Area) {
    a.cluster("ill", &["down"], json!({}));
    let check = |more: Value| {
        of("h", "health_check.v3.HealthCheck", merged(json!({ "headers": [{ "name": ":path", "string_match": { "exact": "/live" } }] }), &more))
    };
    let routes = || any_host(json!([prefix("/", "app", json!({}))]));
    for (name, more) in [
        ("answering", json!({ "pass_through_mode": false })),
        ("passing", json!({ "pass_through_mode": true })),
        ("cached", json!({ "pass_through_mode": true, "cache_time": "60s" })),
        ("half", json!({ "pass_through_mode": false, "cluster_min_healthy_percentages": { "app": { "value": 50 } } })),
        ("none", json!({ "pass_through_mode": false, "cluster_min_healthy_percentages": { "nowhere": { "value": 50 } } })),
        ("zero", json!({ "pass_through_mode": false, "cluster_min_healthy_percentages": { "nowhere": { "value": 0 } } })),
    ] {
        a.http(name, routes(), with(vec![check(more)]));
        a.case(format!("{name} check"), name, get("/live"));
        a.case(format!("{name} check again"), name, get("/live")).answer(status(503));
        a.case(format!("{name} other"), name, get("/other"));
        a.case(format!("{name} with a query"), name, get("/live?x"));
        a.case(format!("{name} post over h2"), name, h2(post("/live", "body")));
    }
}

pub fn area() -> Area {
    let mut a = Area::new("small filters");
    a.cluster("app", &["one"], json!({}));
    buffers(&mut a);
    origins(&mut a);
    mutations(&mut a);
    health(&mut a);
    a
}
