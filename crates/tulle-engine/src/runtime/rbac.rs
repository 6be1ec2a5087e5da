//! Authorization rules (`envoy.config.rbac.v3`).

use std::sync::Arc;

use tulle_base::Provenance;

use super::matcher::{HeaderMatcher, MetadataMatcher, StringMatcher};
use super::net::CidrRange;
use super::policy_index::PolicyIndex;

/// Rules of one RBAC filter, HTTP or L4.
#[derive(Clone, Debug, Default)]
pub struct RbacFilter {
    /// Rules that decide; `None` lets everything pass.
    pub rules: Option<Rbac>,
    /// Rules that are only counted and logged.
    pub shadow_rules: Option<Rbac>,
    /// Prefix of the enforced rules' statistics.
    pub stat_prefix: Arc<str>,
    /// Prefix of the shadow rules' statistics.
    pub shadow_stat_prefix: Arc<str>,
    /// Under which keys the verdict of the shadow rules is written into metadata.
    pub shadow_keys: ShadowKeys,
    /// Whether each policy is counted.
    pub per_rule_stats: bool,
}

/// Keys of metadata that tell of shadow rules.
#[derive(Clone, Debug, Default)]
pub struct ShadowKeys {
    /// The policy that matched.
    pub policy: Arc<str>,
    /// `allowed` or `denied`.
    pub result: Arc<str>,
}

impl ShadowKeys {
    /// The keys behind a prefix.
    pub fn new(prefix: &str) -> Self {
        Self {
            policy: format!("{prefix}shadow_effective_policy_id").into(),
            result: format!("{prefix}shadow_engine_result").into(),
        }
    }
}

/// An action with its policies.
#[derive(Clone, Debug)]
pub struct Rbac {
    /// What a match means.
    pub action: RbacAction,
    policies: Vec<Policy>,
    index: Option<PolicyIndex>,
}

impl Rbac {
    /// Rules of these policies, by name (Envoy tries them in this order).
    pub fn new(action: RbacAction, policies: Vec<Policy>) -> Self {
        Self { action, index: PolicyIndex::of(&policies), policies }
    }

    /// The policies, by name.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// Which of them can match; `None` where they are few.
    pub fn index(&self) -> Option<&PolicyIndex> {
        self.index.as_ref()
    }
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
