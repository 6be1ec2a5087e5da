//! Which AuthorizationPolicies are in force where, and what their rules ask for.

use std::collections::BTreeMap;

use tulle_api::Object;
use tulle_api::istio::{AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Operation, Source};
use tulle_base::Labels;

use super::matches::contains;
use crate::whole::Whole;

/// A policy and its document.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// The document.
    pub object: &'a Object,
    /// Its content.
    pub spec: &'a AuthorizationPolicy,
}

impl<'a> Policy<'a> {
    /// What a match means.
    pub fn action(&self) -> AuthorizationAction {
        self.spec.action.unwrap_or(AuthorizationAction::Allow)
    }

    /// The labels that it selects by; none select every workload.
    pub fn selector(&self) -> Option<&'a Labels> {
        self.spec.selector.as_ref().map(|s| &s.match_labels)
    }

    /// Whether it is for sidecars and enforced: those with targets are for gateways and waypoints, and a dry run decides
    /// nothing.
    pub fn enforced_by_sidecars(&self) -> bool {
        let dry_run = self.object.meta.annotations.get("istio.io/dry-run").is_some_and(|v| v == "true");
        self.spec.target_refs.is_empty() && self.spec.target_ref.is_none() && !dry_run
    }

    /// Whether it selects workloads of `namespace` with `labels`, seen from the root namespace `root`.
    pub fn applies(&self, root: &str, namespace: &str, labels: &Labels) -> bool {
        let here = [namespace, root].contains(&self.object.meta.namespace.as_str());
        here && self.selector().is_none_or(|wanted| contains(labels, wanted))
    }
}

/// The policies by namespace.
#[derive(Debug)]
pub struct Policies<'a> {
    by_namespace: BTreeMap<&'a str, Vec<Policy<'a>>>,
    root: String,
}

impl<'a> Policies<'a> {
    /// The policies of a configuration that sidecars enforce.
    pub fn new(whole: &Whole<'a>) -> Self {
        let mut by_namespace: BTreeMap<&str, Vec<Policy<'_>>> = BTreeMap::new();
        for (object, spec) in whole.all::<AuthorizationPolicy>() {
            let policy = Policy { object, spec };
            if policy.enforced_by_sidecars() {
                by_namespace.entry(&object.meta.namespace).or_default().push(policy);
            }
        }
        Self { by_namespace, root: whole.root_namespace().to_owned() }
    }

    /// Those in force for workloads of `namespace` with `labels`.
    pub fn of<'s>(&'s self, namespace: &'s str, labels: &'s Labels) -> impl Iterator<Item = Policy<'a>> + 's {
        let other = (namespace != self.root).then_some(self.root.as_str());
        let all = [Some(namespace), other].into_iter().flatten();
        all.filter_map(|ns| self.by_namespace.get(ns))
            .flatten()
            .copied()
            .filter(move |p| p.applies(&self.root, namespace, labels))
    }
}

/// Whether an operation looks at HTTP.
pub fn is_http_operation(operation: &Operation) -> bool {
    let Operation { hosts, not_hosts, ports: _, not_ports: _, methods, not_methods, paths, not_paths } =
        operation;
    [hosts, not_hosts, methods, not_methods, paths, not_paths].iter().any(|l| !l.is_empty())
}

/// Whether a source looks at HTTP: at a token, or at the client's address as headers tell it.
pub fn is_http_source(source: &Source) -> bool {
    !source.request_principals.is_empty() || !source.not_request_principals.is_empty()
}

/// Whether a rule has a part that only HTTP requests can meet.
pub fn has_http_parts(rule: &AuthorizationRule) -> bool {
    rule.from.iter().filter_map(|f| f.source.as_ref()).any(is_http_source)
        || rule.to.iter().filter_map(|t| t.operation.as_ref()).any(is_http_operation)
        || rule.when.iter().any(|c| c.key.starts_with("request."))
}

/// Whether a rule can be about the workload's port `number`: one of its operations names it, or none names ports.
pub fn concerns_port(rule: &AuthorizationRule, number: u16) -> bool {
    let text = number.to_string();
    rule.to.is_empty()
        || rule.to.iter().any(|t| match &t.operation {
            Some(o) => (o.ports.is_empty() || o.ports.contains(&text)) && !o.not_ports.contains(&text),
            None => true,
        })
}

/// Whether whatever a rule lets pass carries a valid token.
pub fn requires_token(rule: &AuthorizationRule) -> bool {
    let sources = rule.from.iter().map(|f| f.source.as_ref());
    let by_source = !rule.from.is_empty()
        && sources.into_iter().all(|s| s.is_some_and(|s| !s.request_principals.is_empty()));
    by_source || rule.when.iter().any(|c| c.key.starts_with("request.auth.") && !c.values.is_empty())
}

/// Whether a DENY rule refuses requests without a token.
pub fn refuses_missing_token(rule: &AuthorizationRule) -> bool {
    let any = |l: &[String]| l.iter().any(|v| v == "*");
    rule.from.iter().filter_map(|f| f.source.as_ref()).any(|s| any(&s.not_request_principals))
        || rule.when.iter().any(|c| c.key == "request.auth.principal" && any(&c.not_values))
}

/// Whether a rule says only what must not be: as ALLOW it lets everything else pass.
pub fn only_exclusions(rule: &AuthorizationRule) -> bool {
    let (mut positive, mut negative) = (false, false);
    let mut note = |any: &[String], none: &[String]| {
        positive |= !any.is_empty();
        negative |= !none.is_empty();
    };
    for s in rule.from.iter().filter_map(|f| f.source.as_ref()) {
        note(&s.principals, &s.not_principals);
        note(&s.request_principals, &s.not_request_principals);
        note(&s.namespaces, &s.not_namespaces);
        note(&s.service_accounts, &s.not_service_accounts);
        note(&s.ip_blocks, &s.not_ip_blocks);
        note(&s.remote_ip_blocks, &s.not_remote_ip_blocks);
        note(&s.trust_domains, &s.not_trust_domains);
    }
    for o in rule.to.iter().filter_map(|t| t.operation.as_ref()) {
        note(&o.hosts, &o.not_hosts);
        note(&o.ports, &o.not_ports);
        note(&o.methods, &o.not_methods);
        note(&o.paths, &o.not_paths);
    }
    for c in &rule.when {
        note(&c.values, &c.not_values);
    }
    negative && !positive
}
