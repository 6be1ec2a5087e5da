//! Balancers.

use std::time::Duration;

use tulle_proto::envoy::{cluster as pb, core, google, kind, lb_policies};
use tulle_proto::type_url;

use super::context::{At, Context, UNSUPPORTED};
use super::value::{RUNTIME_KEY, number, percent};
use crate::runtime::cluster::{LbCommon, LbPolicy, RingFunction, SlowStart};

const KNOWN: &[&str] = &[
    type_url::LB_ROUND_ROBIN,
    type_url::LB_LEAST_REQUEST,
    type_url::LB_RANDOM,
    type_url::LB_CLUSTER_PROVIDED,
];

/// The fields of a cluster that say how an endpoint is chosen.
pub(super) struct LbFields<'m> {
    pub(super) policy: i32,
    pub(super) config: Option<&'m pb::cluster::LbConfig>,
    pub(super) extension: Option<&'m pb::LoadBalancingPolicy>,
    pub(super) common: Option<&'m pb::cluster::CommonLbConfig>,
}

/// The balancer, and what all balancers have in common.
pub(super) fn lb(cx: &mut Context<'_>, at: &At<'_>, fields: &LbFields<'_>) -> Option<(LbPolicy, LbCommon)> {
    let mut common = common(cx, &at.field("common_lb_config"), fields.common)?;
    if let Some(extension) = fields.extension {
        let policy = extension_policy(cx, &at.field("load_balancing_policy"), extension, &mut common)?;
        return Some((policy, common));
    }
    let policy = match cx.choice(&at.field("lb_policy"), fields.policy)? {
        pb::cluster::LbPolicy::RoundRobin => {
            if let Some(pb::cluster::LbConfig::RoundRobinLbConfig(config)) = fields.config {
                let pb::cluster::RoundRobinLbConfig { slow_start_config } = config;
                let at = at.field("round_robin_lb_config");
                common.slow_start =
                    slow_start(cx, &at.field("slow_start_config"), slow_start_config.as_ref())?;
            }
            LbPolicy::RoundRobin
        }
        pb::cluster::LbPolicy::LeastRequest => {
            let empty = pb::cluster::LeastRequestLbConfig::default();
            let config = match fields.config {
                Some(pb::cluster::LbConfig::LeastRequestLbConfig(config)) => config,
                _ => &empty,
            };
            let pb::cluster::LeastRequestLbConfig { choice_count, active_request_bias, slow_start_config } =
                config;
            let at = at.field("least_request_lb_config");
            common.slow_start = slow_start(cx, &at.field("slow_start_config"), slow_start_config.as_ref())?;
            let bias = bias(cx, &at.field("active_request_bias"), active_request_bias.as_ref())?;
            LbPolicy::LeastRequest {
                choices: choices(cx, &at.field("choice_count"), choice_count.as_ref())?,
                bias,
            }
        }
        pb::cluster::LbPolicy::Random => LbPolicy::Random,
        pb::cluster::LbPolicy::ClusterProvided => LbPolicy::ClusterProvided,
        pb::cluster::LbPolicy::RingHash => ring_hash(cx, at, fields.config)?,
        pb::cluster::LbPolicy::Maglev => maglev(cx, at, fields.config)?,
        pb::cluster::LbPolicy::LoadBalancingPolicyConfig => {
            cx.refuse(&at.field("load_balancing_policy"), "is required");
            return None;
        }
    };
    Some((policy, common))
}

/// Largest ring and table.
const MAX_TABLE: u64 = 8 << 20;

fn ring_hash(cx: &mut Context<'_>, at: &At<'_>, config: Option<&pb::cluster::LbConfig>) -> Option<LbPolicy> {
    use pb::cluster::ring_hash_lb_config::HashFunction;
    let empty = pb::cluster::RingHashLbConfig::default();
    let config = match config {
        Some(pb::cluster::LbConfig::RingHashLbConfig(config)) => config,
        _ => &empty,
    };
    let pb::cluster::RingHashLbConfig { minimum_ring_size, hash_function, maximum_ring_size } = config;
    let at = at.field("ring_hash_lb_config");
    let hash = match cx.choice::<HashFunction>(&at.field("hash_function"), *hash_function)? {
        HashFunction::XxHash => RingFunction::Xxh64,
        HashFunction::MurmurHash2 => RingFunction::Murmur2,
    };
    let min_size = minimum_ring_size.as_ref().map_or(1024, |v| v.value);
    let max_size = maximum_ring_size.as_ref().map_or(MAX_TABLE, |v| v.value);
    if min_size == 0 || max_size > MAX_TABLE || min_size > max_size {
        cx.refuse(&at, format!("sizes must be from 1 to {MAX_TABLE}, the smaller first"));
        return None;
    }
    Some(LbPolicy::RingHash { min_size, max_size, hash })
}

fn maglev(cx: &mut Context<'_>, at: &At<'_>, config: Option<&pb::cluster::LbConfig>) -> Option<LbPolicy> {
    let empty = pb::cluster::MaglevLbConfig::default();
    let config = match config {
        Some(pb::cluster::LbConfig::MaglevLbConfig(config)) => config,
        _ => &empty,
    };
    let pb::cluster::MaglevLbConfig { table_size } = config;
    let table_size = table_size.as_ref().map_or(65_537, |v| v.value);
    let prime = table_size > 2 && (2..).take_while(|d| d * d <= table_size).all(|d| table_size % d != 0);
    if table_size > 5_000_011 || !prime {
        let inner = at.field("maglev_lb_config");
        cx.refuse(&inner.field("table_size"), "must be a prime of at most 5000011");
        return None;
    }
    Some(LbPolicy::Maglev { table_size })
}

fn common(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pb::cluster::CommonLbConfig>,
) -> Option<LbCommon> {
    use pb::cluster::common_lb_config::{LocalityConfigSpecifier as Spec, LocalityWeightedLbConfig};
    let empty = pb::cluster::CommonLbConfig::default();
    let pb::cluster::CommonLbConfig {
        healthy_panic_threshold,
        update_merge_window,
        ignore_new_hosts_until_first_hc,
        close_connections_on_host_set_change,
        consistent_hashing_lb_config,
        override_host_status,
        locality_config_specifier,
    } = message.unwrap_or(&empty);
    no_effect!(cx, at,
        update_merge_window: "endpoints are in force as they come",
        ignore_new_hosts_until_first_hc: "new endpoints count as unhealthy until they have been asked",
        override_host_status: "sessions are not pinned to endpoints",
    );
    let hashing_at = at.field("consistent_hashing_lb_config");
    if let Some(pb::cluster::common_lb_config::ConsistentHashingLbConfig {
        use_hostname_for_hashing,
        hash_balance_factor,
    }) = consistent_hashing_lb_config
    {
        refuse!(cx, hashing_at,
            use_hostname_for_hashing: "endpoints are hashed by their address",
            hash_balance_factor: "bounded loads are not supported",
        );
    }
    let panic_threshold = match healthy_panic_threshold {
        Some(message) => percent(cx, &at.field("healthy_panic_threshold"), message)?,
        None => 50.0,
    };
    let locality_weighted = match locality_config_specifier {
        None => false,
        Some(Spec::LocalityWeightedLbConfig(LocalityWeightedLbConfig {})) => true,
        Some(Spec::ZoneAwareLbConfig(_)) => {
            cx.note(&at.field("zone_aware_lb_config"), "zones are not preferred without locality weights");
            false
        }
    };
    Some(LbCommon {
        panic_threshold,
        locality_weighted,
        slow_start: None,
        close_on_host_change: *close_connections_on_host_set_change,
    })
}

/// The first policy that is known here, as Envoy chooses.
fn extension_policy(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::LoadBalancingPolicy,
    common: &mut LbCommon,
) -> Option<LbPolicy> {
    let pb::LoadBalancingPolicy { policies } = message;
    let at = at.field("policies");
    let configs = policies.iter().enumerate().filter_map(|(i, p)| {
        let core::TypedExtensionConfig { name: _the_type_decides, typed_config } =
            p.typed_extension_config.as_ref()?;
        Some((i, typed_config.as_ref()?))
    });
    for (i, any) in configs {
        let at = at.index(i);
        let at = at.field("typed_extension_config");
        let at = at.field("typed_config");
        match any.type_url.as_str() {
            type_url::LB_ROUND_ROBIN => {
                let lb_policies::RoundRobin { slow_start_config, locality_lb_config } =
                    cx.unpack(&at, any)?;
                extension_common(cx, &at, slow_start_config.as_ref(), locality_lb_config.as_ref(), common)?;
                return Some(LbPolicy::RoundRobin);
            }
            type_url::LB_LEAST_REQUEST => {
                let message: lb_policies::LeastRequest = cx.unpack(&at, any)?;
                return least_request(cx, &at, &message, common);
            }
            type_url::LB_RANDOM => {
                let lb_policies::Random { locality_lb_config } = cx.unpack(&at, any)?;
                extension_common(cx, &at, None, locality_lb_config.as_ref(), common)?;
                return Some(LbPolicy::Random);
            }
            type_url::LB_CLUSTER_PROVIDED => {
                let lb_policies::ClusterProvided {} = cx.unpack(&at, any)?;
                return Some(LbPolicy::ClusterProvided);
            }
            _ => {}
        }
    }
    let first = policies.first().and_then(|p| p.typed_extension_config.as_ref()?.typed_config.as_ref());
    match first {
        Some(any) => cx.unknown_extension(&at, any, "load balancing policy", KNOWN),
        None => cx.refuse(&at, "needs a policy"),
    }
    None
}

fn least_request(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &lb_policies::LeastRequest,
    common: &mut LbCommon,
) -> Option<LbPolicy> {
    let lb_policies::LeastRequest {
        choice_count,
        active_request_bias,
        slow_start_config,
        locality_lb_config,
        enable_full_scan,
        selection_method,
    } = message;
    refuse!(cx, at, selection_method: "only N_CHOICES is supported");
    if enable_full_scan.as_ref().is_some_and(|v| v.value) {
        cx.refuse(&at.field("enable_full_scan"), UNSUPPORTED);
    }
    extension_common(cx, at, slow_start_config.as_ref(), locality_lb_config.as_ref(), common)?;
    let bias = bias(cx, &at.field("active_request_bias"), active_request_bias.as_ref())?;
    Some(LbPolicy::LeastRequest {
        choices: choices(cx, &at.field("choice_count"), choice_count.as_ref())?,
        bias,
    })
}

fn extension_common(
    cx: &mut Context<'_>,
    at: &At<'_>,
    slow: Option<&lb_policies::common::SlowStartConfig>,
    locality: Option<&lb_policies::common::LocalityLbConfig>,
    common: &mut LbCommon,
) -> Option<()> {
    use lb_policies::common::locality_lb_config::{
        LocalityConfigSpecifier as Spec, LocalityWeightedLbConfig,
    };
    if let Some(lb_policies::common::SlowStartConfig { slow_start_window, aggression, min_weight_percent }) =
        slow
    {
        let message = pb::cluster::SlowStartConfig {
            slow_start_window: *slow_start_window,
            aggression: aggression.clone(),
            min_weight_percent: *min_weight_percent,
        };
        common.slow_start = slow_start(cx, &at.field("slow_start_config"), Some(&message))?;
    }
    match locality.and_then(|l| l.locality_config_specifier.as_ref()) {
        None => {}
        Some(Spec::LocalityWeightedLbConfig(LocalityWeightedLbConfig {})) => common.locality_weighted = true,
        Some(Spec::ZoneAwareLbConfig(_)) => {
            let at = at.field("locality_lb_config");
            cx.note(&at.field("zone_aware_lb_config"), "zones are not preferred without locality weights");
        }
    }
    Some(())
}

fn bias(cx: &mut Context<'_>, at: &At<'_>, message: Option<&core::RuntimeDouble>) -> Option<f64> {
    let Some(core::RuntimeDouble { default_value, runtime_key }) = message else { return Some(1.0) };
    no_effect!(cx, at, runtime_key: RUNTIME_KEY);
    if default_value.is_finite() && *default_value >= 0.0 {
        return Some(*default_value);
    }
    cx.refuse(at, "must be zero or more");
    None
}

/// `None` is a problem, `Some(None)` no slow start.
fn slow_start(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pb::cluster::SlowStartConfig>,
) -> Option<Option<SlowStart>> {
    let Some(pb::cluster::SlowStartConfig { slow_start_window, aggression, min_weight_percent }) = message
    else {
        return Some(None);
    };
    let window = cx.limit(&at.field("slow_start_window"), slow_start_window.as_ref(), None);
    let aggression = match aggression {
        Some(core::RuntimeDouble { default_value, runtime_key }) => {
            let at = at.field("aggression");
            no_effect!(cx, at, runtime_key: RUNTIME_KEY);
            if !default_value.is_finite() || *default_value <= 0.0 {
                cx.refuse(&at, "must be above zero");
                return None;
            }
            *default_value
        }
        None => 1.0,
    };
    let min_weight_percent = match min_weight_percent {
        Some(message @ kind::Percent { .. }) => percent(cx, &at.field("min_weight_percent"), message)?,
        None => 10.0,
    };
    let window: Option<Duration> = window;
    Some(window.map(|window| SlowStart { window, aggression, min_weight_percent }))
}

/// How many endpoints are compared: two if nothing is said, and no fewer.
fn choices(cx: &mut Context<'_>, at: &At<'_>, count: Option<&google::UInt32Value>) -> Option<u32> {
    cx.between(at, number(count, 2), 2, u32::MAX)
}
