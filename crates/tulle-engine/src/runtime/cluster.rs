//! Clusters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tulle_base::Provenance;

use super::endpoint::EndpointSet;
use super::error_matcher::ErrorMatcher;
use super::forward_proxy::DnsCache;
use super::health::HealthCheck;
use super::http_manager::{Http1Options, Http2Options};
use super::metadata::{Fields, Metadata};
use super::net::{HappyEyeballs, TcpKeepalive};
use super::tls::UpstreamTls;

/// A cluster (`envoy.config.cluster.v3.Cluster`).
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its name, unique among clusters.
    pub name: Arc<str>,
    /// The name in statistics; the name if none is given.
    pub stat_name: Arc<str>,
    /// Where its endpoints come from.
    pub discovery: Discovery,
    /// How an endpoint is chosen.
    pub lb: LbPolicy,
    /// What all balancers have in common.
    pub lb_common: LbCommon,
    /// How long a connection may take, its TLS handshake included. Default 5 s.
    pub connect_timeout: Duration,
    /// How much may be buffered for each direction of a connection, in bytes. Default 1 MiB.
    pub buffer_limit: u32,
    /// The transport sockets; [`Cluster::transport_for`] chooses one. The last is the default.
    pub transports: Vec<TransportMatch>,
    /// Which protocol is spoken.
    pub protocol: UpstreamProtocol,
    /// HTTP options beside the protocol.
    pub http: UpstreamHttp,
    /// The addresses to connect from, at most one for each family; empty leaves it to the system.
    pub source_addresses: Vec<SocketAddr>,
    /// In which order the addresses of an endpoint are tried.
    pub happy_eyeballs: HappyEyeballs,
    /// Limits for requests of default priority.
    pub circuit_breakers: CircuitBreakers,
    /// Limits for requests of high priority.
    pub circuit_breakers_high: CircuitBreakers,
    /// Most connections to one endpoint; `None` for any number.
    pub per_host_max_connections: Option<u32>,
    /// When endpoints are ejected; `None` for never.
    pub outlier: Option<OutlierDetection>,
    /// Which answers outlier detection counts as errors; `None` for 5xx.
    pub errors: Option<Arc<ErrorMatcher>>,
    /// How endpoints are asked whether they are well; `None` for not at all.
    pub health_check: Option<Arc<HealthCheck>>,
    /// Keep-alive probes towards endpoints; `None` for none.
    pub keepalive: Option<TcpKeepalive>,
    /// Whether connections are closed when their endpoint becomes unhealthy.
    pub close_on_unhealthy: bool,
    /// Whether an endpoint leaves at once when discovery says so, whatever its health.
    pub ignore_health_on_removal: bool,
    /// Whether each client connection has connections of its own.
    pub pool_per_downstream: bool,
    /// Which services it stands for (`istio.services` metadata), for telemetry.
    pub services: Vec<ServiceMeta>,
    /// Whether it is outside the mesh (`istio.external` metadata).
    pub external: bool,
    /// Its metadata, for logs; `None` if it has none.
    pub metadata: Option<Arc<Metadata>>,
    /// Which resource made it.
    pub provenance: Option<Arc<Provenance>>,
}

impl Cluster {
    /// Index into [`Cluster::transports`] of the first transport socket whose criteria the endpoint's metadata meets.
    /// The last one is the default and asks nothing.
    pub fn transport_for(&self, endpoint: &Fields) -> usize {
        self.transports
            .iter()
            .position(|t| t.criteria.iter().all(|(key, value)| endpoint.get(key) == Some(value)))
            .unwrap_or(self.transports.len().saturating_sub(1))
    }
}

/// Where endpoints come from.
#[derive(Clone, Debug)]
pub enum Discovery {
    /// The configuration. Addresses only.
    Static(Arc<EndpointSet>),
    /// EDS, by service name.
    Eds(Arc<str>),
    /// DNS: every address is an endpoint.
    StrictDns(Arc<EndpointSet>, DnsSettings),
    /// DNS: the first address, asked anew for each connection. One endpoint.
    LogicalDns(Arc<EndpointSet>, DnsSettings),
    /// The original destination of the client's connection.
    OriginalDst(OriginalDst),
    /// The host that each request names, as a filter in front has found it.
    Forward(Arc<DnsCache>),
}

/// How DNS is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// Between two questions. Default 5 s.
    pub refresh: Duration,
    /// Whether the answer's time to live is used instead.
    pub respect_ttl: bool,
    /// After a failure: first wait. Default as `refresh`.
    pub failure_base: Duration,
    /// After a failure: longest wait.
    pub failure_max: Duration,
    /// Random part added to each wait.
    pub jitter: Duration,
    /// Which addresses are wanted.
    pub family: DnsFamily,
}

/// Which addresses are wanted from DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsFamily {
    /// IPv6, otherwise IPv4 (Envoy's `AUTO`).
    V6Preferred,
    /// IPv4.
    V4Only,
    /// IPv6.
    V6Only,
    /// IPv4, otherwise IPv6.
    V4Preferred,
    /// Both.
    All,
}

/// The original destination of the client's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalDst {
    /// A request header that names the destination, `IP:PORT`.
    pub header: Option<super::matcher::HeaderKey>,
    /// Another port.
    pub port: Option<u16>,
    /// How long an endpoint is kept without use. Default 5 s.
    pub cleanup: Duration,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LbPolicy {
    /// One after the other, by weight.
    RoundRobin,
    /// The least busy of some chosen at random.
    LeastRequest {
        /// How many are compared; at least 2, default 2.
        choices: u32,
        /// How much active requests count against weight when weights differ; 0 and more, default 1.
        bias: f64,
    },
    /// At random, by weight.
    Random,
    /// Ketama ring over the hash of the request.
    RingHash {
        /// Fewest entries. Default 1024.
        min_size: u64,
        /// Most entries. Default 8 Mi.
        max_size: u64,
        /// What places endpoints on the ring. Default XXH64.
        hash: RingFunction,
    },
    /// Maglev table over the hash of the request.
    Maglev {
        /// Entries, a prime. Default 65 537.
        table_size: u64,
    },
    /// By the cluster itself (original destination, forward proxy).
    ClusterProvided,
}

/// What places endpoints on a ring; requests are hashed by XXH64 always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RingFunction {
    /// XXH64.
    #[default]
    Xxh64,
    /// The 64 bit MurmurHash 2 of libstdc++ (`std::hash`).
    Murmur2,
}

/// What all balancers have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LbCommon {
    /// Below this part of healthy endpoints in percent, health is ignored; 0 switches that off. Default 50.
    pub panic_threshold: f64,
    /// Whether localities have weights (`locality_weighted_lb_config`).
    pub locality_weighted: bool,
    /// New endpoints get more and more of their weight over this time; `None` all at once.
    pub slow_start: Option<SlowStart>,
    /// Whether connections are closed when endpoints change.
    pub close_on_host_change: bool,
}

/// New endpoints get more and more of their weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// Over this time.
    pub window: Duration,
    /// Shape of the curve; 1 is a line.
    pub aggression: f64,
    /// Least part of the weight, in percent. Default 10.
    pub min_weight_percent: f64,
}

/// A transport socket with what it asks of endpoints.
#[derive(Clone, Debug)]
pub struct TransportMatch {
    /// Its name; empty for the default.
    pub name: Arc<str>,
    /// What the endpoint's `envoy.transport_socket_match` metadata must have; empty for every endpoint.
    pub criteria: Fields,
    /// How bytes are wrapped.
    pub transport: UpstreamTransport,
    /// Which version of the PROXY protocol begins a connection, before TLS; `None` for none.
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// Versions of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// How bytes are wrapped towards endpoints.
#[derive(Clone, Debug)]
pub enum UpstreamTransport {
    /// Not at all.
    Plain,
    /// TLS.
    Tls(Arc<UpstreamTls>),
}

/// Which protocol is spoken to endpoints.
#[derive(Clone, Debug)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1(Http1Options),
    /// HTTP/2, with prior knowledge where there is no ALPN.
    Http2(Http2Options),
    /// What the client spoke.
    Downstream(Http1Options, Http2Options),
    /// By ALPN; HTTP/1.1 if there is none.
    Auto(Http1Options, Http2Options),
}

/// HTTP options beside the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamHttp {
    /// How long a connection may live without a request; `None` for ever. Default 1 h.
    pub idle_timeout: Option<Duration>,
    /// How long a connection may live; `None` for ever.
    pub max_connection: Option<Duration>,
    /// How long a stream may live; `None` for ever.
    pub max_stream: Option<Duration>,
    /// Most requests on a connection; 0 for any number.
    pub max_requests_per_connection: u32,
    /// Most bytes of response headers. Default 60 KiB.
    pub max_response_headers_bytes: u32,
    /// Most response headers. Default 100.
    pub max_response_headers: u32,
    /// Whether the server name is the request's host.
    pub auto_sni: bool,
    /// Whether the certificate must have the server name.
    pub auto_san_validation: bool,
    /// The header to take the server name from instead; empty for the host.
    pub auto_sni_header: Arc<str>,
}

/// Limits of a cluster; `u32::MAX` for none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CircuitBreakers {
    /// Connections. Default 1024.
    pub max_connections: u32,
    /// Requests that wait for a connection. Default 1024.
    pub max_pending: u32,
    /// Requests under way. Default 1024.
    pub max_requests: u32,
    /// Retries under way. Default 3; not used when there is a budget.
    pub max_retries: u32,
    /// Retries as a part of the requests under way.
    pub retry_budget: Option<RetryBudget>,
    /// Connection pools. Default none.
    pub max_pools: u32,
}

impl Default for CircuitBreakers {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_pending: 1024,
            max_requests: 1024,
            max_retries: 3,
            retry_budget: None,
            max_pools: u32::MAX,
        }
    }
}

/// Retries as a part of the requests under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// Which part, in percent. Default 20.
    pub percent: f64,
    /// How many are always allowed. Default 3.
    pub min_concurrency: u32,
    /// Requests count for at least this long after they began; zero (the default) counts those under way.
    pub interval: Duration,
}

/// When endpoints are ejected (`OutlierDetection`). Percentages of enforcement are 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierDetection {
    /// 5xx (or failures) in a row. Default 5; 0 for any number.
    pub consecutive_5xx: u32,
    /// How many of those really eject. Default 100.
    pub enforcing_consecutive_5xx: u32,
    /// 502, 503, 504 (or failures) in a row. Default 5; 0 for any number.
    pub consecutive_gateway: u32,
    /// How many of those really eject. Default 0.
    pub enforcing_consecutive_gateway: u32,
    /// Whether failures to reach the endpoint are counted apart from its answers.
    pub split_local_origin: bool,
    /// Failures to reach it in a row. Default 5; 0 for any number.
    pub consecutive_local_origin: u32,
    /// How many of those really eject. Default 100.
    pub enforcing_consecutive_local_origin: u32,
    /// Between two sweeps. Default 10 s.
    pub interval: Duration,
    /// An endpoint stays out for this, times the number of its ejections. Default 30 s.
    pub base_ejection: Duration,
    /// Longest time out. Default 300 s, and at least `base_ejection`.
    pub max_ejection: Duration,
    /// Random part added to the time out. Default 0.
    pub max_ejection_jitter: Duration,
    /// Most endpoints out at once, in percent. Default 10.
    pub max_ejection_percent: u32,
    /// Whether one endpoint may always be ejected, whatever the percentage. Default false.
    pub always_eject_one: bool,
    /// Ejection by rate of success; `None` for none.
    pub success_rate: Option<SuccessRate>,
    /// Ejection by percentage of failures; `None` for none.
    pub failure_percentage: Option<FailurePercentage>,
}

/// Ejection by rate of success, compared with the other endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuccessRate {
    /// How many of those really eject. Default 100.
    pub enforcing: u32,
    /// The same for rates of reaching endpoints, where local origin is split. Default 100.
    pub enforcing_local_origin: u32,
    /// Fewest endpoints with enough requests. Default 5.
    pub minimum_hosts: u32,
    /// Fewest requests in an interval. Default 100.
    pub request_volume: u32,
    /// How many standard deviations below the mean, times 1000. Default 1900.
    pub stdev_factor: u32,
}

/// Ejection by percentage of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailurePercentage {
    /// How many of those really eject. Default 0.
    pub enforcing: u32,
    /// The same for failures to reach endpoints, where local origin is split. Default 0.
    pub enforcing_local_origin: u32,
    /// Failures in percent from which an endpoint is ejected. Default 85.
    pub threshold: u32,
    /// Fewest endpoints with enough requests. Default 5.
    pub minimum_hosts: u32,
    /// Fewest requests in an interval. Default 50.
    pub request_volume: u32,
}

/// A service that a cluster stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServiceMeta {
    /// Host name.
    pub host: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
}
