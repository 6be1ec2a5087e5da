//! Outlier detection that may take every endpoint out at once: a short trouble everywhere becomes an outage.

use tulle_api::istio::{DestinationRule, OutlierDetection};
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::whole::Whole;

/// maxEjectionPercent is 100 without minHealthPercent.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0311",
    name: "EjectsEverything",
    severity: Severity::Info,
    about: "maxEjectionPercent is 100 without minHealthPercent",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<DestinationRule>() {
        let top = spec.traffic_policy.as_ref().map(|p| (p, "spec.trafficPolicy".to_owned()));
        let subsets = spec.subsets.iter().enumerate().filter_map(|(i, s)| {
            Some((s.traffic_policy.as_ref()?, format!("spec.subsets[{i}].trafficPolicy")))
        });
        for (policy, path) in top.into_iter().chain(subsets) {
            let path = FieldPath::from(path.as_str());
            let ports = policy.port_level_settings.iter().enumerate().filter_map(|(i, p)| {
                Some((p.outlier_detection.as_ref()?, path.field("portLevelSettings").index(i)))
            });
            let own = policy.outlier_detection.as_ref().map(|o| (o, path.clone()));
            for (outlier, path) in own.into_iter().chain(ports) {
                if everything(outlier) {
                    let path = path.field("outlierDetection").field("maxEjectionPercent");
                    let message = "every endpoint may be out at the same time, and then no request is served";
                    out.report(object, path, message, "write less than 100, or give minHealthPercent");
                }
            }
        }
    }
}

fn everything(outlier: &OutlierDetection) -> bool {
    outlier.max_ejection_percent.is_some_and(|p| p >= 100) && outlier.min_health_percent.unwrap_or(0) <= 0
}
