//! Names that nobody has: pods of a Gateway, namespaces and service accounts of policies.
//!
//! Hosts, subsets, gateways and delegates that routes name are looked up by the model, which reports them with this code too.

use std::collections::{BTreeMap, BTreeSet};

use crate::analyzer::{Analyzer, Findings};
use crate::whole::Whole;
use tulle_api::Object;
use tulle_api::istio::{AuthorizationPolicy, Gateway, Source, WorkloadEntry};
use tulle_api::kubernetes::ServiceAccount;
use tulle_base::nearest::nearest;
use tulle_base::{FieldPath, Labels, Severity};

/// A resource names something that does not exist: a host, subset, gateway, delegate, namespace or service account.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0101",
    name: "ReferencedResourceNotFound",
    severity: Severity::Error,
    about: "A resource names something that does not exist: a host, subset, gateway, delegate, namespace or service account",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    gateways(whole, out);
    let known = Known::new(whole);
    for (object, spec) in whole.all::<AuthorizationPolicy>() {
        for (i, rule) in spec.rules.iter().enumerate() {
            for (j, from) in rule.from.iter().enumerate() {
                let Some(source) = &from.source else { continue };
                let path = format!("spec.rules[{i}].from[{j}].source");
                namespaces(&known, object, source, &path, out);
                accounts(&known, object, source, &path, out);
            }
        }
    }
}

/// A Gateway whose selector fits none of the gateways that are part of the configuration.
fn gateways(whole: &Whole<'_>, out: &mut Findings) {
    let there: Vec<&Labels> = whole.pods().iter().filter(|p| p.is_gateway()).map(|p| p.labels()).collect();
    if there.is_empty() {
        return; // Gateways are not part of what is looked at.
    }
    for (object, spec) in whole.all::<Gateway>().filter(|(_, s)| !s.selector.is_empty()) {
        let built_in = spec.selector.iter().all(|(k, v)| BUILT_IN.contains(&(k.as_str(), v.as_str())));
        if built_in || whole.pods().select(None, &spec.selector).next().is_some() {
            continue;
        }
        let wanted: Vec<String> = spec.selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let has: Vec<String> = there.iter().flat_map(|l| l.iter()).map(|(k, v)| format!("{k}={v}")).collect();
        let near = wanted.iter().find_map(|w| nearest(w, has.iter().map(String::as_str)).filter(|n| n != w));
        let fix = near.map_or_else(
            || "write the labels of a gateway's pods".to_owned(),
            |near| format!("did you mean {near}?"),
        );
        let message = format!("no pod has {}: nobody serves this gateway", wanted.join(", "));
        out.report(object, FieldPath::from("spec.selector"), message, fix);
    }
}

/// Labels of the ingress gateway that every mesh has.
const BUILT_IN: [(&str, &str); 2] = [("istio", "ingressgateway"), ("app", "istio-ingressgateway")];

/// Namespaces that every cluster has.
const NAMESPACES: [&str; 5] = ["default", "istio-system", "kube-system", "kube-public", "kube-node-lease"];

/// Namespaces, and the service accounts that are written or used in each.
struct Known<'a> {
    namespaces: BTreeSet<&'a str>,
    accounts: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Known<'a> {
    fn new(whole: &Whole<'a>) -> Self {
        let mut accounts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (object, _) in whole.all::<ServiceAccount>() {
            accounts.entry(&object.meta.namespace).or_default().insert(&object.meta.name);
        }
        for pods in whole.pods().iter() {
            accounts.entry(pods.namespace()).or_default().insert(pods.service_account());
        }
        for (object, entry) in whole.all::<WorkloadEntry>().filter(|(_, e)| !e.service_account.is_empty()) {
            accounts.entry(&object.meta.namespace).or_default().insert(&entry.service_account);
        }
        Self { namespaces: whole.namespaces(), accounts }
    }
}

fn namespaces(known: &Known<'_>, object: &Object, source: &Source, path: &str, out: &mut Findings) {
    for (field, list) in [("namespaces", &source.namespaces), ("notNamespaces", &source.not_namespaces)] {
        for (i, name) in list.iter().enumerate() {
            let exists = known.namespaces.contains(name.as_str()) || NAMESPACES.contains(&name.as_str());
            if exists || name.contains('*') {
                continue;
            }
            let near = nearest(name, known.namespaces.iter().copied());
            let fix =
                near.map_or_else(|| "define it, or remove it here".into(), |n| format!("did you mean {n}?"));
            let path = FieldPath::from(format!("{path}.{field}[{i}]").as_str());
            out.report_as(Severity::Warning, object, path, format!("no namespace {name}"), fix);
        }
    }
}

fn accounts(known: &Known<'_>, object: &Object, source: &Source, path: &str, out: &mut Findings) {
    let principals = source.principals.iter().enumerate().filter_map(|(i, principal)| {
        let mut parts = principal.split('/');
        let (_, ns) = (parts.next()?, parts.next().filter(|p| *p == "ns").and(parts.next())?);
        let account = parts.next().filter(|p| *p == "sa").and(parts.next())?;
        Some((format!("principals[{i}]"), ns, account))
    });
    let own = object.meta.namespace.as_str();
    let accounts = source.service_accounts.iter().enumerate().map(|(i, written)| {
        let (ns, account) = written.split_once('/').unwrap_or((own, written));
        (format!("serviceAccounts[{i}]"), ns, account)
    });
    for (field, namespace, account) in principals.chain(accounts) {
        // Of a namespace in which nothing runs here nothing is known.
        let Some(there) = known.accounts.get(namespace) else { continue };
        if there.contains(account) || account.contains('*') || account == "default" {
            continue;
        }
        let fix = nearest(account, there.iter().copied())
            .map_or_else(|| "define it, or correct the name".into(), |n| format!("did you mean {n}?"));
        let message =
            format!("namespace {namespace} has no service account {account}, and no workload uses one");
        let path = FieldPath::from(format!("{path}.{field}").as_str());
        out.report_as(Severity::Warning, object, path, message, fix);
    }
}
