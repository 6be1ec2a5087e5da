//! Series of the store as increases of edges, as each side tells them.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use regex::Regex;

use super::{Edge, EdgeKey, Node, NodeId, NodeKind, Routed, Rule};
use crate::store::{Matcher, NAME, Selected, Selection, Store, Test, Wanted, is_stale};

/// How old the last tick of a proxy may be for it to count; milliseconds.
const FRESH: i64 = 20_000;
/// How much before the window is looked for its first tick; milliseconds.
const BEFORE: i64 = 15_000;
/// The metrics.
const METRICS: &str = "^(?:up|istio_requests_total|istio_request_duration_milliseconds_bucket|\
     istio_tcp_(?:connections_opened|sent_bytes|received_bytes)_total|\
     tulle_route_(?:requests_total|duration_milliseconds_bucket))$";

/// Edges as told by each reporter, and the nodes between which they are.
#[derive(Debug, Default)]
pub(super) struct Sides {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) edges: BTreeMap<(EdgeKey, String), Edge>,
    pub(super) rules: BTreeMap<Rule, Routed>,
}

/// Who counted: namespace and pod.
type Counter = (Arc<str>, Arc<str>);

/// First and last tick of a proxy within the window.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: i64,
    to: i64,
}

/// Measures everything in the window that ends at `time`.
pub(super) fn measure(store: &Store, time: i64, window: i64, max_series: usize) -> Result<Sides, Selection> {
    // It is a constant that compiles.
    let Ok(names) = Regex::new(METRICS) else { return Ok(Sides::default()) };
    let matchers = [Matcher { label: NAME.to_owned(), test: Test::Matches(names) }];
    let wanted = Wanted {
        matchers: &matchers,
        from: time - window - BEFORE - FRESH,
        to: time,
        samples: true,
        max_series,
        max_samples: 20_000_000,
    };
    let all = store.select(&wanted)?;
    let mut spans: HashMap<Counter, Span> = HashMap::new();
    for up in all.iter().filter(|s| &*s.name == "up") {
        let times: Vec<i64> = up.samples.iter().filter(|(_, v)| !is_stale(*v)).map(|(t, _)| *t).collect();
        let Some(&to) = times.last().filter(|t| **t >= time - FRESH) else { continue };
        let before = times.iter().rev().find(|t| **t <= to - window);
        let from = before.or(times.first()).copied().unwrap_or(to);
        if from < to {
            spans.insert(counter(up), Span { from, to });
        }
    }
    let mut sides = Sides::default();
    for series in all.iter().filter(|s| &*s.name != "up") {
        if let Some(span) = spans.get(&counter(series)) {
            sides.add(series, *span);
        }
    }
    Ok(sides)
}

fn counter(series: &Selected) -> Counter {
    let get = |name: &str| {
        let found = series.labels.iter().find(|(n, _)| &**n == name);
        found.map_or_else(|| Arc::from(""), |(_, value)| Arc::clone(value))
    };
    (get("namespace"), get("pod"))
}

impl Sides {
    fn add(&mut self, series: &Selected, span: Span) {
        let increase = increase(&series.samples, (span.from, span.to));
        if increase <= 0.0 {
            return;
        }
        let labels: BTreeMap<&str, &str> = series.labels.iter().map(|(n, v)| (&**n, &**v)).collect();
        let get = |name: &str| labels.get(name).copied().unwrap_or("");
        if series.name.starts_with("tulle_route_") {
            self.routed(series, &get, increase, span);
            return;
        }
        let (key, nodes) = place(&get, series.name.starts_with("istio_tcp"));
        for (id, node) in nodes {
            self.nodes.entry(id).or_insert(node);
        }
        let reporter = get("reporter").to_owned();
        let edge = self.edges.entry((key, reporter.clone())).or_default();
        edge.reporter = reporter;
        let rate = increase / span.seconds();
        match &*series.name {
            "istio_requests_total" => {
                edge.count += increase;
                requests(edge, &get, rate);
            }
            "istio_request_duration_milliseconds_bucket" => bucket(edge, series, increase),
            "istio_tcp_connections_opened_total" => {
                edge.count += increase;
                edge.rate += rate;
                secured(edge, &get, rate);
            }
            "istio_tcp_sent_bytes_total" => edge.sent += rate,
            _ => edge.received += rate,
        }
    }

    /// What a rule of a resource did; each request is told once, by whoever routed it.
    fn routed<'a>(&mut self, series: &Selected, get: &impl Fn(&str) -> &'a str, increase: f64, span: Span) {
        let rule = Rule {
            kind: get("route_kind").to_owned(),
            namespace: get("route_namespace").to_owned(),
            name: get("route_name").to_owned(),
            rule: get("route_rule").to_owned(),
        };
        let Routed { calls, grpc } = self.rules.entry(rule).or_default();
        if series.name.ends_with("_bucket") {
            bucket(calls, series, increase);
            return;
        }
        let rate = increase / span.seconds();
        calls.count += increase;
        calls.rate += rate;
        match get("result") {
            "failed" => calls.errors += rate,
            "refused" => calls.refused += rate,
            _ => {}
        }
        if get("request_protocol") == "grpc" {
            *grpc += rate;
        }
    }
}

impl Span {
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of a window")]
    fn seconds(self) -> f64 {
        (self.to - self.from) as f64 / 1000.0
    }
}

fn bucket(edge: &mut Edge, series: &Selected, increase: f64) {
    let bound = match series.le.as_deref() {
        Some("+Inf") | None => f64::INFINITY,
        Some(le) => le.parse().unwrap_or(f64::INFINITY),
    };
    *edge.buckets.entry(bound.to_bits()).or_default() += increase;
}

fn requests<'a>(edge: &mut Edge, get: &impl Fn(&str) -> &'a str, rate: f64) {
    let (code, flags, grpc) = (get("response_code"), get("response_flags"), get("grpc_response_status"));
    edge.rate += rate;
    *edge.codes.entry(code.to_owned()).or_default() += rate;
    if !matches!(flags, "" | "-") {
        *edge.flags.entry(flags.to_owned()).or_default() += rate;
    }
    let failed = code == "0" || code.starts_with('5') || !matches!(grpc, "" | "0");
    if failed {
        edge.errors += rate;
    } else if code.starts_with('4') {
        edge.refused += rate;
    }
    secured(edge, get, rate);
}

fn secured<'a>(edge: &mut Edge, get: &impl Fn(&str) -> &'a str, rate: f64) {
    match get("connection_security_policy") {
        "mutual_tls" => edge.mtls += rate,
        "none" => edge.plain += rate,
        _ => {}
    }
}

/// How much a counter grew a second from the first to the last of two moments (milliseconds).
pub fn rate_of(samples: &[(i64, f64)], span: (i64, i64)) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of a window")]
    let seconds = (span.1 - span.0) as f64 / 1000.0;
    if seconds > 0.0 { increase(samples, span) / seconds } else { 0.0 }
}

/// How much a counter grew from the first to the last tick. One that was not there at the first was 0.
fn increase(samples: &[(i64, f64)], (from, to): (i64, i64)) -> f64 {
    let until = samples.partition_point(|(t, _)| *t <= to);
    let from = samples.partition_point(|(t, _)| *t <= from);
    let before = samples[..from].iter().rev().map(|(_, v)| *v).find(|v| !is_stale(*v));
    let mut last = before.unwrap_or(0.0);
    let mut sum = 0.0;
    for (_, value) in &samples[from..until] {
        if is_stale(*value) {
            continue;
        }
        sum += if *value < last { *value } else { *value - last };
        last = *value;
    }
    sum
}

/// Between whom an edge is, and these as nodes.
fn place<'a>(get: &impl Fn(&str) -> &'a str, tcp: bool) -> (EdgeKey, Vec<(NodeId, Node)>) {
    let mut nodes = Vec::new();
    let source = workload(get, "source").unwrap_or_else(|| {
        let node = node(NodeKind::Unknown, "unknown", "");
        ("unknown".to_owned(), node)
    });
    let service = service(get);
    let target = workload(get, "destination").unwrap_or_else(|| service.clone());
    let protocol = if tcp { "tcp" } else { get("request_protocol") };
    let key = EdgeKey {
        source: source.0.clone(),
        target: target.0.clone(),
        service: service.0.clone(),
        protocol: protocol.to_owned(),
    };
    nodes.extend([source, target, service]);
    (key, nodes)
}

fn workload<'a>(get: &impl Fn(&str) -> &'a str, side: &str) -> Option<(NodeId, Node)> {
    let (name, namespace) = (get(&format!("{side}_workload")), get(&format!("{side}_workload_namespace")));
    if matches!(name, "" | "unknown") {
        return None;
    }
    let mut made = node(NodeKind::Workload, name, namespace);
    let known = |label: &str| Some(get(label)).filter(|v| *v != "unknown").unwrap_or("").to_owned();
    made.app = known(&format!("{side}_app"));
    made.version = known(&format!("{side}_version"));
    Some((format!("{namespace}/{name}"), made))
}

/// The service that was called; a host of no namespace is outside.
fn service<'a>(get: &impl Fn(&str) -> &'a str) -> (NodeId, Node) {
    let (host, name) = (get("destination_service"), get("destination_service_name"));
    let namespace = get("destination_service_namespace");
    let outside = matches!(name, "PassthroughCluster" | "BlackHoleCluster" | "InboundPassthroughCluster")
        || matches!(namespace, "" | "unknown");
    if outside {
        let shown = if matches!(host, "" | "unknown") { name } else { host };
        return (format!("external:{shown}"), node(NodeKind::External, shown, ""));
    }
    (format!("service:{namespace}/{name}"), node(NodeKind::Service, name, namespace))
}

fn node(kind: NodeKind, name: &str, namespace: &str) -> Node {
    Node {
        kind,
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        app: String::new(),
        version: String::new(),
        inbound: 0.0,
        outbound: 0.0,
    }
}
