//! Who is asked, by priority and health: priorities, overprovisioning, panic.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tulle_engine::decide::balance::{Balancer, Watched, Wish};
use tulle_engine::decide::outlier::{Detector, Outcome};
use tulle_engine::runtime::cluster::{LbCommon, LbPolicy, OutlierDetection};
use tulle_engine::runtime::endpoint::Health;

use crate::endpoints;

const PICKS: usize = 4000;

/// The share of each endpoint that Envoy's documentation gives ("Priority levels", "Degraded endpoints", "Panic
/// threshold"), in percent; `None` when nobody is asked.
fn shares(list: &[(u32, Health)], threshold: f64) -> Option<Vec<f64>> {
    let priorities = list.iter().map(|e| e.0).max().unwrap() + 1;
    let of = |p: u32, want: Option<Health>| -> Vec<usize> {
        (0..list.len()).filter(|i| list[*i].0 == p && want.is_none_or(|h| list[*i].1 == h)).collect()
    };
    let part = |some: usize, all: usize| (some * 140).checked_div(all).unwrap_or(0).min(100);
    let healthy: Vec<_> = (0..priorities).map(|p| of(p, Some(Health::Healthy))).collect();
    let degraded: Vec<_> = (0..priorities).map(|p| of(p, Some(Health::Degraded))).collect();
    let all: Vec<_> = (0..priorities).map(|p| of(p, None)).collect();
    let health: Vec<usize> = healthy.iter().zip(&all).map(|(h, a)| part(h.len(), a.len())).collect();
    let degradation: Vec<usize> = degraded.iter().zip(&all).map(|(d, a)| part(d.len(), a.len())).collect();
    let total = health.iter().chain(&degradation).sum::<usize>().min(100);
    let mut out = vec![0.0; list.len()];
    if total == 0 {
        if threshold <= 0.0 {
            return None;
        }
        // All in panic: by the number of endpoints, which is evenly.
        return Some(vec![100.0 / list.len() as f64; list.len()]);
    }
    let mut left = 100;
    let mut groups: Vec<(usize, &Vec<usize>, usize)> = Vec::new();
    for (kinds, health) in [(&healthy, &health), (&degraded, &degradation)] {
        for p in 0..priorities as usize {
            let load = (health[p] * 100 / total).min(left);
            left -= load;
            groups.push((load, &kinds[p], p));
        }
    }
    if let Some(first) = groups.iter_mut().find(|g| g.0 > 0) {
        first.0 += left;
    }
    for (load, members, p) in groups.into_iter().filter(|g| g.0 > 0) {
        let able = (healthy[p].len() + degraded[p].len()) as f64 * 100.0 / all[p].len() as f64;
        let members = if total < 100 && able < threshold { &all[p] } else { members };
        for member in members {
            out[*member] += load as f64 / members.len() as f64;
        }
    }
    Some(out)
}

fn common(panic_threshold: f64) -> LbCommon {
    LbCommon { panic_threshold, locality_weighted: false, slow_start: None, close_on_host_change: false }
}

fn endpoint_list() -> impl Strategy<Value = Vec<(u32, Health)>> {
    let health = prop_oneof![
        3 => Just(Health::Healthy),
        1 => Just(Health::Degraded),
        3 => Just(Health::Unhealthy),
        1 => Just(Health::Draining),
    ];
    (1u32..4).prop_flat_map(move |priorities| {
        prop::collection::vec((0..priorities, health.clone()), 1..12).prop_map(|mut list| {
            // Priorities leave none out.
            let mut used: Vec<u32> = list.iter().map(|e| e.0).collect();
            used.sort_unstable();
            used.dedup();
            for entry in &mut list {
                entry.0 = u32::try_from(used.binary_search(&entry.0).unwrap()).unwrap();
            }
            list
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everybody_gets_the_share_of_the_documentation(
        list in endpoint_list(),
        threshold in prop_oneof![Just(0.0), Just(50.0), 0.0f64..=100.0],
        seed: u64,
    ) {
        let set = Arc::new(endpoints(0, &list));
        let mut rng = fastrand::Rng::with_seed(seed);
        let policy = (LbPolicy::Random, common(threshold));
        let mut balancer = Balancer::new(policy, set, Watched::default(), seed, Duration::ZERO, None);
        let mut counts = vec![0usize; list.len()];
        for _ in 0..PICKS {
            if let Some(host) = balancer.pick(&Wish::ANY, &mut || rng.u64(..)) {
                counts[host.index as usize] += 1;
            }
        }
        match shares(&list, threshold) {
            None => prop_assert_eq!(counts.iter().sum::<usize>(), 0),
            Some(shares) => {
                for (count, share) in counts.iter().zip(&shares) {
                    let got = *count as f64 * 100.0 / PICKS as f64;
                    prop_assert!((got - share).abs() < 4.5, "{:?}: {:?} for {:?}", list, counts, shares);
                    prop_assert!(*share > 0.0 || *count == 0, "{:?}: {:?} for {:?}", list, counts, shares);
                }
            }
        }
    }
}

/// Ejected endpoints get nothing, until so many are out that panic begins.
#[test]
fn ejection_and_panic_meet() {
    let config = OutlierDetection {
        consecutive_5xx: 1,
        enforcing_consecutive_5xx: 100,
        consecutive_gateway: 0,
        enforcing_consecutive_gateway: 0,
        split_local_origin: false,
        consecutive_local_origin: 0,
        enforcing_consecutive_local_origin: 0,
        interval: Duration::from_secs(10),
        base_ejection: Duration::from_secs(30),
        max_ejection: Duration::from_secs(300),
        max_ejection_jitter: Duration::ZERO,
        max_ejection_percent: 100,
        always_eject_one: false,
        success_rate: None,
        failure_percentage: None,
    };
    let set = Arc::new(endpoints(0, &[(0, Health::Healthy); 4]));
    let detector = Arc::new(Detector::new(config, &set, None, Duration::ZERO));
    let watched = Watched { detector: Some(Arc::clone(&detector)), ..Watched::default() };
    let policy = (LbPolicy::RoundRobin, common(50.0));
    let mut balancer = Balancer::new(policy, set, watched, 0, Duration::ZERO, None);
    let mut rng = fastrand::Rng::with_seed(1);
    let mut asked = || {
        let mut seen: Vec<u32> =
            (0..40).map(|_| balancer.pick(&Wish::ANY, &mut || rng.u64(..)).unwrap().index).collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    };
    assert_eq!(asked(), [0, 1, 2, 3]);
    for (out, left) in [(0, vec![1, 2, 3]), (1, vec![2, 3]), (2, vec![0, 1, 2, 3])] {
        detector.record(out, Outcome::Status(500), Duration::ZERO, 0);
        assert_eq!(asked(), left, "without {out}");
    }
    detector.sweep(Duration::from_secs(30), 0);
    assert_eq!(asked(), [0, 1, 2, 3], "all are back");
}
