//! Services that lead to one port of the same pods from different ports of theirs.
//!
//! Routes of the pod's sidecar are made for the oldest service's port; requests that came for another are counted under it.

use std::collections::{BTreeMap, BTreeSet};

use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::text::some_of;
use crate::whole::Whole;

/// Several services lead to one port of a workload from different ports.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0137",
    name: "DeploymentConflictingPorts",
    severity: Severity::Warning,
    about: "Several services lead to one port of a workload from different ports",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for pods in whole.pods().iter() {
        let mut of_target: BTreeMap<u16, BTreeMap<u16, Vec<String>>> = BTreeMap::new();
        for (service, port, target) in whole.fronts().ports_of(pods) {
            let of_port = of_target.entry(target).or_default();
            of_port.entry(port.number).or_default().push(service.name().to_owned());
        }
        for (target, of_port) in of_target.into_iter().filter(|(_, of_port)| of_port.len() > 1) {
            let services: BTreeSet<&String> = of_port.values().flatten().collect();
            if services.len() < 2 {
                continue; // One service may well have two ports for one.
            }
            let said: Vec<String> =
                of_port.iter().map(|(port, names)| format!("{port} ({})", names.join(", "))).collect();
            let message = format!("port {target} of its pods is reached as {}", some_of(&said));
            let path = FieldPath::from(format!("{}metadata.labels", pods.template).as_str());
            out.report(pods.object, path, message, "give the services the same port");
        }
    }
}
