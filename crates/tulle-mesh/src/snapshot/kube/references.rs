//! What documents of the Gateway API refer to, and whether they may.

use tulle_base::Host;

use super::Snapshot;
use crate::kube::{Backend, Finding, KubeGateway, KubeRoute, Listener, ListenerSet, ObjectName};

/// The certificates and authorities that a Gateway names.
pub(super) fn of_gateway(gateway: &KubeGateway) -> impl Iterator<Item = &ObjectName> {
    let of_ports = gateway.client_checks_of.iter().filter_map(|(_, checks)| checks.as_ref());
    let authorities = gateway.client_checks.iter().chain(of_ports).flat_map(|c| &c.authorities);
    of_listeners(&gateway.listeners).chain(authorities).chain(&gateway.client_certificate)
}

/// The certificates that a ListenerSet names.
pub(super) fn of_set(set: &ListenerSet) -> impl Iterator<Item = &ObjectName> {
    of_listeners(&set.listeners)
}

fn of_listeners(listeners: &[Listener]) -> impl Iterator<Item = &ObjectName> {
    listeners.iter().filter_map(|l| l.tls.as_ref()).flat_map(|t| &t.certificates)
}

/// Whether an object of the Gateway API of `kind` in `namespace` may refer to `to`.
pub(super) fn may(snapshot: &Snapshot, kind: &str, namespace: &str, to: &ObjectName) -> bool {
    let grants = || snapshot.grants_in.get(&to.name.namespace).into_iter().flat_map(|all| all.iter());
    to.name.namespace == namespace || grants().any(|g| g.allows(kind, namespace, to))
}

/// What is wrong with a certificate that an object of a kind in a namespace names.
pub(super) fn certificate(
    snapshot: &Snapshot,
    (kind, namespace): (&str, &str),
    to: &ObjectName,
) -> Option<Finding> {
    if !to.group.is_empty() || to.kind != "Secret" {
        let message =
            format!("{} of {:?} is no kind that holds certificates; write a Secret", to.kind, to.group);
        return Some(Finding::no("InvalidCertificateRef", message));
    }
    // Whether it exists is nobody's business who may not refer to it.
    if !may(snapshot, kind, namespace, to) {
        let message = format!(
            "no ReferenceGrant in {} lets {kind}s of {namespace} use Secret {}",
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

/// Authorities in PEM that an object of a kind in a namespace names, or what is wrong with them.
pub(super) fn authorities<'a>(
    snapshot: &'a Snapshot,
    (kind, namespace): (&str, &str),
    to: &ObjectName,
) -> Result<&'a str, Finding> {
    if !to.group.is_empty() || to.kind != "ConfigMap" {
        let message =
            format!("{} of {:?} is no kind that holds authorities; write a ConfigMap", to.kind, to.group);
        return Err(Finding::no("InvalidCACertificateKind", message));
    }
    if !may(snapshot, kind, namespace, to) {
        let message = format!(
            "no ReferenceGrant in {} lets {kind}s of {namespace} use ConfigMap {}",
            to.name.namespace, to.name
        );
        return Err(Finding::no("RefNotPermitted", message));
    }
    snapshot.authorities.get(&to.name).map(|pem| &**pem).ok_or_else(|| {
        let message = format!("there is no ConfigMap {} with certificates in PEM in ca.crt", to.name);
        Finding::no("InvalidCACertificateRef", message)
    })
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
