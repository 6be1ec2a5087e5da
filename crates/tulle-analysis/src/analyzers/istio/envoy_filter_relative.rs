//! Patches whose place depends on other filters, without a priority: what they find there depends on the order of patches.

use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::patches::patches;
use crate::whole::Whole;

/// An EnvoyFilter inserts, removes or replaces relative to other filters, and has no priority.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0151",
    name: "EnvoyFilterUsesRelativeOperation",
    severity: Severity::Warning,
    about: "An EnvoyFilter inserts, removes or replaces relative to other filters, and has no priority",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for at in patches(whole).filter(|p| p.is_relative_without_priority() && p.proxy_version().is_empty()) {
        let message = "is relative to other filters, but no priority says when: what it is relative to may not be there yet";
        out.report(
            at.object,
            at.path("patch.operation"),
            message,
            "give spec.priority, or use INSERT_FIRST or ADD",
        );
    }
}
