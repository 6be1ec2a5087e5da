//! Clients, listeners and upstreams of both families.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    case::{get, raw},
    config::{address_of, any_host, merged, prefix, router, single_use},
};

const LOG: &str = "%RESPONSE_CODE% %RESPONSE_FLAGS% from %DOWNSTREAM_REMOTE_ADDRESS% at %DOWNSTREAM_LOCAL_ADDRESS% \
    direct %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% to %UPSTREAM_HOST% by %UPSTREAM_LOCAL_ADDRESS%";

/// A listener at this address, for both families where `compat`.
fn at(ip: &str, compat: bool) -> Value {
    json!({ "address": { "socket_address": { "address": ip, "ipv4_compat": compat } } })
}

/// An endpoint with several addresses.
fn several(upstreams: &[&str]) -> Value {
    let more: Vec<Value> = upstreams[1..].iter().map(|u| json!({ "address": address_of(u) })).collect();
    json!({ "endpoint": { "address": address_of(upstreams[0]), "additional_addresses": more } })
}

/// Replaces a cluster's endpoints.
fn endpoints(list: Value, extra: Value) -> Value {
    let own = json!({ "load_assignment": { "endpoints": [{ "lb_endpoints": list }] } });
    merged(merged(own, &single_use()), &extra)
}

fn bound_to(main: &str, extra: &[&str]) -> Value {
    let one = |ip: &str| json!({ "address": ip, "port_value": 0 });
    let extra: Vec<Value> = extra.iter().map(|ip| json!({ "address": one(ip) })).collect();
    json!({ "upstream_bind_config": { "source_address": one(main), "extra_source_addresses": extra } })
}

fn eyeballs(first: &str, count: u32) -> Value {
    json!({ "upstream_connection_options": { "happy_eyeballs_config": {
        "first_address_family_version": first, "first_address_family_count": count } } })
}

fn rbac(principal: Value) -> Value {
    json!({ "name": "envoy.filters.http.rbac", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        "rules": { "action": "ALLOW", "policies": { "p": {
            "permissions": [{ "any": true }], "principals": [principal] } } } } })
}

fn range(kind: &str, ip: &str, bits: u32) -> Value {
    json!({ kind: { "address_prefix": ip, "prefix_len": bits } })
}

pub fn area() -> Area {
    let mut a = Area::new("ipv6");
    clusters(&mut a);
    a.logging(LOG);
    let told = json!([{ "header": { "key": "x-remote", "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%" } }]);
    let clusters = ["v6", "turns", "turns6", "first6", "twice", "lost", "bound", "bound6", "wrong", "auto", "v4only", "v6only", "v4pref", "all", "logical"];
    let hash = json!({ "hash_policy": [{ "connection_properties": { "source_ip": true } }] });
    let mut routes: Vec<Value> = clusters.iter().map(|c| prefix(&format!("/{c}/"), c, json!({}))).collect();
    routes.push(prefix("/ring", "ring", hash));
    routes.push(merged(prefix("/", "app", json!({})), &json!({ "request_headers_to_add": told })));
    let hosts = any_host(json!(routes));
    let add = |a: &mut Area, name: &str, place: Value, manager: Value| {
        let log = crate::harness::config::access_log("{log}", &json!({ "text_format_source": { "inline_string": format!("{LOG}\n") } }));
        a.listener(name, crate::harness::config::manager(hosts.clone(), &manager, Some(log)), place);
    };
    add(&mut a, "six", at("::1", false), json!({}));
    add(&mut a, "any", at("::", true), json!({}));
    add(&mut a, "anysix", at("::", false), json!({}));
    let more = |ip: &str| json!([{ "address": { "socket_address": { "address": ip, "port_value": "{listener:both}" } } }]);
    add(&mut a, "both", json!({ "additional_addresses": more("::1") }), json!({}));
    add(&mut a, "edge", at("::", true), json!({ "use_remote_address": true }));
    let ranges = json!({ "cidr_ranges": [{ "address_prefix": "fd00::", "prefix_len": 8 }, { "address_prefix": "10.0.0.0", "prefix_len": 8 }] });
    add(&mut a, "inside", at("::", true), json!({ "internal_address_config": ranges, "xff_num_trusted_hops": 0 }));
    add(&mut a, "hops", at("::", true), json!({ "use_remote_address": true, "xff_num_trusted_hops": 1 }));
    let proxied = json!({ "listener_filters": [{ "name": "envoy.filters.listener.proxy_protocol", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol" } }] });
    add(&mut a, "proxied", merged(at("::", true), &proxied), json!({}));
    let rules = [
        ("direct4", range("direct_remote_ip", "127.0.0.0", 8)),
        ("direct6", range("direct_remote_ip", "::1", 128)),
        ("remote4", range("remote_ip", "10.0.0.0", 8)),
        ("remote6", range("remote_ip", "fd00::", 8)),
        ("everyfour", range("direct_remote_ip", "0.0.0.0", 0)),
        ("everysix", range("direct_remote_ip", "::", 0)),
        ("mappedrule", range("remote_ip", "::ffff:10.0.0.0", 104)),
    ];
    for (name, rule) in &rules {
        add(&mut a, name, at("::", true), json!({ "http_filters": [rbac(rule.clone()), router()] }));
    }
    cases(&mut a, &rules.map(|(name, _)| name));
    a
}

fn clusters(a: &mut Area) {
    a.cluster("app", &["one"], json!({}));
    a.cluster("v6", &["v6one"], json!({}));
    let set = |list: &[&str], extra: Value| endpoints(json!([several(list)]), extra);
    a.cluster("turns", &["one"], set(&["down", "v6one"], json!({})));
    a.cluster("turns6", &["one"], set(&["down", "down2", "one", "v6one"], json!({})));
    a.cluster("first6", &["one"], set(&["one", "v6one"], eyeballs("V6", 1)));
    a.cluster("twice", &["one"], set(&["down", "one", "v6one"], eyeballs("DEFAULT", 2)));
    a.cluster("lost", &["one"], set(&["down", "down2"], json!({})));
    a.cluster("bound", &["one"], set(&["one"], bound_to("127.0.0.6", &["::1"])));
    a.cluster("bound6", &["one"], set(&["v6one"], bound_to("127.0.0.6", &["::1"])));
    a.cluster("wrong", &["one"], set(&["v6one"], bound_to("127.0.0.6", &[])));
    a.cluster("ring", &["r1", "r2", "r3", "r4", "r5", "r6"], json!({ "lb_policy": "RING_HASH" }));
    for (name, kind, family) in [
        ("auto", "STRICT_DNS", "AUTO"),
        ("v4only", "STRICT_DNS", "V4_ONLY"),
        ("v6only", "STRICT_DNS", "V6_ONLY"),
        ("v4pref", "STRICT_DNS", "V4_PREFERRED"),
        ("all", "STRICT_DNS", "ALL"),
        ("logical", "LOGICAL_DNS", "V4_PREFERRED"),
    ] {
        // Numbers are names too: no test depends on what the machine's hosts file says.
        let ip = if family == "V6_ONLY" || family == "AUTO" { "v6one" } else { "one" };
        a.cluster(name, &["one"], endpoints(json!([{ "endpoint": { "address": address_of(ip) } }]), json!({ "type": kind, "dns_lookup_family": family })));
    }
}

fn cases(a: &mut Area, rules: &[&str]) {
    for listener in ["six", "any", "anysix", "both", "edge", "inside"] {
        a.case(format!("{listener} over v6"), listener, get("/").host("[::1]:80")).over_v6();
    }
    for listener in ["any", "both", "edge", "inside"] {
        a.case(format!("{listener} over v4"), listener, get("/"));
    }
    for cluster in ["v6", "turns", "turns6", "first6", "twice", "lost", "bound", "bound6", "wrong", "auto", "v4only", "v6only", "v4pref", "all", "logical"] {
        a.case(format!("cluster {cluster}"), "six", get(&format!("/{cluster}/"))).over_v6();
    }
    for listener in ["edge", "inside", "hops", "six"] {
        for (i, xff) in ["fd12::1", "2001:db8::1", "10.0.0.1", "::ffff:10.0.0.1", "[fd12::1]", "[fd12::1]:80", "fd12::1, 10.0.0.1", "2001:db8::1,fd00::1", "::1", "FD12:0::1", "fd12::1%eth0"]
            .into_iter()
            .enumerate()
        {
            let request = get("/").header("x-forwarded-for", xff).header("x-envoy-max-retries", "1");
            a.case(format!("{listener} forwarded {i} {xff}"), listener, request).over_v6();
        }
    }
    for listener in rules {
        a.case(format!("{listener} over v4"), listener, get("/"));
        a.case(format!("{listener} over v6"), listener, get("/")).over_v6();
        for xff in ["10.0.0.1", "fd12::1", "::ffff:10.0.0.1", "2001:db8::1"] {
            let request = get("/").header("x-forwarded-for", xff);
            a.case(format!("{listener} forwarded {xff}"), listener, request).over_v6();
        }
    }
    for (name, line) in [
        ("six", "PROXY TCP6 2001:db8::1 2001:db8::2 4000 443"),
        ("mapped", "PROXY TCP6 ::ffff:10.0.0.1 ::ffff:10.0.0.2 4000 443"),
        ("four", "PROXY TCP4 10.0.0.1 10.0.0.2 4000 443"),
    ] {
        let bytes = format!("{line}\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n");
        a.case(format!("proxied {name}"), "proxied", raw(bytes)).over_v6();
    }
    a.case("source hash v6", "six", get("/ring")).over_v6();
    a.case("source hash v4 mapped", "any", get("/ring"));
    a.case("source hash v4 other", "any", get("/ring")).from([127, 0, 0, 9]);
}
