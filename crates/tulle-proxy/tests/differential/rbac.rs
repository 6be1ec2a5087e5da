//! Authorization: permissions and principals of every kind.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    case::{get, grpc, h2, post, request},
    config::{answering, any_host, filter, merged, router},
};

const KIND: &str = "envoy.extensions.filters.http.rbac.v3.RBAC";

fn rules(action: &str, permissions: Value, principals: Value) -> Value {
    json!({ "rules": { "action": action, "policies": { "p": { "permissions": permissions, "principals": principals } } } })
}

fn header(name: &str, matcher: Value) -> Value {
    json!({ "header": merged(matcher, &json!({ "name": name })) })
}

/// Permissions and principals, by name; each guards its own path, once to allow and once to deny.
fn questions() -> Vec<(&'static str, Value, Value)> {
    let any = || json!([{ "any": true }]);
    let cidr = |prefix: &str, len: u32| json!({ "address_prefix": prefix, "prefix_len": len });
    let path = |matcher: Value| json!([{ "url_path": { "path": matcher } }]);
    let permit = |p: Value| (json!([p]), json!([{ "any": true }]));
    let from = |p: Value| (json!([{ "any": true }]), json!([p]));
    let mut all: Vec<(&'static str, Value, Value)> = vec![
        ("any", any(), any()),
        ("path", path(json!({ "prefix": "/" })), any()),
        ("pathexact", path(json!({ "exact": "/allow/pathexact" })), any()),
        ("pathcase", path(json!({ "suffix": "CASE", "ignore_case": true })), any()),
        ("pathregex", path(json!({ "safe_regex": { "regex": ".*/path[a-z]+" } })), any()),
        ("pathquery", path(json!({ "contains": "q=1" })), any()),
    ];
    let mut more = |name: &'static str, (p, q): (Value, Value)| all.push((name, p, q));
    more("get", permit(header(":method", json!({ "string_match": { "exact": "GET" } }))));
    more("host", permit(header(":authority", json!({ "string_match": { "exact": "test" } }))));
    more("hostname", permit(header("host", json!({ "string_match": { "exact": "test" } }))));
    more("present", permit(header("x-a", json!({ "present_match": true }))));
    more("absent", permit(header("x-a", json!({ "present_match": true, "invert_match": true }))));
    more("notvalue", permit(header("x-a", json!({ "string_match": { "exact": "1" }, "invert_match": true }))));
    more("not", permit(json!({ "not_rule": header("x-a", json!({ "string_match": { "exact": "1" } })) })));
    more("and", permit(json!({ "and_rules": { "rules": [header("x-a", json!({ "present_match": true })),
        { "not_rule": header("x-b", json!({ "present_match": true })) }] } })));
    more("or", permit(json!({ "or_rules": { "rules": [header("x-a", json!({ "present_match": true })), header("x-b", json!({ "present_match": true }))] } })));
    more("port", permit(json!({ "destination_port": "{listener:in}" })));
    more("otherport", permit(json!({ "destination_port": 1 })));
    more("portrange", permit(json!({ "destination_port_range": { "start": 1024, "end": 65535 } })));
    more("destination", permit(json!({ "destination_ip": cidr("127.0.0.0", 8) })));
    more("otherdestination", permit(json!({ "destination_ip": cidr("10.0.0.0", 8) })));
    more("sni", permit(json!({ "requested_server_name": { "exact": "" } })));
    more("metadata", permit(json!({ "metadata": { "filter": "f", "path": [{ "key": "k" }], "value": { "present_match": true } } })));
    more("notmetadata", permit(json!({ "metadata": { "filter": "f", "path": [{ "key": "k" }], "value": { "present_match": true }, "invert": true } })));
    more("direct", from(json!({ "direct_remote_ip": cidr("127.0.0.1", 32) })));
    more("directnine", from(json!({ "direct_remote_ip": cidr("127.0.0.9", 32) })));
    more("remote", from(json!({ "remote_ip": cidr("6.6.6.0", 24) })));
    more("sourceip", from(json!({ "source_ip": cidr("127.0.0.1", 32) })));
    more("notremote", from(json!({ "not_id": { "remote_ip": cidr("6.6.6.0", 24) } })));
    more("authenticated", from(json!({ "authenticated": {} })));
    more("notauthenticated", from(json!({ "not_id": { "authenticated": {} } })));
    more("named", from(json!({ "authenticated": { "principal_name": { "exact": "spiffe://x" } } })));
    more("fromheader", from(header("x-user", json!({ "string_match": { "prefix": "ann" } }))));
    more("frompath", from(json!({ "url_path": { "path": { "prefix": "/allow" } } })));
    more("ids", from(json!({ "and_ids": { "ids": [{ "any": true }, { "or_ids": { "ids": [header("x-user", json!({ "present_match": true })),
        { "remote_ip": cidr("6.6.6.6", 32) }] } }] } })));
    all
}

pub fn area() -> Area {
    let mut a = Area::new("rbac");
    a.logging("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%");
    let own = |rules: Value| {
        json!({ "typed_per_filter_config": { "envoy.filters.http.rbac": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute", "rbac": rules } } })
    };
    let mut routes = Vec::new();
    for (name, permissions, principals) in questions() {
        for action in ["ALLOW", "DENY", "LOG"] {
            let path = format!("/{}/{name}", action.to_lowercase());
            routes.push(merged(answering(json!({ "path": path }), "passed"), &own(rules(action, permissions.clone(), principals.clone()))));
        }
    }
    routes.extend([
        merged(answering(json!({ "path": "/none" }), "passed"), &own(json!({ "rules": { "action": "ALLOW", "policies": {} } }))),
        merged(answering(json!({ "path": "/nonedeny" }), "passed"), &own(json!({ "rules": { "action": "DENY", "policies": {} } }))),
        merged(answering(json!({ "path": "/norules" }), "passed"), &own(json!({}))),
        merged(answering(json!({ "path": "/off" }), "passed"), &json!({ "typed_per_filter_config": { "envoy.filters.http.rbac": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute" } } })),
        merged(answering(json!({ "path": "/shadow" }), "passed"), &own(json!({ "shadow_rules": { "action": "DENY", "policies": {
            "p": { "permissions": [{ "any": true }], "principals": [{ "any": true }] } } } }))),
        merged(answering(json!({ "path": "/names" }), "passed"), &own(json!({ "rules": { "action": "DENY", "policies": {
            "z last": { "permissions": [{ "any": true }], "principals": [{ "any": true }] },
            "a first": { "permissions": [header("x-a", json!({ "present_match": true }))], "principals": [{ "any": true }] } } } }))),
        answering(json!({ "prefix": "/" }), "route without rules"),
    ]);
    let base = filter("envoy.filters.http.rbac", KIND, rules("ALLOW", json!([header("x-pass", json!({ "present_match": true }))]), json!([{ "any": true }])));
    a.http("in", any_host(json!(routes)), json!({ "http_filters": [base, router()] }));

    let requests = [
        ("bare", get("")),
        ("with a", get("").header("x-a", "1")),
        ("with both", get("").header("x-a", "2").header("x-b", "1")),
        ("two lines", get("").header("x-a", "2").header("x-a", "1")),
        ("user ann", get("").header("x-user", "anna")),
        ("forwarded", get("").header("x-forwarded-for", "6.6.6.6")),
        ("post", post("", "x")),
        ("other host", get("").host("other")),
    ];
    for (name, _, _) in questions() {
        let matters: &[usize] = match name {
            "get" => &[0, 6],
            "host" | "hostname" => &[0, 7],
            "present" | "absent" | "notvalue" | "not" | "and" | "or" => &[0, 1, 2, 3],
            "remote" | "notremote" | "sourceip" | "direct" => &[0, 5],
            "fromheader" | "ids" => &[0, 4, 5],
            _ => &[0],
        };
        for action in ["allow", "deny", "log"] {
            for index in matters {
                if action == "log" && *index != 0 {
                    continue;
                }
                let (what, request) = &requests[*index];
                let mut request = request.clone();
                request.target = format!("/{action}/{name}");
                a.case(format!("{action} {name} {what}"), "in", request);
            }
        }
    }
    a.case("allow directnine from nine", "in", get("/allow/directnine")).from([127, 0, 0, 9]);
    a.case("allow pathexact with a query", "in", get("/allow/pathexact?x"));
    a.case("allow pathquery with a query", "in", get("/allow/pathquery?q=1"));
    for path in ["/none", "/nonedeny", "/norules", "/off", "/shadow", "/names", "/elsewhere"] {
        a.case(path, "in", get(path));
    }
    a.case("first name", "in", get("/names").header("x-a", "1"));
    a.case("base passes", "in", get("/elsewhere").header("x-pass", "1"));
    a.case("grpc denied", "in", h2(grpc("/elsewhere")));
    a.case("head denied", "in", request("HEAD", "/elsewhere"));
    a.case("post denied, then another", "in", vec![post("/elsewhere", "body"), get("/off")]);
    a
}
