//! Patches of route configurations, virtual hosts and routes.

use tulle_mesh::envoy_filter::{
    ApplyTo, ObjectMatch, Operation, Patch, PatchContext, RouteAction, RouteMatch, RoutesMatch,
    VirtualHostMatch,
};
use tulle_proto::envoy::route::{Route, RouteConfiguration, VirtualHost, route::Action};

use super::{Of, Patches, added, list};
use crate::names::ClusterName;
use crate::sources::Sources;

/// How a patch names the port of a route configuration.
#[derive(Clone, Copy)]
pub(crate) enum Ports<'a> {
    /// By the configuration's own name.
    Named,
    /// By the ports of the gateway's servers that it serves.
    Servers(&'a [u16]),
}

/// What patches of one configuration have in common.
#[derive(Clone, Copy)]
struct Place<'a> {
    patches: &'a Patches,
    context: PatchContext,
    ports: Ports<'a>,
}

/// Applies the patches for `context` to a route configuration.
pub(crate) fn patch(
    patches: &Patches,
    context: PatchContext,
    ports: Ports<'_>,
    routes: &mut RouteConfiguration,
    sources: &mut Sources,
) {
    let place = Place { patches, context, ports };
    for of in place.to(ApplyTo::RouteConfiguration, routes) {
        if let Operation::Merge { replace_lists } = of.patch.operation
            && of.merge_into(routes, replace_lists)
        {
            of.did(sources);
        }
    }
    let to_hosts = place.to(ApplyTo::VirtualHost, routes);
    let to_routes = place.to(ApplyTo::HttpRoute, routes);
    if to_hosts.is_empty() && to_routes.is_empty() {
        return;
    }
    let hosts = std::mem::take(&mut routes.virtual_hosts);
    routes.virtual_hosts =
        hosts.into_iter().filter_map(|host| virtual_host(&to_hosts, &to_routes, host, sources)).collect();
    for of in to_hosts.iter().filter(|of| matches!(of.patch.operation, Operation::Add(_))) {
        if let Some(host) = of.message::<VirtualHost>() {
            routes.virtual_hosts.push(host);
            of.did(sources);
        }
    }
}

impl<'a> Place<'a> {
    fn to(self, apply_to: ApplyTo, routes: &RouteConfiguration) -> Vec<Of<'a>> {
        let all = self.patches.to(apply_to, self.context);
        all.filter(|of| self.matches(routes, of.patch)).collect()
    }

    fn matches(self, routes: &RouteConfiguration, patch: &Patch) -> bool {
        let ObjectMatch::Routes(RoutesMatch { port, port_name, gateway, name, host: _ }) = &patch.object
        else {
            return true;
        };
        if !name.is_empty() && *name != routes.name {
            return false;
        }
        match self.ports {
            Ports::Named => port.is_none_or(|port| port_in(&routes.name) == Some(port)),
            Ports::Servers(ports) => {
                // `https.PORT.NAME.GATEWAY.NAMESPACE`, maybe with an address; plain HTTP is shared by gateways, and names none.
                let words: Vec<&str> = routes.name.split('.').collect();
                let (own_name, own_gateway) = match words[..] {
                    ["https", _, port_name, gateway, namespace, ..] => {
                        (port_name, format!("{namespace}/{gateway}"))
                    }
                    _ => ("", String::new()),
                };
                (port_name.is_empty() || port_name == own_name)
                    && (gateway.is_empty() || *gateway == own_gateway)
                    && port.is_none_or(|port| ports.iter().any(|p| u32::from(*p) == port))
            }
        }
    }
}

/// The port that the name of a sidecar's configuration tells: `PORT`, `HOST:PORT` or `inbound|PORT||`.
fn port_in(name: &str) -> Option<u32> {
    if let Some(cluster) = ClusterName::parse(name) {
        return Some(u32::from(cluster.port));
    }
    let port = name.rsplit_once(':').map_or(name, |(_, port)| port);
    port.parse().ok()
}

/// A virtual host as patches leave it; `None` when one removes it.
fn virtual_host(
    to_hosts: &[Of<'_>],
    to_routes: &[Of<'_>],
    mut host: VirtualHost,
    sources: &mut Sources,
) -> Option<VirtualHost> {
    for of in to_hosts.iter().filter(|of| !matches!(of.patch.operation, Operation::Add(_))) {
        if !host_matches(&host, of.patch) {
            continue;
        }
        let done = match of.patch.operation {
            Operation::Remove => {
                of.did(sources);
                return None;
            }
            Operation::Merge { replace_lists } => of.merge_into(&mut host, replace_lists),
            Operation::Replace => of.message().map(|other| host = other).is_some(),
            _ => false,
        };
        if done {
            of.did(sources);
        }
    }
    let to_routes: Vec<Of<'_>> =
        to_routes.iter().copied().filter(|of| host_matches(&host, of.patch)).collect();
    let routes = std::mem::take(&mut host.routes);
    host.routes = routes.into_iter().filter_map(|r| route(&to_routes, r, sources)).collect();
    for of in &to_routes {
        insert(&mut host.routes, *of, sources);
    }
    Some(host)
}

fn wanted_host(patch: &Patch) -> Option<&VirtualHostMatch> {
    match &patch.object {
        ObjectMatch::Routes(routes) => routes.host.as_ref(),
        _ => None,
    }
}

fn host_matches(host: &VirtualHost, patch: &Patch) -> bool {
    wanted_host(patch).is_none_or(|VirtualHostMatch { name, domain, route: _ }| {
        (name.is_empty() || *name == host.name) && (domain.is_empty() || host.domains.contains(domain))
    })
}

fn wanted_route(patch: &Patch) -> Option<&RouteMatch> {
    wanted_host(patch)?.route.as_ref()
}

fn route_matches(route: &Route, patch: &Patch) -> bool {
    wanted_route(patch).is_none_or(|RouteMatch { name, action }| {
        let own = match &route.action {
            Some(Action::Route(_)) => Some(RouteAction::Route),
            Some(Action::Redirect(_)) => Some(RouteAction::Redirect),
            Some(Action::DirectResponse(_)) => Some(RouteAction::DirectResponse),
            _ => None,
        };
        (name.is_empty() || *name == route.name) && (action.is_none() || own.is_none() || own == *action)
    })
}

/// A route as patches leave it; `None` when one removes it.
fn route(to_routes: &[Of<'_>], mut route: Route, sources: &mut Sources) -> Option<Route> {
    for of in to_routes {
        if !route_matches(&route, of.patch) {
            continue;
        }
        let done = match of.patch.operation {
            Operation::Remove => {
                of.did(sources);
                return None;
            }
            Operation::Merge { replace_lists } => of.merge_into(&mut route, replace_lists),
            _ => false,
        };
        if done {
            of.did(sources);
        }
    }
    Some(route)
}

fn insert(routes: &mut Vec<Route>, of: Of<'_>, sources: &mut Sources) {
    let operation = of.patch.operation;
    if matches!(operation, Operation::Merge { .. } | Operation::Remove | Operation::Replace) {
        return;
    }
    let named = wanted_route(of.patch).is_some();
    let matches = |r: &Route| route_matches(r, of.patch);
    // What goes first does so where the route that is named exists.
    if operation == Operation::InsertFirst && named && !routes.iter().any(matches) {
        return;
    }
    let Some(mut route) = of.message::<Route>() else { return };
    added::note(&mut route.metadata, of);
    let matches: Option<&dyn Fn(&Route) -> bool> = if named { Some(&matches) } else { None };
    if list::apply(routes, operation, Some(route), matches, |all, _| all.len()) {
        of.did(sources);
    }
}
