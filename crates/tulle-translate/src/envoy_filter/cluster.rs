//! Patches of clusters.

use tulle_base::Host;
use tulle_mesh::envoy_filter::{ApplyTo, ClusterMatch, ObjectMatch, Operation, Patch, PatchContext};
use tulle_proto::envoy::cluster::Cluster;
use tulle_proto::envoy::core::{TransportSocket, transport_socket::ConfigType};

use super::{Of, Patches, merge};
use crate::names::{ClusterName, Direction};
use crate::sources::Sources;

/// A cluster as the patches for `place` leave it; `None` when one removes it. `hosts` are those of the services behind an
/// inbound cluster.
pub(crate) fn patch(
    patches: &Patches,
    place: PatchContext,
    mut cluster: Cluster,
    hosts: &[&Host],
    sources: &mut Sources,
) -> Option<Cluster> {
    for of in patches.to(ApplyTo::Cluster, place) {
        if !matches(&cluster, of.patch, hosts) {
            continue;
        }
        let done = match of.patch.operation {
            Operation::Remove => {
                of.did(sources);
                return None;
            }
            Operation::Merge { replace_lists } => merge_cluster(&mut cluster, of, replace_lists),
            _ => false,
        };
        if done {
            of.did(sources);
        }
    }
    Some(cluster)
}

fn matches(cluster: &Cluster, patch: &Patch, hosts: &[&Host]) -> bool {
    let ObjectMatch::Cluster(ClusterMatch { port, service, subset, name }) = &patch.object else {
        return true;
    };
    if !name.is_empty() {
        return *name == cluster.name;
    }
    let parsed = ClusterName::parse(&cluster.name);
    let inbound = parsed.as_ref().is_some_and(|p| p.direction == Direction::Inbound);
    let of_host = match &parsed {
        _ if inbound => hosts.iter().any(|h| h.as_str() == service),
        Some(parsed) => parsed.host == *service,
        None => false,
    };
    (service.is_empty() || of_host)
        && (subset.is_empty() || parsed.as_ref().is_some_and(|p| p.subset == *subset))
        && port.is_none_or(|port| parsed.as_ref().is_some_and(|p| u32::from(p.port) == port))
}

fn merge_cluster(cluster: &mut Cluster, of: Of<'_>, replace_lists: bool) -> bool {
    let (Some(value), Some(written)) = (of.value(), of.message::<Cluster>()) else { return false };
    let Some(theirs) = written.transport_socket else {
        return merge::into(cluster, &value.message, replace_lists);
    };
    // With a transport socket in it, a patch is about that alone.
    let own = if cluster.transport_socket_matches.is_empty() {
        cluster.transport_socket.as_mut()
    } else {
        let mut all = cluster.transport_socket_matches.iter_mut().filter_map(|m| m.transport_socket.as_mut());
        match all.find(|s| s.name == theirs.name) {
            Some(own) => Some(own),
            // Both a socket and matches for sockets would be no cluster.
            None => return false,
        }
    };
    match own.filter(|own| own.name == theirs.name) {
        Some(TransportSocket { config_type: Some(ConfigType::TypedConfig(config)), .. }) => {
            merge::into_any(config, value, replace_lists)
        }
        Some(_) => false,
        None => {
            cluster.transport_socket = Some(theirs);
            true
        }
    }
}
