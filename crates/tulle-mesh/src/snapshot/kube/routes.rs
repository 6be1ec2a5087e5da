//! From a route of the Gateway API to sets of routes: which parents take it, and for which hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tulle_base::{Host, ResourceRef};

use super::Snapshot;
use super::references;
use crate::item::Item;
use crate::kube::{
    CONTROLLER, Finding, GROUP, KubeRoute, Listener, ListenerState, Parent, ParentState, RouteKind,
    RouteState,
};
use crate::meta::NsName;
use crate::routing::{
    Destination, DirectResponse, GatewayRef, HttpAction, HttpRoute, L4Route, RouteSet, Semantics,
};
use crate::service::{Service, ServicePort};
use crate::visibility::ExportTo;

/// The host of a Service.
pub(super) fn service_host(snapshot: &Snapshot, name: &NsName) -> Host {
    Host::new(&format!("{}.{}.svc.{}", name.name, name.namespace, snapshot.mesh().domain))
}

/// What becomes of `route`.
pub(super) fn state(snapshot: &Snapshot, route: &KubeRoute) -> RouteState {
    let (resolved, failing) = references::of_route(snapshot, route, false);
    let (resolved_in_mesh, failing_in_mesh) = references::of_route(snapshot, route, true);
    let unserved: Vec<String> = route
        .problems
        .iter()
        .filter(|p| !p.reference)
        .map(|p| format!("{}: {}", p.path, p.message))
        .collect();
    let mut parents = Vec::new();
    let mut gateways: BTreeSet<NsName> = BTreeSet::new();
    // Ports of a host; none stands for all.
    let mut hosts: BTreeMap<Host, Option<BTreeSet<u16>>> = BTreeMap::new();
    for parent in &route.parents {
        let at = match (parent.object.group.as_str(), parent.object.kind.as_str()) {
            (GROUP, "Gateway") => match at_gateway(snapshot, route, parent) {
                Some(at) => at,
                // Somebody else's.
                None => continue,
            },
            (GROUP, "ListenerSet") => match at_listener_set(snapshot, route, parent) {
                Some(at) => at,
                // Somebody else's.
                None => continue,
            },
            ("", "Service") => at_service(snapshot, route, parent),
            ("networking.istio.io", "ServiceEntry") => at_entry(snapshot, parent),
            (group, kind) => {
                let message = format!("routes cannot be attached to a {kind} of {group:?} here");
                At {
                    controller: CONTROLLER.to_owned(),
                    accepted: Finding::no("InvalidKind", message),
                    to: To::Nothing,
                }
            }
        };
        let in_mesh = matches!(at.to, To::Hosts(..));
        if at.accepted.holds {
            match at.to {
                To::Listeners(all) => gateways.extend(all),
                To::Hosts(all, port) => all.into_iter().for_each(|host| add_port(&mut hosts, host, port)),
                To::Nothing => {}
            }
        }
        parents.push(ParentState {
            parent: parent.clone(),
            controller: at.controller,
            accepted: at.accepted,
            resolved: if in_mesh { resolved_in_mesh.clone() } else { resolved.clone() },
            partially_invalid: (!unserved.is_empty()).then(|| unserved.join("; ")),
        });
    }
    let mut sets = Vec::new();
    if !gateways.is_empty() {
        sets.push(at_gateways(route, gateways, &failing));
    }
    for (host, ports) in hosts {
        sets.push(in_mesh(route, host, ports, &failing_in_mesh));
    }
    RouteState { parents, sets: sets.into_iter().map(Arc::new).collect() }
}

/// What a route is attached to.
enum To {
    Listeners(Vec<NsName>),
    /// Services, on every port or on one.
    Hosts(Vec<Host>, Option<u16>),
    Nothing,
}

struct At {
    controller: String,
    accepted: Finding,
    to: To,
}

fn add_port(hosts: &mut BTreeMap<Host, Option<BTreeSet<u16>>>, host: Host, port: Option<u16>) {
    let ports = hosts.entry(host).or_insert_with(|| Some(BTreeSet::new()));
    match (ports.as_mut(), port) {
        (Some(ports), Some(port)) => drop(ports.insert(port)),
        (_, None) => *ports = None,
        (None, Some(_)) => {}
    }
}

fn at_service(snapshot: &Snapshot, route: &KubeRoute, parent: &Parent) -> At {
    let host = service_host(snapshot, &parent.object.name);
    let (accepted, port) = match snapshot.service(&host, route.meta.namespace()) {
        None => (no_parent(parent), None),
        Some(service) => on_port(parent, &[service]),
    };
    At { controller: CONTROLLER.to_owned(), accepted, to: To::Hosts(vec![host], port) }
}

fn at_entry(snapshot: &Snapshot, parent: &Parent) -> At {
    let NsName { namespace, name } = &parent.object.name;
    let reference = ResourceRef::new("networking.istio.io", "ServiceEntry", &**namespace, &**name);
    let (accepted, port, hosts) = match snapshot.items.get(&reference).map(Arc::as_ref) {
        Some(Item::Services(all)) => {
            let (accepted, port) = on_port(parent, &all.iter().collect::<Vec<_>>());
            (accepted, port, all.iter().map(|s| s.hostname.clone()).collect())
        }
        _ => (no_parent(parent), None, Vec::new()),
    };
    At { controller: CONTROLLER.to_owned(), accepted, to: To::Hosts(hosts, port) }
}

fn no_parent(parent: &Parent) -> Finding {
    Finding::no("NoMatchingParent", format!("there is no {} {}", parent.object.kind, parent.object.name))
}

/// The port of services that a parent reference means, by number or (`sectionName`) by name.
fn on_port(parent: &Parent, services: &[&Service]) -> (Finding, Option<u16>) {
    if parent.port.is_none() && parent.section.is_none() {
        return (Finding::yes("Accepted"), None);
    }
    let meant = |p: &&ServicePort| {
        parent.port.is_none_or(|n| n == p.number) && parent.section.as_ref().is_none_or(|s| *s == p.name)
    };
    match services.iter().flat_map(|s| &s.ports).find(meant) {
        Some(port) => (Finding::yes("Accepted"), Some(port.number)),
        None => {
            let has: Vec<String> = services
                .iter()
                .flat_map(|s| &s.ports)
                .map(|p| format!("{} {}", p.number, p.name).trim_end().to_owned())
                .collect();
            let message = format!(
                "{} {} has no such port, but {}",
                parent.object.kind,
                parent.object.name,
                has.join(", ")
            );
            (Finding::no("NoMatchingParent", message), None)
        }
    }
}

/// `None` when the Gateway is somebody else's.
fn at_gateway(snapshot: &Snapshot, route: &KubeRoute, parent: &Parent) -> Option<At> {
    let name = &parent.object.name;
    let Some(gateway) = snapshot.kube_gateways.get(name) else {
        let accepted = Finding::no("NoMatchingParent", format!("there is no Gateway {name}"));
        return Some(At { controller: CONTROLLER.to_owned(), accepted, to: To::Nothing });
    };
    let state = snapshot.gateway_states.get(name)?;
    let (accepted, listeners) = attach(snapshot, route, parent, &gateway.listeners, &state.listeners);
    Some(At { controller: state.controller.clone(), accepted, to: To::Listeners(listeners) })
}

/// `None` when the Gateway behind a ListenerSet is somebody else's.
fn at_listener_set(snapshot: &Snapshot, route: &KubeRoute, parent: &Parent) -> Option<At> {
    let name = &parent.object.name;
    let nothing = |message: String| {
        let accepted = Finding::no("NoMatchingParent", message);
        Some(At { controller: CONTROLLER.to_owned(), accepted, to: To::Nothing })
    };
    let Some(set) = snapshot.listener_sets.get(name) else {
        return nothing(format!("there is no ListenerSet {name}"));
    };
    let Some(state) = snapshot.set_states.get(name) else {
        let there = set.parent.as_ref().is_some_and(|p| snapshot.kube_gateways.contains_key(p));
        return if there { None } else { nothing(format!("there is no Gateway of ListenerSet {name}")) };
    };
    if !state.accepted.holds {
        return nothing(format!("ListenerSet {name} is not taken by Gateway {}", state.gateway));
    }
    let (accepted, listeners) = attach(snapshot, route, parent, &set.listeners, &state.listeners);
    Some(At { controller: state.controller.clone(), accepted, to: To::Listeners(listeners) })
}

/// The listeners that take a route, or why none does: of several reasons the one that came furthest.
fn attach(
    snapshot: &Snapshot,
    route: &KubeRoute,
    parent: &Parent,
    listeners: &[Listener],
    states: &[ListenerState],
) -> (Finding, Vec<NsName>) {
    let meant = |l: &&Listener| {
        parent.section.as_ref().is_none_or(|s| *s == l.name) && parent.port.is_none_or(|p| p == l.port)
    };
    let namespace = route.meta.namespace();
    let labels = snapshot.labels_of(namespace);
    let mut taken = Vec::new();
    let mut worst: Option<(u8, Finding)> = None;
    for listener in listeners.iter().filter(meant) {
        let Some(state) = states.iter().find(|s| s.name == listener.name) else { continue };
        let kinds = &state.kinds;
        let name = &listener.name;
        let refusal = if !kinds.contains(&route.kind) {
            let message = format!("listener {name} takes no {}", route.kind.as_str());
            Some((1, Finding::no("NotAllowedByListeners", message)))
        } else if !listener.allows(&parent.object.name.namespace, namespace, &labels) {
            let message = format!("listener {name} takes no routes from namespace {namespace}");
            Some((2, Finding::no("NotAllowedByListeners", message)))
        } else if !hosts_meet(&route.hostnames, listener.hostname.as_ref()) {
            let host = listener.hostname.as_ref().map(Host::as_str).unwrap_or_default();
            let message = format!("no hostname of the route is within {host} of listener {name}");
            Some((3, Finding::no("NoMatchingListenerHostname", message)))
        } else {
            taken.push(state.internal.clone());
            None
        };
        if let Some(refusal) = refusal
            && worst.as_ref().is_none_or(|(rank, _)| *rank < refusal.0)
        {
            worst = Some(refusal);
        }
    }
    if !taken.is_empty() {
        return (Finding::yes("Accepted"), taken);
    }
    let nothing = || {
        let names: Vec<&str> = listeners.iter().map(|l| l.name.as_str()).collect();
        let Parent { object, .. } = parent;
        let message =
            format!("{} {} has no such listener, but {}", object.kind, object.name, names.join(", "));
        Finding::no("NoMatchingParent", message)
    };
    (worst.map_or_else(nothing, |(_, finding)| finding), taken)
}

fn hosts_meet(route: &[Host], listener: Option<&Host>) -> bool {
    listener.is_none_or(|l| route.is_empty() || route.iter().any(|h| h.overlaps(l)))
}

fn at_gateways(route: &KubeRoute, gateways: BTreeSet<NsName>, failing: &[Host]) -> RouteSet {
    let hosts = match route.hostnames.as_slice() {
        [] => vec![Host::new("*")],
        some => some.to_vec(),
    };
    let l4 = connections(route, failing, None);
    let of = |kinds: &[RouteKind]| if kinds.contains(&route.kind) { l4.clone() } else { Vec::new() };
    RouteSet {
        meta: route.meta.clone(),
        hosts,
        gateways: gateways.into_iter().map(GatewayRef::Named).collect(),
        export_to: ExportTo::All,
        exports_by_default: false,
        http: requests(route, failing, None),
        // Where TLS ends at the listener, routes by server name are routes for what is inside.
        tls: of(&[RouteKind::Tls]),
        tcp: of(&[RouteKind::Tcp, RouteKind::Tls]),
        semantics: Semantics::GatewayApi,
    }
}

fn in_mesh(route: &KubeRoute, host: Host, ports: Option<BTreeSet<u16>>, failing: &[Host]) -> RouteSet {
    let l4 = connections(route, failing, ports.as_ref());
    let of = |kind| if route.kind == kind { l4.clone() } else { Vec::new() };
    RouteSet {
        meta: route.meta.clone(),
        hosts: vec![host],
        gateways: vec![GatewayRef::Mesh],
        export_to: ExportTo::All,
        exports_by_default: false,
        http: requests(route, failing, ports.as_ref()),
        tls: of(RouteKind::Tls),
        tcp: of(RouteKind::Tcp),
        semantics: Semantics::GatewayApi,
    }
}

/// The HTTP rules, for some ports or (`None`) all. What may not be referred to becomes nowhere; so does nothing else: what
/// does not exist is not there either way.
fn requests(route: &KubeRoute, failing: &[Host], ports: Option<&BTreeSet<u16>>) -> Vec<HttpRoute> {
    let mut out = Vec::new();
    for rule in &route.http {
        let mut rule = rule.clone();
        // Nothing passes unasked.
        let unknown = |d: &Destination| d.is_nowhere() || failing.contains(&d.host);
        if rule.external_auth.iter().any(|auth| unknown(&auth.destination)) {
            rule.action = HttpAction::Direct(DirectResponse { status: 500, body: None });
            rule.external_auth.clear();
        }
        if let HttpAction::Forward(forward) = &mut rule.action {
            forward.destinations.iter_mut().for_each(|d| fail(&mut d.destination, failing));
            forward.mirrors.retain(|m| !failing.contains(&m.destination.host));
        }
        for_ports(rule, ports, &mut out, |rule, port| {
            rule.matches.iter_mut().for_each(|m| m.port = Some(port))
        });
    }
    out
}

fn connections(route: &KubeRoute, failing: &[Host], ports: Option<&BTreeSet<u16>>) -> Vec<L4Route> {
    let mut out = Vec::new();
    for rule in &route.l4 {
        let mut rule = rule.clone();
        rule.destinations.iter_mut().for_each(|d| fail(&mut d.destination, failing));
        if ports.is_some() && rule.matches.is_empty() {
            rule.matches.push(Default::default());
        }
        for_ports(rule, ports, &mut out, |rule, port| {
            rule.matches.iter_mut().for_each(|m| m.port = Some(port))
        });
    }
    out
}

fn for_ports<T: Clone>(rule: T, ports: Option<&BTreeSet<u16>>, out: &mut Vec<T>, set: impl Fn(&mut T, u16)) {
    let Some(ports) = ports else { return out.push(rule) };
    for port in ports {
        let mut one = rule.clone();
        set(&mut one, *port);
        out.push(one);
    }
}

fn fail(destination: &mut Destination, failing: &[Host]) {
    if failing.contains(&destination.host) {
        *destination = Destination::nowhere();
    }
}
