//! The Gateway API in a snapshot: what depends on a changed document, and what is said of it.
//!
//! Gateways are derived before routes, because routes attach to their listeners.

mod backend_tls;
mod gateways;
mod listeners;
mod references;
mod routes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tulle_base::{Diagnostic, Diagnostics, FieldPath, Labels, ResourceRef};

use super::Snapshot;
use super::apply::Apply;
use super::maps::{update_aged, update_set};
use crate::destination::locality::NETWORK;
use crate::item::{Certificate, Item, Namespace};
use crate::kube::{
    Finding, GROUP, GatewayClass, GatewayState, Grant, KubeGateway, KubeRoute, ListenerSet, ListenerSetState,
    ListenerState, Reach, RouteState,
};
use crate::meta::NsName;
use crate::routing::{GatewayRef, RouteSet};
use crate::workload::Workload;

pub(super) use backend_tls::check as check_backend_tls;

/// Label of pods that were made for one Gateway, in its namespace.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// Documents that become something else now.
#[derive(Default)]
pub(super) struct Dirty {
    gateways: BTreeSet<NsName>,
    /// They are derived with their Gateways.
    listener_sets: BTreeSet<NsName>,
    routes: BTreeSet<ResourceRef>,
}

impl Dirty {
    /// Notes a document by its name; whether it is one of the Gateway API's.
    pub(super) fn note(&mut self, reference: &ResourceRef) -> bool {
        if reference.group != GROUP {
            return false;
        }
        if reference.kind == "BackendTLSPolicy" {
            return false;
        }
        let name = || NsName::new(&*reference.namespace, &*reference.name);
        match &*reference.kind {
            "Gateway" => drop(self.gateways.insert(name())),
            "ListenerSet" => drop(self.listener_sets.insert(name())),
            _ => drop(self.routes.insert(reference.clone())),
        }
        true
    }
}

impl Apply {
    pub(super) fn kube_class(&mut self, class: &GatewayClass, adding: bool) {
        let name = class.meta.name().to_owned();
        if adding {
            self.next.classes.insert_mut(name.clone(), Arc::new(class.clone()));
        } else {
            self.next.classes.remove_mut(&name);
        }
        let of_class = self.next.kube_gateways.values().filter(|g| g.class == name);
        self.kube.gateways.extend(of_class.map(|g| g.name()));
    }

    pub(super) fn kube_gateway(&mut self, reference: &ResourceRef, gateway: &KubeGateway, adding: bool) {
        let name = gateway.name();
        for host in gateways::services_of(&self.next, gateway) {
            update_set(&mut self.next.mentions, &host, reference, adding);
        }
        for object in references::of_gateway(gateway) {
            update_set(&mut self.next.refers_into, &object.name.namespace, reference, adding);
        }
        if adding {
            self.next.kube_gateways.insert_mut(name.clone(), Arc::new(gateway.clone()));
        } else {
            self.next.kube_gateways.remove_mut(&name);
        }
        // Routes may have waited for it.
        let children = self.next.children_of.get(&name).into_iter().flatten();
        self.kube.routes.extend(children.cloned());
        self.kube.gateways.insert(name);
    }

    pub(super) fn kube_listener_set(&mut self, reference: &ResourceRef, set: &ListenerSet, adding: bool) {
        let name = set.name();
        for object in references::of_set(set) {
            update_set(&mut self.next.refers_into, &object.name.namespace, reference, adding);
        }
        if let Some(parent) = &set.parent {
            update_set(&mut self.next.sets_of_gateway, parent, &name, adding);
            self.kube.gateways.insert(parent.clone());
        }
        if adding {
            self.next.listener_sets.insert_mut(name.clone(), Arc::new(set.clone()));
        } else {
            self.next.listener_sets.remove_mut(&name);
        }
        // Routes may have waited for it.
        let children = self.next.children_of.get(&name).into_iter().flatten();
        self.kube.routes.extend(children.cloned());
    }

    pub(super) fn kube_route(&mut self, reference: &ResourceRef, route: &KubeRoute, adding: bool) {
        for parent in &route.parents {
            match (parent.object.group.as_str(), parent.object.kind.as_str()) {
                (GROUP, "Gateway" | "ListenerSet") | ("networking.istio.io", "ServiceEntry") => {
                    update_set(&mut self.next.children_of, &parent.object.name, reference, adding);
                }
                ("", "Service") => {
                    let host = routes::service_host(&self.next, &parent.object.name);
                    update_set(&mut self.next.mentions, &host, reference, adding);
                }
                _ => {}
            }
        }
        for backend in &route.backends {
            if let Some(host) = &backend.host {
                update_set(&mut self.next.mentions, host, reference, adding);
            }
            if backend.object.name.namespace != route.meta.namespace() {
                let into = &backend.object.name.namespace;
                update_set(&mut self.next.refers_into, into, reference, adding);
            }
        }
        self.kube.routes.insert(reference.clone());
    }

    pub(super) fn kube_grant(&mut self, reference: &ResourceRef, grant: &Grant, adding: bool) {
        let ns = grant.meta.namespace().to_owned();
        update_aged(&mut self.next.grants_in, &ns, reference, adding.then_some(grant), |g| &g.meta);
        let referring: Vec<ResourceRef> =
            self.next.refers_into.get(&ns).into_iter().flatten().cloned().collect();
        for reference in referring {
            self.kube.note(&reference);
        }
    }

    pub(super) fn kube_namespace(&mut self, namespace: &Namespace, adding: bool) {
        // The network of the cluster.
        self.keys.mesh |=
            namespace.name == self.next.mesh.root_namespace && namespace.labels.contains_key(NETWORK);
        if adding {
            self.next.namespaces.insert_mut(namespace.name.clone(), Arc::new(namespace.labels.clone()));
        } else {
            self.next.namespaces.remove_mut(&namespace.name);
        }
        let choosing = self.next.kube_gateways.values().filter(|g| g.selects_namespaces());
        self.kube.gateways.extend(choosing.map(|g| g.name()));
        let choosing = self.next.listener_sets.values().filter(|s| s.selects_namespaces());
        self.kube.gateways.extend(choosing.filter_map(|s| s.parent.clone()));
    }

    pub(super) fn kube_certificate(&mut self, certificate: &Certificate, adding: bool) {
        let Certificate { name, problem } = certificate;
        if adding {
            self.next.certificates.insert_mut(name.clone(), problem.as_deref().map(Arc::from));
        } else {
            self.next.certificates.remove_mut(name);
        }
        self.kube_named(name);
    }

    /// A Secret or ConfigMap came, changed or went: so may what names it.
    fn kube_named(&mut self, name: &NsName) {
        let naming = |g: &&Arc<KubeGateway>| references::of_gateway(g).any(|o| o.name == *name);
        self.kube.gateways.extend(self.next.kube_gateways.values().filter(naming).map(|g| g.name()));
        let naming = |s: &&Arc<ListenerSet>| references::of_set(s).any(|o| o.name == *name);
        let sets = self.next.listener_sets.values().filter(naming);
        self.kube.gateways.extend(sets.filter_map(|s| s.parent.clone()));
    }

    /// A Service of `namespace` came, changed or went: Gateways with pods of their own there may be reached otherwise now.
    /// Routes may be attached to it if it is of a ServiceEntry.
    pub(super) fn kube_service(&mut self, reference: &ResourceRef, namespace: &str) {
        if reference.kind == "ServiceEntry" {
            let name = NsName::new(&*reference.namespace, &*reference.name);
            let children = self.next.children_of.get(&name).into_iter().flatten();
            self.kube.routes.extend(children.cloned());
        }
        let here = self.next.kube_gateways.values().filter(|g| g.meta.namespace() == namespace);
        self.kube.gateways.extend(here.map(|g| g.name()));
    }

    pub(super) fn kube_pod(&mut self, workload: &Workload) {
        if let Some(name) = workload.labels.get(GATEWAY_NAME) {
            self.kube.gateways.insert(NsName::new(workload.namespace(), name.clone()));
        }
    }

    /// Derives gateways, then routes.
    pub(super) fn derive_kube(&mut self) {
        for name in std::mem::take(&mut self.kube.listener_sets) {
            let set = self.next.listener_sets.get(&name);
            self.kube.gateways.extend(set.and_then(|s| s.parent.clone()));
        }
        for name in std::mem::take(&mut self.kube.gateways) {
            self.derive_gateway(name);
        }
        for reference in std::mem::take(&mut self.kube.routes) {
            self.derive_route(&reference);
        }
    }

    fn derive_gateway(&mut self, name: NsName) {
        let old = self.next.gateway_states.get(&name).cloned();
        let of_this = self.next.set_states.iter().filter(|(_, s)| s.gateway == name);
        let old_sets: BTreeMap<NsName, Arc<ListenerSetState>> =
            of_this.map(|(n, s)| (n.clone(), Arc::clone(s))).collect();
        let made = self.next.kube_gateways.get(&name).map(|g| gateways::state(&self.next, g));
        let gateways::Made { gateway: new, sets } = made.unwrap_or_default();
        self.recheck.insert(ResourceRef::new(GROUP, "Gateway", &*name.namespace, &*name.name));
        let named = self.next.sets_of_gateway.get(&name).into_iter().flatten();
        for set in named.chain(old_sets.keys()).cloned().collect::<BTreeSet<NsName>>() {
            self.recheck.insert(ResourceRef::new(GROUP, "ListenerSet", &*set.namespace, &*set.name));
        }
        self.derive_sets(&old_sets, sets);
        if old.as_deref() == new.as_ref() {
            return;
        }
        let children = self.next.children_of.get(&name).into_iter().flatten();
        self.kube.routes.extend(children.cloned());
        self.replace_listeners(old.iter().flat_map(|s| &s.listeners), new.iter().flat_map(|s| &s.listeners));
        match new {
            Some(state) => self.next.gateway_states.insert_mut(name, Arc::new(state)),
            None => drop(self.next.gateway_states.remove_mut(&name)),
        }
    }

    fn derive_sets(
        &mut self,
        old: &BTreeMap<NsName, Arc<ListenerSetState>>,
        new: BTreeMap<NsName, ListenerSetState>,
    ) {
        for (name, state) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
            self.replace_listeners(state.listeners.iter(), std::iter::empty());
            self.next.set_states.remove_mut(name);
            self.note_children(name);
        }
        for (name, state) in new {
            let before = old.get(&name);
            if before.map(Arc::as_ref) == Some(&state) {
                continue;
            }
            self.replace_listeners(before.iter().flat_map(|s| &s.listeners), state.listeners.iter());
            self.note_children(&name);
            self.next.set_states.insert_mut(name, Arc::new(state));
        }
    }

    fn note_children(&mut self, name: &NsName) {
        let children = self.next.children_of.get(name).into_iter().flatten();
        self.kube.routes.extend(children.cloned());
    }

    fn replace_listeners<'s>(
        &mut self,
        old: impl Iterator<Item = &'s ListenerState>,
        new: impl Iterator<Item = &'s ListenerState>,
    ) {
        for listener in old {
            self.next.gateways.remove_mut(&listener.internal);
            self.keys.gateways.insert(listener.internal.clone());
        }
        for listener in new {
            self.keys.gateways.insert(listener.internal.clone());
            if let Some(gateway) = &listener.gateway {
                self.next.gateways.insert_mut(listener.internal.clone(), Arc::clone(gateway));
            }
        }
    }

    fn derive_route(&mut self, reference: &ResourceRef) {
        let old = self.next.route_states.get(reference).cloned();
        let new = match self.next.items.get(reference).map(Arc::as_ref) {
            Some(Item::KubeRoute(route)) => Some(routes::state(&self.next, route)),
            _ => None,
        };
        self.recheck.insert(reference.clone());
        if old.as_deref() == new.as_ref() {
            return;
        }
        for set in old.iter().flat_map(|s| &s.sets) {
            self.index_set(reference, set, false);
        }
        for set in new.iter().flat_map(|s| &s.sets) {
            self.index_set(reference, set, true);
        }
        let keeps = |set: &Arc<RouteSet>| set.applies_to_mesh() && set.has_sessions();
        if new.iter().flat_map(|s| &s.sets).any(keeps) {
            self.next.sessions.insert_mut(reference.clone());
        } else {
            self.next.sessions.remove_mut(reference);
        }
        let asks = |set: &Arc<RouteSet>| set.applies_to_mesh() && set.external_auth().next().is_some();
        if new.iter().flat_map(|s| &s.sets).any(asks) {
            self.next.asking.insert_mut(reference.clone());
        } else {
            self.next.asking.remove_mut(reference);
        }
        for state in old.as_deref().into_iter().chain(new.as_ref()) {
            self.note_parents(state);
            let hosts: BTreeSet<_> =
                state.sets.iter().flat_map(|s| s.destinations()).map(|(d, _)| d.host.clone()).collect();
            hosts.iter().for_each(|host| self.recheck_policies_of(host));
        }
        match new {
            Some(state) => self.next.route_states.insert_mut(reference.clone(), Arc::new(state)),
            None => drop(self.next.route_states.remove_mut(reference)),
        }
    }

    /// Gateways say how many routes are attached to them.
    fn note_parents(&mut self, state: &RouteState) {
        let gateways = state.parents.iter().map(|p| &p.parent.object);
        let listening = |kind: &str| matches!(kind, "Gateway" | "ListenerSet");
        for object in gateways.filter(|o| o.group == GROUP && listening(&o.kind)) {
            let NsName { namespace, name } = &object.name;
            self.recheck.insert(ResourceRef::new(GROUP, &*object.kind, &**namespace, &**name));
        }
    }

    fn index_set(&mut self, reference: &ResourceRef, set: &RouteSet, adding: bool) {
        let new = adding.then_some(set);
        if set.applies_to_mesh() {
            for host in &set.hosts {
                let rivals = self.next.routes_of(host).to_vec();
                self.recheck.extend(rivals.iter().map(|r| r.meta.resource.clone()));
                update_aged(&mut self.next.routes_of_host, host, reference, new, |r| &r.meta);
                self.keys.routes.insert(host.clone());
            }
            return;
        }
        for gateway in &set.gateways {
            if let GatewayRef::Named(name) = gateway {
                update_aged(&mut self.next.routes_of_gateway, name, reference, new, |r| &r.meta);
                self.keys.gateways.insert(name.clone());
            }
        }
    }
}

impl Snapshot {
    /// What became of a Gateway of the Gateway API; `None` for one that others serve.
    pub fn gateway_state(&self, gateway: &NsName) -> Option<&Arc<GatewayState>> {
        self.gateway_states.get(gateway)
    }

    /// What became of a ListenerSet; `None` where no Gateway of this mesh is its parent.
    pub fn listener_set_state(&self, set: &NsName) -> Option<&Arc<ListenerSetState>> {
        self.set_states.get(set)
    }

    /// What became of a route of the Gateway API.
    pub fn route_state(&self, route: &ResourceRef) -> Option<&Arc<RouteState>> {
        self.route_states.get(route)
    }

    /// How many routes are attached to a listener.
    pub fn attached_routes(&self, listener: &ListenerState) -> usize {
        self.routes_of_gateway(&listener.internal).len()
    }

    /// Labels of a namespace, its name among them.
    fn labels_of(&self, namespace: &str) -> Arc<Labels> {
        self.namespaces.get(namespace).cloned().unwrap_or_else(|| {
            let name = ("kubernetes.io/metadata.name".to_owned(), namespace.to_owned());
            Arc::new(Labels::from([name]))
        })
    }
}

/// What is said of a route.
pub(super) fn check_route(snapshot: &Snapshot, resource: &ResourceRef) -> Diagnostics {
    let Some(state) = snapshot.route_states.get(resource) else { return Diagnostics::new() };
    let mut said: BTreeSet<String> = BTreeSet::new();
    let mut notes = Diagnostics::new();
    for (field, finding) in state.complaints() {
        let Finding { holds: _, reason, message } = finding;
        // What is wrong with references is the same for every parent.
        if said.insert(message.clone()) {
            let mut note = Diagnostic::error(FieldPath::from(field.as_str()), format!("{reason}: {message}"))
                .with_resource(resource.clone());
            if matches!(*reason, "BackendNotFound" | "NoMatchingParent") {
                note = note.with_code("IST0101");
            }
            notes.push(note);
        }
    }
    notes
}

/// What is said of a Gateway.
pub(super) fn check_gateway(snapshot: &Snapshot, gateway: &KubeGateway) -> Diagnostics {
    let resource = &gateway.meta.resource;
    let Some(state) = snapshot.gateway_states.get(&gateway.name()) else {
        let message = format!("gateways of class {} are not served here", gateway.class);
        let note = Diagnostic::warning(FieldPath::from("spec.gatewayClassName"), message)
            .with_fix("write tulle or istio, or define a GatewayClass of tulle.dev/gateway-controller")
            .with_resource(resource.clone());
        return vec![note];
    };
    let mut notes = Diagnostics::new();
    for (field, message) in &state.problems {
        notes.push(
            Diagnostic::warning(FieldPath::from(field.as_str()), message.clone())
                .with_resource(resource.clone()),
        );
    }
    notes.extend(check_listeners(resource, &state.listeners));
    notes
}

/// What is said of a ListenerSet.
pub(super) fn check_listener_set(snapshot: &Snapshot, set: &ListenerSet) -> Diagnostics {
    let resource = &set.meta.resource;
    let refuse = |message: String| {
        vec![Diagnostic::error(FieldPath::from("spec.parentRef"), message).with_resource(resource.clone())]
    };
    let Some(parent) = &set.parent else {
        return refuse("listeners are added to Gateways of the Gateway API only".to_owned());
    };
    let Some(state) = snapshot.set_states.get(&set.name()) else {
        if snapshot.kube_gateways.contains_key(parent) {
            let message = format!("Gateway {parent} is of a class that is not served here");
            let note = Diagnostic::warning(FieldPath::from("spec.parentRef"), message);
            return vec![note.with_resource(resource.clone())];
        }
        let message = format!("there is no Gateway {parent}");
        return refuse(message).into_iter().map(|n| n.with_code("IST0101")).collect();
    };
    if !state.accepted.holds {
        return refuse(format!("{}: {}", state.accepted.reason, state.accepted.message));
    }
    check_listeners(resource, &state.listeners)
}

fn check_listeners(resource: &ResourceRef, listeners: &[ListenerState]) -> Diagnostics {
    let mut notes = Diagnostics::new();
    for (i, listener) in listeners.iter().enumerate() {
        let field = FieldPath::from(format!("spec.listeners[{i}]").as_str());
        let ListenerState { accepted, resolved, conflicted, reach, .. } = listener;
        let text = |f: &Finding| format!("{}: {}", f.reason, f.message);
        for finding in Some(accepted)
            .filter(|f| !f.holds && !conflicted.holds)
            .into_iter()
            .chain(Some(conflicted).filter(|f| f.holds))
        {
            notes.push(Diagnostic::error(field.clone(), text(finding)).with_resource(resource.clone()));
        }
        if !resolved.holds {
            // Secrets are often made by other means than manifests.
            notes.push(Diagnostic::warning(field.clone(), text(resolved)).with_resource(resource.clone()));
        }
        if let Reach::Limited(message) = reach {
            notes.push(
                Diagnostic::warning(field.field("port"), message.clone()).with_resource(resource.clone()),
            );
        }
    }
    notes
}
