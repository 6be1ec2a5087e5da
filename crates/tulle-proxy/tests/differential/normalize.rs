//! Cleaning of paths: dot segments, slashes, escapes.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    case::{get, h2, raw},
    config::{any_host, prefix},
};

const PATHS: &[&str] = &[
    "/a/./b", "/a/../b", "/a/b/..", "/a/b/.", "/../a", "/..", "/.", "/a/..", "//a", "/a//b///c", "/a/%2e%2e/b", "/a/%2E/b", "/%61bc", "/a%20b", "/a%2fb",
    "/a%2Fb/../c", "/a%5cb", "/a%5Cb%2F", "/a\\b", "/a/..;/b", "/a/..;x/b", "/a/.;x/b", "/a/..;", "/a/%2e%2e;/b", "/a/...;/b", "/a/..%3b/b", "/a/.../b", "/a/.b/..c", "/a%", "/a%4", "/a%zz", "/a%00b", "/a?b=/../c", "/a/../b?c//d", "/a//?x",
    "/%7e%7E~", "/a%2", "/a/%2e%2e%2fb", "//", "/a/b/../../..", "/a%252fb", "/.%2e/a", "/%c3%a4", "/a;b/../c", "/-._~!$&'()*+,;=:@", "/a[b]", "/a|b^c`", "/a\"b",
    "/a{b}",
];

pub fn area() -> Area {
    let mut a = Area::new("normalize");
    a.cluster("app", &["one"], json!({}));
    let listeners: [(&str, Value); 7] = [
        ("off", json!({})),
        ("normalize", json!({ "normalize_path": true })),
        ("merge", json!({ "merge_slashes": true })),
        ("both", json!({ "normalize_path": true, "merge_slashes": true })),
        ("reject", json!({ "normalize_path": true, "path_with_escaped_slashes_action": "REJECT_REQUEST" })),
        ("redirect", json!({ "normalize_path": true, "merge_slashes": true,
            "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT" })),
        ("forward", json!({ "normalize_path": true, "merge_slashes": true,
            "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD" })),
    ];
    for (name, extra) in &listeners {
        a.http(name, any_host(json!([prefix("/", "app", json!({}))])), extra.clone());
    }
    for (name, _) in &listeners {
        for path in PATHS {
            a.case(format!("{name} {path}"), name, get(path));
        }
    }
    a.case("fragment", "off", raw("GET /a#b HTTP/1.1\r\nhost: test\r\n\r\n"));
    a.case("fragment normalized", "both", raw("GET /a?x#b HTTP/1.1\r\nhost: test\r\n\r\n"));
    a.case("fragment over h2", "off", h2(get("/a#b")));
    a.case("not a path", "off", raw("GET a HTTP/1.1\r\nhost: test\r\n\r\n"));
    a.case("space in the path", "off", raw("GET /a b HTTP/1.1\r\nhost: test\r\n\r\n"));
    a.case("high byte in the path", "off", raw(b"GET /\xc3\xa4 HTTP/1.1\r\nhost: test\r\n\r\n".as_slice()));
    a.case("h2 both", "both", h2(get("/a//../b")));
    a.case("h2 redirect", "redirect", h2(get("/a%2fb")));
    a
}
