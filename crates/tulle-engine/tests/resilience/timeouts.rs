//! Times of a request: which is in force, and what the upstream is told.

use std::time::Duration;

use proptest::prelude::*;
use tulle_engine::decide::timeout::{Timeouts, expected_millis};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The upstream never has longer than the client waits for it, and never "for ever" when there is a limit.
    #[test]
    fn what_the_upstream_is_told(
        global in prop::option::of(1u64..100_000),
        per_try in prop::option::of(1u64..100_000),
        elapsed in 0u64..200_000,
    ) {
        let times = Timeouts {
            global: global.map(Duration::from_millis),
            per_try: per_try.map(Duration::from_millis),
            ..Timeouts::default()
        };
        let want = match (global, per_try) {
            (None, None) => None,
            (None, Some(per_try)) => Some(per_try),
            (Some(global), None) => Some(global.saturating_sub(elapsed).max(1)),
            (Some(global), Some(per_try)) => Some(per_try.min(global.saturating_sub(elapsed)).max(1)),
        };
        prop_assert_eq!(expected_millis(&times, Duration::from_millis(elapsed)), want);
    }
}
