//! Outbound listeners of sidecars: what the workload sends.

mod bindings;
mod chains;

use tulle_mesh::Snapshot;
use tulle_mesh::config::OutboundPolicy;
use tulle_proto::envoy::core::TrafficDirection;
use tulle_proto::envoy::listener::{Filter, FilterChain, FilterChainMatch, Listener};

use super::tcp::{self, Carried};
use super::{INBOUND_PORT, Made, OUTBOUND_PORT, direction};
use crate::envoy_filter::outbound;
use crate::filters;
use crate::names::BLACK_HOLE;
use crate::pb::{address, boolv, u32v};
use crate::resource::Resource;
use crate::sources::Sources;
use crate::view::View;

/// Ports of the proxy itself: a service on them cannot be listened for.
const INBOUND_AND_OUTBOUND: [u16; 2] = [INBOUND_PORT, OUTBOUND_PORT];

/// Every outbound listener of a view.
pub(crate) fn listeners(snapshot: &Snapshot, view: &View) -> Vec<Resource> {
    let mut own = Sources::default();
    // Its scope decides what else there is.
    view.sidecar().into_iter().for_each(|s| own.add(&s.meta));
    let mut out = Made::new(&view.patches, outbound(view.kind));
    out.add(virtual_outbound(view), own);
    for binding in bindings::all(snapshot, view) {
        let listener = binding.listener(snapshot, view);
        let sources = Sources::of_listener(&listener);
        out.add(listener, sources);
    }
    out.finish()
}

/// The listener to which all outbound traffic is redirected. It hands connections over to the listener of their
/// original destination; what no listener takes is unknown.
fn virtual_outbound(view: &View) -> Listener {
    // A connection to the port itself would come back for ever.
    let black_hole = FilterChain {
        name: "virtualOutbound-blackhole".into(),
        filter_chain_match: Some(FilterChainMatch {
            destination_port: u32v(u32::from(OUTBOUND_PORT)),
            ..FilterChainMatch::default()
        }),
        filters: with_stats(view, tcp::to_cluster(&view.traced.logs, BLACK_HOLE, Carried::default())),
        ..FilterChain::default()
    };
    Listener {
        name: "virtualOutbound".into(),
        address: Some(address(view.families.wildcard(), OUTBOUND_PORT)),
        additional_addresses: view.families.more_addresses(OUTBOUND_PORT),
        use_original_dst: boolv(true),
        filter_chains: vec![black_hole, catch_all(view, "virtualOutbound-catchall-tcp")],
        per_connection_buffer_limit_bytes: view.proxy.connections.downstream_buffer.and_then(u32v),
        traffic_direction: direction(TrafficDirection::Outbound),
        access_log: view.traced.logs.listener.clone(),
        ..Listener::default()
    }
}

/// Where connections to unknown destinations go.
fn catch_all(view: &View, name: &str) -> FilterChain {
    let cluster = match view.outbound {
        OutboundPolicy::AllowAny => view.unknown_to.as_str(),
        OutboundPolicy::RegistryOnly => BLACK_HOLE,
    };
    FilterChain {
        name: name.to_owned(),
        filters: with_stats(view, tcp::to_cluster(&view.traced.logs, cluster, Carried::default())),
        ..FilterChain::default()
    }
}

/// The metrics filter, unless the proxy has none, and the terminal filter.
pub(super) fn with_stats(view: &View, terminal: Filter) -> Vec<Filter> {
    view.metrics.iter().map(filters::stats_tcp).chain([terminal]).collect()
}
