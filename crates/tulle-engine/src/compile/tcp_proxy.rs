//! The TCP proxy filter.

use std::time::Duration;

use tulle_proto::envoy::{kind, tcp_proxy as pb};

use super::access_log;
use super::context::{At, Context, UNSUPPORTED};
use super::value::{number, text};
use crate::runtime::listener::{TcpClusters, TcpProxy, TcpTunnel};

pub(super) fn tcp_proxy(cx: &mut Context<'_>, at: &At<'_>, message: &pb::TcpProxy) -> Option<TcpProxy> {
    let pb::TcpProxy {
        stat_prefix,
        on_demand,
        metadata_match,
        idle_timeout,
        downstream_idle_timeout,
        upstream_idle_timeout,
        access_log,
        max_connect_attempts,
        backoff_options,
        hash_policy,
        tunneling_config,
        max_downstream_connection_duration,
        max_downstream_connection_duration_jitter_percentage,
        access_log_flush_interval,
        flush_access_log_on_connected,
        access_log_options,
        proxy_protocol_tlvs,
        proxy_protocol_tlv_merge_policy,
        upstream_connect_mode,
        max_early_data_bytes,
        check_drain_close,
        cluster_specifier,
    } = message;
    refuse!(cx, at,
        on_demand: UNSUPPORTED,
        metadata_match: "subsets of endpoints are not supported",
        proxy_protocol_tlvs: UNSUPPORTED,
        upstream_connect_mode: "only IMMEDIATE is supported",
    );
    no_effect!(cx, at,
        downstream_idle_timeout: "the connection's idle_timeout holds for both sides",
        upstream_idle_timeout: "the connection's idle_timeout holds for both sides",
        backoff_options: "connecting is tried again at once",
        max_downstream_connection_duration_jitter_percentage: "connections end exactly at their limit",
        proxy_protocol_tlv_merge_policy: "proxy protocol is not spoken",
        max_early_data_bytes: "the connection's buffer limit holds",
        check_drain_close: "connections drain with their listener",
    );
    if stat_prefix.is_empty() {
        cx.refuse(&at.field("stat_prefix"), "must not be empty");
    }
    let hash_at = at.field("hash_policy");
    let mut hash_source_ip = false;
    for (i, kind::HashPolicy { policy_specifier }) in hash_policy.iter().enumerate() {
        use kind::hash_policy::{PolicySpecifier, SourceIp};
        match policy_specifier {
            Some(PolicySpecifier::SourceIp(SourceIp {})) => hash_source_ip = true,
            _ => cx.refuse(&hash_at.index(i), "only source_ip is supported"),
        }
    }
    let (mut interval, mut on_connect) = (
        cx.limit(&at.field("access_log_flush_interval"), access_log_flush_interval.as_ref(), None),
        *flush_access_log_on_connected,
    );
    if let Some(pb::tcp_proxy::TcpAccessLogOptions {
        access_log_flush_interval,
        flush_access_log_on_connected,
        flush_access_log_on_start,
    }) = access_log_options
    {
        let at = at.field("access_log_options");
        refuse!(cx, at, flush_access_log_on_start: UNSUPPORTED);
        interval = cx.limit(&at.field("access_log_flush_interval"), access_log_flush_interval.as_ref(), None);
        on_connect = *flush_access_log_on_connected;
    }
    let tunnel = match tunneling_config {
        Some(message) => Some(tunnel(cx, &at.field("tunneling_config"), message)?),
        None => None,
    };
    let clusters = clusters(cx, at, cluster_specifier.as_ref());
    let attempts = number(max_connect_attempts.as_ref(), 1);
    cx.between(&at.field("max_connect_attempts"), attempts, 1, u32::MAX);
    let max_duration_at = at.field("max_downstream_connection_duration");
    Some(TcpProxy {
        stat_prefix: text(stat_prefix),
        clusters: clusters?,
        tunnel,
        idle_timeout: cx.limit(
            &at.field("idle_timeout"),
            idle_timeout.as_ref(),
            Some(Duration::from_secs(3600)),
        ),
        max_duration: cx.limit(&max_duration_at, max_downstream_connection_duration.as_ref(), None),
        max_connect_attempts: attempts.max(1),
        access_logs: access_log::access_logs(cx, &at.field("access_log"), access_log),
        log_interval: interval,
        log_on_connect: on_connect,
        hash_source_ip,
    })
}

fn tunnel(cx: &mut Context<'_>, at: &At<'_>, message: &pb::tcp_proxy::TunnelingConfig) -> Option<TcpTunnel> {
    let pb::tcp_proxy::TunnelingConfig {
        hostname,
        use_post,
        headers_to_add,
        propagate_response_headers,
        post_path,
        propagate_response_trailers,
        request_id_extension,
        request_id_header,
        request_id_metadata_key,
        formatters,
    } = message;
    refuse!(cx, at, headers_to_add: UNSUPPORTED, request_id_extension: UNSUPPORTED);
    no_effect!(cx, at,
        propagate_response_headers: "nothing reads them",
        propagate_response_trailers: "nothing reads them",
        request_id_header: "there is no request id",
        request_id_metadata_key: "there is no request id",
        formatters: "there are no commands to format",
    );
    let at = at.field("hostname");
    if hostname.is_empty() || hostname.contains('%') || !hostname.bytes().all(|b| b.is_ascii_graphic()) {
        cx.refuse(&at, "must be HOST:PORT, without commands");
        return None;
    }
    if !*use_post && !post_path.is_empty() {
        cx.refuse(&at, "post_path needs use_post");
    }
    let path = if post_path.is_empty() { "/" } else { post_path };
    Some(TcpTunnel { hostname: text(hostname), post_path: use_post.then(|| text(path)) })
}

fn clusters(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pb::tcp_proxy::ClusterSpecifier>,
) -> Option<TcpClusters> {
    use pb::tcp_proxy::{ClusterSpecifier, WeightedCluster, weighted_cluster::ClusterWeight};
    match message {
        Some(ClusterSpecifier::Cluster(name)) => {
            if name.is_empty() {
                cx.refuse(&at.field("cluster"), "must not be empty");
            }
            Some(TcpClusters::Single(text(name)))
        }
        Some(ClusterSpecifier::WeightedClusters(WeightedCluster { clusters: list })) => {
            let outer = at.field("weighted_clusters");
            let at = outer.field("clusters");
            let mut clusters = Vec::with_capacity(list.len());
            for (i, ClusterWeight { name, weight, metadata_match }) in list.iter().enumerate() {
                let at = at.index(i);
                refuse!(cx, at, metadata_match: "subsets of endpoints are not supported");
                clusters.push((text(name), *weight));
            }
            let total = clusters.iter().map(|(_, weight)| u64::from(*weight)).sum();
            if total == 0 {
                cx.refuse(&at, "the sum of the weights must be above zero");
                return None;
            }
            Some(TcpClusters::Weighted { clusters, total })
        }
        None => {
            cx.refuse(at, "needs cluster or weighted_clusters");
            None
        }
    }
}
