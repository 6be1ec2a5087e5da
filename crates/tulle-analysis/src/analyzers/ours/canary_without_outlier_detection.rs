//! Splits between versions of a host without outlier detection: a bad canary keeps its share of the requests.

use tulle_base::{Host, Severity};
use tulle_mesh::destination::DestinationRule;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::splits::splits;
use crate::whole::Whole;

/// A weighted split has no outlier detection for its versions.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0305",
    name: "CanaryWithoutOutlierDetection",
    severity: Severity::Warning,
    about: "A weighted split has no outlier detection for its versions",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for split in splits(whole) {
        let mut bare: Vec<String> = Vec::new();
        for (host, subset, rule) in &split.versions {
            if !rule.as_ref().is_some_and(|r| ejects(r, subset)) {
                bare.push(name(host, subset));
            }
        }
        if !bare.is_empty() {
            let message = format!(
                "splits requests between versions, but no outlierDetection takes failing endpoints of {} out",
                bare.join(" and ")
            );
            let fix = "give trafficPolicy.outlierDetection in the DestinationRule";
            out.report(split.route.object, split.route.path("route"), message, fix);
        }
    }
}

fn ejects(rule: &DestinationRule, subset: &str) -> bool {
    let own = rule.subsets.iter().find(|s| s.name == subset).map(|s| &s.policy);
    let any = |p: &tulle_mesh::destination::TrafficPolicy| {
        p.outlier.is_some() || p.ports.iter().any(|(_, p)| p.outlier.is_some())
    };
    own.is_some_and(any) || any(&rule.policy)
}

fn name(host: &Host, subset: &str) -> String {
    if subset.is_empty() { host.to_string() } else { format!("{host} subset {subset}") }
}
