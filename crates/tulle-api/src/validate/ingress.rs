//! Rules about `Ingress` and `IngressClass`, as Kubernetes has them.

use super::names;
use super::rules::Rules;
use crate::kubernetes::{Ingress, IngressBackend, IngressClass, IngressPath};
use crate::schema::At;

/// Checks an Ingress.
pub(super) fn check(given: &Ingress, at: &At<'_>, rules: &mut Rules) {
    let Ingress { ingress_class_name, default_backend, tls, rules: by_host } = given;
    if !ingress_class_name.is_empty() {
        rules.check(&at.field("ingressClassName"), names::object_name(ingress_class_name));
    }
    match default_backend {
        Some(to) => backend(to, &at.field("defaultBackend"), rules),
        None if by_host.is_empty() => {
            rules.error(at, "must have rules or defaultBackend", "give one of them")
        }
        None => {}
    }
    let list = at.field("rules");
    for (i, rule) in by_host.iter().enumerate() {
        let here = list.index(i);
        host(&rule.host, &here.field("host"), rules);
        let Some(http) = &rule.http else { continue };
        let http_at = here.field("http");
        let paths = http_at.field("paths");
        for (j, path) in http.paths.iter().enumerate() {
            check_path(path, &paths.index(j), rules);
        }
    }
    let list = at.field("tls");
    for (i, certificate) in tls.iter().enumerate() {
        let here = list.index(i);
        let hosts = here.field("hosts");
        for (j, name) in certificate.hosts.iter().enumerate() {
            host(name, &hosts.index(j), rules);
        }
    }
}

/// Checks an IngressClass.
pub(super) fn check_class(given: &IngressClass, at: &At<'_>, rules: &mut Rules) {
    let IngressClass { controller, parameters: _ } = given;
    if !controller.contains('/') {
        let message =
            format!("{controller:?} is no path below a domain, such as istio.io/ingress-controller");
        rules.error(&at.field("controller"), message, "");
    }
}

fn host(text: &str, at: &At<'_>, rules: &mut Rules) {
    if text.is_empty() {
        return;
    }
    if names::is_ip(text) {
        rules.error(at, format!("{text:?} is an address, not a host name"), "leave it out for every host");
    } else {
        rules.check(at, names::whole_wildcard_domain(text));
    }
}

fn check_path(given: &IngressPath, at: &At<'_>, rules: &mut Rules) {
    let IngressPath { path, path_type, backend: to } = given;
    let exact = match path_type.as_str() {
        "Exact" | "Prefix" => true,
        "ImplementationSpecific" => false,
        other => {
            let message = format!("{other:?} is not a type of paths");
            rules.error(&at.field("pathType"), message, "write Exact, Prefix or ImplementationSpecific");
            false
        }
    };
    if (exact || !path.is_empty()) && !path.starts_with('/') && !matches!(path.as_str(), "*" | ".*") {
        rules.error(&at.field("path"), format!("{path:?} does not begin with /"), "");
    }
    backend(to, &at.field("backend"), rules);
}

fn backend(given: &IngressBackend, at: &At<'_>, rules: &mut Rules) {
    let IngressBackend { service, resource } = given;
    match (service, resource) {
        (Some(_), Some(_)) => rules.error(at, "has both service and resource", "keep one of them"),
        (None, None) => rules.error(at, "must have a service", "name a Service and its port"),
        _ => {}
    }
    let Some(service) = service else { return };
    let here = at.field("service");
    rules.check(&here.field("name"), names::dns_label(&service.name));
    let port = service.port.as_ref().map(|p| (!p.name.is_empty(), p.number));
    let here = here.field("port");
    match port {
        None | Some((false, None)) => rules.error(&here, "must have a name or a number", "give one of them"),
        Some((true, Some(_))) => rules.error(&here, "has both name and number", "keep one of them"),
        Some((false, Some(number))) => {
            rules.check(&here.field("number"), names::port(i64::from(number)));
        }
        Some((true, None)) => {}
    }
}
