//! `Sidecar` (`networking.istio.io`): what a sidecar listens on and what it gets to know.

use super::common::{Destination, LabelSelector, Port};
use super::gateway::ServerTlsSettings;
use super::traffic_policy::ConnectionPoolSettings;
use crate::schema::{enumeration, record};

record! {
    /// What sidecars listen on and what they get to know.
    pub struct Sidecar {
        /// Workloads; the whole namespace by default.
        pub workload_selector: Option<LabelSelector> = "workloadSelector",
        /// Inbound listeners; the workload's service ports by default.
        pub ingress: Vec<IstioIngressListener> = "ingress",
        /// Outbound listeners; everything visible by default.
        pub egress: Vec<IstioEgressListener> = "egress",
        /// Limits of inbound connections; wins over the DestinationRule.
        pub inbound_connection_pool: Option<ConnectionPoolSettings> = "inboundConnectionPool",
        /// What becomes of traffic to unknown destinations; ALLOW_ANY when unset.
        pub outbound_traffic_policy: Option<OutboundTrafficPolicy> = "outboundTrafficPolicy",
    }
}

record! {
    /// An inbound listener.
    pub struct IstioIngressListener {
        /// The port.
        pub port: Port = "port",
        /// IP address to bind.
        pub bind: String = "bind",
        /// How traffic gets there.
        pub capture_mode: Option<CaptureMode> = "captureMode",
        /// Where the application listens: `127.0.0.1:PORT`, `[::1]:PORT`, `0.0.0.0:PORT`, `[::]:PORT` or `unix://` path.
        pub default_endpoint: String = "defaultEndpoint",
        /// TLS; SIMPLE and MUTUAL only.
        pub tls: Option<ServerTlsSettings> = "tls",
        /// Limits of connections; wins over every other setting.
        pub connection_pool: Option<ConnectionPoolSettings> = "connectionPool",
    }
}

record! {
    /// An outbound listener.
    pub struct IstioEgressListener {
        /// The port; every port by default.
        pub port: Option<Port> = "port",
        /// IP address to bind; needs a port.
        pub bind: String = "bind",
        /// How traffic gets there.
        pub capture_mode: Option<CaptureMode> = "captureMode",
        /// Hosts as `namespace/dnsName`; namespaces may be `*`, `.` and `~`, and `~ns` excludes.
        pub hosts: Vec<String> = "hosts" => required,
    }
}

enumeration! {
    /// How traffic gets to a listener.
    pub enum CaptureMode {
        /// As the environment says.
        Default = "DEFAULT",
        /// Redirected by the kernel.
        Iptables = "IPTABLES",
        /// Addressed by the application itself.
        None = "NONE",
    }
}

record! {
    /// What becomes of traffic to unknown destinations.
    pub struct OutboundTrafficPolicy {
        /// The mode; an empty policy means REGISTRY_ONLY.
        pub mode: Option<OutboundTrafficMode> = "mode",
        /// Sends unknown traffic through this; needs ALLOW_ANY.
        pub egress_proxy: Option<Destination> = "egressProxy",
    }
}

enumeration! {
    /// What becomes of traffic to unknown destinations.
    pub enum OutboundTrafficMode {
        /// It is dropped.
        RegistryOnly = "REGISTRY_ONLY",
        /// It passes.
        AllowAny = "ALLOW_ANY",
    }
}
