//! Route configurations of gateways: `http.PORT`, and one per HTTPS server.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tulle_base::Host;
use tulle_mesh::Snapshot;
use tulle_mesh::routing::{GatewayRef, RouteSet, Semantics};
use tulle_proto::Any;
use tulle_proto::envoy::route::{VirtualHost, virtual_host::TlsRequirementType};

use super::configuration as encode;
use super::http::{Arrival, is_catch_all, merged_routes, routes};
use crate::edge::{Bound, ServedAs, servers};
use crate::envoy_filter::Ports;
use crate::guards::Guards;
use crate::proxy::Proxy;
use crate::resource::Resource;
use crate::view::View;

/// Virtual hosts, the most specific first.
type Hosts = BTreeMap<Host, VirtualHost>;

/// The configuration `name`; `None` when no server of the proxy has it.
pub(crate) fn configuration(snapshot: &Snapshot, proxy: &Proxy, view: &View, name: &str) -> Option<Resource> {
    let bound: Vec<Bound> =
        servers(snapshot, proxy).into_iter().filter(|b| b.route_name().as_deref() == Some(name)).collect();
    let first = bound.first()?;
    let port = first.server().port;
    let mut hosts = Hosts::new();
    let guards = Guards::of(snapshot, proxy);
    let together: Vec<&Bound> = bound.iter().collect();
    for server in &bound {
        if server.gateway.semantics != Semantics::Istio {
            let policies = guards.of_routes(&server.gateway, &together);
            add_merged(snapshot, view, server, &policies, &mut hosts);
            continue;
        }
        for set in snapshot.routes_of_gateway(&server.gateway.name()) {
            if set.export_to.visible_to(&view.namespace) {
                add(snapshot, view, server, set, &mut hosts);
            }
        }
        if server.server().tls.as_ref().is_some_and(|t| t.https_redirect) {
            redirect_hosts(server, &mut hosts);
        }
    }
    let mut hosts: Vec<VirtualHost> = hosts.into_values().collect();
    for host in &mut hosts {
        order(host);
    }
    if hosts.is_empty() {
        // Without routes every request is answered with 404.
        hosts.push(virtual_host(&"*".into(), format!("blackhole:{port}")));
    }
    let ports: Vec<u16> = bound.iter().map(|b| b.server().port).collect();
    Some(encode(snapshot, view, name, Ports::Servers(&ports), hosts))
}

/// The names of all configurations of the proxy.
pub(crate) fn names(snapshot: &Snapshot, proxy: &Proxy) -> Vec<String> {
    let all: BTreeSet<String> = servers(snapshot, proxy).iter().filter_map(Bound::route_name).collect();
    all.into_iter().collect()
}

/// Adds the routes of a document to the hosts that it has in common with the server. Several documents may have routes
/// for one host: they are appended, oldest first (traps 5).
fn add(snapshot: &Snapshot, view: &View, server: &Bound, set: &Arc<RouteSet>, hosts: &mut Hosts) {
    let gateway = GatewayRef::Named(server.gateway.name());
    let port = server.server().port;
    let tls = server.served_as() == Some(ServedAs::Https);
    let common: BTreeSet<Host> =
        set.hosts.iter().flat_map(|h| server.server().intersect(set.meta.namespace(), h)).collect();
    if common.is_empty() {
        return;
    }
    let at = Arrival { snapshot, view, gateway: &gateway, port, tls };
    let routes = routes(&at, set);
    if routes.is_empty() {
        return;
    }
    for host in common {
        entry(hosts, &host, port).routes.extend(routes.iter().cloned());
    }
}

/// Adds the routes of every document that is attached to a listener of the Gateway API, or to the gateway of Ingresses: for each host those of all documents
/// that are for it, the most specific first. The listener's own hosts are there even without routes, so that a less specific
/// listener does not get their requests. `policies` is what the routes say to filters.
fn add_merged(
    snapshot: &Snapshot,
    view: &View,
    server: &Bound,
    policies: &HashMap<String, Any>,
    hosts: &mut Hosts,
) {
    let gateway = GatewayRef::Named(server.gateway.name());
    let port = server.server().port;
    let tls = server.served_as() == Some(ServedAs::Https);
    let at = Arrival { snapshot, view, gateway: &gateway, port, tls };
    let mut of_host: BTreeMap<Host, Vec<&Arc<RouteSet>>> = BTreeMap::new();
    for own in &server.server().hosts {
        of_host.entry(own.host.clone()).or_default();
    }
    for set in snapshot.routes_of_gateway(&server.gateway.name()) {
        let common: BTreeSet<Host> =
            set.hosts.iter().flat_map(|h| server.server().intersect(set.meta.namespace(), h)).collect();
        for host in common {
            of_host.entry(host).or_default().push(set);
        }
    }
    for (host, mut sets) in of_host {
        if server.gateway.semantics == Semantics::Ingress {
            // Those of a host are for it alone, those of a wildcard for the rest.
            let nearest = sets.iter().filter_map(|s| s.hosts.first()).min().cloned();
            sets.retain(|s| s.hosts.first() == nearest.as_ref());
        }
        let mut routes = merged_routes(&at, &sets);
        for route in &mut routes {
            let own = policies.iter().map(|(name, config)| (name.clone(), config.clone()));
            route.typed_per_filter_config.extend(own);
        }
        entry(hosts, &host, port).routes.extend(routes);
    }
}

fn entry<'a>(hosts: &'a mut Hosts, host: &Host, port: u16) -> &'a mut VirtualHost {
    hosts.entry(host.clone()).or_insert_with(|| virtual_host(host, format!("{host}:{port}")))
}

/// Every host of a server with `httpsRedirect` sends clients to https.
fn redirect_hosts(server: &Bound, hosts: &mut Hosts) {
    let port = server.server().port;
    for wanted in &server.server().hosts {
        entry(hosts, &wanted.host, port).require_tls = TlsRequirementType::All as i32;
    }
    // Hosts below a wildcard of the server as well.
    for (host, entry) in hosts.iter_mut() {
        if server.server().hosts.iter().any(|h| h.host.covers(host)) {
            entry.require_tls = TlsRequirementType::All as i32;
        }
    }
}

fn virtual_host(host: &Host, name: String) -> VirtualHost {
    VirtualHost {
        name,
        domains: vec![host.as_str().to_owned()],
        include_request_attempt_count: true,
        ..VirtualHost::default()
    }
}

/// Routes that take everything come last, and only the first of them can ever be reached.
fn order(host: &mut VirtualHost) {
    let (mut last, mut rest): (Vec<_>, Vec<_>) =
        std::mem::take(&mut host.routes).into_iter().partition(is_catch_all);
    last.truncate(1);
    rest.append(&mut last);
    host.routes = rest;
}
