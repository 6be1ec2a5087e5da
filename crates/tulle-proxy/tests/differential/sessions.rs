//! Sessions that stay at an endpoint, by cookie and by header.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::status,
    case::get,
    config::{any_host, filter, merged, prefix, router},
};

const FILTER: &str = "envoy.filters.http.stateful_session";

/// A session in a cookie with these further members.
fn cookie(more: Value) -> Value {
    let cookie = merged(json!({ "name": "s" }), &more);
    json!({ "session_state": { "name": "envoy.http.stateful_session.cookie", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState",
        "cookie": cookie } } })
}

/// A session in the header `x-session`.
fn header() -> Value {
    json!({ "session_state": { "name": "envoy.http.stateful_session.header", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState",
        "name": "x-session" } } })
}

/// A route with this change of the filter.
fn changed(path: &str, cluster: &str, change: Value) -> Value {
    let typed = merged(
        json!({ "@type": "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute" }),
        &change,
    );
    merged(prefix(path, cluster, json!({})), &json!({ "typed_per_filter_config": { FILTER: typed } }))
}

pub fn area() -> Area {
    let mut a = Area::new("sessions");
    a.cluster("one", &["a"], json!({}));
    a.cluster("other", &["d"], json!({}));
    a.cluster("three", &["a", "b", "c"], json!({ "lb_policy": "RING_HASH" }));
    let sick = json!({ "load_assignment": { "endpoints": [{ "lb_endpoints": [
        merged(crate::harness::config::endpoint("a"), &json!({ "health_status": "HEALTHY" })),
        merged(crate::harness::config::endpoint("b"), &json!({ "health_status": "UNHEALTHY" })),
        merged(crate::harness::config::endpoint("c"), &json!({ "health_status": "DEGRADED" })),
    ] }] } });
    a.cluster("sick", &["a", "b", "c"], sick);
    let of = |session: Value| json!({ "stateful_session": session });
    let strict = |more: Value| of(merged(merged(cookie(json!({})), &json!({ "strict": true })), &more));
    let routes = json!([
        changed("/header", "three", of(header())),
        changed("/strict", "sick", strict(json!({}))),
        changed("/gone", "sick", strict(json!({ "status_on_strict_destination_not_found": 410 }))),
        changed("/off", "one", json!({ "disabled": true })),
        changed("/single", "one", of(header())),
        changed("/sick", "sick", of(cookie(json!({})))),
        changed("/path", "one", of(cookie(json!({ "path": "/path/in" })))),
        changed("/slash", "one", of(cookie(json!({ "path": "/slash/" })))),
        changed("/more", "one", of(cookie(json!({ "path": "/", "attributes": [{ "name": "Secure" }, { "name": "SameSite", "value": "Lax" }] })))),
        changed("/ttl", "one", of(cookie(json!({ "ttl": "60s" })))),
        prefix("/one", "one", json!({})),
        prefix("/again", "three", json!({ "hash_policy": [{ "header": { "header_name": "x-user" } }], "retry_policy": {
            "retry_on": "5xx", "num_retries": 1,
            "retry_host_predicate": [{ "name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate" } }],
            "host_selection_retry_max_attempts": 9 } })),
        prefix("/", "three", json!({ "hash_policy": [{ "header": { "header_name": "x-user" } }] })),
    ]);
    let sessions =
        filter(FILTER, "envoy.extensions.filters.http.stateful_session.v3.StatefulSession", cookie(json!({})));
    a.http("in", any_host(routes.clone()), json!({ "http_filters": [sessions, router()] }));
    let empty = filter(FILTER, "envoy.extensions.filters.http.stateful_session.v3.StatefulSession", json!({}));
    a.http("empty", any_host(routes), json!({ "http_filters": [empty, router()] }));

    a.case("a session begins", "in", get("/one"));
    a.case("an answer that is none", "in", get("/one")).answer(status(503));
    for upstream in ["a", "b", "c"] {
        let cookie = |kind: &str| format!("x=y; s=\"{{{kind}:{upstream}}}\"");
        a.case(format!("goes on at {upstream}"), "in", get("/").header("cookie", &cookie("session")));
        a.case(format!("ended at {upstream}"), "in", get("/one").header("cookie", &cookie("ended")));
        a.case(format!("lasting at {upstream}"), "in", get("/").header("cookie", &cookie("lasting")));
        a.case(format!("of old at {upstream}"), "in", get("/").header("cookie", &cookie("base64")));
        a.case(format!("strict at {upstream}"), "in", get("/strict").header("cookie", &cookie("session")));
        a.case(format!("gone at {upstream}"), "in", get("/gone").header("cookie", &cookie("session")));
        a.case(format!("off at {upstream}"), "in", get("/off").header("cookie", &cookie("session")));
        a.case(format!("by header at {upstream}"), "in", get("/header").header("x-session", &format!("{{base64:{upstream}}}")));
        a.case(format!("elsewhere at {upstream}"), "in", get("/one").header("cookie", &cookie("session")));
        a.case(format!("without quotes at {upstream}"), "empty", get("/more").header("cookie", &format!("s={{session:{upstream}}}")));
        a.case(format!("nobody's at {upstream}"), "empty", get("/").header("cookie", &cookie("session")).header("x-user", "bob"));
    }
    a.case("strict at nobody's", "in", get("/strict").header("cookie", "s={session:d}"));
    a.case("gone at nobody's", "in", get("/gone").header("cookie", "s={session:d}"));
    for upstream in ["a", "c"] {
        let cookie = format!("s=\"{{session:{upstream}}}\"");
        a.case(format!("not well at {upstream}"), "in", get("/sick").header("cookie", &cookie));
    }
    for (n, value) in ["", "?", "MTI3", "Cg==", "AAAA", "gICA"].iter().enumerate() {
        a.case(format!("no session {n}"), "in", get("/one").header("cookie", &format!("s={value}")));
        a.case(format!("no session in a header {n}"), "in", get("/single").header("x-session", value));
    }
    for target in ["/path", "/path/in", "/path/in/side", "/path/in?q", "/path/inside", "/slash", "/slash/", "/slash/x"] {
        a.case(format!("path {target}"), "in", get(target));
    }
    a.case("attributes", "in", get("/more"));
    // A new one would tell the time.
    a.case("a life goes on", "in", get("/ttl").header("cookie", "s={lasting:a}"));
    let again = get("/again").header("cookie", "s={session:b}").header("x-user", "ann");
    a.case("another try goes elsewhere", "in", again).answer_of("b", status(500)).seen(2);
    a
}
