//! Local rate limits.

use tulle_proto::envoy::{kind, local_ratelimit};

use super::context::{At, Context, UNSUPPORTED};
use super::headers::adds;
use super::value::{number, runtime_fraction, text};
use crate::runtime::filter::LocalRateLimit;
use crate::runtime::headers::HeaderOps;
use crate::runtime::matcher::Fraction;

/// The bucket of a filter or route. `None` inside: no bucket is given, nothing is limited.
pub(super) fn local_rate_limit(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &local_ratelimit::LocalRateLimit,
) -> Option<Option<LocalRateLimit>> {
    let local_ratelimit::LocalRateLimit {
        stat_prefix,
        status,
        token_bucket,
        filter_enabled,
        filter_enforced,
        request_headers_to_add_when_not_enforced,
        response_headers_to_add,
        descriptors,
        stage,
        local_rate_limit_per_downstream_connection,
        local_cluster_rate_limit,
        enable_x_ratelimit_headers,
        vh_rate_limits,
        always_consume_default_token_bucket,
        rate_limited_as_resource_exhausted,
        rate_limits,
        max_dynamic_descriptors,
        enable_retry_after_header,
    } = message;
    refuse!(cx, at,
        descriptors: UNSUPPORTED,
        rate_limits: UNSUPPORTED,
        local_cluster_rate_limit: UNSUPPORTED,
        enable_x_ratelimit_headers: UNSUPPORTED,
        enable_retry_after_header: UNSUPPORTED,
    );
    no_effect!(cx, at,
        stage: "there are no descriptors",
        vh_rate_limits: "there are no descriptors",
        always_consume_default_token_bucket: "there are no descriptors",
        max_dynamic_descriptors: "there are no descriptors",
    );
    let enabled = match filter_enabled {
        Some(fraction) => runtime_fraction(cx, &at.field("filter_enabled"), fraction)?,
        None => Fraction::ZERO,
    };
    let enforced = match filter_enforced {
        Some(fraction) => runtime_fraction(cx, &at.field("filter_enforced"), fraction)?,
        None => Fraction::ZERO,
    };
    let Some(kind::TokenBucket { max_tokens, tokens_per_fill, fill_interval }) = token_bucket else {
        return Some(None);
    };
    let bucket_at = at.field("token_bucket");
    let max_tokens = cx.between(&bucket_at.field("max_tokens"), *max_tokens, 1, u32::MAX)?;
    let interval_at = bucket_at.field("fill_interval");
    cx.required(&interval_at, fill_interval.as_ref())?;
    let fill_interval = cx.positive(&interval_at, fill_interval.as_ref())?;
    let code = status.as_ref().map_or(429, |kind::HttpStatus { code }| *code);
    let added = adds(cx, &at.field("response_headers_to_add"), response_headers_to_add);
    let unenforced_at = at.field("request_headers_to_add_when_not_enforced");
    let unenforced = adds(cx, &unenforced_at, request_headers_to_add_when_not_enforced);
    Some(Some(LocalRateLimit {
        stat_prefix: text(stat_prefix),
        // Envoy takes anything below 400 for 429.
        status: u16::try_from(code).ok().filter(|c| (400..600).contains(c)).unwrap_or(429),
        max_tokens,
        tokens_per_fill: number(tokens_per_fill.as_ref(), 1).max(1),
        fill_interval,
        enabled,
        enforced,
        response_headers: HeaderOps { add: added, remove: Vec::new() },
        request_headers_unenforced: HeaderOps { add: unenforced, remove: Vec::new() },
        per_connection: *local_rate_limit_per_downstream_connection,
        as_resource_exhausted: *rate_limited_as_resource_exhausted,
    }))
}
