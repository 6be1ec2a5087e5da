//! Annotations of features that Istio calls alpha: they may change or go away there.

use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::annotations::{Stage, written};
use crate::whole::Whole;

/// An annotation belongs to a feature that Istio calls alpha.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0136",
    name: "AlphaAnnotation",
    severity: Severity::Info,
    about: "An annotation belongs to a feature that Istio calls alpha",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for at in written(whole) {
        if at.known.is_some_and(|known| known.stage == Stage::Alpha) {
            let message = "belongs to a feature that Istio calls alpha: it may change there";
            out.report(
                at.object,
                at.path(),
                message,
                "keep to features that are stable, where there are such",
            );
        }
    }
}
