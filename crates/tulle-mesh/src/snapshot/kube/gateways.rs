//! From a Gateway of the Gateway API to one gateway per listener.

use std::collections::BTreeSet;
use std::sync::Arc;

use tulle_base::{Host, Selector};

use super::references;
use super::{GATEWAY_NAME, Snapshot};
use crate::gateway::{GATEWAY_SECRET, Gateway, Pods, Server, ServerHost, ServerTls, ServerTlsMode};
use crate::kube::{
    Address, AllowedNamespaces, Finding, GatewayState, KubeGateway, Listener, ListenerProtocol,
    ListenerState, ListenerTls, Reach, built_in_controller, is_ours,
};
use crate::port::Protocol;
use crate::routing::Semantics;
use crate::service::{Registry, Service};

/// The Service of the mesh's own gateway, in the root namespace: it serves Gateways without pods of their own.
const SHARED: &str = "istio-ingressgateway";

/// Hosts of the Services that decide which pods serve `gateway`.
pub(super) fn services_of(snapshot: &Snapshot, gateway: &KubeGateway) -> Vec<Host> {
    let named = gateway.addresses.iter().filter_map(|a| match a {
        Address::Service(host) => Some(host.clone()),
        Address::Other(..) => None,
    });
    let named: Vec<Host> = named.collect();
    if named.is_empty() { vec![shared(snapshot)] } else { named }
}

fn shared(snapshot: &Snapshot) -> Host {
    let mesh = snapshot.mesh();
    Host::new(&format!("{SHARED}.{}.svc.{}", mesh.root_namespace, mesh.domain))
}

/// What becomes of `gateway`; `None` when its class is not this mesh's.
pub(super) fn state(snapshot: &Snapshot, gateway: &KubeGateway) -> Option<GatewayState> {
    let controller = match snapshot.classes.get(&gateway.class) {
        Some(class) => class.controller.clone(),
        None => built_in_controller(&gateway.class)?.to_owned(),
    };
    if !is_ours(&controller) {
        return None;
    }
    let mut problems = Vec::new();
    let (pods, services) = serving(snapshot, gateway, &mut problems);
    let name = gateway.name();
    let mut listeners = Vec::new();
    for (index, listener) in gateway.listeners.iter().enumerate() {
        let mut state = listener_state(snapshot, gateway, listener);
        if let Some(conflict) = conflict(&gateway.listeners, index) {
            state.accepted = Finding::no(conflict.reason, conflict.message.clone());
            state.conflicted = conflict;
        }
        state.reach = reach(&services, listener);
        if state.accepted.holds && has_certificate(snapshot, gateway, listener) {
            let made = Gateway {
                meta: gateway.meta.clone(),
                name: listener.internal(&name),
                pods: pods.clone(),
                servers: server(snapshot, gateway, index).into_iter().collect(),
                semantics: Semantics::GatewayApi,
            };
            state.gateway = Some(Arc::new(made));
        }
        listeners.push(state);
    }
    let outside = services.iter().flat_map(|s| s.host_ports.values());
    let addresses: BTreeSet<String> =
        outside.map(|at| at.rsplit_once(':').map_or(at.as_str(), |(ip, _)| ip).to_owned()).collect();
    Some(GatewayState {
        controller,
        services: services.iter().map(|s| s.hostname.as_str().to_owned()).collect(),
        addresses: addresses.into_iter().collect(),
        problems,
        listeners,
    })
}

/// The pods that serve a Gateway, and the Services in front of them: those of its addresses, else pods that were made for it,
/// else the mesh's own gateway.
fn serving(
    snapshot: &Snapshot,
    gateway: &KubeGateway,
    problems: &mut Vec<(String, String)>,
) -> (Vec<Pods>, Vec<Arc<Service>>) {
    let namespace = gateway.meta.namespace();
    for (i, address) in gateway.addresses.iter().enumerate() {
        if let Address::Other(kind, value) = address {
            let message = format!(
                "{kind} {value:?} cannot be asked for; write the host name of a Service, or no address"
            );
            problems.push((format!("spec.addresses[{i}]"), message));
        }
    }
    let named = gateway.addresses.iter().any(|a| matches!(a, Address::Service(_)));
    let own = Selector::from_iter([(GATEWAY_NAME, gateway.meta.name())]);
    let made = snapshot.pods_in.get(namespace).into_iter().flatten();
    let has_own = made.filter_map(|p| snapshot.workloads.get(p)).any(|w| own.matches(&w.labels));
    if has_own && !named {
        let services = snapshot.services_in.get(namespace).into_iter().flatten();
        let services = services.filter_map(|h| snapshot.service(h, namespace));
        let services = services.filter(|s| s.selector.as_ref().is_some_and(|sel| sel.matches(&own.0)));
        let pods = Pods { namespace: Some(namespace.to_owned()), labels: own.clone() };
        return (vec![pods], services.cloned().collect());
    }
    let (mut pods, mut services) = (Vec::new(), Vec::new());
    for host in services_of(snapshot, gateway) {
        let found = snapshot.service(&host, namespace).filter(|s| s.registry == Registry::Kubernetes);
        let Some((service, labels)) = found.and_then(|s| Some((s, s.selector.clone()?))) else {
            // Where the mesh's own gateway is not among what is known, its condition Programmed says that nobody serves it.
            if !named {
                continue;
            }
            let message = format!("no Service {host} with a selector: no pod serves it there");
            problems.push(("spec.addresses".to_owned(), message));
            continue;
        };
        pods.push(Pods { namespace: Some(service.namespace().to_owned()), labels });
        services.push(Arc::clone(service));
    }
    (pods, services)
}

/// A port that no Service has is reached at the pods' addresses alone; one that the host has not bound, inside the mesh alone.
fn reach(services: &[Arc<Service>], listener: &Listener) -> Reach {
    let port = listener.port;
    let having: Vec<&Arc<Service>> = services.iter().filter(|s| s.port(port).is_some()).collect();
    let names = |all: &mut dyn Iterator<Item = &Arc<Service>>| {
        all.map(|s| format!("{}/{}", s.namespace(), s.name())).collect::<Vec<_>>().join(", ")
    };
    if having.is_empty() && !services.is_empty() {
        let has: Vec<String> = services.iter().flat_map(|s| &s.ports).map(|p| p.number.to_string()).collect();
        return Reach::Limited(format!(
            "port {port} is not one of Service {} ({}): it is served at the pods' own addresses only",
            names(&mut services.iter()),
            has.join(", ")
        ));
    }
    if let Some(at) = having.iter().find_map(|s| s.host_ports.get(&port)) {
        return Reach::At(format!("reached from the host at {at}"));
    }
    let bound: Vec<String> =
        having.iter().flat_map(|s| &s.host_ports).map(|(port, at)| format!("{port} at {at}")).collect();
    if bound.is_empty() {
        return Reach::AsWritten;
    }
    Reach::Limited(format!(
        "port {port} is not bound on the host ({}): it is served inside the mesh only, by Service {}",
        bound.join(", "),
        names(&mut having.into_iter())
    ))
}

fn listener_state(snapshot: &Snapshot, gateway: &KubeGateway, listener: &Listener) -> ListenerState {
    let (kinds, known) = listener.supported_kinds();
    let mut resolved = Finding::yes("ResolvedRefs");
    if !known {
        let names: Vec<&str> = listener.kinds.iter().map(|(_, kind)| kind.as_str()).collect();
        let message = format!("not all of {} are kinds of routes for this protocol", names.join(", "));
        resolved = Finding::no("InvalidRouteKinds", message);
    }
    let certificates = listener.tls.iter().filter(|t| !t.passthrough).flat_map(|t| &t.certificates);
    let problem =
        certificates.filter_map(|c| references::certificate(snapshot, gateway.meta.namespace(), c)).next();
    if let Some(problem) = problem {
        resolved = problem;
    }
    let accepted = match &listener.protocol {
        ListenerProtocol::Other(name) => {
            Finding::no("UnsupportedProtocol", format!("{name} is not served; write HTTP, HTTPS, TLS or TCP"))
        }
        _ => Finding::yes("Accepted"),
    };
    ListenerState {
        name: listener.name.clone(),
        internal: listener.internal(&gateway.name()),
        kinds,
        accepted,
        resolved,
        conflicted: Finding::no("NoConflicts", ""),
        reach: Reach::AsWritten,
        gateway: None,
    }
}

/// Whether another listener before it claims the same port otherwise.
fn conflict(listeners: &[Listener], index: usize) -> Option<Finding> {
    let mine = &listeners[index];
    let by_name = |l: &Listener| match l.protocol {
        ListenerProtocol::Http => Some("HTTP"),
        ListenerProtocol::Https | ListenerProtocol::Tls => Some("TLS"),
        ListenerProtocol::Tcp | ListenerProtocol::Other(_) => None,
    };
    let yes = |reason, message| Some(Finding { holds: true, reason, message });
    for other in listeners[..index].iter().filter(|l| l.port == mine.port) {
        let (name, port) = (&other.name, mine.port);
        if by_name(other).is_none() || by_name(other) != by_name(mine) {
            return yes(
                "ProtocolConflict",
                format!("listener {name} has port {port} with another protocol, or without host names"),
            );
        }
        if other.hostname == mine.hostname {
            return yes("HostnameConflict", format!("listener {name} has the same host on port {port}"));
        }
    }
    None
}

/// Whether some certificate can be used, or none is needed.
fn has_certificate(snapshot: &Snapshot, gateway: &KubeGateway, listener: &Listener) -> bool {
    match &listener.tls {
        Some(tls) if !tls.passthrough && !tls.certificates.is_empty() => {
            !credentials(snapshot, gateway, tls).is_empty()
        }
        _ => true,
    }
}

fn credentials(snapshot: &Snapshot, gateway: &KubeGateway, tls: &ListenerTls) -> Vec<String> {
    let namespace = gateway.meta.namespace();
    let good = tls.certificates.iter().filter(|c| references::certificate(snapshot, namespace, c).is_none());
    good.map(|c| format!("{GATEWAY_SECRET}{}", c.name)).collect()
}

fn server(snapshot: &Snapshot, gateway: &KubeGateway, index: usize) -> Option<Server> {
    let listener = &gateway.listeners[index];
    let protocol = match listener.protocol {
        ListenerProtocol::Http => Protocol::Http,
        ListenerProtocol::Https => Protocol::Https,
        ListenerProtocol::Tls => Protocol::Tls,
        ListenerProtocol::Tcp => Protocol::Tcp,
        ListenerProtocol::Other(_) => return None,
    };
    let host = listener.hostname.clone().unwrap_or_else(|| Host::new("*"));
    // More specific listeners of the port have their hosts for themselves.
    let others = gateway.listeners.iter().enumerate().filter(|(i, other)| {
        *i != index && other.port == listener.port && other.protocol == listener.protocol
    });
    let excluded = others.filter_map(|(_, other)| other.hostname.clone());
    Some(Server {
        port: listener.port,
        port_name: "default".to_owned(),
        protocol,
        hosts: hosts(snapshot, gateway, listener, &host),
        bind: String::new(),
        tls: listener.tls.as_ref().map(|t| server_tls(snapshot, gateway, t)),
        name: listener.name.clone(),
        excluded: excluded.filter(|other| *other != host && host.covers(other)).collect(),
        meta: None,
        rule: format!("listeners[{index}]"),
    })
}

/// The host, for each namespace from which routes may come.
fn hosts(snapshot: &Snapshot, gateway: &KubeGateway, listener: &Listener, host: &Host) -> Vec<ServerHost> {
    let of = |namespace: &str| ServerHost { namespace: Some(namespace.to_owned()), host: host.clone() };
    match &listener.from {
        AllowedNamespaces::All => vec![ServerHost { namespace: None, host: host.clone() }],
        AllowedNamespaces::Same => vec![of(gateway.meta.namespace())],
        AllowedNamespaces::None => vec![of("~")],
        AllowedNamespaces::Selector(selector) => {
            let chosen = snapshot.namespaces.iter().filter(|(_, labels)| selector.matches(labels));
            let all: Vec<ServerHost> = chosen.map(|(name, _)| of(name)).collect();
            // The host is served all the same, without routes.
            if all.is_empty() { vec![of("~")] } else { all }
        }
    }
}

fn server_tls(snapshot: &Snapshot, gateway: &KubeGateway, tls: &ListenerTls) -> ServerTls {
    let mode = match tls.terminate_mode.as_str() {
        _ if tls.passthrough => ServerTlsMode::Passthrough,
        "MUTUAL" => ServerTlsMode::Mutual,
        "OPTIONAL_MUTUAL" => ServerTlsMode::OptionalMutual,
        "ISTIO_MUTUAL" => ServerTlsMode::IstioMutual,
        _ => ServerTlsMode::Simple,
    };
    let credentials = if tls.passthrough { Vec::new() } else { credentials(snapshot, gateway, tls) };
    ServerTls { mode, credentials, cipher_suites: tls.cipher_suites.clone(), ..ServerTls::default() }
}
