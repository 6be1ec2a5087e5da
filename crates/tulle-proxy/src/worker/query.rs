//! What the main thread asks a worker. Every answer is a plain copy: nothing of a worker is shared.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::oneshot;
use tulle_base::Locality;
use tulle_engine::decide::outlier::State;
use tulle_telemetry::metrics::{Idle, Snapshot};

use crate::trace::kept::Observed;

/// A question and where its answer goes. A worker that ends first drops the sender.
#[derive(Debug)]
pub enum Query {
    /// Nothing: the answer says that what was told before is in force.
    CaughtUp(oneshot::Sender<()>),
    /// Gauges of the worker itself.
    Vitals(oneshot::Sender<Vitals>),
    /// Every endpoint of every cluster, for `/clusters`.
    Endpoints(oneshot::Sender<Vec<EndpointStatus>>),
    /// Everything that the worker has counted, for `/stats`.
    Stats(oneshot::Sender<Snapshot>),
    /// To forget series that are idle; answered with what they had counted.
    Forget(Arc<Idle>, oneshot::Sender<Snapshot>),
    /// Spans and records of requests since the last question, for the control plane. A worker keeps some from the first on.
    Observed(oneshot::Sender<Observed>),
    /// Nobody takes spans and records any more.
    KeepNothing,
}

/// How one worker is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Downstream connections that are open.
    pub downstream_connections: u64,
    /// Upstream connections that are open, idle ones included.
    pub upstream_connections: u64,
    /// Requests under way.
    pub active_requests: u64,
    /// Listeners known, those without sockets included.
    pub listeners: u64,
    /// Clusters known.
    pub clusters: u64,
    /// Clusters whose endpoints have not arrived yet.
    pub clusters_warming: u64,
}

impl Vitals {
    /// Adds another worker's gauges; listeners and clusters are the same everywhere, so the larger number stands.
    pub fn merge(&mut self, other: &Self) {
        let Self {
            downstream_connections,
            upstream_connections,
            active_requests,
            listeners,
            clusters,
            clusters_warming,
        } = other;
        self.downstream_connections += downstream_connections;
        self.upstream_connections += upstream_connections;
        self.active_requests += active_requests;
        self.listeners = self.listeners.max(*listeners);
        self.clusters = self.clusters.max(*clusters);
        self.clusters_warming = self.clusters_warming.max(*clusters_warming);
    }
}

/// One endpoint as one worker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointStatus {
    /// Name of the cluster.
    pub cluster: Arc<str>,
    /// The endpoint's address.
    pub address: SocketAddr,
    /// Whether it may get traffic: healthy by EDS and not ejected.
    pub healthy: bool,
    /// Whether outlier detection has ejected it on this worker.
    pub ejected: bool,
    /// Whether it did not answer its health check well.
    pub failed_check: bool,
    /// Where its circuit stands; `None` without outlier detection.
    pub circuit: Option<State>,
    /// How often it was ejected.
    pub ejections: u64,
    /// Requests under way to it.
    pub active_requests: u64,
    /// Connections open to it.
    pub connections: u64,
    /// Requests sent to it so far.
    pub requests_total: u64,
    /// Requests to it that ended in 5xx, a reset or a time-out.
    pub requests_error: u64,
    /// Load balancing weight.
    pub weight: u32,
    /// Priority; 0 is asked first.
    pub priority: u32,
    /// Where it runs.
    pub locality: Arc<Locality>,
}
