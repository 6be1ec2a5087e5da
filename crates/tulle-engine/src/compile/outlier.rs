//! Outlier detection and circuit breakers.

use std::time::Duration;

use tulle_proto::envoy::{cluster as pb, core, google};

use super::context::{At, Context, UNSUPPORTED};
use super::value::{flag, number, percent};
use crate::runtime::cluster::{
    CircuitBreakers, FailurePercentage, OutlierDetection, RetryBudget, SuccessRate,
};

pub(super) fn outlier(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::OutlierDetection,
) -> Option<OutlierDetection> {
    let pb::OutlierDetection {
        consecutive_5xx,
        interval,
        base_ejection_time,
        max_ejection_percent,
        enforcing_consecutive_5xx,
        enforcing_success_rate,
        success_rate_minimum_hosts,
        success_rate_request_volume,
        success_rate_stdev_factor,
        consecutive_gateway_failure,
        enforcing_consecutive_gateway_failure,
        split_external_local_origin_errors,
        consecutive_local_origin_failure,
        enforcing_consecutive_local_origin_failure,
        enforcing_local_origin_success_rate,
        failure_percentage_threshold,
        enforcing_failure_percentage,
        enforcing_failure_percentage_local_origin,
        failure_percentage_minimum_hosts,
        failure_percentage_request_volume,
        max_ejection_time,
        max_ejection_time_jitter,
        successful_active_health_check_uneject_host,
        monitors,
        always_eject_one_host,
        detect_degraded_hosts,
    } = message;
    refuse!(cx, at, monitors: UNSUPPORTED);
    if flag(detect_degraded_hosts.as_ref(), false) {
        cx.refuse(&at.field("detect_degraded_hosts"), UNSUPPORTED);
    }
    no_effect!(cx, at,
        successful_active_health_check_uneject_host: "the time out decides when an endpoint comes back",
    );
    let mut share = |name: &str, value: Option<&google::UInt32Value>, default: u32| {
        cx.between(&at.field(name), number(value, default), 0, 100)
    };
    let enforcing_5xx = share("enforcing_consecutive_5xx", enforcing_consecutive_5xx.as_ref(), 100);
    let enforcing_gateway =
        share("enforcing_consecutive_gateway_failure", enforcing_consecutive_gateway_failure.as_ref(), 0);
    let enforcing_local = share(
        "enforcing_consecutive_local_origin_failure",
        enforcing_consecutive_local_origin_failure.as_ref(),
        100,
    );
    let enforcing_rate = share("enforcing_success_rate", enforcing_success_rate.as_ref(), 100)?;
    let enforcing_percentage =
        share("enforcing_failure_percentage", enforcing_failure_percentage.as_ref(), 0)?;
    let local_rate =
        share("enforcing_local_origin_success_rate", enforcing_local_origin_success_rate.as_ref(), 100)?;
    let local_percentage = share(
        "enforcing_failure_percentage_local_origin",
        enforcing_failure_percentage_local_origin.as_ref(),
        0,
    )?;
    // Failures to reach endpoints have rates of their own only where they are split off.
    let split = *split_external_local_origin_errors;
    let (local_rate, local_percentage) = if split { (local_rate, local_percentage) } else { (0, 0) };
    let max_percent = share("max_ejection_percent", max_ejection_percent.as_ref(), 10);
    let threshold = share("failure_percentage_threshold", failure_percentage_threshold.as_ref(), 85)?;
    let mut time = |name: &str, value: Option<&google::Duration>, default: u64| match value {
        Some(_) => cx.positive(&at.field(name), value),
        None => Some(Duration::from_secs(default)),
    };
    let interval = time("interval", interval.as_ref(), 10);
    let base_ejection = time("base_ejection_time", base_ejection_time.as_ref(), 30)?;
    let max_ejection = time("max_ejection_time", max_ejection_time.as_ref(), 300)?;
    let jitter = cx.duration(&at.field("max_ejection_time_jitter"), max_ejection_time_jitter.as_ref());
    Some(OutlierDetection {
        consecutive_5xx: number(consecutive_5xx.as_ref(), 5),
        enforcing_consecutive_5xx: enforcing_5xx?,
        consecutive_gateway: number(consecutive_gateway_failure.as_ref(), 5),
        enforcing_consecutive_gateway: enforcing_gateway?,
        split_local_origin: split,
        consecutive_local_origin: number(consecutive_local_origin_failure.as_ref(), 5),
        enforcing_consecutive_local_origin: enforcing_local?,
        interval: interval?,
        base_ejection,
        max_ejection: max_ejection.max(base_ejection),
        max_ejection_jitter: jitter.unwrap_or_default(),
        max_ejection_percent: max_percent?,
        always_eject_one: flag(always_eject_one_host.as_ref(), false),
        success_rate: (enforcing_rate > 0 || local_rate > 0).then(|| SuccessRate {
            enforcing: enforcing_rate,
            enforcing_local_origin: local_rate,
            minimum_hosts: number(success_rate_minimum_hosts.as_ref(), 5),
            request_volume: number(success_rate_request_volume.as_ref(), 100),
            stdev_factor: number(success_rate_stdev_factor.as_ref(), 1900),
        }),
        failure_percentage: (enforcing_percentage > 0 || local_percentage > 0).then(|| FailurePercentage {
            enforcing: enforcing_percentage,
            enforcing_local_origin: local_percentage,
            threshold,
            minimum_hosts: number(failure_percentage_minimum_hosts.as_ref(), 5),
            request_volume: number(failure_percentage_request_volume.as_ref(), 50),
        }),
    })
}

/// Breakers of default and high priority, and the limit of connections to each endpoint.
pub(super) fn breakers(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pb::CircuitBreakers>,
) -> Option<(CircuitBreakers, CircuitBreakers, Option<u32>)> {
    let (mut default, mut high) = (CircuitBreakers::default(), CircuitBreakers::default());
    let mut per_host = None;
    let Some(pb::CircuitBreakers { thresholds, per_host_thresholds }) = message else {
        return Some((default, high, per_host));
    };
    let list_at = at.field("thresholds");
    for (i, message) in thresholds.iter().enumerate() {
        let at = list_at.index(i);
        let limits = self::thresholds(cx, &at, message)?;
        match cx.choice(&at.field("priority"), message.priority)? {
            core::RoutingPriority::Default => default = limits,
            core::RoutingPriority::High => high = limits,
        }
    }
    let list_at = at.field("per_host_thresholds");
    for (i, message) in per_host_thresholds.iter().enumerate() {
        let at = list_at.index(i);
        let pb::circuit_breakers::Thresholds {
            priority,
            max_connections,
            max_pending_requests,
            max_requests,
            max_retries,
            retry_budget,
            track_remaining,
            max_connection_pools,
        } = message;
        refuse!(cx, at,
            max_pending_requests: "only max_connections is counted by endpoint",
            max_requests: "only max_connections is counted by endpoint",
            max_retries: "only max_connections is counted by endpoint",
            retry_budget: "only max_connections is counted by endpoint",
            max_connection_pools: "only max_connections is counted by endpoint",
        );
        no_effect!(cx, at,
            priority: "connections are counted together",
            track_remaining: "statistics are those of the metric contract",
        );
        per_host = max_connections.as_ref().map(|v| v.value);
    }
    Some((default, high, per_host))
}

fn thresholds(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pb::circuit_breakers::Thresholds,
) -> Option<CircuitBreakers> {
    use pb::circuit_breakers::{Thresholds, thresholds::RetryBudget as Budget};
    let Thresholds {
        priority: _read_by_the_caller,
        max_connections,
        max_pending_requests,
        max_requests,
        max_retries,
        retry_budget,
        track_remaining,
        max_connection_pools,
    } = message;
    no_effect!(cx, at, track_remaining: "statistics are those of the metric contract");
    let default = CircuitBreakers::default();
    let budget_at = at.field("retry_budget");
    let retry_budget = match retry_budget {
        Some(Budget { budget_percent, budget_interval, min_retry_concurrency }) => {
            let percent = match budget_percent {
                Some(message) => percent(cx, &budget_at.field("budget_percent"), message)?,
                None => 20.0,
            };
            Some(RetryBudget {
                percent,
                min_concurrency: number(min_retry_concurrency.as_ref(), 3),
                interval: cx
                    .duration(&budget_at.field("budget_interval"), budget_interval.as_ref())
                    .unwrap_or_default(),
            })
        }
        None => None,
    };
    Some(CircuitBreakers {
        max_connections: number(max_connections.as_ref(), default.max_connections),
        max_pending: number(max_pending_requests.as_ref(), default.max_pending),
        max_requests: number(max_requests.as_ref(), default.max_requests),
        max_retries: number(max_retries.as_ref(), default.max_retries),
        retry_budget,
        max_pools: number(max_connection_pools.as_ref(), default.max_pools),
    })
}
