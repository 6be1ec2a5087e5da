//! Documents in, resources out: `golden/NAME.yaml` beside `golden/NAME.json`. `UPDATE=1` writes the answers anew.
//!
//! The first lines of an input say who asks and what is shown:
//! `# proxy: sidecar|router|stock NAMESPACE/POD` (several are possible) and `# show: clusters listeners:NAME routes ...`,
//! where a name after the colon picks the resources that begin with it. `# fetched: ADDRESS` has one public key there.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message as _;
use serde_json::{Map, Value};
use tulle_api::Object;
use tulle_mesh::policy::{Fetched, KeySource, jwks};
use tulle_mesh::{Change, MeshConfig, NsName, Snapshot};
use tulle_proto::istio::nds::NameTable;
use tulle_proto::json::Json;
use tulle_translate::{Families, Kind, Proxy, Resource, View};

#[path = "golden/effects.rs"]
mod effects;

#[test]
fn every_input_gives_its_answer() {
    let json = Json::load().unwrap();
    let mut wrong = Vec::new();
    let mut inputs: Vec<PathBuf> = std::fs::read_dir(golden()).unwrap().map(|e| e.unwrap().path()).collect();
    inputs.retain(|p| p.extension().is_some_and(|e| e == "yaml"));
    inputs.sort();
    assert!(!inputs.is_empty());
    for input in inputs {
        let text = std::fs::read_to_string(&input).unwrap();
        let answer = format!("{:#}\n", answer(&json, &text));
        let expected = input.with_extension("json");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, &answer).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != answer {
            wrong.push(expected.display().to_string());
        }
    }
    assert!(wrong.is_empty(), "differ (UPDATE=1 writes them anew):\n{}", wrong.join("\n"));
}

#[test]
fn equal_input_gives_equal_bytes() {
    let text = std::fs::read_to_string(golden().join("bookinfo.yaml")).unwrap();
    let once = |_| {
        let snapshot = snapshot(&text);
        let proxy = proxies(&snapshot, &text).remove(0).1;
        let view = View::of(&snapshot, &proxy);
        resources(&snapshot, &proxy, &view)
    };
    let all: Vec<_> = (0..4).map(once).collect();
    for (kind, first) in &all[0] {
        for other in &all[1..] {
            for (a, b) in first.iter().zip(&other[kind]) {
                assert_eq!((&a.name, &a.version), (&b.name, &b.version), "{kind}");
            }
        }
    }
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn answer(json: &Json, text: &str) -> Value {
    let snapshot = snapshot(text);
    let mut out = Map::new();
    for (name, proxy) in proxies(&snapshot, text) {
        let view = View::of(&snapshot, &proxy);
        let mut shown = Map::new();
        for (kind, resources) in resources(&snapshot, &proxy, &view) {
            let wanted = |r: &Resource| {
                header(text, "show").any(|s| match s.split_once(':') {
                    None => s == kind,
                    Some((k, prefix)) => k == kind && r.name.starts_with(prefix),
                })
            };
            let chosen: Map<String, Value> = resources
                .iter()
                .filter(|r| wanted(r))
                .map(|r| (r.name.to_string(), decode(json, r)))
                .collect();
            if !chosen.is_empty() {
                shown.insert(kind.to_owned(), Value::Object(chosen));
            }
        }
        out.insert(name, Value::Object(shown));
    }
    let said: Vec<Value> = snapshot.diagnostics().map(|d| Value::from(d.to_string())).collect();
    if !said.is_empty() {
        out.insert("diagnostics".into(), Value::Array(said));
    }
    Value::Object(out)
}

fn decode(json: &Json, resource: &Resource) -> Value {
    if resource.type_url != tulle_proto::type_url::NAME_TABLE {
        return json.decode(resource.type_url, &resource.body).unwrap();
    }
    // Istio's own messages have no descriptors.
    let table = NameTable::decode(resource.body.clone()).unwrap().table;
    table
        .into_iter()
        .map(|(host, info)| (host, Value::from(format!("{} {}", info.registry, info.ips.join(" ")))))
        .collect()
}

fn snapshot(text: &str) -> Snapshot {
    let (objects, problems) = tulle_api::parse_manifests("input", text.as_bytes());
    let errors: Vec<_> = problems.iter().filter(|p| p.severity == tulle_base::Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    snapshot_of(objects, text)
}

fn snapshot_of(objects: Vec<Object>, text: &str) -> Snapshot {
    // Without access log: its format would hide the rest. One input is about it.
    let file = if header(text, "show").any(|s| s == "log") { "/dev/stdout" } else { "" };
    let mesh = MeshConfig { access_log_file: file.into(), ..MeshConfig::default() };
    let mut changes: Vec<Change> = objects.into_iter().map(|o| Change::Put(Arc::new(o))).collect();
    for address in header(text, "fetched") {
        let keys = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "fetched", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let fetched = Fetched { keys: Some(jwks::usable(keys).unwrap().into()), problem: None };
        changes.push(Change::Keys(KeySource::Address(address.to_owned()), fetched));
    }
    Snapshot::new(mesh).apply(&changes).0
}

fn header<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines()
        .take_while(|l| l.starts_with('#'))
        .filter_map(move |l| l.strip_prefix("# ")?.strip_prefix(key)?.strip_prefix(": "))
        .flat_map(str::split_whitespace)
}

fn proxies(snapshot: &Snapshot, text: &str) -> Vec<(String, Proxy)> {
    let words: Vec<&str> = header(text, "proxy").collect();
    let proxy = |pair: &[&str]| {
        let (namespace, pod) = pair[1].split_once('/').unwrap();
        let pod = NsName::new(namespace, pod);
        let workload = snapshot.workload(&pod).unwrap_or_else(|| panic!("no pod {pod}"));
        let proxy = Proxy {
            kind: if pair[0] == "router" { Kind::Router } else { Kind::Sidecar },
            id: format!("{}~{}", pair[0], pair[1]),
            ip: workload.ips[0].clone(),
            families: Families::of(workload.ips.iter().map(String::as_str)),
            labels: workload.labels.clone(),
            service_account: workload.service_account.clone(),
            workload: workload.workload_name.clone(),
            cluster_id: "Kubernetes".into(),
            network: String::new(),
            locality: workload.locality.clone(),
            metadata: [("ISTIO_VERSION", "1.29.0"), ("PLATFORM", "metal")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            node: workload.node.clone(),
            stock_envoy: pair[0] == "stock",
            stands_for: None,
            pod,
        };
        (pair.join(" "), proxy)
    };
    words.chunks(2).map(proxy).collect()
}

fn resources(snapshot: &Snapshot, proxy: &Proxy, view: &View) -> BTreeMap<&'static str, Vec<Resource>> {
    let routes = tulle_translate::route_names(snapshot, proxy, view);
    let routes = routes.iter().map(|n| tulle_translate::routes(snapshot, proxy, view, n).unwrap());
    let endpoints = tulle_translate::endpoint_names(snapshot, view);
    let endpoints = endpoints.iter().map(|n| tulle_translate::endpoints(snapshot, view, n).unwrap());
    BTreeMap::from([
        ("listeners", tulle_translate::listeners(snapshot, proxy, view)),
        ("clusters", tulle_translate::clusters(snapshot, proxy, view)),
        ("routes", routes.collect()),
        ("endpoints", endpoints.collect()),
        ("names", vec![tulle_translate::name_table(snapshot, view)]),
    ])
}
