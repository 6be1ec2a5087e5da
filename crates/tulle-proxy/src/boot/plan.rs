//! What a proxy shall be, whether it was written in a bootstrap file or by the node agent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tulle_base::SpiffeId;
use tulle_base::agent::{AppProbe, ConnectionLimits, DnsConfig, NodeConfig, StatsShown};
use tulle_base::readiness::ReadinessProbe;
use tulle_engine::runtime::tls::Secret;
use tulle_engine::runtime::{Cluster, Listener};
use tulle_identity::{CertificateSource, Secrets, TrustSource};

use crate::admin::Exposed;
use tulle_telemetry::audit::Sink;

/// The mark of the proxy's own sockets, by which the pod's redirection lets them pass.
pub const PROXY_MARK: u32 = 1337;

/// Everything that the main thread is told.
#[derive(Debug)]
pub struct Plan {
    /// Who we are, for metrics and peers.
    pub node: NodeConfig,
    /// The encoded xDS node (`envoy.config.core.v3.Node`).
    pub xds_node: Bytes,
    /// The encoded bootstrap, for `/config_dump`; in agent mode with the node alone.
    pub bootstrap: Bytes,
    /// Listeners of the bootstrap.
    pub listeners: Vec<Arc<Listener>>,
    /// Clusters of the bootstrap.
    pub clusters: Vec<Arc<Cluster>>,
    /// Secrets of the bootstrap.
    pub static_secrets: Vec<(Arc<str>, Secret)>,
    /// All secrets by name; identity writes `default` and `ROOTCA`.
    pub secrets: Secrets,
    /// Where dynamic resources come from.
    pub xds: Option<XdsPlan>,
    /// HTTP ports of the main thread and what each shows.
    pub ports: Vec<(SocketAddr, Exposed)>,
    /// The pod's DNS.
    pub dns: Option<DnsConfig>,
    /// The workload's certificate.
    pub identity: Option<IdentityPlan>,
    /// Sockets that listen already, with the address of the listener they belong to.
    pub inherited: Vec<(SocketAddr, OwnedFd)>,
    /// Where the last good configuration is kept.
    pub state_dir: Option<PathBuf>,
    /// How long to keep accepting after the request to stop.
    pub drain: Duration,
    /// Mark of all sockets that the proxy opens towards others.
    pub mark: Option<u32>,
    /// Worker threads.
    pub workers: usize,
    /// Most connections of clients at a time.
    pub limits: ConnectionLimits,
    /// Probes of the application by their rewritten path.
    pub app_probes: BTreeMap<String, AppProbe>,
    /// How the application is asked whether it is well, for the control plane to know.
    pub readiness_probe: Option<ReadinessProbe>,
    /// Whether statistics are limited to those that Istio shows.
    pub istio_stats: bool,
    /// Which of Envoy's statistics Prometheus is shown besides.
    pub stats: StatsShown,
    /// Whether the application's metrics are served beside the proxy's own.
    pub merge_metrics: bool,
    /// Where security events are told.
    pub audit: Vec<Sink>,
    /// Variables of the environment, for tags of spans; whoever runs the proxy fills it in.
    pub environment: BTreeMap<String, String>,
}

/// Where dynamic resources come from.
#[derive(Clone, Debug)]
pub struct XdsPlan {
    /// How to reach the server.
    pub server: XdsServer,
    /// `:authority` of the requests.
    pub authority: String,
    /// Whether listeners come from there.
    pub listeners: bool,
    /// Whether clusters come from there.
    pub clusters: bool,
    /// Whether the mesh's names come from there.
    pub names: bool,
    /// Whether it says whom to trust.
    pub trust: bool,
}

/// How to reach the xDS server.
#[derive(Clone, Debug)]
pub enum XdsServer {
    /// The mesh's control plane over TLS with our own certificate.
    Mesh(MeshServer),
    /// A cluster of the bootstrap, by name.
    Cluster(Arc<str>),
}

/// The mesh's control plane.
#[derive(Clone, Debug)]
pub struct MeshServer {
    /// Name in its certificate.
    pub host: String,
    /// Its addresses with port.
    pub addresses: Vec<SocketAddr>,
    /// PEM file of the roots.
    pub roots: PathBuf,
    /// What we trust, which may be newer.
    pub known: TrustSource,
    /// Our certificate.
    pub own: CertificateSource,
}

/// How the workload's certificate is come by.
#[derive(Clone, Debug)]
pub struct IdentityPlan {
    /// For whom.
    pub id: SpiffeId,
    /// The CA.
    pub ca: MeshServer,
    /// File with the service account token.
    pub token: PathBuf,
    /// The life to ask for.
    pub ttl: Duration,
    /// Where identity comes from in place of the CA, or is given away.
    pub socket: Option<PathBuf>,
}

impl Plan {
    /// The same without anything that is on the path of a request: whoever asks at the socket gets identity, nothing is proxied.
    #[must_use]
    pub fn identity_only(mut self) -> Self {
        if let Some(xds) = &mut self.xds {
            (xds.listeners, xds.clusters, xds.names) = (false, false, false);
        }
        (self.dns, self.mark, self.workers, self.state_dir) = (None, None, 1, None);
        self.ports.clear();
        self.inherited.clear();
        self
    }
}
