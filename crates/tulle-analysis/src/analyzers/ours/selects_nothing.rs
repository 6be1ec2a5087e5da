//! Services, service entries and rules that select by labels that no workload of their namespace has.

use tulle_api::Object;
use tulle_api::istio::{DestinationRule, ServiceEntry, WorkloadEntry};
use tulle_api::kubernetes::Service;
use tulle_base::nearest::nearest;
use tulle_base::{FieldPath, Labels, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::matches::contains;
use crate::whole::Whole;

/// A Service, ServiceEntry or DestinationRule selects labels that no workload has; the nearest are given.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0201",
    name: "SelectsNothing",
    severity: Severity::Warning,
    about: "A Service, ServiceEntry or DestinationRule selects labels that no workload has; the nearest are given",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<Service>() {
        let effect = "the service has no endpoints, and calls of it fail with 503";
        one(whole, object, "spec.selector", &spec.selector, effect, out);
    }
    for (object, spec) in whole.all::<ServiceEntry>() {
        if let Some(selector) = &spec.workload_selector {
            // Endpoints outside of the cluster are selected too.
            let here = |o: &Object| o.meta.namespace == object.meta.namespace;
            let mut entries = whole.all::<WorkloadEntry>().filter(|(o, _)| here(o));
            if entries.any(|(_, e)| contains(&e.labels, &selector.labels)) {
                continue;
            }
            let effect = "the hosts have no endpoints";
            one(whole, object, "spec.workloadSelector", &selector.labels, effect, out);
        }
    }
    for (object, spec) in whole.all::<DestinationRule>() {
        if let Some(selector) = &spec.workload_selector {
            let effect = "the rule holds for no client";
            one(whole, object, "spec.workloadSelector", &selector.match_labels, effect, out);
        }
    }
}

fn one(whole: &Whole<'_>, object: &Object, path: &str, labels: &Labels, effect: &str, out: &mut Findings) {
    let namespace = object.meta.namespace.as_str();
    let pods = whole.pods();
    // Where no workload is known at all, they are simply not part of what is looked at.
    if labels.is_empty()
        || pods.of_namespace(namespace).next().is_none()
        || pods.select(Some(namespace), labels).next().is_some()
    {
        return;
    }
    let wanted: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let there: Vec<String> = pods
        .of_namespace(namespace)
        .flat_map(|p| p.labels().iter().filter(|(k, _)| labels.contains_key(*k)))
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    let near = wanted.iter().find_map(|w| nearest(w, there.iter().map(String::as_str)).filter(|n| n != w));
    let fix = near
        .map_or_else(|| "write the labels of the pods".to_owned(), |near| format!("did you mean {near}?"));
    let message = format!("no workload in {namespace} has {}: {effect}", wanted.join(", "));
    out.report(object, FieldPath::from(path), message, fix);
}
