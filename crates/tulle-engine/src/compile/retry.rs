//! Retry policies.

use std::time::Duration;

use tulle_base::nearest::nearest;
use tulle_proto::envoy::{core, retry_host, retry_priority, route};
use tulle_proto::type_url;

use super::context::{At, Context, UNSUPPORTED};
use super::matcher;
use super::value::{metadata, number, text};
use crate::runtime::metadata::Fields;
use crate::runtime::retry::{PassedOver, RateLimitedBackoff, ResetHeader, RetryOn, RetryPolicy};

/// How many hosts Envoy looks at when predicates are used without a number.
const DEFAULT_ATTEMPTS: u32 = 1;

pub(super) fn retry(cx: &mut Context<'_>, at: &At<'_>, message: &route::RetryPolicy) -> Option<RetryPolicy> {
    let route::RetryPolicy {
        retry_on,
        num_retries,
        per_try_timeout,
        per_try_idle_timeout,
        retry_priority,
        retry_host_predicate,
        retry_options_predicates,
        host_selection_retry_max_attempts,
        retriable_status_codes,
        retry_back_off,
        rate_limited_retry_back_off,
        retriable_headers,
        retriable_request_headers,
        refresh_cluster_on_retry,
    } = message;
    refuse!(cx, at,
        retry_options_predicates: UNSUPPORTED,
        refresh_cluster_on_retry: UNSUPPORTED,
    );
    let previous_priorities = other_priorities(cx, &at.field("retry_priority"), retry_priority.as_ref())?;
    let on = self::on(cx, &at.field("retry_on"), retry_on);
    let passed_over = host_predicates(cx, &at.field("retry_host_predicate"), retry_host_predicate)?;
    let mut codes = Vec::new();
    for (i, code) in retriable_status_codes.iter().enumerate() {
        let code = cx.between(&at.field("retriable_status_codes").index(i), *code, 100, 599)?;
        codes.push(u16::try_from(code).unwrap_or_default());
    }
    let (backoff_base, backoff_max) = backoff(cx, &at.field("retry_back_off"), retry_back_off.as_ref())?;
    let rate_limited = match rate_limited_retry_back_off {
        Some(message) => Some(rate_limited_backoff(cx, &at.field("rate_limited_retry_back_off"), message)?),
        None => None,
    };
    let attempts = u32::try_from(*host_selection_retry_max_attempts).unwrap_or(DEFAULT_ATTEMPTS);
    Some(RetryPolicy {
        on,
        num_retries: number(num_retries.as_ref(), 1),
        per_try_timeout: cx.limit(&at.field("per_try_timeout"), per_try_timeout.as_ref(), None),
        per_try_idle_timeout: cx.limit(
            &at.field("per_try_idle_timeout"),
            per_try_idle_timeout.as_ref(),
            None,
        ),
        retriable_status_codes: codes,
        retriable_headers: matcher::headers(cx, &at.field("retriable_headers"), retriable_headers),
        retriable_request_headers: matcher::headers(
            cx,
            &at.field("retriable_request_headers"),
            retriable_request_headers,
        ),
        backoff_base,
        backoff_max,
        rate_limited,
        passed_over,
        previous_priorities,
        host_selection_attempts: attempts.max(1),
    })
}

fn on(cx: &mut Context<'_>, at: &At<'_>, list: &str) -> RetryOn {
    let mut on = RetryOn::NONE;
    for token in list.split(',').map(str::trim).filter(|token| !token.is_empty()) {
        match RetryOn::from_token(token) {
            Some(set) => on = on.with(set),
            None => {
                let hint = match nearest(token, RetryOn::TOKENS.iter().copied()) {
                    Some(near) => format!("; did you mean {near}?"),
                    None => String::new(),
                };
                cx.refuse(at, format!("{token:?} is not a reason to retry{hint}"));
            }
        }
    }
    on
}

/// The predicates that are known, as their names end.
const PREDICATES: [&str; 3] = ["previous_hosts", "omit_canary_hosts", "omit_host_metadata"];

fn host_predicates(
    cx: &mut Context<'_>,
    at: &At<'_>,
    list: &[route::retry_policy::RetryHostPredicate],
) -> Option<PassedOver> {
    use route::retry_policy::{RetryHostPredicate, retry_host_predicate::ConfigType};
    let mut out = PassedOver::default();
    for (i, RetryHostPredicate { name, config_type }) in list.iter().enumerate() {
        let at = at.index(i);
        let any = config_type.as_ref().map(|ConfigType::TypedConfig(any)| any);
        let kind = match any {
            Some(any) => any.type_url.as_str(),
            None => name.strip_prefix("envoy.retry_host_predicates.").unwrap_or_default(),
        };
        match kind {
            type_url::PREVIOUS_HOSTS | "previous_hosts" => out.tried = true,
            type_url::OMIT_CANARY_HOSTS | "omit_canary_hosts" => out.canaries = true,
            // Without fields it stands for no host.
            type_url::OMIT_HOST_METADATA | "omit_host_metadata" => {
                let Some(any) = any else { continue };
                let at = at.field("typed_config");
                let retry_host::OmitHostMetadataConfig { metadata_match } = cx.unpack(&at, any)?;
                let at = at.field("metadata_match");
                out.metadata.extend(omitted(cx, &at, metadata_match.as_ref()));
            }
            _ => {
                let known = PREDICATES.join(", ");
                cx.refuse(
                    &at,
                    format!("{name:?} is not supported; use envoy.retry_host_predicates.* of {known}"),
                );
                return None;
            }
        }
    }
    Some(out)
}

/// The `envoy.lb` metadata of hosts that are passed over; `None` where it says nothing.
fn omitted(cx: &mut Context<'_>, at: &At<'_>, message: Option<&core::Metadata>) -> Option<Fields> {
    let mut all = metadata(cx, at, message);
    let fields = all.remove("envoy.lb").unwrap_or_default();
    for other in all.keys() {
        cx.note(&at.field("filter_metadata").field(other), "only envoy.lb is compared");
    }
    (!fields.is_empty()).then_some(fields)
}

/// After how many tries other priorities are asked; `Some(None)` for never, `None` is a problem.
#[allow(clippy::option_option, reason = "a problem is something else than nothing written")]
fn other_priorities(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&route::retry_policy::RetryPriority>,
) -> Option<Option<u32>> {
    use route::retry_policy::{RetryPriority, retry_priority::ConfigType};
    let Some(RetryPriority { name, config_type }) = message else { return Some(None) };
    let Some(ConfigType::TypedConfig(any)) = config_type else {
        cx.refuse(at, "needs typed_config");
        return None;
    };
    if any.type_url != type_url::PREVIOUS_PRIORITIES {
        cx.refuse(at, format!("{name:?} is not supported; use envoy.retry_priorities.previous_priorities"));
        return None;
    }
    let at = at.field("typed_config");
    let retry_priority::PreviousPrioritiesConfig { update_frequency } = cx.unpack(&at, any)?;
    let frequency = u32::try_from(update_frequency).ok().filter(|n| *n > 0);
    if frequency.is_none() {
        cx.refuse(&at.field("update_frequency"), "must be above zero");
    }
    frequency.map(Some)
}

fn backoff(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&route::retry_policy::RetryBackOff>,
) -> Option<(Duration, Duration)> {
    let Some(route::retry_policy::RetryBackOff { base_interval, max_interval }) = message else {
        return Some((Duration::from_millis(25), Duration::from_millis(250)));
    };
    let base_at = at.field("base_interval");
    cx.required(&base_at, base_interval.as_ref())?;
    // Envoy rounds less than a millisecond up.
    let base = cx.positive(&base_at, base_interval.as_ref())?.max(Duration::from_millis(1));
    let max_at = at.field("max_interval");
    let max = match max_interval {
        Some(_) => cx.positive(&max_at, max_interval.as_ref())?.max(Duration::from_millis(1)),
        None => base.saturating_mul(10),
    };
    if max < base {
        cx.refuse(&max_at, "must be at least base_interval");
        return None;
    }
    Some((base, max))
}

fn rate_limited_backoff(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &route::retry_policy::RateLimitedRetryBackOff,
) -> Option<RateLimitedBackoff> {
    use route::retry_policy::{ResetHeader as Reset, ResetHeaderFormat};
    let route::retry_policy::RateLimitedRetryBackOff { reset_headers, max_interval } = message;
    let list_at = at.field("reset_headers");
    if reset_headers.is_empty() {
        cx.refuse(&list_at, "needs at least one");
    }
    let mut headers = Vec::new();
    for (i, Reset { name, format }) in reset_headers.iter().enumerate() {
        let at = list_at.index(i);
        let name = matcher::header_name(cx, &at.field("name"), name)?;
        let format: ResetHeaderFormat = cx.choice(&at.field("format"), *format)?;
        headers.push(ResetHeader {
            name: text(name.as_str()),
            unix_timestamp: format == ResetHeaderFormat::UnixTimestamp,
        });
    }
    let max = match max_interval {
        Some(_) => cx.positive(&at.field("max_interval"), max_interval.as_ref())?,
        None => Duration::from_secs(300),
    };
    Some(RateLimitedBackoff { headers, max })
}
