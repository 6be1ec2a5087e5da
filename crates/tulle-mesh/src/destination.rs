//! Destination policy: how a proxy calls a host.

mod effective;
pub mod locality;

use std::time::Duration;

use tulle_base::{Host, Labels, Selector};

use crate::meta::Meta;
use crate::routing::Retry;
use crate::visibility::ExportTo;

pub use effective::{Effective, merge_same_host};
pub use locality::LocalityLb;

/// A DestinationRule.
#[derive(Clone, Debug, PartialEq)]
pub struct DestinationRule {
    /// The document behind it (the oldest, when several were merged).
    pub meta: Meta,
    /// Fully qualified host, may be a wildcard.
    pub host: Host,
    /// Who may see it.
    pub export_to: ExportTo,
    /// Whether the document says nothing about that.
    pub exports_by_default: bool,
    /// Only for clients with these labels, in its own namespace.
    pub workload_selector: Option<Selector>,
    /// Policy for the whole host.
    pub policy: TrafficPolicy,
    /// Named subsets.
    pub subsets: Vec<Subset>,
}

/// A named part of a host's endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Subset {
    /// Name.
    pub name: String,
    /// Labels that its endpoints have.
    pub labels: Labels,
    /// What differs from the host's policy.
    pub policy: TrafficPolicy,
}

/// Policy blocks; each is `None` when not written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrafficPolicy {
    /// Choice of the endpoint.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits on connections and requests.
    pub connection_pool: Option<ConnectionPool>,
    /// Ejection of bad endpoints.
    pub outlier: Option<Outlier>,
    /// TLS toward the host.
    pub tls: Option<ClientTls>,
    /// TCP goes inside of HTTP, by way of the host.
    pub tunnel: Option<Tunnel>,
    /// A PROXY protocol header is sent first, of this version.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Default retries of routes that set none (ours; Istio has no such field).
    pub retries: Option<Retry>,
    /// Retries as a share of the requests under way.
    pub retry_budget: Option<RetryBudget>,
    /// Per port: replaces the blocks above, also those not written (traps 8).
    pub ports: Vec<(u16, PortPolicy)>,
}

/// What a port-level entry can set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PortPolicy {
    /// Choice of the endpoint.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits.
    pub connection_pool: Option<ConnectionPool>,
    /// Ejection.
    pub outlier: Option<Outlier>,
    /// TLS.
    pub tls: Option<ClientTls>,
}

/// TCP inside of HTTP: the host is asked to connect to somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Asked for with POST instead of CONNECT.
    pub post: bool,
    /// `HOST:PORT` that the host is to connect to.
    pub target: String,
}

/// Version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// Load balancing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadBalancer {
    /// Algorithm; `None` is the mesh's default, least request.
    pub algorithm: Option<Algorithm>,
    /// Time over which a new endpoint gets its full share.
    pub warmup: Option<Warmup>,
    /// Preference by locality; replaces the mesh's.
    pub locality: Option<LocalityLb>,
}

/// Retries as a share of the requests under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// The share in percent.
    pub percent: f64,
    /// How many are always allowed.
    pub min_concurrency: u32,
    /// Requests count for at least this long; zero counts those under way.
    pub interval: Duration,
}

/// Slow start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warmup {
    /// How long.
    pub duration: Duration,
    /// Least share in percent, default 10.
    pub min_percent: Option<f64>,
    /// Shape of the growth, default 1 (linear).
    pub aggression: Option<f64>,
}

/// Algorithms.
#[derive(Clone, Debug, PartialEq)]
pub enum Algorithm {
    /// In turn.
    RoundRobin,
    /// The less busy of two at random (`LEAST_REQUEST`, `LEAST_CONN`).
    LeastRequest,
    /// At random.
    Random,
    /// Where the connection was going.
    Passthrough,
    /// By hash.
    Consistent(ConsistentHash),
}

/// Consistent hashing.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsistentHash {
    /// What is hashed.
    pub key: HashKey,
    /// How.
    pub table: HashTable,
}

/// What is hashed.
#[derive(Clone, Debug, PartialEq)]
pub enum HashKey {
    /// A request header.
    Header(String),
    /// A cookie, made if missing when it has a time to live.
    Cookie {
        /// Name.
        name: String,
        /// Path.
        path: String,
        /// Time to live; zero is a session cookie.
        ttl: Option<Duration>,
        /// Further attributes.
        attributes: Vec<(String, String)>,
    },
    /// The client's address.
    SourceIp,
    /// A query parameter.
    QueryParameter(String),
}

/// The hash table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashTable {
    /// A ring of at least this many points (default 1024).
    Ring(Option<u64>),
    /// Maglev with a table of this size (default 65537).
    Maglev(Option<u64>),
}

/// Limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectionPool {
    /// Connections at most.
    pub max_connections: Option<u32>,
    /// Time for a connection to open.
    pub connect_timeout: Option<Duration>,
    /// Time without any byte, for TCP.
    pub tcp_idle_timeout: Option<Duration>,
    /// Age at which a connection is given up.
    pub max_connection_duration: Option<Duration>,
    /// Keepalive probes of the kernel.
    pub tcp_keepalive: Option<Keepalive>,
    /// Requests that may wait for a connection.
    pub http1_max_pending: Option<u32>,
    /// Requests at the same time.
    pub http2_max_requests: Option<u32>,
    /// Requests per connection; `None` is no limit.
    pub max_requests_per_connection: Option<u32>,
    /// Retries at the same time.
    pub max_retries: Option<u32>,
    /// Time without a request.
    pub http_idle_timeout: Option<Duration>,
    /// HTTP/2 upstream for HTTP/1.1 requests.
    pub h2_upgrade: Option<bool>,
    /// The protocol of the client is kept.
    pub use_client_protocol: bool,
    /// Streams per HTTP/2 connection.
    pub max_concurrent_streams: Option<u32>,
    /// HTTP/2 pings: interval and timeout.
    pub http2_keepalive: Option<(Option<Duration>, Option<Duration>)>,
}

/// Kernel keepalive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// Probes before giving up.
    pub probes: Option<u32>,
    /// Idle time before the first.
    pub time: Option<Duration>,
    /// Time between them.
    pub interval: Option<Duration>,
}

/// Outlier detection. The block being there turns it on (traps 2).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlier {
    /// 5xx in a row; `None` is 5, 0 turns it off.
    pub consecutive_5xx: Option<u32>,
    /// 502, 503, 504 in a row; `None` or 0 is off.
    pub consecutive_gateway: Option<u32>,
    /// Local errors are counted apart.
    pub split_external_local: bool,
    /// Local errors in a row, with `split_external_local`.
    pub consecutive_local: Option<u32>,
    /// Time between sweeps.
    pub interval: Option<Duration>,
    /// Least time of an ejection.
    pub base_ejection: Option<Duration>,
    /// Share that may be ejected, default 10 %.
    pub max_ejection_percent: Option<u32>,
    /// Status codes that count as errors; empty for 5xx.
    pub error_codes: Vec<u16>,
    /// Panic threshold; 0 is no panic.
    pub min_health_percent: u32,
}

/// TLS toward a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Which kind.
    pub mode: ClientTlsMode,
    /// Server name; empty is derived.
    pub sni: String,
    /// Names the server may show.
    pub subject_alt_names: Vec<String>,
    /// Certificate authorities' file; empty is the system's.
    pub ca_certificates: String,
    /// The authorities themselves in PEM, before the file; empty for none.
    pub authorities: String,
    /// File of certificates that are revoked; empty for none.
    pub ca_crl: String,
    /// Client certificate's file.
    pub client_certificate: String,
    /// Private key's file.
    pub private_key: String,
    /// Name of the secret with the client's certificate and key alone, as it is asked for; empty for none.
    pub client_credential: String,
    /// Name of a secret instead of files.
    pub credential_name: String,
    /// The server's certificate is not verified.
    pub insecure_skip_verify: bool,
}

/// Kinds of TLS toward a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientTlsMode {
    /// Plain text.
    #[default]
    Disable,
    /// TLS.
    Simple,
    /// TLS with a client certificate of the user's.
    Mutual,
    /// Mutual TLS with the workload's certificate.
    IstioMutual,
}
