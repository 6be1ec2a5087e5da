//! The smallest ALLOW policies for what was observed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tulle_base::Labels;
use tulle_mesh::NsName;
use tulle_mesh::policy::{Action, Target};

use super::live::{Live, Running};
use super::observed::Observed;

/// The label by which a suggestion knows that it may replace a policy of the same name.
pub(crate) const MARK: &str = "tulle.dev/suggested";
/// Labels that pods of one workload do not share, or that say nothing about it.
const FLEETING: [&str; 6] = [
    "pod-template-hash",
    "controller-revision-hash",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "security.istio.io/tlsMode",
];

/// A policy, and what is to be known about it.
#[derive(Debug, PartialEq)]
pub(crate) struct Suggestion {
    /// The resource.
    pub(crate) policy: Value,
    /// What it does not say, one sentence each.
    pub(crate) notes: Vec<String>,
}

/// What is suggested.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Suggestions {
    /// By namespace and name.
    pub(crate) policies: Vec<Suggestion>,
    /// About what there is no policy for.
    pub(crate) notes: Vec<String>,
}

/// Which workloads, and what of those that nobody called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// One namespace, or all.
    pub(crate) namespace: Option<String>,
    /// Whether workloads that nobody called get a policy that lets nobody in.
    pub(crate) deny_unused: bool,
}

/// Workloads that share a policy: versions of one application.
#[derive(Default)]
struct Group {
    workloads: BTreeSet<NsName>,
    pods: Vec<Labels>,
    selector: Labels,
}

/// The policies for everything that was called.
pub(crate) fn suggest(live: &Live, seen: &Observed, wanted: &Wanted) -> Suggestions {
    let mut all = Suggestions::default();
    let running = live.workloads();
    let concerns = |name: &NsName| wanted.namespace.as_ref().is_none_or(|ns| *ns == name.namespace);
    let mut groups: BTreeMap<(String, String), Group> = BTreeMap::new();
    let mut unmeshed = Vec::new();
    for (name, running) in running.iter().filter(|(name, _)| concerns(name)) {
        if !running.meshed {
            unmeshed.push(name.to_string());
            continue;
        }
        let selector = selector(running);
        let title = selector.values().next().filter(|_| selector.len() == 1).unwrap_or(&name.name);
        let group = groups.entry((name.namespace.clone(), title.clone())).or_default();
        group.workloads.insert(name.clone());
        group.pods.extend(running.pods.iter().cloned());
        group.selector = selector;
    }
    if !unmeshed.is_empty() {
        all.notes.push(format!("without a sidecar no policy holds: {}", unmeshed.join(", ")));
    }
    let gone: Vec<String> = seen
        .flows
        .keys()
        .filter(|n| concerns(n) && !running.contains_key(n))
        .map(ToString::to_string)
        .collect();
    if !gone.is_empty() {
        all.notes.push(format!("called, but not running any more, so left out: {}", gone.join(", ")));
    }
    let mut uncalled = Vec::new();
    for ((namespace, title), group) in &groups {
        let called = group.workloads.iter().any(|name| seen.flows.contains_key(name));
        if called || wanted.deny_unused {
            all.policies.push(one(live, seen, namespace, title, group));
        } else {
            uncalled.push(format!("{namespace}/{title}"));
        }
    }
    if !uncalled.is_empty() {
        all.notes.push(format!(
            "nobody called these, and without a policy everybody may; --deny-unused writes one that lets nobody in: {}",
            uncalled.join(", ")
        ));
    }
    all
}

fn one(live: &Live, seen: &Observed, namespace: &str, title: &str, group: &Group) -> Suggestion {
    let (mut principals, mut refused, mut plain) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    for (caller, count) in group.workloads.iter().filter_map(|w| seen.flows.get(w)).flatten() {
        if count.passed > 0.0 {
            principals.insert(caller.principal.as_str());
        }
        if count.refused > 0.0 && !caller.principal.is_empty() {
            refused.insert(caller.principal.as_str());
        }
        if count.plain > 0.0 {
            let who =
                caller.workload.as_ref().map_or_else(|| "unknown clients".to_owned(), ToString::to_string);
            *plain.entry(who).or_insert(0.0) += count.plain;
        }
    }
    let mut notes = Vec::new();
    for principal in refused.difference(&principals) {
        notes.push(format!("{principal} was only ever refused (401 or 403), so it is left out"));
    }
    for (who, count) in &plain {
        notes.push(format!(
            "about {count:.0} in the clear from {who}: they have no identity, and this policy refuses them; `tulle mtls ready` shows more"
        ));
    }
    let ports = ports(seen, group, &mut notes);
    let name = name(live, namespace, title, &mut notes);
    for policy in live.mesh.authorizations(namespace, group.pods.first().unwrap_or(&Labels::new())) {
        let own = policy.meta.namespace() == namespace && policy.meta.name() == name;
        if policy.action == Action::Allow
            && !policy.dry_run
            && !own
            && matches!(policy.target, Target::Selector(_))
        {
            let other = NsName::new(policy.meta.namespace(), policy.meta.name());
            notes.push(format!(
                "{other} allows more than this one may narrow: what any ALLOW policy lets pass, passes"
            ));
        }
    }
    Suggestion { policy: policy(namespace, &name, &group.selector, &principals, ports.as_ref()), notes }
}

/// The ports that were used, where that is known of every workload that was called.
fn ports(seen: &Observed, group: &Group, notes: &mut Vec<String>) -> Option<BTreeSet<u16>> {
    let called = group.workloads.iter().filter(|w| seen.flows.contains_key(w));
    let all: Option<Vec<&BTreeSet<u16>>> = called.map(|w| seen.ports.get(w)?.as_ref()).collect();
    let ports: BTreeSet<u16> = all?.into_iter().flatten().copied().collect();
    if ports.len() > 1 {
        notes.push(
            "which of the callers used which of the ports is not counted: each may use all of them"
                .to_owned(),
        );
    }
    (!ports.is_empty()).then_some(ports)
}

fn policy(
    namespace: &str,
    name: &str,
    selector: &Labels,
    principals: &BTreeSet<&str>,
    ports: Option<&BTreeSet<u16>>,
) -> Value {
    let mut spec = json!({"action": "ALLOW", "selector": {"matchLabels": selector}});
    // Without a rule: nobody.
    if !principals.is_empty() {
        let mut rule = json!({"from": [{"source": {"principals": principals}}]});
        if let Some(ports) = ports {
            let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
            rule["to"] = json!([{"operation": {"ports": ports}}]);
        }
        spec["rules"] = json!([rule]);
    }
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"namespace": namespace, "name": name, "labels": {MARK: "true"}},
        "spec": spec,
    })
}

/// A name that is free, or that of an earlier suggestion.
fn name(live: &Live, namespace: &str, title: &str, notes: &mut Vec<String>) -> String {
    let usable = |name: &str| {
        live.labels.get(&NsName::new(namespace, name)).is_none_or(|labels| labels.contains_key(MARK))
    };
    let first = format!("allow-{title}");
    if usable(&first) {
        return first;
    }
    notes.push(format!("a policy {first} is there that was not suggested, so this one has another name"));
    let mut others = (2..).map(|i| format!("{first}-suggested-{i}"));
    let plain = format!("{first}-suggested");
    if usable(&plain) { plain } else { others.find(|n| usable(n)).unwrap_or(plain) }
}

/// What all pods of a workload have and others do not: `app` where it is there, so that new versions are covered from their first
/// second, else everything that does not change from pod to pod.
fn selector(running: &Running) -> Labels {
    let Some((first, rest)) = running.pods.split_first() else { return Labels::new() };
    let common = |key: &String, value: &String| rest.iter().all(|pod| pod.get(key) == Some(value));
    let all: Labels = first
        .iter()
        .filter(|(k, v)| common(k, v) && !FLEETING.contains(&k.as_str()) && !v.is_empty())
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    match all.get_key_value("app") {
        Some((key, value)) => [(key.clone(), value.clone())].into(),
        None => all,
    }
}
