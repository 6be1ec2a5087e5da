//! What a worker is told once, at its start.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU32},
    time::{Duration, Instant},
};

use tulle_base::{SpiffeId, agent::NodeConfig};
use tulle_identity::Secrets;
use tulle_proto::envoy::core::Node;
use tulle_telemetry::audit::AuditLog;

use crate::listener::limits::Limits;

/// Settings of all workers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many workers; at least one is started.
    pub workers: usize,
    /// Who we are: own labels of metrics, peer metadata told to others, request headers.
    pub node: NodeConfig,
    /// Our service cluster (`node.cluster`), as rate limits count it (`source_cluster`).
    pub service_cluster: String,
    /// Certificates and trust bundles by SDS name.
    pub secrets: Secrets,
    /// Mark of upstream sockets (`SO_MARK`, 1337 in the mesh), by which the redirection lets our own traffic pass; needs
    /// CAP_NET_ADMIN. `None` marks nothing.
    pub mark: Option<u32>,
    /// Trust domain of our own identity, for example `cluster.local`.
    pub trust_domain: String,
    /// The moment from which outlier detection counts its time.
    pub started: Instant,
    /// Most downstream connections per worker; beyond it new ones are reset at once. Default 100,000.
    pub max_connections: usize,
    /// Most downstream connections over all workers; default no limit.
    pub limits: Limits,
    /// Our xDS node's id, as spans tell it (`node_id`).
    pub node_id: String,
    /// Our xDS node, as services that take access logs are told it; default none, then it is made of the id and the service cluster.
    pub xds_node: Arc<Node>,
    /// Our zone, as spans tell it.
    pub zone: String,
    /// Variables of the environment, for tags of spans and attributes of collectors; default none.
    pub environment: Arc<BTreeMap<String, String>>,
    /// How long spans and records wait for others at most, so that a report has many; default 1 s.
    pub report_delay: Duration,
    /// Security events; default none.
    pub audit: AuditLog,
    /// Requests under an injected fault, over all workers.
    pub faults: Arc<AtomicU32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 1,
            node: NodeConfig::default(),
            service_cluster: String::new(),
            secrets: Secrets::default(),
            mark: None,
            trust_domain: "cluster.local".to_owned(),
            started: Instant::now(),
            max_connections: 100_000,
            limits: Limits::default(),
            node_id: String::new(),
            xds_node: Arc::default(),
            zone: String::new(),
            environment: Arc::default(),
            report_delay: Duration::from_secs(1),
            audit: AuditLog::default(),
            faults: Arc::default(),
        }
    }
}

impl Settings {
    /// Our own SPIFFE id as the node's configuration implies it; empty where the node has no service account.
    pub(crate) fn principal(&self) -> String {
        let NodeConfig { namespace, service_account, .. } = &self.node;
        if namespace.is_empty() || service_account.is_empty() {
            return String::new();
        }
        SpiffeId::new(&self.trust_domain, namespace, service_account).to_string()
    }
}
