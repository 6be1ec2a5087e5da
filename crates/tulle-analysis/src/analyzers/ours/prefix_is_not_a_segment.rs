//! Prefixes that match more than the path below them: `/cart` is also the beginning of `/cartoons`.

use std::collections::BTreeSet;

use tulle_api::istio::StringMatch;
use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::routes::http_routes;
use crate::whole::Whole;

/// A path prefix ends within a segment and matches more than what is below it.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0207",
    name: "PrefixIsNotASegment",
    severity: Severity::Info,
    about: "A path prefix ends within a segment and matches more than what is below it",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for route in http_routes(whole) {
        let mut seen = BTreeSet::new();
        for (i, matched) in route.route.matches.iter().enumerate() {
            let Some(StringMatch::Prefix(prefix)) = &matched.uri else { continue };
            let within =
                prefix.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_');
            if !within || !prefix.starts_with('/') || !seen.insert(prefix) {
                continue;
            }
            let message =
                format!("the prefix {prefix} matches {prefix}x as well: a prefix is text, not a segment");
            let fix = format!("match exact {prefix} and prefix {prefix}/ if only what is below it is meant");
            out.report(route.object, route.path(&format!("match[{i}].uri.prefix")), message, fix);
        }
    }
}
