//! Annotations of the mesh on kinds where nobody reads them: on a Deployment instead of its pod template, for example.

use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::annotations::written;
use crate::whole::Whole;

/// An annotation of the mesh stands on a kind where nobody reads it.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0107",
    name: "MisplacedAnnotation",
    severity: Severity::Warning,
    about: "An annotation of the mesh stands on a kind where nobody reads it",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for at in written(whole) {
        let Some(known) = at.known else { continue };
        if known.on.is_empty() || known.on.contains(&at.kind) {
            continue;
        }
        let of_pods = known.on.contains(&"Pod") && at.makes_pods;
        let fix = if of_pods {
            "move it to spec.template.metadata.annotations".to_owned()
        } else {
            format!("it belongs on {}", known.on.join(" or "))
        };
        let message = format!("has no effect on a {}", at.kind);
        out.report(at.object, at.path(), message, fix);
    }
}
