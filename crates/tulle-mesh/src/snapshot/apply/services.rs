//! Services, what makes their endpoints, and what depends on their hosts.

use std::sync::Arc;

use tulle_base::{Host, ResourceRef};

use super::Apply;
use crate::entry::Entry;
use crate::item::Item;
use crate::meta::NsName;
use crate::network;
use crate::service::{Registry, Service};
use crate::slice::Slice;
use crate::snapshot::maps::{update_aged, update_set};
use crate::snapshot::{ServiceKey, allocate, asks, derive};

impl Apply {
    pub(super) fn service(&mut self, reference: &ResourceRef, service: &Service, adding: bool) {
        let (host, ns) = (service.hostname.clone(), service.namespace().to_owned());
        asks::count(&mut self.next.asks, asks::of_service(service), adding);
        let key = ServiceKey { host: host.clone(), namespace: ns.clone() };
        let mut placed = service.clone();
        if adding && allocate::wanted(service) {
            placed.addresses.extend(self.next.allocated.give(&key).into_iter().flatten());
            placed.auto_allocated = true;
        }
        let rivals = self.next.services.get(&host).cloned().unwrap_or_default();
        self.recheck.extend(rivals.iter().map(|s| s.meta.resource.clone()));
        update_aged(&mut self.next.services, &host, reference, adding.then_some(&placed), |s| &s.meta);
        self.network_gateway(&host);
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

    /// Endpoints of other networks are where their gateways are, for everybody.
    fn network_gateway(&mut self, host: &Host) {
        let mut all = self.next.services.get(host).into_iter().flat_map(|all| all.iter());
        let labelled = all.any(|s| network::is_gateway(s));
        self.keys.mesh |= labelled || self.next.is_network_gateway(host);
        if labelled {
            self.next.network_gateways.insert_mut(host.clone());
        } else {
            self.next.network_gateways.remove_mut(host);
        }
    }

    pub(super) fn slice(&mut self, reference: &ResourceRef, slice: &Slice, adding: bool) {
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

    pub(super) fn kubernetes_key(&self, service: &NsName) -> ServiceKey {
        let NsName { namespace, name } = service;
        let host = Host::new(&format!("{name}.{namespace}.svc.{}", self.next.mesh.domain));
        ServiceKey { host, namespace: namespace.clone() }
    }

    /// Services that select it have it among their endpoints.
    pub(super) fn entry(&mut self, reference: &ResourceRef, entry: &Entry, adding: bool) {
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

    pub(super) fn mentioned(&mut self, host: &Host) {
        if self.next.mesh.providers.iter().any(|p| p.asked() == Some(host)) {
            self.providers_changed();
        }
        let by: Vec<ResourceRef> = self.next.mentions.get(host).into_iter().flatten().cloned().collect();
        for reference in by {
            if reference.kind == "Ingress" {
                self.ingresses.insert(reference);
            } else if !self.kube.note(&reference) {
                self.recheck.insert(reference);
            }
        }
    }

    /// Modes of mutual TLS say whether clients may use it: endpoints depend on them.
    pub(super) fn peers_changed(&mut self, namespace: &str) {
        let all = namespace == self.next.mesh.root_namespace;
        let affected: Vec<ServiceKey> = if all {
            self.next.endpoints.keys().cloned().collect()
        } else {
            self.next.endpoints.keys().filter(|k| k.namespace == namespace).cloned().collect()
        };
        self.endpoints.extend(affected);
    }

    /// Drops the services of `pod` of which no slice names it any more.
    pub(super) fn forget_services_of(&mut self, pod: &NsName) {
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

    pub(super) fn derive_endpoints(&mut self, key: ServiceKey) {
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
