//! `GRPCRoute`: how gRPC calls are routed.

use super::common::{GatewayDefaultScope, LocalObjectReference, ParentReference, SessionPersistence};
use super::filter::{HttpHeaderFilter, RequestMirrorFilter};
use super::http_route::{HttpHeaderMatch, ValueMatchType};
use crate::schema::{enumeration, record};

record! {
    /// How gRPC calls are routed.
    pub struct GrpcRouteSpec {
        /// Gateways or services that the rules are for.
        pub parent_refs: Vec<ParentReference> = "parentRefs",
        /// Hosts that the rules are for, with leading wildcard; the listener's by default.
        pub hostnames: Vec<String> = "hostnames",
        /// Rules; the most specific match wins.
        pub rules: Vec<GrpcRouteRule> = "rules",
        /// Whether it belongs to the default gateways too.
        pub use_default_gateways: Option<GatewayDefaultScope> = "useDefaultGateways"
            => no_effect("there are no default gateways: name Gateways in parentRefs"),
    }
}

record! {
    /// A rule.
    pub struct GrpcRouteRule {
        /// Name, unique in the route.
        pub name: String = "name",
        /// Conditions, one of which must match; none match everything.
        pub matches: Vec<GrpcRouteMatch> = "matches",
        /// What is done with calls.
        pub filters: Vec<GrpcRouteFilter> = "filters",
        /// Weighted destinations; none answer UNAVAILABLE.
        pub backend_refs: Vec<GrpcBackendRef> = "backendRefs",
        /// Sends the calls of a session to the same place.
        pub session_persistence: Option<SessionPersistence> = "sessionPersistence",
    }
}

record! {
    /// Conditions on a call, all of which must hold.
    pub struct GrpcRouteMatch {
        /// Service and method.
        pub method: Option<GrpcMethodMatch> = "method",
        /// Headers.
        pub headers: Vec<HttpHeaderMatch> = "headers" => keyed(&["name"]),
    }
}

record! {
    /// A condition on service and method, one of which must be given.
    pub struct GrpcMethodMatch {
        /// How they are compared; Exact by default.
        pub match_type: Option<ValueMatchType> = "type",
        /// The service with its package; any by default.
        pub service: String = "service",
        /// The method; any by default.
        pub method: String = "method",
    }
}

record! {
    /// What is done with a call: the field that `type` names, and no other.
    pub struct GrpcRouteFilter {
        /// Which one.
        pub filter_type: Option<GrpcRouteFilterType> = "type" => required,
        /// Changes headers of the request.
        pub request_header_modifier: Option<HttpHeaderFilter> = "requestHeaderModifier",
        /// Changes headers of the response.
        pub response_header_modifier: Option<HttpHeaderFilter> = "responseHeaderModifier",
        /// Sends a copy somewhere else.
        pub request_mirror: Option<RequestMirrorFilter> = "requestMirror",
        /// A filter of the implementation.
        pub extension_ref: Option<LocalObjectReference> = "extensionRef",
    }
}

enumeration! {
    /// Filters of gRPC routes.
    pub enum GrpcRouteFilterType {
        /// Changes headers of the response.
        ResponseHeaderModifier = "ResponseHeaderModifier",
        /// Changes headers of the request.
        RequestHeaderModifier = "RequestHeaderModifier",
        /// Sends a copy somewhere else.
        RequestMirror = "RequestMirror",
        /// A filter of the implementation.
        ExtensionRef = "ExtensionRef",
    }
}

record! {
    /// A weighted destination with filters of its own.
    pub struct GrpcBackendRef {
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
        /// What is done with calls that go there.
        pub filters: Vec<GrpcRouteFilter> = "filters",
    }
}
