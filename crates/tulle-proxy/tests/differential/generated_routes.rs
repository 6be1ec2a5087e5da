//! Random route tables and requests: which route takes which request.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    case::{Request, h2, request},
    config::answering,
    draw::Draw,
};

const SEGMENTS: &[&str] = &["/a", "/b", "/ab", "/A", "/", "/a-1", "/%61", "/x.y", ";p"];
const VALUES: &[&str] = &["1", "2", "v1", "V1", "a", "ab", "", "a,b", "10"];
const HOSTS: &[&str] = &["a.test", "b.test", "x.a.test", "a.test:80", "A.TEST", "a.other", "test", "a"];

fn string(d: &mut Draw) -> Value {
    let value = d.text(&["1", "2", "v", "a", "b"], 1, 2);
    let mut matcher = match d.number(5) {
        0 => json!({ "exact": d.one(VALUES) }),
        1 => json!({ "prefix": value }),
        2 => json!({ "suffix": value }),
        3 => json!({ "contains": value }),
        _ => return json!({ "safe_regex": { "regex": d.one(&["[a-z]+[0-9]?", ".*", "v.", "(a|1).*", "[^,]*", "\\d+"]) } }),
    };
    if d.percent(25) {
        matcher["ignore_case"] = json!(true);
    }
    matcher
}

fn header(d: &mut Draw) -> Value {
    let mut matcher = match d.number(6) {
        0 => json!({ "present_match": d.percent(70) }),
        1 => json!({ "range_match": { "start": d.number(3), "end": 3 + d.number(9) } }),
        _ => json!({ "string_match": string(d) }),
    };
    matcher["name"] = json!(d.one(&["x-a", "x-b", "X-A", ":method", ":authority"]));
    if d.percent(25) {
        matcher["invert_match"] = json!(true);
    }
    if d.percent(20) {
        matcher["treat_missing_header_as_empty"] = json!(true);
    }
    matcher
}

fn path(d: &mut Draw) -> Value {
    let text = d.text(SEGMENTS, 1, 3);
    let mut matcher = match d.number(6) {
        0 | 1 => json!({ "prefix": text }),
        2 => json!({ "path": text }),
        3 => json!({ "path_separated_prefix": d.text(&["/a", "/b", "/ab", "/A"], 1, 2) }),
        4 => json!({ "safe_regex": { "regex": d.one(&["/a.*", "/[ab]+", "/(a|b)/.*", "/a/?b?", "/.", "(/[a-z]+)+", "/a[^/]*"]) } }),
        _ => json!({ "prefix": "/" }),
    };
    if matcher.get("safe_regex").is_none() && d.percent(20) {
        matcher["case_sensitive"] = json!(false);
    }
    matcher
}

fn route(d: &mut Draw, name: &str) -> Value {
    let mut matches = path(d);
    let headers: Vec<Value> = (0..[0, 0, 1, 1, 2][d.number(5)]).map(|_| header(d)).collect();
    matches["headers"] = json!(headers);
    if d.percent(25) {
        let value = if d.percent(30) { json!({ "present_match": true }) } else { json!({ "string_match": string(d) }) };
        matches["query_parameters"] = json!([crate::harness::config::merged(value, &json!({ "name": d.one(&["q", "r"]) }))]);
    }
    answering(matches, name)
}

fn table(d: &mut Draw, n: usize) -> Value {
    let mut domains: Vec<&str> = vec!["*", "a.test", "*.test", "a.*", "*.a.test", "b.test:80", "*a", "x.*", "A.other"];
    let mut hosts = Vec::new();
    for host in 0..1 + d.number(3) {
        let take = if host == 0 { 1 } else { 1 + d.number(2) };
        let own: Vec<&str> = (0..take).map(|_| domains.remove(if host == 0 { 0 } else { d.number(domains.len()) })).collect();
        let routes: Vec<Value> = (0..4 + d.number(6)).map(|r| route(d, &format!("t{n} h{host} r{r}"))).collect();
        hosts.push(json!({ "name": format!("h{host}"), "domains": own, "routes": routes }));
    }
    json!(hosts)
}

fn any_request(d: &mut Draw) -> Request {
    let mut target = d.text(SEGMENTS, 1, 3);
    if !target.starts_with('/') {
        target.insert(0, '/');
    }
    if d.percent(40) {
        let pairs: Vec<String> = (0..1 + d.number(2)).map(|_| format!("{}={}", d.one(&["q", "r", "Q"]), d.one(VALUES))).collect();
        target = format!("{target}?{}", pairs.join("&"));
    }
    let mut out = request(d.one(&["GET", "GET", "POST", "PUT"]), &target).host(d.one(HOSTS));
    for _ in 0..d.number(4) {
        out = out.header(d.one(&["x-a", "x-b", "X-a"]), d.one(VALUES));
    }
    out
}

pub fn area() -> Area {
    let mut a = Area::new("generated routes");
    let mut d = Draw::new(1);
    for n in 0..40 {
        let name = format!("table{n}");
        a.http(&name, table(&mut d, n), json!({}));
        for r in 0..12 {
            let request = any_request(&mut d);
            let fields: Vec<String> = request.headers.iter().map(|(n, v)| format!("{n}: {v}")).collect();
            let told = format!("{name}.{r} {} {} {} [{}]", request.method, request.host, request.target, fields.join(", "));
            if d.percent(15) {
                a.case(told, &name, h2(request));
            } else {
                a.case(told, &name, request);
            }
        }
    }
    a
}
