//! VirtualServices for hosts that their gateway does not serve, or not for their namespace.

use tulle_api::istio::{Gateway, VirtualService};
use tulle_base::{FieldPath, Host, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::routes::gateway_name;
use crate::reason::text::some_of;
use crate::whole::Whole;

/// A host of a VirtualService is not among those of the Gateway that it names.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0132",
    name: "VirtualServiceHostNotFoundInGateway",
    severity: Severity::Warning,
    about: "A host of a VirtualService is not among those of the Gateway that it names",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<VirtualService>() {
        let namespace = object.meta.namespace.as_str();
        for (i, written) in spec.gateways.iter().enumerate().filter(|(_, g)| *g != "mesh") {
            let name = gateway_name(written, namespace);
            let Some(gateway) = whole.gateway(&name) else { continue };
            for (j, host) in spec.hosts.iter().enumerate() {
                if serves(gateway, &name.namespace, namespace, &Host::new(host), false) {
                    continue;
                }
                let has: Vec<&str> =
                    gateway.servers.iter().flat_map(|s| &s.hosts).map(String::as_str).collect();
                let (why, fix) = if serves(gateway, &name.namespace, namespace, &Host::new(host), true) {
                    (
                        format!("takes routes for {host} from other namespaces only"),
                        "name this namespace before the host in the Gateway",
                    )
                } else {
                    (
                        format!("does not serve {host}, but {}", some_of(&has)),
                        "add it to the Gateway's hosts, or correct it",
                    )
                };
                let message = format!("Gateway {name} (gateways[{i}]) {why}");
                out.report(object, FieldPath::from(format!("spec.hosts[{j}]").as_str()), message, fix);
            }
        }
    }
}

/// Whether some server of a gateway is for `host` and takes routes from `namespace`, or from `any`.
fn serves(gateway: &Gateway, own: &str, namespace: &str, host: &Host, any: bool) -> bool {
    gateway.servers.iter().flat_map(|s| &s.hosts).any(|written| {
        let (from, served) = written.split_once('/').unwrap_or(("*", written));
        let from = if from == "." { own } else { from };
        (any || from == "*" || from == namespace) && Host::new(served).overlaps(host)
    })
}
