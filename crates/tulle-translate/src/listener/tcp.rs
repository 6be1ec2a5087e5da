//! TCP proxies.

use std::time::Duration;

use tulle_mesh::Snapshot;
use tulle_mesh::destination::Tunnel;
use tulle_mesh::routing::WeightedDestination;
use tulle_proto::envoy::listener::Filter;
use tulle_proto::envoy::tcp_proxy::{
    TcpProxy, tcp_proxy::ClusterSpecifier, tcp_proxy::TunnelingConfig, tcp_proxy::WeightedCluster,
    tcp_proxy::weighted_cluster::ClusterWeight,
};

use crate::access_log::Logs;
use crate::filters::network;
use crate::pb::duration;
use crate::route::{cluster_of, with_policy};
use crate::view::View;

/// How connections are carried to a cluster.
#[derive(Default)]
pub(super) struct Carried {
    /// How long nothing may move; `None` is an hour.
    pub(super) idle: Option<Duration>,
    /// Inside of HTTP, by way of the cluster.
    pub(super) tunnel: Option<Tunnel>,
}

impl Carried {
    /// As the destination policy for `cluster` says.
    pub(super) fn of(snapshot: &Snapshot, view: &View, cluster: &str) -> Self {
        let carried = with_policy(snapshot, view, cluster, |policy| Self {
            idle: policy.connection_pool.and_then(|p| p.tcp_idle_timeout),
            tunnel: policy.tunnel.cloned(),
        });
        carried.unwrap_or_default()
    }
}

/// A TCP proxy to one cluster.
pub(super) fn to_cluster(logs: &Logs, cluster: &str, carried: Carried) -> Filter {
    proxy(logs, cluster, ClusterSpecifier::Cluster(cluster.to_owned()), carried)
}

/// A TCP proxy to destinations by weight; connections arrive on `port`. Tunnels are for single destinations, as in Istio.
pub(super) fn to_destinations(
    snapshot: &Snapshot,
    view: &View,
    destinations: &[WeightedDestination],
    port: u16,
) -> Option<Filter> {
    let logs = &view.traced.logs;
    let named = |d: &WeightedDestination| cluster_of(view, &d.destination, port);
    match destinations {
        [] => None,
        [single] => {
            let cluster = named(single);
            let carried = Carried::of(snapshot, view, &cluster);
            Some(to_cluster(logs, &cluster, carried))
        }
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
            let carried = Carried { tunnel: None, ..Carried::of(snapshot, view, &prefix) };
            let to = ClusterSpecifier::WeightedClusters(WeightedCluster { clusters });
            Some(proxy(logs, &prefix, to, carried))
        }
    }
}

fn proxy(logs: &Logs, stat_prefix: &str, to: ClusterSpecifier, carried: Carried) -> Filter {
    let Carried { idle, tunnel } = carried;
    let proxy = TcpProxy {
        stat_prefix: stat_prefix.to_owned(),
        cluster_specifier: Some(to),
        access_log: logs.tcp.clone(),
        idle_timeout: idle.map(duration),
        tunneling_config: tunnel.map(|Tunnel { post, target }| TunnelingConfig {
            hostname: target,
            use_post: post,
            ..TunnelingConfig::default()
        }),
        ..TcpProxy::default()
    };
    network("envoy.filters.network.tcp_proxy", &proxy)
}
