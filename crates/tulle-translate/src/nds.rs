//! The name table (NDS): what the proxy's DNS answers itself.

use std::collections::HashMap;

use tulle_mesh::Snapshot;
use tulle_mesh::service::{Registry, Service};
use tulle_proto::istio::nds::{NameInfo, NameTable};
use tulle_proto::type_url;

use crate::resource::Resource;
use crate::sources::Sources;
use crate::view::View;

/// Name of the one resource.
const NAME: &str = "nameTable";

/// Host names and addresses of the services that a view sees; of headless ones the pods' addresses, and each pod's own
/// name. Services without any address are left to the DNS beyond.
pub(crate) fn table(snapshot: &Snapshot, view: &View) -> Resource {
    let mut table = HashMap::new();
    for service in view.services().filter(|s| !s.hostname.is_wildcard()) {
        let ips = if service.is_headless() {
            pods(snapshot, view, service, &mut table)
        } else {
            service.bindable_addresses().filter(|a| is_ip(a)).map(str::to_owned).collect()
        };
        if !ips.is_empty() {
            table.insert(service.hostname.as_str().to_owned(), info(service, ips));
        }
    }
    Resource::new(NAME, type_url::NAME_TABLE, &NameTable { table, name_info: None }, Sources::default())
}

/// The addresses of the pods of a headless service; each gets the name `POD.SERVICE...` too.
fn pods(
    snapshot: &Snapshot,
    view: &View,
    service: &Service,
    table: &mut HashMap<String, NameInfo>,
) -> Vec<String> {
    let endpoints = snapshot.endpoints(service);
    let mut ips: Vec<String> = Vec::new();
    for endpoint in endpoints.ports.iter().flat_map(|p| &p.endpoints).filter(|e| is_ip(&e.address)) {
        let own = view.families.reachable(endpoint.addresses());
        let own: Vec<String> = own.into_iter().map(str::to_owned).collect();
        if own.iter().any(|ip| ips.contains(ip)) {
            continue;
        }
        ips.extend(own.iter().cloned());
        if let Some(workload) = &endpoint.workload {
            let name = format!("{}.{}", workload.pod.name, service.hostname);
            table.insert(name, info(service, own));
        }
    }
    ips.sort();
    ips
}

fn info(service: &Service, ips: Vec<String>) -> NameInfo {
    let kubernetes = service.registry == Registry::Kubernetes;
    let (registry, shortname, namespace) = match kubernetes {
        true => ("Kubernetes", service.name().to_owned(), service.namespace().to_owned()),
        false => ("External", String::new(), String::new()),
    };
    NameInfo { ips, registry: registry.to_owned(), shortname, namespace, ..NameInfo::default() }
}

fn is_ip(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}
