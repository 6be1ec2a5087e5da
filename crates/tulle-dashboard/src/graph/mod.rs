//! The live graph: who calls whom, how often, how well.
//!
//! Rates are increases between two ticks of the proxy that counted, a window apart, divided by the time between them. What did not
//! exist at the first tick was 0 then: the first request of a kind counts, which it does not in `rate()`. A proxy that has not ticked
//! for a whole window yet is measured over what there is, so that the graph is right from its second tick on.

mod json;
mod measure;

use std::collections::{BTreeMap, BTreeSet};

use crate::query::histogram_quantile;
use crate::store::{Selection, Store};

pub use json::to_json;
pub use measure::rate_of;

/// A node's name: `NAMESPACE/NAME` of a workload, `service:NAMESPACE/NAME`, `external:HOST`, or `unknown`.
pub type NodeId = String;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeKind {
    /// A workload of the mesh.
    Workload,
    /// A service; nobody's edge ends there but of calls that reached no workload.
    Service,
    /// A host outside the mesh.
    External,
    /// Whoever called without saying who.
    Unknown,
}

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Its name, or its host.
    pub name: String,
    /// Its namespace; empty outside.
    pub namespace: String,
    /// Label `app`, as far as known.
    pub app: String,
    /// Label `version`, as far as known.
    pub version: String,
    /// Requests a second that came to it.
    pub inbound: f64,
    /// Requests a second that it sent.
    pub outbound: f64,
}

/// Calls of one workload to another by one service and protocol.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edge {
    /// Requests a second; of TCP, connections opened.
    pub rate: f64,
    /// How many these were; of TCP, connections opened.
    pub count: f64,
    /// Of these, those that failed: no answer, a status from 500 on, a gRPC status other than 0.
    pub errors: f64,
    /// Of these, those that were refused with a status from 400 to 499.
    pub refused: f64,
    /// Those that were counted with mutual TLS, and those that were counted without; what is not known is in neither.
    pub mtls: f64,
    /// See [`Edge::mtls`].
    pub plain: f64,
    /// Requests a second by response code.
    pub codes: BTreeMap<String, f64>,
    /// Requests a second by response flags, those without left out.
    pub flags: BTreeMap<String, f64>,
    /// Increases of the duration's buckets by upper bound, cumulative.
    pub buckets: BTreeMap<u64, f64>,
    /// Bytes a second to the client.
    pub sent: f64,
    /// Bytes a second from the client.
    pub received: f64,
    /// Which side told: `source`, `destination` or `waypoint`.
    pub reporter: String,
}

/// What distinguishes edges.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EdgeKey {
    /// Who calls.
    pub source: NodeId,
    /// Who is called.
    pub target: NodeId,
    /// By which service.
    pub service: NodeId,
    /// `http`, `grpc` or `tcp`.
    pub protocol: String,
}

/// A rule of a resource with routes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// `VirtualService`, `HTTPRoute` or `GRPCRoute`.
    pub kind: String,
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// The rule in it, such as `http[2]`.
    pub rule: String,
}

/// What came of the requests that a rule sent on, as those tell who routed them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Routed {
    /// Rates, failures and durations.
    pub calls: Edge,
    /// Requests of gRPC a second, of all.
    pub grpc: f64,
}

/// The graph of one moment.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The moment, in milliseconds since 1970.
    pub time: i64,
    /// The window, in milliseconds.
    pub window: i64,
    /// Nodes by name.
    pub nodes: BTreeMap<NodeId, Node>,
    /// Edges.
    pub edges: BTreeMap<EdgeKey, Edge>,
    /// Rules that sent requests on.
    pub rules: BTreeMap<Rule, Routed>,
}

impl Edge {
    /// Takes in what `other` counted.
    fn add(&mut self, other: Self) {
        let Self {
            rate,
            count,
            errors,
            refused,
            mtls,
            plain,
            codes,
            flags,
            buckets,
            sent,
            received,
            reporter,
        } = other;
        self.rate += rate;
        self.count += count;
        self.errors += errors;
        self.refused += refused;
        self.mtls += mtls;
        self.plain += plain;
        self.sent += sent;
        self.received += received;
        if self.reporter.is_empty() {
            self.reporter = reporter;
        }
        codes.into_iter().for_each(|(code, rate)| *self.codes.entry(code).or_default() += rate);
        flags.into_iter().for_each(|(flag, rate)| *self.flags.entry(flag).or_default() += rate);
        buckets.into_iter().for_each(|(bound, count)| *self.buckets.entry(bound).or_default() += count);
    }

    /// The share of failed requests; 0 without any.
    pub fn error_rate(&self) -> f64 {
        if self.rate > 0.0 { self.errors / self.rate } else { 0.0 }
    }

    /// The share of requests with mutual TLS among those of which it is known; `None` if it is of none.
    pub fn mtls_share(&self) -> Option<f64> {
        let known = self.mtls + self.plain;
        (known > 0.0).then(|| self.mtls / known)
    }

    /// A quantile of the duration in milliseconds; `None` without requests that completed.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let mut buckets: Vec<(f64, f64)> =
            self.buckets.iter().map(|(bound, count)| (f64::from_bits(*bound), *count)).collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        Some(histogram_quantile(q, &mut buckets)).filter(|v| v.is_finite())
    }
}

/// The workloads of a service (a node's name), as far as it is known which these are.
pub type Homes<'a> = dyn Fn(&str) -> Option<BTreeSet<NodeId>> + 'a;

/// The graph of the window that ends at `time`. Edges without any traffic in it are left out.
///
/// A request that ends before it has an endpoint (a fault, a limit, no healthy endpoint) names its service alone. Where that has one
/// workload, it is part of the calls of that one: `homes` says which a service has; of those that it does not know, the calls
/// of the window do. Where there are several, nobody can say whose it would have been: it stays a call of the service.
///
/// # Errors
/// More series than `max_series`.
pub fn graph(
    store: &Store,
    time: i64,
    window: i64,
    max_series: usize,
    homes: &Homes<'_>,
) -> Result<Graph, Selection> {
    let mut sides = measure::measure(store, time, window, max_series)?;
    let mut graph = Graph { time, window, ..Graph::default() };
    graph.nodes = std::mem::take(&mut sides.nodes);
    graph.rules = std::mem::take(&mut sides.rules);
    let keys: BTreeSet<EdgeKey> = sides.edges.keys().map(|(key, _)| key.clone()).collect();
    for key in keys {
        let mut take = |reporter: &str| sides.edges.remove(&(key.clone(), reporter.to_owned()));
        let (source, destination, waypoint) = (take("source"), take("destination"), take("waypoint"));
        // What the server knows of how it was reached.
        let secured = destination.as_ref().or(waypoint.as_ref()).map(|e| (e.mtls, e.plain));
        // The client knows of all that it sent; the server only of what came.
        let Some(mut edge) = source.or(waypoint).or(destination) else { continue };
        if let Some((mtls, plain)) = secured {
            (edge.mtls, edge.plain) = (mtls, plain);
        }
        if edge.rate > 0.0 || edge.sent > 0.0 || edge.received > 0.0 {
            graph.edges.insert(key, edge);
        }
    }
    graph.bring_home(homes);
    for (key, edge) in graph.edges.iter().filter(|(key, _)| key.protocol != "tcp") {
        if let Some(node) = graph.nodes.get_mut(&key.source) {
            node.outbound += edge.rate;
        }
        if let Some(node) = graph.nodes.get_mut(&key.target) {
            node.inbound += edge.rate;
        }
    }
    let used: BTreeSet<&NodeId> =
        graph.edges.keys().flat_map(|k| [&k.source, &k.target, &k.service]).collect();
    let used: BTreeSet<NodeId> = used.into_iter().cloned().collect();
    graph.nodes.retain(|id, _| used.contains(id));
    Ok(graph)
}

impl Graph {
    /// Makes calls of services with one workload calls of that workload.
    fn bring_home(&mut self, homes: &Homes<'_>) {
        let mut seen: BTreeMap<NodeId, BTreeSet<NodeId>> = BTreeMap::new();
        for key in self.edges.keys().filter(|key| key.target != key.service) {
            seen.entry(key.service.clone()).or_default().insert(key.target.clone());
        }
        let lost: Vec<EdgeKey> = self.edges.keys().filter(|key| key.target == key.service).cloned().collect();
        for key in lost {
            let all = homes(&key.service).or_else(|| seen.get(&key.service).cloned()).unwrap_or_default();
            let (Some(home), 1) = (all.first(), all.len()) else { continue };
            let Some(edge) = self.edges.remove(&key) else { continue };
            self.nodes.entry(home.clone()).or_insert_with(|| Node::workload(home));
            self.edges.entry(EdgeKey { target: home.clone(), ..key }).or_default().add(edge);
        }
    }
}

impl Node {
    /// A workload of which no more is known than its name.
    fn workload(id: &str) -> Self {
        let (namespace, name) = id.split_once('/').unwrap_or(("", id));
        Self {
            kind: NodeKind::Workload,
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            app: String::new(),
            version: String::new(),
            inbound: 0.0,
            outbound: 0.0,
        }
    }
}
