//! From one snapshot to the next: documents in and out of the indexes, then what depends on them is derived again.

mod routes;
mod services;
mod workloads;

use std::collections::BTreeSet;
use std::sync::Arc;

use tulle_base::{Diagnostics, ResourceRef, Severity};

use super::maps::{store_notes, update_aged};
use super::{Change, ChangedKeys, ServiceKey, Snapshot, check, conflict, ingress, kube};
use crate::config::MeshConfig;
use crate::convert;
use crate::envoy_filter::Patched;
use crate::item::Item;
use crate::meta::NsName;
use crate::policy::{Action, Fetched, KeySource};
use crate::settings::exported_again;

/// Applies `changes` to `snapshot`.
pub(super) fn apply(
    snapshot: &Snapshot,
    changes: &[Change],
) -> (Snapshot, ChangedKeys, BTreeSet<ResourceRef>) {
    let mut apply = Apply {
        next: snapshot.clone(),
        keys: ChangedKeys::default(),
        endpoints: BTreeSet::new(),
        pods: BTreeSet::new(),
        recheck: BTreeSet::new(),
        noted: BTreeSet::new(),
        roots: BTreeSet::new(),
        kube: kube::Dirty::default(),
        ingresses: BTreeSet::new(),
        json: convert::Descriptors::default(),
        shared: BTreeSet::new(),
        gone: BTreeSet::new(),
    };
    for change in changes {
        match change {
            Change::Put(object) => apply.put(object),
            Change::Delete(reference) => {
                apply.replace(reference, None);
                apply.next.own_diagnostics.remove_mut(reference);
            }
            Change::Time(now) => apply.time(*now),
            Change::Keys(source, keys) => apply.fetched(source, keys),
        }
    }
    apply.finish()
}

/// A snapshot being made, and what must be derived again.
pub(super) struct Apply {
    pub(super) next: Snapshot,
    pub(super) keys: ChangedKeys,
    endpoints: BTreeSet<ServiceKey>,
    pods: BTreeSet<NsName>,
    pub(super) recheck: BTreeSet<ResourceRef>,
    /// Documents that were looked at.
    noted: BTreeSet<ResourceRef>,
    /// Documents whose delegates changed.
    roots: BTreeSet<ResourceRef>,
    /// Documents of the Gateway API that become something else now.
    pub(super) kube: kube::Dirty,
    /// Ingresses that become something else now.
    pub(super) ingresses: BTreeSet<ResourceRef>,
    json: convert::Descriptors,
    /// RateLimits whose proxies are to be counted again.
    shared: BTreeSet<ResourceRef>,
    /// Hosts that went, maybe to come back.
    gone: BTreeSet<ServiceKey>,
}

impl Apply {
    fn put(&mut self, object: &tulle_api::Object) {
        let reference = object.resource();
        let (item, notes) = convert::model(object, &self.next.mesh, &self.json);
        let refused = notes.iter().any(|n| n.severity == Severity::Error);
        store_notes(&mut self.next.own_diagnostics, &reference, notes);
        self.noted.insert(reference.clone());
        // Settings that are broken leave those that were in force.
        if item.is_none() && refused && self.next.settings.contains(&reference) {
            return;
        }
        self.replace(&reference, item.map(Arc::new));
    }

    fn replace(&mut self, reference: &ResourceRef, new: Option<Arc<Item>>) {
        let old = self.next.items.get(reference).cloned();
        if old == new {
            return;
        }
        match &new {
            Some(item) => self.next.items.insert_mut(reference.clone(), Arc::clone(item)),
            None => drop(self.next.items.remove_mut(reference)),
        }
        if let Some(old) = &old {
            self.index(reference, old, None);
        }
        if let Some(new) = &new {
            self.index(reference, new, Some(new));
        }
        let is_settings = |item: &Option<Arc<Item>>| matches!(item.as_deref(), Some(Item::Settings(_)));
        if is_settings(&old) || is_settings(&new) {
            self.settings(reference, is_settings(&new));
        }
        self.recheck.insert(reference.clone());
    }

    /// A document with settings of the mesh is another, or gone.
    fn settings(&mut self, reference: &ResourceRef, there: bool) {
        if there {
            self.next.settings.insert_mut(reference.clone());
        } else {
            self.next.settings.remove_mut(reference);
        }
        let before = Arc::clone(&self.next.mesh);
        let front = ingress::service_host(&self.next);
        let after = self.next.settled();
        if *before == after {
            return;
        }
        self.keys.mesh = true;
        let exports = |m: &MeshConfig| {
            (m.service_export_to.clone(), m.routes_export_to.clone(), m.destination_export_to.clone())
        };
        let exported = exports(&before) != exports(&after);
        if before.providers != after.providers {
            self.providers_changed();
        }
        self.next.mesh = Arc::new(after);
        self.ingress_settings(&front);
        if exported {
            let mesh = Arc::clone(&self.next.mesh);
            let items = self.next.items.iter();
            let again = items.filter_map(|(r, item)| Some((r.clone(), exported_again(item, &mesh)?)));
            for (reference, item) in again.collect::<Vec<_>>() {
                self.replace(&reference, Some(Arc::new(item)));
            }
        }
    }

    /// What providers say is looked at again by the policies that name them.
    pub(super) fn providers_changed(&mut self) {
        let all = self.next.authorizations_in.values().flat_map(|all| all.iter());
        let custom = all.filter(|p| matches!(p.action, Action::Custom(_)));
        self.recheck.extend(custom.map(|p| p.meta.resource.clone()));
        let telemetry = self.next.telemetry_in.values().flat_map(|all| all.iter());
        self.recheck.extend(telemetry.map(|t| t.meta.resource.clone()));
    }

    /// Takes the entries of `item` out of the indexes, or (with `add`) puts them in.
    fn index(&mut self, reference: &ResourceRef, item: &Item, add: Option<&Arc<Item>>) {
        let adding = add.is_some();
        match item {
            Item::Services(services) => {
                for service in services {
                    self.service(reference, service, adding);
                }
            }
            Item::Slice(slice) => self.slice(reference, slice, adding),
            Item::Workload(workload) => self.workload(workload, adding),
            Item::Node(node) => self.node(node, adding),
            Item::Entry(entry) => self.entry(reference, entry, adding),
            Item::Routes(routes) => self.routes(reference, routes, adding, true),
            Item::Destination(rule) => self.destination(reference, rule, adding),
            Item::Gateway(gateway) => {
                let name = gateway.name();
                if adding {
                    self.next.gateways.insert_mut(name.clone(), Arc::new(gateway.clone()));
                } else {
                    self.next.gateways.remove_mut(&name);
                }
                let bound = self.next.routes_of_gateway(&name).to_vec();
                self.recheck.extend(bound.iter().map(|r| r.meta.resource.clone()));
                self.keys.gateways.insert(name);
            }
            Item::Sidecar(sidecar) => {
                let ns = sidecar.meta.namespace().to_owned();
                let rivals = self.next.sidecars_in.get(&ns).cloned().unwrap_or_default();
                self.recheck.extend(rivals.iter().map(|s| s.meta.resource.clone()));
                update_aged(&mut self.next.sidecars_in, &ns, reference, adding.then_some(sidecar), |s| {
                    &s.meta
                });
                self.keys.scopes.insert(ns);
            }
            Item::Peer(policy) => {
                let ns = policy.meta.namespace().to_owned();
                let rivals = self.next.peers_in.get(&ns).cloned().unwrap_or_default();
                self.recheck.extend(rivals.iter().map(|p| p.meta.resource.clone()));
                self.sidecars_with_tls(&ns);
                update_aged(&mut self.next.peers_in, &ns, reference, adding.then_some(policy), |p| &p.meta);
                self.peers_changed(&ns);
                self.keys.policies.insert(ns);
            }
            Item::Tokens(policy) => {
                let ns = policy.meta.namespace().to_owned();
                let new = adding.then_some(policy);
                update_aged(&mut self.next.tokens_in, &ns, reference, new, |p| &p.meta);
                self.keys.policies.insert(ns);
            }
            Item::Authorization(policy) => {
                let ns = policy.meta.namespace().to_owned();
                update_aged(
                    &mut self.next.authorizations_in,
                    &ns,
                    reference,
                    adding.then_some(policy),
                    |p| &p.meta,
                );
                self.keys.policies.insert(ns);
            }
            // See `settings`.
            Item::Settings(_) => {}
            Item::Class(class) => self.kube_class(class, adding),
            Item::KubeGateway(gateway) => self.kube_gateway(reference, gateway, adding),
            Item::ListenerSet(set) => self.kube_listener_set(reference, set, adding),
            Item::KubeRoute(route) => self.kube_route(reference, route, adding),
            Item::Grant(grant) => self.kube_grant(reference, grant, adding),
            Item::Namespace(namespace) => self.kube_namespace(namespace, adding),
            Item::Certificate(certificate) => {
                self.kube_certificate(certificate, adding);
                self.ingress_certificate(&certificate.name);
            }
            Item::Ingress(ingress) => self.ingress(reference, ingress, adding),
            Item::IngressClass(class) => self.ingress_class(class, adding),
            Item::BackendTls(policy) => self.kube_backend_tls(reference, policy, adding),
            Item::Authorities(authorities) => self.kube_authorities(authorities, adding),
            Item::Patches(filter) => {
                let ns = filter.meta.namespace().to_owned();
                let new = adding.then_some(filter);
                update_aged(&mut self.next.envoy_filters_in, &ns, reference, new, |f| &f.meta);
                self.keys.patches.entry(ns).or_default().merge(Patched::of(filter));
            }
            Item::Telemetry(telemetry) => {
                let ns = telemetry.meta.namespace().to_owned();
                let rivals = self.next.telemetry_in.get(&ns).cloned().unwrap_or_default();
                self.recheck.extend(rivals.iter().map(|t| t.meta.resource.clone()));
                let new = adding.then_some(telemetry.as_ref());
                update_aged(&mut self.next.telemetry_in, &ns, reference, new, |t| &t.meta);
                self.keys.telemetry.insert(ns);
            }
            Item::RateLimit(limit) => {
                let ns = limit.meta.namespace().to_owned();
                let new = adding.then_some(limit);
                update_aged(&mut self.next.rate_limits_in, &ns, reference, new, |l| &l.meta);
                self.shared.insert(reference.clone());
                self.keys.limits.insert(ns);
            }
        }
    }

    /// Keys came or went: who checks tokens with them is told, and the documents say what is wrong.
    fn fetched(&mut self, source: &KeySource, new: &Fetched) {
        let old = self.next.fetched.get(source).cloned().unwrap_or_default();
        if old == *new {
            return;
        }
        if *new == Fetched::default() {
            self.next.fetched.remove_mut(source);
        } else {
            self.next.fetched.insert_mut(source.clone(), new.clone());
        }
        for policy in self.next.tokens().filter(|p| p.rules.iter().any(|rule| rule.keys == *source)) {
            if old.keys != new.keys {
                self.keys.policies.insert(policy.meta.namespace().to_owned());
            }
            self.recheck.insert(policy.meta.resource.clone());
        }
    }

    /// Whether the TLS of Sidecars is in force depends on the PeerAuthentications of their namespace and of the root namespace.
    fn sidecars_with_tls(&mut self, namespace: &str) {
        let root = namespace == self.next.mesh.root_namespace;
        let all = self.next.sidecars_in.iter().filter(|(ns, _)| root || *ns == namespace);
        let all = all.flat_map(|(_, all)| all.iter()).filter(|s| s.ingress.iter().any(|i| i.tls.is_some()));
        let all: Vec<ResourceRef> = all.map(|s| s.meta.resource.clone()).collect();
        self.recheck.extend(all);
    }

    fn finish(mut self) -> (Snapshot, ChangedKeys, BTreeSet<ResourceRef>) {
        self.expand_roots();
        self.derive_kube();
        self.derive_ingresses();
        for key in std::mem::take(&mut self.gone) {
            let all = self.next.services.get(&key.host).into_iter().flat_map(|all| all.iter());
            let here = all.into_iter().find(|s| s.namespace() == key.namespace);
            self.next.allocated.keep_only(&key, here.map(|s| s.addresses.as_slice()).unwrap_or_default());
        }
        for pod in std::mem::take(&mut self.pods) {
            self.forget_services_of(&pod);
        }
        for limit in std::mem::take(&mut self.shared) {
            self.count_proxies(&limit);
        }
        for key in std::mem::take(&mut self.endpoints) {
            self.derive_endpoints(key);
        }
        for reference in std::mem::take(&mut self.recheck) {
            let (notes, conflicts) = match self.next.items.get(&reference) {
                Some(item) => (check::cross(&self.next, item), conflict::conflicts(&self.next, item)),
                None => (Diagnostics::new(), Vec::new()),
            };
            store_notes(&mut self.next.cross_diagnostics, &reference, notes);
            if conflicts.is_empty() {
                self.next.conflicts.remove_mut(&reference);
            } else {
                self.next.conflicts.insert_mut(reference.clone(), Arc::new(conflicts));
            }
            self.noted.insert(reference);
        }
        (self.next, self.keys, self.noted)
    }
}
