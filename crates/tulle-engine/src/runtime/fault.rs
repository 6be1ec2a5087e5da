//! Injected faults (`envoy.filters.http.fault`).

use std::sync::Arc;
use std::time::Duration;

use super::matcher::{Fraction, HeaderMatcher};

/// The faults of a route or of a filter.
#[derive(Clone, Debug, Default)]
pub struct Fault {
    /// Waiting; before an abort.
    pub delay: Option<FaultDelay>,
    /// Answering in place of the upstream.
    pub abort: Option<FaultAbort>,
    /// Only requests to this cluster; empty for all.
    pub upstream_cluster: Arc<str>,
    /// Only requests with all of these.
    pub headers: Vec<HeaderMatcher>,
    /// Only requests of these nodes (`x-envoy-downstream-service-node`); empty for all.
    pub downstream_nodes: Vec<Arc<str>>,
    /// How many requests may be under a fault at once, over all workers; `None` for any number.
    pub max_active: Option<u32>,
    /// Slows the response down.
    pub response_rate: Option<FaultRate>,
}

/// How many requests meet a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// By the configuration.
    pub fraction: Fraction,
    /// What a number in a request's header is a part of: 100, 10,000 or 1,000,000.
    pub of: u32,
}

impl Share {
    /// No request.
    pub const NONE: Self = Self { fraction: Fraction::ZERO, of: 100 };
    /// Every request.
    pub const ALL: Self = Self { fraction: Fraction::ALWAYS, of: 100 };

    /// The share that a request's header asks for, at most that of the configuration.
    pub fn at_most(self, asked: Option<u32>) -> Fraction {
        asked.map_or(self.fraction, |asked| Fraction::new(asked, self.of).min(self.fraction))
    }
}

/// Waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultDelay {
    /// How many requests wait.
    pub share: Share,
    /// How long.
    pub duration: DelaySource,
}

/// Where a delay comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelaySource {
    /// The configuration.
    Fixed(Duration),
    /// `x-envoy-fault-delay-request` in milliseconds, and `-percentage`.
    Header,
}

/// Answering in place of the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultAbort {
    /// How many requests are answered.
    pub share: Share,
    /// With what.
    pub status: AbortSource,
    /// The body; `fault filter abort` by default.
    pub body: Arc<str>,
}

/// Where the status of an abort comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortSource {
    /// The configuration: an HTTP status, 200 to 599.
    Http(u16),
    /// The configuration: a gRPC status.
    Grpc(u32),
    /// `x-envoy-fault-abort-request` or `x-envoy-fault-abort-grpc-request`, and `-percentage`.
    Header,
}

/// Slowing the response down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultRate {
    /// How many responses.
    pub share: Share,
    /// KiB per second; at least 1. `None` reads `x-envoy-fault-throughput-response`.
    pub kbps: Option<u64>,
}
