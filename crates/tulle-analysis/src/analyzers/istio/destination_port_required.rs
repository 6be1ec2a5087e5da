//! Destinations without a port at services that have several.
//!
//! Sidecars take the port that the client addressed, which may or may not be one of the service; gateways have no such port.

use tulle_api::istio::VirtualService;
use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::hosts::fqdn;
use crate::reason::routes::{bound_gateways, destinations};
use crate::reason::text::some_of;
use crate::whole::Whole;

/// A destination names no port, and its service has several.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0112",
    name: "VirtualServiceDestinationPortSelectorRequired",
    severity: Severity::Error,
    about: "A destination names no port, and its service has several",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<VirtualService>() {
        let at_gateways = !bound_gateways(object, spec).is_empty();
        let namespace = object.meta.namespace.as_str();
        for (to, path) in destinations(object, spec) {
            if to.port.as_ref().is_some_and(|p| p.number.is_some()) {
                continue;
            }
            let host = fqdn(&to.host, namespace, whole.mesh());
            let Some(service) = whole.snapshot().service(&host, namespace) else { continue };
            if service.ports.len() < 2 {
                continue;
            }
            let ports: Vec<String> = service.ports.iter().map(|p| p.number.to_string()).collect();
            let (severity, message) = if at_gateways {
                (Severity::Error, format!("{host} has the ports {}: gateways need one", some_of(&ports)))
            } else {
                let message = format!(
                    "{host} has the ports {}: without one the port that the client addressed is taken",
                    some_of(&ports)
                );
                (Severity::Warning, message)
            };
            out.report_as(severity, object, path, message, "write port.number");
        }
    }
}
