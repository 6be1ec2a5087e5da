//! Patches of EnvoyFilters, and what there is for them to patch.

use std::collections::BTreeSet;

use tulle_api::Object;
use tulle_api::istio::{
    EnvoyApplyTo, EnvoyConfigObjectPatch, EnvoyFilter, EnvoyListenerMatch, EnvoyObjectTypes,
    EnvoyPatchOperation,
};
use tulle_base::FieldPath;

use crate::whole::Whole;

/// Network and HTTP filters that proxies of this mesh get.
pub const FILTERS: [&str; 12] = [
    "envoy.filters.network.http_connection_manager",
    "envoy.filters.network.tcp_proxy",
    "envoy.filters.network.rbac",
    "envoy.filters.http.router",
    "envoy.filters.http.rbac",
    "envoy.filters.http.jwt_authn",
    "envoy.filters.http.grpc_stats",
    "envoy.filters.http.fault",
    "envoy.filters.http.cors",
    "istio.alpn",
    "istio.stats",
    "istio.peer_metadata",
];

/// One patch and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct PatchAt<'a> {
    /// The document.
    pub object: &'a Object,
    /// Its content.
    pub spec: &'a EnvoyFilter,
    /// Index of the patch.
    pub index: usize,
    /// The patch.
    pub patch: &'a EnvoyConfigObjectPatch,
}

impl<'a> PatchAt<'a> {
    /// The path of a field of the patch.
    pub fn path(&self, field: &str) -> FieldPath {
        FieldPath::from(format!("spec.configPatches[{}].{field}", self.index).as_str())
    }

    /// What is done.
    pub fn operation(&self) -> Option<EnvoyPatchOperation> {
        self.patch.patch.as_ref()?.operation
    }

    /// Whether the place of what is done depends on other filters, in an order that no priority settles.
    pub fn is_relative_without_priority(&self) -> bool {
        use EnvoyPatchOperation as Op;
        let relative =
            matches!(self.operation(), Some(Op::InsertBefore | Op::InsertAfter | Op::Remove | Op::Replace));
        relative
            && self.spec.priority.unwrap_or(0) == 0
            && !self.is_ignored_on_routes()
            && !self.is_misplaced_replace()
    }

    /// Whether it adds or removes route configurations, which is ignored. (Istio's analyzer says so of routes too, which it adds
    /// and removes all the same.)
    pub fn is_ignored_on_routes(&self) -> bool {
        use EnvoyPatchOperation as Op;
        self.patch.apply_to == Some(EnvoyApplyTo::RouteConfiguration)
            && matches!(self.operation(), Some(Op::Add | Op::Remove))
    }

    /// Whether it replaces something that is neither a filter nor a virtual host.
    pub fn is_misplaced_replace(&self) -> bool {
        use EnvoyApplyTo as To;
        let fits = matches!(
            self.patch.apply_to,
            Some(To::HttpFilter | To::NetworkFilter | To::ListenerFilter | To::VirtualHost)
        );
        self.operation() == Some(EnvoyPatchOperation::Replace) && !fits
    }

    /// The version that proxies must have; empty for any.
    pub fn proxy_version(&self) -> &'a str {
        let proxy = self.patch.matches.as_ref().and_then(|m| m.proxy.as_ref());
        proxy.map_or("", |p| p.proxy_version.as_str())
    }

    /// The condition on listeners, if there is one.
    pub fn listener(&self) -> Option<&'a EnvoyListenerMatch> {
        match self.patch.matches.as_ref()?.object_types.as_ref()? {
            EnvoyObjectTypes::Listener(listener) => Some(listener),
            _ => None,
        }
    }
}

/// Every patch of every EnvoyFilter.
pub fn patches<'a>(whole: &Whole<'a>) -> impl Iterator<Item = PatchAt<'a>> {
    whole.all::<EnvoyFilter>().flat_map(|(object, spec)| {
        let all = spec.config_patches.iter().enumerate();
        all.map(move |(index, patch)| PatchAt { object, spec, index, patch })
    })
}

/// The names of filters that patches can meet: those that proxies get, and those that patches add.
pub fn known_filters<'a>(whole: &Whole<'a>) -> BTreeSet<&'a str> {
    let added = patches(whole).filter_map(|p| p.patch.patch.as_ref()?.value.as_ref()?.get("name")?.as_str());
    FILTERS.into_iter().chain(added).collect()
}
