//! Route configurations of sidecars: `PORT` for declared HTTP, `HOST:PORT` for ports that are sniffed.

use std::collections::BTreeSet;
use std::sync::Arc;

use tulle_base::Host;
use tulle_mesh::Snapshot;
use tulle_mesh::config::OutboundPolicy;
use tulle_mesh::port::Serving;
use tulle_mesh::routing::{GatewayRef, RouteSet};
use tulle_mesh::service::{Service, ServicePort};
use tulle_proto::envoy::route::{DirectResponseAction, Route, RouteAction, VirtualHost, route, route_action};

use super::http::{Arrival, default_route, merged_routes, routes};
use super::matching::route_match;
use super::{action, configuration as encode, domains};
use crate::envoy_filter::Ports;
use crate::names::PASSTHROUGH;
use crate::resource::Resource;
use crate::view::View;

/// The configuration `name`; `None` when no listener of the view refers to it.
pub(crate) fn configuration(snapshot: &Snapshot, view: &View, name: &str) -> Option<Resource> {
    if let Ok(port) = name.parse::<u16>() {
        let mut hosts = virtual_hosts(snapshot, view, port);
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
    let mut all = BTreeSet::new();
    for service in view.services() {
        for port in service.ports.iter().filter(|p| view.sees_port(&service.hostname, p.number)) {
            match port.protocol.serving() {
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

/// Whether a sniffed port of `service` is bound to the service's (or its pods') own addresses.
pub(crate) fn has_own_listener(service: &Service) -> bool {
    service.bindable_addresses().next().is_some() || service.is_headless()
}

fn virtual_hosts(snapshot: &Snapshot, view: &View, number: u16) -> Vec<VirtualHost> {
    let mut out = Vec::new();
    let mut claimed: BTreeSet<String> = BTreeSet::new();
    let mut push = |mut host: VirtualHost, out: &mut Vec<VirtualHost>| {
        // A domain belongs to the first that claims it; Envoy refuses a second claim.
        host.domains.retain(|d| claimed.insert(d.to_ascii_lowercase()));
        if !host.domains.is_empty() {
            out.push(host);
        }
    };
    for service in view.services().filter(|s| view.sees_port(&s.hostname, number)) {
        if let Some(port) = service
            .port(number)
            .filter(|p| matches!(p.protocol.serving(), Some(Serving::Http | Serving::Auto)))
        {
            push(virtual_host(snapshot, view, service, port), &mut out);
        }
    }
    if number == 80 {
        for host in hosts_without_service(snapshot, view) {
            push(host, &mut out);
        }
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
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
                cluster_specifier: Some(route_action::ClusterSpecifier::Cluster(PASSTHROUGH.to_owned())),
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
