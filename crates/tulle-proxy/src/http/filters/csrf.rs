//! `envoy.filters.http.csrf`.

use tulle_engine::{
    decide::csrf::{self, CsrfVerdict},
    runtime::csrf::CsrfPolicy,
};

use crate::http::{exchange::Exchange, reply::Reply};

/// Refuses a request of another origin.
pub(super) fn ask(x: &Exchange<'_>, policy: &CsrfPolicy) -> Option<Reply> {
    let enabled = policy.enabled.hits(fastrand::u64(..));
    if !enabled && !policy.shadow.hits(fastrand::u64(..)) {
        return None;
    }
    let stats = &x.manager.stats;
    match csrf::decide(policy, &x.s.request) {
        CsrfVerdict::NotAsked => return None,
        CsrfVerdict::Valid => {
            stats.csrf_request_valid.inc();
            return None;
        }
        CsrfVerdict::Missing => stats.csrf_missing_source_origin.inc(),
        CsrfVerdict::Invalid => stats.csrf_request_invalid.inc(),
    }
    enabled.then(|| Reply::new(403, "Invalid origin", "csrf_origin_mismatch"))
}
