//! HTTP filters of a few fields: buffer, health check, CSRF.

use tulle_proto::envoy::{buffer as pbbuffer, csrf as pbcsrf, health_check as pbhealth};

use super::context::{At, Context};
use super::matcher;
use super::value::{percent, runtime_fraction, text};
use crate::runtime::csrf::CsrfPolicy;
use crate::runtime::health_check::{HealthCheck, HealthCheckMode, StatusCache};
use crate::runtime::matcher::Fraction;

/// The most bytes of a request that are held.
pub(super) fn buffer(cx: &mut Context<'_>, at: &At<'_>, message: &pbbuffer::Buffer) -> Option<u32> {
    let pbbuffer::Buffer { max_request_bytes } = message;
    let at = at.field("max_request_bytes");
    let limit = cx.required(&at, max_request_bytes.as_ref())?;
    cx.between(&at, limit.value, 1, u32::MAX)
}

/// The same per route; `Some(None)` switches the filter off.
pub(super) fn buffer_per_route(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pbbuffer::BufferPerRoute,
) -> Option<Option<u32>> {
    use pbbuffer::buffer_per_route::Override;
    let pbbuffer::BufferPerRoute { r#override } = message;
    match r#override {
        Some(Override::Disabled(true)) => Some(None),
        Some(Override::Disabled(false)) => {
            cx.refuse(&at.field("disabled"), "must be true");
            None
        }
        Some(Override::Buffer(message)) => buffer(cx, &at.field("buffer"), message).map(Some),
        None => {
            cx.refuse(at, "needs disabled or buffer");
            None
        }
    }
}

pub(super) fn csrf(cx: &mut Context<'_>, at: &At<'_>, message: &pbcsrf::CsrfPolicy) -> Option<CsrfPolicy> {
    let pbcsrf::CsrfPolicy { filter_enabled, shadow_enabled, additional_origins } = message;
    let enabled_at = at.field("filter_enabled");
    let enabled = cx.required(&enabled_at, filter_enabled.as_ref())?;
    let enabled = runtime_fraction(cx, &enabled_at, enabled)?;
    let shadow = match shadow_enabled {
        Some(fraction) => runtime_fraction(cx, &at.field("shadow_enabled"), fraction)?,
        None => Fraction::ZERO,
    };
    let list_at = at.field("additional_origins");
    let found = cx.problems();
    let additional_origins = additional_origins
        .iter()
        .enumerate()
        .filter_map(|(i, message)| matcher::string(cx, &list_at.index(i), message))
        .collect();
    (cx.problems() == found).then_some(CsrfPolicy { enabled, shadow, additional_origins })
}

pub(super) fn health_check(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &pbhealth::HealthCheck,
) -> Option<HealthCheck> {
    let pbhealth::HealthCheck { pass_through_mode, cache_time, cluster_min_healthy_percentages, headers } =
        message;
    let pass_through = cx.required(&at.field("pass_through_mode"), pass_through_mode.as_ref())?.value;
    let headers = matcher::headers(cx, &at.field("headers"), headers);
    let cache_at = at.field("cache_time");
    let cache = match cache_time {
        Some(_) if !pass_through => {
            cx.refuse(&cache_at, "is for pass_through_mode only");
            None
        }
        Some(_) => cx.duration(&cache_at, cache_time.as_ref()).filter(|time| !time.is_zero()),
        None => None,
    };
    let clusters_at = at.field("cluster_min_healthy_percentages");
    let mode = if pass_through {
        if !cluster_min_healthy_percentages.is_empty() {
            cx.note(&clusters_at, "the upstream answers in pass_through_mode");
        }
        HealthCheckMode::PassThrough(cache.map(StatusCache::new))
    } else {
        let mut clusters = Vec::new();
        for (name, message) in cluster_min_healthy_percentages {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "from 0 to 100; Envoy cuts it too"
            )]
            clusters.push((text(name), percent(cx, &clusters_at.field(name), message)? as u64));
        }
        clusters.sort();
        HealthCheckMode::Own(clusters)
    };
    Some(HealthCheck { headers, mode })
}
