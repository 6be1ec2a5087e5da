//! Several Sidecars for one whole namespace: only the oldest holds.

use std::collections::BTreeMap;

use tulle_api::Object;
use tulle_api::istio::Sidecar;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::age;
use crate::reason::text::some_of;
use crate::whole::Whole;

/// Several Sidecars are for one whole namespace.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0111",
    name: "MultipleSidecarsWithoutWorkloadSelectors",
    severity: Severity::Error,
    about: "Several Sidecars are for one whole namespace",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let mut of_namespace: BTreeMap<&str, Vec<&Object>> = BTreeMap::new();
    for (object, spec) in whole.all::<Sidecar>() {
        if spec.workload_selector.as_ref().is_none_or(|s| s.labels.is_empty()) {
            of_namespace.entry(&object.meta.namespace).or_default().push(object);
        }
    }
    for (namespace, mut all) in of_namespace.into_iter().filter(|(_, all)| all.len() > 1) {
        all.sort_by(|a, b| age::by_age(a, b));
        for object in &all {
            let others: Vec<String> = all
                .iter()
                .filter(|o| !std::ptr::eq(**o, *object))
                .map(|o| o.resource().to_string())
                .collect();
            let message = format!(
                "is for the whole namespace {namespace}, as {} is; {} holds, the others do not",
                some_of(&others),
                all[0].resource()
            );
            out.report(
                object,
                FieldPath::from("spec"),
                message,
                "merge them, or give each a workloadSelector",
            );
        }
    }
}
