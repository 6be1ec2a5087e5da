//! Routes of a gateway to a host whose subset rules stand in a VirtualService for the sidecars: a gateway does not look
//! there.

use std::collections::HashMap;

use tulle_api::Object;
use tulle_api::istio::VirtualService;
use tulle_base::{Host, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::hosts::fqdn;
use crate::reason::routes::{for_mesh, routes_of};
use crate::whole::Whole;

/// A gateway routes to a host whose subset rules stand in a VirtualService that the gateway does not look at.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0140",
    name: "IngressRouteRulesNotAffected",
    severity: Severity::Warning,
    about: "A gateway routes to a host whose subset rules stand in a VirtualService that the gateway does not look at",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let mesh = whole.mesh();
    let mut inside: HashMap<Host, &Object> = HashMap::new();
    for (object, spec) in whole.all::<VirtualService>().filter(|(_, s)| for_mesh(s)) {
        for route in routes_of(object, spec) {
            for to in route.route.route.iter().filter(|d| !d.destination.subset.is_empty()) {
                inside.entry(fqdn(&to.destination.host, &object.meta.namespace, mesh)).or_insert(object);
            }
        }
    }
    for (object, spec) in whole.all::<VirtualService>() {
        if spec.gateways.is_empty() || for_mesh(spec) {
            continue;
        }
        for route in routes_of(object, spec) {
            for (i, to) in route.route.route.iter().enumerate() {
                let host = fqdn(&to.destination.host, &object.meta.namespace, mesh);
                let rules = inside.get(&host).filter(|_| to.destination.subset.is_empty());
                if let Some(rules) = rules {
                    let message = format!(
                        "the subsets that {} routes {host} to are not used by a gateway",
                        rules.resource()
                    );
                    let fix = "name the subset here too, or add the gateway to that VirtualService";
                    out.report(object, route.path(&format!("route[{i}].destination")), message, fix);
                }
            }
        }
    }
}
