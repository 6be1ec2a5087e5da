//! Endpoints: the addresses behind each port of a service.

use std::sync::Arc;

use tulle_base::{Labels, Locality};

use crate::workload::Workload;

/// The endpoints of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceEndpoints {
    /// Per port of the service, in the order of its ports.
    pub ports: Vec<PortEndpoints>,
}

/// The endpoints of one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortEndpoints {
    /// The service's port.
    pub port: u16,
    /// Sorted by address and port; no duplicates.
    pub endpoints: Vec<Endpoint>,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// IP address, or a host name for DNS services.
    pub address: String,
    /// Addresses of the other family that lead to the same pod, to be tried when the first one fails.
    pub more: Vec<String>,
    /// Port on these addresses.
    pub port: u16,
    /// State of health.
    pub health: Health,
    /// Relative weight, at least 1.
    pub weight: u32,
    /// Labels, for subsets: the workload's, or as written.
    pub labels: Labels,
    /// Where it runs.
    pub locality: Locality,
    /// Network, empty for the mesh's own.
    pub network: String,
    /// Node, empty where it is on none of the cluster's.
    pub node: String,
    /// The workload there, when it is a pod of the mesh.
    pub workload: Option<Arc<Workload>>,
    /// The service account expected there, as `NAMESPACE/NAME`.
    pub service_account: Option<(String, String)>,
    /// Whether mutual TLS can be used with it.
    pub mtls_ready: bool,
}

/// Health as the control plane knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// Ready.
    Healthy,
    /// Going away: established sessions only.
    Draining,
}

impl Endpoint {
    /// All its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &str> + Clone {
        std::iter::once(&self.address).chain(&self.more).map(String::as_str)
    }
}

impl ServiceEndpoints {
    /// The endpoints of the service port `number`.
    pub fn of_port(&self, number: u16) -> &[Endpoint] {
        self.ports.iter().find(|p| p.port == number).map_or(&[], |p| &p.endpoints)
    }

    /// Whether any endpoint of `port` can do mutual TLS.
    pub fn any_mtls(&self, port: u16) -> bool {
        self.of_port(port).iter().any(|e| e.mtls_ready)
    }

    /// Whether there are endpoints of `port` and all can do mutual TLS.
    pub fn all_mtls(&self, port: u16) -> bool {
        let all = self.of_port(port);
        !all.is_empty() && all.iter().all(|e| e.mtls_ready)
    }

    /// The identities of the workloads behind `port`, sorted, each once.
    pub fn identities(&self, port: u16, trust_domain: &str) -> Vec<String> {
        let mut all: Vec<String> = self
            .of_port(port)
            .iter()
            .filter_map(|e| e.service_account.as_ref())
            .map(|(ns, sa)| format!("spiffe://{trust_domain}/ns/{ns}/sa/{sa}"))
            .collect();
        all.sort();
        all.dedup();
        all
    }
}
