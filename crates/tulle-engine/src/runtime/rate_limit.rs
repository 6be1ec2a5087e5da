//! Rate limits: the rules that make descriptors of requests, and the local buckets.

use std::sync::Arc;
use std::time::Duration;

use super::headers::{HeaderOps, Template};
use super::matcher::{Fraction, HeaderKey, HeaderMatcher, QueryMatcher};
use super::net::CidrRange;
use crate::decide::local_rate_limit::Limiter;

/// `envoy.config.route.v3.RateLimit`: makes one descriptor of a request, if every action has an entry for it.
#[derive(Clone, Debug)]
pub struct RateLimitRule {
    /// Which filters read it: those with the same stage, 0 to 10.
    pub stage: u32,
    /// Whether it names a runtime key by which it could be switched off; local rate limits pass over such rules, as Envoy's do.
    pub has_disable_key: bool,
    /// One entry each, in order.
    pub actions: Vec<RateLimitAction>,
    /// A limit told to the rate limit service in place of its own.
    pub limit: Option<LimitOverride>,
    /// How many hits the request counts for.
    pub hits: Hits,
    /// Whether the hits are given back instead of taken.
    pub refills: bool,
    /// Whether `x-ratelimit-*` headers tell of it; `None` leaves that to the filter.
    pub headers: Option<bool>,
    /// Whether it is counted when the request has ended, and decides nothing.
    pub on_stream_done: bool,
}

/// How many hits a request counts for.
#[derive(Clone, Debug)]
pub enum Hits {
    /// As many as the filter says; one for local limits.
    Default,
    /// So many, up to 1,000,000,000.
    Fixed(u64),
    /// As many as a text says; a text that is no such number leaves the descriptor out.
    Format(Template),
}

/// One entry of a descriptor.
#[derive(Clone, Debug)]
pub enum RateLimitAction {
    /// `source_cluster`: this proxy's own service cluster.
    SourceCluster,
    /// `destination_cluster`: the route's cluster; no descriptor where the route has none.
    DestinationCluster,
    /// A request header; of several lines the first.
    RequestHeader(HeaderKey, Presence),
    /// A query parameter, percent-decoded; of several the first.
    QueryParameter(Arc<str>, Presence),
    /// `remote_address`: the client's address, behind trusted proxies.
    RemoteAddress,
    /// `masked_remote_address`: the range of the client's address, with these prefix lengths for IPv4 and IPv6.
    MaskedRemoteAddress(u8, u8),
    /// A fixed key and value.
    Generic(Arc<str>, Arc<str>),
    /// A fixed key and value, if the headers match, or (`false`) if they do not.
    HeaderMatch(Arc<str>, Arc<str>, bool, Vec<HeaderMatcher>),
    /// A fixed key and value, if the query parameters match, or (`false`) if they do not.
    QueryMatch(Arc<str>, Arc<str>, bool, Vec<QueryMatcher>),
    /// A key and a text, if the client's address is in one of the ranges, or (`true`) in none of them. Where the text is empty the
    /// default is taken; where that is empty too there is no descriptor.
    AddressMatch {
        /// The key.
        key: Arc<str>,
        /// The text.
        value: Template,
        /// What stands for an empty text.
        default: Arc<str>,
        /// The ranges.
        ranges: Vec<CidrRange>,
        /// Whether the answer is turned round.
        invert: bool,
    },
    /// A text of the metadata.
    Metadata(MetadataEntry),
}

/// An entry that may be missing in a request.
#[derive(Clone, Debug)]
pub struct Presence {
    /// The key of the entry.
    pub key: Arc<str>,
    /// Whether a missing value leaves out the entry alone, and not the whole descriptor.
    pub skip_if_absent: bool,
}

/// A text of the metadata.
#[derive(Clone, Debug)]
pub struct MetadataEntry {
    /// The key of the entry, and what becomes of a missing value.
    pub presence: Presence,
    /// Where the value is.
    pub source: MetadataSource,
    /// Whose metadata, then the way to the value.
    pub filter: Arc<str>,
    /// The way to the value; at least one step.
    pub path: Vec<Arc<str>>,
    /// What stands for a missing text; empty for nothing.
    pub default: Arc<str>,
}

/// Whose metadata an entry is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataSource {
    /// The request's.
    Dynamic,
    /// The route's.
    Route,
}

/// A limit told to the rate limit service in place of its own.
#[derive(Clone, Debug)]
pub enum LimitOverride {
    /// So many requests per unit (the number of `envoy.type.v3.RateLimitUnit`).
    Fixed(u32, i32),
    /// What a struct of the request's metadata says: `requests_per_unit` and `unit`.
    Metadata(Arc<str>, Vec<Arc<str>>),
}

/// `envoy.filters.http.local_ratelimit`.
#[derive(Debug)]
pub struct LocalRateLimit {
    /// Prefix of its statistics.
    pub stat_prefix: Arc<str>,
    /// Status of a refused request. Default 429.
    pub status: u16,
    /// How many requests ask the buckets. Default none.
    pub enabled: Fraction,
    /// How many of the refused are really refused. Default none.
    pub enforced: Fraction,
    /// Changes to the response that refuses.
    pub response_headers: HeaderOps,
    /// Changes to requests over the limit that are let through.
    pub request_headers_unenforced: HeaderOps,
    /// Whether a refused gRPC request gets RESOURCE_EXHAUSTED instead of UNAVAILABLE.
    pub as_resource_exhausted: bool,
    /// Which rules of routes and virtual hosts it reads.
    pub stage: u32,
    /// When the rules of the virtual host count.
    pub virtual_host_rules: VirtualHostRules,
    /// Its own rules; where there are any, those of routes and virtual hosts are not read.
    pub rules: Vec<RateLimitRule>,
    /// Whether `x-ratelimit-*` headers are added to responses.
    pub headers: bool,
    /// Whether `retry-after` is added to a 429.
    pub retry_after: bool,
    /// What the buckets are like.
    pub buckets: Buckets,
    /// The buckets that all workers share: they live as long as this configuration. `None` where each connection has its own.
    pub limiter: Option<Limiter>,
}

/// When the rate limit rules of a virtual host count beside those of its routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VirtualHostRules {
    /// Where the route has none.
    #[default]
    Override,
    /// Always.
    Include,
    /// Never.
    Ignore,
}

/// What the buckets of a local rate limit are like.
#[derive(Clone, Debug, Default)]
pub struct Buckets {
    /// The bucket of requests without a descriptor of their own; `None` limits nothing.
    pub default: Option<BucketShape>,
    /// Whether the default bucket is asked after the descriptors' too. Default true.
    pub always_ask_default: bool,
    /// The buckets of descriptors, no two for the same.
    pub descriptors: Vec<DescriptorBucket>,
    /// How many buckets a descriptor with open values keeps; at least 1. Default 20.
    pub max_dynamic: u32,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketShape {
    /// Size of the bucket; 0 refuses everything.
    pub max_tokens: u32,
    /// Tokens added in each interval, evenly; at least 1.
    pub tokens_per_fill: u32,
    /// Length of the interval; at least 50 ms unless the bucket refuses everything.
    pub fill_interval: Duration,
}

/// The bucket of a descriptor.
#[derive(Clone, Debug)]
pub struct DescriptorBucket {
    /// Keys and values. An empty value stands for any, and each value has a bucket of its own.
    pub entries: Vec<(Arc<str>, Arc<str>)>,
    /// What the bucket is like.
    pub shape: BucketShape,
    /// Whether an empty bucket refuses nothing and is only counted.
    pub shadow: bool,
}
