//! From a Gateway of the Gateway API, and the ListenerSets that it takes, to one gateway per listener.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tulle_base::{Host, Selector};

use super::listeners;
use super::references;
use super::{GATEWAY_NAME, Snapshot};
use crate::gateway::{GATEWAY_SECRET, Gateway, Pods};
use crate::kube::{
    Address, Finding, GatewayState, KubeGateway, Listener, ListenerSet, ListenerSetState, Reach,
    built_in_controller, is_ours,
};
use crate::meta::NsName;
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

/// What becomes of a Gateway, and of the ListenerSets that name it.
#[derive(Default)]
pub(super) struct Made {
    /// `None` when its class is not this mesh's.
    pub(super) gateway: Option<GatewayState>,
    pub(super) sets: BTreeMap<NsName, ListenerSetState>,
}

/// What becomes of `gateway` and of the ListenerSets that name it.
pub(super) fn state(snapshot: &Snapshot, gateway: &KubeGateway) -> Made {
    let controller = match snapshot.classes.get(&gateway.class) {
        Some(class) => class.controller.clone(),
        None => match built_in_controller(&gateway.class) {
            Some(controller) => controller.to_owned(),
            None => return Made::default(),
        },
    };
    if !is_ours(&controller) {
        return Made::default();
    }
    let mut problems = Vec::new();
    let (pods, services) = serving(snapshot, gateway, &mut problems);
    let client_certificate = client_certificate(snapshot, gateway, &mut problems);
    let sets = sets_of(snapshot, gateway);
    let taken = sets.iter().filter(|(_, accepted)| accepted.holds);
    let all = listeners::places(gateway, taken.clone().map(|(set, _)| set.as_ref()));
    let mut states: Vec<_> = (0..all.len())
        .map(|i| {
            let mut state = listeners::state(snapshot, &all, i);
            state.reach = reach(&services, all[i].listener);
            if state.accepted.holds && listeners::has_certificate(snapshot, &all[i]) {
                let made = Gateway {
                    meta: all[i].meta.clone(),
                    name: all[i].internal(),
                    pods: pods.clone(),
                    servers: listeners::server(snapshot, &all, i).into_iter().collect(),
                    semantics: Semantics::GatewayApi,
                    client_certificate: client_certificate.clone(),
                };
                state.gateway = Some(Arc::new(made));
            }
            state
        })
        .collect();
    let mut rest = states.split_off(gateway.listeners.len()).into_iter();
    let own = states;
    let mut made = BTreeMap::new();
    for (set, accepted) in &sets {
        let listeners = if accepted.holds {
            rest.by_ref().take(set.listeners.len()).collect()
        } else {
            // Nothing of it is served.
            let all = listeners::places_of_set(gateway, set);
            (0..all.len()).map(|i| listeners::state(snapshot, &all, i)).collect()
        };
        let state = ListenerSetState {
            gateway: gateway.name(),
            controller: controller.clone(),
            accepted: accepted.clone(),
            listeners,
        };
        made.insert(set.name(), state);
    }
    let outside = services.iter().flat_map(|s| s.host_ports.values());
    let addresses: BTreeSet<String> =
        outside.map(|at| at.rsplit_once(':').map_or(at.as_str(), |(ip, _)| ip).to_owned()).collect();
    let listener_sets = taken.count();
    let state = GatewayState {
        controller,
        services: services.iter().map(|s| s.hostname.as_str().to_owned()).collect(),
        addresses: addresses.into_iter().collect(),
        problems,
        listener_sets,
        listeners: own,
    };
    Made { gateway: Some(state), sets: made }
}

/// The ListenerSets that name a Gateway, oldest first, and whether it takes them.
fn sets_of(snapshot: &Snapshot, gateway: &KubeGateway) -> Vec<(Arc<ListenerSet>, Finding)> {
    let names = snapshot.sets_of_gateway.get(&gateway.name()).into_iter().flatten();
    let mut all: Vec<Arc<ListenerSet>> =
        names.filter_map(|name| snapshot.listener_sets.get(name)).cloned().collect();
    let age = |set: &ListenerSet| (set.meta.created.clone(), set.name().to_string());
    all.sort_by_key(|set| age(set));
    let judged = all.into_iter().map(|set| {
        let namespace = set.meta.namespace();
        let labels = snapshot.labels_of(namespace);
        let accepted = match gateway.listener_sets.allows(gateway.meta.namespace(), namespace, &labels) {
            true => Finding::yes("Accepted"),
            false => Finding::no(
                "NotAllowed",
                format!(
                    "Gateway {} takes no ListenerSets from namespace {namespace} (allowedListeners)",
                    gateway.name()
                ),
            ),
        };
        (set, accepted)
    });
    judged.collect()
}

/// The certificate that a Gateway shows to backends.
fn client_certificate(
    snapshot: &Snapshot,
    gateway: &KubeGateway,
    problems: &mut Vec<(String, String)>,
) -> Option<String> {
    let named = gateway.client_certificate.as_ref()?;
    match references::certificate(snapshot, ("Gateway", gateway.meta.namespace()), named) {
        None => Some(format!("{GATEWAY_SECRET}{}", named.name)),
        Some(Finding { holds: _, reason, message }) => {
            let text = format!("{reason}: {message}; backends are shown no certificate");
            problems.push(("spec.tls.backend.clientCertificateRef".to_owned(), text));
            None
        }
    }
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
