//! Policies that select the pods of a Gateway API gateway by label, where `targetRefs` is asked for.

use tulle_api::Object;
use tulle_api::istio::{AuthorizationPolicy, RequestAuthentication, Telemetry, WasmPlugin, WorkloadSelector};
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::pods::GATEWAY_NAME;
use crate::whole::Whole;

/// A policy selects pods of a Gateway API gateway by label instead of by targetRefs.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0166",
    name: "IneffectiveSelector",
    severity: Severity::Warning,
    about: "A policy selects pods of a Gateway API gateway by label instead of by targetRefs",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<AuthorizationPolicy>() {
        let targets = spec.target_ref.is_some() || !spec.target_refs.is_empty();
        one(whole, object, spec.selector.as_ref().filter(|_| !targets), out);
    }
    for (object, spec) in whole.all::<RequestAuthentication>() {
        let targets = spec.target_ref.is_some() || !spec.target_refs.is_empty();
        one(whole, object, spec.selector.as_ref().filter(|_| !targets), out);
    }
    for (object, spec) in whole.all::<Telemetry>() {
        let targets = spec.target_ref.is_some() || !spec.target_refs.is_empty();
        one(whole, object, spec.selector.as_ref().filter(|_| !targets), out);
    }
    for (object, spec) in whole.all::<WasmPlugin>() {
        let targets = spec.target_ref.is_some() || !spec.target_refs.is_empty();
        one(whole, object, spec.selector.as_ref().filter(|_| !targets), out);
    }
}

fn one(whole: &Whole<'_>, object: &Object, selector: Option<&WorkloadSelector>, out: &mut Findings) {
    let Some(selector) = selector.filter(|s| !s.match_labels.is_empty()) else { return };
    let mut selected = whole.pods().select(Some(&object.meta.namespace), &selector.match_labels);
    let gateway = selected.find_map(|p| p.labels().get(GATEWAY_NAME));
    if let Some(gateway) = gateway {
        let message = format!("selects pods of the Gateway {gateway}, for which a selector has no effect");
        let fix = format!("write targetRefs with kind Gateway and name {gateway}");
        out.report(object, FieldPath::from("spec.selector"), message, fix);
    }
}
