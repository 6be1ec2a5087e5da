//! Prometheus text (exposition format 0.0.4).

use std::fmt::Write as _;

use crate::metrics::gauge_set::{Extra, ExtraKind};
use crate::metrics::histogram::Histogram;
use crate::metrics::labels::PeerLabels;
use crate::metrics::proxy::{PolicyStats, StatBlock as _, StatKind};
use crate::metrics::snapshot::{BlockKind, SeriesLabels, Snapshot};
use crate::metrics::store::{RequestSeries, TcpSeries};

/// `Content-Type` of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Which of the proxy's own statistics are shown. Istio's metrics are always shown.
#[derive(Clone, Copy)]
pub enum Exposure<'a> {
    /// All of them, as Envoy does.
    All,
    /// Those that Istio shows by default: `cluster_manager`, `listener_manager`, `server`, `control_plane`, `wasm` and the cluster
    /// `xds-grpc`.
    IstioDefault,
    /// Those whose Envoy name the function accepts.
    Matching(&'a dyn Fn(&str) -> bool),
}

impl Exposure<'_> {
    pub(crate) fn shows(self, name: &str) -> bool {
        const DEFAULTS: &[&str] = &[
            "cluster_manager.",
            "listener_manager.",
            "server.",
            "control_plane.",
            "wasm.",
            "cluster.xds-grpc.",
        ];
        match self {
            Self::All => true,
            Self::IstioDefault => DEFAULTS.iter().any(|prefix| name.starts_with(prefix)),
            Self::Matching(f) => f(name),
        }
    }
}

/// The snapshot as Prometheus text. Series are in the order of their labels, so two renderings of one state are equal.
pub fn render(snapshot: &Snapshot, exposure: Exposure<'_>) -> String {
    let mut out = String::with_capacity(4096);
    render_requests(snapshot, &mut out);
    render_messages(snapshot, &mut out);
    render_tcp(snapshot, &mut out);
    render_policies(snapshot, &mut out);
    for kind in snapshot.block_kinds().iter().filter(|kind| kind.label != POLICY) {
        render_blocks(kind, exposure, &mut out);
    }
    render_extras(&snapshot.extras, exposure, &mut out);
    if snapshot.overflow > 0 {
        head(
            &mut out,
            "tulle_metrics_overflow_total",
            "counter",
            "Series and labels refused because of the limit",
        );
        let _ = writeln!(out, "tulle_metrics_overflow_total {}", snapshot.overflow);
    }
    out
}

/// A name with everything but letters, digits and `_` replaced by `_`.
pub fn sanitize(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// Appends a label value with backslash, quote and line feed escaped.
pub fn escape_into(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// The series in the order of their labels, which `text` writes.
fn sorted<V>(
    series: &hashbrown::HashMap<SeriesLabels, V>,
    text: fn(&SeriesLabels) -> String,
) -> Vec<(String, &V)> {
    let mut all: Vec<_> = series.iter().collect();
    all.sort_by_key(|(labels, _)| *labels);
    all.into_iter().map(|(labels, values)| (text(labels), values)).collect()
}

fn render_requests(snapshot: &Snapshot, out: &mut String) {
    if snapshot.requests.is_empty() {
        return;
    }
    let series = sorted(&snapshot.requests, request_text);
    head(out, "istio_requests_total", "counter", "Requests, counted once when they end");
    for (labels, values) in &series {
        let _ = writeln!(out, "istio_requests_total{{{labels}}} {}", values.count);
    }
    type Read = fn(&RequestSeries) -> &Histogram;
    let families: [(&str, &str, Read); 3] = [
        ("istio_request_duration_milliseconds", "Duration of requests that completed", |s| &s.duration_ms),
        ("istio_request_bytes", "Bytes received from the client for a request", |s| &s.request_bytes),
        ("istio_response_bytes", "Bytes sent to the client for a request", |s| &s.response_bytes),
    ];
    for (name, help, read) in families {
        head(out, name, "histogram", help);
        for (labels, values) in &series {
            histogram(out, name, labels, read(values));
        }
    }
}

fn render_messages(snapshot: &Snapshot, out: &mut String) {
    if snapshot.messages.is_empty() {
        return;
    }
    let series = sorted(&snapshot.messages, text);
    head(out, "istio_request_messages_total", "counter", "gRPC messages from clients");
    for (labels, values) in &series {
        let _ = writeln!(out, "istio_request_messages_total{{{labels}}} {}", values.requests);
    }
    head(out, "istio_response_messages_total", "counter", "gRPC messages to clients");
    for (labels, values) in &series {
        let _ = writeln!(out, "istio_response_messages_total{{{labels}}} {}", values.responses);
    }
}

fn render_tcp(snapshot: &Snapshot, out: &mut String) {
    if snapshot.tcp.is_empty() {
        return;
    }
    let series = sorted(&snapshot.tcp, tcp_text);
    type Read = fn(&TcpSeries) -> u64;
    let families: [(&str, &str, Read); 4] = [
        ("istio_tcp_connections_opened_total", "TCP connections opened", |s| s.opened),
        ("istio_tcp_connections_closed_total", "TCP connections closed", |s| s.closed),
        ("istio_tcp_sent_bytes_total", "Bytes sent to TCP clients", |s| s.sent),
        ("istio_tcp_received_bytes_total", "Bytes received from TCP clients", |s| s.received),
    ];
    for (name, help, read) in families {
        head(out, name, "counter", help);
        for (labels, values) in &series {
            let _ = writeln!(out, "{name}{{{labels}}} {}", read(values));
        }
    }
}

/// The kind of blocks that has a family of its own, which is always shown.
const POLICY: &str = "policy";

/// What each rule of authorization policies decided.
pub(crate) const AUTHORIZATION: &str = "tulle_authorization_total";

/// The labels of the rule that `name` names: `ns[NAMESPACE]-policy[NAME]-rule[INDEX]`, also behind or before other words.
pub(crate) fn policy_labels(name: &str) -> [(&'static str, &str); 3] {
    let between = |start: &str, end: &str| {
        let (_, rest) = name.split_once(start)?;
        rest.split_once(end).map(|(inner, _)| inner)
    };
    [
        ("policy_namespace", between("ns[", "]").unwrap_or_default()),
        (POLICY, between("-policy[", "]").unwrap_or(name)),
        ("rule", between("]-rule[", "]").unwrap_or_default()),
    ]
}

fn render_policies(snapshot: &Snapshot, out: &mut String) {
    if snapshot.policies.0.is_empty() {
        return;
    }
    head(out, AUTHORIZATION, "counter", "Decisions of authorization policies on requests and connections");
    for (name, values) in &snapshot.policies.0 {
        let mut labels = String::new();
        for (key, value) in policy_labels(name) {
            label(&mut labels, key, value);
        }
        for (info, value) in PolicyStats::STATS.iter().zip(values).filter(|(_, value)| **value > 0) {
            let _ = writeln!(out, "{AUTHORIZATION}{{{labels},result=\"{}\"}} {value}", info.name);
        }
    }
}

fn histogram(out: &mut String, name: &str, labels: &str, values: &Histogram) {
    for (bound, count) in values.cumulative() {
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
    }
    let count = values.count();
    let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
    let _ = writeln!(out, "{name}_sum{{{labels}}} {}\n{name}_count{{{labels}}} {count}", values.sum());
}

/// The labels that all families share.
fn text(labels: &SeriesLabels) -> String {
    let mut out = String::with_capacity(768);
    let _ = write!(out, "reporter=\"{}\"", labels.reporter.as_str());
    peer(&mut out, "source", &labels.source);
    peer(&mut out, "destination", &labels.destination);
    label(&mut out, "destination_service", &labels.service.host);
    label(&mut out, "destination_service_name", &labels.service.name);
    label(&mut out, "destination_service_namespace", &labels.service.namespace);
    out
}

fn tcp_text(labels: &SeriesLabels) -> String {
    let mut out = text(labels);
    label(&mut out, "request_protocol", labels.protocol.as_str());
    label(&mut out, "response_flags", &labels.flags().to_string());
    label(&mut out, "connection_security_policy", labels.security.as_str());
    out
}

fn request_text(labels: &SeriesLabels) -> String {
    let mut out = text(labels);
    label(&mut out, "request_protocol", labels.protocol.as_str());
    label(&mut out, "response_code", &labels.response_code.to_string());
    label(&mut out, "grpc_response_status", &labels.grpc_status.map_or(String::new(), |s| s.to_string()));
    label(&mut out, "response_flags", &labels.flags().to_string());
    label(&mut out, "connection_security_policy", labels.security.as_str());
    out
}

fn peer(out: &mut String, side: &str, peer: &PeerLabels) {
    let PeerLabels {
        workload,
        namespace,
        principal,
        app,
        version,
        canonical_service,
        canonical_revision,
        cluster,
    } = peer;
    for (name, value) in [
        ("workload", workload),
        ("workload_namespace", namespace),
        ("principal", principal),
        ("app", app),
        ("version", version),
        ("canonical_service", canonical_service),
        ("canonical_revision", canonical_revision),
        ("cluster", cluster),
    ] {
        let _ = write!(out, ",{side}_{name}=\"");
        escape_into(out, value);
        out.push('"');
    }
}

fn label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    let _ = write!(out, "{name}=\"");
    escape_into(out, value);
    out.push('"');
}

fn render_blocks(kind: &BlockKind<'_>, exposure: Exposure<'_>, out: &mut String) {
    let mut last_head = String::new();
    for (index, info) in kind.stats.iter().enumerate() {
        let (base, class) = split_class(info.name);
        let metric = format!("envoy_{}_{}", kind.prefix, sanitize(base));
        for (name, values) in &kind.blocks.0 {
            if !exposure.shows(&format!("{}.{name}.{}", kind.prefix, info.name)) {
                continue;
            }
            if last_head != metric {
                let type_name = if info.kind == StatKind::Counter { "counter" } else { "gauge" };
                head(out, &metric, type_name, info.help);
                last_head.clone_from(&metric);
            }
            let mut labels = String::new();
            if let Some(class) = class {
                label(&mut labels, "response_code_class", class);
            }
            label(&mut labels, kind.label, name);
            let _ = writeln!(out, "{metric}{{{labels}}} {}", values[index]);
        }
    }
}

/// `upstream_rq_2xx` is `upstream_rq` with a label in Prometheus text.
fn split_class(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once('_') {
        Some((base, class)) if class.len() == 3 && class.ends_with("xx") => (base, Some(class)),
        _ => (name, None),
    }
}

fn render_extras(extras: &[Extra], exposure: Exposure<'_>, out: &mut String) {
    let mut shown: Vec<&Extra> =
        extras.iter().filter(|e| e.envoy_name.as_deref().is_none_or(|name| exposure.shows(name))).collect();
    shown.sort_by(|a, b| a.name.cmp(&b.name));
    let mut last = "";
    for extra in shown {
        if extra.name != last {
            let kind = if extra.kind == ExtraKind::Counter { "counter" } else { "gauge" };
            let _ = writeln!(out, "# TYPE {} {kind}", extra.name);
            last = &extra.name;
        }
        let mut labels = String::new();
        for (name, value) in &extra.labels {
            label(&mut labels, name, value);
        }
        let _ = if labels.is_empty() {
            writeln!(out, "{} {}", extra.name, extra.value)
        } else {
            writeln!(out, "{}{{{labels}}} {}", extra.name, extra.value)
        };
    }
}
