//! ADD of route configurations, which is ignored.

use tulle_api::istio::EnvoyPatchOperation;
use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::patches::patches;
use crate::whole::Whole;

/// An EnvoyFilter adds a route configuration, which is ignored.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0153",
    name: "EnvoyFilterUsesAddOperationIncorrectly",
    severity: Severity::Error,
    about: "An EnvoyFilter adds a route configuration, which is ignored",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let adds = |o| o == Some(EnvoyPatchOperation::Add);
    for at in patches(whole).filter(|p| p.is_ignored_on_routes() && adds(p.operation())) {
        let what = at.patch.apply_to.map_or("nothing", |a| a.as_str());
        let message = format!("ADD is ignored for {what}");
        out.report(
            at.object,
            at.path("patch.operation"),
            message,
            "add virtual hosts or routes to one that there is",
        );
    }
}
