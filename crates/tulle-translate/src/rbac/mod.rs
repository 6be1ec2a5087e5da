//! Authorization policies to filters, in front of HTTP and of TCP: CUSTOM, AUDIT, DENY, ALLOW, in this order (traps 9).
//!
//! CUSTOM is two filters for each provider: rules that decide nothing but note which policy matched (shadow rules), and
//! `ext_authz`, which asks where that note is. Where the provider cannot be asked, what its policies match is denied.

mod conditions;
mod path;
mod provider;
mod rule;
mod trust;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use tulle_mesh::Snapshot;
use tulle_mesh::policy::{Action, AuthorizationPolicy};
use tulle_proto::envoy::ext_authz::ExtAuthz;
use tulle_proto::envoy::http_connection_manager::HttpFilter;
use tulle_proto::envoy::http_rbac::Rbac as HttpRbac;
use tulle_proto::envoy::listener::Filter;
use tulle_proto::envoy::network_rbac::Rbac as NetworkRbac;
use tulle_proto::envoy::rbac::{Permission, Policy, Principal, Rbac, permission, principal, rbac};

use self::provider::{Asking, SHADOW_PREFIX};
use self::trust::TrustDomains;
use crate::filters;

/// Name of the HTTP filter.
const HTTP: &str = "envoy.filters.http.rbac";
/// Name of the network filter.
const NETWORK: &str = "envoy.filters.network.rbac";
/// Ends the names of policies whose provider cannot be asked, as Istio has it.
const BAD_CUSTOM: &str = "-deny-due-to-bad-CUSTOM-action";

/// The filters of a workload.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    /// For HTTP chains, before tokens are looked at: those of CUSTOM.
    pub(crate) custom: Vec<HttpFilter>,
    /// For HTTP chains.
    pub(crate) http: Vec<HttpFilter>,
    /// For TCP chains.
    pub(crate) tcp: Vec<Filter>,
}

impl Filters {
    /// All HTTP filters in their order, with the one that looks at tokens between CUSTOM and the rest.
    pub(crate) fn with_tokens(mut self, tokens: Option<HttpFilter>) -> Self {
        let rest = std::mem::replace(&mut self.http, std::mem::take(&mut self.custom));
        self.http.extend(tokens);
        self.http.extend(rest);
        self
    }
}

/// A step of authorization.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Asks the provider of this name.
    Custom(String),
    /// Records.
    Audit,
    /// Denies.
    Deny,
    /// Allows.
    Allow,
}

impl Step {
    fn of(action: &Action) -> Self {
        match action {
            Action::Custom(provider) => Self::Custom(provider.clone()),
            Action::Audit => Self::Audit,
            Action::Deny => Self::Deny,
            Action::Allow => Self::Allow,
        }
    }

    fn action(&self) -> rbac::Action {
        match self {
            // Fields that only HTTP has are left out on TCP, as with DENY.
            Self::Custom(_) | Self::Deny => rbac::Action::Deny,
            Self::Audit => rbac::Action::Log,
            Self::Allow => rbac::Action::Allow,
        }
    }

    /// Name of its HTTP filter where routes have rules of their own for it.
    pub(crate) fn own_name(&self) -> String {
        match self {
            Self::Custom(provider) => format!("istio.authorization.custom.{provider}"),
            Self::Audit => "istio.authorization.audit".into(),
            Self::Deny => "istio.authorization.deny".into(),
            Self::Allow => "istio.authorization.allow".into(),
        }
    }
}

/// What makes filters of policies.
pub(crate) struct Builder<'a> {
    snapshot: &'a Snapshot,
    namespace: &'a str,
    domains: TrustDomains,
}

impl<'a> Builder<'a> {
    /// For proxies of `namespace`.
    pub(crate) fn new(snapshot: &'a Snapshot, namespace: &'a str) -> Self {
        Self { snapshot, namespace, domains: TrustDomains::of(snapshot.mesh()) }
    }

    /// The filters of a workload's policies.
    pub(crate) fn filters(&self, policies: &[&AuthorizationPolicy]) -> Filters {
        let mut out = Filters::default();
        for (step, policies) in by_step(policies) {
            let asking = self.asking(&step);
            let http = filters::http(HTTP, &self.http(&step, &policies, asking.is_some()));
            let tcp = self.network(&step, &policies, asking.as_ref());
            out.tcp.extend(tcp);
            match &step {
                Step::Custom(_) => {
                    out.custom.push(http);
                    out.custom.extend(asking.map(|a| ext_authz(&a.http)));
                }
                _ => out.http.push(http),
            }
        }
        out
    }

    /// The same for a chain whose routes are under different policies: filters with the rules of `common`, each with a name of
    /// its own and there for every step that `others` have, so that routes can say otherwise.
    pub(crate) fn named(
        &self,
        common: &[&AuthorizationPolicy],
        others: &[Vec<&AuthorizationPolicy>],
    ) -> Filters {
        let own = by_step(common);
        let steps: BTreeSet<Step> =
            others.iter().flatten().chain(common).map(|p| Step::of(&p.action)).collect();
        let mut out = Filters::default();
        for step in steps {
            let asking = self.asking(&step);
            let rules = own.get(&step).map(|p| self.http(&step, p, asking.is_some()));
            let http = filters::http(&step.own_name(), &rules.unwrap_or_default());
            match &step {
                Step::Custom(_) => {
                    out.custom.push(http);
                    out.custom.extend(asking.map(|a| ext_authz(&a.http)));
                }
                _ => out.http.push(http),
            }
        }
        out
    }

    /// What a route under `policies` says to the filters of [`Builder::named`]: rules by the name of the filter.
    pub(crate) fn overrides(&self, policies: &[&AuthorizationPolicy]) -> BTreeMap<String, HttpRbac> {
        let made = |(step, policies): (Step, Vec<&AuthorizationPolicy>)| {
            let can_ask = self.asking(&step).is_some();
            (step.own_name(), self.http(&step, &policies, can_ask))
        };
        by_step(policies).into_iter().map(made).collect()
    }

    fn asking(&self, step: &Step) -> Option<Asking> {
        match step {
            Step::Custom(provider) => provider::asking(self.snapshot, self.namespace, provider),
            _ => None,
        }
    }

    fn http(&self, step: &Step, policies: &[&AuthorizationPolicy], can_ask: bool) -> HttpRbac {
        let Rules { enforced, shadow, shadow_prefix } = self.rules(step, policies, can_ask, false);
        HttpRbac {
            rules: enforced,
            shadow_rules: shadow,
            shadow_rules_stat_prefix: shadow_prefix,
            ..HttpRbac::default()
        }
    }

    /// A provider that speaks HTTP is not asked about connections: they pass, as with Istio.
    fn network(
        &self,
        step: &Step,
        policies: &[&AuthorizationPolicy],
        asking: Option<&Asking>,
    ) -> Vec<Filter> {
        let ask = match asking {
            Some(Asking { network: None, http: _ }) => return Vec::new(),
            Some(Asking { network: Some(network), http: _ }) => {
                Some(filters::network("envoy.filters.network.ext_authz", network))
            }
            None => None,
        };
        let Rules { enforced, shadow, shadow_prefix } = self.rules(step, policies, asking.is_some(), true);
        let rbac = NetworkRbac {
            rules: enforced,
            shadow_rules: shadow,
            stat_prefix: "tcp.".into(),
            shadow_rules_stat_prefix: shadow_prefix,
            ..NetworkRbac::default()
        };
        std::iter::once(filters::network(NETWORK, &rbac)).chain(ask).collect()
    }

    fn rules(&self, step: &Step, policies: &[&AuthorizationPolicy], can_ask: bool, tcp: bool) -> Rules {
        if let Step::Custom(provider) = step {
            let prefix = provider::name_prefix(provider);
            let end = if can_ask { "" } else { BAD_CUSTOM };
            let name = |name: String| format!("{prefix}{name}{end}");
            let rules = Some(self.rbac(policies, step.action(), tcp, &name));
            return match can_ask {
                true => Rules { enforced: None, shadow: rules, shadow_prefix: SHADOW_PREFIX.to_owned() },
                false => Rules { enforced: rules, shadow: None, shadow_prefix: String::new() },
            };
        }
        let (dry, enforced): (Vec<_>, Vec<_>) = policies.iter().copied().partition(|p| p.dry_run);
        let action = step.action();
        let rules = |all: &[&AuthorizationPolicy]| {
            (!all.is_empty()).then(|| self.rbac(all, action, tcp, &|name| name))
        };
        let shadow_prefix = match action {
            _ if dry.is_empty() => "",
            rbac::Action::Allow => "istio_dry_run_allow_",
            rbac::Action::Deny => "istio_dry_run_deny_",
            rbac::Action::Log => "",
        };
        Rules { enforced: rules(&enforced), shadow: rules(&dry), shadow_prefix: shadow_prefix.to_owned() }
    }

    fn rbac(
        &self,
        policies: &[&AuthorizationPolicy],
        action: rbac::Action,
        tcp: bool,
        name: &dyn Fn(String) -> String,
    ) -> Rbac {
        let mut out = Rbac { action: action as i32, ..Rbac::default() };
        for policy in policies {
            let name = |i: usize| {
                name(format!("ns[{}]-policy[{}]-rule[{i}]", policy.meta.namespace(), policy.meta.name()))
            };
            for (i, written) in policy.rules.iter().enumerate() {
                // A rule that cannot be expressed on TCP allows nothing (traps 10): it is left out.
                if let Some(made) = rule::policy(written, action, tcp, &self.domains) {
                    out.policies.insert(name(i), made);
                }
            }
            if policy.rules.is_empty() {
                out.policies.insert(name(0), never());
            }
        }
        out
    }
}

struct Rules {
    enforced: Option<Rbac>,
    shadow: Option<Rbac>,
    shadow_prefix: String,
}

/// Policies by the step that they are part of, in the order of the steps.
fn by_step<'a>(policies: &[&'a AuthorizationPolicy]) -> BTreeMap<Step, Vec<&'a AuthorizationPolicy>> {
    let mut out: BTreeMap<Step, Vec<&AuthorizationPolicy>> = BTreeMap::new();
    for policy in policies {
        out.entry(Step::of(&policy.action)).or_default().push(policy);
    }
    out
}

fn ext_authz(config: &ExtAuthz) -> HttpFilter {
    filters::http("envoy.filters.http.ext_authz", config)
}

/// Matches nothing: a policy without rules. As ALLOW it denies everything.
fn never() -> Policy {
    let any = Permission { rule: Some(permission::Rule::Any(true)) };
    let anyone = Principal { identifier: Some(principal::Identifier::Any(true)) };
    Policy {
        permissions: vec![Permission { rule: Some(permission::Rule::NotRule(Box::new(any))) }],
        principals: vec![Principal { identifier: Some(principal::Identifier::NotId(Box::new(anyone))) }],
        ..Policy::default()
    }
}
