//! `TLSRoute`, `TCPRoute` and `UDPRoute`: how connections and datagrams are routed.

use super::common::{BackendRef, GatewayDefaultScope, ParentReference};
use crate::schema::record;

record! {
    /// How TLS connections are routed, by the name that the client asks for.
    pub struct TlsRouteSpec {
        /// Gateways or services that the rules are for.
        pub parent_refs: Vec<ParentReference> = "parentRefs",
        /// Server names, with leading wildcard.
        pub hostnames: Vec<String> = "hostnames" => required,
        /// The rule.
        pub rules: Vec<L4RouteRule> = "rules" => required,
        /// Whether it belongs to the default gateways too.
        pub use_default_gateways: Option<GatewayDefaultScope> = "useDefaultGateways"
            => no_effect("there are no default gateways: name Gateways in parentRefs"),
    }
}

record! {
    /// How TCP connections are routed.
    pub struct TcpRouteSpec {
        /// Gateways or services that the rules are for.
        pub parent_refs: Vec<ParentReference> = "parentRefs",
        /// The rule.
        pub rules: Vec<L4RouteRule> = "rules" => required,
        /// Whether it belongs to the default gateways too.
        pub use_default_gateways: Option<GatewayDefaultScope> = "useDefaultGateways"
            => no_effect("there are no default gateways: name Gateways in parentRefs"),
    }
}

record! {
    /// How UDP datagrams are routed.
    pub struct UdpRouteSpec {
        /// Gateways or services that the rules are for.
        pub parent_refs: Vec<ParentReference> = "parentRefs",
        /// The rule.
        pub rules: Vec<L4RouteRule> = "rules" => required,
        /// Whether it belongs to the default gateways too.
        pub use_default_gateways: Option<GatewayDefaultScope> = "useDefaultGateways"
            => no_effect("there are no default gateways: name Gateways in parentRefs"),
    }
}

record! {
    /// Where connections go.
    pub struct L4RouteRule {
        /// Name, unique in the route.
        pub name: String = "name" => no_effect("it is a name for people"),
        /// Weighted destinations.
        pub backend_refs: Vec<BackendRef> = "backendRefs" => required,
    }
}
