//! Derived entries, each a function of what its key names.

use std::sync::Arc;

use tulle_base::{Labels, Locality};

use super::Snapshot;
use crate::endpoint::{Endpoint, Health, PortEndpoints, ServiceEndpoints};
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
        endpoints.dedup_by(|a, b| (&a.address, a.port) == (&b.address, b.port));
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
    out
}

fn slice_endpoint(snapshot: &Snapshot, endpoint: &SliceEndpoint, port: u16) -> Option<Endpoint> {
    let address = endpoint.addresses.first()?.clone();
    let by_ip = || snapshot.pod_of_ip.get(&address);
    let workload = endpoint.pod.as_ref().or_else(by_ip).and_then(|p| snapshot.workloads.get(p)).cloned();
    let mut made = of_workload(snapshot, workload.as_ref(), address, port);
    if made.locality.zone.is_empty() && !endpoint.zone.is_empty() {
        made.locality =
            Locality { region: String::new(), zone: endpoint.zone.clone(), sub_zone: String::new() };
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
        port,
        health: Health::Healthy,
        weight: 1,
        labels: workload.map(|w| w.labels.clone()).unwrap_or_default(),
        locality: workload.map(|w| w.locality.clone()).unwrap_or_default(),
        service_account: workload.map(|w| (w.namespace().to_owned(), w.service_account.clone())),
        mtls_ready,
        workload: workload.cloned(),
    }
}

fn from_entry(snapshot: &Snapshot, service: &Service, port: &ServicePort) -> Vec<Endpoint> {
    let target = match &port.target {
        TargetPort::Number(n) => *n,
        TargetPort::Name(_) => port.number,
    };
    if let Some(selector) = &service.selector {
        let pods = snapshot.pods_in.get(service.namespace()).cloned().unwrap_or_default();
        let selected = pods.iter().filter_map(|p| snapshot.workloads.get(p));
        let selected = selected.filter(|w| w.ready && selector.matches(&w.labels));
        return selected
            .filter_map(|w| Some(of_workload(snapshot, Some(w), w.ips.first()?.clone(), target)))
            .collect();
    }
    if service.endpoints.is_empty()
        && matches!(service.resolution, Resolution::Dns | Resolution::DnsRoundRobin)
    {
        // Without endpoints, DNS is asked for the host itself.
        return vec![of_workload(snapshot, None, service.hostname.as_str().to_owned(), target)];
    }
    service.endpoints.iter().map(|e| static_endpoint(service, port, target, e)).collect()
}

fn static_endpoint(service: &Service, port: &ServicePort, target: u16, written: &StaticEndpoint) -> Endpoint {
    let StaticEndpoint { address, ports, labels, network: _, locality, weight, service_account } = written;
    let mtls = labels_mtls(labels);
    Endpoint {
        address: address.clone(),
        port: ports.get(&port.name).copied().unwrap_or(target),
        health: Health::Healthy,
        weight: (*weight).max(1),
        labels: labels.clone(),
        locality: Locality::parse(locality),
        workload: None,
        service_account: (!service_account.is_empty())
            .then(|| (service.namespace().to_owned(), service_account.clone())),
        mtls_ready: mtls,
    }
}

fn labels_mtls(labels: &Labels) -> bool {
    labels.get("security.istio.io/tlsMode").is_some_and(|v| v == "istio")
}
