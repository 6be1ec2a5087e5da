//! Several Sidecars that select the same pods: only the oldest holds.

use std::collections::{BTreeMap, BTreeSet};

use tulle_api::Object;
use tulle_api::istio::Sidecar;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::age;
use crate::reason::text::some_of;
use crate::whole::Whole;

/// Several Sidecars select the same pods.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0110",
    name: "ConflictingSidecarWorkloadSelectors",
    severity: Severity::Error,
    about: "Several Sidecars select the same pods",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let mut of_pods: BTreeMap<usize, Vec<&Object>> = BTreeMap::new();
    for (object, spec) in whole.all::<Sidecar>() {
        let Some(selector) = spec.workload_selector.as_ref().filter(|s| !s.labels.is_empty()) else {
            continue;
        };
        for pods in whole.pods().select(Some(&object.meta.namespace), &selector.labels) {
            of_pods.entry(pods.id).or_default().push(object);
        }
    }
    let mut told: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (id, mut all) in of_pods.into_iter().filter(|(_, all)| all.len() > 1) {
        all.sort_by(|a, b| age::by_age(a, b));
        let winner = all[0];
        for object in &all {
            if !told.insert((&object.meta.namespace, &object.meta.name)) {
                continue;
            }
            let others: Vec<String> = all
                .iter()
                .filter(|o| !std::ptr::eq(**o, *object))
                .map(|o| o.resource().to_string())
                .collect();
            let pods = whole.pods().get(id).object.resource();
            let message = format!(
                "selects the pods of {pods}, as {} does; {} holds there, the others do not",
                some_of(&others),
                winner.resource()
            );
            let fix = "let one of them alone select these pods";
            out.report(object, FieldPath::from("spec.workloadSelector"), message, fix);
        }
    }
}
