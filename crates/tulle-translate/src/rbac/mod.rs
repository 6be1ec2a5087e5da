//! Authorization policies to RBAC filters: DENY before ALLOW, in front of HTTP and of TCP.

mod conditions;
mod path;
mod rule;
mod values;

use tulle_mesh::policy::{Action, AuthorizationPolicy};
use tulle_proto::envoy::http_connection_manager::HttpFilter;
use tulle_proto::envoy::http_rbac::Rbac as HttpRbac;
use tulle_proto::envoy::listener::Filter;
use tulle_proto::envoy::network_rbac::Rbac as NetworkRbac;
use tulle_proto::envoy::rbac::{Permission, Policy, Principal, Rbac, permission, principal, rbac};

use crate::filters;

/// The RBAC filters of a workload.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    /// For HTTP chains.
    pub(crate) http: Vec<HttpFilter>,
    /// For TCP chains.
    pub(crate) tcp: Vec<Filter>,
}

/// Builds the filters of a workload's policies: those that are asked first come first (traps 9).
///
/// CUSTOM asks an extension provider, of which there is none: what it would be asked about is denied. AUDIT decides
/// nothing and there is no audit log, so it makes no filter.
pub(crate) fn filters(policies: &[&AuthorizationPolicy]) -> Filters {
    let mut out = Filters::default();
    let of = |wanted: fn(&Action) -> bool| -> Vec<&AuthorizationPolicy> {
        policies.iter().filter(|p| wanted(&p.action)).copied().collect()
    };
    let steps = [
        (of(|a| matches!(a, Action::Custom(_))), rbac::Action::Deny),
        (of(|a| matches!(a, Action::Deny)), rbac::Action::Deny),
        (of(|a| matches!(a, Action::Allow)), rbac::Action::Allow),
    ];
    for (step, action) in steps {
        let (enforced, dry): (Vec<_>, Vec<_>) = step.into_iter().partition(|p| !p.dry_run);
        let rules =
            |all: &[&AuthorizationPolicy], tcp: bool| (!all.is_empty()).then(|| rules(all, action, tcp));
        if enforced.is_empty() && dry.is_empty() {
            continue;
        }
        let prefix = |dry: bool| match (dry, action) {
            (false, _) => String::new(),
            (true, rbac::Action::Allow) => "istio_dry_run_allow_".to_owned(),
            (true, _) => "istio_dry_run_deny_".to_owned(),
        };
        out.http.push(filters::http(
            "envoy.filters.http.rbac",
            &HttpRbac {
                rules: rules(&enforced, false),
                shadow_rules: rules(&dry, false),
                shadow_rules_stat_prefix: prefix(!dry.is_empty()),
                ..HttpRbac::default()
            },
        ));
        out.tcp.push(filters::network(
            "envoy.filters.network.rbac",
            &NetworkRbac {
                rules: rules(&enforced, true),
                shadow_rules: rules(&dry, true),
                stat_prefix: "tcp.".into(),
                shadow_rules_stat_prefix: prefix(!dry.is_empty()),
                ..NetworkRbac::default()
            },
        ));
    }
    out
}

fn rules(policies: &[&AuthorizationPolicy], action: rbac::Action, tcp: bool) -> Rbac {
    let mut out = Rbac { action: action as i32, ..Rbac::default() };
    for policy in policies {
        let name =
            |i: usize| format!("ns[{}]-policy[{}]-rule[{i}]", policy.meta.namespace(), policy.meta.name());
        for (i, written) in policy.rules.iter().enumerate() {
            // A rule that cannot be expressed on TCP allows nothing (traps 10): it is left out.
            if let Some(made) = rule::policy(written, action, tcp) {
                out.policies.insert(name(i), made);
            }
        }
        if policy.rules.is_empty() {
            out.policies.insert(name(0), never());
        }
    }
    out
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
