//! Pods that run without a proxy although their namespace wants one: they started before it was labelled.

use tulle_api::kubernetes::PodSpec;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::pods::injected;
use crate::whole::Whole;

/// A running pod has no proxy although its namespace asks for one.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0103",
    name: "PodMissingProxy",
    severity: Severity::Warning,
    about: "A running pod has no proxy although its namespace asks for one",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<PodSpec>() {
        // A pod without status does not run yet, and is injected when it does.
        let runs = object.status.is_some() && object.meta.deletion_timestamp.is_none();
        let namespace = object.meta.namespace.as_str();
        let labels = whole.pods().namespace_labels(namespace);
        let has = spec.init_containers.iter().chain(&spec.containers).any(|c| c.name == "istio-proxy");
        if !runs || has || !injected(labels, &object.meta, spec, namespace) {
            continue;
        }
        let message = format!("runs without a proxy although namespace {namespace} asks for one");
        let fix = "restart it (delete it and let its owner make it anew)";
        out.report(object, FieldPath::from("spec.containers"), message, fix);
    }
}
