//! Whether a request is tried again, and when.

use std::time::Duration;

use tulle_base::backoff::Backoff;
use tulle_http::{Known, RequestHead, ResponseHead};

use super::matcher;
use crate::runtime::{
    Endpoint,
    metadata::{Fields, Value},
    retry::{PassedOver, RetryOn, RetryPolicy},
};

/// How a try failed without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or not in time.
    Connect,
    /// The upstream refused the stream (`REFUSED_STREAM`).
    Refused,
    /// The upstream reset the stream or closed the connection.
    Reset {
        /// Whether anything of the request had been sent.
        request_sent: bool,
    },
    /// The try took longer than `per_try_timeout`.
    PerTryTimeout,
    /// The try was silent for `per_try_idle_timeout`.
    PerTryIdleTimeout,
    /// A circuit breaker refused the try: never tried again.
    Overflow,
}

/// What becomes of a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryVerdict {
    /// Again, after this wait.
    After(Duration),
    /// No: the policy does not ask for it.
    No,
    /// No: there have been enough (response flag `URX`).
    LimitReached,
}

/// The retries of one request.
#[derive(Clone, Debug)]
pub struct RetryState<'p> {
    policy: Option<&'p RetryPolicy>,
    on: RetryOn,
    codes: Vec<u16>,
    /// Names of response headers that the request asks to be tried again for.
    names: Vec<Box<str>>,
    left: u32,
    backoff: Backoff,
}

impl<'p> RetryState<'p> {
    /// The retries that the route and, for internal requests (`trusted`), the request's own headers ask for. `None` if
    /// no outcome asks for any, which is the common case without policy.
    pub fn new(policy: Option<&'p RetryPolicy>, head: &RequestHead, trusted: bool) -> Option<Self> {
        let (mut on, mut left) = policy.map_or((RetryOn::NONE, 1), |p| (p.on, p.num_retries));
        let (mut codes, mut names) = (Vec::new(), Vec::new());
        if trusted {
            for name in [Known::XEnvoyRetryOn, Known::XEnvoyRetryGrpcOn] {
                on = tokens(head.headers.get_str(name).unwrap_or_default()).fold(on, RetryOn::with);
            }
            if let Some(asked) = head.headers.get_str(Known::XEnvoyMaxRetries).and_then(|t| t.parse().ok()) {
                left = asked;
            }
            if let Some(list) = head.headers.get_str("x-envoy-retriable-status-codes") {
                codes = list.split(',').filter_map(|code| code.trim().parse().ok()).collect();
            }
            if let Some(list) = head.headers.get_str("x-envoy-retriable-header-names") {
                names = list.split(',').map(|name| name.trim().into()).collect();
            }
        }
        if let Some(policy) = policy
            && !policy.retriable_request_headers.is_empty()
            && !policy.retriable_request_headers.iter().any(|want| matcher::header(want, head))
        {
            on = RetryOn::NONE;
        }
        if on.is_empty() {
            return None;
        }
        let (base, max) = policy.map_or((Duration::from_millis(25), Duration::from_millis(250)), |p| {
            (p.backoff_base, p.backoff_max)
        });
        Some(Self { policy, on, codes, names, left, backoff: Backoff::new(base, max) })
    }

    /// The policy of the route, if the route has one.
    pub fn policy(&self) -> Option<&'p RetryPolicy> {
        self.policy
    }

    /// How many retries are left.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// What becomes of a try that failed. `random` is uniform in `0.0..1.0`. A verdict to try again counts as used; ask
    /// the retry breaker first.
    pub fn on_failure(&mut self, failure: Failure, random: f64) -> RetryVerdict {
        let wanted = match failure {
            Failure::Overflow => RetryOn::NONE,
            Failure::Connect => RetryOn::CONNECT_FAILURE.with(RetryOn::RESET_BEFORE_REQUEST),
            Failure::Refused => RetryOn::REFUSED_STREAM.with(RetryOn::RESET_BEFORE_REQUEST),
            Failure::Reset { request_sent: false } => RetryOn::RESET_BEFORE_REQUEST,
            Failure::Reset { request_sent: true } | Failure::PerTryTimeout | Failure::PerTryIdleTimeout => {
                RetryOn::NONE
            }
        };
        let any = RetryOn::FIVE_XX.with(RetryOn::GATEWAY_ERROR).with(RetryOn::RESET);
        let hit = failure != Failure::Overflow && self.on.has(wanted.with(any));
        self.verdict(hit, None, random)
    }

    /// What becomes of a response. `now_unix` is the time in seconds, for headers that name a point in time.
    pub fn on_response(&mut self, response: &ResponseHead, now_unix: u64, random: f64) -> RetryVerdict {
        let hit = self.wants(response);
        let asked = if hit { self.asked_wait(response, now_unix) } else { None };
        self.verdict(hit, asked, random)
    }

    /// Whether the policy wants this response tried again, whatever is left.
    pub fn wants(&self, response: &ResponseHead) -> bool {
        if response.headers.contains("x-envoy-ratelimited") {
            return self.on.has(RetryOn::ENVOY_RATELIMITED);
        }
        let status = response.status;
        let has = |set| self.on.has(set);
        let listed = |code: &u16| *code == status;
        (has(RetryOn::FIVE_XX) && status >= 500)
            || (has(RetryOn::GATEWAY_ERROR) && (502..=504).contains(&status))
            || (has(RetryOn::RETRIABLE_4XX) && status == 409)
            || (has(RetryOn::RETRIABLE_STATUS_CODES)
                && (self.codes.iter().any(listed)
                    || self.policy.is_some_and(|p| p.retriable_status_codes.iter().any(listed))))
            || (has(RetryOn::RETRIABLE_HEADERS)
                && (self.names.iter().any(|name| response.headers.contains(&**name))
                    || self.policy.is_some_and(|p| {
                        p.retriable_headers.iter().any(|want| matcher::header(want, response))
                    })))
            || self.wants_grpc(response)
    }

    fn wants_grpc(&self, response: &ResponseHead) -> bool {
        let set = match response.headers.get(Known::GrpcStatus) {
            Some(b"1") => RetryOn::GRPC_CANCELLED,
            Some(b"4") => RetryOn::GRPC_DEADLINE_EXCEEDED,
            Some(b"8") => RetryOn::GRPC_RESOURCE_EXHAUSTED,
            Some(b"13") => RetryOn::GRPC_INTERNAL,
            Some(b"14") => RetryOn::GRPC_UNAVAILABLE,
            _ => RetryOn::NONE,
        };
        self.on.has(set)
    }

    fn asked_wait(&self, response: &ResponseHead, now_unix: u64) -> Option<Duration> {
        let asked = self.policy?.rate_limited.as_ref()?;
        asked.headers.iter().find_map(|header| {
            let number: u64 = response.headers.get_str(&*header.name)?.parse().ok()?;
            let seconds = if header.unix_timestamp { number.checked_sub(now_unix)? } else { number };
            let wait = Duration::from_secs(seconds);
            (!wait.is_zero() && wait <= asked.max).then_some(wait)
        })
    }

    fn verdict(&mut self, hit: bool, asked: Option<Duration>, random: f64) -> RetryVerdict {
        if !hit {
            return RetryVerdict::No;
        }
        if self.left == 0 {
            return RetryVerdict::LimitReached;
        }
        self.left -= 1;
        RetryVerdict::After(match asked {
            // Spread over half as much again, so that clients do not come back together.
            Some(wait) => wait + wait.mul_f64(0.5 * random.clamp(0.0, 1.0)),
            None => self.backoff.next(random),
        })
    }
}

/// The sets that a comma-separated list stands for; unknown tokens are passed over, as Envoy does with headers.
pub fn tokens(list: &str) -> impl Iterator<Item = RetryOn> {
    list.split(',').filter_map(|token| RetryOn::from_token(token.trim()))
}

/// Whether a further try looks for another host than `endpoint`. `tried`: it was asked already.
pub fn passes_over(over: &PassedOver, endpoint: &Endpoint, tried: bool) -> bool {
    (over.tried && tried)
        || (over.canaries && endpoint.lb.get("canary") == Some(&Value::Bool(true)))
        || over.metadata.iter().any(|fields| has_all(&endpoint.lb, fields))
}

/// Whether `lb` has all of `fields`; of a list one is enough.
fn has_all(lb: &Fields, fields: &Fields) -> bool {
    fields.iter().all(|(name, want)| match lb.get(name) {
        Some(Value::List(items)) => {
            items.contains(want) || matches!(want, Value::List(list) if list == items)
        }
        Some(value) => value == want,
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{endpoint::Health, net::Address};

    fn policy(on: &str, num_retries: u32) -> RetryPolicy {
        RetryPolicy {
            on: tokens(on).fold(RetryOn::NONE, RetryOn::with),
            num_retries,
            per_try_timeout: None,
            per_try_idle_timeout: None,
            retriable_status_codes: vec![418],
            retriable_headers: vec![],
            retriable_request_headers: vec![],
            backoff_base: Duration::from_millis(25),
            backoff_max: Duration::from_millis(250),
            rate_limited: None,
            passed_over: PassedOver { tried: true, ..PassedOver::default() },
            previous_priorities: None,
            host_selection_attempts: 5,
        }
    }

    fn after_status(on: &str, status: u16, headers: &[(&str, &str)]) -> bool {
        let policy = policy(on, 1);
        let mut state = RetryState::new(Some(&policy), &RequestHead::default(), false).unwrap();
        let response =
            ResponseHead { headers: headers.iter().copied().collect(), ..ResponseHead::new(status) };
        matches!(state.on_response(&response, 0, 0.0), RetryVerdict::After(_))
    }

    #[test]
    fn statuses() {
        assert!(after_status("5xx", 503, &[]) && !after_status("5xx", 499, &[]));
        assert!(after_status("gateway-error", 504, &[]) && !after_status("gateway-error", 500, &[]));
        assert!(after_status("retriable-4xx", 409, &[]) && !after_status("retriable-4xx", 404, &[]));
        assert!(after_status("retriable-status-codes", 418, &[]));
        assert!(!after_status("connect-failure", 503, &[]), "Istio's default does not retry a 503");
        assert!(after_status("unavailable", 200, &[("grpc-status", "14")]));
        assert!(!after_status("cancelled", 200, &[("grpc-status", "14")]));
        assert!(!after_status("5xx", 503, &[("x-envoy-ratelimited", "true")]));
        assert!(after_status("envoy-ratelimited", 429, &[("x-envoy-ratelimited", "true")]));
    }

    #[test]
    fn failures() {
        let check = |on: &str, failure, want: bool| {
            let policy = policy(on, 1);
            let mut state = RetryState::new(Some(&policy), &RequestHead::default(), false).unwrap();
            let again = matches!(state.on_failure(failure, 0.0), RetryVerdict::After(_));
            assert_eq!(again, want, "{on} {failure:?}");
        };
        check("connect-failure", Failure::Connect, true);
        check("connect-failure", Failure::Reset { request_sent: true }, false);
        check("reset", Failure::Reset { request_sent: true }, true);
        check("5xx", Failure::PerTryTimeout, true);
        check("refused-stream", Failure::Refused, true);
        check("reset-before-request", Failure::Reset { request_sent: false }, true);
        check("reset-before-request", Failure::Reset { request_sent: true }, false);
        check("5xx,reset,connect-failure", Failure::Overflow, false);
    }

    #[test]
    fn the_number_is_kept_and_waits_grow() {
        let policy = policy("5xx", 2);
        let mut state = RetryState::new(Some(&policy), &RequestHead::default(), false).unwrap();
        let bad = ResponseHead::new(500);
        assert_eq!(state.on_response(&bad, 0, 1.0), RetryVerdict::After(Duration::from_millis(25)));
        assert_eq!(state.on_response(&bad, 0, 1.0), RetryVerdict::After(Duration::from_millis(50)));
        assert_eq!(state.on_response(&bad, 0, 1.0), RetryVerdict::LimitReached);
        assert_eq!(state.on_response(&ResponseHead::new(200), 0, 1.0), RetryVerdict::No);
    }

    #[test]
    fn headers_ask_only_from_inside() {
        let head = RequestHead {
            headers: [("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "3")].into_iter().collect(),
            ..Default::default()
        };
        assert!(RetryState::new(None, &head, false).is_none());
        assert_eq!(RetryState::new(None, &head, true).map(|s| s.left()), Some(3));
    }

    #[test]
    fn an_outcome_that_would_be_tried_again_reaches_a_limit_of_none() {
        let policy = policy("5xx", 0);
        let mut state = RetryState::new(Some(&policy), &RequestHead::default(), false).unwrap();
        assert_eq!(state.on_response(&ResponseHead::new(200), 0, 0.0), RetryVerdict::No);
        assert_eq!(state.on_response(&ResponseHead::new(503), 0, 0.0), RetryVerdict::LimitReached);
    }

    #[test]
    fn header_names_that_the_request_asks_for() {
        let head = RequestHead {
            headers: [
                ("x-envoy-retry-on", "retriable-headers"),
                ("x-envoy-retriable-header-names", "x-a, x-b"),
            ]
            .into_iter()
            .collect(),
            ..Default::default()
        };
        let state = RetryState::new(None, &head, true).unwrap();
        let with = |name: &str| ResponseHead {
            headers: [(name, "1")].into_iter().collect(),
            ..ResponseHead::new(200)
        };
        assert!(state.wants(&with("x-b")) && state.wants(&with("x-a")) && !state.wants(&with("x-c")));
    }

    #[test]
    fn predicates_say_which_hosts_are_passed_over() {
        let text = |text: &str| Value::String(text.into());
        let fields = |list: &[(&str, Value)]| -> Fields {
            list.iter().map(|(name, value)| ((*name).into(), value.clone())).collect()
        };
        let host = |list: &[(&str, Value)]| Endpoint { lb: fields(list), ..endpoint() };
        let tried = PassedOver { tried: true, ..PassedOver::default() };
        assert!(passes_over(&tried, &host(&[]), true));
        assert!(!passes_over(&tried, &host(&[("canary", Value::Bool(true))]), false));
        let canaries = PassedOver { canaries: true, ..PassedOver::default() };
        assert!(passes_over(&canaries, &host(&[("canary", Value::Bool(true))]), false));
        for no in [Value::Bool(false), text("true"), Value::Number(1.0)] {
            assert!(!passes_over(&canaries, &host(&[("canary", no)]), true));
        }
        let metadata = vec![
            fields(&[("version", text("v2")), ("stage", text("beta"))]),
            fields(&[("old", text("yes"))]),
        ];
        let labelled = PassedOver { metadata, ..PassedOver::default() };
        let over = |list: &[(&str, Value)]| passes_over(&labelled, &host(list), true);
        assert!(over(&[("version", text("v2")), ("stage", text("beta")), ("more", text("x"))]));
        assert!(!over(&[("version", text("v2"))]), "all of it");
        assert!(over(&[("old", text("yes"))]), "or of another one");
        assert!(over(&[("old", Value::List(vec![text("no"), text("yes")]))]), "one of a list");
        assert!(!over(&[]));
    }

    fn endpoint() -> Endpoint {
        Endpoint {
            address: Address::Name("a".into(), 80),
            additional_addresses: vec![],
            hostname: "".into(),
            weight: 1,
            health: Health::Healthy,
            locality: Default::default(),
            priority: 0,
            transport_socket_match: Fields::new(),
            lb: Fields::new(),
            workload: None,
            metadata: Default::default(),
            check: None,
        }
    }
}
