//! Routes with faults and with a timeout or retries, of which Istio applies only the faults.

use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::routes::http_routes;
use crate::whole::Whole;

/// A timeout or retries stand beside a fault, on which they do not act.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0309",
    name: "FaultReplacesRetries",
    severity: Severity::Info,
    about: "A timeout or retries stand beside a fault, on which they do not act",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for route in http_routes(whole).filter(|r| r.route.fault.is_some()) {
        let timeout = route.route.timeout.as_ref().map(|_| "timeout");
        let retries = route.route.retries.as_ref().filter(|r| r.attempts != Some(0)).map(|_| "retries");
        for field in [timeout, retries].into_iter().flatten() {
            let message = "does not act on injected faults: a fault is decided before the request is sent";
            out.report(route.object, route.path(field), message, "test it with faults at the callee instead");
        }
    }
}
