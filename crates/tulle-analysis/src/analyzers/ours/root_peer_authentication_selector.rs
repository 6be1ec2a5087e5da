//! Policies of the root namespace that are meant for workloads elsewhere: with a selector they do not get there.

use tulle_api::istio::PeerAuthentication;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::text::some_of;
use crate::whole::Whole;

/// A PeerAuthentication of the root namespace selects workloads of other namespaces, where it does not hold.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0105",
    name: "RootPeerAuthenticationSelector",
    severity: Severity::Warning,
    about: "A PeerAuthentication of the root namespace selects workloads of other namespaces, where it does not hold",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let root = whole.root_namespace();
    for (object, spec) in whole.all::<PeerAuthentication>().filter(|(o, _)| o.meta.namespace == root) {
        let Some(selector) = spec.selector.as_ref().filter(|s| !s.match_labels.is_empty()) else { continue };
        let pods = whole.pods();
        if pods.select(Some(root), &selector.match_labels).next().is_some() {
            continue;
        }
        let elsewhere: Vec<String> =
            pods.select(None, &selector.match_labels).map(|p| p.object.resource().to_string()).collect();
        if elsewhere.is_empty() {
            continue; // That a selector matches nothing at all is reported as such.
        }
        let message = format!(
            "with a selector it holds for workloads of {root} alone, not for {}",
            some_of(&elsewhere)
        );
        let fix = "move it to the namespace of the workloads";
        out.report(object, FieldPath::from("spec.selector"), message, fix);
    }
}
