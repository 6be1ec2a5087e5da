//! What is asked of a rate limit service, and what its answer means.

use std::time::Duration;

use tulle_proto::envoy::{google, ratelimit, ratelimit_common as common};

use super::descriptor::{Descriptor, Descriptors, RateLimitInput, describe};
use super::local_rate_limit::{RouteRules, of_route};
use crate::runtime::global_rate_limit::{GlobalRateLimit, GlobalRateLimitChange};
use crate::runtime::rate_limit::{RateLimitRule, VirtualHostRules};

/// The descriptors of a request; none where the service need not be asked. `change` is the route's own configuration of the filter.
pub fn descriptors<'a>(
    limit: &'a GlobalRateLimit,
    change: Option<&'a GlobalRateLimitChange>,
    route: RouteRules<'a>,
    input: &RateLimitInput<'a>,
) -> Descriptors<'a> {
    let own = change.map(|change| &change.rules).filter(|rules| !rules.is_empty()).unwrap_or(&limit.rules);
    let now = |rule: &&RateLimitRule| !rule.on_stream_done;
    if !own.is_empty() {
        return own.iter().filter(now).filter_map(|rule| describe(rule, input)).collect();
    }
    let option = change.map_or(VirtualHostRules::Override, |change| change.virtual_host_rules);
    of_route(route, option)
        .filter(|rule| rule.stage == limit.stage)
        .filter_map(|rule| describe(rule, input))
        .collect()
}

/// What is said to the service.
pub fn request(domain: &str, descriptors: &[Descriptor<'_>]) -> ratelimit::RateLimitRequest {
    let descriptor = |d: &Descriptor<'_>| common::RateLimitDescriptor {
        entries: d
            .entries
            .iter()
            .map(|entry| common::rate_limit_descriptor::Entry {
                key: entry.key.to_owned(),
                value: String::from_utf8_lossy(&entry.value).into_owned(),
            })
            .collect(),
        limit: d.limit.map(|(requests_per_unit, unit)| common::rate_limit_descriptor::RateLimitOverride {
            requests_per_unit,
            unit,
        }),
        hits_addend: d.hits.map(|value| google::UInt64Value { value }),
        is_negative_hits: d.refills,
    };
    ratelimit::RateLimitRequest {
        domain: domain.to_owned(),
        descriptors: descriptors.iter().map(descriptor).collect(),
        hits_addend: 0,
    }
}

/// Whether the service says that a limit is reached.
pub fn is_over(answer: &ratelimit::RateLimitResponse) -> bool {
    answer.overall_code() == ratelimit::rate_limit_response::Code::OverLimit
}

/// The values of the three `x-ratelimit-*` headers: of the limit that is closest, with all windows. `wanted` says for each descriptor
/// whether it is told of.
pub fn headers(
    answer: &ratelimit::RateLimitResponse,
    wanted: impl Fn(usize) -> bool,
) -> Option<(String, u32, u64)> {
    let mut closest: Option<(&ratelimit::rate_limit_response::DescriptorStatus, u32)> = None;
    let mut windows = String::new();
    let told = answer.statuses.iter().enumerate().filter(|(number, _)| wanted(*number));
    for (_, status) in told {
        let Some(limit) = &status.current_limit else { continue };
        if closest.is_none_or(|(least, _)| status.limit_remaining < least.limit_remaining) {
            closest = Some((status, limit.requests_per_unit));
        }
        if let Some(seconds) = seconds(limit.unit()) {
            windows.push_str(&format!(", {};w={seconds}", limit.requests_per_unit));
            if !limit.name.is_empty() {
                windows.push_str(&format!(";name=\"{}\"", limit.name));
            }
        }
    }
    let (status, requests) = closest?;
    let reset = until_reset(status).map_or(0, |time| time.as_secs());
    Some((format!("{requests}{windows}"), status.limit_remaining, reset))
}

/// After how many seconds a refused client may come back: the longest time among the limits that are reached, at least 1.
pub fn retry_after(answer: &ratelimit::RateLimitResponse) -> Option<u64> {
    let over = answer.statuses.iter().filter(|s| s.code() == ratelimit::rate_limit_response::Code::OverLimit);
    let longest = over.map(|status| until_reset(status).unwrap_or_default()).max()?;
    Some((longest.as_secs() + u64::from(longest.subsec_nanos() > 0)).max(1))
}

fn until_reset(status: &ratelimit::rate_limit_response::DescriptorStatus) -> Option<Duration> {
    let google::Duration { seconds, nanos } = status.duration_until_reset?;
    Some(Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanos).ok()?))
}

fn seconds(unit: ratelimit::rate_limit_response::rate_limit::Unit) -> Option<u64> {
    use ratelimit::rate_limit_response::rate_limit::Unit;
    const DAY: u64 = 24 * 60 * 60;
    Some(match unit {
        Unit::Unknown => return None,
        Unit::Second => 1,
        Unit::Minute => 60,
        Unit::Hour => 60 * 60,
        Unit::Day => DAY,
        Unit::Week => 7 * DAY,
        Unit::Month => 30 * DAY,
        Unit::Year => 365 * DAY,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::descriptor::Entry;
    use ratelimit::rate_limit_response::{Code, DescriptorStatus, RateLimit, rate_limit::Unit};

    fn status(code: Code, limit: Option<(u32, Unit, &str)>, remaining: u32, reset: i64) -> DescriptorStatus {
        DescriptorStatus {
            code: code.into(),
            current_limit: limit.map(|(requests_per_unit, unit, name)| RateLimit {
                name: name.into(),
                requests_per_unit,
                unit: unit.into(),
            }),
            limit_remaining: remaining,
            duration_until_reset: Some(google::Duration { seconds: reset, nanos: 1 }),
            ..DescriptorStatus::default()
        }
    }

    #[test]
    fn headers_tell_of_the_closest_limit_and_of_all_windows() {
        let answer = ratelimit::RateLimitResponse {
            statuses: vec![
                status(Code::Ok, Some((10, Unit::Minute, "per-ip")), 7, 30),
                status(Code::Ok, None, 0, 1),
                status(Code::Ok, Some((1000, Unit::Hour, "")), 3, 1200),
            ],
            ..Default::default()
        };
        let all = headers(&answer, |_| true);
        assert_eq!(all, Some(("1000, 10;w=60;name=\"per-ip\", 1000;w=3600".into(), 3, 1200)));
        assert_eq!(headers(&answer, |n| n == 0), Some(("10, 10;w=60;name=\"per-ip\"".into(), 7, 30)));
        assert_eq!(headers(&answer, |n| n == 1), None);
    }

    #[test]
    fn a_refused_client_comes_back_when_the_last_limit_is_reset() {
        let answer = ratelimit::RateLimitResponse {
            statuses: vec![
                status(Code::Ok, None, 0, 99),
                status(Code::OverLimit, None, 0, 7),
                status(Code::OverLimit, None, 0, 3),
            ],
            ..Default::default()
        };
        assert_eq!(retry_after(&answer), Some(8));
        assert_eq!(retry_after(&Default::default()), None);
    }

    #[test]
    fn descriptors_travel_whole() {
        let entry = Entry { key: "k", value: b"v\xff"[..].into() };
        let descriptor = Descriptor {
            entries: [entry].into_iter().collect(),
            hits: Some(3),
            refills: true,
            limit: Some((42, 2)),
            headers: None,
        };
        let request = request("shop", &[descriptor]);
        let said = &request.descriptors[0];
        assert_eq!((request.domain.as_str(), said.entries[0].value.as_str()), ("shop", "v\u{fffd}"));
        assert_eq!(said.limit.map(|l| (l.requests_per_unit, l.unit)), Some((42, 2)));
        assert_eq!((said.hits_addend.map(|h| h.value), said.is_negative_hits), (Some(3), true));
    }
}
