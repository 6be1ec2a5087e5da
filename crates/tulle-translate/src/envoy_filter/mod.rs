//! EnvoyFilters: patches of what this crate made, in Istio's order and with Istio's meaning.
//!
//! A resource is made as if there were no patches; then the patches for its place in the mesh are applied to the message.
//! What each patch did is noted in the resource's [`Sources`].

mod added;
mod chain;
mod cluster;
mod list;
mod listener;
mod merge;
mod routes;

use std::sync::Arc;

use tulle_mesh::Snapshot;
use tulle_mesh::envoy_filter::{ApplyTo, EnvoyFilter, Patch, PatchContext, PatchValue};

use crate::proxy::{Kind, Proxy};
use crate::resource::fnv1a;
use crate::sources::Sources;

pub(crate) use added::{clusters as added_clusters, listeners as added_listeners};
pub(crate) use cluster::patch as cluster;
pub(crate) use listener::patch as listener;
pub(crate) use routes::{Ports, patch as routes};

/// The patches for one proxy, in the order in which they are applied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patches(Vec<(Arc<EnvoyFilter>, usize)>);

/// One patch, with the filter that it is of.
#[derive(Clone, Copy)]
struct Of<'a> {
    filter: &'a EnvoyFilter,
    patch: &'a Patch,
}

impl Patches {
    /// The patches for `proxy`.
    pub(crate) fn of(snapshot: &Snapshot, proxy: &Proxy) -> Self {
        let mut out = Vec::new();
        for filter in snapshot.envoy_filters_in(proxy.namespace()) {
            if filter.selects(proxy.namespace(), &proxy.labels) {
                let wanted = |p: &(usize, &Patch)| p.1.proxy.matches(&proxy.metadata);
                let all = filter.patches.iter().enumerate().filter(wanted);
                out.extend(all.map(|(i, _)| (Arc::clone(filter), i)));
            }
        }
        Self(out)
    }

    fn to(&self, apply_to: ApplyTo, place: PatchContext) -> impl Iterator<Item = Of<'_>> {
        self.all().filter(move |of| of.patch.apply_to == apply_to && of.patch.context.covers(place))
    }

    fn all(&self) -> impl Iterator<Item = Of<'_>> {
        self.0.iter().map(|(filter, i)| Of { filter, patch: &filter.patches[*i] })
    }

    /// Whether any patch of these kinds is for `place`.
    fn any(&self, kinds: &[ApplyTo], place: PatchContext) -> bool {
        self.all().any(|of| kinds.contains(&of.patch.apply_to) && of.patch.context.covers(place))
    }
}

impl<'a> Of<'a> {
    fn value(&self) -> Option<&'a PatchValue> {
        self.patch.value.as_deref()
    }

    /// The value as the message that it is.
    fn message<M: tulle_proto::Message>(&self) -> Option<M> {
        M::from_wire(self.value()?.message.bytes()).ok()
    }

    /// Merges the value into `target`; whether that could be done.
    fn merge_into<M: tulle_proto::Message>(&self, target: &mut M, replace_lists: bool) -> bool {
        self.value().is_some_and(|value| merge::into(target, &value.message, replace_lists))
    }

    /// Notes that the patch did something.
    fn did(&self, sources: &mut Sources) {
        sources.add_patch(&self.filter.meta, self.patch.index);
    }
}

/// The context of what a view holds.
pub(crate) fn outbound(kind: Kind) -> PatchContext {
    match kind {
        Kind::Sidecar => PatchContext::SidecarOutbound,
        Kind::Router => PatchContext::Gateway,
    }
}

/// What of a view's key says which patches its proxies get: filters that are for some proxies of the namespace, and a hash of
/// whom they are for, so that nobody stays on a view whose filters select others than before.
pub(crate) fn key(snapshot: &Snapshot, proxy: &Proxy) -> String {
    let place = outbound(proxy.kind);
    let (mut selection, mut mine) = (String::new(), String::new());
    for filter in snapshot.envoy_filters_in(proxy.namespace()) {
        let patches: Vec<&Patch> = filter.patches.iter().filter(|p| p.context.covers(place)).collect();
        if patches.is_empty() || !filter.is_selective() {
            continue;
        }
        let name = format!("{}/{}", filter.meta.namespace(), filter.meta.name());
        let proxies: Vec<_> = patches.iter().map(|p| (p.index, &p.proxy)).collect();
        selection.push_str(&format!("{name} {:?} {proxies:?}\n", filter.target));
        if !filter.selects(proxy.namespace(), &proxy.labels) {
            continue;
        }
        let matching = patches.iter().filter(|p| p.proxy.matches(&proxy.metadata));
        let indexes: Vec<String> = matching.map(|p| p.index.to_string()).collect();
        if !indexes.is_empty() {
            mine.push_str(&format!(",{name}[{}]", indexes.join(".")));
        }
    }
    if selection.is_empty() {
        return String::new();
    }
    format!("/patches={:016x}{mine}", fnv1a(selection.as_bytes()))
}
