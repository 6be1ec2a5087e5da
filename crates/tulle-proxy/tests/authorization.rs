//! Authorization as Istio's control plane writes it: rules that only note what matched (shadow rules) and a service that is asked
//! then, rules that record, rules that are tried without effect; and what each did in the statistics.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::{
    io::{Read as _, Write as _},
    sync::{Arc, Mutex},
};

use common::{
    Backend, Client, Proxy, any_host, cluster, get, h2, http, http2, listener, request, router, tcp,
};
use prost::Message as _;
use serde_json::{Value, json};
use tulle_http::ResponseHead;
use tulle_proto::envoy::{
    auth::{CheckRequest, CheckResponse},
    rpc,
};

const ASK: &str = "istio-ext-authz-opa-ns[shop]-policy[ask]-rule[0]";

/// A service that lets pass whom `answer` says, and what it was asked.
fn service(
    answer: impl Fn(&CheckRequest) -> bool + Send + Sync + 'static,
) -> (Backend, Arc<Mutex<Vec<CheckRequest>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let backend = h2::backend(move |_, body| {
        let message = CheckRequest::decode(&body[5..]).unwrap();
        let code = if answer(&message) { 0 } else { 7 };
        let status = rpc::Status { code, ..Default::default() };
        let answer = CheckResponse { status: Some(status), ..Default::default() }.encode_to_vec();
        seen.lock().unwrap().push(message);
        let mut framed = vec![0];
        framed.extend_from_slice(&u32::try_from(answer.len()).unwrap().to_be_bytes());
        framed.extend_from_slice(&answer);
        (ResponseHead::new(200), framed, [("grpc-status", "0")].into_iter().collect())
    });
    (backend, asked)
}

fn typed(name: &str, kind: &str, mut config: Value) -> Value {
    config["@type"] = json!(format!("type.googleapis.com/{kind}"));
    json!({ "name": name, "typed_config": config })
}

fn http_rbac(config: Value) -> Value {
    typed("envoy.filters.http.rbac", "envoy.extensions.filters.http.rbac.v3.RBAC", config)
}

fn network_rbac(mut config: Value) -> Value {
    config["stat_prefix"] = json!("tcp.");
    typed("envoy.filters.network.rbac", "envoy.extensions.filters.network.rbac.v3.RBAC", config)
}

fn rules(action: &str, name: &str, permission: Value) -> Value {
    json!({ "action": action, "policies": { name: { "permissions": [permission], "principals": [{ "any": true }] } } })
}

fn path(prefix: &str) -> Value {
    json!({ "url_path": { "path": { "prefix": prefix } } })
}

fn asking(filter: &str) -> Value {
    json!({
        "grpc_service": { "envoy_grpc": { "cluster_name": "opa" }, "timeout": "5s" },
        "transport_api_version": "V3",
        "filter_enabled_metadata": {
            "filter": filter,
            "path": [{ "key": "istio_ext_authz_shadow_effective_policy_id" }],
            "value": { "string_match": { "prefix": "istio-ext-authz-opa-ns[" } },
        },
    })
}

fn served(filters: &[Value], app: &Backend, opa: Option<&Backend>) -> Value {
    let mut filters = filters.to_vec();
    filters.push(router());
    let routes = any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "app" } }]));
    let mut clusters = vec![cluster("app", &[app.address])];
    clusters.extend(opa.map(|opa| http2(cluster("opa", &[opa.address]))));
    json!({ "listeners": [listener("in", http(routes, json!({ "http_filters": filters })))], "clusters": clusters })
}

#[test]
fn a_provider_is_asked_about_what_its_policies_match() {
    let app = Backend::echo();
    let (opa, asked) = service(|request| {
        let http = request.attributes.as_ref().unwrap().request.as_ref().unwrap().http.as_ref().unwrap();
        http.headers.contains_key("x-good")
    });
    let shadow = json!({ "shadow_rules": rules("DENY", ASK, path("/admin")), "shadow_rules_stat_prefix": "istio_ext_authz_" });
    let ask = typed(
        "envoy.filters.http.ext_authz",
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        asking("envoy.filters.http.rbac"),
    );
    let proxy = Proxy::start(served(&[http_rbac(shadow), ask], &app, Some(&opa)));
    let at = proxy.address("in");
    assert_eq!(get(at, "/").status, 200);
    assert_eq!(asked.lock().unwrap().len(), 0, "it is not asked about other requests");
    assert_eq!(get(at, "/admin").status, 403);
    assert_eq!(request(at, "GET /admin/x", &[("x-good", "1")]).status, 200);
    assert_eq!(asked.lock().unwrap().len(), 2);
    assert_eq!(proxy.stat(&format!("rbac.policy.{ASK}.asked")), 2);
    drop(opa);
}

#[test]
fn a_provider_is_asked_about_connections() {
    let app = Backend::raw(|stream| {
        let mut first = [0; 4];
        stream.read_exact(&mut first).unwrap();
        stream.write_all(b"pong").unwrap();
    });
    let allow = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let says = Arc::clone(&allow);
    let (opa, asked) = service(move |request| {
        let attributes = request.attributes.as_ref().unwrap();
        assert!(
            attributes.request.is_none() && attributes.source.is_some() && attributes.destination.is_some()
        );
        says.load(std::sync::atomic::Ordering::Relaxed)
    });
    let shadow = network_rbac(json!({
        "shadow_rules": rules("DENY", ASK, json!({ "any": true })), "shadow_rules_stat_prefix": "istio_ext_authz_",
    }));
    let mut config = asking("envoy.filters.network.rbac");
    config["stat_prefix"] = json!("tcp.");
    let ask = typed(
        "envoy.filters.network.ext_authz",
        "envoy.extensions.filters.network.ext_authz.v3.ExtAuthz",
        config,
    );
    let mut listener = listener("in", tcp("app"));
    let filters = listener["filter_chains"][0]["filters"].as_array_mut().unwrap();
    filters.splice(0..0, [shadow, ask]);
    let start = |opa: std::net::SocketAddr| {
        Proxy::start(json!({
            "listeners": [listener.clone()],
            "clusters": [cluster("app", &[app.address]), http2(cluster("opa", &[opa]))],
        }))
    };
    let talk = |proxy: &Proxy| {
        let mut client = Client::connect(proxy.address("in"));
        // Whoever is refused may be so before he says anything.
        let _ = client.stream.write_all(b"ping");
        client.rest()
    };
    let proxy = start(opa.address);
    assert_eq!(talk(&proxy), b"pong");
    allow.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(talk(&proxy), b"");
    assert_eq!(asked.lock().unwrap().len(), 2);
    assert_eq!((proxy.stat("tcp.test.ext_authz.ok"), proxy.stat("tcp.test.ext_authz.denied")), (1, 1));
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = start(gone);
    assert_eq!(talk(&proxy), b"", "without an answer nobody passes");
    assert_eq!(proxy.stat("tcp.test.ext_authz.error"), 1);
}

#[test]
fn rules_that_record_and_rules_that_are_tried_decide_nothing() {
    let app = Backend::echo();
    let audit = json!({ "rules": rules("LOG", "ns[shop]-policy[audit]-rule[0]", path("/a")) });
    let dry = json!({
        "shadow_rules": rules("DENY", "ns[shop]-policy[dry]-rule[1]", path("/a/b")), "shadow_rules_stat_prefix": "istio_dry_run_deny_",
    });
    let dry_allow = json!({
        "shadow_rules": rules("ALLOW", "ns[shop]-policy[dry-allow]-rule[0]", path("/a/c")),
        "shadow_rules_stat_prefix": "istio_dry_run_allow_",
    });
    let deny = json!({ "rules": rules("DENY", "ns[shop]-policy[deny]-rule[0]", path("/no")) });
    let allow = json!({ "rules": rules("ALLOW", "ns[shop]-policy[allow]-rule[0]", json!({ "not_rule": path("/other") })) });
    let filters = [audit, dry, dry_allow, deny, allow].map(http_rbac);
    let proxy = Proxy::start(served(&filters, &app, None));
    let at = proxy.address("in");
    for (path, status) in
        [("/", 200), ("/a", 200), ("/a/b", 200), ("/a/c", 200), ("/no", 403), ("/other", 403)]
    {
        assert_eq!(get(at, path).status, status, "{path}");
    }
    let stat = |name: &str, what: &str| proxy.stat(&format!("rbac.policy.{name}.{what}"));
    assert_eq!(stat("ns[shop]-policy[audit]-rule[0]", "audited"), 3);
    assert_eq!(stat("ns[shop]-policy[dry]-rule[1]", "dry_run_denied"), 1);
    assert_eq!(stat("ns[shop]-policy[dry-allow]-rule[0]", "dry_run_allowed"), 1);
    assert_eq!(stat("ns[shop]-policy[deny]-rule[0]", "denied"), 1);
    assert_eq!(stat("ns[shop]-policy[allow]-rule[0]", "allowed"), 4);
    assert_eq!(stat("none", "denied"), 1, "what no ALLOW policy lets pass");
    assert_eq!(stat("none", "dry_run_denied"), 5);
}

#[test]
fn network_filters_hold_in_front_of_http_too() {
    let app = Backend::echo();
    let mut resources = served(&[], &app, None);
    let filters = resources["listeners"][0]["filter_chains"][0]["filters"].as_array_mut().unwrap();
    filters.insert(0, network_rbac(json!({ "rules": rules("DENY", "all", json!({ "any": true })) })));
    let proxy = Proxy::start(resources);
    let mut client = Client::connect(proxy.address("in"));
    let _ = client.stream.write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(client.rest(), b"");
    assert_eq!(app.hits(), 0);
}
