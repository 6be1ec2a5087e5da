//! REMOVE of route configurations, which is ignored.

use tulle_api::istio::EnvoyPatchOperation;
use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::patches::patches;
use crate::whole::Whole;

/// An EnvoyFilter removes a route configuration, which is ignored.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0154",
    name: "EnvoyFilterUsesRemoveOperationIncorrectly",
    severity: Severity::Error,
    about: "An EnvoyFilter removes a route configuration, which is ignored",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let removes = |o| o == Some(EnvoyPatchOperation::Remove);
    for at in patches(whole).filter(|p| p.is_ignored_on_routes() && removes(p.operation())) {
        let what = at.patch.apply_to.map_or("nothing", |a| a.as_str());
        let message = format!("REMOVE is ignored for {what}");
        out.report(
            at.object,
            at.path("patch.operation"),
            message,
            "remove the virtual hosts or routes in it",
        );
    }
}
