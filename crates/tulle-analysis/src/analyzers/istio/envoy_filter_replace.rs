//! REPLACE where it is not known: it is for filters and virtual hosts.

use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::patches::patches;
use crate::whole::Whole;

/// An EnvoyFilter replaces something that is neither a filter nor a virtual host.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0152",
    name: "EnvoyFilterUsesReplaceOperationIncorrectly",
    severity: Severity::Error,
    about: "An EnvoyFilter replaces something that is neither a filter nor a virtual host",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for at in patches(whole).filter(|p| p.is_misplaced_replace()) {
        let what = at.patch.apply_to.map_or("nothing", |a| a.as_str());
        let message = format!("REPLACE is for filters and virtual hosts, not for {what}");
        out.report(at.object, at.path("patch.operation"), message, "use MERGE, or REMOVE and ADD");
    }
}
