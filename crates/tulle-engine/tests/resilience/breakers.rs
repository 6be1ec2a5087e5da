//! Circuit breakers and retry budgets: what is allowed, over a day of beginnings and ends.

use std::time::Duration;

use proptest::prelude::*;
use tulle_engine::decide::breaker::{Breaker, Resource};
use tulle_engine::runtime::cluster::{CircuitBreakers, RetryBudget};

const DAY: u64 = 24 * 3600 * 1000;
const ALL: [Resource; 4] = [Resource::Connection, Resource::Pending, Resource::Request, Resource::Retry];

prop_compose! {
    fn limits()(
        max in prop::array::uniform4(prop_oneof![0u32..20, Just(u32::MAX)]),
        budget in prop::option::of((0u32..=100, 0u32..6, prop_oneof![Just(0u64), 1000u64..60_000])),
    ) -> CircuitBreakers {
        CircuitBreakers {
            max_connections: max[0],
            max_pending: max[1],
            max_requests: max[2],
            max_retries: max[3],
            retry_budget: budget.map(|(percent, min_concurrency, interval)| RetryBudget {
                percent: f64::from(percent),
                min_concurrency,
                interval: Duration::from_millis(interval),
            }),
            ..CircuitBreakers::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_allowed_over_a_day(limits in limits(), seed: u64) {
        a_day(&limits, seed)?;
    }
}

fn a_day(limits: &CircuitBreakers, seed: u64) -> Result<(), TestCaseError> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let breaker = Breaker::default();
    let mut under_way = [0u32; 4];
    let mut began: Vec<u64> = Vec::new();
    let mut now = 0;
    while now < DAY {
        now += if rng.u32(..30) == 0 { rng.u64(..1_200_000) } else { rng.u64(..3_000) };
        let time = Duration::from_millis(now);
        let which = rng.usize(..4);
        if rng.u32(..5) < 2 && under_way[which] > 0 {
            breaker.release(ALL[which]);
            under_way[which] -= 1;
            continue;
        }
        // Between these two; equal where it does not depend on when requests began.
        let (least, most) = match (which, limits.retry_budget) {
            (0, _) => (limits.max_connections, limits.max_connections),
            (1, _) => (limits.max_pending, limits.max_pending),
            (2, _) => (limits.max_requests, limits.max_requests),
            (_, None) => (limits.max_retries, limits.max_retries),
            (_, Some(budget)) => {
                let part = |count: u32| {
                    let part = u64::from(count) * (budget.percent as u64) / 100;
                    u32::try_from(part).unwrap().max(budget.min_concurrency)
                };
                if budget.interval.is_zero() {
                    // Those that wait for a connection are under way too.
                    let all = part(under_way[2]);
                    (all, all)
                } else {
                    // The code counts by tenths of the interval.
                    let interval = u64::try_from(budget.interval.as_millis()).unwrap();
                    let since = |span: u64| began.iter().filter(|at| **at + span > now).count();
                    let count = |span: u64| part(u32::try_from(since(span)).unwrap());
                    (count(interval * 9 / 10), count(interval + 1))
                }
            }
        };
        prop_assert_eq!(breaker.current(ALL[which]), under_way[which]);
        let open = breaker.is_open(limits, ALL[which], time);
        let allowed = breaker.try_acquire(limits, ALL[which], time);
        prop_assert_eq!(open, !allowed, "an open circuit is one that refuses");
        if under_way[which] < least {
            prop_assert!(allowed, "{:?}: {} of {}", ALL[which], under_way[which], least);
        }
        if under_way[which] >= most {
            prop_assert!(!allowed, "{:?}: {} of {}", ALL[which], under_way[which], most);
        }
        under_way[which] += u32::from(allowed);
        if which == 2 {
            began.push(now);
            began.retain(|at| *at + 120_000 > now);
        }
    }
    Ok(())
}
