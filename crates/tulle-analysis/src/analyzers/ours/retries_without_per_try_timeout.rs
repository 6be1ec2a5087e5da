//! Retries without a limit for each try: the first one that hangs uses up all the time there is.

use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::routes::http_routes;
use crate::whole::Whole;

/// Retries have no perTryTimeout.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0304",
    name: "RetriesWithoutPerTryTimeout",
    severity: Severity::Info,
    about: "Retries have no perTryTimeout",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for route in http_routes(whole) {
        let Some((retries, path)) = route.retries() else { continue };
        if retries.attempts.unwrap_or(0) > 0 && retries.per_try_timeout.is_none() {
            let limit =
                route.timeout().map_or("for ever".to_owned(), |t| format!("for the whole timeout of {t:?}"));
            let message = format!("no perTryTimeout: a try that hangs is waited on {limit} and not repeated");
            out.report(route.object, path, message, "give perTryTimeout");
        }
    }
}
