//! Derived entries, each a function of what its key names.

use std::sync::Arc;

use tulle_base::{Labels, Locality};

use super::{Snapshot, families};
use crate::destination::locality;
use crate::endpoint::{Endpoint, Health, PortEndpoints, ServiceEndpoints};
use crate::entry::Entry;
use crate::item::Item;
use crate::meta::NsName;
use crate::policy::MtlsMode;
use crate::service::{Registry, Resolution, Service, ServicePort, StaticEndpoint, TargetPort};
use crate::slice::{Slice, SliceEndpoint};
use crate::workload::Workload;

/// The endpoints of `service`, from what the snapshot holds now.
pub(super) fn endpoints(snapshot: &Snapshot, service: &Service) -> ServiceEndpoints {
    let ports = service.ports.iter().map(|port| {
        let mut endpoints = match service.registry {
            Registry::Kubernetes => from_slices(snapshot, service, port),
            Registry::External => from_entry(snapshot, service, port),
        };
        endpoints.sort_by(|a, b| (&a.address, a.port).cmp(&(&b.address, b.port)));
        endpoints.dedup_by(|a, b| !a.address.is_empty() && (&a.address, a.port) == (&b.address, b.port));
        PortEndpoints { port: port.number, endpoints }
    });
    ServiceEndpoints { ports: ports.collect() }
}

fn from_slices(snapshot: &Snapshot, service: &Service, port: &ServicePort) -> Vec<Endpoint> {
    let name = NsName::new(service.namespace(), service.name());
    let slices = snapshot.slices_of.get(&name).cloned().unwrap_or_default();
    let mut out = Vec::new();
    for slice in slices.iter().filter_map(|r| snapshot.items.get(r)) {
        let Item::Slice(Slice { ports, endpoints, service: _ }) = slice.as_ref() else { continue };
        let Some((_, target)) = ports.iter().find(|(n, _)| *n == port.name) else { continue };
        for endpoint in endpoints.iter().filter(|e| e.ready || service.publish_not_ready) {
            out.extend(slice_endpoint(snapshot, endpoint, *target));
        }
    }
    let mut out = families::one_per_pod(service, out);
    out.extend(selected_entries(snapshot, service).filter_map(|entry| {
        let at = entry.port_of_service(port)?;
        reachable(&entry.endpoint)
            .then(|| static_endpoint(snapshot, service.namespace(), &entry.endpoint, at))
    }));
    out
}

/// The WorkloadEntries that a service selects and that may be asked.
fn selected_entries<'a>(
    snapshot: &'a Snapshot,
    service: &'a Service,
) -> impl Iterator<Item = &'a Entry> + 'a {
    let selector = service.selector.as_ref().filter(|s| !s.is_empty());
    let entries = snapshot.entries_in.get(service.namespace()).filter(|_| selector.is_some());
    entries
        .into_iter()
        .flat_map(|refs| refs.iter())
        .filter_map(|reference| match snapshot.items.get(reference)?.as_ref() {
            Item::Entry(entry) => Some(entry.as_ref()),
            _ => None,
        })
        .filter(move |entry| entry.healthy && selector.is_some_and(|s| s.matches(&entry.endpoint.labels)))
}

/// Whether it is at an IP address, or somewhere behind the gateways of its network.
fn reachable(e: &StaticEndpoint) -> bool {
    e.address.parse::<std::net::IpAddr>().is_ok() || (e.address.is_empty() && !e.network.is_empty())
}

fn slice_endpoint(snapshot: &Snapshot, endpoint: &SliceEndpoint, port: u16) -> Option<Endpoint> {
    let address = endpoint.addresses.first()?.clone();
    let by_ip = || snapshot.pod_of_ip.get(&address);
    let workload = endpoint.pod.as_ref().or_else(by_ip).and_then(|p| snapshot.workloads.get(p)).cloned();
    let mut made = of_workload(snapshot, workload.as_ref(), address, port);
    if made.node.is_empty() {
        made.node.clone_from(&endpoint.node);
    }
    if made.locality == Locality::default() {
        let of_node = snapshot.nodes.get(&endpoint.node).cloned();
        let zone = || Locality { zone: endpoint.zone.clone(), ..Locality::default() };
        made.locality = of_node.unwrap_or_else(zone);
    }
    Some(made)
}

fn of_workload(
    snapshot: &Snapshot,
    workload: Option<&Arc<Workload>>,
    address: String,
    port: u16,
) -> Endpoint {
    // A workload with a sidecar whose port is set to DISABLE takes plain text only: clients must not send TLS.
    let mtls_ready = workload.is_some_and(|w| {
        w.mtls_ready && snapshot.peer_modes(w.namespace(), &w.labels).of_port(port) != MtlsMode::Disable
    });
    Endpoint {
        address,
        more: Vec::new(),
        port,
        health: Health::Healthy,
        weight: 1,
        labels: workload.map(|w| w.labels.clone()).unwrap_or_default(),
        locality: workload.map(|w| w.locality.clone()).unwrap_or_default(),
        network: workload.map(|w| w.network.clone()).unwrap_or_default(),
        node: workload.map(|w| w.node.clone()).unwrap_or_default(),
        service_account: workload.map(|w| (w.namespace().to_owned(), w.service_account.clone())),
        mtls_ready,
        workload: workload.cloned(),
    }
}

fn from_entry(snapshot: &Snapshot, service: &Service, port: &ServicePort) -> Vec<Endpoint> {
    if service.resolution == Resolution::DynamicDns {
        // Each request names its own.
        return Vec::new();
    }
    let target = match &port.target {
        TargetPort::Number(n) => *n,
        TargetPort::Name(_) => port.number,
    };
    if let Some(selector) = &service.selector {
        let pods = snapshot.pods_in.get(service.namespace()).cloned().unwrap_or_default();
        let selected = pods.iter().filter_map(|p| snapshot.workloads.get(p));
        let selected = selected.filter(|w| w.ready && selector.matches(&w.labels));
        let pods =
            selected.filter_map(|w| Some(of_workload(snapshot, Some(w), w.ips.first()?.clone(), target)));
        // Names are looked up by clients, where the service is one of names.
        let by_name = matches!(service.resolution, Resolution::Dns | Resolution::DnsRoundRobin);
        let entries = selected_entries(snapshot, service).filter(|e| by_name || reachable(&e.endpoint));
        let entries = entries.map(|entry| {
            let at = entry.endpoint.ports.get(&port.name).copied().unwrap_or(target);
            static_endpoint(snapshot, service.namespace(), &entry.endpoint, at)
        });
        return pods.chain(entries).collect();
    }
    if service.endpoints.is_empty()
        && matches!(service.resolution, Resolution::Dns | Resolution::DnsRoundRobin)
    {
        // Without endpoints, DNS is asked for the host itself.
        return vec![of_workload(snapshot, None, service.hostname.as_str().to_owned(), target)];
    }
    let at = |e: &StaticEndpoint| e.ports.get(&port.name).copied().unwrap_or(target);
    service.endpoints.iter().map(|e| static_endpoint(snapshot, service.namespace(), e, at(e))).collect()
}

fn static_endpoint(snapshot: &Snapshot, namespace: &str, written: &StaticEndpoint, port: u16) -> Endpoint {
    let StaticEndpoint {
        address,
        ports: _read_by_the_caller,
        labels,
        network,
        locality,
        weight,
        service_account,
    } = written;
    let mtls = has_sidecar(labels, service_account)
        && snapshot.peer_modes(namespace, labels).of_port(port) != MtlsMode::Disable;
    Endpoint {
        address: address.clone(),
        more: Vec::new(),
        port,
        health: Health::Healthy,
        weight: (*weight).max(1),
        labels: labels.clone(),
        locality: written_locality(locality, labels),
        network: network.clone(),
        node: String::new(),
        workload: None,
        service_account: (!service_account.is_empty())
            .then(|| (namespace.to_owned(), service_account.clone())),
        mtls_ready: mtls,
    }
}

/// Whether something there speaks mutual TLS: the label says so, or else a service account is named.
fn has_sidecar(labels: &Labels, service_account: &str) -> bool {
    match labels.get("security.istio.io/tlsMode") {
        Some(mode) => mode == "istio",
        None => !service_account.is_empty(),
    }
}

/// Where it runs, as its field or else its labels say.
fn written_locality(field: &str, labels: &Labels) -> Locality {
    if !field.is_empty() {
        return Locality::parse(field);
    }
    let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
    Locality {
        region: label(locality::REGION),
        zone: label(locality::ZONE),
        sub_zone: label(locality::SUBZONE),
    }
}
