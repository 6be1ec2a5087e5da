//! WorkloadEntries: workloads that are no pods.

use serde_json::Value;
use tulle_api::Object;

use crate::meta::Meta;
use crate::service::{ServicePort, StaticEndpoint, TargetPort};

/// A workload outside of the cluster, by address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The document behind it.
    pub meta: Meta,
    /// Address, ports, and labels: those of the document win over those of its spec.
    pub endpoint: StaticEndpoint,
    /// Its health check says that it may be asked, or nobody checks it.
    pub healthy: bool,
}

/// Whether a WorkloadEntry may be asked: no condition `Healthy` of its status says otherwise.
pub fn is_healthy(object: &Object) -> bool {
    let conditions = object.status.as_ref().and_then(|s| s.get("conditions")?.as_array());
    !conditions.into_iter().flatten().any(|c| {
        let is = |key: &str, value: &str| c.get(key).and_then(Value::as_str) == Some(value);
        is("type", "Healthy") && is("status", "False")
    })
}

impl Entry {
    /// Its port for a port of a Kubernetes Service that selects it; `None` when the target has a name that it does not
    /// know.
    pub fn port_of_service(&self, port: &ServicePort) -> Option<u16> {
        let ports = &self.endpoint.ports;
        match &port.target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(name) => ports.get(&port.name).or_else(|| ports.get(name)).copied(),
        }
    }
}
