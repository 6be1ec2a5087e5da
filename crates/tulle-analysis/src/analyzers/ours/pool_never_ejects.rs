//! Outlier detection that can eject nobody: a share of the pool below one endpoint.
//!
//! At the default of 10 % that is every pool with fewer than 10 endpoints.

use tulle_api::istio::DestinationRule;
use tulle_api::istio::{OutlierDetection, TrafficPolicy};
use tulle_base::{FieldPath, Labels, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::hosts::fqdn;
use crate::reason::matches::contains;
use crate::reason::resilience::can_eject;
use crate::whole::Whole;

/// maxEjectionPercent (10 by default) of the pool is less than one endpoint.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0310",
    name: "PoolNeverEjects",
    severity: Severity::Warning,
    about: "maxEjectionPercent (10 by default) of the pool is less than one endpoint",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let none = Labels::new();
    for (object, spec) in whole.all::<DestinationRule>() {
        let host = fqdn(&spec.host, &object.meta.namespace, whole.mesh());
        let Some(service) = whole.fronts().of_host(&host) else { continue };
        let mut blocks = Vec::new();
        let top = FieldPath::from("spec.trafficPolicy");
        outliers(spec.traffic_policy.as_ref(), &top, &none, &mut blocks);
        for (i, subset) in spec.subsets.iter().enumerate() {
            let path = FieldPath::from(format!("spec.subsets[{i}].trafficPolicy").as_str());
            outliers(subset.traffic_policy.as_ref(), &path, &subset.labels, &mut blocks);
        }
        for (outlier, path, labels) in blocks {
            let hosts = endpoints(whole, service, labels);
            let written = outlier.max_ejection_percent;
            if hosts == 0 || can_eject(written, hosts) > 0 || written == Some(0) {
                continue;
            }
            let percent = written.unwrap_or(10);
            let default = if written.is_none() { " (the default)" } else { "" };
            let message = format!(
                "{percent} %{default} of {hosts} endpoints is less than one: nothing is ever ejected"
            );
            let fix = format!("write maxEjectionPercent: {}", 100u32.div_ceil(hosts).min(100));
            out.report(object, path, message, fix);
        }
    }
}

fn outliers<'a>(
    policy: Option<&'a TrafficPolicy>,
    at: &FieldPath,
    labels: &'a Labels,
    out: &mut Vec<(&'a OutlierDetection, FieldPath, &'a Labels)>,
) {
    let Some(policy) = policy else { return };
    let add = |o: &'a OutlierDetection, path: FieldPath| (o, path.field("outlierDetection"), labels);
    out.extend(policy.outlier_detection.as_ref().map(|o| add(o, at.clone())));
    for (i, port) in policy.port_level_settings.iter().enumerate() {
        let path = at.field("portLevelSettings").index(i);
        out.extend(port.outlier_detection.as_ref().map(|o| add(o, path)));
    }
}

/// The endpoints of a service with these labels: the pods that are wanted, or those written down.
fn endpoints(whole: &Whole<'_>, service: usize, labels: &Labels) -> u32 {
    let (fronts, pods) = (whole.fronts(), whole.pods());
    let behind = fronts.of_service(service).iter().map(|id| pods.get(*id));
    let wanted = behind.filter(|p| contains(p.labels(), labels)).map(|p| p.replicas);
    let written = fronts.services[service].endpoints.iter().filter(|e| contains(&e.labels, labels)).count();
    wanted.fold(u32::try_from(written).unwrap_or(u32::MAX), u32::saturating_add)
}
