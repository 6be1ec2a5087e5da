//! What proxies decide is what policies mean: random policies go the whole way (document, snapshot, xDS, compiled rules) and decide
//! on random requests as an evaluator does that is written from the documentation alone.
//!
//! `TULLE_AUTHORIZATION_PAIRS` says on how many pairs of policies and requests; 100,000 by default. A disagreement prints policies
//! and request, and the seed.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::panic,
    reason = "a test; a failed unwrap is a failed test"
)]

mod draw;
mod naive;
mod policy;

use std::sync::Arc;

use serde_json::{Value, json};
use tulle_base::{Labels, Locality};
use tulle_engine::compile::{self, NoFiles};
use tulle_engine::decide::authorize::{self, AuthInput, Verdict, matches};
use tulle_engine::decide::view::{CertificateView, Connection, TlsView};
use tulle_engine::runtime::HttpFilterKind;
use tulle_engine::runtime::listener::{FilterChain, Listener, NetworkFilter, Terminal};
use tulle_engine::runtime::metadata::{Metadata, Value as Datum};
use tulle_engine::runtime::rbac::{Rbac, RbacAction, RbacFilter};
use tulle_http::RequestHead;
use tulle_mesh::{Change, MeshConfig, NsName, Snapshot};
use tulle_proto::Message as _;
use tulle_translate::{Families, Kind, Proxy, View};

use draw::Draw;
use naive::{Http, Outcome, Request};
use policy::Policy;

/// Requests for each set of policies.
const REQUESTS: usize = 100;

#[test]
fn decisions_are_what_policies_mean() {
    let pairs: usize =
        std::env::var("TULLE_AUTHORIZATION_PAIRS").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let base = mesh();
    let mut seen = [0_usize; 6];
    for seed in 0..pairs.div_ceil(REQUESTS) {
        let mut d = Draw::new(u64::try_from(seed).unwrap());
        let policies = policy::policies(&mut d);
        let rules = rules(&base, &policies);
        for _ in 0..REQUESTS {
            let request = request(&mut d);
            let (wanted, got) = (naive::evaluate(&policies, &request), rules.decide(&request));
            assert_eq!(
                got,
                wanted,
                "seed {seed}\n{request:#?}\n{}",
                policies.iter().map(|p| format!("{:#}\n", p.document())).collect::<String>()
            );
            let facts = [
                wanted.allowed,
                !wanted.allowed,
                wanted.audited,
                wanted.asked,
                wanted.dry_denied,
                wanted.dry_allowed == Some(true),
            ];
            for (count, fact) in seen.iter_mut().zip(facts) {
                *count += usize::from(fact);
            }
        }
    }
    eprintln!("allowed, denied, audited, asked, denied on trial, allowed on trial: {seen:?}");
    assert!(seen.iter().all(|n| *n > pairs / 200), "every outcome is seen often: {seen:?}");
}

/// The filters of random policies that a stock Envoy and our proxy are compared by (`crates/tulle-proxy/tests/differential`).
/// `UPDATE=1` writes them anew.
#[test]
fn the_filters_that_are_compared_with_envoy_are_those_that_are_sent() {
    const SETS: u64 = 26;
    let base = mesh();
    let json = tulle_proto::json::Json::load().unwrap();
    let sets: Vec<Value> = (0..SETS)
        .map(|seed| {
            let message = inbound(&base, &policy::policies(&mut Draw::new(1_000_000 + seed)));
            let listener = json.decode(tulle_proto::type_url::LISTENER, &message.to_wire()).unwrap();
            let chains = listener["filter_chains"].as_array().unwrap();
            let chain = chains.iter().find(|c| c["name"] == "0.0.0.0_80").unwrap();
            let filters = chain["filters"][0]["typed_config"]["http_filters"].as_array().unwrap();
            filters.iter().filter(|f| f["name"] == "envoy.filters.http.rbac").cloned().collect()
        })
        .collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tulle-proxy/tests/differential/generated_rbac.json");
    let lines: Vec<String> = sets.iter().map(Value::to_string).collect();
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap_or_default() == text, "UPDATE=1 writes them anew");
}

/// A mesh with one workload that serves HTTP and TCP, and a provider.
fn mesh() -> Snapshot {
    let documents = [
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "istio", "namespace": "istio-system" },
            "data": { "mesh": "trustDomainAliases: [old-td]\nextensionProviders:\n- name: opa\n  envoyExtAuthzGrpc: {service: opa.policy.svc.cluster.local, port: 9191}\n" } }),
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "opa", "namespace": "policy" },
            "spec": { "clusterIP": "10.96.0.40", "selector": { "app": "opa" }, "ports": [{ "port": 9191, "name": "grpc" }] } }),
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web", "namespace": "shop" },
            "spec": { "clusterIP": "10.96.0.30", "selector": { "app": "web" },
                "ports": [{ "port": 80, "name": "http" }, { "port": 9000, "name": "tcp" }] } }),
        json!({ "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
            "metadata": { "name": "default", "namespace": "istio-system" }, "spec": { "mtls": { "mode": "STRICT" } } }),
    ];
    let changes: Vec<Change> = documents.iter().map(put).collect();
    Snapshot::new(MeshConfig::default()).apply(&changes).0
}

fn put(document: &Value) -> Change {
    Change::Put(Arc::new(
        tulle_api::decode_object(document).unwrap_or_else(|e| panic!("{e:?}\n{document:#}")),
    ))
}

fn proxy() -> Proxy {
    let labels: Labels =
        [("app", "web"), ("version", "v1")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    Proxy {
        kind: Kind::Sidecar,
        id: "sidecar~10.244.0.5~web.shop~shop.svc.cluster.local".into(),
        ip: "10.244.0.5".into(),
        families: Families::V4,
        pod: NsName::new(naive::NAMESPACE, "web"),
        labels,
        service_account: "web".into(),
        workload: "web".into(),
        cluster_id: "Kubernetes".into(),
        network: String::new(),
        locality: Locality::default(),
        metadata: Default::default(),
        node: String::new(),
        stock_envoy: false,
        stands_for: None,
    }
}

/// The compiled rules of the workload's two ports.
struct Rules {
    http: Vec<Asked>,
    tcp: Vec<Asked>,
}

/// A filter, and its rules five times over: enough to have an index, which small sets do not.
struct Asked {
    filter: RbacFilter,
    indexed: Vec<Rbac>,
}

impl Asked {
    fn new(filter: &RbacFilter) -> Self {
        let more = |rules: &Rbac| {
            let policies = std::iter::repeat_n(rules.policies(), 5).flatten().cloned().collect();
            Rbac::new(RbacAction::Allow, policies)
        };
        let indexed = filter.rules.iter().chain(&filter.shadow_rules).map(more).collect();
        Self { filter: filter.clone(), indexed }
    }
}

/// What the workload's proxy is told about what comes in.
fn inbound(base: &Snapshot, policies: &[Policy]) -> tulle_proto::envoy::listener::Listener {
    let changes: Vec<Change> = policies.iter().map(|p| put(&p.document())).collect();
    let (snapshot, _) = base.apply(&changes);
    let proxy = proxy();
    let listeners = tulle_translate::listeners(&snapshot, &proxy, &View::of(&snapshot, &proxy));
    let inbound = listeners.iter().find(|l| &*l.name == "virtualInbound").unwrap();
    tulle_proto::envoy::listener::Listener::from_wire(&inbound.body).unwrap()
}

fn rules(base: &Snapshot, policies: &[Policy]) -> Rules {
    let message = inbound(base, policies);
    let listener: Arc<Listener> = compile::listener(&message, &NoFiles).unwrap_or_else(|e| panic!("{e}")).0;
    let chain =
        |name: &str| -> &Arc<FilterChain> { listener.chains.iter().find(|c| &*c.name == name).unwrap() };
    let Terminal::Http(manager) = &chain("0.0.0.0_80").terminal else { panic!() };
    let http = manager.filters.iter().filter_map(|f| match &f.kind {
        HttpFilterKind::Rbac(rules) => Some(Asked::new(rules)),
        _ => None,
    });
    let tcp = chain("0.0.0.0_9000").filters.iter().filter_map(|f| match f {
        NetworkFilter::Rbac(rules) => Some(Asked::new(&rules.rules)),
        _ => None,
    });
    Rules { http: http.collect(), tcp: tcp.collect() }
}

impl Rules {
    fn decide(&self, request: &Request) -> Outcome {
        let head = request.http.as_ref().map(|http| RequestHead {
            method: tulle_http::Method::from_bytes(http.method.as_bytes()).unwrap(),
            authority: http.host.to_owned(),
            path: http.path.to_owned(),
            headers: http.headers.iter().copied().collect(),
            ..RequestHead::default()
        });
        let name = request.client.map(|(td, ns, sa)| format!("spiffe://{td}/ns/{ns}/sa/{sa}"));
        let names: Vec<&str> = name.iter().map(String::as_str).collect();
        let peer = name.as_ref().map(|_| CertificateView {
            verified: true,
            uri_sans: &names,
            ..CertificateView::default()
        });
        let connection = Connection {
            direct_remote: (request.source_ip, 1234).into(),
            remote: (request.remote_ip, 0).into(),
            local: (request.destination_ip, request.port).into(),
            server_name: request.sni,
            tls: Some(TlsView { peer, ..TlsView::default() }),
        };
        let claims = request.http.as_ref().and_then(|h| h.claims.as_ref());
        let metadata = claims.map(|claims| {
            let payload = [("payload".into(), datum(claims))].into();
            Metadata::from([("envoy.filters.http.jwt_authn".into(), payload)])
        });
        let input = AuthInput {
            head: head.as_ref(),
            connection: &connection,
            metadata: metadata.as_ref(),
            filter_state: &[],
        };
        let mut out = Outcome { allowed: true, ..Outcome::default() };
        for asked in if request.http.is_some() { &self.http } else { &self.tcp } {
            look_at_all(asked, &input);
            let filter = &asked.filter;
            let verdict = authorize::filter(filter, &input);
            out.allowed &= verdict.enforced.allowed;
            out.audited |= verdict.log == Some(true);
            let Some(Verdict { allowed, policy }) = verdict.shadow else { continue };
            match &*filter.shadow_stat_prefix {
                "istio_ext_authz_" => out.asked |= policy.is_some(),
                "istio_dry_run_deny_" => out.dry_denied |= !allowed,
                "istio_dry_run_allow_" => out.dry_allowed = Some(allowed),
                other => panic!("{other}"),
            }
        }
        out
    }
}

/// The index leaves nothing out: the policy that decides is the first of all that match.
fn look_at_all(Asked { filter, indexed }: &Asked, input: &AuthInput<'_>) {
    for (rules, indexed) in filter.rules.iter().chain(&filter.shadow_rules).zip(indexed) {
        let first = rules.policies().iter().find(|p| matches(p, input));
        let name = |policy: Option<&tulle_engine::runtime::rbac::Policy>| policy.map(|p| Arc::clone(&p.name));
        assert_eq!(name(authorize::decide(rules, input).policy), name(first));
        assert_eq!(name(authorize::decide(indexed, input).policy), name(first));
    }
}

fn datum(value: &Value) -> Datum {
    match value {
        Value::String(text) => Datum::String(text.as_str().into()),
        Value::Array(items) => Datum::List(items.iter().map(datum).collect()),
        Value::Object(map) => Datum::Struct(map.iter().map(|(k, v)| (k.as_str().into(), datum(v))).collect()),
        other => panic!("{other}"),
    }
}

fn request(d: &mut Draw) -> Request {
    let ip =
        |d: &mut Draw| d.one(&["10.0.0.1", "10.1.2.3", "192.168.0.9", "fd00::1", "8.8.8.8"]).parse().unwrap();
    let clients = [
        ("cluster.local", "shop", "cart"),
        ("cluster.local", "shop", "web"),
        ("old-td", "legacy", "cart"),
        ("far.org", "shop", "cart"),
        ("cluster.local", "banana", "a.b"),
        ("cluster.local", "legacy", "cart"),
    ];
    let http = d.percent(85).then(|| http(d));
    Request {
        client: (!d.percent(25)).then(|| clients[d.number(clients.len())]),
        source_ip: ip(d),
        remote_ip: ip(d),
        destination_ip: ip(d),
        port: if http.is_some() { 80 } else { 9000 },
        sni: d.one(&["", "web.shop", "x.example.com"]),
        http,
    }
}

fn http(d: &mut Draw) -> Http {
    let headers =
        (0..d.number(4)).map(|_| (d.one(&["x-a", "X-A", "x-b"]), d.one(&["1", "2", "21", "admin"])));
    let headers = headers.collect();
    let role = [json!("admin"), json!(["1", "admin"]), json!("2x"), json!([])];
    let nested = [json!({ "b": "1" }), json!({ "b": ["21", "x"] }), json!("b")];
    let claims = json!({
        "iss": d.one(&["https://one", "two"]),
        "sub": d.one(&["ann", "bob"]),
        "aud": [d.one(&["shop", "pay"])],
        "azp": d.one(&["app", "other"]),
        "role": role[d.number(role.len())],
        "a": nested[d.number(nested.len())],
    });
    Http {
        method: d.one(&["GET", "POST", "PUT", "DELETE"]),
        host: d.one(&["web.shop", "WEB.shop", "api.example.com", "api.example.com:8080"]),
        path: d.one(&[
            "/",
            "/api/a",
            "/api/a/b",
            "/api/x/y/z",
            "/api/x/y/",
            "/admin",
            "/admin?q=1",
            "/api//b",
            "/a.json",
            "/axjson",
            "/api/",
            "/api",
        ]),
        headers,
        claims: d.percent(60).then_some(claims),
    }
}
