//! The graph as the dashboard reads it.

use serde_json::{Value, json};

use super::{Edge, EdgeKey, Graph, Node, NodeKind};

/// `{"time", "window", "nodes": [...], "edges": [...]}`: seconds, requests a second, milliseconds for durations, shares from 0 to 1.
pub fn to_json(graph: &Graph) -> Value {
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of this century")]
    let seconds = |millis: i64| millis as f64 / 1000.0;
    json!({
        "time": seconds(graph.time),
        "window": seconds(graph.window),
        "nodes": graph.nodes.iter().map(|(id, n)| node(id, n)).collect::<Vec<_>>(),
        "edges": graph.edges.iter().map(|(key, e)| edge(key, e)).collect::<Vec<_>>(),
    })
}

fn node(id: &str, node: &Node) -> Value {
    let Node { kind, name, namespace, app, version, inbound, outbound } = node;
    let kind = match kind {
        NodeKind::Workload => "workload",
        NodeKind::Service => "service",
        NodeKind::External => "external",
        NodeKind::Unknown => "unknown",
    };
    json!({
        "id": id, "kind": kind, "name": name, "namespace": namespace, "app": app, "version": version,
        "inbound": inbound, "outbound": outbound,
    })
}

fn edge(key: &EdgeKey, edge: &Edge) -> Value {
    let EdgeKey { source, target, service, protocol } = key;
    let Edge { rate, errors, refused, codes, flags, sent, received, reporter, .. } = edge;
    json!({
        "source": source, "target": target, "service": service, "protocol": protocol, "reporter": reporter,
        "rate": rate, "errors": errors, "refused": refused, "errorRate": edge.error_rate(),
        "p50": edge.quantile(0.5), "p95": edge.quantile(0.95), "p99": edge.quantile(0.99),
        "mtls": edge.mtls_share(), "codes": codes, "flags": flags,
        "bytesSent": sent, "bytesReceived": received,
    })
}
