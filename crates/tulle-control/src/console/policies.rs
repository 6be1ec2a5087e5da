//! Authorization policies: what they say in words, and who may call whom.

use std::collections::BTreeSet;

use tulle_dashboard::plane::{Grant, Policy, PolicyRule};
use tulle_mesh::Snapshot;
use tulle_mesh::policy::{Action, AuthorizationPolicy, MtlsMode, Operation, Rule, Source, StringSet};
use tulle_mesh::workload::Workload;

use super::applied::action_name;
use super::model::{gateway_pods, reference, workload_of};

/// The policies with those that they are for.
pub(super) fn all(snapshot: &Snapshot) -> Vec<Policy> {
    let mut out: std::collections::BTreeMap<_, Policy> = std::collections::BTreeMap::new();
    let mut add = |policy: &AuthorizationPolicy, workload: Option<String>| {
        let made = out.entry(policy.meta.resource.clone()).or_insert_with(|| Policy {
            resource: reference(&policy.meta.resource),
            action: action_name(&policy.action),
            dry_run: policy.dry_run,
            workloads: BTreeSet::new(),
            rules: policy
                .rules
                .iter()
                .enumerate()
                .map(|(index, rule)| PolicyRule { index, text: rule_words(rule) })
                .collect(),
        });
        made.workloads.extend(workload);
    };
    for policy in snapshot.every_authorization() {
        add(policy, None);
    }
    for pod in snapshot.workloads() {
        for policy in snapshot.authorizations(pod.namespace(), &pod.labels) {
            add(policy, Some(workload_of(pod)));
        }
    }
    out.into_values().collect()
}

/// Who may call the workload `to`: as far as it follows from who calls.
pub(super) fn access(snapshot: &Snapshot, to: &str) -> Vec<Grant> {
    let Some(server) = snapshot.workloads().find(|w| workload_of(w) == to) else { return Vec::new() };
    let mut clients: std::collections::BTreeMap<String, &Workload> = std::collections::BTreeMap::new();
    for pod in snapshot.workloads() {
        clients.entry(workload_of(pod)).or_insert(pod);
    }
    let policies = snapshot.authorizations(server.namespace(), &server.labels);
    let strict = snapshot.peer_modes(server.namespace(), &server.labels).mode == MtlsMode::Strict;
    // A gateway is its proxy, whatever its labels say.
    let gateways = if strict { gateway_pods(snapshot) } else { BTreeSet::new() };
    clients
        .into_iter()
        .filter(|(id, _)| id != to)
        .map(|(from, client)| {
            let refused = strict && !client.mtls_ready && !gateways.contains(&client.pod);
            grant(snapshot, from, to, client, &policies, refused)
        })
        .collect()
}

fn grant(
    snapshot: &Snapshot,
    from: String,
    to: &str,
    client: &Workload,
    policies: &[&AuthorizationPolicy],
    plaintext_refused: bool,
) -> Grant {
    let made = |verdict, why: String, policy: Option<&AuthorizationPolicy>, conditions| Grant {
        from: from.clone(),
        to: to.to_owned(),
        verdict,
        why,
        resource: policy.map(|p| reference(&p.meta.resource)),
        conditions,
    };
    if plaintext_refused {
        let why = "it has no proxy, and the server takes mutual TLS alone".to_owned();
        return made("denied", why, None, Vec::new());
    }
    let caller = Caller::of(snapshot, client);
    let matching = |action: &Action| -> Vec<(&AuthorizationPolicy, usize, Fit)> {
        let all = policies.iter().filter(|p| !p.dry_run && p.action == *action);
        all.flat_map(|p| p.rules.iter().enumerate().map(move |(i, rule)| (*p, i, rule)))
            .map(|(p, i, rule)| (p, i, caller.fits(rule)))
            .filter(|(_, _, fit)| *fit != Fit::Never)
            .collect()
    };
    let name = |p: &AuthorizationPolicy, i: usize| format!("{} rule {i}", p.meta.resource);
    let denying = matching(&Action::Deny);
    if let Some((policy, i, _)) = denying.iter().find(|(_, _, fit)| *fit == Fit::Always) {
        return made("denied", format!("{} denies it", name(policy, *i)), Some(policy), Vec::new());
    }
    let except: Vec<String> =
        (denying.iter()).map(|(p, i, _)| format!("not {}", conditions_words(&p.rules[*i]))).collect();
    let asks = policies.iter().find(|p| matches!(p.action, Action::Custom(_)) && !p.dry_run);
    let allows = policies.iter().any(|p| p.action == Action::Allow && !p.dry_run);
    if !allows {
        let why = if policies.is_empty() { "no policy is for it" } else { "no ALLOW policy is for it" };
        return match (except.is_empty(), asks) {
            (true, None) => made("allowed", why.to_owned(), None, Vec::new()),
            (true, Some(policy)) => {
                made("partly", "a provider is asked".to_owned(), Some(policy), Vec::new())
            }
            (false, _) => made("partly", why.to_owned(), denying.first().map(|(p, ..)| *p), except),
        };
    }
    let allowing = matching(&Action::Allow);
    let whole = allowing.iter().find(|(_, _, fit)| *fit == Fit::Always);
    match (whole, allowing.first()) {
        (Some((policy, i, _)), _) if except.is_empty() && asks.is_none() => {
            made("allowed", format!("{} allows it", name(policy, *i)), Some(policy), Vec::new())
        }
        (Some((policy, i, _)), _) => {
            made("partly", format!("{} allows it", name(policy, *i)), Some(policy), except)
        }
        (None, Some((policy, i, _))) => {
            let mut conditions: Vec<String> =
                allowing.iter().map(|(p, i, _)| conditions_words(&p.rules[*i])).collect();
            conditions.extend(except);
            made("partly", format!("{} allows some of it", name(policy, *i)), Some(policy), conditions)
        }
        (None, None) => {
            let policy = policies.iter().find(|p| p.action == Action::Allow);
            let why = "no rule of the ALLOW policies is for it".to_owned();
            made("denied", why, policy.copied(), Vec::new())
        }
    }
}

/// Whether a rule is for a caller, whatever it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Always,
    /// That depends on the request.
    Sometimes,
    Never,
}

/// A client, as rules see it.
struct Caller {
    principal: String,
    namespace: String,
    account: String,
    trust_domain: String,
    ips: Vec<String>,
    /// It shows a certificate.
    proven: bool,
}

impl Caller {
    fn of(snapshot: &Snapshot, client: &Workload) -> Self {
        let trust_domain = snapshot.mesh().trust_domain.clone();
        let identity = client.identity(&trust_domain).to_string();
        Self {
            principal: identity.trim_start_matches("spiffe://").to_owned(),
            namespace: client.namespace().to_owned(),
            account: format!("{}/{}", client.namespace(), client.service_account),
            trust_domain,
            ips: client.ips.clone(),
            proven: client.mtls_ready,
        }
    }

    fn fits(&self, rule: &Rule) -> Fit {
        let sources: Vec<Fit> = rule.from.iter().map(|source| self.fits_source(source)).collect();
        let from = match sources.iter() {
            _ if sources.is_empty() || sources.contains(&Fit::Always) => Fit::Always,
            _ if sources.contains(&Fit::Sometimes) => Fit::Sometimes,
            _ => Fit::Never,
        };
        let open = |o: &Operation| {
            o.hosts.is_empty() && o.ports.is_empty() && o.methods.is_empty() && o.paths.is_empty()
        };
        let depends = !rule.when.is_empty() || !(rule.to.is_empty() || rule.to.iter().any(open));
        if from == Fit::Always && depends { Fit::Sometimes } else { from }
    }

    fn fits_source(&self, source: &Source) -> Fit {
        let Source {
            principals,
            request_principals,
            namespaces,
            service_accounts,
            ip_blocks,
            remote_ip_blocks,
            trust_domains,
        } = source;
        let known = [
            (principals, self.principal.as_str()),
            (namespaces, self.namespace.as_str()),
            (service_accounts, self.account.as_str()),
            (trust_domains, self.trust_domain.as_str()),
        ];
        for (set, value) in known {
            let said = set.is_empty() || (self.proven && has(set, value));
            if !said {
                return Fit::Never;
            }
        }
        // Only single addresses are told here; blocks are left to the proxy.
        let plain = |set: &StringSet| set.any.iter().any(|a| self.ips.contains(a)) && set.none.is_empty();
        let address = ip_blocks.is_empty() || plain(ip_blocks);
        if address && request_principals.is_empty() && remote_ip_blocks.is_empty() {
            Fit::Always
        } else {
            Fit::Sometimes
        }
    }
}

/// Whether a value is in a set: `*` at the start or end stands for anything.
fn has(set: &StringSet, value: &str) -> bool {
    let one = |pattern: &String| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        _ if pattern == "*" => !value.is_empty(),
        (Some(end), _) => value.ends_with(end),
        (_, Some(start)) => value.starts_with(start),
        _ => pattern == value,
    };
    (set.any.is_empty() || set.any.iter().any(one)) && !set.none.iter().any(one)
}

/// A rule in words.
fn rule_words(rule: &Rule) -> String {
    let from: Vec<String> = rule.from.iter().map(source_words).collect();
    let from = if from.is_empty() { "anybody".to_owned() } else { from.join(", or ") };
    format!("{from} {}", conditions_words(rule))
}

/// What of a rule depends on the request, in words.
fn conditions_words(rule: &Rule) -> String {
    let to: Vec<String> = rule.to.iter().map(operation_words).filter(|w| !w.is_empty()).collect();
    let to = if to.is_empty() { "for everything".to_owned() } else { format!("for {}", to.join(", or ")) };
    let when: Vec<String> = rule.when.iter().map(|c| set_words(&c.key, &c.values)).collect();
    if when.is_empty() { to } else { format!("{to} when {}", when.join(" and ")) }
}

fn source_words(source: &Source) -> String {
    let Source {
        principals,
        request_principals,
        namespaces,
        service_accounts,
        ip_blocks,
        remote_ip_blocks,
        trust_domains,
    } = source;
    let all = [
        ("principal", principals),
        ("token", request_principals),
        ("namespace", namespaces),
        ("service account", service_accounts),
        ("address", ip_blocks),
        ("client address", remote_ip_blocks),
        ("trust domain", trust_domains),
    ];
    join(&all)
}

fn operation_words(operation: &Operation) -> String {
    let Operation { hosts, ports, methods, paths } = operation;
    let mut words = methods.any.join(" or ");
    if !paths.any.is_empty() {
        words = format!("{words} {}", paths.any.join(" or ")).trim().to_owned();
    }
    let none = |set: &StringSet| StringSet { any: Vec::new(), none: set.none.clone() };
    let rest = join(&[("host", hosts), ("port", ports), ("method", &none(methods)), ("path", &none(paths))]);
    [words, rest].into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" and ")
}

fn join(all: &[(&str, &StringSet)]) -> String {
    let said = all.iter().filter(|(_, set)| !set.is_empty()).map(|(what, set)| set_words(what, set));
    said.collect::<Vec<_>>().join(" and ")
}

fn set_words(what: &str, set: &StringSet) -> String {
    let any = (!set.any.is_empty()).then(|| format!("{what} {}", set.any.join(" or ")));
    let none = (!set.none.is_empty()).then(|| format!("{what} not {}", set.none.join(" nor ")));
    any.into_iter().chain(none).collect::<Vec<_>>().join(" and ")
}
