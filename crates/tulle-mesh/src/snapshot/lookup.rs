//! Questions to a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;

use tulle_base::{Host, Labels, ResourceRef};

use super::{Map, ServiceKey, Snapshot};
use crate::destination::DestinationRule;
use crate::endpoint::ServiceEndpoints;
use crate::envoy_filter::{EnvoyFilter, in_order};
use crate::gateway::Gateway;
use crate::item::Item;
use crate::meta::NsName;
use crate::policy::{
    AuthorizationPolicy, KeySource, PeerAuthentication, PeerModes, RateLimit, RequestAuthentication,
    applicable, effective_modes, for_workload, in_force, jwks,
};
use crate::routing::RouteSet;
use crate::service::{Registry, Service, TargetPort};
use crate::sidecar::Sidecar;
use crate::telemetry::{self, Telemetry};
use crate::workload::Workload;

/// The destination rules of one namespace, merged per host. Hosts sort most specific first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NamespaceRules {
    /// After merging.
    pub(crate) by_host: Map<Host, Vec<Arc<DestinationRule>>>,
    /// As written.
    pub(crate) raw: Map<Host, Vec<Arc<DestinationRule>>>,
}

/// A port of a workload that some service declares.
#[derive(Clone, Debug)]
pub struct InboundPort {
    /// The workload's port.
    pub target: u16,
    /// The service that declares it (the oldest, when several do).
    pub service: Arc<Service>,
    /// Index into the service's ports.
    pub port: usize,
}

impl Snapshot {
    /// The service that a client in `namespace` means by `host`: visible to it, of its own namespace first, then a
    /// Kubernetes Service, then the oldest.
    pub fn service(&self, host: &Host, namespace: &str) -> Option<&Arc<Service>> {
        let all = self.services.get(host)?;
        all.iter().filter(|s| s.export_to.visible_to(namespace)).min_by(|a, b| {
            let rank = |s: &Service| (s.namespace() != namespace, s.registry != Registry::Kubernetes);
            rank(a).cmp(&rank(b)).then_with(|| a.meta.by_age(&b.meta))
        })
    }

    /// The endpoints of `service`; empty when it has none.
    pub fn endpoints(&self, service: &Service) -> Arc<ServiceEndpoints> {
        let key = ServiceKey { host: service.hostname.clone(), namespace: service.namespace().to_owned() };
        self.endpoints.get(&key).cloned().unwrap_or_default()
    }

    /// The workload of `pod`.
    pub fn workload(&self, pod: &NsName) -> Option<&Arc<Workload>> {
        self.workloads.get(pod)
    }

    /// The workload at `ip`.
    pub fn workload_at(&self, ip: &str) -> Option<&Arc<Workload>> {
        self.workloads.get(self.pod_of_ip.get(ip)?)
    }

    /// The ports of a workload of `namespace` that services declare, sorted by port; the oldest service wins a port.
    /// `ip` finds services whose endpoints were written by hand.
    pub fn inbound_ports(
        &self,
        namespace: &str,
        labels: &Labels,
        pod: &NsName,
        ip: &str,
    ) -> Vec<InboundPort> {
        let mut services: Vec<&Arc<Service>> = Vec::new();
        for host in self.services_in.get(namespace).into_iter().flat_map(|s| s.iter()) {
            let in_namespace = self.services.get(host).into_iter().flat_map(|all| all.iter());
            services.extend(in_namespace.filter(|s| {
                s.namespace() == namespace
                    && match &s.selector {
                        Some(selector) => !selector.is_empty() && selector.matches(labels),
                        None => {
                            let endpoints = self.endpoints(s);
                            let mut all = endpoints.ports.iter().flat_map(|p| &p.endpoints);
                            all.any(|e| e.addresses().any(|a| a == ip))
                        }
                    }
            }));
        }
        services.sort_by(|a, b| a.meta.by_age(&b.meta));
        let named = self.workloads.get(pod).map(|w| &w.named_ports);
        let mut out: BTreeMap<u16, InboundPort> = BTreeMap::new();
        for service in services {
            for (i, port) in service.ports.iter().enumerate() {
                let target = match &port.target {
                    TargetPort::Number(n) => Some(*n),
                    TargetPort::Name(name) => named.and_then(|n| n.get(name)).copied(),
                };
                if let Some(target) = target {
                    out.entry(target).or_insert_with(|| InboundPort {
                        target,
                        service: Arc::clone(service),
                        port: i,
                    });
                }
            }
        }
        out.into_values().collect()
    }

    /// The destination rule for `host` seen by a client of `namespace` with `labels`: the client's namespace, then the
    /// service's, then the root; the first namespace with a match decides, by the most specific host (traps 7).
    pub fn destination_rule(
        &self,
        host: &Host,
        namespace: &str,
        service_namespace: Option<&str>,
        labels: &Labels,
    ) -> Option<&Arc<DestinationRule>> {
        let root = self.mesh.root_namespace.as_str();
        let order = [Some(namespace), service_namespace, Some(root)];
        order.into_iter().flatten().find_map(|ns| {
            let rules = self.rules_in.get(ns)?;
            let visible = |all: &'_ [Arc<DestinationRule>]| -> Option<usize> {
                let usable = |r: &Arc<DestinationRule>| {
                    r.export_to.visible_to(namespace) && r.selects(namespace, labels)
                };
                // A rule with a selector that fits is for exactly this client.
                all.iter()
                    .position(|r| r.workload_selector.is_some() && usable(r))
                    .or_else(|| all.iter().position(usable))
            };
            let exact = rules.by_host.get(host).and_then(|all| Some(&all[visible(all)?]));
            exact.or_else(|| {
                let wild = wildcards(&rules.by_host).into_iter().filter(|h| h.covers(host));
                wild.filter_map(|h| rules.by_host.get(h)).find_map(|all| Some(&all[visible(all)?]))
            })
        })
    }

    /// The routes that claim `host` exactly as written, oldest first.
    pub fn routes_of(&self, host: &Host) -> &[Arc<RouteSet>] {
        self.routes_of_host.get(host).map_or(&[], |all| all.as_slice())
    }

    /// The wildcard hosts that routes claim, most specific first.
    pub fn routed_wildcards(&self) -> Vec<&Host> {
        wildcards(&self.routes_of_host)
    }

    /// The hosts that routes claim, most specific first.
    pub fn routed_hosts(&self) -> impl Iterator<Item = &Host> {
        self.routes_of_host.keys()
    }

    /// The routes bound to a gateway, oldest first.
    pub fn routes_of_gateway(&self, gateway: &NsName) -> &[Arc<RouteSet>] {
        self.routes_of_gateway.get(gateway).map_or(&[], |all| all.as_slice())
    }

    /// The gateway `name`.
    pub fn gateway(&self, name: &NsName) -> Option<&Arc<Gateway>> {
        self.gateways.get(name)
    }

    /// The mutual TLS modes of a workload.
    pub fn peer_modes(&self, namespace: &str, labels: &Labels) -> PeerModes {
        let root = self.mesh.root_namespace.as_str();
        let other = (root != namespace).then_some(root);
        let policies = [Some(namespace), other].into_iter().flatten();
        let policies = policies.filter_map(|ns| self.peers_in.get(ns)).flat_map(|all| all.iter());
        effective_modes(policies.map(Arc::as_ref), root, namespace, labels)
    }

    /// The PeerAuthentications that decide on a workload: the mesh's, its namespace's, its own.
    pub fn peers_in_force(&self, namespace: &str, labels: &Labels) -> Vec<&PeerAuthentication> {
        let root = self.mesh.root_namespace.as_str();
        let other = (root != namespace).then_some(root);
        let policies = [Some(namespace), other].into_iter().flatten();
        let policies = policies.filter_map(|ns| self.peers_in.get(ns)).flat_map(|all| all.iter());
        let all = in_force(policies.map(Arc::as_ref), root, namespace, labels);
        all.into_iter().flatten().collect()
    }

    /// The documents that were merged into `rule`, which is one of this snapshot's.
    pub fn rules_behind<'a>(
        &'a self,
        rule: &'a DestinationRule,
    ) -> impl Iterator<Item = &'a Arc<DestinationRule>> {
        let all = self.rules_in.get(rule.meta.namespace()).and_then(|ns| ns.raw.get(&rule.host));
        let same = |r: &&Arc<DestinationRule>| {
            r.export_to == rule.export_to && r.workload_selector == rule.workload_selector
        };
        all.into_iter().flatten().filter(same)
    }

    /// The host of a DestinationRule, fully qualified.
    pub fn rule_host(&self, rule: &ResourceRef) -> Option<Host> {
        match self.items.get(rule).map(Arc::as_ref) {
            Some(Item::Destination(rule)) => Some(rule.host.clone()),
            _ => None,
        }
    }

    /// The VirtualServices that a VirtualService delegates to.
    pub fn delegates_of(&self, routes: &ResourceRef) -> Vec<ResourceRef> {
        let Some(Item::Routes(written)) = self.items.get(routes).map(Arc::as_ref) else { return Vec::new() };
        let of =
            |name: &NsName| ResourceRef::new(&*routes.group, &*routes.kind, &*name.namespace, &*name.name);
        written.delegates().map(of).collect()
    }

    /// Every RequestAuthentication, by namespace, each oldest first.
    pub fn tokens(&self) -> impl Iterator<Item = &Arc<RequestAuthentication>> {
        self.tokens_in.values().flat_map(|all| all.iter())
    }

    /// The RequestAuthentications of a workload, the root namespace's first, each oldest first.
    pub fn tokens_of(&self, namespace: &str, labels: &Labels) -> Vec<&RequestAuthentication> {
        let root = self.mesh.root_namespace.as_str();
        let other = (root != namespace).then_some(root);
        let policies = [Some(namespace), other].into_iter().flatten();
        let policies = policies.filter_map(|ns| self.tokens_in.get(ns)).flat_map(|all| all.iter());
        for_workload(policies.map(Arc::as_ref), root, namespace, labels)
    }

    /// The set of keys of a source. One that was not fetched (yet) admits nobody.
    pub fn keys_of(&self, source: &KeySource) -> String {
        match source {
            KeySource::Inline(keys) => keys.clone(),
            other => {
                let keys = self.fetched.get(other).and_then(|f| f.keys.as_ref());
                keys.map_or_else(jwks::nobody, |keys| keys.to_string())
            }
        }
    }

    /// The authorization policies of a workload, the root namespace's first, each oldest first.
    pub fn authorizations(&self, namespace: &str, labels: &Labels) -> Vec<&AuthorizationPolicy> {
        let root = self.mesh.root_namespace.as_str();
        let other = (root != namespace).then_some(root);
        let policies = [Some(namespace), other].into_iter().flatten();
        let policies = policies.filter_map(|ns| self.authorizations_in.get(ns)).flat_map(|all| all.iter());
        applicable(policies.map(Arc::as_ref), root, namespace, labels)
    }

    /// Every authorization policy.
    pub fn every_authorization(&self) -> impl Iterator<Item = &AuthorizationPolicy> {
        self.authorizations_in.values().flat_map(|all| all.iter()).map(Arc::as_ref)
    }

    /// The authorization policies that name the Gateway `name` of the Gateway API, oldest first.
    pub fn authorizations_at(&self, gateway: &NsName) -> Vec<&AuthorizationPolicy> {
        let all = self.authorizations_in.get(&gateway.namespace).into_iter().flat_map(|all| all.iter());
        all.map(Arc::as_ref).filter(|p| p.target.names(&gateway.name)).collect()
    }

    /// The RequestAuthentications that name the Gateway `name` of the Gateway API, oldest first.
    pub fn tokens_at(&self, gateway: &NsName) -> Vec<&RequestAuthentication> {
        let all = self.tokens_in.get(&gateway.namespace).into_iter().flat_map(|all| all.iter());
        all.map(Arc::as_ref).filter(|p| p.target.names(&gateway.name)).collect()
    }

    /// The EnvoyFilters of the root namespace and of `namespace`, in the order in which they are applied.
    pub fn envoy_filters_in(&self, namespace: &str) -> Vec<&Arc<EnvoyFilter>> {
        let root = self.mesh.root_namespace.as_str();
        let other = (root != namespace).then_some(root);
        let all = [other, Some(namespace)].into_iter().flatten();
        let mut out: Vec<_> =
            all.filter_map(|ns| self.envoy_filters_in.get(ns)).flat_map(|all| all.iter()).collect();
        out.sort_by(|a, b| in_order(root, a, b));
        out
    }

    /// The RateLimits of a workload, the root namespace's first, each oldest first.
    pub fn rate_limits(&self, namespace: &str, labels: &Labels) -> Vec<&Arc<RateLimit>> {
        let root = self.mesh.root_namespace.as_str();
        let other = (root != namespace).then_some(root);
        let all = [other, Some(namespace)].into_iter().flatten();
        let all = all.filter_map(|ns| self.rate_limits_in.get(ns)).flat_map(|all| all.iter());
        all.filter(|limit| limit.selector.matches(labels)).collect()
    }

    /// The Telemetries in force for a workload, from the weakest on: the root namespace's, its namespace's, and the one that selects
    /// it (or names the Gateway that it was made for); the oldest at each.
    pub fn telemetry_of(&self, namespace: &str, labels: &Labels) -> Vec<&Arc<Telemetry>> {
        let root = self.mesh.root_namespace.as_str();
        let all = |ns: &str| self.telemetry_in.get(ns).map_or(&[][..], |all| all.as_slice());
        let weakest = if root == namespace { &[] } else { all(root) };
        telemetry::applicable(weakest, all(namespace), labels)
    }

    /// How many proxies share the limits of a RateLimit that are shared: those of ready pods that it selects; 0 when there are
    /// none, or nothing is shared.
    pub fn proxies_of_limit(&self, limit: &ResourceRef) -> u32 {
        self.proxies_of_limit.get(limit).copied().unwrap_or(0)
    }

    /// The Sidecar in force for a workload: one that selects it, then its namespace's, then the root's; the oldest wins
    /// at each (traps 14).
    pub fn sidecar(&self, namespace: &str, labels: &Labels) -> Option<&Arc<Sidecar>> {
        let local = self.sidecars_in.get(namespace).map_or(&[][..], |all| all.as_slice());
        let selector = |s: &Sidecar| s.selector.as_ref().filter(|s| !s.is_empty()).cloned();
        local
            .iter()
            .find(|s| selector(s).is_some_and(|sel| sel.matches(labels)))
            .or_else(|| local.iter().find(|s| selector(s).is_none()))
            .or_else(|| {
                let root = self.sidecars_in.get(&self.mesh.root_namespace)?;
                root.iter().find(|s| selector(s).is_none())
            })
    }

    /// Whether any Sidecar or route makes what a client of `namespace` sees depend on its labels.
    pub fn labels_matter(&self, namespace: &str) -> bool {
        self.sidecars_in
            .get(namespace)
            .is_some_and(|all| all.iter().any(|s| s.selector.as_ref().is_some_and(|s| !s.is_empty())))
            || self
                .rules_in
                .get(namespace)
                .is_some_and(|r| r.by_host.values().flatten().any(|r| r.workload_selector.is_some()))
            || self.routes().any(|(_, r)| r.uses_source_labels() && r.export_to.visible_to(namespace))
    }
}

/// The wildcards among the keys, most specific first. They sort last, so that the rest is not looked at.
fn wildcards<V: Send + Sync + 'static>(map: &Map<Host, V>) -> Vec<&Host> {
    let mut out: Vec<&Host> = map.keys().rev().take_while(|h| h.is_wildcard()).collect();
    out.reverse();
    out
}
