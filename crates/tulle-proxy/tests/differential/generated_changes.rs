//! Random changes of requests and responses: headers at every level, rewrites, redirects, options of the connection manager.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::{Answer, status},
    case::{Request, h2, request},
    config::{any_host, merged},
    draw::Draw,
};

const NAMES: &[&str] = &["x-a", "x-b", "X-C", "user-agent", "cookie", "accept", "x-request-id", "vary", "set-cookie", "cache-control"];
const VALUES: &[&str] = &["one", "two", "%REQ(x-a)%", "%REQ(x-none)%", "%REQ(:path)%", "%RESPONSE_CODE%", "%PROTOCOL%", "%REQ(x-b):1%", "a%%b", "%RESP(x-b)%", "<%REQ(x-none?x-a)%>"];
const ACTIONS: &[&str] = &["APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS"];

fn changes(d: &mut Draw) -> Value {
    let add = |d: &mut Draw| -> Value {
        (0..d.number(4))
            .map(|_| json!({ "header": { "key": d.one(NAMES), "value": d.one(VALUES) }, "append_action": d.one(ACTIONS),
                "keep_empty_value": d.percent(20) }))
            .collect()
    };
    json!({
        "request_headers_to_add": add(d),
        "request_headers_to_remove": d.some(NAMES, 2),
        "response_headers_to_add": add(d),
        "response_headers_to_remove": d.some(NAMES, 2),
    })
}

fn rewrites(d: &mut Draw) -> Value {
    let path = match d.number(5) {
        0 | 1 => json!({ "prefix_rewrite": d.one(&["/", "/new", "/new/", "/n?x"]) }),
        2 => json!({ "regex_rewrite": { "pattern": { "regex": d.one(&["/(.)", "a", "^/[^/]*", "(/x)+", "$"]) }, "substitution": d.one(&["/\\0", "\\0\\0", "", "/z", "-"]) } }),
        _ => json!({}),
    };
    let host = match d.number(5) {
        0 => json!({ "host_rewrite_literal": "new.test" }),
        1 => json!({ "host_rewrite_header": "x-a" }),
        2 => json!({ "host_rewrite_path_regex": { "pattern": { "regex": "/([a-z]+).*" }, "substitution": "\\1.test" } }),
        _ => json!({}),
    };
    let mut action = merged(path, &host);
    if d.percent(30) {
        action["append_x_forwarded_host"] = json!(true);
    }
    action
}

fn redirect(d: &mut Draw) -> Value {
    let mut out = match d.number(4) {
        0 => json!({ "path_redirect": d.one(&["/p", "/p?own", "/"]) }),
        1 => json!({ "prefix_rewrite": d.one(&["/", "/p", "/p/"]) }),
        2 => json!({ "regex_rewrite": { "pattern": { "regex": "/(.)" }, "substitution": "/\\1\\1" } }),
        _ => json!({}),
    };
    if d.percent(40) {
        out["https_redirect"] = json!(true);
    }
    if d.percent(40) {
        out["host_redirect"] = json!("r.test");
    }
    if d.percent(30) {
        out["port_redirect"] = json!(if d.percent(50) { 443 } else { 8080 });
    }
    if d.percent(30) {
        out["strip_query"] = json!(true);
    }
    out["response_code"] = json!(d.one(&["MOVED_PERMANENTLY", "FOUND", "SEE_OTHER", "TEMPORARY_REDIRECT", "PERMANENT_REDIRECT"]));
    out
}

fn route(d: &mut Draw) -> Value {
    let prefix = d.one(&["/a", "/a/", "/b", "/b/", "/", "/x"]);
    let matches = if d.percent(30) { json!({ "path_separated_prefix": d.one(&["/a", "/b", "/x"]) }) } else { json!({ "prefix": prefix }) };
    let action = if d.percent(25) {
        json!({ "redirect": redirect(d) })
    } else if d.percent(40) {
        let cluster = merged(json!({ "name": "app", "weight": 1 }), &changes(d));
        json!({ "route": merged(json!({ "weighted_clusters": { "clusters": [cluster] } }), &rewrites(d)) })
    } else {
        json!({ "route": merged(json!({ "cluster": "app" }), &rewrites(d)) })
    };
    merged(merged(json!({ "match": matches }), &action), &changes(d))
}

fn manager(d: &mut Draw) -> Value {
    let mut out = json!({});
    for (member, value) in [
        ("normalize_path", json!(true)),
        ("merge_slashes", json!(true)),
        ("use_remote_address", json!(true)),
        ("via", json!("1.1 me")),
        ("always_set_request_id_in_response", json!(true)),
        ("strip_any_host_port", json!(true)),
        ("append_x_forwarded_port", json!(true)),
        ("server_name", json!("me")),
        ("server_header_transformation", json!("PASS_THROUGH")),
        ("xff_num_trusted_hops", json!(1)),
        ("generate_request_id", json!(false)),
        ("path_with_escaped_slashes_action", json!("UNESCAPE_AND_FORWARD")),
    ] {
        if d.percent(25) {
            out[member] = value;
        }
    }
    out
}

fn fields(d: &mut Draw) -> Vec<(String, String)> {
    (0..d.number(4)).map(|_| (d.one(NAMES).to_owned(), d.one(&["1", "two", "", "a, b", "x=y"]).to_owned())).collect()
}

fn any_request(d: &mut Draw) -> Request {
    let mut target = d.text(&["/a", "/b", "/x", "/", "/..", "%2f", "/%61", "//"], 1, 4);
    if !target.starts_with('/') {
        target.insert(0, '/');
    }
    if d.percent(30) {
        target.push_str("?q=a/b");
    }
    let mut out = request(d.one(&["GET", "POST", "DELETE"]), &target).host(d.one(&["test", "test:80", "t.test:8080"]));
    for (name, value) in fields(d) {
        out = out.header(&name, &value);
    }
    if d.percent(30) {
        out = out.header("x-forwarded-for", d.one(&["1.2.3.4", "1.2.3.4, 5.6.7.8"]));
    }
    if out.method == "POST" {
        out = out.body("the body");
    }
    out
}

fn any_answer(d: &mut Draw) -> Answer {
    let mut out = status([200, 200, 200, 201, 204, 304, 404, 503][d.number(8)]);
    for (name, value) in fields(d) {
        out = out.header(&name, &value);
    }
    if d.percent(20) {
        out = out.header("server", "upstream").header("via", "1.0 up");
    }
    out
}

pub fn area() -> Area {
    let mut a = Area::new("generated changes");
    let mut d = Draw::new(2);
    a.cluster("app", &["one"], json!({}));
    for n in 0..30 {
        let name = format!("table{n}");
        let mut routes: Vec<Value> = (0..3 + d.number(3)).map(|_| route(&mut d)).collect();
        routes.push(merged(json!({ "match": { "prefix": "/" }, "route": { "cluster": "app" } }), &changes(&mut d)));
        let mut host = merged(any_host(json!(routes))[0].clone(), &changes(&mut d));
        if d.percent(20) {
            host["include_request_attempt_count"] = json!(true);
        }
        let mut table = merged(json!({ "virtual_hosts": [host] }), &changes(&mut d));
        if d.percent(30) {
            table["most_specific_header_mutations_wins"] = json!(true);
        }
        let extra = merged(manager(&mut d), &json!({ "route_config": table }));
        a.http(&name, json!([]), extra);
        for r in 0..8 {
            let (request, answer) = (any_request(&mut d), any_answer(&mut d));
            let fields: Vec<String> = request.headers.iter().map(|(n, v)| format!("{n}: {v}")).collect();
            let told = format!("{name}.{r} {} {} {} [{}] -> {}", request.method, request.host, request.target, fields.join("; "), answer.status);
            if d.percent(20) {
                a.case(told, &name, h2(request)).answer(answer);
            } else {
                a.case(told, &name, request).answer(answer);
            }
        }
    }
    a
}
