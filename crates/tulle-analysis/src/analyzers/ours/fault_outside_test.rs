//! Faults where users are.

use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::routes::http_routes;
use crate::reason::test_namespaces::is_test_namespace;
use crate::whole::Whole;

/// Faults are injected in a namespace that neither name nor labels call one for tests.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0307",
    name: "FaultOutsideTest",
    severity: Severity::Warning,
    about: "Faults are injected in a namespace that neither name nor labels call one for tests",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for route in http_routes(whole).filter(|r| r.route.fault.is_some()) {
        let namespace = route.object.meta.namespace.as_str();
        if !is_test_namespace(namespace, whole.pods().namespace_labels(namespace)) {
            let message = format!(
                "injects faults in {namespace}, which neither name nor labels call a namespace for tests"
            );
            let fix = "move it to a namespace for tests, or label this one with environment: test";
            out.report(route.object, route.path("fault"), message, fix);
        }
    }
}
