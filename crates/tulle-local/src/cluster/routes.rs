//! What pods need to find services: rules for cluster addresses, and the names of the DNS.

use std::net::{IpAddr, SocketAddr};

use tulle_api::kubernetes::{self as k8s, Service, ServiceType, TransportProtocol};

use super::endpoints::{by_service, distinct, ready};
use super::families::cluster_ips;
use super::view::View;
use crate::dns::Zone;
use crate::net::Family;
use crate::services::{ServicePort, Transport};

/// Where every port of every cluster address leads, in a fixed order.
pub fn service_ports(view: &View) -> Vec<ServicePort> {
    let slices = by_service(view);
    let mut out = Vec::new();
    for (object, service) in view.all::<Service>() {
        let slices = slices.get(&(object.meta.namespace.as_str(), object.meta.name.as_str()));
        let slices = slices.map(Vec::as_slice).unwrap_or_default();
        for address in cluster_ips(service) {
            out.extend(service.ports.iter().filter_map(|port| service_port(address, port, slices)));
        }
    }
    out.sort();
    out
}

/// Where a port of one cluster address leads: to the endpoints of its family.
fn service_port(
    address: IpAddr,
    port: &k8s::ServicePort,
    slices: &[&k8s::EndpointSlice],
) -> Option<ServicePort> {
    let (number, transport) = (u16::try_from(port.port).ok()?, transport(port.transport())?);
    let family = Family::of(address);
    let endpoints = slices.iter().flat_map(|slice| {
        let target = slice.ports.iter().find(|p| p.name == port.name);
        let target = target.and_then(|p| u16::try_from(p.port?).ok());
        target.into_iter().flat_map(|target| ready(slice).map(move |(_, ip)| SocketAddr::new(ip, target)))
    });
    let endpoints = distinct(endpoints.filter(|e| Family::of(e.ip()) == family));
    Some(ServicePort { address, port: number, transport, endpoints })
}

fn transport(protocol: TransportProtocol) -> Option<Transport> {
    match protocol {
        TransportProtocol::Tcp => Some(Transport::Tcp),
        TransportProtocol::Udp => Some(Transport::Udp),
        TransportProtocol::Sctp => None,
    }
}

/// The names of all services, and of the pods behind headless ones.
pub fn zone(view: &View) -> Zone {
    let slices = by_service(view);
    let mut zone = Zone::default();
    for (object, service) in view.all::<Service>() {
        let (namespace, name) = (object.meta.namespace.as_str(), object.meta.name.as_str());
        if service.kind_of_service() == ServiceType::ExternalName {
            zone.add_alias(namespace, name, &service.external_name);
        } else if !service.is_headless() {
            let addresses = cluster_ips(service);
            if !addresses.is_empty() {
                zone.add_service(namespace, name, &addresses);
            }
        } else {
            zone.add_service(namespace, name, &[]);
            for (endpoint, ip) in slices.get(&(namespace, name)).into_iter().flatten().flat_map(|s| ready(s))
            {
                zone.add_service(namespace, name, &[ip]);
                let hostname = endpoint.hostname.clone();
                let hostname =
                    if hostname.is_empty() { ip.to_string().replace(['.', ':'], "-") } else { hostname };
                zone.add_pod(namespace, name, &hostname, ip);
            }
        }
    }
    zone
}
