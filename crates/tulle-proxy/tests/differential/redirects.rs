//! Redirects and direct responses.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    case::{get, h2, request},
};

pub fn area() -> Area {
    let mut a = Area::new("redirects");
    let to = |path: &str, redirect: Value| json!({ "match": { "prefix": path }, "redirect": redirect });
    let rx = |p: &str, s: &str| json!({ "pattern": { "regex": p }, "substitution": s });
    let direct = |path: &str, status: u16, body: Option<&str>| {
        let body = body.map(|b| json!({ "inline_string": b }));
        json!({ "match": { "path": path }, "direct_response": { "status": status, "body": body } })
    };
    a.http(
        "in",
        json!([
            { "name": "tls", "domains": ["tls.test"], "require_tls": "ALL", "routes": [direct("/", 200, None)] },
            { "name": "external", "domains": ["external.test"], "require_tls": "EXTERNAL_ONLY", "routes": [direct("/", 200, None)] },
            { "name": "all", "domains": ["*"], "routes": [
                to("/https", json!({ "https_redirect": true })),
                to("/scheme", json!({ "scheme_redirect": "ftp" })),
                to("/schemehttp", json!({ "scheme_redirect": "http" })),
                to("/host", json!({ "host_redirect": "new.test" })),
                to("/port", json!({ "port_redirect": 8443 })),
                to("/all", json!({ "https_redirect": true, "host_redirect": "h", "port_redirect": 444, "path_redirect": "/p" })),
                to("/std", json!({ "https_redirect": true, "port_redirect": 443 })),
                to("/path", json!({ "path_redirect": "/new" })),
                to("/pquery", json!({ "path_redirect": "/new?own=1" })),
                to("/pstrip", json!({ "path_redirect": "/new", "strip_query": true })),
                to("/strip", json!({ "host_redirect": "s.test", "strip_query": true })),
                to("/prefix/", json!({ "prefix_rewrite": "/n/" })),
                to("/pfx", json!({ "prefix_rewrite": "/" })),
                to("/regex", json!({ "regex_rewrite": rx("/regex/(.*)", "/\\1/x") })),
                to("/format", json!({ "path_rewrite": "/%REQ(x-to)%/y" })),
                to("/c302", json!({ "host_redirect": "x", "response_code": "FOUND" })),
                to("/c303", json!({ "host_redirect": "x", "response_code": "SEE_OTHER" })),
                to("/c307", json!({ "host_redirect": "x", "response_code": "TEMPORARY_REDIRECT" })),
                to("/c308", json!({ "host_redirect": "x", "response_code": "PERMANENT_REDIRECT" })),
                to("/escape", json!({ "path_redirect": "/a%20b%2f" })),
                to("/hport", json!({ "host_redirect": "new.test:77" })),
                { "match": { "path": "/added" }, "redirect": { "host_redirect": "x" },
                  "response_headers_to_add": [{ "header": { "key": "x-code", "value": "%RESPONSE_CODE%" } },
                    { "header": { "key": "location", "value": "changed" }, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" }] },
                direct("/d200", 200, Some("hello")),
                direct("/d200e", 200, None),
                direct("/d204", 204, None),
                direct("/d204b", 204, Some("body")),
                direct("/d304", 304, Some("body")),
                direct("/d404", 404, Some("<html>")),
                direct("/d503", 503, Some("down")),
                direct("/d599", 599, None),
                { "match": { "path": "/dtype" }, "direct_response": { "status": 200, "body": { "inline_string": "{}" } },
                  "response_headers_to_add": [{ "header": { "key": "content-type", "value": "application/json" },
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" }] },
                { "match": { "path": "/dbytes" }, "direct_response": { "status": 200, "body": { "inline_bytes": "AAECAw==" } } },
                { "match": { "path": "/nonforward" }, "non_forwarding_action": {} },
            ] },
        ]),
        json!({}),
    );
    for path in [
        "/https", "/https/x?y=1", "/scheme/x", "/schemehttp", "/host/a?b", "/port/a", "/all?q=1", "/std", "/path?keep=1", "/pquery?lost=1",
        "/pquery", "/pstrip?lost", "/strip?lost", "/prefix/a/b?c", "/pfx", "/pfx/a", "/pfxa", "/regex/a?b", "/regexx", "/c302", "/c303", "/c307", "/c308",
        "/escape", "/hport/x", "/added", "/d200", "/d200e", "/d204", "/d204b", "/d304", "/d404", "/d503", "/d599", "/dtype", "/dbytes", "/nonforward",
        "/https?", "/nowhere",
    ] {
        a.case(path, "in", get(path));
    }
    for (path, host) in [
        ("/https", "test:80"), ("/https", "test:8080"), ("/port", "test:80"), ("/host", "test:80"), ("/scheme", "test:443"), ("/https", "[::1]:80"), ("/port", "[::1]"),
        ("/path", "test:80"), ("/schemehttp", "test:80"), ("/schemehttp", "test:443"),
    ] {
        a.case(format!("{path} at {host}"), "in", get(path).host(host));
    }
    a.case("format", "in", get("/format?q=1").header("x-to", "there"));
    a.case("format without value", "in", get("/format?q=1"));
    a.case("head of a direct response", "in", request("HEAD", "/d200"));
    a.case("post to a redirect", "in", crate::harness::case::post("/host", "body"));
    a.case("post to a direct response", "in", vec![crate::harness::case::post("/d200", "body"), get("/d404")]);
    a.case("must use tls", "in", get("/a?b").host("tls.test"));
    a.case("must use tls with port", "in", get("/").host("TLS.test"));
    a.case("external must use tls", "in", get("/").host("external.test"));
    a.case("forwarded proto https", "in", get("/").host("tls.test").header("x-forwarded-proto", "https"));
    a.case("redirect behind tls", "in", get("/https").header("x-forwarded-proto", "https"));
    a.case("path behind tls", "in", get("/path").header("x-forwarded-proto", "https"));
    a.case("h2 redirect", "in", h2(get("/all?q")));
    a.case("h2 direct", "in", h2(get("/d404")));
    a.case("h2 head", "in", h2(request("HEAD", "/d200")));
    a.case("h2 204", "in", h2(get("/d204b")));
    a
}
