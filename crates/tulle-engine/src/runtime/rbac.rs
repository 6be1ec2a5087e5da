//! Authorization rules (`envoy.config.rbac.v3`).

use std::sync::Arc;

use tulle_base::Provenance;

use super::matcher::{HeaderMatcher, MetadataMatcher, StringMatcher};
use super::net::CidrRange;

/// Rules of one RBAC filter, HTTP or L4.
#[derive(Clone, Debug, Default)]
pub struct RbacFilter {
    /// Rules that decide; `None` lets everything pass.
    pub rules: Option<Rbac>,
    /// Rules that are only counted and logged.
    pub shadow_rules: Option<Rbac>,
    /// Prefix of the enforced rules' statistics.
    pub stat_prefix: Arc<str>,
    /// Prefix of the shadow rules' statistics and metadata.
    pub shadow_stat_prefix: Arc<str>,
    /// Whether each policy is counted.
    pub per_rule_stats: bool,
}

/// An action with its policies.
#[derive(Clone, Debug)]
pub struct Rbac {
    /// What a match means.
    pub action: RbacAction,
    /// The policies, by name (Envoy tries them in this order).
    pub policies: Vec<Policy>,
}

/// What a match means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RbacAction {
    /// Only requests that match pass.
    Allow,
    /// Requests that match are refused.
    Deny,
    /// Requests that match are marked; all pass.
    Log,
}

/// A policy: it matches when one permission and one principal match.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name; Istio writes `ns[NAMESPACE]-policy[NAME]-rule[INDEX]`.
    pub name: Arc<str>,
    /// What is done; at least one.
    pub permissions: Vec<Permission>,
    /// By whom; at least one.
    pub principals: Vec<Principal>,
    /// The AuthorizationPolicy and rule, read from the name.
    pub provenance: Option<Arc<Provenance>>,
}

/// What is done.
#[derive(Clone, Debug)]
pub enum Permission {
    /// Anything.
    Any,
    /// Nothing (an HTTP rule on a TCP connection).
    Never,
    /// All of these.
    And(Vec<Permission>),
    /// One of these.
    Or(Vec<Permission>),
    /// Not this.
    Not(Box<Permission>),
    /// A request header; `:method`, `:path` and `:authority` too.
    Header(HeaderMatcher),
    /// The path without query.
    UrlPath(StringMatcher),
    /// The address connected to.
    DestinationIp(CidrRange),
    /// The port connected to.
    DestinationPort(u16),
    /// The port connected to, `start..end`.
    DestinationPortRange {
        /// First port.
        start: i32,
        /// First port beyond.
        end: i32,
    },
    /// Dynamic metadata.
    Metadata(MetadataMatcher),
    /// The server name of the TLS connection.
    RequestedServerName(StringMatcher),
}

/// By whom.
#[derive(Clone, Debug)]
pub enum Principal {
    /// Anybody.
    Any,
    /// Nobody (an HTTP rule on a TCP connection).
    Never,
    /// All of these.
    And(Vec<Principal>),
    /// One of these.
    Or(Vec<Principal>),
    /// Not this.
    Not(Box<Principal>),
    /// A verified certificate with a name that matches: URI SANs first, then DNS SANs, then the subject. `None` asks
    /// only that there is a verified certificate.
    Authenticated(Option<StringMatcher>),
    /// The peer of the connection, without proxy protocol and headers.
    DirectRemoteIp(CidrRange),
    /// The client, after `x-forwarded-for` and proxy protocol.
    RemoteIp(CidrRange),
    /// A request header.
    Header(HeaderMatcher),
    /// The path without query.
    UrlPath(StringMatcher),
    /// Dynamic metadata.
    Metadata(MetadataMatcher),
    /// Filter state, such as Istio's `io.istio.peer_principal`.
    FilterState {
        /// Its key.
        key: Arc<str>,
        /// What is asked of it.
        value: StringMatcher,
    },
}
