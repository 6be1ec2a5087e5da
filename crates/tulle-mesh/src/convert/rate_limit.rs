//! RateLimit to limits.

use std::time::Duration;

use tulle_api::policy as api;
use tulle_base::Selector;

use super::cx::Cx;
use crate::policy::{Limit, LimitKey, LimitMatch, Rate, RateLimit};

/// Values that have a limit at once, by default.
const MAX_VALUES: u32 = 10_000;

/// The limits of a RateLimit.
pub(super) fn rate_limit(cx: &Cx<'_>, spec: &api::RateLimit) -> RateLimit {
    let api::RateLimit { selector, limits, response } = spec;
    let default = api::LimitResponse::default();
    let api::LimitResponse { status, headers, retry_after } = response.as_ref().unwrap_or(&default);
    let labels =
        selector.as_ref().map(|tulle_api::istio::WorkloadSelector { match_labels }| match_labels.clone());
    RateLimit {
        meta: cx.meta.clone(),
        selector: Selector(labels.unwrap_or_default()),
        limits: limits.iter().map(limit).collect(),
        status: status.and_then(|s| u16::try_from(s).ok()).unwrap_or(429),
        headers: headers.unwrap_or(false),
        retry_after: retry_after.unwrap_or(true),
    }
}

fn limit(given: &api::Limit) -> Limit {
    let api::Limit {
        name,
        matches,
        per,
        requests,
        unit,
        burst,
        scope,
        overrides,
        without_value,
        max_values,
        mode,
    } = given;
    let unit = Duration::from_secs(match unit {
        None | Some(api::LimitUnit::Second) => 1,
        Some(api::LimitUnit::Minute) => 60,
        Some(api::LimitUnit::Hour) => 60 * 60,
        Some(api::LimitUnit::Day) => 24 * 60 * 60,
    });
    let rate = |requests: u32, burst: Option<u32>| Rate { requests, unit, burst: burst.unwrap_or(requests) };
    let matches = matches.as_ref().map(|api::LimitMatch { paths, methods, hosts, headers }| LimitMatch {
        paths: paths.clone(),
        methods: methods.clone(),
        hosts: hosts.clone(),
        headers: headers.clone(),
    });
    let other = |api::LimitOverride { values, requests, burst }: &api::LimitOverride| {
        let values = values.iter().map(|v| (v != "*").then(|| v.clone())).collect();
        (values, rate(*requests, *burst))
    };
    Limit {
        name: name.clone(),
        matches: matches.unwrap_or_default(),
        per: per.iter().filter_map(|api::LimitKey { kind }| kind.as_ref()).map(key).collect(),
        rate: rate(*requests, *burst),
        mesh_wide: *scope == Some(api::LimitScope::Mesh),
        overrides: overrides.iter().map(other).collect(),
        counts_without_value: *without_value != Some(api::LimitWithoutValue::Pass),
        max_values: max_values.unwrap_or(MAX_VALUES),
        dry_run: *mode == Some(api::LimitMode::DryRun),
    }
}

fn key(kind: &api::LimitKeyKind) -> LimitKey {
    match kind {
        api::LimitKeyKind::Header(name) => LimitKey::Header(name.to_ascii_lowercase()),
        api::LimitKeyKind::QueryParameter(name) => LimitKey::QueryParameter(name.clone()),
        api::LimitKeyKind::Attribute(attribute) => match attribute {
            api::LimitAttribute::Principal => LimitKey::Principal,
            api::LimitAttribute::Address => LimitKey::Address,
            api::LimitAttribute::Path => LimitKey::Path,
            api::LimitAttribute::Method => LimitKey::Method,
            api::LimitAttribute::Host => LimitKey::Host,
            api::LimitAttribute::Route => LimitKey::Route,
        },
    }
}
