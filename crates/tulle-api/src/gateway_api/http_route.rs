//! `HTTPRoute`: how HTTP requests are routed.

use super::common::{
    BackendObjectReference, GatewayDefaultScope, LocalObjectReference, ParentReference, SessionPersistence,
};
use super::filter::{HttpHeaderFilter, RequestMirrorFilter};
use crate::schema::{enumeration, record};
use crate::value::WrittenDuration;

record! {
    /// How HTTP requests are routed.
    pub struct HttpRouteSpec {
        /// Gateways or services that the rules are for.
        pub parent_refs: Vec<ParentReference> = "parentRefs",
        /// Hosts that the rules are for, with leading wildcard; the listener's by default.
        pub hostnames: Vec<String> = "hostnames",
        /// Rules; the most specific match wins.
        pub rules: Vec<HttpRouteRule> = "rules",
        /// Whether it belongs to the default gateways too.
        pub use_default_gateways: Option<GatewayDefaultScope> = "useDefaultGateways"
            => no_effect("there are no default gateways: name Gateways in parentRefs"),
    }
}

record! {
    /// A rule.
    pub struct HttpRouteRule {
        /// Name, unique in the route.
        pub name: String = "name",
        /// Conditions, one of which must match; every path by default.
        pub matches: Vec<HttpRouteMatch> = "matches",
        /// What is done with requests.
        pub filters: Vec<HttpRouteFilter> = "filters",
        /// Weighted destinations; none answer with 500.
        pub backend_refs: Vec<HttpBackendRef> = "backendRefs",
        /// Time limits.
        pub timeouts: Option<HttpRouteTimeouts> = "timeouts",
        /// When and how often a request is tried again.
        pub retry: Option<HttpRouteRetry> = "retry",
        /// Sends the requests of a session to the same place.
        pub session_persistence: Option<SessionPersistence> = "sessionPersistence",
    }
}

record! {
    /// Conditions on a request, all of which must hold.
    pub struct HttpRouteMatch {
        /// Path; every path by default.
        pub path: Option<HttpPathMatch> = "path",
        /// Headers.
        pub headers: Vec<HttpHeaderMatch> = "headers" => keyed(&["name"]),
        /// Query parameters.
        pub query_params: Vec<HttpQueryParamMatch> = "queryParams" => keyed(&["name"]),
        /// Method.
        pub method: Option<HttpRouteMethod> = "method",
    }
}

record! {
    /// A condition on the path.
    pub struct HttpPathMatch {
        /// How it is compared; PathPrefix by default.
        pub match_type: Option<PathMatchType> = "type",
        /// The path; `/` by default.
        pub value: String = "value",
    }
}

enumeration! {
    /// How a path is compared.
    pub enum PathMatchType {
        /// The whole path.
        Exact = "Exact",
        /// Whole segments at the beginning of the path.
        PathPrefix = "PathPrefix",
        /// A regular expression for the whole path.
        RegularExpression = "RegularExpression",
    }
}

record! {
    /// A condition on a header.
    pub struct HttpHeaderMatch {
        /// How it is compared; Exact by default.
        pub match_type: Option<ValueMatchType> = "type",
        /// Name, without regard to case.
        pub name: String = "name" => required,
        /// Value.
        pub value: String = "value" => required,
    }
}

enumeration! {
    /// How a value is compared.
    pub enum ValueMatchType {
        /// The whole value.
        Exact = "Exact",
        /// A regular expression for the whole value.
        RegularExpression = "RegularExpression",
    }
}

record! {
    /// A condition on a query parameter.
    pub struct HttpQueryParamMatch {
        /// How it is compared; Exact by default.
        pub match_type: Option<ValueMatchType> = "type",
        /// Name.
        pub name: String = "name" => required,
        /// Value.
        pub value: String = "value" => required,
    }
}

enumeration! {
    /// Methods of HTTP.
    pub enum HttpRouteMethod {
        /// GET.
        Get = "GET",
        /// HEAD.
        Head = "HEAD",
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
        /// DELETE.
        Delete = "DELETE",
        /// CONNECT.
        Connect = "CONNECT",
        /// OPTIONS.
        Options = "OPTIONS",
        /// TRACE.
        Trace = "TRACE",
        /// PATCH.
        Patch = "PATCH",
    }
}

record! {
    /// What is done with a request: the field that `type` names, and no other.
    pub struct HttpRouteFilter {
        /// Which one.
        pub filter_type: Option<HttpRouteFilterType> = "type" => required,
        /// Changes headers of the request.
        pub request_header_modifier: Option<HttpHeaderFilter> = "requestHeaderModifier",
        /// Changes headers of the response.
        pub response_header_modifier: Option<HttpHeaderFilter> = "responseHeaderModifier",
        /// Sends a copy somewhere else.
        pub request_mirror: Option<RequestMirrorFilter> = "requestMirror",
        /// Answers with a redirect.
        pub request_redirect: Option<RequestRedirectFilter> = "requestRedirect",
        /// Changes host and path.
        pub url_rewrite: Option<UrlRewriteFilter> = "urlRewrite",
        /// Cross-origin resource sharing.
        pub cors: Option<CorsFilter> = "cors",
        /// Asks somebody else whether the request may pass.
        pub external_auth: Option<ExternalAuthFilter> = "externalAuth",
        /// A filter of the implementation.
        pub extension_ref: Option<LocalObjectReference> = "extensionRef",
    }
}

enumeration! {
    /// Filters of HTTP routes.
    pub enum HttpRouteFilterType {
        /// Changes headers of the request.
        RequestHeaderModifier = "RequestHeaderModifier",
        /// Changes headers of the response.
        ResponseHeaderModifier = "ResponseHeaderModifier",
        /// Sends a copy somewhere else.
        RequestMirror = "RequestMirror",
        /// Answers with a redirect.
        RequestRedirect = "RequestRedirect",
        /// Changes host and path.
        UrlRewrite = "URLRewrite",
        /// A filter of the implementation.
        ExtensionRef = "ExtensionRef",
        /// Cross-origin resource sharing.
        Cors = "CORS",
        /// Asks somebody else whether the request may pass.
        ExternalAuth = "ExternalAuth",
    }
}

record! {
    /// A redirect.
    pub struct RequestRedirectFilter {
        /// New scheme: http or https; the request's by default.
        pub scheme: String = "scheme",
        /// New host; the request's by default.
        pub hostname: String = "hostname",
        /// New path; the request's by default.
        pub path: Option<HttpPathModifier> = "path",
        /// New port; that of the scheme, or the listener's.
        pub port: Option<i32> = "port",
        /// Status code: 301, 302 (default), 303, 307 or 308.
        pub status_code: Option<i32> = "statusCode",
    }
}

record! {
    /// A change of the path: the field that `type` names, and no other.
    pub struct HttpPathModifier {
        /// Which one.
        pub modifier_type: Option<HttpPathModifierType> = "type" => required,
        /// The whole new path.
        pub replace_full_path: Option<String> = "replaceFullPath",
        /// What takes the place of the matched prefix.
        pub replace_prefix_match: Option<String> = "replacePrefixMatch",
    }
}

enumeration! {
    /// How a path is changed.
    pub enum HttpPathModifierType {
        /// As a whole.
        ReplaceFullPath = "ReplaceFullPath",
        /// In its matched prefix.
        ReplacePrefixMatch = "ReplacePrefixMatch",
    }
}

record! {
    /// Changes host and path before forwarding.
    pub struct UrlRewriteFilter {
        /// New host.
        pub hostname: String = "hostname",
        /// New path.
        pub path: Option<HttpPathModifier> = "path",
    }
}

record! {
    /// Cross-origin resource sharing.
    pub struct CorsFilter {
        /// Allowed origins, `*` for all.
        pub allow_origins: Vec<String> = "allowOrigins" => set,
        /// Whether credentials may be sent.
        pub allow_credentials: Option<bool> = "allowCredentials",
        /// Allowed methods, `*` for all.
        pub allow_methods: Vec<String> = "allowMethods" => set,
        /// Allowed request headers, `*` for all.
        pub allow_headers: Vec<String> = "allowHeaders" => set,
        /// Response headers that scripts may read.
        pub expose_headers: Vec<String> = "exposeHeaders" => set,
        /// Seconds that a preflight may be cached, 1 or more; 5 by default.
        pub max_age: Option<i32> = "maxAge",
    }
}

record! {
    /// Asks somebody else whether a request may pass.
    pub struct ExternalAuthFilter {
        /// How it is asked.
        pub protocol: Option<ExternalAuthProtocol> = "protocol" => required,
        /// Who is asked.
        pub backend_ref: BackendObjectReference = "backendRef",
        /// Details of the question over gRPC.
        pub grpc: Option<GrpcAuthConfig> = "grpc",
        /// Details of the question over HTTP.
        pub http: Option<HttpAuthConfig> = "http",
        /// Whether the body is sent too.
        pub forward_body: Option<ForwardBodyConfig> = "forwardBody",
    }
}

enumeration! {
    /// How an authorization service is asked.
    pub enum ExternalAuthProtocol {
        /// By Envoy's ext_authz over gRPC.
        Grpc = "GRPC",
        /// By an HTTP request.
        Http = "HTTP",
    }
}

record! {
    /// A question over gRPC.
    pub struct GrpcAuthConfig {
        /// Request headers that are sent along.
        pub allowed_headers: Vec<String> = "allowedHeaders",
    }
}

record! {
    /// A question over HTTP.
    pub struct HttpAuthConfig {
        /// Put before the request's path.
        pub path: String = "path",
        /// Request headers that are sent along.
        pub allowed_headers: Vec<String> = "allowedHeaders",
        /// Headers of the answer that are added to the request.
        pub allowed_response_headers: Vec<String> = "allowedResponseHeaders",
    }
}

record! {
    /// How much of a body is sent along.
    pub struct ForwardBodyConfig {
        /// Most bytes; 0 for none.
        pub max_size: Option<u16> = "maxSize",
    }
}

record! {
    /// A weighted destination with filters of its own.
    pub struct HttpBackendRef {
        /// API group; the core group by default.
        pub group: Option<String> = "group",
        /// Kind; Service by default.
        pub kind: String = "kind",
        /// Name.
        pub name: String = "name" => required,
        /// Namespace; the route's by default. Another one needs a ReferenceGrant there.
        pub namespace: String = "namespace",
        /// Port, 1 to 65535; required for a Service.
        pub port: Option<i32> = "port",
        /// Its share of the sum of all weights, 0 to 1000000; 1 by default.
        pub weight: Option<i32> = "weight",
        /// What is done with requests that go there.
        pub filters: Vec<HttpRouteFilter> = "filters",
    }
}

record! {
    /// Time limits.
    pub struct HttpRouteTimeouts {
        /// For the whole response; none by default, 0s disables.
        pub request: Option<WrittenDuration> = "request",
        /// For each try.
        pub backend_request: Option<WrittenDuration> = "backendRequest",
    }
}

record! {
    /// When and how often a request is tried again.
    pub struct HttpRouteRetry {
        /// Status codes to retry on, 400 to 599.
        pub codes: Vec<i32> = "codes",
        /// Retries after the first try, 1 or more.
        pub attempts: Option<i32> = "attempts",
        /// Time before a retry.
        pub backoff: Option<WrittenDuration> = "backoff",
    }
}
