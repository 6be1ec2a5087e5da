//! Policies that hold for pods without a proxy, and Sidecars for gateways: nobody is there to apply them.

use tulle_api::Object;
use tulle_api::istio::{AuthorizationPolicy, PeerAuthentication, RequestAuthentication, Sidecar};
use tulle_base::{FieldPath, Labels, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::pods::Pods;
use crate::reason::text::some_of;
use crate::whole::Whole;

/// A policy selects only pods that have no proxy to apply it, or a Sidecar only gateways.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0167",
    name: "IneffectivePolicy",
    severity: Severity::Warning,
    about: "A policy selects only pods that have no proxy to apply it, or a Sidecar only gateways",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    const NO_PROXY: &str = "no proxy is in the selected pods";
    let fix = "let sidecars be injected there, or remove it";
    for (object, spec) in whole.all::<AuthorizationPolicy>() {
        let labels = spec.selector.as_ref().map(|s| &s.match_labels);
        one(whole, object, labels, "spec.selector", |p| p.in_mesh(), (NO_PROXY, fix), out);
    }
    for (object, spec) in whole.all::<PeerAuthentication>() {
        let labels = spec.selector.as_ref().map(|s| &s.match_labels);
        one(whole, object, labels, "spec.selector", |p| p.in_mesh(), (NO_PROXY, fix), out);
    }
    for (object, spec) in whole.all::<RequestAuthentication>() {
        let labels = spec.selector.as_ref().map(|s| &s.match_labels);
        one(whole, object, labels, "spec.selector", |p| p.in_mesh(), (NO_PROXY, fix), out);
    }
    for (object, spec) in whole.all::<Sidecar>() {
        let labels = spec.workload_selector.as_ref().map(|s| &s.labels);
        let why = ("the selected pods are gateways, or have no proxy, and ignore Sidecars", "remove it");
        one(whole, object, labels, "spec.workloadSelector", |p| p.injected && !p.is_gateway(), why, out);
    }
}

/// Reports a resource whose selected pods are there, and are all of the wrong sort.
fn one(
    whole: &Whole<'_>,
    object: &Object,
    labels: Option<&Labels>,
    path: &str,
    right: fn(&Pods<'_>) -> bool,
    (why, fix): (&str, &str),
    out: &mut Findings,
) {
    let Some(labels) = labels.filter(|l| !l.is_empty()) else { return };
    let namespace = object.meta.namespace.as_str();
    let scope = (namespace != whole.root_namespace()).then_some(namespace);
    let selected: Vec<_> = whole.pods().select(scope, labels).collect();
    if selected.is_empty() || selected.iter().any(|p| right(p)) {
        return;
    }
    let names: Vec<String> = selected.iter().map(|p| p.object.resource().to_string()).collect();
    out.report(object, FieldPath::from(path), format!("has no effect: {why} ({})", some_of(&names)), fix);
}
