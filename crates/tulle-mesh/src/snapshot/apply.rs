//! From one snapshot to the next.

use std::collections::BTreeSet;
use std::sync::Arc;

use tulle_base::{Diagnostics, Host, ResourceRef};

use super::allocate;
use super::asks;
use super::check;
use super::conflict;
use super::derive;
use super::lookup::NamespaceRules;
use super::maps::{store_notes, update_aged, update_set};
use super::{Change, ChangedKeys, ServiceKey, Snapshot, kube};
use crate::convert;
use crate::destination::{DestinationRule, merge_same_host};
use crate::entry::Entry;
use crate::envoy_filter::Patched;
use crate::item::Item;
use crate::meta::NsName;
use crate::node::Node;
use crate::routing::{GatewayRef, RouteSet, delegate};
use crate::service::{Registry, Service};
use crate::slice::Slice;
use crate::workload::Workload;

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
        store_notes(&mut self.next.own_diagnostics, &reference, notes);
        self.noted.insert(reference.clone());
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
        self.recheck.insert(reference.clone());
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
                update_aged(&mut self.next.peers_in, &ns, reference, adding.then_some(policy), |p| &p.meta);
                self.peers_changed(&ns);
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
            Item::Class(class) => self.kube_class(class, adding),
            Item::KubeGateway(gateway) => self.kube_gateway(reference, gateway, adding),
            Item::KubeRoute(route) => self.kube_route(reference, route, adding),
            Item::Grant(grant) => self.kube_grant(reference, grant, adding),
            Item::Namespace(namespace) => self.kube_namespace(namespace, adding),
            Item::Certificate(certificate) => self.kube_certificate(certificate, adding),
            Item::BackendTls(policy) => self.kube_backend_tls(reference, policy, adding),
            Item::Authorities(authorities) => self.kube_authorities(authorities, adding),
            Item::Patches(filter) => {
                let ns = filter.meta.namespace().to_owned();
                let new = adding.then_some(filter);
                update_aged(&mut self.next.envoy_filters_in, &ns, reference, new, |f| &f.meta);
                self.keys.patches.entry(ns).or_default().merge(Patched::of(filter));
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

    fn service(&mut self, reference: &ResourceRef, service: &Service, adding: bool) {
        let (host, ns) = (service.hostname.clone(), service.namespace().to_owned());
        asks::count(&mut self.next.asks, asks::of_service(service), adding);
        let key = ServiceKey { host: host.clone(), namespace: ns.clone() };
        let mut placed = service.clone();
        if adding && allocate::wanted(service) {
            placed.addresses.extend(self.next.allocated.give(&key));
            placed.auto_allocated = true;
        }
        let rivals = self.next.services.get(&host).cloned().unwrap_or_default();
        self.recheck.extend(rivals.iter().map(|s| s.meta.resource.clone()));
        update_aged(&mut self.next.services, &host, reference, adding.then_some(&placed), |s| &s.meta);
        let here = |s: &&Arc<Service>| s.namespace() == ns;
        let left = self.next.services.get(&host).and_then(|all| all.iter().find(here)).cloned();
        update_set(&mut self.next.services_in, &ns, &host, left.is_some());
        if !adding {
            self.gone.insert(key.clone());
        }
        let selects = left.is_some_and(|s| s.registry == Registry::External && s.selector.is_some());
        update_set(&mut self.next.selecting_in, &ns, &host, selects);
        self.mentioned(&host);
        self.kube_service(reference, &ns);
        self.keys.services.insert(host);
        self.endpoints.insert(key);
    }

    fn slice(&mut self, reference: &ResourceRef, slice: &Slice, adding: bool) {
        update_set(&mut self.next.slices_of, &slice.service, reference, adding);
        for pod in slice.endpoints.iter().filter_map(|e| e.pod.as_ref()) {
            if adding {
                update_set(&mut self.next.services_of_pod, pod, &slice.service, true);
            }
            self.pods.insert(pod.clone());
        }
        let key = self.kubernetes_key(&slice.service);
        self.endpoints.insert(key);
    }

    fn kubernetes_key(&self, service: &NsName) -> ServiceKey {
        let NsName { namespace, name } = service;
        let host = Host::new(&format!("{name}.{namespace}.svc.{}", self.next.mesh.domain));
        ServiceKey { host, namespace: namespace.clone() }
    }

    fn workload(&mut self, workload: &Workload, adding: bool) {
        let pod = &workload.pod;
        update_set(&mut self.next.pods_in, &pod.namespace, pod, adding);
        if !workload.node.is_empty() {
            update_set(&mut self.next.pods_on, &workload.node, pod, adding);
        }
        if adding {
            let mut placed = workload.clone();
            if placed.locality.is_empty()
                && let Some(locality) = self.next.nodes.get(&placed.node)
            {
                placed.locality.clone_from(locality);
            }
            self.next.workloads.insert_mut(pod.clone(), Arc::new(placed));
        } else {
            self.next.workloads.remove_mut(pod);
        }
        for ip in &workload.ips {
            if adding {
                self.next.pod_of_ip.insert_mut(ip.clone(), pod.clone());
            } else if self.next.pod_of_ip.get(ip) == Some(pod) {
                self.next.pod_of_ip.remove_mut(ip);
            }
        }
        let slices_of = self.next.services_of_pod.get(pod).cloned().unwrap_or_default();
        for service in slices_of.iter() {
            let key = self.kubernetes_key(service);
            self.endpoints.insert(key);
        }
        let selecting = self.next.selecting_in.get(&pod.namespace).cloned().unwrap_or_default();
        let selected = selecting
            .iter()
            .filter_map(|host| self.next.services.get(host))
            .flat_map(|all| all.iter())
            .filter(|s| s.namespace() == pod.namespace)
            .filter(|s| s.selector.as_ref().is_some_and(|sel| sel.matches(&workload.labels)))
            .map(|s| ServiceKey { host: s.hostname.clone(), namespace: pod.namespace.clone() });
        let selected: Vec<ServiceKey> = selected.collect();
        self.endpoints.extend(selected);
        self.selectors_meet(&pod.namespace);
        self.kube_pod(workload);
        let limits = self.next.rate_limits(&pod.namespace, &workload.labels);
        self.shared.extend(limits.iter().filter(|l| l.is_mesh_wide()).map(|l| l.meta.resource.clone()));
        self.pods.insert(pod.clone());
        self.keys.workloads.insert(pod.clone());
    }

    /// Services that select it have it among their endpoints.
    fn entry(&mut self, reference: &ResourceRef, entry: &Entry, adding: bool) {
        let ns = entry.meta.namespace().to_owned();
        update_set(&mut self.next.entries_in, &ns, reference, adding);
        let hosts = self.next.services_in.get(&ns).cloned().unwrap_or_default();
        let selecting = hosts.iter().filter_map(|host| self.next.services.get(host));
        let selecting = selecting.flat_map(|all| all.iter()).filter(|s| {
            let selects = |selector: &tulle_base::Selector| {
                !selector.is_empty() && selector.matches(&entry.endpoint.labels)
            };
            s.namespace() == ns && s.selector.as_ref().is_some_and(selects)
        });
        let keys: Vec<ServiceKey> =
            selecting.map(|s| ServiceKey { host: s.hostname.clone(), namespace: ns.clone() }).collect();
        self.endpoints.extend(keys);
    }

    /// The pods of a node are where it is.
    fn node(&mut self, node: &Node, adding: bool) {
        if adding {
            self.next.nodes.insert_mut(node.name.clone(), node.locality.clone());
        } else {
            self.next.nodes.remove_mut(&node.name);
        }
        let pods = self.next.pods_on.get(&node.name).cloned().unwrap_or_default();
        for pod in pods.iter() {
            let reference = ResourceRef::new("", "Pod", &*pod.namespace, &*pod.name);
            let item = self.next.items.get(&reference).cloned();
            if let Some(Item::Workload(workload)) = item.as_deref() {
                self.workload(workload, true);
            }
        }
    }

    /// Several documents with selectors may meet at a workload.
    fn selectors_meet(&mut self, namespace: &str) {
        let selects = |s: &Option<tulle_base::Selector>| s.as_ref().is_some_and(|s| !s.is_empty());
        let sidecars = self.next.sidecars_in.get(namespace).into_iter().flat_map(|all| all.iter());
        let sidecars = sidecars.filter(|s| selects(&s.selector)).map(|s| &s.meta.resource);
        let peers = self.next.peers_in.get(namespace).into_iter().flat_map(|all| all.iter());
        let peers = peers.filter(|p| selects(&p.selector)).map(|p| &p.meta.resource);
        for all in [sidecars.cloned().collect::<Vec<_>>(), peers.cloned().collect()] {
            if all.len() > 1 {
                self.recheck.extend(all);
            }
        }
    }

    /// Modes of mutual TLS say whether clients may use it: endpoints depend on them.
    fn peers_changed(&mut self, namespace: &str) {
        let all = namespace == self.next.mesh.root_namespace;
        let affected: Vec<ServiceKey> = if all {
            self.next.endpoints.keys().cloned().collect()
        } else {
            self.next.endpoints.keys().filter(|k| k.namespace == namespace).cloned().collect()
        };
        self.endpoints.extend(affected);
    }

    /// Faults whose time is over are no longer injected. Time does not go back.
    fn time(&mut self, now: i64) {
        let before = self.next.now;
        if now <= before {
            return;
        }
        self.next.now = now;
        let over = |end: i64| end > before && end <= now;
        let ended: Vec<ResourceRef> =
            self.next.expiring.iter().filter(|(_, end)| over(**end)).map(|(r, _)| r.clone()).collect();
        for reference in ended {
            // Those that delegate to it have its faults too.
            let own = NsName::new(&*reference.namespace, &*reference.name);
            let roots = self.next.delegated_by.get(&own).cloned().unwrap_or_default();
            self.roots.extend(roots.iter().cloned());
            self.roots.insert(reference);
        }
    }

    /// `rederive`: whether roots that delegate to this document are made again.
    fn routes(&mut self, reference: &ResourceRef, written: &RouteSet, adding: bool, rederive: bool) {
        let own = NsName::new(written.meta.namespace(), written.meta.name());
        if rederive {
            self.roots
                .extend(self.next.delegated_by.get(&own).iter().flat_map(|roots| roots.iter().cloned()));
            for to in written.delegates() {
                update_set(&mut self.next.delegated_by, to, reference, adding);
            }
        }
        if rederive {
            match written.http.iter().filter_map(|r| r.fault.as_ref()?.expires).min() {
                Some(end) if adding => self.next.expiring.insert_mut(reference.clone(), end),
                _ => drop(self.next.expiring.remove_mut(reference)),
            }
        }
        let expanded = delegate::expand(written, |name| self.routes_named(name));
        let routes = &expanded;
        let hosts: BTreeSet<&Host> = routes.hosts.iter().collect();
        for host in hosts {
            // Whoever claims the same host may win or lose by this.
            let rivals = self.next.routes_of(host).to_vec();
            self.recheck.extend(rivals.iter().map(|r| r.meta.resource.clone()));
            let new = adding.then_some(routes);
            update_aged(&mut self.next.routes_of_host, host, reference, new, |r| &r.meta);
            self.keys.routes.insert(host.clone());
        }
        let named = routes.gateways.iter().filter_map(|g| match g {
            GatewayRef::Named(name) => Some(name),
            GatewayRef::Mesh => None,
        });
        for name in named.collect::<BTreeSet<&NsName>>() {
            let new = adding.then_some(routes);
            update_aged(&mut self.next.routes_of_gateway, name, reference, new, |r| &r.meta);
            self.keys.gateways.insert(name.clone());
        }
        for (destination, _) in written.destinations() {
            update_set(&mut self.next.mentions, &destination.host, reference, adding);
        }
    }

    /// The VirtualService `name` as written.
    fn routes_named(&self, name: &NsName) -> Option<Arc<RouteSet>> {
        let reference =
            ResourceRef::new("networking.istio.io", "VirtualService", &*name.namespace, &*name.name);
        match self.next.items.get(&reference)?.as_ref() {
            Item::Routes(routes) => Some(Arc::new(routes.clone())),
            _ => None,
        }
    }

    /// Makes the roots of changed delegates again.
    fn expand_roots(&mut self) {
        for reference in std::mem::take(&mut self.roots) {
            let Some(item) = self.next.items.get(&reference).cloned() else { continue };
            if let Item::Routes(routes) = item.as_ref() {
                self.routes(&reference, routes, true, false);
                self.recheck.insert(reference);
            }
        }
    }

    fn destination(&mut self, reference: &ResourceRef, rule: &DestinationRule, adding: bool) {
        asks::count(&mut self.next.asks, asks::of_rule(rule), adding);
        let ns = rule.meta.namespace().to_owned();
        let mut rules = self.next.rules_in.get(&ns).map(|r| NamespaceRules::clone(r)).unwrap_or_default();
        let mut raw = rules.raw.get(&rule.host).cloned().unwrap_or_default();
        self.recheck.extend(raw.iter().map(|r| r.meta.resource.clone()));
        raw.retain(|r| r.meta.resource != *reference);
        if adding {
            raw.push(Arc::new(rule.clone()));
        }
        if raw.is_empty() {
            rules.raw.remove_mut(&rule.host);
            rules.by_host.remove_mut(&rule.host);
        } else {
            let merged = merge_same_host(raw.iter().map(|r| DestinationRule::clone(r)).collect());
            rules.by_host.insert_mut(rule.host.clone(), merged.into_iter().map(Arc::new).collect());
            rules.raw.insert_mut(rule.host.clone(), raw);
        }
        self.next.rules_in.insert_mut(ns, Arc::new(rules));
        update_set(&mut self.next.mentions, &rule.host, reference, adding);
        self.mentioned(&rule.host);
        self.keys.destinations.insert(rule.host.clone());
    }

    fn mentioned(&mut self, host: &Host) {
        let by: Vec<ResourceRef> = self.next.mentions.get(host).into_iter().flatten().cloned().collect();
        for reference in by {
            if !self.kube.note(&reference) {
                self.recheck.insert(reference);
            }
        }
    }

    fn finish(mut self) -> (Snapshot, ChangedKeys, BTreeSet<ResourceRef>) {
        self.expand_roots();
        self.derive_kube();
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

    /// Drops the services of `pod` of which no slice names it any more.
    fn forget_services_of(&mut self, pod: &NsName) {
        let services = self.next.services_of_pod.get(pod).cloned().unwrap_or_default();
        for service in services.iter() {
            let slices = self.next.slices_of.get(service).cloned().unwrap_or_default();
            let named =
                slices.iter().filter_map(|r| self.next.items.get(r)).any(|item| match item.as_ref() {
                    Item::Slice(slice) => slice.endpoints.iter().any(|e| e.pod.as_ref() == Some(pod)),
                    _ => false,
                });
            update_set(&mut self.next.services_of_pod, pod, service, named);
        }
    }

    fn derive_endpoints(&mut self, key: ServiceKey) {
        let service = self
            .next
            .services
            .get(&key.host)
            .and_then(|all| all.iter().find(|s| s.namespace() == key.namespace))
            .cloned();
        let old = self.next.endpoints.get(&key).cloned();
        let Some(service) = service else {
            if old.is_some() {
                self.next.endpoints.remove_mut(&key);
                self.keys.endpoints.insert(key.host);
            }
            return;
        };
        let new = derive::endpoints(&self.next, &service);
        let old = old.unwrap_or_default();
        if *old == new {
            return;
        }
        self.keys.endpoints.insert(key.host.clone());
        let trust_domain = self.next.mesh.trust_domain.clone();
        let shape = |e: &crate::endpoint::ServiceEndpoints| {
            let port = |p: &crate::service::ServicePort| {
                (e.any_mtls(p.number), e.all_mtls(p.number), e.identities(p.number, &trust_domain))
            };
            service.ports.iter().map(port).collect::<Vec<_>>()
        };
        if service.is_headless() || shape(&old) != shape(&new) {
            self.keys.services.insert(key.host.clone());
        }
        self.next.endpoints.insert_mut(key, Arc::new(new));
    }
}
