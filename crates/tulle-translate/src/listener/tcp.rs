//! TCP proxies.

use tulle_mesh::config::MeshConfig;
use tulle_mesh::routing::WeightedDestination;
use tulle_proto::envoy::listener::Filter;
use tulle_proto::envoy::tcp_proxy::{
    TcpProxy, tcp_proxy::ClusterSpecifier, tcp_proxy::WeightedCluster,
    tcp_proxy::weighted_cluster::ClusterWeight,
};

use crate::access_log;
use crate::filters::network;
use crate::route::cluster_of;
use crate::view::View;

/// A TCP proxy to one cluster.
pub(super) fn to_cluster(mesh: &MeshConfig, cluster: &str) -> Filter {
    proxy(mesh, cluster, ClusterSpecifier::Cluster(cluster.to_owned()))
}

/// A TCP proxy to destinations by weight; connections arrive on `port`.
pub(super) fn to_destinations(
    mesh: &MeshConfig,
    view: &View,
    destinations: &[WeightedDestination],
    port: u16,
) -> Option<Filter> {
    let named = |d: &WeightedDestination| cluster_of(view, &d.destination, port);
    match destinations {
        [] => None,
        [single] => Some(to_cluster(mesh, &named(single))),
        several => {
            let no_preference = several.iter().all(|d| d.weight == 0);
            let clusters: Vec<ClusterWeight> = several
                .iter()
                .filter(|d| d.weight > 0 || no_preference)
                .map(|d| ClusterWeight {
                    name: named(d),
                    weight: d.weight.max(1),
                    ..ClusterWeight::default()
                })
                .collect();
            let prefix = clusters.first()?.name.clone();
            Some(proxy(mesh, &prefix, ClusterSpecifier::WeightedClusters(WeightedCluster { clusters })))
        }
    }
}

fn proxy(mesh: &MeshConfig, stat_prefix: &str, to: ClusterSpecifier) -> Filter {
    let proxy = TcpProxy {
        stat_prefix: stat_prefix.to_owned(),
        cluster_specifier: Some(to),
        access_log: access_log::of_requests(mesh),
        ..TcpProxy::default()
    };
    network("envoy.filters.network.tcp_proxy", &proxy)
}
