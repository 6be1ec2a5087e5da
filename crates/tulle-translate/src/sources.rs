//! Which resources of the mesh an xDS resource was made of.

use std::collections::BTreeSet;
use std::sync::Arc;

use tulle_base::ResourceRef;
use tulle_mesh::destination::DestinationRule;
use tulle_mesh::{Meta, Snapshot};
use tulle_proto::envoy::core::Metadata;
use tulle_proto::envoy::google::value::Kind;
use tulle_proto::envoy::listener::Listener;
use tulle_proto::envoy::route::{Route, RouteAction, VirtualHost, route, route_action};

use crate::names::ClusterName;
use crate::resource::PatchRef;
use crate::view::View;

/// The resources that something was made of, only those that carry a status; and which patches of EnvoyFilters did something
/// to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(pub(crate) BTreeSet<ResourceRef>, pub(crate) BTreeSet<PatchRef>);

impl Sources {
    /// Adds the document behind a modelled value.
    pub(crate) fn add(&mut self, meta: &Meta) {
        self.add_ref(&meta.resource);
    }

    /// Adds a resource.
    pub(crate) fn add_ref(&mut self, resource: &ResourceRef) {
        if is_of_the_mesh(resource) && !self.0.contains(resource) {
            self.0.insert(resource.clone());
        }
    }

    /// Adds a patch of an EnvoyFilter.
    pub(crate) fn add_patch(&mut self, filter: &Meta, index: usize) {
        self.add(filter);
        let patch = (filter.resource.clone(), index);
        if !self.1.contains(&patch) {
            self.1.insert(patch);
        }
    }

    /// Takes in what `other` has as well.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
        self.1.extend(other.1);
    }

    /// Adds every document that was merged into `rule`.
    pub(crate) fn add_rule(&mut self, snapshot: &Snapshot, rule: &DestinationRule) {
        snapshot.rules_behind(rule).for_each(|r| self.add(&r.meta));
    }

    /// Adds what the provenance in `metadata` names.
    fn add_metadata(&mut self, metadata: Option<&Metadata>) {
        let config =
            metadata.and_then(|m| m.filter_metadata.get("istio")).and_then(|s| s.fields.get("config"));
        if let Some(Kind::StringValue(path)) = config.and_then(|v| v.kind.as_ref())
            && let Some(resource) = ResourceRef::from_api_path(path)
        {
            self.add_ref(&resource);
        }
    }

    /// What a listener's chains were made of.
    pub(crate) fn of_listener(listener: &Listener) -> Self {
        let mut all = Self::default();
        for chain in listener.filter_chains.iter().chain(&listener.default_filter_chain) {
            all.add_metadata(chain.metadata.as_ref());
        }
        all
    }

    /// What routes were made of: the documents of the rules, those that they delegate to, and the destination rules that say
    /// how to hash.
    pub(crate) fn of_routes(snapshot: &Snapshot, view: &View, hosts: &[VirtualHost]) -> Self {
        let mut all = Self::default();
        for route in hosts.iter().flat_map(|h| &h.routes) {
            all.add_metadata(route.metadata.as_ref());
            for rule in hashed(route).filter_map(|cluster| rule_of(snapshot, view, cluster)) {
                all.add_rule(snapshot, rule);
            }
        }
        let written: Vec<ResourceRef> = all.0.iter().cloned().collect();
        for delegate in written.iter().flat_map(|root| snapshot.delegates_of(root)) {
            all.add_ref(&delegate);
        }
        all
    }

    /// Sorted, to be kept.
    pub(crate) fn shared(self) -> (Arc<[ResourceRef]>, Arc<[PatchRef]>) {
        (self.0.into_iter().collect(), self.1.into_iter().collect())
    }
}

/// Whether a resource is one of the mesh's own kinds, which carry a status.
fn is_of_the_mesh(resource: &ResourceRef) -> bool {
    resource.group.ends_with(".istio.io")
        || resource.group == "gateway.networking.k8s.io"
        || resource.group == tulle_api::policy::GROUP
        || resource.kind == "Ingress"
}

/// The clusters of a route that hashes.
fn hashed(route: &Route) -> impl Iterator<Item = &str> {
    let action = match &route.action {
        Some(route::Action::Route(action)) if !action.hash_policy.is_empty() => Some(action),
        _ => None,
    };
    action.into_iter().flat_map(clusters)
}

fn clusters(action: &RouteAction) -> Vec<&str> {
    match &action.cluster_specifier {
        Some(route_action::ClusterSpecifier::Cluster(name)) => vec![name],
        Some(route_action::ClusterSpecifier::WeightedClusters(all)) => {
            all.clusters.iter().map(|c| c.name.as_str()).collect()
        }
        _ => Vec::new(),
    }
}

fn rule_of<'a>(snapshot: &'a Snapshot, view: &View, cluster: &str) -> Option<&'a DestinationRule> {
    let host = ClusterName::parse(cluster)?.host.as_str().into();
    let service = view.service(&host)?;
    let rule = snapshot.destination_rule(&host, &view.namespace, Some(service.namespace()), &view.labels);
    rule.map(Arc::as_ref)
}
