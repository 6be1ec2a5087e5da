//! ServiceEntry to services: one per host.

use tulle_api::Object;
use tulle_api::istio as api;
use tulle_base::{Host, Selector};

use super::cx::Cx;
use super::kubernetes;
use crate::config::MeshConfig;
use crate::entry::{Entry, is_healthy};
use crate::port::Protocol;
use crate::service::{Registry, Resolution, Service, ServicePort, StaticEndpoint, TargetPort};
use crate::visibility::ExportTo;

/// The services of a ServiceEntry.
pub(super) fn services(
    cx: &mut Cx<'_>,
    object: &Object,
    spec: &api::ServiceEntry,
    mesh: &MeshConfig,
) -> Vec<Service> {
    let api::ServiceEntry {
        hosts,
        addresses,
        ports,
        location,
        resolution,
        endpoints,
        workload_selector,
        export_to,
        subject_alt_names,
    } = spec;
    let resolution = match resolution {
        None | Some(api::ServiceEntryResolution::None) => Resolution::Passthrough,
        Some(api::ServiceEntryResolution::Static) => Resolution::Static,
        Some(api::ServiceEntryResolution::Dns) => Resolution::Dns,
        Some(api::ServiceEntryResolution::DnsRoundRobin) => Resolution::DnsRoundRobin,
        Some(api::ServiceEntryResolution::DynamicDns) => Resolution::DynamicDns,
    };
    let distribution = kubernetes::distribution(cx, object, "");
    let ports: Vec<ServicePort> = ports.iter().enumerate().filter_map(|(i, p)| port(cx, i, p)).collect();
    let endpoints: Vec<StaticEndpoint> =
        endpoints.iter().enumerate().map(|(i, e)| endpoint(cx, &format!("spec.endpoints[{i}]"), e)).collect();
    let exports_by_default = export_to.is_empty();
    let export_to = ExportTo::parse_or(
        export_to.iter().map(String::as_str),
        &mesh.service_export_to,
        cx.meta.namespace(),
    );
    let service = |host: &String| Service {
        meta: cx.meta.clone(),
        hostname: Host::new(host),
        registry: Registry::External,
        resolution,
        addresses: addresses.clone(),
        external_addresses: Vec::new(),
        auto_allocated: false,
        ports: ports.clone(),
        selector: workload_selector.as_ref().map(|api::LabelSelector { labels }| Selector(labels.clone())),
        endpoints: endpoints.clone(),
        export_to: export_to.clone(),
        exports_by_default,
        mesh_external: *location != Some(api::ServiceEntryLocation::MeshInternal),
        subject_alt_names: subject_alt_names.clone(),
        labels: object.meta.labels.clone(),
        publish_not_ready: false,
        host_ports: Default::default(),
        distribution,
        node_local: false,
    };
    hosts.iter().map(service).collect()
}

fn port(cx: &mut Cx<'_>, index: usize, p: &api::ServiceEntryPort) -> Option<ServicePort> {
    let api::ServiceEntryPort { number, protocol, name, target_port } = p;
    let path = format!("spec.ports[{index}]");
    let number = cx.port(Some(*number), &format!("{path}.number"))?;
    let protocol = match Protocol::parse(protocol) {
        Some(protocol) => protocol,
        None if protocol.is_empty() => Protocol::select("TCP", None, name, number),
        None => {
            let message = format!("the protocol {protocol:?} is unknown, so the port is opaque TCP");
            cx.warn(&format!("{path}.protocol"), message, "write HTTP, HTTPS, GRPC, HTTP2, TCP or TLS");
            Protocol::Tcp
        }
    };
    let target = cx.port(*target_port, &format!("{path}.targetPort")).unwrap_or(number);
    Some(ServicePort { name: name.clone(), number, target: TargetPort::Number(target), protocol })
}

/// The workload of a WorkloadEntry. Labels of the document win over those of its spec, as in Istio.
pub(super) fn entry(cx: &mut Cx<'_>, object: &Object, spec: &api::WorkloadEntry) -> Entry {
    let mut endpoint = endpoint(cx, "spec", spec);
    let of_document = object.meta.labels.iter().map(|(key, value)| (key.clone(), value.clone()));
    endpoint.labels.extend(of_document);
    Entry { meta: cx.meta.clone(), endpoint, healthy: is_healthy(object) }
}

fn endpoint(cx: &mut Cx<'_>, path: &str, e: &api::WorkloadEntry) -> StaticEndpoint {
    let api::WorkloadEntry { address, ports, labels, network, locality, weight, service_account } = e;
    StaticEndpoint {
        address: address.clone(),
        ports: ports
            .iter()
            .filter_map(|(name, n)| Some((name.clone(), cx.port(Some(*n), &format!("{path}.ports"))?)))
            .collect(),
        labels: labels.clone(),
        network: network.clone(),
        locality: locality.clone(),
        weight: weight.unwrap_or(1),
        service_account: service_account.clone(),
    }
}
