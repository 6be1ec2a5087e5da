//! Destination policy on a cluster: balancing, limits, ejection.

use tulle_mesh::destination::{
    Algorithm, ConnectionPool, Effective, HashTable, Keepalive, LoadBalancer, Outlier, RetryBudget, Warmup,
};
use tulle_proto::envoy::cluster::{
    OutlierDetection, UpstreamConnectionOptions, circuit_breakers::thresholds, cluster as kinds,
    cluster::ClusterDiscoveryType, cluster::LbConfig,
};
use tulle_proto::envoy::common_matcher::{HttpHeadersMatch, MatchPredicate, match_predicate::Rule};
use tulle_proto::envoy::core::{
    HttpProtocolOptions as CommonHttp, KeepaliveSettings, RuntimeDouble, TcpKeepalive,
};
use tulle_proto::envoy::kind::Percent;
use tulle_proto::envoy::matcher::{StringMatcher, string_matcher::MatchPattern};
use tulle_proto::envoy::route::{HeaderMatcher, header_matcher::HeaderMatchSpecifier};
use tulle_proto::envoy::upstream_http::http_protocol_options::{
    self as http_options, UpstreamProtocolOptions, explicit_http_config::ProtocolConfig,
};

use super::Draft;
use crate::pb::{duration, regex, u32v, u64v};

/// Applies limits, ejection and balancing. TLS is the caller's.
pub(super) fn apply(draft: &mut Draft, policy: &Effective<'_>) {
    if let Some(pool) = policy.connection_pool {
        limit(draft, pool);
    }
    if let Some(outlier) = policy.outlier {
        ejection(draft, outlier);
    }
    if let Some(budget) = policy.retry_budget {
        retry_budget(draft, budget);
    }
    balancing(draft, policy.load_balancer);
}

/// Applies limits.
pub(super) fn limit(draft: &mut Draft, pool: &ConnectionPool) {
    limits(draft, pool);
    http_settings(draft, pool);
}

fn limits(draft: &mut Draft, pool: &ConnectionPool) {
    let cluster = &mut draft.cluster;
    if let Some(timeout) = pool.connect_timeout {
        cluster.connect_timeout = Some(duration(timeout));
    }
    if let Some(keepalive) = pool.tcp_keepalive {
        cluster.upstream_connection_options = Some(connection_options(keepalive));
    }
    let Some(thresholds) = cluster.circuit_breakers.as_mut().and_then(|c| c.thresholds.first_mut()) else {
        return;
    };
    if let Some(n) = pool.max_connections {
        thresholds.max_connections = u32v(n);
    }
    if let Some(n) = pool.http1_max_pending {
        thresholds.max_pending_requests = u32v(n);
    }
    if let Some(n) = pool.http2_max_requests {
        thresholds.max_requests = u32v(n);
    }
    if let Some(n) = pool.max_retries {
        thresholds.max_retries = u32v(n);
    }
}

fn retry_budget(draft: &mut Draft, b: RetryBudget) {
    let Some(thresholds) = draft.cluster.circuit_breakers.as_mut().and_then(|c| c.thresholds.first_mut())
    else {
        return;
    };
    thresholds.retry_budget = Some(thresholds::RetryBudget {
        budget_percent: Some(Percent { value: b.percent }),
        budget_interval: (!b.interval.is_zero()).then(|| duration(b.interval)),
        min_retry_concurrency: u32v(b.min_concurrency),
    });
}

/// Options of connections that are kept alive.
pub(super) fn connection_options(keepalive: Keepalive) -> UpstreamConnectionOptions {
    UpstreamConnectionOptions {
        tcp_keepalive: Some(tcp_keepalive(keepalive)),
        ..UpstreamConnectionOptions::default()
    }
}

fn tcp_keepalive(k: Keepalive) -> TcpKeepalive {
    let seconds = |d: std::time::Duration| u32v(u32::try_from(d.as_secs()).unwrap_or(u32::MAX));
    TcpKeepalive {
        keepalive_probes: k.probes.and_then(u32v),
        keepalive_time: k.time.and_then(seconds),
        keepalive_interval: k.interval.and_then(seconds),
    }
}

fn http_settings(draft: &mut Draft, pool: &ConnectionPool) {
    if pool.use_client_protocol {
        draft.downstream_protocol();
    } else if pool.h2_upgrade == Some(true) {
        draft.http2();
    }
    let idle = pool.http_idle_timeout.or(pool.tcp_idle_timeout);
    if idle.is_some() || pool.max_requests_per_connection.is_some() || pool.max_connection_duration.is_some()
    {
        let common = draft.http().common_http_protocol_options.get_or_insert_with(CommonHttp::default);
        common.idle_timeout = idle.map(duration);
        common.max_requests_per_connection = pool.max_requests_per_connection.and_then(u32v);
        common.max_connection_duration = pool.max_connection_duration.map(duration);
    }
    let options = draft.http.as_mut().and_then(|h| h.upstream_protocol_options.as_mut());
    if let Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)) = options
        && let Some(ProtocolConfig::Http2ProtocolOptions(h2)) = explicit.protocol_config.as_mut()
    {
        h2.max_concurrent_streams = pool.max_concurrent_streams.and_then(u32v);
        h2.connection_keepalive = pool.http2_keepalive.map(|(interval, timeout)| KeepaliveSettings {
            interval: interval.map(duration),
            timeout: timeout.map(duration),
            ..KeepaliveSettings::default()
        });
    }
}

fn ejection(draft: &mut Draft, o: &Outlier) {
    // Envoy counts success rates by default, which Istio turns off.
    let mut out = OutlierDetection { enforcing_success_rate: u32v(0), ..OutlierDetection::default() };
    let enforced = |n: u32| u32v(if n > 0 { 100 } else { 0 });
    if let Some(n) = o.consecutive_5xx {
        out.consecutive_5xx = u32v(n);
        out.enforcing_consecutive_5xx = enforced(n);
    }
    if let Some(n) = o.consecutive_gateway {
        out.consecutive_gateway_failure = u32v(n);
        out.enforcing_consecutive_gateway_failure = enforced(n);
    }
    if o.split_external_local {
        out.split_external_local_origin_errors = true;
        if let Some(n) = o.consecutive_local {
            out.consecutive_local_origin_failure = u32v(n);
            out.enforcing_consecutive_local_origin_failure = enforced(n);
        }
        out.enforcing_local_origin_success_rate = u32v(0);
    }
    out.interval = o.interval.map(duration);
    out.base_ejection_time = o.base_ejection.map(duration);
    out.max_ejection_percent = o.max_ejection_percent.and_then(u32v);
    draft.cluster.outlier_detection = Some(out);
    if !o.error_codes.is_empty() {
        let errors = http_options::OutlierDetection { error_matcher: Some(status_is_one_of(&o.error_codes)) };
        draft.http().outlier_detection = Some(errors);
    }
    // With ejection the panic threshold is `minHealthPercent`, whose default of 0 turns panic off (traps 2).
    let common = draft.cluster.common_lb_config.get_or_insert_default();
    common.healthy_panic_threshold = Some(Percent { value: f64::from(o.min_health_percent.min(100)) });
}

/// Holds for answers with one of these status codes.
fn status_is_one_of(codes: &[u16]) -> MatchPredicate {
    let pattern = StringMatcher {
        match_pattern: Some(MatchPattern::SafeRegex(regex(
            codes.iter().map(u16::to_string).collect::<Vec<_>>().join("|"),
        ))),
        ..StringMatcher::default()
    };
    let header = HeaderMatcher {
        name: ":status".into(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(pattern)),
        ..HeaderMatcher::default()
    };
    MatchPredicate { rule: Some(Rule::HttpResponseHeadersMatch(HttpHeadersMatch { headers: vec![header] })) }
}

/// Localities of one priority share by their weights.
pub(super) fn weigh_localities(draft: &mut Draft) {
    use kinds::common_lb_config::{LocalityConfigSpecifier, LocalityWeightedLbConfig};
    let common = draft.cluster.common_lb_config.get_or_insert_default();
    let weighted = LocalityConfigSpecifier::LocalityWeightedLbConfig(LocalityWeightedLbConfig {});
    common.locality_config_specifier = Some(weighted);
}

fn balancing(draft: &mut Draft, lb: Option<&LoadBalancer>) {
    if draft.is_original_dst() {
        return;
    }
    let cluster = &mut draft.cluster;
    let warmup = lb.and_then(|l| l.warmup).map(slow_start);
    match lb.and_then(|l| l.algorithm.as_ref()) {
        None | Some(Algorithm::LeastRequest) => {
            cluster.lb_policy = kinds::LbPolicy::LeastRequest as i32;
            cluster.lb_config = warmup.map(|slow_start_config| {
                LbConfig::LeastRequestLbConfig(kinds::LeastRequestLbConfig {
                    slow_start_config: Some(slow_start_config),
                    ..Default::default()
                })
            });
        }
        Some(Algorithm::RoundRobin) => {
            cluster.lb_policy = kinds::LbPolicy::RoundRobin as i32;
            cluster.lb_config = warmup.map(|slow_start_config| {
                LbConfig::RoundRobinLbConfig(kinds::RoundRobinLbConfig {
                    slow_start_config: Some(slow_start_config),
                })
            });
        }
        Some(Algorithm::Random) => cluster.lb_policy = kinds::LbPolicy::Random as i32,
        Some(Algorithm::Passthrough) => {
            cluster.cluster_discovery_type =
                Some(ClusterDiscoveryType::Type(kinds::DiscoveryType::OriginalDst as i32));
            cluster.eds_cluster_config = None;
            cluster.load_assignment = None;
        }
        Some(Algorithm::Consistent(hash)) => match hash.table {
            HashTable::Ring(size) => {
                cluster.lb_policy = kinds::LbPolicy::RingHash as i32;
                cluster.lb_config = Some(LbConfig::RingHashLbConfig(kinds::RingHashLbConfig {
                    minimum_ring_size: u64v(size.unwrap_or(1024)),
                    ..Default::default()
                }));
            }
            HashTable::Maglev(size) => {
                cluster.lb_policy = kinds::LbPolicy::Maglev as i32;
                cluster.lb_config =
                    size.map(|s| LbConfig::MaglevLbConfig(kinds::MaglevLbConfig { table_size: u64v(s) }));
            }
        },
    }
}

fn slow_start(w: Warmup) -> kinds::SlowStartConfig {
    kinds::SlowStartConfig {
        slow_start_window: Some(duration(w.duration)),
        aggression: w
            .aggression
            .map(|a| RuntimeDouble { default_value: a, runtime_key: "slow_start_aggression".into() }),
        min_weight_percent: w.min_percent.map(|value| Percent { value }),
    }
}

/// Server name and subject names are derived from the request's authority where the rule names none.
pub(super) fn derive_names(draft: &mut Draft, sni: bool, names: bool) {
    if sni || names {
        let upstream = draft.http().upstream_http_protocol_options.get_or_insert_default();
        upstream.auto_sni = sni;
        upstream.auto_san_validation = names;
    }
}
