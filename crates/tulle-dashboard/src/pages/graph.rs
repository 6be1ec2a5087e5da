//! `/api/graph`: the live graph with what is known of its nodes and edges besides.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::causes::with_flags;
use super::golden::Golden;
use super::health::{Health, Judged, Reason};
use super::{Seen, workloads};
use crate::graph::{Edge, EdgeKey, Node, NodeKind, to_json};
use crate::layout::Keeper;
use crate::plane::{Badge, Proxies, Service, Workload};

/// Which of the graph is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// Also what had no traffic.
    pub(crate) idle: bool,
    /// Only edges with an end in this namespace; empty for all.
    pub(crate) namespace: String,
    /// Also where to draw it.
    pub(crate) layout: bool,
}

/// The graph.
pub(crate) fn graph(seen: &Seen, proxies: &Proxies, places: &Keeper, shown: &Shown) -> Value {
    let mut out = to_json(&seen.graph);
    let nodes = out["nodes"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let edges = out["edges"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let mut nodes: Vec<Value> = nodes.into_iter().map(|node| with_node(seen, proxies, node)).collect();
    if shown.idle {
        nodes.extend(idle(seen, proxies));
    }
    if shown.layout {
        out["layout"] = laid_out(seen, places, &nodes);
    }
    let mut edges: Vec<Value> = edges
        .into_iter()
        .zip(&seen.graph.edges)
        .map(|(json, (key, edge))| with_edge(seen, json, key, edge))
        .collect();
    if !shown.namespace.is_empty() {
        let own: BTreeSet<String> = nodes
            .iter()
            .filter(|n| n["namespace"] == shown.namespace.as_str())
            .filter_map(|n| n["id"].as_str().map(str::to_owned))
            .collect();
        let is = |value: &Value| value.as_str().is_some_and(|id| own.contains(id));
        edges.retain(|e| is(&e["source"]) || is(&e["target"]) || is(&e["service"]));
        let used: BTreeSet<String> = edges
            .iter()
            .flat_map(|e| {
                ["source", "target", "service"].map(|end| e[end].as_str().unwrap_or_default().to_owned())
            })
            .chain(own.iter().cloned())
            .collect();
        nodes.retain(|n| n["id"].as_str().is_some_and(|id| used.contains(id)));
    }
    out["nodes"] = json!(nodes);
    out["edges"] = json!(edges);
    out
}

/// Where everything is drawn, what had no traffic included.
fn laid_out(seen: &Seen, places: &Keeper, nodes: &[Value]) -> Value {
    let mut graph = seen.graph.clone();
    for node in nodes {
        let text = |name: &str| node[name].as_str().unwrap_or_default().to_owned();
        graph.nodes.entry(text("id")).or_insert_with(|| Node {
            kind: if node["kind"] == "workload" { NodeKind::Workload } else { NodeKind::Service },
            name: text("name"),
            namespace: text("namespace"),
            app: String::new(),
            version: String::new(),
            inbound: 0.0,
            outbound: 0.0,
        });
    }
    places.place(&graph).to_json()
}

fn with_node(seen: &Seen, proxies: &Proxies, mut node: Value) -> Value {
    let id = node["id"].as_str().unwrap_or_default().to_owned();
    if let Some(workload) = seen.model.workloads.get(&id) {
        about_workload(seen, proxies, workload, &mut node);
    } else if let Some(service) = id.strip_prefix("service:").and_then(|id| seen.model.services.get(id)) {
        about_service(seen, service, &mut node);
    } else {
        let golden = Golden::of(seen.inbound(&id).chain(seen.outbound(&id)));
        let judged = Judged::of(&golden, seen.seconds());
        node["health"] = json!(judged.health);
        node["reasons"] = json!(judged.reasons);
        node["badges"] = match node["kind"].as_str() {
            Some("external") => json!([Badge::External]),
            _ => json!([]),
        };
    }
    node
}

fn about_workload(seen: &Seen, proxies: &Proxies, workload: &Workload, node: &mut Value) {
    let pods = workloads::pods(workload, proxies);
    let judged = workloads::judge(seen, workload, pods);
    let services = || workload.services.iter().filter_map(|id| seen.model.services.get(id));
    // What is special about its services is shown where they run.
    let badges: BTreeSet<Badge> =
        services().flat_map(|s| &s.badges).chain(&workload.badges).copied().collect();
    let breaker =
        services().map(|s| seen.host_of(s).breaker(s.breaks)).max_by_key(|b| b.state).unwrap_or_default();
    node["app"] = json!(workload.app);
    node["version"] = json!(workload.version);
    node["health"] = json!(judged.health);
    node["reasons"] = json!(judged.reasons);
    node["badges"] = json!(badges);
    node["pods"] = json!(pods);
    node["services"] = json!(workload.services);
    node["breaker"] = json!(breaker);
    node["principal"] = json!(workload.principal);
}

fn about_service(seen: &Seen, service: &Service, node: &mut Value) {
    let host = seen.host_of(service);
    let breaker = host.breaker(service.breaks);
    let judged = Judged::of(&Golden::of(seen.calls_of(service)), seen.seconds()).with_breaker(&breaker);
    node["health"] = json!(judged.health);
    node["reasons"] = json!(judged.reasons);
    node["badges"] = json!(service.badges);
    node["workloads"] = json!(service.workloads);
    node["breaker"] = json!(breaker);
    node["connections"] = json!(host.connections);
}

/// What had no traffic in the window.
fn idle(seen: &Seen, proxies: &Proxies) -> Vec<Value> {
    let known = |id: &str| seen.graph.nodes.contains_key(id);
    let blank = |id: &str, kind: &str, name: &str, namespace: &str| {
        json!({"id": id, "kind": kind, "name": name, "namespace": namespace, "app": "", "version": "",
            "inbound": 0.0, "outbound": 0.0})
    };
    // A service with workloads is shown by these.
    let services = seen.model.services.values().filter(|s| s.workloads.is_empty()).filter_map(|service| {
        let id = super::node_of(service);
        let mut node = blank(&id, "service", &service.name, &service.namespace);
        about_service(seen, service, &mut node);
        (!known(&id)).then_some(node)
    });
    let workloads = seen.model.workloads.values().filter(|w| !known(&w.id)).map(|workload| {
        let mut node = blank(&workload.id, "workload", &workload.name, &workload.namespace);
        about_workload(seen, proxies, workload, &mut node);
        node
    });
    services.chain(workloads).collect()
}

fn with_edge(seen: &Seen, mut json: Value, key: &EdgeKey, edge: &Edge) -> Value {
    let golden = Golden::of([(key, edge)]);
    let service = seen.service_of(key);
    let client = seen.model.workloads.get(&key.source);
    let host = service.map(|service| {
        let pods = client
            .into_iter()
            .flat_map(|w| w.pods.iter().map(move |p| format!("{}/{}", w.namespace, p.name)));
        let mut all = pods.filter_map(|pod| seen.clients.by_pod.get(&(pod, service.host.clone())));
        let first = all.next().cloned().unwrap_or_default();
        let connections = first.connections + all.map(|h| h.connections).sum::<f64>();
        (first.breaker(service.breaks), connections)
    });
    let mut judged = with_flags(Judged::of(&golden, seen.seconds()), edge, service);
    if let Some((breaker, _)) = &host {
        judged = judged.with_breaker(breaker);
    }
    if edge.plain > 0.0 {
        let share = edge.plain / (edge.mtls + edge.plain);
        let text = format!("{:.0} % came without encryption", share * 100.0);
        judged.add(Health::Healthy, Reason::new("plaintext", text, share, 0.0));
    }
    let principal = |id: &str| seen.model.workloads.get(id).map(|w| w.principal.clone());
    json["health"] = json!(judged.health);
    json["reasons"] = json!(judged.reasons);
    json["badges"] = json!(service.map(|s| s.badges.clone()).unwrap_or_default());
    json["connections"] = json!(host.as_ref().map(|(_, connections)| *connections));
    json["breaker"] = json!(host.map(|(breaker, _)| breaker));
    json["successRate"] = json!(golden.success_rate);
    json["principals"] = json!({"source": principal(&key.source), "destination": principal(&key.target)});
    json
}
