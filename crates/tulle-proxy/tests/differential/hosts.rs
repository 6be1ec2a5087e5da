//! Which virtual host takes a request.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    case::{Turn, get, h2, raw, turn},
    config::answering,
};

fn hosts(list: &[(&str, &[&str])]) -> Value {
    list.iter()
        .map(|(name, domains)| {
            json!({ "name": name, "domains": domains, "routes": [answering(json!({ "prefix": "/" }), name)] })
        })
        .collect()
}

pub fn area() -> Area {
    let mut a = Area::new("hosts");
    let all = hosts(&[
        ("any", &["*"]),
        ("suffix", &["*.example.com"]),
        ("longer suffix", &["*.b.example.com"]),
        ("dash suffix", &["*-x.org"]),
        ("prefix", &["www.*"]),
        ("longer prefix", &["www.example.*"]),
        ("exact", &["www.example.com", "exact.test"]),
        ("ported", &["exact.test:8080"]),
        ("upper", &["UPPER.test"]),
        ("v6", &["[::1]", "[::1]:81"]),
        ("port suffix", &["*:9999"]),
    ]);
    a.http("in", all.clone(), json!({}));
    a.http("strip", all.clone(), json!({ "strip_any_host_port": true }));
    a.http("matching", all.clone(), json!({ "strip_matching_host_port": true }));
    a.http("dot", all.clone(), json!({ "strip_trailing_host_dot": true }));
    a.http(
        "ignore",
        json!([]),
        json!({ "route_config": { "ignore_port_in_host_matching": true, "virtual_hosts": all } }),
    );
    a.http("few", hosts(&[("one", &["one.test"])]), json!({}));
    a.http(
        "header",
        json!([]),
        json!({ "route_config": { "vhost_header": "x-host", "virtual_hosts": hosts(&[("one", &["one"]), ("two", &["two"])]) } }),
    );
    for host in [
        "www.example.com", "WWW.Example.COM", "a.example.com", "example.com", ".example.com", "a.b.example.com", "b.example.com",
        "a-x.org", "-x.org", "www.example.org", "www.other", "www.", "www", "exact.test", "exact.test:8080", "exact.test:80",
        "upper.test", "[::1]", "[::1]:81", "[::1]:82", "else:9999", "a.example.com:80", "www.example.com.", "else",
    ] {
        for listener in ["in", "strip", "ignore", "dot"] {
            a.case(format!("{listener} {host}"), listener, get("/").host(host));
        }
    }
    a.case("matching own port", "matching", get("/").host("exact.test:{listener:matching}"));
    a.case("matching other port", "matching", get("/").host("exact.test:8080"));
    a.case("few hit", "few", get("/").host("one.test"));
    a.case("few miss", "few", get("/").host("two.test"));
    a.case("few with port", "few", get("/").host("one.test:80"));
    a.case("header one", "header", get("/").header("x-host", "one"));
    a.case("header other", "header", get("/").header("x-host", "three"));
    a.case("header missing", "header", get("/").host("one"));
    a.case("no host", "in", raw("GET / HTTP/1.1\r\n\r\n"));
    a.case("empty host", "in", raw("GET / HTTP/1.1\r\nhost:\r\n\r\n"));
    a.case("absolute form names the host", "in", raw("GET http://exact.test/ HTTP/1.1\r\nhost: www.other\r\n\r\n"));
    a.case("two hosts on one connection", "in", {
        let turns: Vec<Turn> = ["exact.test", "www.other"].iter().map(|h| Turn::from(&get("/").host(h))).collect();
        turns
    });
    a.case("pipelined", "in", {
        let mut bytes = get("/").host("exact.test").bytes();
        bytes.extend(get("/").host("www.other").bytes());
        turn(bytes, "GET").responses(2)
    });
    a.case("h2", "in", h2(get("/").host("WWW.example.com")));
    a.case("h2 port", "in", h2(get("/").host("exact.test:8080")));
    a
}
