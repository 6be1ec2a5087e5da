//! `envoy.filters.http.ratelimit`: limits that a service keeps.

use std::sync::Arc;

use super::grpc_service::GrpcService;
use super::headers::HeaderOps;
use super::matcher::Fraction;
use super::rate_limit::{RateLimitRule, VirtualHostRules};

/// Asks a rate limit service.
#[derive(Clone, Debug)]
pub struct GlobalRateLimit {
    /// The domain that the service is asked about.
    pub domain: Arc<str>,
    /// Which rules of routes and virtual hosts it reads.
    pub stage: u32,
    /// Which requests.
    pub requests: RequestKind,
    /// The service; a call takes at most 20 ms by default.
    pub service: GrpcService,
    /// Its own rules; where there are any, those of routes and virtual hosts are not read.
    pub rules: Vec<RateLimitRule>,
    /// How many requests ask the service. Default all.
    pub enabled: Fraction,
    /// How many of the refused are really refused. Default all.
    pub enforced: Fraction,
    /// How many requests are refused when the service does not answer. Default none.
    pub deny_on_error: Fraction,
    /// Status of a refused request. Default 429.
    pub status: u16,
    /// Status of a request that is refused because the service does not answer. Default 500.
    pub error_status: u16,
    /// Changes to the response that refuses.
    pub response_headers: HeaderOps,
    /// Whether `x-envoy-ratelimited` marks the response that refuses. Default true.
    pub marks_limited: bool,
    /// Whether `x-ratelimit-*` headers are added to responses.
    pub headers: bool,
    /// Whether `retry-after` is added to a 429.
    pub retry_after: bool,
    /// Whether a refused gRPC request gets RESOURCE_EXHAUSTED instead of UNAVAILABLE.
    pub as_resource_exhausted: bool,
    /// Under which name the metadata of answers is kept.
    pub metadata_namespace: Arc<str>,
}

/// Which requests a filter asks about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestKind {
    /// All.
    #[default]
    Both,
    /// Those of clients that are trusted.
    Internal,
    /// The others.
    External,
}

/// What a route changes about it.
#[derive(Clone, Debug)]
pub struct GlobalRateLimitChange {
    /// When the rules of the virtual host count.
    pub virtual_host_rules: VirtualHostRules,
    /// Rules in place of all others; empty for none.
    pub rules: Vec<RateLimitRule>,
    /// Another domain; empty for none.
    pub domain: Arc<str>,
}
