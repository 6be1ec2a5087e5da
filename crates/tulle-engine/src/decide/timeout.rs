//! How long a request may take.

use std::time::Duration;

use tulle_http::{Known, RequestHead};

use super::route::is_grpc;
use crate::runtime::http_manager::HttpTimeouts;
use crate::runtime::route::{Forward, GrpcTimeout, IdleTimeout};

/// The times of a request. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// From the end of the request to the end of the response, all tries together (504, `UT`).
    pub global: Option<Duration>,
    /// For each try; only if shorter than `global`.
    pub per_try: Option<Duration>,
    /// Longest silence of a try.
    pub per_try_idle: Option<Duration>,
    /// Longest silence of the stream (408 while the request is incomplete, 504 after).
    pub stream_idle: Option<Duration>,
    /// Longest life of the stream, from its first byte (504 with details `max_duration_timeout`).
    pub max_stream: Option<Duration>,
    /// Whether 204 stands for 504 when the upstream is too slow (`x-envoy-upstream-rq-timeout-alt-response`).
    pub quiet: bool,
}

/// The times of a request on its route. Headers that ask for other times are believed only of internal requests
/// (`trusted`), and are removed.
pub fn resolve(forward: &Forward, manager: &HttpTimeouts, head: &mut RequestHead, trusted: bool) -> Timeouts {
    let mut times = Timeouts {
        global: global(forward, head),
        per_try: forward.retry.as_ref().and_then(|retry| retry.per_try_timeout),
        per_try_idle: forward.retry.as_ref().and_then(|retry| retry.per_try_idle_timeout),
        stream_idle: match forward.idle_timeout {
            IdleTimeout::Inherit => manager.stream_idle,
            IdleTimeout::Off => None,
            IdleTimeout::After(after) => Some(after),
        },
        max_stream: max_stream(forward, manager, head),
        quiet: false,
    };
    if trusted {
        times.quiet = head.headers.contains("x-envoy-upstream-rq-timeout-alt-response");
        if let Some(asked) = header_millis(head, Known::XEnvoyUpstreamRqTimeoutMs) {
            times.global = (!asked.is_zero()).then_some(asked);
        }
        if let Some(asked) = header_millis(head, Known::XEnvoyUpstreamRqPerTryTimeoutMs) {
            times.per_try = (!asked.is_zero()).then_some(asked);
        }
    }
    head.headers.remove(Known::XEnvoyUpstreamRqTimeoutMs);
    head.headers.remove(Known::XEnvoyUpstreamRqPerTryTimeoutMs);
    if let (Some(try_), Some(global)) = (times.per_try, times.global)
        && try_ >= global
    {
        times.per_try = None;
    }
    if is_grpc(head) {
        // The upstream hears of the time that holds.
        let old = !forward.max_stream_duration.replaces_timeout
            && forward.max_stream_duration.grpc != GrpcTimeout::Ignore;
        let told = times.max_stream.or_else(|| times.per_try.or(times.global).filter(|_| old));
        if let Some(time) = told {
            head.headers
                .set(Known::GrpcTimeout, format!("{}m", time.as_millis().clamp(1, 99_999_999)).as_bytes());
        }
    }
    times
}

/// The route's timeout, unless `max_stream_duration` or, for gRPC, `max_grpc_timeout` stands for it.
fn global(forward: &Forward, head: &RequestHead) -> Option<Duration> {
    let route = &forward.max_stream_duration;
    if route.replaces_timeout {
        return None;
    }
    let most = match route.grpc {
        GrpcTimeout::UpTo(most) if is_grpc(head) => Some(most),
        GrpcTimeout::Any if is_grpc(head) => None,
        _ => return forward.timeout,
    };
    let asked = grpc_timeout(head).unwrap_or_default();
    let asked = asked.checked_sub(route.grpc_offset).filter(|left| !left.is_zero()).unwrap_or(asked);
    match most {
        Some(most) if asked.is_zero() || asked > most => Some(most),
        _ => (!asked.is_zero()).then_some(asked),
    }
}

/// What `x-envoy-expected-rq-timeout-ms` tells the upstream: the time of a try, or what is left of the whole.
pub fn expected_millis(times: &Timeouts, elapsed: Duration) -> Option<u64> {
    let left = times.global.map(|global| global.saturating_sub(elapsed));
    let expected = match (times.per_try, left) {
        (Some(try_), Some(left)) => try_.min(left),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return None,
    };
    Some(u64::try_from(expected.as_millis()).unwrap_or(u64::MAX).max(1))
}

fn max_stream(forward: &Forward, manager: &HttpTimeouts, head: &RequestHead) -> Option<Duration> {
    let route = &forward.max_stream_duration;
    let cap = match route.grpc {
        GrpcTimeout::Ignore => None,
        GrpcTimeout::UpTo(max) => Some(Some(max)),
        GrpcTimeout::Any => Some(None),
    };
    if let (Some(cap), Some(asked), true) = (cap, grpc_timeout(head), route.replaces_timeout) {
        let capped = match cap {
            Some(max) if asked > max || asked.is_zero() => max,
            _ => asked,
        };
        return (!capped.is_zero()).then(|| capped.saturating_sub(route.grpc_offset));
    }
    if route.unlimited { None } else { route.max.or(manager.max_stream) }
}

/// Reads `grpc-timeout`: up to eight digits and a unit (`H M S m u n`); `None` if missing or malformed.
pub fn grpc_timeout(head: &RequestHead) -> Option<Duration> {
    let text = head.headers.get_str(Known::GrpcTimeout)?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

fn header_millis(head: &RequestHead, name: Known) -> Option<Duration> {
    head.headers.get_str(name)?.parse().ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::route::{ClusterChoice, HostRewrite, PathRewrite, Priority, StreamDuration};

    fn forward() -> Forward {
        Forward {
            cluster: ClusterChoice::Single("c".into()),
            cluster_not_found_status: 503,
            host_rewrite: HostRewrite::None,
            append_x_forwarded_host: false,
            path_rewrite: PathRewrite::None,
            timeout: Some(Duration::from_secs(15)),
            idle_timeout: IdleTimeout::Inherit,
            max_stream_duration: StreamDuration::default(),
            retry: None,
            mirrors: vec![],
            hash_policies: vec![],
            upgrades: vec![],
            connect_terminate: false,
            metadata_match: Default::default(),
            priority: Priority::Default,
            internal_redirect: None,
            rate_limits: vec![],
            include_virtual_host_rate_limits: false,
        }
    }

    fn manager() -> HttpTimeouts {
        HttpTimeouts {
            request: None,
            request_headers: None,
            stream_idle: Some(Duration::from_secs(300)),
            stream_flush: None,
            idle: None,
            max_connection: None,
            max_stream: Some(Duration::from_secs(600)),
            drain: Duration::from_secs(5),
            delayed_close: Duration::from_secs(1),
        }
    }

    fn grpc(timeout: &str) -> RequestHead {
        let headers = [("content-type", "application/grpc"), ("grpc-timeout", timeout)];
        RequestHead { headers: headers.into_iter().collect(), ..Default::default() }
    }

    #[test]
    fn headers_change_timeouts_only_from_inside_and_never_travel_on() {
        let headers =
            [("x-envoy-upstream-rq-timeout-ms", "500"), ("x-envoy-upstream-rq-per-try-timeout-ms", "100")];
        let head = RequestHead { headers: headers.into_iter().collect(), ..Default::default() };
        let (mut outside, mut inside) = (head.clone(), head);
        let times = resolve(&forward(), &manager(), &mut outside, false);
        assert_eq!((times.global, times.per_try), (Some(Duration::from_secs(15)), None));
        let times = resolve(&forward(), &manager(), &mut inside, true);
        assert_eq!(times.global, Some(Duration::from_millis(500)));
        assert_eq!(times.per_try, Some(Duration::from_millis(100)));
        assert!(outside.headers.is_empty() && inside.headers.is_empty());
        assert_eq!(expected_millis(&times, Duration::from_millis(450)), Some(50));
    }

    #[test]
    fn a_try_as_long_as_the_whole_has_no_limit_of_its_own() {
        let headers = [("x-envoy-upstream-rq-per-try-timeout-ms", "15000")];
        let mut head = RequestHead { headers: headers.into_iter().collect(), ..Default::default() };
        assert_eq!(resolve(&forward(), &manager(), &mut head, true).per_try, None);
    }

    #[test]
    fn grpc_timeouts_are_capped_and_shifted_where_the_route_allows_them() {
        let with = |grpc, offset| Forward {
            max_stream_duration: StreamDuration {
                grpc,
                grpc_offset: Duration::from_millis(offset),
                replaces_timeout: true,
                ..Default::default()
            },
            ..forward()
        };
        let max = |forward: &Forward, timeout: &str| {
            resolve(forward, &manager(), &mut grpc(timeout), false).max_stream.map(|d| d.as_millis())
        };
        assert_eq!(max(&forward(), "1S"), Some(600_000), "ignored without permission");
        assert_eq!(max(&with(GrpcTimeout::Any, 0), "1S"), Some(1000));
        assert_eq!(max(&with(GrpcTimeout::UpTo(Duration::from_millis(300)), 0), "1S"), Some(300));
        assert_eq!(max(&with(GrpcTimeout::Any, 100), "1S"), Some(900));
        assert_eq!(max(&with(GrpcTimeout::Any, 0), "nonsense"), Some(600_000));
        let unlimited = StreamDuration { unlimited: true, ..Default::default() };
        assert_eq!(max(&Forward { max_stream_duration: unlimited, ..forward() }, "1S"), None);
    }

    #[test]
    fn grpc_timeout_header() {
        for (text, millis) in [("5H", 18_000_000), ("2M", 120_000), ("3S", 3000), ("250m", 250), ("1000u", 1)]
        {
            assert_eq!(grpc_timeout(&grpc(text)).map(|d| d.as_millis()), Some(millis), "{text}");
        }
        for bad in ["", "S", "123456789S", "1x", "-1S"] {
            assert_eq!(grpc_timeout(&grpc(bad)), None, "{bad}");
        }
    }
}
