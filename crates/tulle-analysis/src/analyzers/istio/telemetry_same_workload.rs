//! Several Telemetry resources that select the same pods: which one holds is left to chance.

use std::collections::BTreeMap;

use tulle_api::Object;
use tulle_api::istio::Telemetry;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::text::some_of;
use crate::whole::Whole;

/// Several Telemetry resources select the same pods.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0159",
    name: "ConflictingTelemetryWorkloadSelectors",
    severity: Severity::Error,
    about: "Several Telemetry resources select the same pods",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let mut of_pods: BTreeMap<usize, Vec<&Object>> = BTreeMap::new();
    for (object, spec) in whole.all::<Telemetry>() {
        let Some(selector) = spec.selector.as_ref().filter(|s| !s.match_labels.is_empty()) else { continue };
        for pods in whole.pods().select(Some(&object.meta.namespace), &selector.match_labels) {
            of_pods.entry(pods.id).or_default().push(object);
        }
    }
    let mut reported: BTreeMap<(&str, &str), (&Object, Vec<String>, String)> = BTreeMap::new();
    for (id, all) in of_pods.into_iter().filter(|(_, all)| all.len() > 1) {
        for object in &all {
            let others = all.iter().filter(|o| !std::ptr::eq(**o, *object)).map(|o| o.resource().to_string());
            let key = (object.meta.namespace.as_str(), object.meta.name.as_str());
            let pods = whole.pods().get(id).object.resource().to_string();
            reported.entry(key).or_insert_with(|| (object, others.collect(), pods));
        }
    }
    for (object, others, pods) in reported.into_values() {
        let message = format!("selects the pods of {pods}, as {} does", some_of(&others));
        let fix = "let one of them alone select these pods";
        out.report(object, FieldPath::from("spec.selector"), message, fix);
    }
}
