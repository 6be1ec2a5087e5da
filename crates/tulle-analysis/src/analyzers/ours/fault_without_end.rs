//! Faults that hit every request of a host until somebody remembers them: no condition picks the requests, and nothing in the
//! configuration ends them.

use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::matches::is_catch_all;
use crate::reason::routes::http_routes;
use crate::whole::Whole;

/// A fault has no condition and hits everyone until somebody removes it.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0308",
    name: "FaultWithoutEnd",
    severity: Severity::Info,
    about: "A fault has no condition and hits everyone until somebody removes it",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for route in http_routes(whole).filter(|r| r.route.fault.is_some()) {
        let matches = &route.route.matches;
        let narrowed = |m: &tulle_api::istio::HttpMatchRequest| {
            !is_catch_all(m) || !m.source_labels.is_empty() || !m.source_namespace.is_empty()
        };
        if matches.is_empty() || matches.iter().any(|m| !narrowed(m)) {
            let message =
                "the fault has no condition and no end: it is there for everyone until the route changes";
            let fix =
                "match a header that only the experiment sets, and keep the rule without fault below it";
            out.report(route.object, route.path("fault"), message, fix);
        }
    }
}
