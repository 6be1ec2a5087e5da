//! Random authorization policies as our control plane sends them, and random requests: what rules decide, what shadow rules note and
//! which requests are to be logged.
//!
//! The filters are those of `generated_rbac.json`, which `crates/tulle-fuzz/tests/authorization` writes from random policies (and
//! checks to be what is sent now). Each set guards a listener with TLS; clients of several identities come through listeners that
//! add their certificates.

use serde_json::{Value, json};

use crate::common::tls::Authority;
use crate::harness::{
    Area,
    case::{Request, request},
    config::{answering, any_host, filter, manager, router},
    draw::Draw,
};

/// Requests for each set of policies.
const REQUESTS: usize = 80;
/// Requests on each connection.
const BATCH: usize = 8;
const CLIENTS: &[&str] = &[
    "",
    "spiffe://cluster.local/ns/shop/sa/cart",
    "spiffe://old-td/ns/legacy/sa/cart",
    "spiffe://far.org/ns/shop/sa/cart",
    "spiffe://cluster.local/ns/banana/sa/a.b",
];
const LOG: &str = "%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% \
    %DYNAMIC_METADATA(envoy.filters.http.rbac:istio_ext_authz_shadow_effective_policy_id)% \
    %DYNAMIC_METADATA(envoy.filters.http.rbac:istio_dry_run_deny_shadow_effective_policy_id)% \
    %DYNAMIC_METADATA(envoy.filters.http.rbac:istio_dry_run_deny_shadow_engine_result)% \
    %DYNAMIC_METADATA(envoy.filters.http.rbac:istio_dry_run_allow_shadow_effective_policy_id)% \
    %DYNAMIC_METADATA(envoy.filters.http.rbac:istio_dry_run_allow_shadow_engine_result)% \
    %DYNAMIC_METADATA(envoy.common:access_log_hint)%";

fn tls(kind: &str, certificate: Option<(String, String)>, authority: &str, extra: &[(&str, Value)]) -> Value {
    let inline = |text: &str| json!({ "inline_string": text });
    let mut context = json!({ "common_tls_context": { "validation_context": { "trusted_ca": inline(authority) } } });
    if let Some((chain, key)) = certificate {
        context["common_tls_context"]["tls_certificates"] =
            json!([{ "certificate_chain": inline(&chain), "private_key": inline(&key) }]);
    }
    for (name, value) in extra {
        context[name] = value.clone();
    }
    context["@type"] = json!(format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}"));
    json!({ "name": "envoy.transport_sockets.tls", "typed_config": context })
}

fn claims(d: &mut Draw) -> Value {
    let role = [json!("admin"), json!(["1", "admin"]), json!("2x")];
    let nested = [json!({ "b": "1" }), json!({ "b": ["21", "x"] }), json!("b")];
    json!({
        "iss": d.one(&["https://one", "two"]),
        "sub": d.one(&["ann", "bob"]),
        "aud": [d.one(&["shop", "pay"])],
        "azp": d.one(&["app", "other"]),
        "role": role[d.number(role.len())],
        "a": nested[d.number(nested.len())],
    })
}

fn any_request(d: &mut Draw) -> Request {
    let target = d.one(&[
        "/", "/api/a", "/api/a/b", "/api/x/y/z", "/api/x/y/", "/admin", "/admin?q=1", "/api//b", "/a.json", "/axjson", "/api/", "/api",
    ]);
    let host = d.one(&["web.shop", "WEB.shop", "api.example.com", "api.example.com:8080"]);
    let mut out = request(d.one(&["GET", "POST", "PUT", "DELETE"]), target).host(host);
    for _ in 0..d.number(4) {
        out = out.header(d.one(&["x-a", "X-A", "x-b"]), d.one(&["1", "2", "21", "admin"]));
    }
    if d.percent(60) {
        out = out.header("x-forwarded-for", d.one(&["10.0.0.1", "10.1.2.3", "192.168.0.9", "fd00::1", "8.8.8.8"]));
    }
    out
}

pub fn area() -> Area {
    let mut a = Area::new("generated rbac");
    a.logging(LOG);
    let sets: Vec<Vec<Value>> = serde_json::from_str(include_str!("generated_rbac.json")).unwrap();
    let ca = Authority::new();
    let server = ca.written("spiffe://cluster.local/ns/shop/sa/web");
    let clients: Vec<Option<(String, String)>> =
        CLIENTS.iter().map(|uri| (!uri.is_empty()).then(|| ca.written(uri))).collect();
    let mut d = Draw::new(7);
    for (n, mut filters) in sets.into_iter().enumerate() {
        if d.percent(60) {
            let config = json!({ "metadata": [{ "metadata_namespace": "envoy.filters.http.jwt_authn", "value": { "payload": claims(&mut d) } }] });
            filters.insert(0, filter("envoy.filters.http.set_metadata", "envoy.extensions.filters.http.set_metadata.v3.Config", config));
        }
        filters.push(router());
        let routes = any_host(json!([answering(json!({ "prefix": "/" }), "passed")]));
        let inner = format!("set{n}.");
        let socket = tls("DownstreamTlsContext", Some(server.clone()), &ca.pem(), &[("require_client_certificate", json!(false))]);
        let log = crate::harness::config::access_log("{log}", &a.log_format());
        let extra = json!({ "http_filters": filters });
        let chains = json!([{ "filters": manager(routes, &extra, Some(log)), "transport_socket": socket }]);
        let inspector = filter(
            "envoy.filters.listener.tls_inspector",
            "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
            json!({}),
        );
        a.listener(&inner, json!([]), json!({ "filter_chains": chains, "listener_filters": [inspector] }));
        for (c, certificate) in clients.iter().enumerate() {
            let front = format!("set{n}.{c}.");
            let to = json!({ "endpoint": { "address": { "socket_address": {
                "address": "127.0.0.1", "port_value": format!("{{listener:{inner}}}") } } } });
            let sni = ["web.shop", "x.example.com", "y"][(n + c) % 3];
            a.cluster(&front, &[], json!({
                "load_assignment": { "endpoints": [{ "lb_endpoints": [to] }] },
                "transport_socket": tls("UpstreamTlsContext", certificate.clone(), &ca.pem(), &[("sni", json!(sni))]),
            }));
            let proxy = json!({ "stat_prefix": "front", "cluster": front });
            a.listener(
                &front,
                json!([filter("envoy.filters.network.tcp_proxy", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", proxy)]),
                json!({}),
            );
        }
        // Several requests on each connection: waiting for the log is what takes time.
        for batch in 0..REQUESTS / BATCH {
            let c = d.number(clients.len());
            let requests: Vec<Request> = (0..BATCH).map(|_| any_request(&mut d)).collect();
            a.case(format!("set{n}.{batch} {:?}", CLIENTS[c]), &format!("set{n}.{c}."), requests);
        }
    }
    a
}

#[test]
fn there_are_at_least_2000_pairs() {
    assert!(area().cases.len() * BATCH >= 2_000);
}
