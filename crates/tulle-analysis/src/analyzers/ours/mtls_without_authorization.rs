//! Workloads that check who calls them and let everyone in.
//!
//! Mutual TLS tells who the caller is; without an AuthorizationPolicy every workload of the mesh may call every other.

use std::collections::BTreeMap;

use tulle_api::istio::AuthorizationAction;
use tulle_base::{FieldPath, ResourceRef, Severity};
use tulle_mesh::policy::MtlsMode;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::text::some_of;
use crate::whole::Whole;

/// Workloads require mutual TLS, but no AuthorizationPolicy says who may call them.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0102",
    name: "MtlsWithoutAuthorization",
    severity: Severity::Warning,
    about: "Workloads require mutual TLS, but no AuthorizationPolicy says who may call them",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let mut open: BTreeMap<(ResourceRef, &str), Vec<&str>> = BTreeMap::new();
    for pods in whole.pods().iter().filter(|p| p.injected) {
        let namespace = pods.namespace();
        let modes = whole.snapshot().peer_modes(namespace, pods.labels());
        let decided = modes.decided_by.filter(|_| modes.mode == MtlsMode::Strict);
        let Some(decided) = decided else { continue };
        let decides = |action| action != AuthorizationAction::Audit;
        if !whole.policies().of(namespace, pods.labels()).any(|p| decides(p.action())) {
            open.entry((decided.resource, namespace)).or_default().push(&pods.object.meta.name);
        }
    }
    for ((by, namespace), names) in open {
        let Some(object) = whole.object(&by) else { continue };
        let message = format!(
            "requires mutual TLS of {} in {namespace}, which no AuthorizationPolicy protects: every workload of the \
             mesh may call them",
            some_of(&names)
        );
        let fix = "deny by default with a policy without rules (spec: {}), and allow what is needed";
        out.report(object, FieldPath::from("spec.mtls"), message, fix);
    }
}
