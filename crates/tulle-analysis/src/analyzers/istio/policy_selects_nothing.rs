//! Policies, Sidecars and EnvoyFilters that select labels that no workload has: they hold for nobody.
//!
//! Judged only where workloads are part of the configuration.

use tulle_api::Object;
use tulle_api::istio::{
    AuthorizationPolicy, EnvoyFilter, PeerAuthentication, RequestAuthentication, Sidecar, Telemetry,
    WorkloadEntry,
};
use tulle_api::policy::RateLimit;
use tulle_base::nearest::nearest;
use tulle_base::{FieldPath, Labels, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::matches::contains;
use crate::whole::Whole;

/// The selector of a policy, Sidecar or EnvoyFilter matches no workload.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0127",
    name: "NoMatchingWorkloadsFound",
    severity: Severity::Warning,
    about: "The selector of a policy, Sidecar or EnvoyFilter matches no workload",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<AuthorizationPolicy>() {
        one(whole, object, "spec.selector", spec.selector.as_ref().map(|s| &s.match_labels), out);
    }
    for (object, spec) in whole.all::<PeerAuthentication>() {
        one(whole, object, "spec.selector", spec.selector.as_ref().map(|s| &s.match_labels), out);
    }
    for (object, spec) in whole.all::<RequestAuthentication>() {
        one(whole, object, "spec.selector", spec.selector.as_ref().map(|s| &s.match_labels), out);
    }
    for (object, spec) in whole.all::<Telemetry>() {
        one(whole, object, "spec.selector", spec.selector.as_ref().map(|s| &s.match_labels), out);
    }
    for (object, spec) in whole.all::<RateLimit>() {
        one(whole, object, "spec.selector", spec.selector.as_ref().map(|s| &s.match_labels), out);
    }
    for (object, spec) in whole.all::<Sidecar>() {
        one(whole, object, "spec.workloadSelector", spec.workload_selector.as_ref().map(|s| &s.labels), out);
    }
    for (object, spec) in whole.all::<EnvoyFilter>() {
        one(whole, object, "spec.workloadSelector", spec.workload_selector.as_ref().map(|s| &s.labels), out);
    }
}

fn one(whole: &Whole<'_>, object: &Object, path: &str, labels: Option<&Labels>, out: &mut Findings) {
    let Some(labels) = labels.filter(|l| !l.is_empty()) else { return };
    let namespace = object.meta.namespace.as_str();
    let root = namespace == whole.root_namespace();
    let scope = (!root).then_some(namespace);
    let pods = whole.pods();
    let unknown = if root { pods.is_empty() } else { pods.of_namespace(namespace).next().is_none() };
    let of_gateway = labels.iter().all(|(k, v)| BUILT_IN.contains(&(k.as_str(), v.as_str())));
    let machine = || {
        let here = whole.all::<WorkloadEntry>().filter(|(o, _)| root || o.meta.namespace == namespace);
        here.map(|(_, entry)| &entry.labels).any(|l| contains(l, labels))
    };
    if unknown || (root && of_gateway) || pods.select(scope, labels).next().is_some() || machine() {
        return;
    }
    let wanted: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let there: Vec<String> = pods
        .iter()
        .filter(|p| root || p.namespace() == namespace)
        .flat_map(|p| p.labels().iter().filter(|(k, _)| labels.contains_key(*k)))
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    let near = wanted.iter().find_map(|w| nearest(w, there.iter().map(String::as_str)).filter(|n| n != w));
    let fix =
        near.map_or_else(|| "write the labels of the pods".to_owned(), |n| format!("did you mean {n}?"));
    let place = if root { "the mesh".to_owned() } else { format!("namespace {namespace}") };
    let message = format!("no workload of {place} has {}: this holds for nobody", wanted.join(", "));
    out.report(object, FieldPath::from(path), message, fix);
}

/// Labels of the ingress gateway that every mesh has.
const BUILT_IN: [(&str, &str); 2] = [("istio", "ingressgateway"), ("app", "istio-ingressgateway")];
