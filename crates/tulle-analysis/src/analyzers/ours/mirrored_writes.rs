//! Copies of requests that write: the mirror does them again.

use tulle_api::istio::{HttpMatchRequest, StringMatch};
use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::routes::http_routes;
use crate::whole::Whole;

/// A mirror gets nothing but requests that write.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0212",
    name: "MirroredWrites",
    severity: Severity::Info,
    about: "A mirror gets nothing but requests that write",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for route in http_routes(whole) {
        let matches = &route.route.matches;
        if matches.is_empty() || !matches.iter().all(writes) {
            continue;
        }
        for (to, path, _) in route.mirrors() {
            let message = format!("every request here writes, and {} does it a second time", to.host);
            out.report(
                route.object,
                path,
                message,
                "see to it that the mirror has no data and no users of its own to reach",
            );
        }
    }
}

/// Whether a condition is for methods that change something only.
fn writes(matched: &HttpMatchRequest) -> bool {
    let write = |m: &str| matches!(m.trim(), "POST" | "PUT" | "PATCH" | "DELETE");
    match &matched.method {
        Some(StringMatch::Exact(method)) => write(method),
        Some(StringMatch::Regex(pattern)) => {
            pattern.trim_matches(|c| matches!(c, '^' | '$' | '(' | ')')).split('|').all(write)
        }
        _ => false,
    }
}
