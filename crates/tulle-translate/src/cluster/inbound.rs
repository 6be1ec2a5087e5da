//! Clusters of the workload's own ports, seen from its sidecar.

use tulle_base::Host;
use tulle_mesh::Snapshot;
use tulle_mesh::config::InboundPolicy;
use tulle_mesh::envoy_filter::PatchContext;
use tulle_mesh::port::Protocol;
use tulle_proto::envoy::cluster::cluster::DiscoveryType;

use super::{Draft, metadata, policy};
use crate::envoy_filter::Patches;
use crate::families::Families;
use crate::listener::inbound::{Port, ports};
use crate::names::{ClusterName, INBOUND_PASSTHROUGH};
use crate::pb::{address, duration, provenance_fields};
use crate::proxy::Proxy;
use crate::resource::{Resource, Resources};
use crate::view::settings_of;

/// Every inbound cluster of a sidecar.
pub(crate) fn all(snapshot: &Snapshot, proxy: &Proxy) -> Vec<Resource> {
    let (patches, place) = (Patches::of(snapshot, proxy), PatchContext::SidecarInbound);
    let settings = settings_of(snapshot, proxy);
    let mut out = Resources::default();
    for port in &ports(snapshot, proxy) {
        let hosts: Vec<&Host> = port.service.iter().map(|s| &s.hostname).collect();
        let draft = of_port(snapshot, proxy.families, port).buffer(&settings);
        out.add(draft.finish(&patches, place, &hosts));
    }
    let mut draft = original_dst(snapshot, proxy.families, INBOUND_PASSTHROUGH.to_owned());
    draft.downstream_protocol();
    draft.http().common_http_protocol_options.get_or_insert_default().idle_timeout =
        Some(duration(std::time::Duration::from_secs(300)));
    out.add(draft.buffer(&settings).finish(&patches, place, &[]));
    super::add_patched(&mut out, &patches, place);
    out.sorted()
}

fn of_port(snapshot: &Snapshot, families: Families, port: &Port) -> Draft {
    let name = ClusterName::inbound(port.target).to_string();
    let mut draft = match &port.endpoint {
        None if snapshot.mesh().inbound == InboundPolicy::Localhost => {
            let mut draft = Draft::new(snapshot, name.clone(), DiscoveryType::Static);
            let local = address(families.loopback(), port.target);
            draft.cluster.load_assignment = Some(crate::endpoint::single(&name, local));
            draft
        }
        None => original_dst(snapshot, families, name),
        Some(at) => {
            let mut draft = Draft::new(snapshot, name.clone(), DiscoveryType::Static);
            draft.cluster.load_assignment = Some(crate::endpoint::single(&name, at.clone()));
            draft
        }
    };
    let pattern = &snapshot.mesh().inbound_stat_name;
    let declared = port.service.as_ref();
    let declared = declared.and_then(|s| Some((s, s.ports.iter().find(|p| p.number == port.number)?)));
    draft.cluster.alt_stat_name =
        declared.map(|(s, p)| super::outbound::stat_name(pattern, s, p, "")).unwrap_or_default();
    match port.protocol {
        p if p.is_http2() => draft.http2(),
        Protocol::Sniff => draft.downstream_protocol(),
        _ => {}
    }
    if let Some(pool) = &port.pool {
        policy::limit(&mut draft, pool);
    }
    port.limited_by.iter().for_each(|sidecar| draft.sources.add_ref(sidecar));
    draft.sources.add_ref(&port.made_by.resource);
    let fields = provenance_fields(&port.made_by);
    draft.cluster.metadata = match &port.service {
        Some(service) => metadata(fields, service),
        None => crate::pb::istio_metadata(fields),
    };
    draft
}

fn original_dst(snapshot: &Snapshot, families: Families, name: String) -> Draft {
    let mut draft = Draft::new(snapshot, name, DiscoveryType::OriginalDst);
    draft.cluster.cleanup_interval = Some(duration(std::time::Duration::from_secs(60)));
    draft.cluster.upstream_bind_config = Some(families.passthrough_bind());
    draft
}
