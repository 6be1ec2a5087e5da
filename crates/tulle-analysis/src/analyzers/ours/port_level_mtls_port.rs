//! Modes of ports that name a port of the service where a port of the workload is meant.

use std::collections::{BTreeMap, BTreeSet};

use tulle_api::istio::PeerAuthentication;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::whole::Whole;

/// portLevelMtls names a port of the service, or none at all, instead of one of the workload.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0104",
    name: "PortLevelMtlsPort",
    severity: Severity::Warning,
    about: "portLevelMtls names a port of the service, or none at all, instead of one of the workload",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<PeerAuthentication>() {
        let Some(selector) = spec.selector.as_ref().filter(|s| !s.match_labels.is_empty()) else { continue };
        if spec.port_level_mtls.is_empty() {
            continue;
        }
        let (mut targets, mut service_ports) = (BTreeSet::new(), BTreeMap::new());
        for pods in whole.pods().select(Some(&object.meta.namespace), &selector.match_labels) {
            for (service, port, target) in whole.fronts().ports_of(pods) {
                targets.insert(u32::from(target));
                service_ports.insert(u32::from(port.number), (service.hostname.to_string(), target));
            }
            let containers = pods.spec.containers.iter().flat_map(|c| &c.ports);
            targets.extend(containers.filter_map(|p| u32::try_from(p.container_port).ok()));
        }
        if targets.is_empty() {
            continue; // Nothing is known about the workloads' ports.
        }
        for number in spec.port_level_mtls.keys().filter(|n| !targets.contains(n)) {
            let path = FieldPath::from(format!("spec.portLevelMtls.{number}").as_str());
            match service_ports.get(number) {
                Some((host, target)) => out.report(
                    object,
                    path,
                    format!("{number} is a port of the service {host}; the workload's port is {target}"),
                    format!("write {target}"),
                ),
                None => {
                    let known: Vec<String> = targets.iter().map(ToString::to_string).collect();
                    let message = format!(
                        "no workload that is selected has a port {number} that services or containers name"
                    );
                    out.report(object, path, message, format!("known are {}", known.join(", ")));
                }
            }
        }
    }
}
