//! Route tables.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tulle_base::Provenance;

use super::filter::FilterOverrides;
use super::headers::{HeaderOps, Template};
use super::matcher::{
    CookieMatcher, Fraction, FullRegex, HeaderKey, HeaderMatcher, HeaderName, MetadataMatcher, QueryMatcher,
    RegexSubstitution,
};
use super::metadata::Fields;
use super::rate_limit::RateLimitRule;
use super::retry::RetryPolicy;
use super::tracing::RouteTracing;

/// A route table (`RouteConfiguration`).
#[derive(Clone, Debug)]
pub struct RouteTable {
    /// Its name, which connection managers ask for.
    pub name: Arc<str>,
    /// The virtual hosts, in the order of the configuration.
    pub virtual_hosts: Vec<Arc<VirtualHost>>,
    /// How a host name finds its virtual host.
    pub domains: DomainIndex,
    /// Changes to headers, for every route.
    pub request_headers: HeaderOps,
    /// Changes to headers of responses, for every route.
    pub response_headers: HeaderOps,
    /// Whether route before virtual host before table wins (`most_specific_header_mutations_wins`). By default the
    /// table is applied last and so wins where it overwrites.
    pub most_specific_headers_win: bool,
    /// Headers that are removed from requests from outside.
    pub internal_only_headers: Vec<HeaderName>,
    /// Whether a port in the host is ignored.
    pub ignore_port_in_host: bool,
    /// Whether path parameters (`;a=b`) are ignored by path matchers.
    pub ignore_path_parameters: bool,
    /// Which header names the host instead of `:authority`; `None` for `:authority`.
    pub host_header: Option<HeaderKey>,
    /// Which resource made it.
    pub provenance: Option<Arc<Provenance>>,
}

/// Envoy's domain search: exact names, then suffix wildcards by length, then prefix wildcards by length, then `*`.
///
/// Values are indices into [`RouteTable::virtual_hosts`].
#[derive(Clone, Debug, Default)]
pub struct DomainIndex {
    /// Exact names, lower case.
    pub exact: NameMap,
    /// `*SUFFIX`, longest first: length, then the suffixes of that length.
    pub suffixes: Vec<(usize, NameMap)>,
    /// `PREFIX*`, longest first.
    pub prefixes: Vec<(usize, NameMap)>,
    /// `*`.
    pub default: Option<u32>,
}

/// Names to indices of virtual hosts.
pub type NameMap = HashMap<Box<[u8]>, u32, foldhash::fast::RandomState>;

/// A virtual host.
#[derive(Clone, Debug)]
pub struct VirtualHost {
    /// Its name.
    pub name: Arc<str>,
    /// Its domains as configured.
    pub domains: Vec<Arc<str>>,
    /// The routes; the first that matches wins.
    pub routes: Vec<Arc<Route>>,
    /// Whether plain requests are redirected to https.
    pub require_tls: RequireTls,
    /// Changes to headers, for every route of it.
    pub request_headers: HeaderOps,
    /// Changes to headers of responses, for every route of it.
    pub response_headers: HeaderOps,
    /// Whether `x-envoy-attempt-count` is sent upstream.
    pub attempt_count_in_request: bool,
    /// Whether `x-envoy-attempt-count` is sent to the client.
    pub attempt_count_in_response: bool,
    /// Rate limit rules for its routes.
    pub rate_limits: Vec<RateLimitRule>,
    /// Which resource made it.
    pub provenance: Option<Arc<Provenance>>,
}

/// Whether plain requests are redirected to https (301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequireTls {
    /// No (default).
    None,
    /// Those from outside.
    ExternalOnly,
    /// All.
    All,
}

/// A route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name; may be empty.
    pub name: Arc<str>,
    /// Which requests it takes.
    pub matches: RouteMatch,
    /// What becomes of them.
    pub action: Action,
    /// Changes to headers.
    pub request_headers: HeaderOps,
    /// Changes to headers of responses.
    pub response_headers: HeaderOps,
    /// Changes to filters; those of virtual host and table are in it.
    pub filters: FilterOverrides,
    /// Most bytes of a request that are kept for a retry; `None` for the connection's buffer limit.
    pub buffer_limit: Option<u64>,
    /// Name of the operation in traces (decorator); empty for none.
    pub operation: Arc<str>,
    /// Whether the other side is told that name.
    pub tells_operation: bool,
    /// Sampling and tags that differ from the manager's.
    pub tracing: Option<Arc<RouteTracing>>,
    /// Route metadata for RBAC.
    pub metadata: Option<Arc<super::metadata::Metadata>>,
    /// Which resource and rule made it.
    pub provenance: Option<Arc<Provenance>>,
}

/// Which requests a route takes; every part must agree.
#[derive(Clone, Debug)]
pub struct RouteMatch {
    /// The path.
    pub path: PathMatcher,
    /// Headers; all must match.
    pub headers: Vec<HeaderMatcher>,
    /// Query parameters; all must match.
    pub query: Vec<QueryMatcher>,
    /// Cookies; all must match.
    pub cookies: Vec<CookieMatcher>,
    /// A part of the requests.
    pub fraction: Option<Fraction>,
    /// Only gRPC (`content-type: application/grpc` or `application/grpc+...`).
    pub grpc: bool,
    /// The client's certificate.
    pub tls: Option<TlsMatch>,
    /// Dynamic metadata; all must match.
    pub metadata: Vec<MetadataMatcher>,
}

/// What is asked of the client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsMatch {
    /// Whether one was presented; `None` asks nothing.
    pub presented: Option<bool>,
    /// Whether it was verified; `None` asks nothing.
    pub validated: Option<bool>,
}

/// What is asked of the path, without query.
#[derive(Clone, Debug)]
pub enum PathMatcher {
    /// It begins so (a raw text: `/foo` takes `/foobar`).
    Prefix {
        /// How.
        prefix: Arc<str>,
        /// Whether ASCII case is ignored.
        ignore_case: bool,
    },
    /// It is this.
    Exact {
        /// What.
        path: Arc<str>,
        /// Whether ASCII case is ignored.
        ignore_case: bool,
    },
    /// The whole of it matches.
    Regex(FullRegex),
    /// It is this, or begins with this and a slash.
    SegmentPrefix {
        /// Without trailing slash.
        prefix: Arc<str>,
        /// Whether ASCII case is ignored.
        ignore_case: bool,
    },
    /// A CONNECT request.
    Connect,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// It goes upstream.
    Forward(Box<Forward>),
    /// The client is sent elsewhere.
    Redirect(Box<Redirect>),
    /// It is answered here.
    DirectResponse(Box<DirectResponse>),
    /// It is not forwarded (`NonForwardingAction`): answered with 404 here.
    NotForwarded,
}

/// How a request goes upstream.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Which cluster.
    pub cluster: ClusterChoice,
    /// Status when the cluster is not known. Default 503.
    pub cluster_not_found_status: u16,
    /// How the host changes.
    pub host_rewrite: HostRewrite,
    /// Whether the old host goes into `x-forwarded-host`.
    pub append_x_forwarded_host: bool,
    /// How the path changes.
    pub path_rewrite: PathRewrite,
    /// Time from the end of the request to the end of the response; `None` for no limit. Default 15 s.
    pub timeout: Option<Duration>,
    /// Longest silence of the stream; [`IdleTimeout::Inherit`] takes the connection manager's.
    pub idle_timeout: IdleTimeout,
    /// Longest life of the stream, and what `grpc-timeout` may say.
    pub max_stream_duration: StreamDuration,
    /// Retries; `None` for none beyond what request headers ask for.
    pub retry: Option<Arc<RetryPolicy>>,
    /// Copies of the request.
    pub mirrors: Vec<Mirror>,
    /// What decides the endpoint with a hashing balancer.
    pub hash_policies: Vec<HashPolicy>,
    /// Upgrades that differ from the connection manager's: kind (lower case) and whether it is on.
    pub upgrades: Vec<(Arc<str>, bool)>,
    /// CONNECT is ended here and the bytes go upstream (`connect_config`).
    pub connect_terminate: bool,
    /// Endpoints must have this `envoy.lb` metadata; kept for subsets.
    pub metadata_match: Fields,
    /// Which circuit breakers count it.
    pub priority: Priority,
    /// Redirects of the upstream that are followed here.
    pub internal_redirect: Option<InternalRedirect>,
    /// Rate limit rules.
    pub rate_limits: Vec<RateLimitRule>,
    /// Whether the virtual host's rate limit rules count beside its own.
    pub include_virtual_host_rate_limits: bool,
}

/// Which circuit breakers count a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Default.
    #[default]
    Default,
    /// High.
    High,
}

/// Longest silence of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleTimeout {
    /// The connection manager's `stream_idle`.
    Inherit,
    /// No limit.
    Off,
    /// This.
    After(Duration),
}

/// Longest life of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamDuration {
    /// For every request; `None` takes the connection manager's.
    pub max: Option<Duration>,
    /// Whether the connection manager's limit is lifted (`max_stream_duration: 0s`).
    pub unlimited: bool,
    /// What a request may ask for with `grpc-timeout`.
    pub grpc: GrpcTimeout,
    /// Whether `max_stream_duration` is there: the route's timeout does not hold then. Without it, `grpc` is the old
    /// `max_grpc_timeout`: gRPC requests have it instead of the route's timeout.
    pub replaces_timeout: bool,
    /// Taken off what `grpc-timeout` asks for.
    pub grpc_offset: Duration,
}

/// What a request may ask for with `grpc-timeout`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrpcTimeout {
    /// The header is not looked at.
    #[default]
    Ignore,
    /// It replaces the timeout, up to this.
    UpTo(Duration),
    /// It replaces the timeout (`0s`).
    Any,
}

/// Which cluster.
#[derive(Clone, Debug)]
pub enum ClusterChoice {
    /// This.
    Single(Arc<str>),
    /// One of these, by weight.
    Weighted(WeightedClusters),
    /// The one that a request header names.
    Header(HeaderKey),
}

/// Clusters by weight.
#[derive(Clone, Debug)]
pub struct WeightedClusters {
    /// The clusters.
    pub clusters: Vec<WeightedCluster>,
    /// Sum of the weights; above zero.
    pub total: u64,
    /// A header whose number decides instead of chance.
    pub random_header: Option<HeaderKey>,
    /// Whether the route's hash policies decide instead of chance.
    pub use_hash_policy: bool,
}

/// One of several clusters.
#[derive(Clone, Debug)]
pub struct WeightedCluster {
    /// Which.
    pub cluster: ClusterName,
    /// Its weight.
    pub weight: u32,
    /// Changes to headers.
    pub request_headers: HeaderOps,
    /// Changes to headers of responses.
    pub response_headers: HeaderOps,
    /// The host, instead of the route's rewrite; empty for none.
    pub host_rewrite: Arc<str>,
    /// Changes to filters; those of the route are in it.
    pub filters: FilterOverrides,
    /// Endpoints must have this `envoy.lb` metadata.
    pub metadata_match: Fields,
}

/// The name of a cluster, or where it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterName {
    /// This.
    Name(Arc<str>),
    /// What a request header says.
    Header(HeaderKey),
}

/// How the host changes.
#[derive(Clone, Debug)]
pub enum HostRewrite {
    /// Not at all.
    None,
    /// To this.
    Literal(Arc<str>),
    /// To the endpoint's host name, if it has one (`auto_host_rewrite`).
    FromEndpoint,
    /// To what a request header says, if it is there.
    FromHeader(HeaderKey),
    /// To what a regular expression makes of the path.
    FromPath(RegexSubstitution),
    /// To what a template makes.
    Template(Template),
}

/// How the path changes; the query stays.
#[derive(Clone, Debug)]
pub enum PathRewrite {
    /// Not at all.
    None,
    /// What the matcher took becomes this.
    Prefix(Arc<str>),
    /// Every match of a regular expression becomes something else.
    Regex(RegexSubstitution),
    /// The whole path becomes this.
    Full(Template),
}

/// A copy of the request, whose answer is thrown away.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Where to.
    pub cluster: ClusterName,
    /// How many requests.
    pub fraction: Fraction,
    /// Whether the host gets `-shadow`. Default true.
    pub shadow_suffix: bool,
    /// The host; empty keeps it.
    pub host_rewrite: Arc<str>,
    /// Changes to headers.
    pub headers: HeaderOps,
}

/// What decides the endpoint with a hashing balancer.
#[derive(Clone, Debug)]
pub struct HashPolicy {
    /// Where the hash comes from.
    pub source: HashSource,
    /// Whether the policies after it are left out if it made a hash.
    pub terminal: bool,
}

/// Where a hash comes from.
#[derive(Clone, Debug)]
pub enum HashSource {
    /// A request header, perhaps rewritten.
    Header(HeaderKey, Option<RegexSubstitution>),
    /// A cookie; made if `ttl` is given.
    Cookie {
        /// Its name.
        name: Arc<str>,
        /// Its path; empty for none.
        path: Arc<str>,
        /// Its life; zero for a session cookie; `None` makes none.
        ttl: Option<Duration>,
        /// Further attributes.
        attributes: Vec<(Arc<str>, Arc<str>)>,
    },
    /// The client's address.
    SourceIp,
    /// A query parameter.
    Query(Arc<str>),
}

/// Redirects of the upstream that are followed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalRedirect {
    /// How many, one after the other. Default 1.
    pub max: u32,
    /// Which status codes. Default 302.
    pub codes: Vec<u16>,
    /// Whether the scheme may change.
    pub cross_scheme: bool,
}

/// The client is sent elsewhere.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The scheme; empty keeps it.
    pub scheme: Arc<str>,
    /// The host; empty keeps it.
    pub host: Arc<str>,
    /// The port; 0 keeps it (a port that is the scheme's own is left out when the scheme changes).
    pub port: u16,
    /// How the path changes.
    pub path: RedirectPath,
    /// Whether the query is left out.
    pub strip_query: bool,
}

/// How the path of a redirect changes.
#[derive(Clone, Debug)]
pub enum RedirectPath {
    /// Not at all.
    Keep,
    /// To this; with a `?` in it, the request's query is left out.
    Full(Template),
    /// What the matcher took becomes this.
    Prefix(Arc<str>),
    /// Every match of a regular expression becomes something else.
    Regex(RegexSubstitution),
}

/// It is answered here.
#[derive(Clone, Debug)]
pub struct DirectResponse {
    /// 200 to 599.
    pub status: u16,
    /// The body.
    pub body: Arc<[u8]>,
}
