//! Annotations that are on their way out.

use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::annotations::{Stage, written};
use crate::whole::Whole;

/// An annotation is deprecated.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0135",
    name: "DeprecatedAnnotation",
    severity: Severity::Info,
    about: "An annotation is deprecated",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for at in written(whole) {
        if let Some(Stage::Deprecated(instead)) = at.known.map(|known| known.stage) {
            out.report(at.object, at.path(), "is deprecated", instead);
        }
    }
}
