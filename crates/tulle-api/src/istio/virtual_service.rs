//! `VirtualService` (`networking.istio.io`): how requests for a host are routed.

use std::collections::BTreeMap;

use tulle_base::Labels;

use super::common::{Destination, Headers, Percent, StringMatch};
use crate::schema::{enumeration, oneof, record};
use crate::value::WrittenDuration;

record! {
    /// How requests for a host are routed.
    pub struct VirtualService {
        /// Hosts that the rules are for; short names are completed with the resource's namespace, a leading `*` is a
        /// wildcard. Empty only for a delegate.
        pub hosts: Vec<String> = "hosts",
        /// Gateways that the rules are for, as `name` or `namespace/name`; `mesh` (the default) stands for all sidecars.
        pub gateways: Vec<String> = "gateways",
        /// Rules for HTTP traffic; the first that matches wins.
        pub http: Vec<HttpRoute> = "http",
        /// Rules for TLS traffic that is not terminated; the first that matches wins.
        pub tls: Vec<TlsRoute> = "tls",
        /// Rules for other TCP traffic; the first that matches wins.
        pub tcp: Vec<TcpRoute> = "tcp",
        /// Namespaces that see this: `*` (the default), `.` for its own, or names.
        pub export_to: Vec<String> = "exportTo",
        /// Retries of every http route that sets none.
        pub retries: Option<HttpRetry> = "retries"
            => not_portable("read as the default of every http route that sets no retries; Istio ignores it"),
        /// Timeout of every http route that sets none.
        pub timeout: Option<WrittenDuration> = "timeout"
            => not_portable("read as the default of every http route that sets no timeout; Istio ignores it"),
    }
}

record! {
    /// A rule for HTTP traffic.
    pub struct HttpRoute {
        /// Name for access logs and metrics.
        pub name: String = "name",
        /// Conditions, one of which must match; none match everything.
        pub matches: Vec<HttpMatchRequest> = "match",
        /// Weighted destinations.
        pub route: Vec<HttpRouteDestination> = "route",
        /// Answers with a redirect instead of forwarding.
        pub redirect: Option<HttpRedirect> = "redirect",
        /// Answers with a fixed response instead of forwarding.
        pub direct_response: Option<HttpDirectResponse> = "directResponse",
        /// Another VirtualService that holds the rules for what matches here.
        pub delegate: Option<Delegate> = "delegate",
        /// Changes path or authority before forwarding.
        pub rewrite: Option<HttpRewrite> = "rewrite",
        /// Time until the whole response must be there; none by default, 0s disables.
        pub timeout: Option<WrittenDuration> = "timeout",
        /// Retries; by default twice on connection problems.
        pub retries: Option<HttpRetry> = "retries",
        /// Faults to inject. Istio applies no timeout or retry to a route with faults.
        pub fault: Option<HttpFaultInjection> = "fault",
        /// Sends a copy of each request there as well.
        pub mirror: Option<Destination> = "mirror",
        /// Sends copies to several places.
        pub mirrors: Vec<HttpMirrorPolicy> = "mirrors",
        /// Share of requests to mirror, as a whole number.
        pub mirror_percent: Option<u32> = "mirrorPercent"
            => alias("mirror_percent") => deprecated("write mirrorPercentage.value"),
        /// Share of requests to mirror; all by default.
        pub mirror_percentage: Option<Percent> = "mirrorPercentage",
        /// Cross-origin resource sharing.
        pub cors_policy: Option<CorsPolicy> = "corsPolicy",
        /// Changes to headers.
        pub headers: Option<Headers> = "headers",
    }
}

record! {
    /// Conditions on a request, all of which must hold.
    pub struct HttpMatchRequest {
        /// Name, appended to the route's name.
        pub name: String = "name",
        /// Path, with query removed.
        pub uri: Option<StringMatch> = "uri",
        /// URI scheme.
        pub scheme: Option<StringMatch> = "scheme",
        /// Method.
        pub method: Option<StringMatch> = "method",
        /// Authority (Host).
        pub authority: Option<StringMatch> = "authority",
        /// Headers, by lower-case name; an empty match asks only that the header is there.
        pub headers: BTreeMap<String, StringMatch> = "headers",
        /// Port that the client addressed.
        pub port: Option<u32> = "port",
        /// Labels of the client's workload; needs the `mesh` gateway.
        pub source_labels: Labels = "sourceLabels",
        /// Gateways that this match is for; replaces the list at the top.
        pub gateways: Vec<String> = "gateways",
        /// Query parameters; an empty match asks only that the parameter is there.
        pub query_params: BTreeMap<String, StringMatch> = "queryParams",
        /// Compares `uri` without regard to case; for exact and prefix only.
        pub ignore_uri_case: Option<bool> = "ignoreUriCase",
        /// Headers that must not match.
        pub without_headers: BTreeMap<String, StringMatch> = "withoutHeaders",
        /// Namespace of the client's workload; needs the `mesh` gateway.
        pub source_namespace: String = "sourceNamespace",
        /// Prefix for route metrics.
        pub stat_prefix: String = "statPrefix",
    }
}

record! {
    /// A weighted destination of HTTP traffic.
    pub struct HttpRouteDestination {
        /// Where.
        pub destination: Destination = "destination",
        /// Its share of the sum of all weights; a sole destination gets everything.
        pub weight: Option<i32> = "weight",
        /// Changes to headers for this destination.
        pub headers: Option<Headers> = "headers",
    }
}

record! {
    /// A weighted destination of TLS or TCP traffic.
    pub struct RouteDestination {
        /// Where.
        pub destination: Destination = "destination",
        /// Its share of the sum of all weights; a sole destination gets everything.
        pub weight: Option<i32> = "weight",
    }
}

record! {
    /// A redirect.
    pub struct HttpRedirect {
        /// New path; excludes `prefixRewrite`.
        pub uri: String = "uri",
        /// New authority.
        pub authority: String = "authority",
        /// New scheme; the original's by default.
        pub scheme: String = "scheme",
        /// Status code; 301 by default.
        pub redirect_code: Option<u32> = "redirectCode",
        /// Replaces the matched prefix; excludes `uri`.
        pub prefix_rewrite: String = "prefixRewrite",
    }
    oneof {
        /// New port.
        pub redirect_port: RedirectPort,
    }
}

oneof! {
    /// The port that a redirect leads to.
    pub enum RedirectPort {
        /// This port.
        Port(u32) = "port",
        /// A port that follows from the request.
        DerivePort(DerivePort) = "derivePort",
    }
}

enumeration! {
    /// How a redirect derives its port.
    pub enum DerivePort {
        /// 80 for HTTP, 443 for HTTPS.
        FromProtocolDefault = "FROM_PROTOCOL_DEFAULT",
        /// The port of the request.
        FromRequestPort = "FROM_REQUEST_PORT",
    }
}

record! {
    /// A fixed response.
    pub struct HttpDirectResponse {
        /// Status code.
        pub status: u32 = "status",
        /// Body.
        pub body: Option<HttpBody> = "body",
    }
}

record! {
    /// The body of a fixed response.
    pub struct HttpBody {
    }
    oneof {
        /// The content.
        pub specifier: HttpBodySpecifier,
    }
}

oneof! {
    /// The content of a body.
    pub enum HttpBodySpecifier {
        /// As text.
        String(String) = "string",
        /// As base64.
        Bytes(crate::value::Bytes) = "bytes",
    }
}

record! {
    /// A reference to a delegate VirtualService.
    pub struct Delegate {
        /// Its name.
        pub name: String = "name",
        /// Its namespace; the root's by default.
        pub namespace: String = "namespace",
    }
}

record! {
    /// Changes path and authority.
    pub struct HttpRewrite {
        /// New path; with a prefix match it replaces the prefix.
        pub uri: String = "uri",
        /// New authority.
        pub authority: String = "authority",
        /// Rewrites the path by regular expression.
        pub uri_regex_rewrite: Option<RegexRewrite> = "uriRegexRewrite",
    }
}

record! {
    /// A rewrite by regular expression.
    pub struct RegexRewrite {
        /// Expression (RE2).
        pub pattern: String = "match",
        /// Replacement; `\1` stands for the first group.
        pub rewrite: String = "rewrite",
    }
}

record! {
    /// When and how often a request is tried again.
    pub struct HttpRetry {
        /// Retries after the first try; 0 disables.
        pub attempts: Option<i32> = "attempts",
        /// Timeout of each try, at least 1ms; the route's timeout by default.
        pub per_try_timeout: Option<WrittenDuration> = "perTryTimeout",
        /// Envoy retry conditions and status codes, separated by commas; by default
        /// `connect-failure,refused-stream,unavailable,cancelled`.
        pub retry_on: String = "retryOn",
        /// Whether retries may go to other localities.
        pub retry_remote_localities: Option<bool> = "retryRemoteLocalities",
        /// Whether retries avoid hosts already tried; true by default.
        pub retry_ignore_previous_hosts: Option<bool> = "retryIgnorePreviousHosts",
        /// Base of the exponential back-off; 25ms by default.
        pub backoff: Option<WrittenDuration> = "backoff",
    }
}

record! {
    /// Faults to inject.
    pub struct HttpFaultInjection {
        /// Delays.
        pub delay: Option<FaultDelay> = "delay",
        /// Aborts.
        pub abort: Option<FaultAbort> = "abort",
    }
}

record! {
    /// Delays a share of requests.
    pub struct FaultDelay {
        /// Share as a whole number, 0 to 100.
        pub percent: Option<i32> = "percent" => deprecated("write percentage.value"),
        /// Share of requests; unset delays none.
        pub percentage: Option<Percent> = "percentage",
    }
    oneof {
        /// How long.
        pub http_delay_type: FaultDelayType,
    }
}

oneof! {
    /// How long a request is delayed.
    pub enum FaultDelayType {
        /// A fixed time, at least 1ms.
        FixedDelay(WrittenDuration) = "fixedDelay",
        /// A mean time; Istio has never built it.
        ExponentialDelay(WrittenDuration) = "exponentialDelay" => no_effect("Istio has never built it"),
    }
}

record! {
    /// Aborts a share of requests.
    pub struct FaultAbort {
        /// Share of requests; unset aborts none.
        pub percentage: Option<Percent> = "percentage",
    }
    oneof {
        /// With what.
        pub error_type: FaultAbortType,
    }
}

oneof! {
    /// What an aborted request is answered with.
    pub enum FaultAbortType {
        /// An HTTP status, 200 to 599.
        HttpStatus(i32) = "httpStatus",
        /// A gRPC status by name, such as UNAVAILABLE.
        GrpcStatus(String) = "grpcStatus",
        /// An HTTP/2 error; Istio has never built it.
        Http2Error(String) = "http2Error" => no_effect("Istio has never built it"),
    }
}

record! {
    /// One of several mirrors.
    pub struct HttpMirrorPolicy {
        /// Where copies go.
        pub destination: Destination = "destination",
        /// Share of requests; all by default.
        pub percentage: Option<Percent> = "percentage",
    }
}

record! {
    /// Cross-origin resource sharing.
    pub struct CorsPolicy {
        /// Exact origins.
        pub allow_origin: Vec<String> = "allowOrigin" => deprecated("write allowOrigins"),
        /// Allowed origins.
        pub allow_origins: Vec<StringMatch> = "allowOrigins",
        /// Allowed methods.
        pub allow_methods: Vec<String> = "allowMethods",
        /// Allowed request headers.
        pub allow_headers: Vec<String> = "allowHeaders",
        /// Response headers that scripts may read.
        pub expose_headers: Vec<String> = "exposeHeaders",
        /// How long a preflight may be cached.
        pub max_age: Option<WrittenDuration> = "maxAge",
        /// Whether credentials may be sent.
        pub allow_credentials: Option<bool> = "allowCredentials",
        /// What becomes of preflights from other origins.
        pub unmatched_preflights: Option<UnmatchedPreflights> = "unmatchedPreflights",
    }
}

enumeration! {
    /// What becomes of preflight requests that match no allowed origin.
    pub enum UnmatchedPreflights {
        /// As FORWARD.
        Unspecified = "UNSPECIFIED",
        /// They are forwarded.
        Forward = "FORWARD",
        /// They are not forwarded.
        Ignore = "IGNORE",
    }
}

record! {
    /// A rule for TLS traffic that is not terminated.
    pub struct TlsRoute {
        /// Conditions, one of which must match.
        pub matches: Vec<TlsMatchAttributes> = "match" => required,
        /// Weighted destinations.
        pub route: Vec<RouteDestination> = "route",
    }
}

record! {
    /// Conditions on a TLS connection, all of which must hold.
    pub struct TlsMatchAttributes {
        /// Server names, each covered by a host of the VirtualService.
        pub sni_hosts: Vec<String> = "sniHosts" => required,
        /// Destination addresses in CIDR form.
        pub destination_subnets: Vec<String> = "destinationSubnets",
        /// Port that the client addressed.
        pub port: Option<u32> = "port",
        /// Labels of the client's workload.
        pub source_labels: Labels = "sourceLabels",
        /// Gateways that this match is for.
        pub gateways: Vec<String> = "gateways",
        /// Namespace of the client's workload.
        pub source_namespace: String = "sourceNamespace",
    }
}

record! {
    /// A rule for TCP traffic.
    pub struct TcpRoute {
        /// Conditions, one of which must match; none match everything.
        pub matches: Vec<L4MatchAttributes> = "match",
        /// Weighted destinations.
        pub route: Vec<RouteDestination> = "route",
    }
}

record! {
    /// Conditions on a connection, all of which must hold.
    pub struct L4MatchAttributes {
        /// Destination addresses in CIDR form.
        pub destination_subnets: Vec<String> = "destinationSubnets",
        /// Port that the client addressed.
        pub port: Option<u32> = "port",
        /// Address of the client; Istio has never built it.
        pub source_subnet: String = "sourceSubnet" => no_effect("Istio has never built it"),
        /// Labels of the client's workload.
        pub source_labels: Labels = "sourceLabels",
        /// Gateways that this match is for.
        pub gateways: Vec<String> = "gateways",
        /// Namespace of the client's workload.
        pub source_namespace: String = "sourceNamespace",
    }
}
