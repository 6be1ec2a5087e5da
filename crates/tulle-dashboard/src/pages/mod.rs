//! What the pages show: what there is ([`crate::plane`]) with what was counted ([`crate::graph`], [`breakers`]).
//!
//! Every function returns JSON; the names of the fields are those of docs/dashboard-api.md.

mod breakers;
mod causes;
mod checks;
mod golden;
mod graph;
mod health;
mod overview;
mod rollouts;
mod security;
mod services;
mod statistics;
mod workloads;

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::graph::{Edge, EdgeKey, Graph};
use crate::plane::{Model, Service, Workload};
use crate::store::{Selection, Store};

pub use breakers::{Breaker, BreakerState, Clients, Host};
pub use golden::Golden;
pub use health::{Health, Judged, Reason};

pub(crate) use graph::{Shown, graph};
pub(crate) use overview::{About, overview};
pub(crate) use rollouts::rollouts;
pub(crate) use security::{access, encryption, policies};
pub(crate) use services::{Order, service, services};
pub(crate) use workloads::{workload, workloads};

/// What is looked at: one window of time.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What there is.
    pub model: Arc<Model>,
    /// Who called whom.
    pub graph: Graph,
    /// What clients say.
    pub clients: Clients,
}

impl Seen {
    /// Looks at the window that ends at `time`; milliseconds.
    ///
    /// # Errors
    /// More series than `max_series`.
    pub fn new(
        store: &Store,
        model: Arc<Model>,
        (time, window): (i64, i64),
        max_series: usize,
    ) -> Result<Self, Selection> {
        let homes = |node: &str| {
            let service = model.services.get(node.strip_prefix("service:")?)?;
            Some(service.workloads.clone())
        };
        let graph = crate::graph::graph(store, time, window, max_series, &homes)?;
        let clients = Clients::read(store, time, window, max_series)?;
        Ok(Self { model, graph, clients })
    }

    #[allow(clippy::cast_precision_loss, reason = "milliseconds of this century")]
    fn time(&self) -> f64 {
        self.graph.time as f64 / 1000.0
    }

    #[allow(clippy::cast_precision_loss, reason = "milliseconds of a window")]
    fn seconds(&self) -> f64 {
        self.graph.window as f64 / 1000.0
    }

    /// The edges of calls of a service.
    fn calls_of(&self, service: &Service) -> impl Iterator<Item = (&EdgeKey, &Edge)> {
        let node = node_of(service);
        let outside = format!("external:{}", service.host);
        self.graph.edges.iter().filter(move |(key, _)| key.service == node || key.service == outside)
    }

    /// The service that an edge is a call of, if the mesh knows it.
    fn service_of(&self, key: &EdgeKey) -> Option<&Service> {
        key.service.strip_prefix("service:").and_then(|id| self.model.services.get(id))
    }

    fn host_of(&self, service: &Service) -> Host {
        self.clients.hosts.get(&service.host).cloned().unwrap_or_default()
    }

    fn inbound<'a>(&'a self, workload: &'a str) -> impl Iterator<Item = (&'a EdgeKey, &'a Edge)> {
        self.graph.edges.iter().filter(move |(key, _)| key.target == workload)
    }

    fn outbound<'a>(&'a self, workload: &'a str) -> impl Iterator<Item = (&'a EdgeKey, &'a Edge)> {
        self.graph.edges.iter().filter(move |(key, _)| key.source == workload)
    }
}

/// The name of a service in the graph.
fn node_of(service: &Service) -> String {
    format!("service:{}", service.id)
}

/// The other end of calls.
#[derive(Debug, Serialize)]
struct Peer<'a> {
    /// The node.
    id: &'a str,
    /// `workload`, `service`, `external` or `unknown`.
    kind: &'static str,
    service: &'a str,
    protocol: &'a str,
    #[serde(flatten)]
    golden: Golden,
    codes: &'a std::collections::BTreeMap<String, f64>,
    flags: &'a std::collections::BTreeMap<String, f64>,
    #[serde(flatten)]
    judged: Judged,
    principal: Option<String>,
}

impl Seen {
    fn peer<'a>(&'a self, id: &'a str, key: &'a EdgeKey, edge: &'a Edge) -> Peer<'a> {
        let golden = Golden::of([(key, edge)]);
        let judged = causes::with_flags(Judged::of(&golden, self.seconds()), edge, self.service_of(key));
        let kind = if id == "unknown" {
            "unknown"
        } else if id.starts_with("service:") {
            "service"
        } else if id.starts_with("external:") {
            "external"
        } else {
            "workload"
        };
        let principal = self.model.workloads.get(id).map(|w: &Workload| w.principal.clone());
        Peer {
            id,
            kind,
            service: &key.service,
            protocol: &key.protocol,
            golden,
            codes: &edge.codes,
            flags: &edge.flags,
            judged,
            principal,
        }
    }

    /// Peers by rate, the busiest first.
    fn peers<'a>(
        &'a self,
        edges: impl Iterator<Item = (&'a EdgeKey, &'a Edge)>,
        end: impl Fn(&'a EdgeKey) -> &'a str,
    ) -> Value {
        let mut all: Vec<Peer<'a>> = edges.map(|(key, edge)| self.peer(end(key), key, edge)).collect();
        all.sort_by(|a, b| b.golden.rate.total_cmp(&a.golden.rate).then_with(|| a.id.cmp(b.id)));
        json!(all)
    }
}

/// The text of a matcher's value in PromQL.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
