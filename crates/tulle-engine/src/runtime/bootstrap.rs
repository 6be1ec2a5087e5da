//! A proxy's bootstrap.

use std::sync::Arc;
use std::time::Duration;

use tulle_base::agent::ConnectionLimits;

use super::access_log::AccessLog;
use super::cluster::Cluster;
use super::listener::Listener;
use super::metadata::Fields;
use super::net::Address;
use super::tls::Secret;

/// A proxy's bootstrap, compiled.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// Who the proxy is.
    pub node: Node,
    /// Static listeners.
    pub listeners: Vec<Arc<Listener>>,
    /// Static clusters.
    pub clusters: Vec<Arc<Cluster>>,
    /// Static secrets by name.
    pub secrets: Vec<(Arc<str>, Secret)>,
    /// Where the rest comes from.
    pub dynamic: DynamicResources,
    /// The administration port; `None` for none.
    pub admin: Option<Admin>,
    /// How often statistics are handed to sinks. Default 5 s.
    pub stats_flush_interval: Duration,
    /// Which metrics and labels are kept is decided by the metric contract, not here; tags given to every metric.
    pub stats_tags: Vec<(Arc<str>, Arc<str>)>,
    /// Prefix of Envoy's own headers; `x-envoy` by default.
    pub header_prefix: Arc<str>,
    /// The cluster this proxy belongs to, for zone-aware routing; empty for none.
    pub local_cluster: Arc<str>,
    /// Most connections at a time.
    pub limits: ConnectionLimits,
}

/// Who the proxy is (`Node`), for xDS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Its id.
    pub id: Arc<str>,
    /// Its service cluster.
    pub cluster: Arc<str>,
    /// Metadata.
    pub metadata: Fields,
    /// Where it runs.
    pub locality: tulle_base::Locality,
}

/// Where dynamic resources come from.
#[derive(Clone, Debug, Default)]
pub struct DynamicResources {
    /// The aggregated discovery service.
    pub ads: Option<XdsSource>,
    /// Listeners.
    pub lds: Option<ConfigSource>,
    /// Clusters.
    pub cds: Option<ConfigSource>,
}

/// Where one kind of resource comes from.
#[derive(Clone, Debug)]
pub enum ConfigSource {
    /// The aggregated discovery service.
    Ads,
    /// A service of its own.
    Api(XdsSource),
    /// A file, watched.
    File(Arc<str>),
}

/// A discovery service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdsSource {
    /// Whether changes are sent alone (delta) or everything each time.
    pub delta: bool,
    /// The cluster that serves it.
    pub cluster: Arc<str>,
    /// The `:authority` of its requests; the cluster's name by default.
    pub authority: Arc<str>,
    /// Headers of its requests.
    pub metadata: Vec<(Arc<str>, Arc<str>)>,
    /// How long a first answer may take before the proxy goes on without. Default 15 s; `None` for ever.
    pub initial_fetch_timeout: Option<Duration>,
}

/// The administration port.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where it listens.
    pub address: Address,
    /// Logs.
    pub access_logs: Vec<AccessLog>,
}
