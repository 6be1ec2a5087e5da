//! One immutable state of the mesh.
//!
//! Every collection is persistent: a new snapshot shares with the old one all that did not change, so taking one is
//! cheap and keeping one costs what differs.

mod allocate;
mod apply;
mod asks;
mod change;
mod check;
mod conflict;
mod derive;
mod families;
mod ingress;
mod kube;
mod limits;
mod lookup;
mod map;
mod maps;

use std::collections::BTreeSet;
use std::sync::Arc;

use tulle_base::{Diagnostic, Diagnostics, Host, Labels, Locality, ResourceRef};

use crate::config::MeshConfig;
use crate::destination::DestinationRule;
use crate::endpoint::ServiceEndpoints;
use crate::envoy_filter::EnvoyFilter;
use crate::gateway::Gateway;
use crate::ingress::{Ingress, IngressClass, IngressState};
use crate::item::Item;
use crate::kube::{
    BackendTls, GatewayClass, GatewayState, Grant, KubeGateway, ListenerSet, ListenerSetState, RouteState,
};
use crate::meta::NsName;
use crate::policy::{
    AuthorizationPolicy, Fetched, KeySource, PeerAuthentication, RateLimit, RequestAuthentication,
};
use crate::routing::{ExternalAuth, RouteSet};
use crate::service::Service;
use crate::sidecar::Sidecar;
use crate::telemetry::Telemetry;
use crate::workload::Workload;

pub use asks::Ask;
pub use change::{Change, ChangedKeys};
pub use check::MissingSubset;
pub use conflict::{Conflict, Outcome};
pub use lookup::InboundPort;
pub(crate) use map::Map;

/// A persistent ordered set.
pub(crate) type Set<V> = rpds::RedBlackTreeSetSync<V>;

/// The service of a host in one namespace (a host may be defined in several).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceKey {
    /// Host.
    pub host: Host,
    /// Namespace of the document.
    pub namespace: String,
}

/// One immutable state of the mesh. Clones are cheap.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) mesh: Arc<MeshConfig>,
    /// The settings that it was started with, under those of documents.
    pub(crate) given: Arc<MeshConfig>,
    /// Documents with settings of the mesh.
    pub(crate) settings: Set<ResourceRef>,
    /// What each document became: the inputs of everything below.
    pub(crate) items: Map<ResourceRef, Arc<Item>>,
    /// Problems of each document alone, found when it was modelled.
    pub(crate) own_diagnostics: Map<ResourceRef, Arc<Diagnostics>>,
    /// Problems between documents.
    pub(crate) cross_diagnostics: Map<ResourceRef, Arc<Diagnostics>>,

    /// Documents that claim the same.
    pub(crate) conflicts: Map<ResourceRef, Arc<Vec<Conflict>>>,

    pub(crate) services: Map<Host, Arc<Vec<Arc<Service>>>>,
    pub(crate) services_in: Map<String, Set<Host>>,
    /// Hosts of ServiceEntries that select pods, by namespace.
    pub(crate) selecting_in: Map<String, Set<Host>>,
    pub(crate) endpoints: Map<ServiceKey, Arc<ServiceEndpoints>>,
    pub(crate) slices_of: Map<NsName, Set<ResourceRef>>,
    pub(crate) services_of_pod: Map<NsName, Set<NsName>>,
    pub(crate) workloads: Map<NsName, Arc<Workload>>,
    pub(crate) pods_in: Map<String, Set<NsName>>,
    pub(crate) pod_of_ip: Map<String, NsName>,
    /// WorkloadEntries by namespace.
    pub(crate) entries_in: Map<String, Set<ResourceRef>>,
    /// Addresses given to hosts that have none.
    pub(crate) allocated: allocate::Allocated,
    /// Hosts of Services that say by their label that they are gateways of networks.
    pub(crate) network_gateways: Set<Host>,
    pub(crate) nodes: Map<String, Locality>,
    pub(crate) pods_on: Map<String, Set<NsName>>,
    /// What preferences ask of clients, and how many documents do.
    pub(crate) asks: Map<Ask, usize>,

    /// The time of day that the snapshot was told last.
    pub(crate) now: i64,
    /// Documents with faults that end, and when the first of each does.
    pub(crate) expiring: Map<ResourceRef, i64>,
    pub(crate) routes_of_host: Map<Host, Arc<Vec<Arc<RouteSet>>>>,
    pub(crate) routes_of_gateway: Map<NsName, Arc<Vec<Arc<RouteSet>>>>,
    /// Documents with routes for sidecars that keep sessions at their endpoints.
    pub(crate) sessions: Set<ResourceRef>,
    /// Documents with routes for sidecars that ask somebody whether requests may pass.
    pub(crate) asking: Set<ResourceRef>,
    /// The documents that delegate to a VirtualService.
    pub(crate) delegated_by: Map<NsName, Set<ResourceRef>>,
    pub(crate) rules_in: Map<String, Arc<lookup::NamespaceRules>>,
    pub(crate) gateways: Map<NsName, Arc<Gateway>>,
    pub(crate) sidecars_in: Map<String, Arc<Vec<Arc<Sidecar>>>>,
    pub(crate) peers_in: Map<String, Arc<Vec<Arc<PeerAuthentication>>>>,
    pub(crate) tokens_in: Map<String, Arc<Vec<Arc<RequestAuthentication>>>>,
    /// Keys that were fetched, as far as they can be used.
    pub(crate) fetched: Map<KeySource, Fetched>,
    pub(crate) authorizations_in: Map<String, Arc<Vec<Arc<AuthorizationPolicy>>>>,
    pub(crate) envoy_filters_in: Map<String, Arc<Vec<Arc<EnvoyFilter>>>>,
    pub(crate) rate_limits_in: Map<String, Arc<Vec<Arc<RateLimit>>>>,
    pub(crate) telemetry_in: Map<String, Arc<Vec<Arc<Telemetry>>>>,
    /// How many proxies share the limits of a RateLimit, where they are shared.
    pub(crate) proxies_of_limit: Map<ResourceRef, u32>,

    pub(crate) ingress_classes: Map<String, Arc<IngressClass>>,
    pub(crate) ingresses: Map<ResourceRef, Arc<Ingress>>,
    pub(crate) ingress_states: Map<ResourceRef, Arc<IngressState>>,

    pub(crate) classes: Map<String, Arc<GatewayClass>>,
    pub(crate) kube_gateways: Map<NsName, Arc<KubeGateway>>,
    pub(crate) listener_sets: Map<NsName, Arc<ListenerSet>>,
    /// The ListenerSets that name a Gateway, whether it is there or not.
    pub(crate) sets_of_gateway: Map<NsName, Set<NsName>>,
    /// What became of those whose Gateway is this mesh's.
    pub(crate) set_states: Map<NsName, Arc<ListenerSetState>>,
    /// The routes that name a Gateway or ListenerSet of the Gateway API, or a ServiceEntry, as a parent.
    pub(crate) children_of: Map<NsName, Set<ResourceRef>>,
    /// What refers to objects of a namespace from others.
    pub(crate) refers_into: Map<String, Set<ResourceRef>>,
    pub(crate) grants_in: Map<String, Arc<Vec<Arc<Grant>>>>,
    pub(crate) namespaces: Map<String, Arc<Labels>>,
    /// Secrets with certificates, and what is wrong with them.
    pub(crate) certificates: Map<NsName, Option<Arc<str>>>,
    /// Policies of TLS towards a host, oldest first.
    pub(crate) backend_tls: Map<Host, Arc<Vec<Arc<BackendTls>>>>,
    /// ConfigMaps with certificates of authorities.
    pub(crate) authorities: Map<NsName, Arc<str>>,
    pub(crate) gateway_states: Map<NsName, Arc<GatewayState>>,
    pub(crate) route_states: Map<ResourceRef, Arc<RouteState>>,

    /// Which documents name a host, so that its coming and going is checked again for them alone.
    pub(crate) mentions: Map<Host, Set<ResourceRef>>,
}

impl Snapshot {
    /// An empty mesh with `mesh`'s settings.
    pub fn new(mesh: MeshConfig) -> Self {
        let mesh = Arc::new(mesh);
        Self { given: Arc::clone(&mesh), mesh, ..Self::default() }
    }

    /// The mesh's settings.
    pub fn mesh(&self) -> &MeshConfig {
        &self.mesh
    }

    /// The same mesh with other settings. What documents became stays as it was, so the DNS domain and the root namespace
    /// must not differ: those are chosen once, by [`Snapshot::new`].
    pub fn with_mesh(&self, mesh: MeshConfig) -> (Self, ChangedKeys) {
        let mut next = Self { given: Arc::new(mesh), ..self.clone() };
        next.mesh = Arc::new(next.settled());
        let keys = ChangedKeys { mesh: self.mesh != next.mesh, ..ChangedKeys::default() };
        (next, keys)
    }

    /// The settings that it was given with those of documents.
    pub(crate) fn settled(&self) -> MeshConfig {
        let items = self.settings.iter().filter_map(|r| self.items.get(r));
        let documents = items.filter_map(|item| match item.as_ref() {
            Item::Settings(settings) => Some(settings.as_ref()),
            _ => None,
        });
        crate::settings::in_force(&self.given, documents)
    }

    /// Applies changes in order. Only what depends on a changed document is derived again; the rest is shared with
    /// `self`. Documents that were refused when they were read never come here: their last good form stays in force.
    pub fn apply(&self, changes: &[Change]) -> (Self, ChangedKeys) {
        let (next, keys, _) = apply::apply(self, changes);
        (next, keys)
    }

    /// The same, and which documents were looked at again: those that changed, and those whose problems or conflicts may be
    /// others now.
    pub fn apply_noting(&self, changes: &[Change]) -> (Self, ChangedKeys, BTreeSet<ResourceRef>) {
        apply::apply(self, changes)
    }

    /// What stands in the way of one resource, or it in another's.
    pub fn conflicts_of(&self, resource: &ResourceRef) -> &[Conflict] {
        self.conflicts.get(resource).map_or(&[], |all| all.as_slice())
    }

    /// Every document with conflicts.
    pub fn conflicts(&self) -> impl Iterator<Item = (&ResourceRef, &[Conflict])> {
        self.conflicts.iter().map(|(resource, all)| (resource, all.as_slice()))
    }

    /// The time of day, as far as anything depends on it: what [`Change::Time`] told last.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// When a fault ends next, in seconds after 1970-01-01T00:00:00Z; [`Change::Time`] is due then.
    pub fn next_end(&self) -> Option<i64> {
        self.expiring.values().copied().filter(|end| *end > self.now).min()
    }

    /// Whether a document became part of the model: those of kinds that are not applied do not.
    pub fn is_modelled(&self, resource: &ResourceRef) -> bool {
        match self.items.get(resource).map(Arc::as_ref) {
            None => false,
            // Others serve it.
            Some(Item::KubeGateway(gateway)) => self.gateway_states.contains_key(&gateway.name()),
            Some(Item::ListenerSet(set)) => self.set_states.contains_key(&set.name()),
            Some(Item::Class(class)) => crate::kube::is_ours(&class.controller),
            Some(item) => self.serves_ingress(item),
        }
    }

    /// The subsets that a VirtualService sends requests to and no DestinationRule defines, for hosts that exist.
    pub fn missing_subsets(&self, resource: &ResourceRef) -> Vec<MissingSubset> {
        match self.items.get(resource).map(Arc::as_ref) {
            Some(Item::Routes(routes)) => check::missing_subsets(self, routes),
            _ => Vec::new(),
        }
    }

    /// An EnvoyFilter, with the patches that are not refused.
    pub fn envoy_filter(&self, resource: &ResourceRef) -> Option<&EnvoyFilter> {
        match self.items.get(resource).map(Arc::as_ref) {
            Some(Item::Patches(filter)) => Some(filter),
            _ => None,
        }
    }

    /// Every problem known, by resource: those of single documents first, then those between documents.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.own_diagnostics
            .values()
            .flat_map(|d| d.iter())
            .chain(self.cross_diagnostics.values().flat_map(|d| d.iter()))
    }

    /// The problems of one resource.
    pub fn diagnostics_of(&self, resource: &ResourceRef) -> impl Iterator<Item = &Diagnostic> {
        let own = self.own_diagnostics.get(resource).into_iter().flat_map(|d| d.iter());
        own.chain(self.cross_diagnostics.get(resource).into_iter().flat_map(|d| d.iter()))
    }

    /// Every service, sorted by host, then by namespace.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values().flat_map(|all| all.iter())
    }

    /// Every workload, by pod.
    pub fn workloads(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.workloads.values()
    }

    /// Whether some route of sidecars keeps sessions at their endpoints.
    pub fn keeps_sessions(&self) -> bool {
        !self.sessions.is_empty()
    }

    /// Whom routes of sidecars ask whether requests may pass.
    pub fn mesh_external_auth(&self) -> Vec<ExternalAuth> {
        let sets = self.asking.iter().filter_map(|r| self.route_states.get(r)).flat_map(|s| &s.sets);
        sets.filter(|set| set.applies_to_mesh()).flat_map(|set| set.external_auth()).cloned().collect()
    }

    /// Every gateway, by name.
    pub fn gateways(&self) -> impl Iterator<Item = &Arc<Gateway>> {
        self.gateways.values()
    }

    /// Every set of routes with the hosts it claims, by host.
    pub fn routes(&self) -> impl Iterator<Item = (&Host, &Arc<RouteSet>)> {
        self.routes_of_host.iter().flat_map(|(host, all)| all.iter().map(move |r| (host, r)))
    }

    /// Every destination rule after merging.
    pub fn destination_rules(&self) -> impl Iterator<Item = &Arc<DestinationRule>> {
        self.rules_in.values().flat_map(|ns| ns.by_host.values().flatten())
    }
}
