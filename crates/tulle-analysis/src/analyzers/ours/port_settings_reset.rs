//! Settings of a port that leave out what the host's policy sets: for that port it is reset to the default.

use tulle_api::istio::{DestinationRule, PortTrafficPolicy, TrafficPolicy};
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::whole::Whole;

/// Settings of a port leave out blocks of the host's policy and so reset them.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0312",
    name: "PortSettingsReset",
    severity: Severity::Warning,
    about: "Settings of a port leave out blocks of the host's policy and so reset them",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<DestinationRule>() {
        let Some(host) = &spec.traffic_policy else { continue };
        for (i, port) in host.port_level_settings.iter().enumerate() {
            let lost = lost(host, port);
            if lost.is_empty() {
                continue;
            }
            let number = port.port.as_ref().and_then(|p| p.number).unwrap_or(0);
            let path = FieldPath::from(format!("spec.trafficPolicy.portLevelSettings[{i}]").as_str());
            let message = format!(
                "replaces the host's policy as a whole: port {number} is left without its {}",
                lost.join(" and ")
            );
            out.report(object, path, message, "repeat here what should hold for the port too");
        }
    }
}

fn lost(host: &TrafficPolicy, port: &PortTrafficPolicy) -> Vec<&'static str> {
    let blocks = [
        ("loadBalancer", host.load_balancer.is_some(), port.load_balancer.is_some()),
        ("connectionPool", host.connection_pool.is_some(), port.connection_pool.is_some()),
        ("outlierDetection", host.outlier_detection.is_some(), port.outlier_detection.is_some()),
        ("tls", host.tls.is_some(), port.tls.is_some()),
    ];
    blocks.into_iter().filter(|(_, above, here)| *above && !here).map(|(name, _, _)| name).collect()
}
