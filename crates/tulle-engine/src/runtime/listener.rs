//! Listeners, their filter chains, and what a chain does with a connection.

use std::sync::Arc;
use std::time::Duration;

use tulle_base::Provenance;

use super::access_log::AccessLog;
use super::filter::IstioStats;
use super::forward_proxy::SniForward;
use super::grpc_service::GrpcService;
use super::http_manager::HttpManager;
use super::matcher::MetadataMatcher;
use super::net::{CidrRange, ListenAddress, TcpKeepalive};
use super::rbac::RbacFilter;
use super::tls::DownstreamTls;

/// A listener (`envoy.config.listener.v3.Listener`).
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name, unique among listeners.
    pub name: Arc<str>,
    /// Where it listens; at least one. Port 0 asks the kernel for a port.
    pub addresses: Vec<ListenAddress>,
    /// Whether it has sockets of its own. Without, it is reached only by hand-over from a listener with
    /// `use_original_dst`.
    pub bind_to_port: bool,
    /// Whether connections are handed to the listener of their original destination, if there is one.
    pub use_original_dst: bool,
    /// What is found out about a connection before a chain is chosen, in order.
    pub filters: Vec<ListenerFilter>,
    /// How long the listener filters may take; `None` for no limit. Default 15 s.
    pub inspect_timeout: Option<Duration>,
    /// Whether the connection goes on (with what is known) when the time is over, instead of being closed.
    pub continue_on_timeout: bool,
    /// Which way connections go.
    pub direction: Direction,
    /// The chains, in the order of the configuration.
    pub chains: Vec<Arc<FilterChain>>,
    /// The chain for connections that match none. Without one, such a connection is closed.
    pub default_chain: Option<Arc<FilterChain>>,
    /// How much may be buffered for each direction of a connection, in bytes. Default 1 MiB.
    pub buffer_limit: u32,
    /// Logs of connections that no chain took.
    pub access_logs: Vec<AccessLog>,
    /// Length of the queue of connections that are not accepted yet; `None` for the system's.
    pub backlog: Option<u32>,
    /// Keep-alive probes towards clients; `None` for none.
    pub keepalive: Option<TcpKeepalive>,
    /// The prefix of its statistics; the address if none is given.
    pub stat_prefix: Arc<str>,
    /// Which resource made it.
    pub provenance: Option<Arc<Provenance>>,
}

/// Which way connections of a listener go (`traffic_direction`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Not said.
    #[default]
    Unspecified,
    /// Towards the workload beside the proxy.
    Inbound,
    /// From the workload beside the proxy.
    Outbound,
}

/// A listener filter.
#[derive(Clone, Debug)]
pub struct ListenerFilter {
    /// What it finds out.
    pub kind: ListenerFilterKind,
    /// Where it stays out.
    pub disabled: PortPredicate,
}

/// What a listener filter finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerFilterKind {
    /// The original destination, from the kernel (`SO_ORIGINAL_DST`).
    OriginalDst,
    /// Whether it is TLS, and which server name and ALPN the client sent.
    TlsInspector {
        /// Largest client hello, in bytes; default 16 KiB.
        max_client_hello: u32,
    },
    /// Whether it is HTTP/1.x or HTTP/2 (plain connections only).
    HttpInspector,
    /// Whose connection it is, in the words of the load balancer in front.
    ProxyProtocol {
        /// Whether a connection without such a header is served, as the balancer's own.
        optional: bool,
        /// Whether version 1 (text) is taken.
        v1: bool,
        /// Whether version 2 (binary) is taken.
        v2: bool,
    },
}

/// A predicate over the destination port (`ListenerFilterChainMatchPredicate`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortPredicate {
    /// No port.
    Never,
    /// Every port.
    Always,
    /// `start..end`.
    Range {
        /// First port.
        start: u16,
        /// First port beyond; up to 65 536.
        end: u32,
    },
    /// Ports that the predicate does not hold for.
    Not(Box<PortPredicate>),
    /// Ports that every predicate holds for.
    And(Vec<PortPredicate>),
    /// Ports that some predicate holds for.
    Or(Vec<PortPredicate>),
}

impl PortPredicate {
    /// Whether it holds for `port`.
    pub fn holds(&self, port: u16) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Range { start, end } => port >= *start && u32::from(port) < *end,
            Self::Not(inner) => !inner.holds(port),
            Self::And(all) => all.iter().all(|p| p.holds(port)),
            Self::Or(any) => any.iter().any(|p| p.holds(port)),
        }
    }
}

/// A filter chain: which connections it takes, and what becomes of them.
#[derive(Clone, Debug)]
pub struct FilterChain {
    /// Its name; may be empty.
    pub name: Arc<str>,
    /// Which connections it takes. Chosen by `decide::filter_chain`, never by order.
    pub matches: FilterChainMatch,
    /// How bytes are wrapped.
    pub transport: DownstreamTransport,
    /// How long the TLS handshake may take; `None` for no limit.
    pub handshake_timeout: Option<Duration>,
    /// What is asked before the terminal filter sees the connection, in order.
    pub filters: Vec<NetworkFilter>,
    /// What becomes of the connection.
    pub terminal: Terminal,
    /// Which resource made it.
    pub provenance: Option<Arc<Provenance>>,
}

/// `FilterChainMatch`; empty lists ask nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterChainMatch {
    /// Destination port.
    pub destination_port: Option<u16>,
    /// Destination address.
    pub prefix_ranges: Vec<CidrRange>,
    /// Server names, lower case; `*.example.com` for every name below.
    pub server_names: Vec<Arc<str>>,
    /// `tls` or `raw_buffer`; empty for both.
    pub transport_protocol: Arc<str>,
    /// ALPN or found protocols, such as `istio`, `h2`, `http/1.1`, `h2c`.
    pub application_protocols: Vec<Arc<str>>,
    /// Address of the peer of the connection, without proxy protocol.
    pub direct_source_prefix_ranges: Vec<CidrRange>,
    /// Where the client is.
    pub source_type: SourceType,
    /// Address of the client.
    pub source_prefix_ranges: Vec<CidrRange>,
    /// Port of the client.
    pub source_ports: Vec<u16>,
}

/// Where a client is (`ConnectionSourceType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceType {
    /// Anywhere.
    #[default]
    Any,
    /// On this machine: loopback, or the address it connects to.
    SameIpOrLoopback,
    /// Elsewhere.
    External,
}

/// How bytes are wrapped towards clients.
#[derive(Clone, Debug)]
pub enum DownstreamTransport {
    /// Not at all.
    Plain,
    /// TLS.
    Tls(Arc<DownstreamTls>),
}

/// What is asked before the terminal filter sees a connection.
#[derive(Clone, Debug)]
pub enum NetworkFilter {
    /// L4 authorization.
    Rbac(Arc<NetworkRbac>),
    /// A service that is asked whether a connection may pass.
    ExtAuthz(Arc<NetworkExtAuthz>),
    /// Finding the host that the server name of TLS names, where connections go to a cluster that forwards.
    ForwardProxy(Arc<SniForward>),
    /// `istio_tcp_*` metrics.
    IstioStats(Arc<IstioStats>),
    /// Istio's exchange of peer metadata; here metadata comes from the endpoint and the certificate, so it only
    /// marks that the far side may know the protocol.
    MetadataExchange {
        /// The ALPN protocol that switches the exchange on.
        protocol: Arc<str>,
    },
}

/// `envoy.filters.network.rbac`.
#[derive(Clone, Debug)]
pub struct NetworkRbac {
    /// The rules, enforced and shadow.
    pub rules: RbacFilter,
    /// When they are asked.
    pub enforcement: Enforcement,
    /// How long a denied connection stays open; `None` closes at once.
    pub delay_deny: Option<Duration>,
}

/// `envoy.filters.network.ext_authz`.
#[derive(Clone, Debug)]
pub struct NetworkExtAuthz {
    /// Who is asked.
    pub service: GrpcService,
    /// Whether connections pass when it does not answer.
    pub failure_allow: bool,
    /// It is asked only where metadata is like this; `None` asks always.
    pub enabled_metadata: Option<MetadataMatcher>,
    /// Metadata that is sent along, by namespace.
    pub metadata: Vec<Arc<str>>,
    /// Whether the server name of the TLS hello is sent along.
    pub tls_session: bool,
}

/// When L4 rules are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// Once, at the first byte.
    OnFirstByte,
    /// At every read.
    Continuous,
}

/// What becomes of a connection.
#[derive(Clone, Debug)]
pub enum Terminal {
    /// HTTP.
    Http(Arc<HttpManager>),
    /// Bytes.
    Tcp(Arc<TcpProxy>),
}

/// `envoy.filters.network.tcp_proxy`.
#[derive(Clone, Debug)]
pub struct TcpProxy {
    /// The prefix of its statistics.
    pub stat_prefix: Arc<str>,
    /// Where connections go.
    pub clusters: TcpClusters,
    /// Bytes go inside of HTTP, by way of the endpoint; `None` for as they are.
    pub tunnel: Option<TcpTunnel>,
    /// How long both directions may be silent; `None` for ever. Default 1 h.
    pub idle_timeout: Option<Duration>,
    /// How long a connection may live; `None` for ever.
    pub max_duration: Option<Duration>,
    /// How many endpoints are tried; at least 1, default 1.
    pub max_connect_attempts: u32,
    /// Logs.
    pub access_logs: Vec<AccessLog>,
    /// How often a line is logged while the connection lives; `None` only at its end.
    pub log_interval: Option<Duration>,
    /// Whether a line is logged once the upstream is connected.
    pub log_on_connect: bool,
    /// Whether the client's address decides the endpoint (hash policy `source_ip`).
    pub hash_source_ip: bool,
}

/// TCP inside of HTTP (`TunnelingConfig`): the endpoint is asked to connect to somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpTunnel {
    /// `HOST:PORT` to connect to: the target of CONNECT, and the authority of POST.
    pub hostname: Arc<str>,
    /// The path, where POST is used; `None` for CONNECT.
    pub post_path: Option<Arc<str>>,
}

/// Where connections go.
#[derive(Clone, Debug)]
pub enum TcpClusters {
    /// One cluster.
    Single(Arc<str>),
    /// Several, by weight; the sum is above zero.
    Weighted {
        /// Name and weight.
        clusters: Vec<(Arc<str>, u32)>,
        /// Sum of the weights.
        total: u64,
    },
}
