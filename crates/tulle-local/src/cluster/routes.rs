//! What pods need to find services: rules for cluster addresses, and the names of the DNS.

use std::net::{Ipv4Addr, SocketAddrV4};

use tulle_api::kubernetes::{Service, ServiceType, TransportProtocol};

use super::endpoints::{by_service, distinct, ready};
use super::view::View;
use crate::dns::Zone;
use crate::services::{ServicePort, Transport};

/// Where every port of every cluster address leads, in a fixed order.
pub fn service_ports(view: &View) -> Vec<ServicePort> {
    let slices = by_service(view);
    let mut out = Vec::new();
    for (object, service) in view.all::<Service>() {
        let Ok(address) = service.cluster_ip.parse::<Ipv4Addr>() else { continue };
        let slices = slices.get(&(object.meta.namespace.as_str(), object.meta.name.as_str()));
        for port in &service.ports {
            let (Ok(number), Some(transport)) = (u16::try_from(port.port), transport(port.transport()))
            else {
                continue;
            };
            let endpoints = slices.into_iter().flatten().flat_map(|slice| {
                let target = slice.ports.iter().find(|p| p.name == port.name);
                let target = target.and_then(|p| u16::try_from(p.port?).ok());
                target
                    .into_iter()
                    .flat_map(|target| ready(slice).map(move |(_, ip)| SocketAddrV4::new(ip, target)))
            });
            out.push(ServicePort { address, port: number, transport, endpoints: distinct(endpoints) });
        }
    }
    out.sort();
    out
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
        } else if let Ok(address) = service.cluster_ip.parse() {
            zone.add_service(namespace, name, &[address]);
        } else if service.is_headless() {
            zone.add_service(namespace, name, &[]);
            for (endpoint, ip) in slices.get(&(namespace, name)).into_iter().flatten().flat_map(|s| ready(s))
            {
                zone.add_service(namespace, name, &[ip]);
                let hostname = endpoint.hostname.clone();
                let hostname = if hostname.is_empty() { ip.to_string().replace('.', "-") } else { hostname };
                zone.add_pod(namespace, name, &hostname, ip);
            }
        }
    }
    zone
}
