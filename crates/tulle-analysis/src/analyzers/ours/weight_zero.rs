//! Destinations of a split that get nothing.

use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::routes::http_routes;
use crate::whole::Whole;

/// A destination of a split has no weight.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0203",
    name: "WeightZero",
    severity: Severity::Info,
    about: "A destination of a split has no weight",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for route in http_routes(whole) {
        let all = &route.route.route;
        let total: i64 = all.iter().map(|d| i64::from(d.weight.unwrap_or(0))).sum();
        if all.len() < 2 || total <= 0 {
            continue; // A sole destination gets everything; a sum of 0 is an error of its own.
        }
        for (i, to) in all.iter().enumerate().filter(|(_, d)| d.weight.unwrap_or(0) <= 0) {
            let what = if to.weight.is_some() { "weight 0" } else { "no weight" };
            let name = match to.destination.subset.as_str() {
                "" => to.destination.host.clone(),
                subset => format!("{} subset {subset}", to.destination.host),
            };
            let message = format!("{name} has {what} and gets no request");
            out.report(
                route.object,
                route.path(&format!("route[{i}].weight")),
                message,
                "give it a share or remove it",
            );
        }
    }
}
