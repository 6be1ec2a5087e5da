//! The endpoints of a cluster.

use std::net::SocketAddr;
use std::sync::Arc;

use tulle_base::{Locality, Provenance};

use super::metadata::{Fields, Metadata};
use super::net::Address;

/// The endpoints of a cluster (`ClusterLoadAssignment`).
#[derive(Clone, Debug)]
pub struct EndpointSet {
    /// The name of the assignment: the EDS service name, or the cluster's.
    pub name: Arc<str>,
    /// All endpoints, in the order of the configuration. Other types refer to them by index.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The localities, with the endpoints in them.
    pub localities: Vec<LocalityEndpoints>,
    /// Number of priorities; priorities are `0..priorities`.
    pub priorities: u32,
    /// How much a priority may lose before the next one helps, in percent. Default 140.
    pub overprovisioning_factor: u32,
    /// Whether health is weighted by the endpoints' weights.
    pub weighted_priority_health: bool,
    /// Requests that are dropped: category and share in parts of a million.
    pub drops: Vec<(Arc<str>, u32)>,
    /// Which resource made it.
    pub provenance: Option<Arc<Provenance>>,
}

/// The endpoints of one locality and priority.
#[derive(Clone, Debug)]
pub struct LocalityEndpoints {
    /// Where.
    pub locality: Arc<Locality>,
    /// 0 is asked first.
    pub priority: u32,
    /// Its weight among the localities of its priority (locality weighted balancing only); 0 gets nothing.
    pub weight: u32,
    /// Indices into [`EndpointSet::endpoints`].
    pub endpoints: Vec<u32>,
}

/// An endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// Its other addresses, of the same server: tried in turn with the first (`additional_addresses`).
    pub additional_addresses: Vec<SocketAddr>,
    /// Its host name; may be empty.
    pub hostname: Arc<str>,
    /// Its weight; at least 1.
    pub weight: u32,
    /// What the control plane says of its health.
    pub health: Health,
    /// Where it is.
    pub locality: Arc<Locality>,
    /// 0 is asked first.
    pub priority: u32,
    /// `envoy.transport_socket_match` metadata: which transport socket it wants.
    pub transport_socket_match: Fields,
    /// `envoy.lb` metadata.
    pub lb: Fields,
    /// Which workload it is, from `istio.workload`.
    pub workload: Option<Arc<WorkloadMeta>>,
    /// All other metadata.
    pub metadata: Arc<Metadata>,
    /// How it is asked whether it is well, where that is not as all others are.
    pub check: Option<Arc<EndpointCheck>>,
}

/// How an endpoint is asked whether it is well (`Endpoint.HealthCheckConfig`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointCheck {
    /// It is not asked, and counts as well.
    pub disabled: bool,
    /// Where it is asked, in place of its own address.
    pub address: Option<SocketAddr>,
    /// The port, in place of that of the address.
    pub port: Option<u16>,
    /// The host that it is asked for; empty for that of the check.
    pub hostname: Arc<str>,
}

impl EndpointCheck {
    /// Where an endpoint at `own` is asked.
    pub fn at(&self, own: SocketAddr) -> SocketAddr {
        let mut at = self.address.unwrap_or(own);
        if let Some(port) = self.port {
            at.set_port(port);
        }
        at
    }
}

/// What the control plane says of an endpoint's health (`HealthStatus`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// Healthy, or not said.
    #[default]
    Healthy,
    /// Works, but is to be asked last.
    Degraded,
    /// Gets nothing (`UNHEALTHY`, `TIMEOUT`).
    Unhealthy,
    /// Gets nothing new (`DRAINING`).
    Draining,
}

/// Which workload an endpoint is: `NAME;NAMESPACE;CANONICAL_NAME;CANONICAL_REVISION;CLUSTER`, and more if the control
/// plane tells it (`istio` metadata).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkloadMeta {
    /// Name of the workload, such as the Deployment's.
    pub name: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Canonical service.
    pub canonical_name: Arc<str>,
    /// Canonical revision; `latest` where none is known.
    pub canonical_revision: Arc<str>,
    /// Cluster id.
    pub cluster: Arc<str>,
}
