//! Gateways, and servers of gateways, that no VirtualService gives routes: every request there gets 404.

use std::collections::HashMap;

use tulle_api::istio::{Gateway, Server, ServerTlsMode, VirtualService};
use tulle_base::{FieldPath, Host, Severity};
use tulle_mesh::NsName;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::routes::bound_gateways;
use crate::whole::Whole;

/// No VirtualService gives routes to a Gateway or one of its servers.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0209",
    name: "UnboundGateway",
    severity: Severity::Warning,
    about: "No VirtualService gives routes to a Gateway or one of its servers",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let mut bound: HashMap<NsName, Vec<(&str, Host)>> = HashMap::new();
    for (object, spec) in whole.all::<VirtualService>() {
        for gateway in bound_gateways(object, spec) {
            let hosts = spec.hosts.iter().map(|h| (object.meta.namespace.as_str(), Host::new(h)));
            bound.entry(gateway).or_default().extend(hosts);
        }
    }
    for (object, spec) in whole.all::<Gateway>() {
        let name = NsName::new(object.meta.namespace.clone(), object.meta.name.clone());
        let served: Vec<_> = spec.servers.iter().enumerate().filter(|(_, s)| needs_routes(s)).collect();
        let Some(routes) = bound.get(&name) else {
            if !served.is_empty() {
                let message = "no VirtualService is bound to it: every request gets 404";
                out.report(
                    object,
                    FieldPath::from("spec"),
                    message,
                    format!("name {name} in the gateways of a VirtualService"),
                );
            }
            continue;
        };
        for (i, server) in served {
            if !server.hosts.iter().any(|h| serves(h, &name.namespace, routes)) {
                let path = FieldPath::from(format!("spec.servers[{i}].hosts").as_str());
                let message =
                    format!("no VirtualService that is bound to it is for {}", server.hosts.join(", "));
                out.report(object, path, message, "add one, or correct the hosts");
            }
        }
    }
}

/// Whether a server does nothing without routes: redirects and pass-through by server name do.
fn needs_routes(server: &Server) -> bool {
    let tls = server.tls.as_ref();
    let redirect = tls.and_then(|t| t.https_redirect) == Some(true);
    !redirect && tls.and_then(|t| t.mode) != Some(ServerTlsMode::AutoPassthrough)
}

/// Whether a route is for a host of a server, written `[namespace/]host`.
fn serves(written: &str, own: &str, routes: &[(&str, Host)]) -> bool {
    let (namespace, host) = written.split_once('/').unwrap_or(("*", written));
    let namespace = if namespace == "." { own } else { namespace };
    let host = Host::new(host);
    routes.iter().any(|(of, h)| (namespace == "*" || namespace == *of) && host.overlaps(h))
}
