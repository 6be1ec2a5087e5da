//! What documents of the Gateway API refer to, and whether they may.

use tulle_base::Host;

use super::Snapshot;
use crate::kube::{Backend, Finding, KubeGateway, KubeRoute, ObjectName};

/// The certificates that a Gateway names.
pub(super) fn of_gateway(gateway: &KubeGateway) -> impl Iterator<Item = &ObjectName> {
    gateway.listeners.iter().filter_map(|l| l.tls.as_ref()).flat_map(|t| &t.certificates)
}

/// Whether an object of the Gateway API of `kind` in `namespace` may refer to `to`.
pub(super) fn may(snapshot: &Snapshot, kind: &str, namespace: &str, to: &ObjectName) -> bool {
    let grants = || snapshot.grants_in.get(&to.name.namespace).into_iter().flat_map(|all| all.iter());
    to.name.namespace == namespace || grants().any(|g| g.allows(kind, namespace, to))
}

/// What is wrong with a certificate that a Gateway in `namespace` names.
pub(super) fn certificate(snapshot: &Snapshot, namespace: &str, to: &ObjectName) -> Option<Finding> {
    if !to.group.is_empty() || to.kind != "Secret" {
        let message =
            format!("{} of {:?} is no kind that holds certificates; write a Secret", to.kind, to.group);
        return Some(Finding::no("InvalidCertificateRef", message));
    }
    // Whether it exists is nobody's business who may not refer to it.
    if !may(snapshot, "Gateway", namespace, to) {
        let message = format!(
            "no ReferenceGrant in {} lets Gateways of {namespace} use Secret {}",
            to.name.namespace, to.name
        );
        return Some(Finding::no("RefNotPermitted", message));
    }
    match snapshot.certificates.get(&to.name) {
        None => {
            let message = format!("there is no Secret {} with tls.crt and tls.key", to.name);
            Some(Finding::no("InvalidCertificateRef", message))
        }
        Some(Some(problem)) => {
            Some(Finding::no("InvalidCertificateRef", format!("Secret {}: {problem}", to.name)))
        }
        Some(None) => None,
    }
}

/// What is wrong with the destinations of a route: the worst reason, every message, and the hosts whose share fails. With
/// `free` no grant is asked for: inside the mesh everybody reaches every service.
pub(super) fn of_route(snapshot: &Snapshot, route: &KubeRoute, free: bool) -> (Finding, Vec<Host>) {
    let mut reason = None;
    let (mut messages, mut hosts) = (Vec::new(), Vec::new());
    for problem in route.problems.iter().filter(|p| p.reference) {
        reason.get_or_insert(problem.reason);
        messages.push(format!("{}: {}", problem.path, problem.message));
    }
    for backend in &route.backends {
        let Some((why, message)) = backend_problem(snapshot, route, backend, free) else { continue };
        reason.get_or_insert(why);
        messages.push(format!("{}: {message}", backend.path));
        hosts.extend(backend.host.clone().filter(|_| why != "BackendNotFound"));
    }
    match reason {
        None => (Finding::yes("ResolvedRefs"), hosts),
        Some(reason) => (Finding::no(reason, messages.join("; ")), hosts),
    }
}

fn backend_problem(
    snapshot: &Snapshot,
    route: &KubeRoute,
    backend: &Backend,
    free: bool,
) -> Option<(&'static str, String)> {
    let Backend { path: _, object, host, port } = backend;
    let namespace = route.meta.namespace();
    let Some(host) = host else {
        let message =
            format!("{} of {:?} is no kind that requests are sent to here", object.kind, object.group);
        return Some(("InvalidKind", message));
    };
    if !free && !may(snapshot, route.kind.as_str(), namespace, object) {
        let message = format!(
            "no ReferenceGrant in {} lets {}s of {namespace} use {} {}",
            object.name.namespace,
            route.kind.as_str(),
            object.kind,
            object.name
        );
        return Some(("RefNotPermitted", message));
    }
    let Some(service) = snapshot.service(host, namespace) else {
        return Some(("BackendNotFound", format!("no service has the host {host}")));
    };
    let number = (*port)?;
    if service.port(number).is_none() {
        let has: Vec<String> = service.ports.iter().map(|p| p.number.to_string()).collect();
        return Some(("BackendNotFound", format!("{host} has no port {number}, but {}", has.join(", "))));
    }
    None
}
