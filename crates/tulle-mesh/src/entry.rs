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

/// Annotation of an entry whose workload checks its health (Istio's).
pub const HEALTH_CHECKED: &str = "proxy.istio.io/health-checks-enabled";

/// Whether a WorkloadEntry may be asked: no condition `Healthy` of its status says otherwise, and one that is checked has said
/// that it is.
pub fn is_healthy(object: &Object) -> bool {
    let conditions = object.status.as_ref().and_then(|s| s.get("conditions")?.as_array());
    let text = |c: &Value, key: &str| c.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let health = conditions.into_iter().flatten().find(|c| text(c, "type") == "Healthy");
    match health {
        Some(condition) => text(condition, "status") != "False",
        None => object.meta.annotations.get(HEALTH_CHECKED).is_none_or(|v| v != "true"),
    }
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
