//! Annotations in the mesh's own domains that mean nothing.

use tulle_base::Severity;
use tulle_base::nearest::nearest;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::annotations::{KNOWN, written};
use crate::whole::Whole;

/// An annotation in one of the mesh's domains is not a known one.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0108",
    name: "UnknownAnnotation",
    severity: Severity::Warning,
    about: "An annotation in one of the mesh's domains is not a known one",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for at in written(whole).into_iter().filter(|at| at.known.is_none()) {
        let domain = at.key.split('/').next().unwrap_or_default();
        if !(domain == "istio.io" || domain.ends_with(".istio.io")) {
            continue;
        }
        let fix = nearest(at.key, KNOWN.iter().map(|k| k.name))
            .map_or_else(|| "remove it, or correct the name".into(), |n| format!("did you mean {n}?"));
        out.report(at.object, at.path(), "is not a known annotation and has no effect", fix);
    }
}
