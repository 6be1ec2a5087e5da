//! Route configurations of sidecars: `PORT` for declared HTTP, `HOST:PORT` for ports that are sniffed.

use std::collections::BTreeSet;
use std::sync::Arc;

use tulle_base::Host;
use tulle_mesh::Snapshot;
use tulle_mesh::config::OutboundPolicy;
use tulle_mesh::port::{Protocol, Serving};
use tulle_mesh::routing::{GatewayRef, RouteSet};
use tulle_mesh::service::{Service, ServicePort};
use tulle_mesh::sidecar::{Bind, Egress};
use tulle_proto::envoy::route::{DirectResponseAction, Route, RouteAction, VirtualHost, route, route_action};

use super::http::{Arrival, default_route, merged_routes, routes};
use super::matching::route_match;
use super::{action, configuration as encode, domains};
use crate::envoy_filter::Ports;
use crate::resource::Resource;
use crate::view::View;

/// The configuration `name`; `None` when no listener of the view refers to it.
pub(crate) fn configuration(snapshot: &Snapshot, view: &View, name: &str) -> Option<Resource> {
    if let Ok(port) = name.parse::<u16>() {
        let mut hosts = virtual_hosts(snapshot, view, port);
        hosts.push(catch_all(view));
        return Some(encode(snapshot, view, name, Ports::Named, hosts));
    }
    if let Some(path) = name.strip_prefix("unix://") {
        let mut hosts = of_socket(snapshot, view, path)?;
        hosts.push(catch_all(view));
        return Some(encode(snapshot, view, name, Ports::Named, hosts));
    }
    let (host, port) = name.rsplit_once(':')?;
    let service = view.service(&host.into())?;
    let port = service.port(port.parse().ok()?)?;
    let mut sniffed = virtual_host(snapshot, view, service, port);
    // The listener is the service's own: whatever the authority says, the request is for it.
    sniffed.domains = vec!["*".into()];
    Some(encode(snapshot, view, name, Ports::Named, vec![sniffed]))
}

/// The names of all configurations that the listeners of a view refer to.
pub(crate) fn names(view: &View) -> Vec<String> {
    let mut all: BTreeSet<String> = own_names(view).collect();
    for service in view.services() {
        for port in service.ports.iter().filter(|p| view.sees_port(&service.hostname, p.number)) {
            match view.protocol(port).serving() {
                Some(Serving::Http) => drop(all.insert(port.number.to_string())),
                Some(Serving::Auto) if has_own_listener(service) => {
                    all.insert(format!("{}:{}", service.hostname, port.number));
                }
                Some(Serving::Auto) => drop(all.insert(port.number.to_string())),
                Some(Serving::Tcp) | None => {}
            }
        }
    }
    all.into_iter().collect()
}

/// Of listeners that stand for themselves: by port, or by the path of the socket.
fn own_names(view: &View) -> impl Iterator<Item = String> {
    view.own_egress().flat_map(move |(_, egress)| {
        let ports = view.services_of(egress).flat_map(|s| &s.ports);
        let here = ports.filter(|p| egress.port.is_none_or(|number| number == p.number));
        let http = here.filter(|p| matches!(own_serving(egress, p), Some(Serving::Http | Serving::Auto)));
        http.map(|p| own_routes(egress, p)).collect::<Vec<_>>()
    })
}

/// How a listener of its own serves a port of a service.
pub(crate) fn own_serving(egress: &Egress, port: &ServicePort) -> Option<Serving> {
    let said = egress.protocol.filter(|_| port.protocol != Protocol::Udp);
    said.unwrap_or(port.protocol).serving()
}

/// The name of the routes for requests to a port at a listener of its own.
pub(crate) fn own_routes(egress: &Egress, port: &ServicePort) -> String {
    match &egress.bind {
        Bind::Socket(path) => format!("unix://{path}"),
        Bind::Unsaid | Bind::Ip(_) => port.number.to_string(),
    }
}

/// The virtual hosts behind a socket: every HTTP port of the services that are named beside it, by host and port.
fn of_socket(snapshot: &Snapshot, view: &View, path: &str) -> Option<Vec<VirtualHost>> {
    let at_path = |e: &&Egress| matches!(&e.bind, Bind::Socket(own) if own == path);
    let egress = view.own_egress().map(|(_, e)| e).find(at_path)?;
    let mut hosts = Claimed::default();
    for service in view.services_of(egress) {
        for port in &service.ports {
            if matches!(own_serving(egress, port), Some(Serving::Http | Serving::Auto)) {
                hosts.push(virtual_host(snapshot, view, service, port));
            }
        }
    }
    Some(hosts.sorted())
}

/// Virtual hosts that share no domain: it belongs to the first that claims it; Envoy refuses a second claim.
#[derive(Default)]
struct Claimed {
    out: Vec<VirtualHost>,
    domains: BTreeSet<String>,
}

impl Claimed {
    fn push(&mut self, mut host: VirtualHost) {
        host.domains.retain(|d| self.domains.insert(d.to_ascii_lowercase()));
        if !host.domains.is_empty() {
            self.out.push(host);
        }
    }

    fn sorted(mut self) -> Vec<VirtualHost> {
        self.out.sort_by(|a, b| a.name.cmp(&b.name));
        self.out
    }
}

/// Whether a sniffed port of `service` is bound to the service's (or its pods') own addresses.
pub(crate) fn has_own_listener(service: &Service) -> bool {
    service.bindable_addresses().next().is_some() || service.is_headless()
}

fn virtual_hosts(snapshot: &Snapshot, view: &View, number: u16) -> Vec<VirtualHost> {
    let mut hosts = Claimed::default();
    for service in view.services().filter(|s| view.routes_port(s, number)) {
        let http =
            |p: &&ServicePort| matches!(view.protocol(p).serving(), Some(Serving::Http | Serving::Auto));
        if let Some(port) = service.port(number).filter(http) {
            hosts.push(virtual_host(snapshot, view, service, port));
        }
    }
    if number == 80 {
        for host in hosts_without_service(snapshot, view) {
            hosts.push(host);
        }
    }
    hosts.sorted()
}

fn virtual_host(snapshot: &Snapshot, view: &View, service: &Arc<Service>, port: &ServicePort) -> VirtualHost {
    let at = arrival(snapshot, view, port.number);
    let written = claimed_routes(&at, &service.hostname);
    let routes = written.unwrap_or_else(|| vec![default_route(snapshot, view, service, port)]);
    VirtualHost {
        name: format!("{}:{}", service.hostname, port.number),
        domains: domains::of_service(service, &view.namespace),
        routes,
        include_request_attempt_count: true,
        ..VirtualHost::default()
    }
}

/// The routes for `host` that are written, if there are any for requests that arrive so.
fn claimed_routes(at: &Arrival<'_>, host: &Host) -> Option<Vec<Route>> {
    let (snapshot, view, port) = (at.snapshot, at.view, at.port);
    // Routes of the Gateway API may be for some ports only: for the others another claim may win.
    let wanted = |set: &RouteSet| !set.http.is_empty() && (!set.is_kube() || set.has_http_for(port));
    let winner = claim_where(snapshot, view, host, wanted)?;
    let written = if winner.is_kube() {
        let same =
            |s: &&Arc<RouteSet>| s.is_kube() && s.meta.namespace() == winner.meta.namespace() && wanted(s);
        let all: Vec<&Arc<RouteSet>> = snapshot.routes_of(host).iter().filter(same).collect();
        merged_routes(at, &all)
    } else {
        routes(at, winner)
    };
    Some(written).filter(|r| !r.is_empty())
}

fn arrival<'a>(snapshot: &'a Snapshot, view: &'a View, port: u16) -> Arrival<'a> {
    Arrival { snapshot, view, gateway: &GatewayRef::Mesh, port, tls: false }
}

/// The routes that claim `host` for a sidecar, of those that are `wanted`: the most specific host, then the nearest (private,
/// exported, public; of the public ones routes of the Gateway API in the client's namespace come first), then the oldest
/// (traps 5). Routes of the Gateway API are for clients in their own namespace, or for services in it.
pub(crate) fn claim_where<'a>(
    snapshot: &'a Snapshot,
    view: &View,
    host: &Host,
    wanted: impl Fn(&RouteSet) -> bool,
) -> Option<&'a Arc<RouteSet>> {
    let concerns = |set: &RouteSet| {
        let own = set.meta.namespace();
        let producer = || view.service(host).is_some_and(|s| s.namespace() == own);
        !set.is_kube() || own == view.namespace || producer()
    };
    let nearest = |claimed: &Host| -> Option<&'a Arc<RouteSet>> {
        let usable = snapshot
            .routes_of(claimed)
            .iter()
            .filter(|set| set.applies_to_mesh() && wanted(set) && view.sees_routes(set) && concerns(set));
        let near = |set: &RouteSet| {
            let near = set.export_to.nearness(set.meta.namespace(), &view.namespace)?;
            Some((near, !(set.is_kube() && set.meta.namespace() == view.namespace)))
        };
        // The first of equally near ones is the oldest.
        let ranked = usable.filter_map(|set| Some((near(set)?, set)));
        ranked.min_by_key(|(near, _)| *near).map(|(_, set)| set)
    };
    let exact = (!host.is_wildcard()).then_some(host);
    let wild = snapshot.routed_wildcards().into_iter().filter(|claimed| claimed.covers(host));
    exact.into_iter().chain(wild).find_map(nearest)
}

/// Hosts that routes claim and no service has: they are served on port 80.
fn hosts_without_service(snapshot: &Snapshot, view: &View) -> Vec<VirtualHost> {
    let mut out = Vec::new();
    for host in snapshot.routed_hosts() {
        let served = match host.is_wildcard() {
            true => view.services().any(|s| host.covers(&s.hostname)),
            false => view.service(host).is_some(),
        };
        if served {
            continue;
        }
        let Some(routes) = claimed_routes(&arrival(snapshot, view, 80), host) else { continue };
        out.push(VirtualHost {
            name: format!("{host}:80"),
            domains: vec![host.as_str().to_owned()],
            routes,
            include_request_attempt_count: true,
            ..VirtualHost::default()
        });
    }
    out
}

/// What becomes of requests for unknown hosts.
fn catch_all(view: &View) -> VirtualHost {
    let (name, action) = match view.outbound {
        OutboundPolicy::AllowAny => {
            let mut pass = RouteAction {
                cluster_specifier: Some(route_action::ClusterSpecifier::Cluster(view.unknown_to.clone())),
                ..RouteAction::default()
            };
            action::timeouts(&mut pass, None);
            ("allow_any", route::Action::Route(pass))
        }
        OutboundPolicy::RegistryOnly => (
            "block_all",
            route::Action::DirectResponse(DirectResponseAction { status: 502, ..Default::default() }),
        ),
    };
    VirtualHost {
        name: name.into(),
        domains: vec!["*".into()],
        routes: vec![Route {
            name: name.into(),
            r#match: Some(route_match(None)),
            action: Some(action),
            ..Route::default()
        }],
        include_request_attempt_count: true,
        ..VirtualHost::default()
    }
}
