//! Which faults a request meets.

use std::time::Duration;

use tulle_http::RequestHead;

use super::matcher;
use crate::runtime::fault::{AbortSource, DelaySource, Fault, Share};
use crate::runtime::matcher::Fraction;

/// The faults of a request: first the delay, then the abort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults<'f> {
    /// How long it waits (response flag `DI`).
    pub delay: Option<Duration>,
    /// How it is answered in place of the upstream (response flag `FI`).
    pub abort: Option<Abort<'f>>,
    /// KiB per second of the response, the proxy's own included.
    pub response_kbps: Option<u64>,
}

impl Faults<'_> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// An answer in place of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort<'f> {
    /// HTTP status; 200 when a gRPC status is to be sent.
    pub http_status: u16,
    /// gRPC status to send to a gRPC client.
    pub grpc_status: Option<u32>,
    /// The body for clients that do not speak gRPC.
    pub body: &'f str,
}

/// Draws the faults of a request. `active` is how many requests are under a fault now, over all workers; `random` makes
/// uniform numbers. When the limit of active faults is reached, there is none.
pub fn decide<'f>(
    fault: &'f Fault,
    head: &RequestHead,
    cluster: &str,
    active: u32,
    random: &mut dyn FnMut() -> u64,
) -> Faults<'f> {
    if !applies(fault, head, cluster) || fault.max_active.is_some_and(|max| active >= max) {
        return Faults::default();
    }
    let delay = fault.delay.and_then(|delay| {
        let (duration, percentage) = match delay.duration {
            DelaySource::Fixed(duration) => (duration, delay.share.fraction),
            DelaySource::Header => {
                let millis = number(head, "x-envoy-fault-delay-request")?;
                let percentage = asked(head, "x-envoy-fault-delay-request-percentage", delay.share);
                (Duration::from_millis(millis), percentage)
            }
        };
        (percentage.hits(random()) && !duration.is_zero()).then_some(duration)
    });
    let abort = fault.abort.as_ref().and_then(|abort| {
        let (http_status, grpc_status, percentage) = match abort.status {
            AbortSource::Http(status) => (status, None, abort.share.fraction),
            AbortSource::Grpc(status) => (200, Some(status), abort.share.fraction),
            AbortSource::Header => header_abort(head, abort.share)?,
        };
        percentage.hits(random()).then_some(Abort { http_status, grpc_status, body: &abort.body })
    });
    let response_kbps = fault.response_rate.and_then(|rate| {
        let (kbps, percentage) = match rate.kbps {
            Some(kbps) => (kbps, rate.share.fraction),
            None => {
                let kbps = number(head, "x-envoy-fault-throughput-response").filter(|k| *k > 0)?;
                (kbps, asked(head, "x-envoy-fault-throughput-response-percentage", rate.share))
            }
        };
        percentage.hits(random()).then_some(kbps)
    });
    Faults { delay, abort, response_kbps }
}

fn applies(fault: &Fault, head: &RequestHead, cluster: &str) -> bool {
    let node = || head.headers.get_str("x-envoy-downstream-service-node").unwrap_or_default();
    (fault.upstream_cluster.is_empty() || *fault.upstream_cluster == *cluster)
        && fault.headers.iter().all(|want| matcher::header(want, head))
        && (fault.downstream_nodes.is_empty() || fault.downstream_nodes.iter().any(|n| **n == *node()))
}

fn header_abort(head: &RequestHead, max: Share) -> Option<(u16, Option<u32>, Fraction)> {
    let percentage = asked(head, "x-envoy-fault-abort-request-percentage", max);
    let http = number(head, "x-envoy-fault-abort-request").and_then(|n| u16::try_from(n).ok());
    if let Some(status) = http.filter(|status| (200..600).contains(status)) {
        return Some((status, None, percentage));
    }
    let grpc = number(head, "x-envoy-fault-abort-grpc-request").and_then(|n| u32::try_from(n).ok())?;
    Some((200, Some(grpc), percentage))
}

/// The share that a header asks for, at most that of the configuration.
fn asked(head: &RequestHead, name: &str, max: Share) -> Fraction {
    max.at_most(number(head, name).and_then(|parts| u32::try_from(parts).ok()))
}

fn number(head: &RequestHead, name: &str) -> Option<u64> {
    head.headers.get_str(name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::fault::{FaultAbort, FaultDelay, FaultRate};

    fn fault(abort: AbortSource, share: Share) -> Fault {
        Fault {
            abort: Some(FaultAbort { share, status: abort, body: "fault filter abort".into() }),
            ..Default::default()
        }
    }

    fn head(headers: &[(&str, &str)]) -> RequestHead {
        RequestHead { headers: headers.iter().copied().collect(), ..Default::default() }
    }

    #[test]
    fn percentages_and_limits() {
        let half = fault(AbortSource::Http(503), Share { fraction: Fraction::new(50, 100), of: 100 });
        let hits =
            |seed: u64| decide(&half, &head(&[]), "c", 0, &mut || seed).abort.map(|abort| abort.http_status);
        assert_eq!((hits(499_999), hits(500_000)), (Some(503), None));
        let limited = Fault { max_active: Some(1), ..half };
        assert!(decide(&limited, &head(&[]), "c", 1, &mut || 0).is_empty());
        let elsewhere = Fault { upstream_cluster: "d".into(), ..limited };
        assert!(decide(&elsewhere, &head(&[]), "c", 0, &mut || 0).is_empty());
    }

    #[test]
    fn headers_decide_up_to_the_configured_percentage() {
        let f = Fault {
            delay: Some(FaultDelay { share: Share::ALL, duration: DelaySource::Header }),
            ..fault(AbortSource::Header, Share::ALL)
        };
        let asked = head(&[
            ("x-envoy-fault-abort-request", "418"),
            ("x-envoy-fault-delay-request", "100"),
            ("x-envoy-fault-delay-request-percentage", "0"),
        ]);
        let got = decide(&f, &asked, "c", 0, &mut || 0);
        assert_eq!(got.delay, None);
        assert_eq!(got.abort.map(|a| a.http_status), Some(418));
        assert!(decide(&f, &head(&[]), "c", 0, &mut || 0).is_empty());
    }

    #[test]
    fn a_grpc_abort_is_200_for_everybody_else() {
        let f = fault(AbortSource::Grpc(14), Share::ALL);
        let abort = decide(&f, &head(&[]), "c", 0, &mut || 0).abort.unwrap();
        assert_eq!((abort.http_status, abort.grpc_status, abort.body), (200, Some(14), "fault filter abort"));
    }

    #[test]
    fn responses_are_slowed_as_configured_or_as_the_request_asks() {
        let slow = |share: Share, kbps: Option<u64>| Fault {
            response_rate: Some(FaultRate { share, kbps }),
            ..Default::default()
        };
        let rate = |fault: &Fault, headers: &[(&str, &str)], random: u64| {
            decide(fault, &head(headers), "c", 0, &mut || random).response_kbps
        };
        let header = "x-envoy-fault-throughput-response";
        let percentage = "x-envoy-fault-throughput-response-percentage";
        assert_eq!(rate(&slow(Share::ALL, Some(8)), &[(header, "1")], 0), Some(8));
        let asked = slow(Share::ALL, None);
        assert_eq!(rate(&asked, &[(header, "3")], 0), Some(3));
        for nothing in [&[][..], &[(header, "0")], &[(header, "-1")], &[(header, "x")]] {
            assert_eq!(rate(&asked, nothing, 0), None, "{nothing:?}");
        }
        assert_eq!(rate(&asked, &[(header, "3"), (percentage, "0")], 0), None);
        assert_eq!(rate(&asked, &[(header, "3"), (percentage, "nonsense")], 999_999), Some(3));
        // The header's number is a part of what the configuration's is a part of.
        let fine = slow(Share { fraction: Fraction::ALWAYS, of: 1_000_000 }, None);
        assert_eq!(rate(&fine, &[(header, "3"), (percentage, "10")], 9), Some(3));
        assert_eq!(rate(&fine, &[(header, "3"), (percentage, "10")], 10), None);
        let half = slow(Share { fraction: Fraction::new(50, 100), of: 100 }, None);
        assert_eq!(
            rate(&half, &[(header, "3"), (percentage, "100")], 500_000),
            None,
            "no more than configured"
        );
    }
}
