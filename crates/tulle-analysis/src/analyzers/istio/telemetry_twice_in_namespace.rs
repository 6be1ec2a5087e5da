//! Several Telemetry resources for a whole namespace: which one holds is left to chance.

use std::collections::BTreeMap;

use tulle_api::Object;
use tulle_api::istio::Telemetry;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::text::some_of;
use crate::whole::Whole;

/// Several Telemetry resources are for one whole namespace.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0160",
    name: "MultipleTelemetriesWithoutWorkloadSelectors",
    severity: Severity::Error,
    about: "Several Telemetry resources are for one whole namespace",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let mut of_namespace: BTreeMap<&str, Vec<&Object>> = BTreeMap::new();
    for (object, spec) in whole.all::<Telemetry>() {
        let selects = spec.selector.as_ref().is_some_and(|s| !s.match_labels.is_empty());
        if !selects && spec.target_ref.is_none() && spec.target_refs.is_empty() {
            of_namespace.entry(&object.meta.namespace).or_default().push(object);
        }
    }
    for (namespace, all) in of_namespace.into_iter().filter(|(_, all)| all.len() > 1) {
        for object in &all {
            let others: Vec<String> = all
                .iter()
                .filter(|o| !std::ptr::eq(**o, *object))
                .map(|o| o.resource().to_string())
                .collect();
            let message = format!("is for the whole namespace {namespace}, as {} is", some_of(&others));
            out.report(object, FieldPath::from("spec"), message, "merge them, or give each a selector");
        }
    }
}
