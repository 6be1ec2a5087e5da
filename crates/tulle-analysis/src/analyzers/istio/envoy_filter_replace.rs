//! REPLACE where it is not known: it is for filters alone.

use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::patches::patches;
use crate::whole::Whole;

/// An EnvoyFilter replaces something that is no HTTP or network filter.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0152",
    name: "EnvoyFilterUsesReplaceOperationIncorrectly",
    severity: Severity::Error,
    about: "An EnvoyFilter replaces something that is no HTTP or network filter",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for at in patches(whole).filter(|p| p.is_misplaced_replace()) {
        let what = at.patch.apply_to.map_or("nothing", |a| a.as_str());
        let message = format!("REPLACE is for HTTP_FILTER and NETWORK_FILTER, not for {what}");
        out.report(at.object, at.path("patch.operation"), message, "use MERGE, or REMOVE and ADD");
    }
}
