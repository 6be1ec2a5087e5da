//! What a client does towards a destination: balancing, pools, outlier detection, TLS.

use std::collections::BTreeMap;

use super::common::PortSelector;
use super::virtual_service::HttpRetry;
use crate::schema::{enumeration, oneof, record};
use crate::value::WrittenDuration;

record! {
    /// How clients treat a destination.
    pub struct TrafficPolicy {
        /// How an endpoint is chosen.
        pub load_balancer: Option<LoadBalancerSettings> = "loadBalancer",
        /// Limits of connections and requests.
        pub connection_pool: Option<ConnectionPoolSettings> = "connectionPool",
        /// When an endpoint is left out for a while.
        pub outlier_detection: Option<OutlierDetection> = "outlierDetection",
        /// TLS towards the destination.
        pub tls: Option<ClientTlsSettings> = "tls",
        /// Settings of single ports, which replace those above as a whole.
        pub port_level_settings: Vec<PortTrafficPolicy> = "portLevelSettings",
        /// Tunnels TCP through the destination.
        pub tunnel: Option<TunnelSettings> = "tunnel",
        /// Sends the PROXY protocol to the destination.
        pub proxy_protocol: Option<ProxyProtocol> = "proxyProtocol",
        /// Limits retries to a share of the requests under way.
        pub retry_budget: Option<RetryBudget> = "retryBudget",
        /// Default retries for the host where the VirtualService sets none.
        pub retries: Option<HttpRetry> = "retries"
            => not_portable("read as the host's default retry policy where the VirtualService sets none; Istio ignores it"),
    }
}

record! {
    /// Settings of one port of a destination; what is left out is the default, not what stands above.
    pub struct PortTrafficPolicy {
        /// The port.
        pub port: Option<PortSelector> = "port",
        /// How an endpoint is chosen.
        pub load_balancer: Option<LoadBalancerSettings> = "loadBalancer",
        /// Limits of connections and requests.
        pub connection_pool: Option<ConnectionPoolSettings> = "connectionPool",
        /// When an endpoint is left out for a while.
        pub outlier_detection: Option<OutlierDetection> = "outlierDetection",
        /// TLS towards the destination.
        pub tls: Option<ClientTlsSettings> = "tls",
    }
}

record! {
    /// How an endpoint is chosen; LEAST_REQUEST by default.
    pub struct LoadBalancerSettings {
        /// Preference by locality; replaces the mesh-wide setting.
        pub locality_lb_setting: Option<LocalityLoadBalancerSetting> = "localityLbSetting",
        /// Preference for the own zone; excludes `localityLbSetting`.
        pub zone_aware_lb_setting: Option<ZoneAwareLoadBalancerSetting> = "zoneAwareLbSetting"
            => no_effect("how clients spread over zones is not known; localityLbSetting prefers near endpoints"),
        /// Slow start.
        pub warmup_duration_secs: Option<WrittenDuration> = "warmupDurationSecs" => deprecated("write warmup.duration"),
        /// Slow start of new endpoints; for ROUND_ROBIN and LEAST_REQUEST only.
        pub warmup: Option<WarmupConfiguration> = "warmup",
    }
    oneof {
        /// The balancer.
        pub lb_policy: LbPolicy,
    }
}

oneof! {
    /// A balancer.
    pub enum LbPolicy {
        /// One without settings.
        Simple(SimpleLb) = "simple",
        /// The same key goes to the same endpoint.
        ConsistentHash(ConsistentHashLb) = "consistentHash",
    }
}

enumeration! {
    /// Balancers without settings.
    pub enum SimpleLb {
        /// The default, LEAST_REQUEST.
        Unspecified = "UNSPECIFIED",
        /// Old name of LEAST_REQUEST.
        LeastConn = "LEAST_CONN",
        /// Any healthy endpoint.
        Random = "RANDOM",
        /// The address that the client asked for.
        Passthrough = "PASSTHROUGH",
        /// Each in turn.
        RoundRobin = "ROUND_ROBIN",
        /// The better of two random ones by requests under way.
        LeastRequest = "LEAST_REQUEST",
    }
}

record! {
    /// Balancing by the hash of a key.
    pub struct ConsistentHashLb {
        /// Ring size.
        pub minimum_ring_size: Option<u64> = "minimumRingSize" => deprecated("write ringHash.minimumRingSize"),
    }
    oneof {
        /// The key.
        pub hash_key: HashKey,
        /// The algorithm; a ring by default.
        pub hash_algorithm: HashAlgorithm,
    }
}

oneof! {
    /// What is hashed.
    pub enum HashKey {
        /// A header.
        HttpHeaderName(String) = "httpHeaderName",
        /// A cookie, made if it is not there.
        HttpCookie(HttpCookie) = "httpCookie",
        /// The client's address.
        UseSourceIp(bool) = "useSourceIp",
        /// A query parameter.
        HttpQueryParameterName(String) = "httpQueryParameterName",
    }
}

oneof! {
    /// How keys are spread over endpoints.
    pub enum HashAlgorithm {
        /// A ring.
        RingHash(RingHash) = "ringHash",
        /// A Maglev table.
        Maglev(MagLev) = "maglev",
    }
}

record! {
    /// A hash ring.
    pub struct RingHash {
        /// Smallest number of points; 1024 by default.
        pub minimum_ring_size: Option<u64> = "minimumRingSize",
    }
}

record! {
    /// A Maglev table.
    pub struct MagLev {
        /// Entries, a prime below 5000011; 65537 by default.
        pub table_size: Option<u64> = "tableSize",
    }
}

record! {
    /// A cookie as hash key.
    pub struct HttpCookie {
        /// Name.
        pub name: String = "name" => required,
        /// Path.
        pub path: String = "path",
        /// Lifetime; 0s makes a session cookie, unset makes none.
        pub ttl: Option<WrittenDuration> = "ttl",
        /// More attributes.
        pub attributes: Vec<CookieAttribute> = "attributes",
    }
}

record! {
    /// An attribute of a cookie.
    pub struct CookieAttribute {
        /// Name.
        pub name: String = "name" => required,
        /// Value.
        pub value: String = "value",
    }
}

record! {
    /// Preference by locality.
    pub struct LocalityLoadBalancerSetting {
        /// Fixed shares by locality; excludes the failovers.
        pub distribute: Vec<LocalityDistribute> = "distribute",
        /// Where a region fails over to; needs outlier detection.
        pub failover: Vec<LocalityFailover> = "failover",
        /// Labels, as `key` or `key=value`, that rank endpoints.
        pub failover_priority: Vec<String> = "failoverPriority",
        /// Turns it on or off; follows the mesh by default.
        pub enabled: Option<bool> = "enabled",
    }
}

record! {
    /// Fixed shares for clients of one locality.
    pub struct LocalityDistribute {
        /// The clients' locality, `region/zone/subzone`, with trailing `*`.
        pub from: String = "from",
        /// Shares by locality, 100 in all.
        pub to: BTreeMap<String, u32> = "to",
    }
}

record! {
    /// Failover of one region.
    pub struct LocalityFailover {
        /// The clients' region.
        pub from: String = "from",
        /// The region to go to.
        pub to: String = "to",
    }
}

record! {
    /// Preference for the own zone.
    pub struct ZoneAwareLoadBalancerSetting {
        /// Turns it on or off.
        pub enabled: Option<bool> = "enabled",
        /// Where a region fails over to.
        pub failover: Vec<LocalityFailover> = "failover",
        /// Labels, as `key` or `key=value`, that rank endpoints.
        pub failover_priority: Vec<String> = "failoverPriority",
        /// Fewest endpoints for which it acts; 6 by default.
        pub min_cluster_size: Option<u64> = "minClusterSize",
    }
}

record! {
    /// Slow start of new endpoints.
    pub struct WarmupConfiguration {
        /// How long.
        pub duration: WrittenDuration = "duration",
        /// Share that a new endpoint begins with, in percent; 10 by default.
        pub minimum_percent: Option<f64> = "minimumPercent",
        /// How fast the share grows; 1.0 (linear) by default.
        pub aggression: Option<f64> = "aggression",
    }
}

record! {
    /// Limits of connections and requests.
    pub struct ConnectionPoolSettings {
        /// For TCP and HTTP alike.
        pub tcp: Option<TcpSettings> = "tcp",
        /// For HTTP.
        pub http: Option<HttpSettings> = "http",
    }
}

record! {
    /// Limits of connections.
    pub struct TcpSettings {
        /// Most connections; 2^32-1 by default.
        pub max_connections: Option<i32> = "maxConnections",
        /// Time to connect, at least 1ms; 10s by default.
        pub connect_timeout: Option<WrittenDuration> = "connectTimeout",
        /// TCP keep-alive.
        pub tcp_keepalive: Option<TcpKeepalive> = "tcpKeepalive",
        /// Longest life of a connection, at least 1ms; unlimited by default.
        pub max_connection_duration: Option<WrittenDuration> = "maxConnectionDuration",
        /// Closes idle TCP connections; 1h by default, 0s disables.
        pub idle_timeout: Option<WrittenDuration> = "idleTimeout",
    }
}

record! {
    /// TCP keep-alive.
    pub struct TcpKeepalive {
        /// Probes before the connection is dead; the system's default (9).
        pub probes: Option<u32> = "probes",
        /// Idle time before the first probe; the system's default (2h).
        pub time: Option<WrittenDuration> = "time",
        /// Time between probes; the system's default (75s).
        pub interval: Option<WrittenDuration> = "interval",
    }
}

record! {
    /// Limits of HTTP.
    pub struct HttpSettings {
        /// Most requests that wait for a connection; 2^32-1 by default.
        pub http1_max_pending_requests: Option<i32> = "http1MaxPendingRequests",
        /// Most requests under way; 2^32-1 by default.
        pub http2_max_requests: Option<i32> = "http2MaxRequests",
        /// Most requests per connection; 0 (unlimited) by default, 1 turns keep-alive off.
        pub max_requests_per_connection: Option<i32> = "maxRequestsPerConnection",
        /// Most retries under way; 2^32-1 by default.
        pub max_retries: Option<i32> = "maxRetries",
        /// Closes idle connections; 1h by default.
        pub idle_timeout: Option<WrittenDuration> = "idleTimeout",
        /// Whether HTTP/1.1 becomes HTTP/2 towards the destination.
        pub h2_upgrade_policy: Option<H2UpgradePolicy> = "h2UpgradePolicy",
        /// Keeps the client's protocol; overrides `h2UpgradePolicy`.
        pub use_client_protocol: Option<bool> = "useClientProtocol",
        /// Most streams per HTTP/2 connection; 2^31-1 by default.
        pub max_concurrent_streams: Option<i32> = "maxConcurrentStreams",
        /// HTTP/2 pings.
        pub http2_keep_alive: Option<ConnectionKeepalive> = "http2KeepAlive",
    }
}

enumeration! {
    /// Whether HTTP/1.1 becomes HTTP/2.
    pub enum H2UpgradePolicy {
        /// As the mesh says.
        Default = "DEFAULT",
        /// Never.
        DoNotUpgrade = "DO_NOT_UPGRADE",
        /// Always.
        Upgrade = "UPGRADE",
    }
}

record! {
    /// HTTP/2 pings.
    pub struct ConnectionKeepalive {
        /// Time between pings.
        pub interval: WrittenDuration = "interval",
        /// Time to wait for the answer.
        pub timeout: WrittenDuration = "timeout",
    }
}

record! {
    /// When an endpoint is left out for a while. Being there turns it on, even when empty.
    pub struct OutlierDetection {
        /// Errors in a row: means `consecutiveGatewayErrors` and `consecutive5xxErrors` of this value.
        pub consecutive_errors: Option<i32> = "consecutiveErrors"
            => deprecated("write consecutive5xxErrors and consecutiveGatewayErrors: Istio no longer reads consecutiveErrors, here it means both"),
        /// Counts errors before a response separately; false by default.
        pub split_external_local_origin_errors: Option<bool> = "splitExternalLocalOriginErrors",
        /// Errors before a response in a row; 5 by default, needs the split.
        pub consecutive_local_origin_failures: Option<u32> = "consecutiveLocalOriginFailures",
        /// 502, 503 and 504 in a row; off by default, 0 turns it off.
        pub consecutive_gateway_errors: Option<u32> = "consecutiveGatewayErrors",
        /// 5xx in a row; 5 by default, 0 turns it off.
        pub consecutive_5xx_errors: Option<u32> = "consecutive5xxErrors",
        /// Time between sweeps that let endpoints back in, at least 1ms; 10s by default.
        pub interval: Option<WrittenDuration> = "interval",
        /// Time out of the pool, times the number of ejections, at least 1ms; 30s by default.
        pub base_ejection_time: Option<WrittenDuration> = "baseEjectionTime",
        /// Most endpoints out at a time, in percent; 10 by default.
        pub max_ejection_percent: Option<i32> = "maxEjectionPercent",
        /// Below this share of healthy endpoints all are used; 0 (off) by default.
        pub min_health_percent: Option<i32> = "minHealthPercent",
        /// Status codes that count as errors, 100 to 599; any 5xx by default.
        pub outlier_detection_http_error_codes: Vec<u32> = "outlierDetectionHttpErrorCodes",
    }
}

record! {
    /// TLS towards a destination.
    pub struct ClientTlsSettings {
        /// Which kind of TLS; DISABLE by default.
        pub mode: Option<ClientTlsMode> = "mode",
        /// File of the client certificate; for MUTUAL.
        pub client_certificate: String = "clientCertificate",
        /// File of the private key; for MUTUAL.
        pub private_key: String = "privateKey",
        /// File of the CA certificates; the system's by default.
        pub ca_certificates: String = "caCertificates",
        /// Secret with key, certificate and CA.
        pub credential_name: String = "credentialName",
        /// Names that the server's certificate may carry; the host by default.
        pub subject_alt_names: Vec<String> = "subjectAltNames",
        /// Server name to send; the host by default.
        pub sni: String = "sni",
        /// Whether the server's certificate is not checked; false by default.
        pub insecure_skip_verify: Option<bool> = "insecureSkipVerify",
        /// File of revoked certificates.
        pub ca_crl: String = "caCrl",
    }
}

enumeration! {
    /// Kinds of TLS towards a destination.
    pub enum ClientTlsMode {
        /// None.
        Disable = "DISABLE",
        /// The server has a certificate.
        Simple = "SIMPLE",
        /// Both have certificates, from the files or secret named here.
        Mutual = "MUTUAL",
        /// Both have the mesh's certificates.
        IstioMutual = "ISTIO_MUTUAL",
    }
}

record! {
    /// Tunnels TCP through the destination.
    pub struct TunnelSettings {
        /// CONNECT (default) or POST.
        pub protocol: String = "protocol",
        /// Host at the far end.
        pub target_host: String = "targetHost" => required,
        /// Port at the far end.
        pub target_port: u32 = "targetPort",
    }
}

record! {
    /// The PROXY protocol.
    pub struct ProxyProtocol {
        /// Version; V1 by default.
        pub version: Option<ProxyProtocolVersion> = "version",
    }
}

enumeration! {
    /// Versions of the PROXY protocol.
    pub enum ProxyProtocolVersion {
        /// Text.
        V1 = "V1",
        /// Binary.
        V2 = "V2",
    }
}

record! {
    /// Limits retries to a share of the requests under way.
    pub struct RetryBudget {
        /// The share in percent; 20 by default.
        pub percent: Option<f64> = "percent",
        /// Retries that are always allowed; 3 by default.
        pub min_retry_concurrency: Option<u32> = "minRetryConcurrency",
        /// Time over which requests are counted; 0 by default.
        pub budget_interval: Option<WrittenDuration> = "budgetInterval",
    }
}
