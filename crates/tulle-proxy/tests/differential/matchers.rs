//! Header, query parameter and cookie matchers, and chance.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    case::{get, grpc, h2, request},
    config::{answering, any_host},
};

/// The matchers of header `x`, each behind its own path.
fn headers() -> Vec<(&'static str, Value)> {
    vec![
        ("exact", json!({ "string_match": { "exact": "v1" } })),
        ("exactcase", json!({ "string_match": { "exact": "V1", "ignore_case": true } })),
        ("prefix", json!({ "string_match": { "prefix": "v" } })),
        ("suffix", json!({ "string_match": { "suffix": "1" } })),
        ("contains", json!({ "string_match": { "contains": "ee" } })),
        ("containscase", json!({ "string_match": { "contains": "EE", "ignore_case": true } })),
        ("regex", json!({ "string_match": { "safe_regex": { "regex": "v[0-9]" } } })),
        ("joined", json!({ "string_match": { "exact": "v1,v2" } })),
        ("joinedregex", json!({ "string_match": { "safe_regex": { "regex": "v1.*v2" } } })),
        ("present", json!({ "present_match": true })),
        ("absent", json!({ "present_match": false })),
        ("named", json!({})),
        ("range", json!({ "range_match": { "start": 1, "end": 10 } })),
        ("negative", json!({ "range_match": { "start": -5, "end": 0 } })),
        ("notexact", json!({ "string_match": { "exact": "v1" }, "invert_match": true })),
        ("notpresent", json!({ "present_match": true, "invert_match": true })),
        ("notabsent", json!({ "present_match": false, "invert_match": true })),
        ("notrange", json!({ "range_match": { "start": 1, "end": 10 }, "invert_match": true })),
        ("emptyexact", json!({ "string_match": { "exact": "" } })),
        ("missing", json!({ "string_match": { "exact": "" }, "treat_missing_header_as_empty": true })),
        ("notmissing", json!({ "string_match": { "exact": "v1" }, "invert_match": true,
            "treat_missing_header_as_empty": true })),
        ("missingregex", json!({ "string_match": { "safe_regex": { "regex": "(v1)?" } },
            "treat_missing_header_as_empty": true })),
        ("missingpresent", json!({ "present_match": true, "treat_missing_header_as_empty": true })),
        ("missingabsent", json!({ "present_match": false, "treat_missing_header_as_empty": true })),
        ("missingrange", json!({ "range_match": { "start": 0, "end": 10 }, "treat_missing_header_as_empty": true })),
    ]
}

const VALUES: &[(&str, &[&str])] = &[
    ("none", &[]),
    ("empty", &[""]),
    ("v1", &["v1"]),
    ("V1", &["V1"]),
    ("deed", &["deed"]),
    ("5", &["5"]),
    ("10", &["10"]),
    ("-3", &["-3"]),
    ("+5", &["+5"]),
    ("5x", &["5x"]),
    ("v1 and v2", &["v1", "v2"]),
    ("v2 and v1", &["v2", "v1"]),
    ("v1, v2", &["v1,v2"]),
];

pub fn area() -> Area {
    let mut a = Area::new("matchers");
    let mut routes: Vec<Value> = Vec::new();
    for (name, mut matcher) in headers() {
        matcher["name"] = json!("x");
        routes.push(answering(json!({ "path": format!("/h/{name}"), "headers": [matcher] }), "hit"));
    }
    let query = |name: &str, matcher: Value| {
        answering(json!({ "path": format!("/q/{name}"), "query_parameters": [matcher] }), "hit")
    };
    routes.extend([
        query("exact", json!({ "name": "a", "string_match": { "exact": "1" } })),
        query("case", json!({ "name": "a", "string_match": { "exact": "X", "ignore_case": true } })),
        query("prefix", json!({ "name": "a", "string_match": { "prefix": "1" } })),
        query("present", json!({ "name": "a", "present_match": true })),
        query("named", json!({ "name": "a" })),
        query("regex", json!({ "name": "a", "string_match": { "safe_regex": { "regex": "[0-9]+" } } })),
        query("space", json!({ "name": "a", "string_match": { "exact": "a b" } })),
        answering(json!({ "prefix": "/q/both", "query_parameters": [
            { "name": "a", "string_match": { "exact": "1" } }, { "name": "b", "present_match": true }] }), "hit"),
        answering(json!({ "path": "/m/method", "headers": [{ "name": ":method", "string_match": { "exact": "PUT" } }] }), "put"),
        answering(json!({ "path": "/m/authority", "headers": [{ "name": ":authority", "string_match": { "prefix": "te" } }] }), "te"),
        answering(json!({ "path": "/m/host", "headers": [{ "name": "host", "string_match": { "prefix": "te" } }] }), "te"),
        answering(json!({ "prefix": "/m/path", "headers": [{ "name": ":path", "string_match": { "suffix": "?y" } }] }), "y"),
        answering(json!({ "path": "/m/scheme", "headers": [{ "name": ":scheme", "string_match": { "exact": "http" } }] }), "http"),
        answering(json!({ "path": "/m/case", "headers": [{ "name": "X-Mixed", "string_match": { "exact": "1" } }] }), "mixed"),
        answering(json!({ "prefix": "/grpc", "grpc": {} }), "grpc"),
        answering(json!({ "prefix": "/cookie", "cookies": [{ "name": "c", "string_match": { "exact": "1" } }] }), "cookie"),
        answering(json!({ "prefix": "/nocookie", "cookies": [{ "name": "c", "string_match": { "exact": "1" },
            "invert_match": true }] }), "no cookie"),
        answering(json!({ "path": "/never", "runtime_fraction": { "default_value": { "numerator": 0 } } }), "never"),
        answering(json!({ "path": "/always", "runtime_fraction": { "default_value": { "numerator": 100 } } }), "always"),
        answering(json!({ "prefix": "/h/several", "headers": [
            { "name": "x", "string_match": { "exact": "v1" } },
            { "name": "y", "string_match": { "exact": "v1" }, "invert_match": true } ] }), "hit"),
        answering(json!({ "prefix": "/" }), "miss"),
    ]);
    a.http("in", any_host(json!(routes)), json!({}));
    for (name, _) in headers() {
        for (what, values) in VALUES {
            let request = values.iter().fold(get(&format!("/h/{name}")), |r, v| r.header("x", v));
            a.case(format!("{name} of {what}"), "in", request);
        }
    }
    for query in [
        "exact?a=1", "exact?a=2", "exact?A=1", "exact?b=1&a=1", "exact?a=2&a=1", "exact?a=1&a=2", "exact?a", "exact?a=%31",
        "exact?%61=1", "exact", "exact?", "exact?&a=1", "exact?a=1#f", "case?a=x", "prefix?a=12", "present?a", "present?a=",
        "present?b", "present?ab", "named?a=1", "named", "regex?a=12", "regex?a=12x", "space?a=a%20b", "space?a=a+b", "both?a=1&b",
        "both?a=1", "exact?a=1;b=2", "exact?a==1", "exact?x?a=1",
    ] {
        a.case(format!("/q/{query}"), "in", get(&format!("/q/{query}")));
    }
    a.case("method", "in", request("PUT", "/m/method"));
    for path in ["/m/method", "/m/authority", "/m/host", "/m/path?y", "/m/path?x", "/m/scheme", "/always", "/never"] {
        a.case(path, "in", get(path));
    }
    a.case("case of the name", "in", get("/m/case").header("x-mixed", "1"));
    a.case("h2 authority", "in", h2(get("/m/authority")));
    a.case("h2 host", "in", h2(get("/m/host")));
    a.case("grpc", "in", h2(grpc("/grpc")));
    a.case("grpc+proto", "in", get("/grpc").header("content-type", "application/grpc+proto"));
    a.case("grpc-web", "in", get("/grpc").header("content-type", "application/grpc-web"));
    a.case("not grpc", "in", get("/grpc"));
    for (name, cookie) in [
        ("one", "c=1"), ("other", "c=2"), ("among", "b=2; c=1"), ("quoted", "c=\"1\""), ("twice", "c=2; c=1"), ("no space", "b=2;c=1"),
        ("prefix of name", "cc=1"),
    ] {
        a.case(format!("cookie {name}"), "in", get("/cookie").header("cookie", cookie));
        a.case(format!("no cookie {name}"), "in", get("/nocookie").header("cookie", cookie));
    }
    a.case("cookie missing", "in", get("/cookie"));
    a.case("no cookie missing", "in", get("/nocookie"));
    a.case("two lines of cookies", "in", get("/cookie").header("cookie", "a=1").header("cookie", "c=1"));
    a.case("several hold", "in", get("/h/several").header("x", "v1").header("y", "v2"));
    a.case("several, one missing", "in", get("/h/several").header("x", "v1"));
    a.case("several, one wrong", "in", get("/h/several").header("x", "v1").header("y", "v1"));
    a
}
