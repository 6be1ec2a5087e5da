//! AuthorizationPolicy.

use tulle_base::{Labels, Selector};

use crate::envoy_filter::GATEWAY_NAME;
use crate::meta::Meta;

/// An AuthorizationPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationPolicy {
    /// The document behind it.
    pub meta: Meta,
    /// Which workloads it is for.
    pub target: Target,
    /// What it does.
    pub action: Action,
    /// Its rules, any of which may match; none matches nothing.
    pub rules: Vec<Rule>,
    /// Evaluated and reported, not enforced.
    pub dry_run: bool,
}

/// Which workloads a policy is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Those of its namespace (every namespace, from the root) with these labels.
    Selector(Selector),
    /// The Gateways (Gateway API) of these names, in the policy's namespace: ordinary sidecars ignore the policy (traps 11).
    Gateways(Vec<String>),
}

impl Target {
    /// Whether a workload with these labels is meant; `own` says that it is of the policy's namespace.
    pub fn selects(&self, labels: &Labels, own: bool) -> bool {
        match self {
            Self::Selector(selector) => selector.matches(labels),
            Self::Gateways(names) => own && labels.get(GATEWAY_NAME).is_some_and(|name| names.contains(name)),
        }
    }

    /// Whether it names the Gateway `name`, of the policy's namespace.
    pub fn names(&self, name: &str) -> bool {
        matches!(self, Self::Gateways(names) if names.iter().any(|n| n == name))
    }
}

/// What a policy does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Lets matching requests pass; any such policy makes everything else be denied.
    Allow,
    /// Denies matching requests.
    Deny,
    /// Reports matching requests.
    Audit,
    /// Asks the extension provider of this name.
    Custom(String),
}

/// One rule: some source, some operation and every condition must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Any of these; empty is any.
    pub from: Vec<Source>,
    /// Any of these; empty is any.
    pub to: Vec<Operation>,
    /// All of these.
    pub when: Vec<Condition>,
}

/// Values, any of which must match, and values none of which may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringSet {
    /// Any of these; empty is no condition.
    pub any: Vec<String>,
    /// None of these.
    pub none: Vec<String>,
}

impl StringSet {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.any.is_empty() && self.none.is_empty()
    }
}

/// Conditions on the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// `TRUST_DOMAIN/ns/NS/sa/SA`.
    pub principals: StringSet,
    /// `ISSUER/SUBJECT` of a token.
    pub request_principals: StringSet,
    /// Namespaces.
    pub namespaces: StringSet,
    /// `NS/SA`; one without a slash is in the policy's namespace.
    pub service_accounts: StringSet,
    /// Peer address.
    pub ip_blocks: StringSet,
    /// Client address as `X-Forwarded-For` tells it.
    pub remote_ip_blocks: StringSet,
    /// Trust domains.
    pub trust_domains: StringSet,
}

/// Conditions on the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operation {
    /// `:authority`.
    pub hosts: StringSet,
    /// Destination ports.
    pub ports: StringSet,
    /// Methods.
    pub methods: StringSet,
    /// Paths.
    pub paths: StringSet,
}

/// A condition on an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Attribute, such as `request.headers[x-y]`.
    pub key: String,
    /// Values.
    pub values: StringSet,
}

/// The policies for a workload of `namespace` with `labels`, oldest first: those of its namespace and of the root
/// namespace that select it, and those that name the Gateway that a gateway pod was made for.
pub fn applicable<'a>(
    policies: impl Iterator<Item = &'a AuthorizationPolicy>,
    root_namespace: &str,
    namespace: &str,
    labels: &Labels,
) -> Vec<&'a AuthorizationPolicy> {
    let mut out: Vec<_> = policies
        .filter(|p| p.meta.namespace() == namespace || p.meta.namespace() == root_namespace)
        .filter(|p| p.target.selects(labels, p.meta.namespace() == namespace))
        .collect();
    // Root namespace first, as Istio lists them, then by age.
    out.sort_by(|a, b| {
        let root = |p: &AuthorizationPolicy| p.meta.namespace() != root_namespace;
        root(a).cmp(&root(b)).then_with(|| a.meta.by_age(&b.meta))
    });
    out
}
