//! Namespaces with both labels for injection: the one with a revision is ignored.

use crate::analyzer::{Analyzer, Findings};
use crate::whole::Whole;
use tulle_api::kubernetes::Namespace;
use tulle_base::{FieldPath, Severity};

/// A namespace has both istio-injection and istio.io/rev; the latter is ignored.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0123",
    name: "NamespaceMultipleInjectionLabels",
    severity: Severity::Warning,
    about: "A namespace has both istio-injection and istio.io/rev; the latter is ignored",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, _) in whole.all::<Namespace>() {
        let label = |key: &str| object.meta.labels.get(key);
        let (Some(injection), Some(revision)) = (label("istio-injection"), label("istio.io/rev")) else {
            continue;
        };
        let message =
            format!("is ignored: istio-injection: {injection} comes before istio.io/rev: {revision}");
        let path = FieldPath::from("metadata.labels").field("istio.io/rev");
        out.report(object, path, message, "keep one of the two labels");
    }
}
