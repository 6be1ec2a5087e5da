//! The names by which a service is called.

use tulle_mesh::service::{Registry, Resolution, Service};

/// The domains of a service for clients in `namespace`: its full name with and without the last dot, the short forms
/// that the cluster's DNS completes (the shortest only within its namespace), and its addresses (IPv6 in brackets). Headless services are
/// called by their pods' names as well. Ports are not part of it: they are ignored when hosts are matched.
pub(super) fn of_service(service: &Service, namespace: &str) -> Vec<String> {
    let host = service.hostname.as_str();
    let mut out = vec![host.to_owned()];
    if !service.hostname.is_wildcard() && host.parse::<std::net::IpAddr>().is_err() {
        out.push(format!("{host}."));
    }
    if service.registry == Registry::Kubernetes {
        let (name, ns) = (service.name(), service.namespace());
        if ns == namespace {
            out.push(name.to_owned());
        }
        out.push(format!("{name}.{ns}"));
        out.push(format!("{name}.{ns}.svc"));
        if service.resolution == Resolution::Passthrough {
            let pods: Vec<String> = out.iter().map(|d| format!("*.{d}")).collect();
            out.extend(pods);
        }
    }
    out.extend(service.bindable_addresses().map(as_host));
    let mut seen = std::collections::BTreeSet::new();
    out.retain(|d| seen.insert(d.clone()));
    out
}

/// An address as it stands in a URL (RFC 3986 section 3.2.2).
fn as_host(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}
