//! Which address and port each service is listened for on, and what meets there.

use std::collections::BTreeMap;
use std::sync::Arc;

use tulle_base::Provenance;
use tulle_mesh::Snapshot;
use tulle_mesh::port::Serving;
use tulle_mesh::service::{Service, ServicePort};
use tulle_proto::envoy::core::TrafficDirection;
use tulle_proto::envoy::listener::{FilterChain, Listener};

use super::chains::{self, TcpChain};
use super::{INBOUND_AND_OUTBOUND, catch_all};
use crate::access_log;
use crate::filters;
use crate::listener::direction;
use crate::pb::{address, boolv, duration};
use crate::route::sidecar::has_own_listener;
use crate::view::View;

/// What meets on one address and port.
pub(super) struct Binding {
    ip: String,
    port: u16,
    /// Requests, with the name of the route configuration and who opened the port.
    http: Option<(String, Provenance)>,
    /// Whether the first bytes decide between HTTP and TCP.
    sniffed: bool,
    tcp: Vec<TcpChain>,
}

/// Every binding of a view, by address and port. Services come oldest first: what they cannot share goes to the oldest.
pub(super) fn all(snapshot: &Snapshot, view: &View) -> Vec<Binding> {
    let mut services: Vec<&Arc<Service>> = view.services().collect();
    services.sort_by(|a, b| a.meta.by_age(&b.meta).then_with(|| a.hostname.cmp(&b.hostname)));
    let mut collector = Collector { snapshot, view, all: BTreeMap::new() };
    for service in services {
        for port in &service.ports {
            let reserved = INBOUND_AND_OUTBOUND.contains(&port.number);
            if !reserved && view.sees_port(&service.hostname, port.number) {
                collector.port(service, port);
            }
        }
    }
    collector.all.into_values().filter(|b| b.http.is_some() || !b.tcp.is_empty()).collect()
}

struct Collector<'a> {
    snapshot: &'a Snapshot,
    view: &'a View,
    all: BTreeMap<(String, u16), Binding>,
}

impl Collector<'_> {
    fn at(&mut self, ip: &str, port: u16) -> &mut Binding {
        self.all.entry((ip.to_owned(), port)).or_insert_with(|| Binding {
            ip: ip.to_owned(),
            port,
            http: None,
            sniffed: false,
            tcp: Vec::new(),
        })
    }

    /// Every address.
    fn any(&self) -> &'static str {
        self.view.families.wildcard()
    }

    fn port(&mut self, service: &Arc<Service>, port: &ServicePort) {
        match port.protocol.serving() {
            Some(Serving::Http) => self.http(self.any(), service, port, port.number.to_string()),
            Some(Serving::Tcp) => self.tcp(service, port),
            Some(Serving::Auto) => self.sniffed(service, port),
            None => {}
        }
    }

    fn http(&mut self, ip: &str, service: &Service, port: &ServicePort, routes: String) {
        let made_by = service.meta.provenance("");
        let binding = self.at(ip, port.number);
        binding.http.get_or_insert((routes, made_by));
    }

    fn tcp(&mut self, service: &Arc<Service>, port: &ServicePort) {
        for ip in self.addresses(service, port) {
            let chains = chains::tcp(self.snapshot, self.view, service, port, &[]);
            self.add_tcp(&ip, port.number, chains);
        }
        // Who knows the server's own address already is told apart by the server name too.
        let by_name = service.auto_allocated && port.protocol.is_tls();
        if (self.addresses(service, port).is_empty() || by_name) && !service.is_headless() {
            // Nothing tells the services on this port apart but blocks of addresses or, with TLS, the server name.
            let blocks: Vec<String> = service.addresses.iter().filter(|a| a.contains('/')).cloned().collect();
            let chains = chains::tcp(self.snapshot, self.view, service, port, &blocks);
            self.add_tcp(self.any(), port.number, chains);
        }
    }

    fn sniffed(&mut self, service: &Arc<Service>, port: &ServicePort) {
        if !has_own_listener(service) {
            self.http(self.any(), service, port, port.number.to_string());
            self.tcp(service, port);
            return;
        }
        for ip in self.addresses(service, port) {
            self.http(&ip, service, port, format!("{}:{}", service.hostname, port.number));
            self.at(&ip, port.number).sniffed = true;
        }
        self.tcp(service, port);
    }

    /// The service's own addresses; the pods' when it is headless.
    fn addresses(&self, service: &Service, port: &ServicePort) -> Vec<String> {
        if service.is_headless() {
            let endpoints = self.snapshot.endpoints(service);
            let all = endpoints.of_port(port.number).iter();
            let reachable = all.flat_map(|e| self.view.families.reachable(e.addresses()));
            return reachable.map(str::to_owned).collect();
        }
        service.bindable_addresses().map(str::to_owned).collect()
    }

    /// Adds chains that no earlier one shadows.
    fn add_tcp(&mut self, ip: &str, port: u16, chains: Vec<TcpChain>) {
        let binding = self.at(ip, port);
        for chain in chains {
            if !binding.tcp.iter().any(|c| c.same_match(&chain)) {
                binding.tcp.push(chain);
            }
        }
    }
}

impl Binding {
    /// The listener: HTTP by inspection where anything else may arrive, TCP by address and server name, the rest as one
    /// chain by default.
    pub(super) fn listener(&self, snapshot: &Snapshot, view: &View) -> Listener {
        let mesh = snapshot.mesh();
        let inspects_http = self.http.is_some();
        let inspects_tls = inspects_http || self.tcp.iter().any(TcpChain::by_server_name);
        let mut filter_chains: Vec<FilterChain> = Vec::new();
        if let Some((routes, made_by)) = &self.http {
            let prefix = format!("outbound_{}_{}", self.ip, self.port);
            filter_chains.push(chains::http(snapshot, view, &prefix, routes, made_by));
        }
        let mut default = None;
        for chain in &self.tcp {
            if chain.takes_all() {
                default.get_or_insert_with(|| chain.chain(view));
            } else {
                filter_chains.push(chain.chain(view));
            }
        }
        let mut listener_filters = Vec::new();
        if inspects_tls {
            listener_filters.push(filters::tls_inspector());
        }
        if inspects_http {
            listener_filters.push(filters::http_inspector());
        }
        let default = default.or_else(|| Some(catch_all(snapshot, view, "PassthroughFilterChain")));
        Listener {
            name: format!("{}_{}", self.ip, self.port),
            address: Some(address(&self.ip, self.port)),
            additional_addresses: if self.ip == view.families.wildcard() {
                view.families.more_addresses(self.port)
            } else {
                Vec::new()
            },
            bind_to_port: boolv(false),
            filter_chains,
            default_filter_chain: default,
            listener_filters_timeout: (!listener_filters.is_empty())
                .then(|| duration(mesh.protocol_detection_timeout)),
            listener_filters,
            continue_on_listener_filters_timeout: true,
            traffic_direction: direction(TrafficDirection::Outbound),
            access_log: access_log::of_listener(mesh),
            ..Listener::default()
        }
    }
}
