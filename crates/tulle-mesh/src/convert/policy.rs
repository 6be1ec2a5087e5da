//! PeerAuthentication and AuthorizationPolicy to security policy.

use tulle_api::istio as api;
use tulle_base::Selector;

use super::cx::Cx;
use crate::policy::{
    Action, AuthorizationPolicy, Condition, MtlsMode, Operation, PeerAuthentication, Rule, Source, StringSet,
    Target,
};

/// The modes of a PeerAuthentication.
pub(super) fn peer(cx: &mut Cx<'_>, spec: &api::PeerAuthentication, root: &str) -> PeerAuthentication {
    let api::PeerAuthentication { selector, mtls, port_level_mtls } = spec;
    let selector =
        selector.as_ref().map(|api::WorkloadSelector { match_labels }| Selector(match_labels.clone()));
    let selector = selector.filter(|s| !s.is_empty());
    cx.not_applied(
        selector.is_none() && !port_level_mtls.is_empty(),
        "spec.portLevelMtls",
        "modes of ports need a selector",
    );
    cx.not_applied(
        selector.is_some() && cx.meta.namespace() == root,
        "spec.selector",
        "a policy with a selector in the root namespace is for that namespace's workloads alone",
    );
    let ports = if selector.is_some() {
        port_level_mtls
            .iter()
            .filter_map(|(port, m)| Some((cx.port(Some(*port), "spec.portLevelMtls")?, mode(Some(m)))))
            .collect()
    } else {
        std::collections::BTreeMap::new()
    };
    PeerAuthentication { meta: cx.meta.clone(), selector, mode: mode(mtls.as_ref()), ports }
}

fn mode(m: Option<&api::MutualTls>) -> Option<MtlsMode> {
    let api::MutualTls { mode } = m?;
    match mode {
        Some(api::MutualTlsMode::Disable) => Some(MtlsMode::Disable),
        Some(api::MutualTlsMode::Permissive) => Some(MtlsMode::Permissive),
        Some(api::MutualTlsMode::Strict) => Some(MtlsMode::Strict),
        Some(api::MutualTlsMode::Unset) | None => None,
    }
}

/// The rules of an AuthorizationPolicy. `dry_run` is its annotation `istio.io/dry-run`.
pub(super) fn authorization(
    cx: &mut Cx<'_>,
    spec: &api::AuthorizationPolicy,
    dry_run: bool,
) -> AuthorizationPolicy {
    let api::AuthorizationPolicy { selector, target_ref, target_refs, rules, action, action_detail } = spec;
    let provider = match action_detail {
        Some(api::ActionDetail::Provider(api::ExtensionProvider { name })) => name.clone(),
        None => String::new(),
    };
    let action = match action {
        Some(api::AuthorizationAction::Allow) | None => Action::Allow,
        Some(api::AuthorizationAction::Deny) => Action::Deny,
        Some(api::AuthorizationAction::Audit) => Action::Audit,
        Some(api::AuthorizationAction::Custom) => Action::Custom(provider),
    };
    let target = target(cx, selector.as_ref(), target_ref.as_ref(), target_refs);
    AuthorizationPolicy {
        meta: cx.meta.clone(),
        target,
        action,
        rules: rules.iter().map(|r| rule(cx, r)).collect(),
        dry_run,
    }
}

/// Whom a policy is for.
pub(super) fn target(
    cx: &mut Cx<'_>,
    selector: Option<&api::WorkloadSelector>,
    target_ref: Option<&api::PolicyTargetReference>,
    target_refs: &[api::PolicyTargetReference],
) -> Target {
    if target_ref.is_none() && target_refs.is_empty() {
        let labels = selector.map(|api::WorkloadSelector { match_labels }| match_labels.clone());
        return Target::Selector(Selector(labels.unwrap_or_default()));
    }
    let one = target_ref.map(|target| ("spec.targetRef".to_owned(), target));
    let many = target_refs.iter().enumerate().map(|(i, target)| (format!("spec.targetRefs[{i}]"), target));
    Target::Gateways(
        one.into_iter().chain(many).filter_map(|(at, target)| gateway(cx, &at, target)).collect(),
    )
}

/// The group of Gateways of the Gateway API.
const GATEWAY_API: &str = "gateway.networking.k8s.io";

/// The name of the Gateway that a target is; what it is else is told.
pub(super) fn gateway(cx: &mut Cx<'_>, at: &str, target: &api::PolicyTargetReference) -> Option<String> {
    let api::PolicyTargetReference { group, kind, name, namespace } = target;
    let gateway = group == GATEWAY_API && kind == "Gateway";
    let own = namespace.is_empty() || namespace == cx.meta.namespace();
    cx.not_applied(!gateway, at, "only gateways of the Gateway API are targets; waypoints are not built");
    cx.not_applied(!own, &format!("{at}.namespace"), "targets are of the policy's own namespace");
    (gateway && own).then(|| name.clone())
}

fn rule(cx: &Cx<'_>, r: &api::AuthorizationRule) -> Rule {
    let api::AuthorizationRule { from, to, when } = r;
    Rule {
        from: from
            .iter()
            .map(|api::RuleFrom { source: s }| s.as_ref().map(|s| source(cx, s)).unwrap_or_default())
            .collect(),
        to: to
            .iter()
            .map(|api::RuleTo { operation: o }| o.as_ref().map(operation).unwrap_or_default())
            .collect(),
        when: when
            .iter()
            .map(|api::Condition { key, values, not_values }| Condition {
                key: key.clone(),
                values: match key.as_str() {
                    "source.serviceAccount" => set(&qualified(cx, values), &qualified(cx, not_values)),
                    _ => set(values, not_values),
                },
            })
            .collect(),
    }
}

fn set(any: &[String], none: &[String]) -> StringSet {
    StringSet { any: any.to_vec(), none: none.to_vec() }
}

/// Names of service accounts with their namespace, which is the policy's where none is written.
fn qualified(cx: &Cx<'_>, names: &[String]) -> Vec<String> {
    let own = cx.meta.namespace();
    names.iter().map(|n| if n.contains('/') { n.clone() } else { format!("{own}/{n}") }).collect()
}

fn source(cx: &Cx<'_>, s: &api::Source) -> Source {
    let api::Source {
        principals,
        not_principals,
        request_principals,
        not_request_principals,
        namespaces,
        not_namespaces,
        service_accounts,
        not_service_accounts,
        ip_blocks,
        not_ip_blocks,
        remote_ip_blocks,
        not_remote_ip_blocks,
        trust_domains,
        not_trust_domains,
    } = s;
    Source {
        principals: set(principals, not_principals),
        request_principals: set(request_principals, not_request_principals),
        namespaces: set(namespaces, not_namespaces),
        service_accounts: set(&qualified(cx, service_accounts), &qualified(cx, not_service_accounts)),
        ip_blocks: set(ip_blocks, not_ip_blocks),
        remote_ip_blocks: set(remote_ip_blocks, not_remote_ip_blocks),
        trust_domains: set(trust_domains, not_trust_domains),
    }
}

fn operation(o: &api::Operation) -> Operation {
    let api::Operation { hosts, not_hosts, ports, not_ports, methods, not_methods, paths, not_paths } = o;
    Operation {
        hosts: set(hosts, not_hosts),
        ports: set(ports, not_ports),
        methods: set(methods, not_methods),
        paths: set(paths, not_paths),
    }
}
