//! What the node agent tells a proxy about the pod it serves.
//!
//! The node agent writes it as JSON; `tulle proxy sidecar|router --agent-config FILE` reads it at start. It holds no secret: the
//! service account token is named by path, and the private key is made by the proxy itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::readiness::ReadinessProbe;

/// Everything a proxy must be told before it can ask the control plane for the rest. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// Who the proxy is and where it runs.
    pub node: NodeConfig,
    /// Trust domain of the mesh, such as `cluster.local`.
    #[serde(default = "default_trust_domain")]
    pub trust_domain: String,
    /// Where the control plane listens.
    pub discovery: DiscoveryConfig,
    /// PEM file with the roots of the mesh (`root-cert.pem`); read again whenever a connection to the control plane is made.
    pub ca_root: PathBuf,
    /// File with the service account token (audience `istio-ca`); read again for every certificate request.
    pub token: PathBuf,
    /// Unix socket for the workload's identity, as Istio's `workload-spiffe-uds/socket`. If somebody listens there when the proxy starts
    /// (SPIRE's agent, or another SDS server), identity comes from there and not from the CA; else the proxy gives identity to other
    /// processes of the pod there, by SDS and the SPIFFE Workload API. Somebody who listens at `/run/secrets/workload-spiffe-uds/socket` is asked,
    /// too. Absent: identity is given to nobody.
    #[serde(default)]
    pub workload_socket: Option<PathBuf>,
    /// File for security events of the proxy (docs/security.md), appended to; absent: none are recorded in a file.
    #[serde(default)]
    pub audit_log: Option<PathBuf>,
    /// Where else they go: `http://HOST[:PORT][/PATH]` of a collector of OpenTelemetry, `-` for stdout.
    #[serde(default)]
    pub audit_sinks: Vec<String>,
    /// How long a workload certificate shall live, in seconds; default 24 h. The control plane may give less.
    #[serde(default = "default_cert_ttl")]
    pub cert_ttl_seconds: u64,
    /// The pod's DNS; absent: the proxy answers no DNS.
    #[serde(default)]
    pub dns: Option<DnsConfig>,
    /// Number of worker threads; absent: one for sidecars, one per core for gateways.
    #[serde(default)]
    pub concurrency: Option<usize>,
    /// Most connections at a time.
    #[serde(default)]
    pub connection_limits: ConnectionLimits,
    /// Sockets that already listen and were passed on by the parent, in addition to those the proxy binds itself.
    #[serde(default)]
    pub inherited_listeners: Vec<InheritedListener>,
    /// Directory for the last good configuration (public configuration only); absent: nothing is kept over restarts.
    #[serde(default)]
    pub state_dir: Option<PathBuf>,
    /// How long the proxy keeps accepting after it was told to stop, in seconds; default 5 (Istio's
    /// `terminationDrainDuration`).
    #[serde(default = "default_drain_seconds")]
    pub drain_seconds: u64,
    /// Probes of the application that the pod's spec had rewritten to port 15020, by their new path
    /// (`/app-health/CONTAINER/readyz`).
    #[serde(default)]
    pub app_probes: BTreeMap<String, AppProbe>,
    /// How the application of a workload outside of the cluster is asked whether it is well; the proxy tells the control plane.
    /// Absent: it is not asked, and is well unless its group has a probe.
    #[serde(default)]
    pub readiness_probe: Option<ReadinessProbe>,
    /// The user id whose traffic is not captured, if the proxy runs as root in the pod; informational, the proxy marks its sockets.
    #[serde(default)]
    pub run_as_uid: Option<u32>,
    /// Which of Envoy's statistics Prometheus is shown besides those that Istio shows.
    #[serde(default)]
    pub stats: StatsShown,
    /// Whether the application's metrics are served on port 15020 beside the proxy's own; default true.
    #[serde(default = "yes")]
    pub merge_metrics: bool,
    /// Whether a socket that cannot be marked is an error; default true. Without capture nothing needs the mark.
    #[serde(default = "yes")]
    pub mark_sockets: bool,
}

/// Names of statistics as Envoy writes them (`cluster.outbound|9080||reviews.default.svc.cluster.local.upstream_rq_retry`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatsShown {
    /// Their beginnings.
    pub prefixes: Vec<String>,
    /// Their ends.
    pub suffixes: Vec<String>,
    /// Regular expressions for whole names.
    pub regexps: Vec<String>,
}

/// The proxy's node: what becomes the xDS node id, its metadata and the labels of its metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// What kind of proxy this is.
    #[serde(rename = "type")]
    pub kind: NodeType,
    /// Name of the pod.
    pub pod: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// Address of the pod, such as `10.244.0.7`.
    pub ip: String,
    /// Its further addresses, of the other family (`INSTANCE_IPS` has them all).
    #[serde(default)]
    pub more_ips: Vec<String>,
    /// Service account, `default` where the pod names none.
    #[serde(default = "default_account")]
    pub service_account: String,
    /// Name of the workload (`WORKLOAD_NAME`), that is of the Deployment, StatefulSet, Job or bare Pod.
    pub workload: String,
    /// API path of the workload (`OWNER`), such as `kubernetes://apis/apps/v1/namespaces/shop/deployments/cart`.
    #[serde(default)]
    pub owner: String,
    /// Labels of the pod.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pod.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Cluster the pod belongs to (`CLUSTER_ID`); default `Kubernetes`.
    #[serde(default = "default_cluster")]
    pub cluster_id: String,
    /// Mesh the pod belongs to (`MESH_ID`); default `cluster.local`.
    #[serde(default = "default_trust_domain")]
    pub mesh_id: String,
    /// Network the pod belongs to (`NETWORK`); empty for the default network.
    #[serde(default)]
    pub network: String,
    /// `region/zone/subzone`; empty when not known.
    #[serde(default)]
    pub locality: String,
    /// WorkloadGroup of the namespace to register for (`AUTO_REGISTER_GROUP`): a WorkloadEntry is kept while the proxy is there.
    /// Empty for none.
    #[serde(default)]
    pub auto_register_group: String,
    /// Name of the node the pod runs on (`NODE_NAME`).
    #[serde(default)]
    pub node_name: String,
    /// Domain below which services have their names; default `cluster.local`.
    #[serde(default = "default_trust_domain")]
    pub dns_domain: String,
    /// Further metadata, for EnvoyFilters to match (`ISTIO_META_…` of the proxy's settings); what is above wins.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// The kinds of proxies that this build has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeType {
    /// Beside an application, in its pod.
    #[default]
    Sidecar,
    /// A gateway.
    Router,
}

impl NodeType {
    /// The word in the xDS node id.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::Router => "router",
        }
    }
}

/// The control plane as the proxy reaches it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscoveryConfig {
    /// Name that the control plane's certificate must carry as DNS SAN; default `istiod.istio-system.svc`.
    #[serde(default = "default_discovery_host")]
    pub host: String,
    /// Addresses to try in turn, with port (15012, TLS).
    pub addresses: Vec<SocketAddr>,
}

/// The DNS that the proxy serves in its pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsConfig {
    /// Where it listens, UDP and TCP; default `127.0.0.1:15053`.
    #[serde(default = "default_dns_listen")]
    pub listen: SocketAddr,
    /// Where else it listens, such as `[::1]:15053` in a pod with addresses of both families.
    #[serde(default)]
    pub also_listen: Vec<SocketAddr>,
    /// Servers that answer what the mesh does not know, tried in turn.
    #[serde(default)]
    pub upstreams: Vec<SocketAddr>,
    /// Whether the pod's DNS is redirected to the proxy (`DNS_CAPTURE`); default true.
    #[serde(default = "yes")]
    pub capture: bool,
}

/// A socket that listens already when the proxy starts, such as a gateway's port on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InheritedListener {
    /// The listener that also accepts on this socket: the one that xDS gives this address.
    pub address: SocketAddr,
    /// Number of the open file descriptor, bound and listening.
    pub fd: i32,
}

/// A probe of the application, as its spec had it before the rewrite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppProbe {
    /// Port of the application.
    pub port: u16,
    /// Path to ask for; empty for a plain TCP probe.
    #[serde(default)]
    pub path: String,
    /// Headers to send.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// How long to wait for the answer, in seconds; default 1.
    #[serde(default = "one")]
    pub timeout_seconds: u64,
}

/// Why an agent configuration could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AgentConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not an agent configuration.
    #[error("{path}: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and what is wrong there.
        source: serde_json::Error,
    },
    /// The probe cannot be asked.
    #[error("{path}: readiness_probe: {problem}")]
    Probe {
        /// The file.
        path: PathBuf,
        /// The field and what is wrong.
        problem: String,
    },
    /// The control plane has no address.
    #[error("{path}: discovery.addresses: no address of the control plane; give at least one IP:PORT")]
    NoDiscovery {
        /// The file.
        path: PathBuf,
    },
}

/// Most connections of clients at a time, over all threads. What comes beyond is closed at once. `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionLimits {
    /// Of all listeners together.
    #[serde(default)]
    pub all: Option<u64>,
    /// Of each listener.
    #[serde(default)]
    pub each: Option<u64>,
    /// Of listeners by name, over `each`.
    #[serde(default)]
    pub by_name: BTreeMap<String, u64>,
}

impl ConnectionLimits {
    /// The limit of one listener.
    pub fn of(&self, listener: &str) -> Option<u64> {
        self.by_name.get(listener).copied().or(self.each)
    }
}

impl AgentConfig {
    /// Reads the JSON file that the node agent wrote.
    ///
    /// # Errors
    /// [`AgentConfigError`] with the file's name: unreadable, not of this form, without an address of the
    /// control plane, or with a probe that cannot be asked.
    pub fn load(path: &Path) -> Result<Self, AgentConfigError> {
        let bytes =
            std::fs::read(path).map_err(|source| AgentConfigError::Read { path: path.to_owned(), source })?;
        let config: Self = serde_json::from_slice(&bytes)
            .map_err(|source| AgentConfigError::Parse { path: path.to_owned(), source })?;
        if config.discovery.addresses.is_empty() {
            return Err(AgentConfigError::NoDiscovery { path: path.to_owned() });
        }
        if let Some(Err(problem)) = config.readiness_probe.as_ref().map(ReadinessProbe::check) {
            return Err(AgentConfigError::Probe { path: path.to_owned(), problem });
        }
        Ok(config)
    }
}

impl NodeConfig {
    /// The xDS node id: `TYPE~IP~POD.NAMESPACE~NAMESPACE.svc.DOMAIN`.
    pub fn id(&self) -> String {
        let Self { kind, ip, pod, namespace, dns_domain, .. } = self;
        format!("{}~{ip}~{pod}.{namespace}~{namespace}.svc.{dns_domain}", kind.as_str())
    }

    /// All addresses of the pod, the main one first.
    pub fn ips(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.ip).chain(&self.more_ips).map(String::as_str).filter(|ip| !ip.is_empty())
    }

    /// The xDS node cluster: `APP.NAMESPACE`, with the label `app` or else the workload's name.
    pub fn cluster(&self) -> String {
        let app = self.labels.get("app").map_or(self.workload.as_str(), String::as_str);
        format!("{app}.{}", self.namespace)
    }
}

fn default_trust_domain() -> String {
    "cluster.local".to_owned()
}

fn default_account() -> String {
    "default".to_owned()
}

fn default_cluster() -> String {
    "Kubernetes".to_owned()
}

fn default_discovery_host() -> String {
    "istiod.istio-system.svc".to_owned()
}

fn default_dns_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 15053))
}

fn default_cert_ttl() -> u64 {
    24 * 3600
}

fn default_drain_seconds() -> u64 {
    5
}

fn yes() -> bool {
    true
}

fn one() -> u64 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"{"node": {"type": "sidecar", "pod": "cart-1", "namespace": "shop", "ip": "10.244.0.7",
        "workload": "cart", "labels": {"app": "basket"}}, "discovery": {"addresses": ["10.244.0.2:15012"]},
        "ca_root": "/etc/certs/root-cert.pem", "token": "/var/run/token", "dns": {"upstreams": ["10.244.0.1:53"]}}"#;

    #[test]
    fn the_least_configuration_gets_istios_defaults() {
        let c: AgentConfig = serde_json::from_str(LEAST).unwrap();
        assert_eq!(c.node.id(), "sidecar~10.244.0.7~cart-1.shop~shop.svc.cluster.local");
        assert_eq!(c.node.cluster(), "basket.shop");
        assert_eq!(c.discovery.host, "istiod.istio-system.svc");
        assert_eq!(c.dns.as_ref().unwrap().listen.to_string(), "127.0.0.1:15053");
        assert_eq!((c.drain_seconds, c.cert_ttl_seconds), (5, 86_400));
        assert!(c.mark_sockets);
        let again: AgentConfig = serde_json::from_str(&serde_json::to_string(&c).unwrap()).unwrap();
        assert_eq!(again, c);
    }

    #[test]
    fn a_slip_of_the_pen_is_refused() {
        let err = serde_json::from_str::<AgentConfig>(&LEAST.replace("ca_root", "caroot")).unwrap_err();
        assert!(err.to_string().contains("unknown field `caroot`"), "{err}");
    }
}
