//! What ALLOW policies grant and nobody used.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tulle_mesh::NsName;
use tulle_mesh::policy::{Action, AuthorizationPolicy, Rule, Target};

use super::live::Live;
use super::observed::{Caller, Observed};

/// A grant that nobody used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The policy.
    pub(crate) policy: NsName,
    /// Index of the rule.
    pub(crate) rule: usize,
    /// What of it; empty for all.
    pub(crate) field: &'static str,
    /// The value; empty for all.
    pub(crate) value: String,
    /// What is known of it, in words.
    pub(crate) why: String,
}

impl Gap {
    /// As JSON.
    pub(crate) fn json(&self) -> Value {
        let Self { policy, rule, field, value, why } = self;
        json!({"namespace": policy.namespace, "policy": policy.name, "rule": rule, "field": field, "value": value, "why": why})
    }
}

/// What was found.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Gaps {
    /// Grants that nobody used, by policy.
    pub(crate) unused: Vec<Gap>,
    /// What is not known.
    pub(crate) notes: Vec<String>,
}

/// Holds the ALLOW policies of `namespace`, or of all, against what was observed.
pub(crate) fn gaps(live: &Live, seen: &Observed, namespace: Option<&str>) -> Gaps {
    let mut out = Gaps::default();
    let (mut policies, mut known): (Vec<&AuthorizationPolicy>, BTreeSet<NsName>) = Default::default();
    for workload in live.mesh.workloads() {
        for policy in live.mesh.authorizations(workload.namespace(), &workload.labels) {
            let name = name(policy);
            let wanted = namespace.is_none_or(|ns| ns == name.namespace);
            if wanted && policy.action == Action::Allow && !policy.dry_run && known.insert(name) {
                policies.push(policy);
            }
        }
    }
    for policy in live.labels.keys().filter(|n| namespace.is_none_or(|ns| ns == n.namespace)) {
        if !known.contains(policy) && live.allows(policy) {
            out.notes.push(format!("{policy} is for no workload that runs"));
        }
    }
    policies.sort_by_key(|p| name(p));
    let since = jiff::Timestamp::from_second(i64::try_from(seen.since()).unwrap_or(i64::MAX));
    let since = since.map(|at| at.to_string()).unwrap_or_default();
    for policy in policies {
        // Both are in UTC, so that texts sort by time.
        if policy.meta.created > since {
            out.notes.push(format!(
                "{} is younger than what was looked at ({})",
                name(policy),
                policy.meta.created
            ));
        }
        for (index, rule) in policy.rules.iter().enumerate() {
            if live.untold(rule) {
                out.notes.push(format!(
                    "{} rule {index} speaks of hosts, methods, paths, addresses or conditions, of which metrics do not tell which were used",
                    name(policy)
                ));
            }
            look_at(live, seen, policy, (index, rule), &mut out.unused);
        }
    }
    out
}

fn look_at(
    live: &Live,
    seen: &Observed,
    policy: &AuthorizationPolicy,
    (index, rule): (usize, &Rule),
    out: &mut Vec<Gap>,
) {
    let gap = |field, value: &str, why: &str| Gap {
        policy: name(policy),
        rule: index,
        field,
        value: value.to_owned(),
        why: why.to_owned(),
    };
    if !seen.rules.contains_key(&(name(policy), index)) {
        let why = "it let nothing pass: nobody asked, or another rule came first";
        out.push(gap("", "", why));
        return;
    }
    if !matches!(policy.target, Target::Selector(_)) {
        return;
    }
    let targets: Vec<NsName> = live.selected(policy);
    let callers: BTreeSet<&Caller> = targets
        .iter()
        .filter_map(|t| seen.flows.get(t))
        .flatten()
        .filter(|(caller, count)| count.passed > 0.0 && !caller.principal.is_empty())
        .map(|(caller, _)| caller)
        .collect();
    let unseen = |matches: &dyn Fn(&Parts<'_>) -> bool| {
        !callers.iter().filter_map(|c| Parts::of(&c.principal)).any(|parts| matches(&parts))
    };
    let why = "no such caller was let in by this or any other policy";
    for source in &rule.from {
        for value in source.principals.any.iter().filter(|v| unseen(&|p| like(v, p.whole))) {
            out.push(gap("principals", value, why));
        }
        for value in source.namespaces.any.iter().filter(|v| unseen(&|p| like(v, p.namespace))) {
            out.push(gap("namespaces", value, why));
        }
        for value in source.service_accounts.any.iter().filter(|v| unseen(&|p| **v == p.account)) {
            out.push(gap("serviceAccounts", value, why));
        }
    }
    let ports: Option<Vec<&BTreeSet<u16>>> = targets
        .iter()
        .filter(|t| seen.flows.contains_key(t))
        .map(|t| seen.ports.get(t).and_then(Option::as_ref))
        .collect();
    let Some(ports) = ports else { return };
    for value in rule.to.iter().flat_map(|to| &to.ports.any) {
        if let Ok(port) = value.parse::<u16>()
            && !ports.iter().any(|used| used.contains(&port))
        {
            out.push(gap("ports", value, "nobody used the port"));
        }
    }
}

fn name(policy: &AuthorizationPolicy) -> NsName {
    NsName::new(policy.meta.namespace(), policy.meta.name())
}

/// A principal, taken apart.
struct Parts<'a> {
    whole: &'a str,
    namespace: &'a str,
    account: String,
}

impl<'a> Parts<'a> {
    fn of(principal: &'a str) -> Option<Self> {
        let (_, rest) = principal.split_once("/ns/")?;
        let (namespace, account) = rest.split_once("/sa/")?;
        Some(Self { whole: principal, namespace, account: format!("{namespace}/{account}") })
    }
}

/// Whether a value of a policy matches a text: exact, `x*`, `*x` or `*`. The mesh's own trust domain may be written `cluster.local`.
fn like(value: &str, text: &str) -> bool {
    let own = value.strip_prefix("cluster.local/").zip(text.split_once('/'));
    let plain = match (value.strip_prefix('*'), value.strip_suffix('*')) {
        (Some(_), Some(_)) if value == "*" => true,
        (Some(end), _) => text.ends_with(end),
        (_, Some(start)) => text.starts_with(start),
        _ => value == text,
    };
    plain || own.is_some_and(|(value, (_, text))| like(value, text))
}

impl Live {
    /// Whether `policy` is an ALLOW policy in force, for workloads.
    fn allows(&self, policy: &NsName) -> bool {
        self.allow.contains(policy)
    }

    /// Whether metrics say too little about a rule.
    fn untold(&self, rule: &Rule) -> bool {
        let to =
            rule.to.iter().any(|to| !to.hosts.is_empty() || !to.methods.is_empty() || !to.paths.is_empty());
        let from = rule.from.iter().any(|from| {
            !from.ip_blocks.is_empty()
                || !from.remote_ip_blocks.is_empty()
                || !from.request_principals.is_empty()
        });
        to || from || !rule.when.is_empty()
    }

    /// The workloads that a policy is for.
    fn selected(&self, policy: &AuthorizationPolicy) -> Vec<NsName> {
        let root = self.mesh.mesh().root_namespace.as_str();
        let own = |ns: &str| policy.meta.namespace() == ns;
        let all: BTreeSet<NsName> = self
            .mesh
            .workloads()
            .filter(|w| own(w.namespace()) || policy.meta.namespace() == root)
            .filter(|w| policy.target.selects(&w.labels, own(w.namespace())))
            .map(|w| NsName::new(w.namespace(), w.workload_name.as_str()))
            .collect();
        all.into_iter().collect()
    }
}
