//! Servers of gateways at ports that no Service of the gateway's pods has: nobody can reach them.

use std::collections::BTreeSet;

use tulle_api::istio::Gateway;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::whole::Whole;

/// A Gateway has a port that no Service of its pods has.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0162",
    name: "GatewayPortNotDefinedOnService",
    severity: Severity::Warning,
    about: "A Gateway has a port that no Service of its pods has",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<Gateway>().filter(|(_, s)| !s.selector.is_empty()) {
        let (mut ports, mut any) = (BTreeSet::new(), false);
        for pods in whole.pods().select(None, &spec.selector) {
            any = true;
            let services = whole.fronts().of_pods(pods).iter().map(|i| &whole.fronts().services[*i]);
            ports.extend(services.flat_map(|s| &s.ports).map(|p| u32::from(p.number)));
        }
        if !any {
            continue; // That nothing is selected is reported as such.
        }
        for (i, server) in spec.servers.iter().enumerate() {
            let Some(number) = server.port.number.filter(|n| !ports.contains(n)) else { continue };
            let path = FieldPath::from(format!("spec.servers[{i}].port.number").as_str());
            let known: Vec<String> = ports.iter().map(ToString::to_string).collect();
            let (message, fix) = if known.is_empty() {
                (
                    format!("no Service selects the gateway's pods, so that port {number} is out of reach"),
                    String::new(),
                )
            } else {
                let fix = format!("add it to the Service, or write one of {}", known.join(", "));
                (format!("no Service of the gateway's pods has a port {number}"), fix)
            };
            out.report(object, path, message, fix);
        }
    }
}
