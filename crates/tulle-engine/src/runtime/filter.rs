//! HTTP filters, and what a route changes about them.

use std::sync::Arc;
use std::time::Duration;

use tulle_telemetry::cel::Expression;
use tulle_telemetry::metrics::LabelRules;

use super::compression::{Compressor, CompressorChange, Decompressor};
use super::cors::CorsPolicy;
use super::csrf::CsrfPolicy;
use super::ext_authz::{ExtAuthz, ExtAuthzChange};
use super::fault::Fault;
use super::forward_proxy::{DnsCache, ForwardHost};
use super::global_rate_limit::{GlobalRateLimit, GlobalRateLimitChange};
use super::header_mutation::{HeaderMutationFilter, Mutations, SetMetadata};
use super::health_check::HealthCheck;
use super::jwt::JwtAuthn;
use super::rate_limit::LocalRateLimit;
use super::rbac::RbacFilter;
use super::session::SessionPolicy;

/// One HTTP filter of a connection manager.
#[derive(Clone, Debug)]
pub struct HttpFilter {
    /// Its name, which routes refer to.
    pub name: Arc<str>,
    /// Whether it acts only where a route switches it on.
    pub disabled: bool,
    /// What it does.
    pub kind: HttpFilterKind,
}

/// What an HTTP filter does.
#[derive(Clone, Debug)]
pub enum HttpFilterKind {
    /// Authorization.
    Rbac(Arc<RbacFilter>),
    /// Injected faults.
    Fault(Arc<Fault>),
    /// Cross-origin resource sharing; the policy comes from the route.
    Cors,
    /// gRPC statistics.
    GrpcStats(GrpcStats),
    /// `istio_*` metrics.
    IstioStats(IstioStats),
    /// Who the peer is, from and to Istio's headers.
    PeerMetadata(PeerMetadata),
    /// Which ALPN to offer upstream.
    IstioAlpn(IstioAlpn),
    /// Token buckets.
    LocalRateLimit(Arc<LocalRateLimit>),
    /// Changes to headers and query.
    HeaderMutation(HeaderMutationFilter),
    /// Metadata.
    SetMetadata(Arc<Vec<SetMetadata>>),
    /// Holding requests until they are complete, up to so many bytes.
    Buffer(u32),
    /// Answering health checks.
    HealthCheck(Arc<HealthCheck>),
    /// gRPC for browsers.
    GrpcWeb,
    /// Comparing origins.
    Csrf(Arc<CsrfPolicy>),
    /// Compressing bodies.
    Compressor(Arc<Compressor>),
    /// Decompressing bodies.
    Decompressor(Arc<Decompressor>),
    /// Limits that a service keeps.
    GlobalRateLimit(Arc<GlobalRateLimit>),
    /// Tokens.
    Jwt(Arc<JwtAuthn>),
    /// A service that decides.
    ExtAuthz(Arc<ExtAuthz>),
    /// Sessions that stay at an endpoint; without a policy it comes from the route.
    StatefulSession(Option<Arc<SessionPolicy>>),
    /// Finding the host that a request names, where it goes to a cluster that forwards.
    ForwardProxy(Arc<DnsCache>),
    /// Forwarding; always the last.
    Router(RouterOptions),
}

/// `envoy.filters.http.grpc_stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrpcStats {
    /// Whether message counts are kept for access logs and `istio_*_messages_total`.
    pub emit_filter_state: bool,
}

/// `istio.stats`.
#[derive(Clone, Debug, PartialEq)]
pub struct IstioStats {
    /// Whether an unknown destination service is taken from the Host header.
    pub host_header_fallback: bool,
    /// How often long TCP connections and calls are reported. Default 5 s, as Istio's (the filter alone has 15 s).
    pub tcp_reporting: Duration,
    /// Whether this proxy is a waypoint.
    pub server_gateway: bool,
    /// Changes to standard metrics.
    pub overrides: Arc<StatsOverrides>,
}

/// Changes to standard metrics and their labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatsOverrides {
    /// What is done to each metric.
    pub rules: LabelRules,
    /// The values that rules speak of, by their number.
    pub values: Vec<Expression>,
}

/// `istio.peer_metadata`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerMetadata {
    /// Whether the client's metadata is read from its headers (and the headers are removed).
    pub read_from_request: bool,
    /// Whether the endpoint's metadata is read from the response (and the headers are removed).
    pub read_from_response: bool,
    /// Whether ours is written to the response.
    pub write_to_response: bool,
    /// Whether ours is written to the request.
    pub write_to_request: bool,
    /// Whether clusters marked external are not told.
    pub skip_external: bool,
}

/// `istio.alpn`: ALPN lists by the protocol spoken upstream; empty leaves the transport socket's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IstioAlpn {
    /// For HTTP/1.0.
    pub http10: Vec<Arc<str>>,
    /// For HTTP/1.1.
    pub http11: Vec<Arc<str>>,
    /// For HTTP/2.
    pub http2: Vec<Arc<str>>,
}

/// `envoy.filters.http.router`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouterOptions {
    /// Whether `x-envoy-*` headers are not added to requests and responses.
    pub suppress_envoy_headers: bool,
    /// Whether the expected timeout of the downstream's header is kept.
    pub respect_expected_timeout: bool,
}

/// What a route (with its virtual host and table) changes about filters. Most specific first is already decided.
#[derive(Clone, Debug, Default)]
pub struct FilterOverrides(pub Vec<(Arc<str>, FilterOverride)>);

impl FilterOverrides {
    /// The change to the filter of this name.
    pub fn get(&self, filter: &str) -> Option<&FilterOverride> {
        self.0.iter().find(|(name, _)| **name == *filter).map(|(_, change)| change)
    }
}

/// What a route changes about one filter.
#[derive(Clone, Debug)]
pub enum FilterOverride {
    /// It stays out.
    Disabled,
    /// It acts although it is disabled in the connection manager.
    Enabled,
    /// Other rules; without rules, everything passes.
    Rbac(Arc<RbacFilter>),
    /// Other faults.
    Fault(Arc<Fault>),
    /// The policy.
    Cors(Arc<CorsPolicy>),
    /// Other buckets.
    LocalRateLimit(Arc<LocalRateLimit>),
    /// Further changes: those of the route table, of the virtual host and of the route, in this order.
    HeaderMutation(Vec<Arc<Mutations>>),
    /// Another limit of what is held.
    Buffer(u32),
    /// What is said to the service that decides, and which one.
    ExtAuthz(Arc<ExtAuthzChange>),
    /// Another requirement about tokens, by name.
    Jwt(Arc<str>),
    /// Other rules and another domain for limits that a service keeps.
    GlobalRateLimit(Arc<GlobalRateLimitChange>),
    /// Other compression.
    Compressor(CompressorChange),
    /// Another policy about origins.
    Csrf(Arc<CsrfPolicy>),
    /// Another policy about sessions; `None` for none.
    StatefulSession(Option<Arc<SessionPolicy>>),
    /// Other metadata.
    SetMetadata(Arc<Vec<SetMetadata>>),
    /// Another host to forward to.
    ForwardHost(Arc<ForwardHost>),
}
