//! Local rate limits.

use std::collections::HashSet;
use std::time::Duration;

use tulle_proto::envoy::{kind, local_ratelimit, ratelimit_common as common};

use super::context::{At, Context};
use super::headers::adds;
use super::rate_limit;
use super::value::{flag, number, runtime_fraction, text};
use crate::decide::local_rate_limit::Limiter;
use crate::runtime::headers::HeaderOps;
use crate::runtime::matcher::Fraction;
use crate::runtime::rate_limit::{BucketShape, Buckets, DescriptorBucket, LocalRateLimit, VirtualHostRules};

/// Where a configuration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the filter chain: it may leave the bucket to routes.
    Filter,
    /// On a route, virtual host or weighted cluster: it must have a bucket.
    Route,
}

/// The shortest interval at which a bucket may be filled, as Envoy's.
const SHORTEST_FILL: Duration = Duration::from_millis(50);

pub(super) fn local_rate_limit(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &local_ratelimit::LocalRateLimit,
    place: Place,
) -> Option<LocalRateLimit> {
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
    refuse!(cx, at, local_cluster_rate_limit: "is not supported: limits hold for one proxy");
    let found = cx.problems();
    if stat_prefix.is_empty() {
        cx.refuse(&at.field("stat_prefix"), "must not be empty");
    }
    cx.between(&at.field("stage"), *stage, 0, 10);
    let mut fraction = |name: &str, message: &Option<_>| match message {
        Some(fraction) => runtime_fraction(cx, &at.field(name), fraction).unwrap_or(Fraction::ZERO),
        None => Fraction::ZERO,
    };
    let enabled = fraction("filter_enabled", filter_enabled);
    let enforced = fraction("filter_enforced", filter_enforced);
    let bucket_at = at.field("token_bucket");
    if place == Place::Route {
        cx.required(&bucket_at, token_bucket.as_ref());
    }
    let max_dynamic_at = at.field("max_dynamic_descriptors");
    let buckets = Buckets {
        default: token_bucket.as_ref().and_then(|message| bucket(cx, &bucket_at, message)),
        always_ask_default: flag(always_consume_default_token_bucket.as_ref(), true),
        descriptors: self::descriptors(cx, &at.field("descriptors"), descriptors),
        max_dynamic: cx
            .between(&max_dynamic_at, number(max_dynamic_descriptors.as_ref(), 20), 1, u32::MAX)
            .unwrap_or(1),
    };
    let added = adds(cx, &at.field("response_headers_to_add"), response_headers_to_add);
    let unenforced_at = at.field("request_headers_to_add_when_not_enforced");
    let unenforced = adds(cx, &unenforced_at, request_headers_to_add_when_not_enforced);
    let rules = rate_limit::rules(cx, &at.field("rate_limits"), rate_limits, rate_limit::Of::LocalFilter);
    let headers = headers_version(cx, &at.field("enable_x_ratelimit_headers"), *enable_x_ratelimit_headers)?;
    let virtual_host_rules = vh_rules(cx, &at.field("vh_rate_limits"), *vh_rate_limits)?;
    let status = match status {
        None => 429,
        Some(kind::HttpStatus { code: 0 }) => {
            cx.refuse(&at.field("status").field("code"), "must not be 0");
            429
        }
        // Envoy takes anything below 400 for 429.
        Some(kind::HttpStatus { code }) => {
            u16::try_from(*code).ok().filter(|c| (400..600).contains(c)).unwrap_or(429)
        }
    };
    let per_connection = *local_rate_limit_per_downstream_connection;
    (cx.problems() == found).then(|| LocalRateLimit {
        stat_prefix: text(stat_prefix),
        status,
        enabled,
        enforced,
        response_headers: HeaderOps { add: added, remove: Vec::new() },
        request_headers_unenforced: HeaderOps { add: unenforced, remove: Vec::new() },
        as_resource_exhausted: *rate_limited_as_resource_exhausted,
        stage: *stage,
        virtual_host_rules,
        rules,
        headers,
        retry_after: *enable_retry_after_header,
        limiter: (!per_connection).then(|| Limiter::new(&buckets)),
        buckets,
    })
}

fn bucket(cx: &mut Context<'_>, at: &At<'_>, message: &kind::TokenBucket) -> Option<BucketShape> {
    let kind::TokenBucket { max_tokens, tokens_per_fill, fill_interval } = message;
    let interval_at = at.field("fill_interval");
    cx.required(&interval_at, fill_interval.as_ref())?;
    let fill_interval = cx.positive(&interval_at, fill_interval.as_ref())?;
    if *max_tokens > 0 && fill_interval < SHORTEST_FILL {
        cx.refuse(&interval_at, "must be 50ms or more");
        return None;
    }
    let tokens_per_fill =
        cx.between(&at.field("tokens_per_fill"), number(tokens_per_fill.as_ref(), 1), 1, u32::MAX)?;
    Some(BucketShape { max_tokens: *max_tokens, tokens_per_fill, fill_interval })
}

fn descriptors(
    cx: &mut Context<'_>,
    at: &At<'_>,
    list: &[common::LocalRateLimitDescriptor],
) -> Vec<DescriptorBucket> {
    let mut seen = HashSet::new();
    let mut out = Vec::with_capacity(list.len());
    for (i, message) in list.iter().enumerate() {
        let at = at.index(i);
        let common::LocalRateLimitDescriptor { entries, token_bucket, shadow_mode } = message;
        let entries_at = at.field("entries");
        if entries.is_empty() {
            cx.refuse(&entries_at, "needs at least one");
        }
        let mut pairs = Vec::with_capacity(entries.len());
        for (i, common::rate_limit_descriptor::Entry { key, value }) in entries.iter().enumerate() {
            if key.is_empty() {
                cx.refuse(&entries_at.index(i).field("key"), "must not be empty");
            }
            pairs.push((text(key), text(value)));
        }
        if !seen.insert(pairs.clone()) {
            cx.refuse(&at, "is there twice; each descriptor may have one bucket");
        }
        let bucket_at = at.field("token_bucket");
        let Some(message) = cx.required(&bucket_at, token_bucket.as_ref()) else { continue };
        let Some(shape) = bucket(cx, &bucket_at, message) else { continue };
        out.push(DescriptorBucket { entries: pairs, shape, shadow: *shadow_mode });
    }
    out
}

/// Whether `x-ratelimit-*` headers are wanted.
pub(super) fn headers_version(cx: &mut Context<'_>, at: &At<'_>, version: i32) -> Option<bool> {
    Some(match cx.choice(at, version)? {
        common::XRateLimitHeadersRfcVersion::Off => false,
        common::XRateLimitHeadersRfcVersion::DraftVersion03 => true,
    })
}

fn vh_rules(cx: &mut Context<'_>, at: &At<'_>, option: i32) -> Option<VirtualHostRules> {
    Some(match cx.choice(at, option)? {
        common::VhRateLimitsOptions::Override => VirtualHostRules::Override,
        common::VhRateLimitsOptions::Include => VirtualHostRules::Include,
        common::VhRateLimitsOptions::Ignore => VirtualHostRules::Ignore,
    })
}
