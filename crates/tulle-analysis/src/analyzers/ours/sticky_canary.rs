//! Consistent hashing below a weighted split: the version is drawn first, for every request anew, so that a user who is
//! bound to an endpoint still flips between versions.

use tulle_base::Severity;
use tulle_mesh::destination::{Algorithm, DestinationRule, LoadBalancer};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::splits::splits;
use crate::whole::Whole;

/// A weighted split leads to versions that are balanced by hash, so that users flip between versions.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0306",
    name: "StickyCanary",
    severity: Severity::Warning,
    about: "A weighted split leads to versions that are balanced by hash, so that users flip between versions",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for split in splits(whole) {
        let hashed =
            split.versions.iter().find(|(_, subset, rule)| rule.as_ref().is_some_and(|r| hashes(r, subset)));
        if let Some((host, _, Some(rule))) = hashed {
            let message = format!(
                "{} binds requests to endpoints of {host} by hash, but the split draws a version for every request first: \
                 users flip between versions",
                rule.meta.resource
            );
            let fix = "route by a header or cookie instead of by weight while users must stay";
            out.report(split.route.object, split.route.path("route"), message, fix);
        }
    }
}

fn hashes(rule: &DestinationRule, subset: &str) -> bool {
    let hash = |l: &Option<LoadBalancer>| {
        l.as_ref().is_some_and(|l| matches!(l.algorithm, Some(Algorithm::Consistent(_))))
    };
    let own = rule.subsets.iter().find(|s| s.name == subset).map(|s| &s.policy);
    match own.filter(|p| p.load_balancer.is_some()) {
        Some(own) => hash(&own.load_balancer),
        None => hash(&rule.policy.load_balancer),
    }
}
