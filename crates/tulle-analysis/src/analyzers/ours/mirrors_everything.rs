//! Mirrors that get a copy of every request, and so the whole load once more.

use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::routes::http_routes;
use crate::whole::Whole;

/// A mirror gets a copy of every request.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0213",
    name: "MirrorsEverything",
    severity: Severity::Info,
    about: "A mirror gets a copy of every request",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for route in http_routes(whole) {
        for (to, path, share) in route.mirrors() {
            if share >= 100.0 {
                let message = format!("{} gets a copy of every request, which doubles the load", to.host);
                out.report(route.object, path, message, "give mirrorPercentage; 5 to 10 is usual");
            }
        }
    }
}
