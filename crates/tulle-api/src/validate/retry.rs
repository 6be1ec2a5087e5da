//! Rules about retries, wherever they are set.

use super::common::{self, duration};
use super::rules::Rules;
use crate::istio::HttpRetry;
use crate::schema::At;

/// What `retryOn` may list, besides status codes (Envoy's `x-envoy-retry-on` and `x-envoy-retry-grpc-on`).
const RETRY_ON: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// Checks a retry policy.
pub(super) fn retry(given: Option<&HttpRetry>, at: &At<'_>, rules: &mut Rules) {
    let Some(given) = given else { return };
    let HttpRetry {
        attempts,
        per_try_timeout,
        retry_on,
        retry_remote_localities,
        retry_ignore_previous_hosts: _,
        backoff,
    } = given;
    common::not_negative(*attempts, &at.field("attempts"), rules);
    let more = per_try_timeout.is_some() || !retry_on.is_empty() || retry_remote_localities.is_some();
    if attempts.unwrap_or(0) == 0 && more {
        let missing = if attempts.is_none() { "not given, which means 0 and" } else { "0, which" };
        let message = format!("is {missing} turns retries off, but other retry settings are given");
        rules.error(&at.field("attempts"), message, "write how often to try again, such as attempts: 2");
    }
    duration(per_try_timeout.as_ref(), &at.field("perTryTimeout"), rules);
    duration(backoff.as_ref(), &at.field("backoff"), rules);
    for condition in retry_on.split(',').filter(|_| !retry_on.is_empty()) {
        if condition.trim() != condition || condition.is_empty() {
            let message = format!("{retry_on:?} is not a list of conditions separated by single commas");
            rules.error(&at.field("retryOn"), message, "write it without blanks and empty places");
            break;
        }
    }
    for condition in retry_on.split(',').map(str::trim).filter(|c| !c.is_empty()) {
        let status = condition.parse::<u16>().is_ok_and(|code| (100..=599).contains(&code));
        if !status && !RETRY_ON.contains(&condition) {
            let near = tulle_base::nearest::nearest(condition, RETRY_ON);
            let fix = near.map_or_else(
                || format!("known are {} and status codes", RETRY_ON.join(", ")),
                |n| format!("did you mean {n}?"),
            );
            rules.error(&at.field("retryOn"), format!("{condition:?} is not a condition for retries"), fix);
        }
    }
}
