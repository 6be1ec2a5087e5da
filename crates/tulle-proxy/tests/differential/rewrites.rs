//! Rewritten paths and hosts.

use serde_json::json;

use crate::harness::{
    Area,
    case::{get, h2},
    config::{any_host, prefix, route},
};

pub fn area() -> Area {
    let mut a = Area::new("rewrites");
    a.cluster("app", &["one"], json!({}));
    a.cluster(
        "named",
        &["two"],
        json!({ "load_assignment": { "endpoints": [{ "lb_endpoints": [{ "endpoint": { "hostname": "named.local",
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": "{port:two}" } } } }] }] } }),
    );
    let regex = |pattern: &str, substitution: &str| json!({ "regex_rewrite": { "pattern": { "regex": pattern }, "substitution": substitution } });
    a.http(
        "in",
        any_host(json!([
            prefix("/p/", "app", json!({ "prefix_rewrite": "/new/" })),
            prefix("/root", "app", json!({ "prefix_rewrite": "/" })),
            prefix("/slash/", "app", json!({ "prefix_rewrite": "/" })),
            prefix("/noslash", "app", json!({ "prefix_rewrite": "bare" })),
            prefix("/q", "app", json!({ "prefix_rewrite": "/new?x=1" })),
            route(json!({ "path": "/exact" }), "app", json!({ "prefix_rewrite": "/other" })),
            route(json!({ "path_separated_prefix": "/seg" }), "app", json!({ "prefix_rewrite": "/other" })),
            route(json!({ "path_separated_prefix": "/sroot" }), "app", json!({ "prefix_rewrite": "/" })),
            route(json!({ "safe_regex": { "regex": "/rx/.*" } }), "app", json!({ "prefix_rewrite": "/whole" })),
            prefix("/re1", "app", regex("/re1/([a-z]+)/([0-9]+)", "/\\2/\\1")),
            prefix("/re2", "app", regex("e", "EE")),
            prefix("/re3", "app", regex("^/re3", "")),
            prefix("/re4", "app", regex("nothing", "x")),
            prefix("/re5", "app", regex("b*", "-")),
            prefix("/re6", "app", regex("(x)|(y)", "[\\1\\2\\0\\\\]")),
            prefix("/re7", "app", regex("\\.html$", "")),
            prefix("/full", "app", json!({ "path_rewrite": "/is/%REQ(x-path)%/end" })),
            prefix("/fullempty", "app", json!({ "path_rewrite": "%REQ(x-path)%" })),
            prefix("/literal", "app", json!({ "host_rewrite_literal": "literal.test:99" })),
            prefix("/same", "app", json!({ "host_rewrite_literal": "test" })),
            prefix("/append", "app", json!({ "host_rewrite_literal": "literal.test", "append_x_forwarded_host": true })),
            prefix("/sameappend", "app", json!({ "host_rewrite_literal": "test", "append_x_forwarded_host": true })),
            prefix("/auto", "named", json!({ "auto_host_rewrite": true })),
            prefix("/autoappend", "named", json!({ "auto_host_rewrite": true, "append_x_forwarded_host": true })),
            prefix("/autonone", "app", json!({ "auto_host_rewrite": true })),
            prefix("/header", "app", json!({ "host_rewrite_header": "x-host" })),
            prefix("/hostpath", "app", json!({ "host_rewrite_path_regex": {
                "pattern": { "regex": "^/hostpath/([^/]+)/.*$" }, "substitution": "\\1.test" } })),
            prefix("/both", "app", json!({ "prefix_rewrite": "/b", "host_rewrite_literal": "b.test" })),
            prefix("/weighted", "app", json!({ "cluster": null, "weighted_clusters": { "clusters": [
                { "name": "app", "weight": 1, "host_rewrite_literal": "weighted.test" }] } })),
            prefix("/", "app", json!({})),
        ])),
        json!({}),
    );
    for path in [
        "/p/x", "/p/", "/p/x?p/", "/root", "/rootx", "/root/x", "/slash/", "/slash/x/y?z", "/slash//x", "/noslash/x", "/q", "/q?y=2",
        "/exact", "/exact?q", "/seg", "/seg/", "/seg/x", "/seg?q", "/sroot", "/sroot/x", "/rx/y?q", "/re1/abc/12", "/re1/abc/12/x?y",
        "/re2?e=e", "/re2/eee", "/re3/x", "/re3", "/re4", "/re5b", "/re6xyz", "/re7/a.html", "/re7/a.html?b.html", "/literal", "/same", "/append",
        "/sameappend", "/auto", "/autoappend", "/autonone", "/hostpath/a/b", "/hostpath/a", "/hostpath/a%20b/c", "/both/x", "/weighted", "/plain",
    ] {
        a.case(path, "in", get(path));
    }
    a.case("full with value", "in", get("/full?q=1").header("x-path", "a"));
    a.case("full without value", "in", get("/full?q=1"));
    a.case("full empty", "in", get("/fullempty?q=1"));
    a.case("header", "in", get("/header").header("x-host", "from.header"));
    a.case("header missing", "in", get("/header"));
    a.case("header twice", "in", get("/header").header("x-host", "a.b").header("x-host", "c.d"));
    a.case("append to one", "in", get("/append").header("x-forwarded-host", "first.test"));
    a.case("append the same", "in", get("/append").header("x-forwarded-host", "test"));
    a.case("append the same of two", "in", get("/append").header("x-forwarded-host", "a, test"));
    a.case("original path is kept", "in", get("/p/x").header("x-envoy-original-path", "/was/there"));
    a.case("h2 prefix", "in", h2(get("/p/x?y")));
    a.case("h2 host", "in", h2(get("/append")));
    a
}
