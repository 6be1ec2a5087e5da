//! What patches add as a whole.

use tulle_mesh::envoy_filter::{ApplyTo, Operation, PatchContext};
use tulle_proto::Any;
use tulle_proto::envoy::cluster::Cluster;
use tulle_proto::envoy::core::{Metadata, TypedExtensionConfig};
use tulle_proto::envoy::google::Struct;
use tulle_proto::envoy::listener::Listener;

use super::{Of, Patches};
use crate::pb::provenance_fields;
use crate::sources::Sources;

/// The listeners that patches for `place` add, but those whose name is `taken`.
pub(crate) fn listeners(
    patches: &Patches,
    place: PatchContext,
    taken: impl Fn(&str) -> bool,
) -> Vec<(Listener, Sources)> {
    let all = of_kind(patches, ApplyTo::Listener, place, |of, sources| {
        let mut listener: Listener = of.message()?;
        note(&mut listener.metadata, of);
        of.did(sources);
        Some(listener)
    });
    all.into_iter().filter(|(listener, _)| !taken(&listener.name)).collect()
}

/// The clusters that patches for `place` add, but those whose name is `taken`.
pub(crate) fn clusters(
    patches: &Patches,
    place: PatchContext,
    taken: impl Fn(&str) -> bool,
) -> Vec<(Cluster, Sources)> {
    let all = of_kind(patches, ApplyTo::Cluster, place, |of, sources| {
        let mut cluster: Cluster = of.message()?;
        note(&mut cluster.metadata, of);
        of.did(sources);
        Some(cluster)
    });
    all.into_iter().filter(|(cluster, _)| !taken(&cluster.name)).collect()
}

fn of_kind<M>(
    patches: &Patches,
    kind: ApplyTo,
    place: PatchContext,
    make: impl Fn(Of<'_>, &mut Sources) -> Option<M>,
) -> Vec<(M, Sources)> {
    let added = patches.to(kind, place).filter(|of| matches!(of.patch.operation, Operation::Add(_)));
    // Without a context, what is new goes to the outbound side and to gateways.
    let added =
        added.filter(|of| of.patch.context != PatchContext::Any || place != PatchContext::SidecarInbound);
    added
        .filter_map(|of| {
            let mut sources = Sources::default();
            Some((make(of, &mut sources)?, sources))
        })
        .collect()
}

/// Name and configuration of an extension that a patch adds.
pub(super) fn extension(of: Of<'_>) -> Option<(String, Any)> {
    let TypedExtensionConfig { name, typed_config } = of.message()?;
    Some((name, typed_config?))
}

/// What is new remembers its patch, unless it says itself who made it.
pub(super) fn note(metadata: &mut Option<Metadata>, of: Of<'_>) {
    let made_by = of.filter.meta.provenance(format!("configPatches[{}]", of.patch.index));
    let fields = provenance_fields(&made_by);
    let all = &mut metadata.get_or_insert_default().filter_metadata;
    all.entry("istio".to_owned()).or_insert(Struct { fields });
}
