//! Annotations whose value cannot be read: they have no effect, or refuse the pod.

use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::annotations::written;
use crate::whole::Whole;

/// The value of an annotation cannot be read.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0125",
    name: "InvalidAnnotation",
    severity: Severity::Warning,
    about: "The value of an annotation cannot be read",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for at in written(whole) {
        let Some(wrong) = at.known.and_then(|known| known.value.problem(at.value)) else { continue };
        out.report(at.object, at.path(), format!("{:?} cannot be read", at.value), wrong);
    }
}
