//! `/api/security/…`: who is encrypted, who is denied, who may call whom.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde_json::{Value, json};

use super::Seen;
use crate::graph::rate_of;
use crate::plane::{Grant, Policy};
use crate::store::{Matcher, NAME, Selected, Selection, Store, Test, Wanted, is_stale};

/// Each edge with what is known of its encryption, and what workloads ask for.
pub(crate) fn encryption(seen: &Seen) -> Value {
    let (mut mtls, mut plain) = (0.0, 0.0);
    let edges = seen.graph.edges.iter().map(|(key, edge)| {
        mtls += edge.mtls;
        plain += edge.plain;
        let share = edge.mtls_share();
        let state = match share {
            None => "unknown",
            Some(s) if s >= 1.0 => "encrypted",
            Some(s) if s <= 0.0 => "plaintext",
            Some(_) => "mixed",
        };
        let (client, server) = (seen.model.workloads.get(&key.source), seen.model.workloads.get(&key.target));
        let injected =
            |w: Option<&crate::plane::Workload>| w.is_some_and(|w| w.pods.iter().any(|p| p.injected));
        let mode = server.map_or("", |w| w.peering.mode);
        let reason = match state {
            "encrypted" => String::new(),
            "unknown" => "neither side said".to_owned(),
            _ if key.target.starts_with("external:") => "the destination is outside of the mesh".to_owned(),
            _ if server.is_some() && !injected(server) => "the server has no proxy".to_owned(),
            _ if key.source == "unknown" => format!("the client showed no identity; the server is {mode}"),
            _ if client.is_some() && !injected(client) => {
                format!("the client has no proxy; the server is {mode}")
            }
            _ => format!("the client was told to send plain text; the server is {mode}"),
        };
        let principal = |w: Option<&crate::plane::Workload>| w.map(|w| w.principal.clone());
        json!({
            "source": key.source, "target": key.target, "service": key.service, "protocol": key.protocol,
            "rate": edge.rate, "mtls": share, "state": state, "reason": reason,
            "resource": server.and_then(|w| w.peering.resource.clone()),
            "principals": {"source": principal(client), "destination": principal(server)},
        })
    });
    let edges: Vec<Value> = edges.collect();
    let workloads = seen.model.workloads.values().map(|workload| {
        let plain: f64 = seen.inbound(&workload.id).map(|(_, e)| e.plain).sum();
        json!({
            "id": workload.id, "mode": workload.peering.mode, "resource": workload.peering.resource,
            "plaintextRate": plain, "principal": workload.principal,
            "injected": workload.pods.iter().all(|p| p.injected),
        })
    });
    let known = mtls + plain;
    json!({
        "time": seen.time(), "window": seen.seconds(),
        "share": (known > 0.0).then(|| mtls / known),
        "edges": edges, "workloads": workloads.collect::<Vec<_>>(),
    })
}

/// Decisions a second by policy (`NAMESPACE/NAME`), rule and result.
type Decided = BTreeMap<(String, String), BTreeMap<String, f64>>;

/// The policies with what each rule decided.
///
/// # Errors
/// More series than `max_series`.
pub(crate) fn policies(
    seen: &Seen,
    store: &Store,
    policies: &[Policy],
    (time, window): (i64, i64),
    max_series: usize,
) -> Result<Value, Selection> {
    let (decided, implicit) = decisions(store, (time, window), max_series)?;
    let sum = |rule: Option<&BTreeMap<String, f64>>, wanted: &[&str]| -> f64 {
        rule.into_iter()
            .flatten()
            .filter(|(result, _)| wanted.contains(&result.as_str()))
            .map(|(_, v)| v)
            .sum()
    };
    let all = policies.iter().map(|policy| {
        let name = format!("{}/{}", policy.resource.namespace, policy.resource.name);
        let (mut allowed, mut denied) = (0.0, 0.0);
        let rules = policy.rules.iter().map(|rule| {
            let found = decided.get(&(name.clone(), rule.index.to_string()));
            let (yes, no) = (sum(found, ALLOWED), sum(found, DENIED));
            allowed += yes;
            denied += no;
            json!({
                "index": rule.index, "text": rule.text, "allowed": yes, "denied": no,
                "results": found.cloned().unwrap_or_default(),
            })
        });
        let rules: Vec<Value> = rules.collect();
        let mut out = json!(policy);
        out["rules"] = json!(rules);
        out["allowed"] = json!(allowed);
        out["denied"] = json!(denied);
        out["unused"] = json!(!decided.keys().any(|(policy, _)| *policy == name));
        out
    });
    let implicit = by_workload(seen, implicit)
        .into_iter()
        .map(|(workload, denied)| json!({"workload": workload, "denied": denied}));
    Ok(json!({"policies": all.collect::<Vec<_>>(), "implicit": implicit.collect::<Vec<_>>()}))
}

/// Rates of pods as those of their workloads; a pod that is gone stays what it was.
fn by_workload(seen: &Seen, pods: BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let mut out = BTreeMap::new();
    for (pod, rate) in pods {
        let of = seen.model.workloads.values().find(|w| {
            let name = pod.strip_prefix(w.namespace.as_str()).and_then(|rest| rest.strip_prefix('/'));
            name.is_some_and(|name| w.pods.iter().any(|p| p.name == name))
        });
        *out.entry(of.map_or(pod, |w| w.id.clone())).or_default() += rate;
    }
    out
}

/// Results that let a request pass.
const ALLOWED: &[&str] = &["allowed", "dry_run_allowed"];
/// Results that did not.
const DENIED: &[&str] = &["denied", "dry_run_denied"];

fn decisions(
    store: &Store,
    (time, window): (i64, i64),
    max_series: usize,
) -> Result<(Decided, BTreeMap<String, f64>), Selection> {
    let name = |name: &str| Matcher { label: NAME.to_owned(), test: Test::Is(name.to_owned()) };
    let select = |wanted: &str| {
        store.select(&Wanted {
            matchers: &[name(wanted)],
            from: time - window - 40_000,
            to: time,
            samples: true,
            max_series,
            max_samples: 20_000_000,
        })
    };
    let get = |series: &Selected, name: &str| {
        series.labels.iter().find(|(n, _)| &**n == name).map(|(_, v)| v.to_string()).unwrap_or_default()
    };
    let mut spans: HashMap<(String, String), (i64, i64)> = HashMap::new();
    for up in select("up")? {
        let times: Vec<i64> = up.samples.iter().filter(|(_, v)| !is_stale(*v)).map(|(t, _)| *t).collect();
        let Some(&to) = times.last() else { continue };
        let from = times.iter().rev().find(|t| **t <= to - window).or(times.first()).copied().unwrap_or(to);
        spans.insert((get(&up, "namespace"), get(&up, "pod")), (from, to));
    }
    let mut decided = Decided::new();
    let mut implicit = BTreeMap::new();
    for series in select("tulle_authorization_total")? {
        let pod = (get(&series, "namespace"), get(&series, "pod"));
        let Some(span) = spans.get(&pod) else { continue };
        let rate = rate_of(&series.samples, *span);
        let (policy, rule) = (get(&series, "policy"), get(&series, "rule"));
        let result = get(&series, "result");
        if rule.is_empty() {
            // No rule matched where one has to.
            if DENIED.contains(&result.as_str()) {
                *implicit.entry(format!("{}/{}", pod.0, pod.1)).or_default() += rate;
            }
            continue;
        }
        let policy = format!("{}/{policy}", get(&series, "policy_namespace"));
        *decided.entry((policy, rule)).or_default().entry(result).or_default() += rate;
    }
    Ok((decided, implicit))
}

/// Who may call a workload, beside what was seen of it.
pub(crate) fn access(seen: &Seen, grants: &[Grant]) -> Value {
    let rows = grants.iter().map(|grant| {
        let between = seen.graph.edges.iter().filter(|(k, _)| k.source == grant.from && k.target == grant.to);
        let observed = between.fold(0.0, |sum, (_, e)| sum + e.rate);
        let mut out = json!(grant);
        out["observed"] = json!(observed);
        out
    });
    let rows: Vec<Value> = rows.collect();
    json!({"workloads": seen.model.workloads.keys().collect::<Vec<_>>(), "rows": rows})
}
