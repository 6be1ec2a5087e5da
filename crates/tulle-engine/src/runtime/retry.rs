//! Retries (`envoy.config.route.v3.RetryPolicy`).

use std::sync::Arc;
use std::time::Duration;

use super::matcher::HeaderMatcher;
use super::metadata::Fields;

/// When, how often and how fast a request is tried again.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// On which outcomes.
    pub on: RetryOn,
    /// How often at most, beside the first try. Default 1.
    pub num_retries: u32,
    /// How long each try may take; `None` for as long as the route's timeout.
    pub per_try_timeout: Option<Duration>,
    /// How long a try may be silent; `None` for no limit.
    pub per_try_idle_timeout: Option<Duration>,
    /// Status codes that [`RetryOn::RETRIABLE_STATUS_CODES`] means.
    pub retriable_status_codes: Vec<u16>,
    /// Response headers that [`RetryOn::RETRIABLE_HEADERS`] means; one is enough.
    pub retriable_headers: Vec<HeaderMatcher>,
    /// Only requests with one of these headers are tried again; empty for all.
    pub retriable_request_headers: Vec<HeaderMatcher>,
    /// First wait; the n-th is random in 0..base * 2^n. Default 25 ms.
    pub backoff_base: Duration,
    /// Longest wait. Default ten times the base.
    pub backoff_max: Duration,
    /// Waits that the upstream asks for.
    pub rate_limited: Option<RateLimitedBackoff>,
    /// Which hosts are passed over.
    pub passed_over: PassedOver,
    /// After every so many tries, priorities that were tried are passed over (`previous_priorities`); `None` for never.
    pub previous_priorities: Option<u32>,
    /// How many hosts are looked at for one that is not passed over. Default 1.
    pub host_selection_attempts: u32,
}

/// Which hosts further tries pass over, as long as others are found (`retry_host_predicate`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PassedOver {
    /// Those that have been tried (`previous_hosts`).
    pub tried: bool,
    /// Those whose `envoy.lb` metadata says `canary: true` (`omit_canary_hosts`).
    pub canaries: bool,
    /// Those whose `envoy.lb` metadata has all of one of these (`omit_host_metadata`); none of them is empty.
    pub metadata: Vec<Fields>,
}

impl PassedOver {
    /// Whether every host will do.
    pub fn is_none(&self) -> bool {
        !self.tried && !self.canaries && self.metadata.is_empty()
    }
}

/// Waits that the upstream asks for.
#[derive(Clone, Debug)]
pub struct RateLimitedBackoff {
    /// Headers to read, first that is there wins.
    pub headers: Vec<ResetHeader>,
    /// Longest wait; a longer one is not taken as an offer. Default 300 s.
    pub max: Duration,
}

/// A header that says how long to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetHeader {
    /// Its name, lower case.
    pub name: Arc<str>,
    /// Whether it is a point in time (Unix seconds) instead of seconds from now.
    pub unix_timestamp: bool,
}

/// A set of outcomes, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryOn(u32);

macro_rules! retry_on {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $token:literal;)*) => {
        impl RetryOn {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*

            /// The set that one token of `retry_on` stands for; `None` for an unknown one.
            pub fn from_token(token: &str) -> Option<Self> {
                match token {
                    $($token => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Every known token.
            pub const TOKENS: &'static [&'static str] = &[$($token),*];
        }
    };
}

retry_on! {
    /// The upstream answers 5xx, or not at all (disconnect, reset, timeout of the try).
    FIVE_XX = 0, "5xx";
    /// 502, 503 or 504.
    GATEWAY_ERROR = 1, "gateway-error";
    /// The upstream resets, disconnects, or does not answer in time.
    RESET = 2, "reset";
    /// The connection cannot be made.
    CONNECT_FAILURE = 3, "connect-failure";
    /// As `retriable-4xx`: 409.
    RETRIABLE_4XX = 4, "retriable-4xx";
    /// The stream is refused (`REFUSED_STREAM`).
    REFUSED_STREAM = 5, "refused-stream";
    /// Status codes of the policy.
    RETRIABLE_STATUS_CODES = 6, "retriable-status-codes";
    /// Response headers of the policy.
    RETRIABLE_HEADERS = 7, "retriable-headers";
    /// `x-envoy-ratelimited` is in the response.
    ENVOY_RATELIMITED = 8, "envoy-ratelimited";
    /// Reset before the request was sent.
    RESET_BEFORE_REQUEST = 9, "reset-before-request";
    /// Failed HTTP/3 POST connections: never happens here.
    HTTP3_POST_CONNECT_FAILURE = 10, "http3-post-connect-failure";
    /// gRPC status 1 in the response headers.
    GRPC_CANCELLED = 16, "cancelled";
    /// gRPC status 4.
    GRPC_DEADLINE_EXCEEDED = 17, "deadline-exceeded";
    /// gRPC status 13.
    GRPC_INTERNAL = 18, "internal";
    /// gRPC status 8.
    GRPC_RESOURCE_EXHAUSTED = 19, "resource-exhausted";
    /// gRPC status 14.
    GRPC_UNAVAILABLE = 20, "unavailable";
}

impl RetryOn {
    /// No outcome.
    pub const NONE: Self = Self(0);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether one outcome of `other` is in this set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether nothing is tried again.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
