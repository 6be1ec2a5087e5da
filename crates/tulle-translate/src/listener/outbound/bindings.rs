//! Which address and port each service is listened for on, and what meets there.

use std::collections::BTreeMap;
use std::sync::Arc;

use tulle_base::Provenance;
use tulle_mesh::Snapshot;
use tulle_mesh::port::Serving;
use tulle_mesh::service::{Service, ServicePort};
use tulle_mesh::sidecar::{Bind, Egress};
use tulle_proto::envoy::core::TrafficDirection;
use tulle_proto::envoy::listener::{FilterChain, Listener};

use super::chains::{self, TcpChain};
use super::{INBOUND_AND_OUTBOUND, catch_all};
use crate::filters;
use crate::listener::direction;
use crate::pb::{address, boolv, duration, pipe, u32v};
use crate::route::sidecar::{has_own_listener, own_routes, own_serving};
use crate::view::View;

/// What meets on one address and port.
pub(super) struct Binding {
    place: Place,
    port: u16,
    /// Whether it takes connections itself; otherwise those that are redirected come to it.
    bound: bool,
    /// Requests, with the name of the route configuration and who opened the port.
    http: Option<(String, Provenance)>,
    /// Whether the first bytes decide between HTTP and TCP.
    sniffed: bool,
    tcp: Vec<TcpChain>,
}

/// Where listeners stand.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Ip(String),
    Socket(String),
}

/// Every binding of a view, by address and port. Services come oldest first: what they cannot share goes to the oldest. What
/// a Sidecar places by itself comes before everything.
pub(super) fn all(snapshot: &Snapshot, view: &View) -> Vec<Binding> {
    let mut collector = Collector { snapshot, view, all: BTreeMap::new() };
    for (index, egress) in view.own_egress() {
        collector.own(index, egress);
    }
    let placed: Vec<(Place, u16)> = collector.all.keys().cloned().collect();
    let mut others = Collector { snapshot, view, all: BTreeMap::new() };
    for service in by_age(view.services()) {
        for port in &service.ports {
            let reserved = INBOUND_AND_OUTBOUND.contains(&port.number);
            if !reserved && view.sees_port(&service.hostname, port.number) {
                let said = ServicePort { protocol: view.protocol(port), ..port.clone() };
                others.port(service, &said);
            }
        }
    }
    others.all.retain(|key, _| !placed.contains(key));
    collector.all.append(&mut others.all);
    collector.all.into_values().filter(|b| b.http.is_some() || !b.tcp.is_empty()).collect()
}

fn by_age<'a>(services: impl Iterator<Item = &'a Arc<Service>>) -> Vec<&'a Arc<Service>> {
    let mut all: Vec<&Arc<Service>> = services.collect();
    all.sort_by(|a, b| a.meta.by_age(&b.meta).then_with(|| a.hostname.cmp(&b.hostname)));
    all
}

struct Collector<'a> {
    snapshot: &'a Snapshot,
    view: &'a View,
    all: BTreeMap<(Place, u16), Binding>,
}

impl Collector<'_> {
    fn at(&mut self, ip: &str, port: u16) -> &mut Binding {
        self.placed(Place::Ip(ip.to_owned()), port, false)
    }

    fn placed(&mut self, place: Place, port: u16, bound: bool) -> &mut Binding {
        self.all.entry((place.clone(), port)).or_insert_with(|| Binding {
            place,
            port,
            bound,
            http: None,
            sniffed: false,
            tcp: Vec::new(),
        })
    }

    /// The listeners of an entry of the Sidecar that says where they stand, or that nothing is redirected to them.
    fn own(&mut self, index: usize, egress: &Egress) {
        let made_by = |service: &Service| match self.view.sidecar() {
            Some(sidecar) => sidecar.meta.provenance(format!("egress[{index}]")),
            None => service.meta.provenance(""),
        };
        let place = match &egress.bind {
            Bind::Ip(ip) => Place::Ip(ip.clone()),
            Bind::Socket(path) => Place::Socket(path.clone()),
            Bind::Unsaid => Place::Ip(self.view.families.loopback().to_owned()),
        };
        let socket = matches!(egress.bind, Bind::Socket(_));
        for service in by_age(self.view.services_of(egress)) {
            for port in service.ports.iter().filter(|p| egress.port.is_none_or(|number| number == p.number)) {
                let Some(serving) = own_serving(egress, port) else { continue };
                if INBOUND_AND_OUTBOUND.contains(&port.number) {
                    continue;
                }
                let (snapshot, view, who) = (self.snapshot, self.view, made_by(service));
                let at = if socket { 0 } else { port.number };
                let binding = self.placed(place.clone(), at, !egress.captured);
                if serving != Serving::Tcp {
                    binding.http.get_or_insert((own_routes(egress, port), who));
                    binding.sniffed |= serving == Serving::Auto;
                }
                if serving != Serving::Http {
                    let protocol = egress.protocol.unwrap_or(port.protocol);
                    let said = ServicePort { protocol, ..port.clone() };
                    binding.add_tcp(chains::tcp(snapshot, view, service, &said, &[]));
                }
            }
        }
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
        self.at(ip, port).add_tcp(chains);
    }
}

impl Binding {
    fn add_tcp(&mut self, chains: Vec<TcpChain>) {
        for chain in chains {
            if !self.tcp.iter().any(|c| c.same_match(&chain)) {
                self.tcp.push(chain);
            }
        }
    }

    /// The listener: HTTP by inspection where anything else may arrive, TCP by address and server name, the rest as one
    /// chain by default.
    pub(super) fn listener(&self, snapshot: &Snapshot, view: &View) -> Listener {
        let mesh = snapshot.mesh();
        let inspects_http = self.http.is_some();
        let inspects_tls = inspects_http || self.tcp.iter().any(TcpChain::by_server_name);
        let mut filter_chains: Vec<FilterChain> = Vec::new();
        if let Some((routes, made_by)) = &self.http {
            let prefix = format!("outbound_{}", self.name());
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
        // Who connects to the listener itself was going nowhere else.
        let unknown = || (!self.bound).then(|| catch_all(view, "PassthroughFilterChain"));
        let default = default.or_else(unknown);
        let (address, more) = match &self.place {
            Place::Ip(ip) if ip == view.families.wildcard() => {
                (address(ip, self.port), view.families.more_addresses(self.port))
            }
            Place::Ip(ip) => (address(ip, self.port), Vec::new()),
            Place::Socket(path) => (pipe(path), Vec::new()),
        };
        Listener {
            name: self.name(),
            address: Some(address),
            additional_addresses: more,
            bind_to_port: (!self.bound).then_some(false).and_then(boolv),
            filter_chains,
            per_connection_buffer_limit_bytes: view.proxy.connections.downstream_buffer.and_then(u32v),
            default_filter_chain: default,
            listener_filters_timeout: (!listener_filters.is_empty())
                .then(|| duration(mesh.protocol_detection_timeout)),
            listener_filters,
            continue_on_listener_filters_timeout: true,
            traffic_direction: direction(TrafficDirection::Outbound),
            access_log: view.traced.logs.listener.clone(),
            ..Listener::default()
        }
    }

    fn name(&self) -> String {
        match &self.place {
            Place::Ip(ip) => format!("{ip}_{}", self.port),
            Place::Socket(path) => format!("unix://{path}"),
        }
    }
}
