//! Retries: whether, how often, and after which wait.

use std::time::Duration;

use proptest::prelude::*;
use tulle_engine::decide::retry::{Failure, RetryState, RetryVerdict, tokens};
use tulle_engine::runtime::retry::{PassedOver, RetryOn, RetryPolicy};
use tulle_http::{RequestHead, ResponseHead};

/// Conditions, as users write them.
const CONDITIONS: [&str; 14] = [
    "5xx",
    "gateway-error",
    "reset",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "envoy-ratelimited",
    "reset-before-request",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// What came of a try.
#[derive(Clone, Debug)]
enum Came {
    Failure(Failure),
    Answer { status: u16, grpc: Option<u32>, limited: bool },
}

fn came() -> impl Strategy<Value = Came> {
    prop_oneof![
        prop_oneof![
            Just(Failure::Connect),
            Just(Failure::Refused),
            Just(Failure::Reset { request_sent: true }),
            Just(Failure::Reset { request_sent: false }),
            Just(Failure::PerTryTimeout),
            Just(Failure::Overflow),
        ]
        .prop_map(Came::Failure),
        (
            prop::sample::select(vec![200u16, 404, 409, 418, 429, 500, 502, 503, 504, 599]),
            prop::option::weighted(0.3, 0u32..17),
            prop::bool::weighted(0.1),
        )
            .prop_map(|(status, grpc, limited)| Came::Answer { status, grpc, limited }),
    ]
}

/// The tables of Envoy's documentation (`x-envoy-retry-on`, `x-envoy-retry-grpc-on`).
fn asks(on: &[&str], codes: &[u16], came: &Came) -> bool {
    let has = |condition: &str| on.contains(&condition);
    match came {
        Came::Failure(Failure::Overflow) => false,
        Came::Failure(failure) => {
            has("5xx")
                || has("gateway-error")
                || has("reset")
                || match failure {
                    Failure::Connect => has("connect-failure") || has("reset-before-request"),
                    Failure::Refused => has("refused-stream") || has("reset-before-request"),
                    Failure::Reset { request_sent } => !request_sent && has("reset-before-request"),
                    Failure::PerTryTimeout | Failure::PerTryIdleTimeout | Failure::Overflow => false,
                }
        }
        Came::Answer { limited: true, .. } => has("envoy-ratelimited"),
        Came::Answer { status, grpc, limited: false } => {
            (*status >= 500 && has("5xx"))
                || (matches!(status, 502..=504) && has("gateway-error"))
                || (*status == 409 && has("retriable-4xx"))
                || (codes.contains(status) && has("retriable-status-codes"))
                || match grpc {
                    Some(1) => has("cancelled"),
                    Some(4) => has("deadline-exceeded"),
                    Some(8) => has("resource-exhausted"),
                    Some(13) => has("internal"),
                    Some(14) => has("unavailable"),
                    _ => false,
                }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tries_and_waits(
        on in prop::sample::subsequence(CONDITIONS.to_vec(), 0..=CONDITIONS.len()),
        codes in prop::sample::subsequence(vec![418u16, 429, 503], 0..=3),
        num_retries in 0u32..6,
        base in 1u64..200,
        factor in 1u64..20,
        tries in prop::collection::vec((came(), 0.0f64..1.0), 1..12),
    ) {
        let policy = RetryPolicy {
            on: tokens(&on.join(",")).fold(RetryOn::NONE, RetryOn::with),
            num_retries,
            per_try_timeout: None,
            per_try_idle_timeout: None,
            retriable_status_codes: codes.clone(),
            retriable_headers: vec![],
            retriable_request_headers: vec![],
            backoff_base: Duration::from_millis(base),
            backoff_max: Duration::from_millis(base * factor),
            rate_limited: None,
            passed_over: PassedOver { tried: true, ..PassedOver::default() },
            previous_priorities: None,
            host_selection_attempts: 5,
        };
        let Some(mut state) = RetryState::new(Some(&policy), &RequestHead::default(), false) else {
            prop_assert!(on.is_empty() || num_retries == 0);
            return Ok(());
        };
        let (mut left, mut longest) = (num_retries, base);
        for (came, random) in &tries {
            let verdict = match came {
                Came::Failure(failure) => state.on_failure(*failure, *random),
                Came::Answer { status, grpc, limited } => {
                    let mut head = ResponseHead::new(*status);
                    if let Some(code) = grpc {
                        head.headers.set("grpc-status", code.to_string().as_bytes());
                    }
                    if *limited {
                        head.headers.set("x-envoy-ratelimited", b"true");
                    }
                    state.on_response(&head, 0, *random)
                }
            };
            match (asks(&on, &codes, came), left) {
                (false, _) => prop_assert_eq!(verdict, RetryVerdict::No, "{:?}", came),
                (true, 0) => prop_assert_eq!(verdict, RetryVerdict::LimitReached),
                (true, _) => {
                    let RetryVerdict::After(wait) = verdict else {
                        return Err(TestCaseError::fail(format!("{came:?}: {verdict:?}")));
                    };
                    // Full jitter: a part of a step that doubles up to its cap.
                    let want = Duration::from_millis(longest.min(base * factor)).mul_f64(*random);
                    prop_assert!(wait.abs_diff(want) < Duration::from_micros(2), "{:?} {:?}", wait, want);
                    left -= 1;
                    longest *= 2;
                }
            }
        }
    }
}

/// What 30 % of failing tries come to with the attempts that the documentation uses: 3 retries leave 0.3^4 = 0.8 %.
#[test]
fn a_failure_rate_of_thirty_percent_becomes_less_than_one() {
    let policy_of = |num_retries| RetryPolicy {
        on: tokens("5xx").fold(RetryOn::NONE, RetryOn::with),
        num_retries,
        per_try_timeout: None,
        per_try_idle_timeout: None,
        retriable_status_codes: vec![],
        retriable_headers: vec![],
        retriable_request_headers: vec![],
        backoff_base: Duration::from_millis(25),
        backoff_max: Duration::from_millis(250),
        rate_limited: None,
        passed_over: PassedOver::default(),
        previous_priorities: None,
        host_selection_attempts: 1,
    };
    let mut rng = fastrand::Rng::with_seed(4);
    for (num_retries, most) in [(1, 0.1), (2, 0.031), (3, 0.011)] {
        let policy = policy_of(num_retries);
        let failed = (0..20_000).filter(|_| {
            let mut state = RetryState::new(Some(&policy), &RequestHead::default(), false).unwrap();
            loop {
                if rng.f64() >= 0.3 {
                    return false;
                }
                let verdict = state.on_response(&ResponseHead::new(503), 0, rng.f64());
                if !matches!(verdict, RetryVerdict::After(_)) {
                    return true;
                }
            }
        });
        let rate = failed.count() as f64 / 20_000.0;
        assert!(rate < most && rate > most / 2.0, "{num_retries} retries: {rate}");
    }
}
