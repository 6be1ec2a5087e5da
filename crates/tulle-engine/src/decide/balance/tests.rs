use super::*;
use crate::runtime::cluster::{RingFunction, SlowStart};
use crate::runtime::endpoint::LocalityEndpoints;
use crate::runtime::net::Address;

/// Endpoints of priority 0 with these weights.
pub(crate) fn endpoints(weights: &[u32]) -> EndpointSet {
    set(&weights.iter().map(|w| (0, *w, Health::Healthy)).collect::<Vec<_>>())
}

fn set(list: &[(u32, u32, Health)]) -> EndpointSet {
    let locality = Arc::new(tulle_base::Locality::default());
    let endpoints: Vec<Arc<Endpoint>> = list
        .iter()
        .enumerate()
        .map(|(i, (priority, weight, health))| {
            Arc::new(Endpoint {
                address: Address::Ip(([10, 0, 0, u8::try_from(i).unwrap()], 80).into()),
                additional_addresses: Vec::new(),
                hostname: "".into(),
                weight: *weight,
                health: *health,
                locality: Arc::clone(&locality),
                priority: *priority,
                transport_socket_match: Default::default(),
                lb: Default::default(),
                workload: None,
                metadata: Default::default(),
                check: None,
            })
        })
        .collect();
    let priorities = list.iter().map(|(p, _, _)| p + 1).max().unwrap_or(0);
    let localities = (0..priorities)
        .map(|priority| LocalityEndpoints {
            locality: Arc::clone(&locality),
            priority,
            weight: 1,
            endpoints: (0..).zip(list).filter(|(_, e)| e.0 == priority).map(|(i, _)| i).collect(),
        })
        .collect();
    EndpointSet {
        name: "c".into(),
        endpoints,
        localities,
        priorities,
        overprovisioning_factor: 140,
        weighted_priority_health: false,
        drops: vec![],
        provenance: None,
    }
}

const COMMON: LbCommon = LbCommon {
    panic_threshold: 50.0,
    locality_weighted: false,
    slow_start: None,
    close_on_host_change: false,
};

fn shares(policy: LbPolicy, common: LbCommon, set: EndpointSet, picks: usize) -> Vec<usize> {
    let mut counts = vec![0; set.endpoints.len()];
    let mut rng = fastrand::Rng::with_seed(7);
    let mut balancer = make(policy, common, set);
    for _ in 0..picks {
        if let Some(host) = balancer.pick(&Wish::ANY, &mut || rng.u64(..)) {
            counts[host.index as usize] += 1;
        }
    }
    counts
}

const LEAST: LbPolicy = LbPolicy::LeastRequest { choices: 2, bias: 1.0 };

#[test]
fn round_robin_is_exact_with_and_without_weights() {
    assert_eq!(shares(LbPolicy::RoundRobin, COMMON, endpoints(&[1, 1, 1]), 300), [100, 100, 100]);
    assert_eq!(shares(LbPolicy::RoundRobin, COMMON, endpoints(&[1, 2, 7]), 1000), [100, 200, 700]);
}

#[test]
fn least_request_and_random_follow_weights() {
    for policy in [LEAST, LbPolicy::Random] {
        let counts = shares(policy, COMMON, endpoints(&[1, 3]), 10_000);
        assert!((2300..2700).contains(&counts[0]), "{policy:?} {counts:?}");
    }
}

#[test]
fn least_request_avoids_the_busy() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut balancer = make(LEAST, COMMON, endpoints(&[1, 1, 1]));
    let busy: Vec<ActiveRequest> = (0..50).map(|_| balancer.hosts()[0].begin()).collect();
    let mut hits = 0;
    for _ in 0..900 {
        let host = balancer.pick(&Wish::ANY, &mut || rng.u64(..)).unwrap();
        hits += usize::from(host.index == 0);
    }
    // Only when both choices fall on it: one in nine.
    assert!((60..150).contains(&hits), "{hits}");
    drop(busy);
    assert_eq!(balancer.hosts()[0].active(), 0);
}

/// Two balancers, of two workers, see each other's requests, also of an endpoint that stays while others come.
#[test]
fn what_is_busy_for_one_worker_is_busy_for_all() {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut worker = |watched: &Watched, set: &Arc<EndpointSet>| {
        Balancer::new((LEAST, COMMON), Arc::clone(set), watched.clone(), rng.u64(..), Duration::ZERO, None)
    };
    let two = Arc::new(endpoints(&[1, 1]));
    let load = Arc::new(Load::new(&two, None));
    let watched = Watched { load: Some(Arc::clone(&load)), ..Watched::default() };
    let (one, mut other) = (worker(&watched, &two), worker(&watched, &two));
    let busy = one.hosts()[0].begin();
    let idle = |balancer: &mut Balancer| {
        let mut rng = fastrand::Rng::with_seed(5);
        (0..1000).filter(|_| balancer.pick(&Wish::ANY, &mut || rng.u64(..)).unwrap().index != 0).count()
    };
    // The busy one only when both choices fall on it: one in four.
    assert!((700..800).contains(&idle(&mut other)), "{}", idle(&mut other));
    let three = Arc::new(endpoints(&[1, 1, 1]));
    let load = Some(Arc::new(Load::new(&three, Some(&load))));
    let mut other = worker(&Watched { load, ..Watched::default() }, &three);
    assert!((850..930).contains(&idle(&mut other)), "{}", idle(&mut other));
    drop(busy);
    assert!((620..710).contains(&idle(&mut other)), "{}", idle(&mut other));
}

#[test]
fn unhealthy_get_nothing_until_panic() {
    use Health::{Healthy, Unhealthy};
    let most = set(&[(0, 1, Healthy), (0, 1, Healthy), (0, 1, Unhealthy)]);
    assert_eq!(shares(LbPolicy::RoundRobin, COMMON, most, 300), [150, 150, 0]);
    let few = set(&[(0, 1, Healthy), (0, 1, Unhealthy), (0, 1, Unhealthy)]);
    assert_eq!(shares(LbPolicy::RoundRobin, COMMON, few.clone(), 300), [100, 100, 100]);
    let never = LbCommon { panic_threshold: 0.0, ..COMMON };
    assert_eq!(shares(LbPolicy::RoundRobin, never, few, 300), [300, 0, 0]);
    let none = set(&[(0, 1, Unhealthy)]);
    assert_eq!(shares(LbPolicy::RoundRobin, never, none.clone(), 300), [0]);
    assert_eq!(shares(LbPolicy::RoundRobin, COMMON, none, 300), [300]);
}

#[test]
fn the_next_priority_helps_in_part() {
    use Health::{Healthy, Unhealthy};
    // One of two healthy: 50 % * 1.4 = 70 % stay.
    let list = [(0, 1, Healthy), (0, 1, Unhealthy), (1, 1, Healthy)];
    let counts = shares(LbPolicy::RoundRobin, COMMON, set(&list), 10_000);
    assert!((6800..7200).contains(&counts[0]) && counts[1] == 0, "{counts:?}");
}

#[test]
fn hashes_stay_with_their_endpoint_and_follow_weights() {
    let ring = |hash| LbPolicy::RingHash { min_size: 1024, max_size: 8 << 20, hash };
    for policy in
        [ring(RingFunction::Xxh64), ring(RingFunction::Murmur2), LbPolicy::Maglev { table_size: 65_537 }]
    {
        let balancer = |weights: &[u32]| make(policy, COMMON, endpoints(weights));
        let place = |balancer: &mut Balancer, hash: u64| {
            let wish = Wish { hash: Some(hash), ..Wish::ANY };
            balancer.pick(&wish, &mut || 0).map(|host| host.index)
        };
        let mut rng = fastrand::Rng::with_seed(9);
        let hashes: Vec<u64> = (0..4000).map(|_| rng.u64(..)).collect();
        let (mut three, mut four, mut heavy) =
            (balancer(&[1, 1, 1]), balancer(&[1, 1, 1, 1]), balancer(&[1, 3]));
        let moved = hashes.iter().filter(|h| place(&mut three, **h) != place(&mut four, **h)).count();
        assert!((800..1700).contains(&moved), "{policy:?}: about a quarter to a third moves: {moved}");
        let light = hashes.iter().filter(|h| place(&mut heavy, **h) == Some(0)).count();
        assert!((850..1150).contains(&light), "{policy:?}: a quarter by weight: {light}");
        assert_eq!(place(&mut three, 42), place(&mut balancer(&[1, 1, 1]), 42));
        let tried = place(&mut three, 42);
        let again = |h: &Host| Some(h.index) == tried;
        let wish = Wish { hash: Some(42), passed_over: &again, attempts: 5, ..Wish::ANY };
        let other = three.pick(&wish, &mut || 0);
        assert_ne!(other.map(|h| h.index), tried, "{policy:?}: a retry goes elsewhere");
    }
}

#[test]
fn hosts_that_were_tried_are_passed_over() {
    let mut balancer = make(LbPolicy::RoundRobin, COMMON, endpoints(&[1, 1]));
    for _ in 0..10 {
        let wish = Wish { passed_over: &|host| host.index == 0, attempts: 5, ..Wish::ANY };
        assert_eq!(balancer.pick(&wish, &mut || 0).unwrap().index, 1);
    }
    let wish = Wish { passed_over: &|_| true, attempts: 5, ..Wish::ANY };
    assert!(balancer.pick(&wish, &mut || 0).is_some(), "better a tried one than none");
}

#[test]
fn priorities_that_were_tried_are_passed_over() {
    use Health::{Healthy, Unhealthy};
    let list = [(0, 1, Healthy), (1, 1, Healthy), (2, 1, Unhealthy)];
    let mut balancer = make(LbPolicy::RoundRobin, COMMON, set(&list));
    let mut rng = fastrand::Rng::with_seed(1);
    let mut go = |tried: &[u32]| -> Vec<u32> {
        let wish = Wish { tried_priorities: tried, ..Wish::ANY };
        let mut all: Vec<u32> =
            (0..50).map(|_| balancer.pick(&wish, &mut || rng.u64(..)).unwrap().index).collect();
        all.dedup();
        all
    };
    assert_eq!(go(&[]), [0]);
    assert_eq!(go(&[0]), [1]);
    assert_eq!(go(&[0, 1]), [0], "when no other can take it, all count again");
}

#[test]
fn localities_share_by_weight_and_by_what_is_left_of_them() {
    use Health::{Healthy, Unhealthy};
    let by_locality = LbCommon { locality_weighted: true, ..COMMON };
    let three = |health: Health| {
        let mut set = set(&[(0, 1, Healthy), (0, 1, Healthy), (0, 1, health)]);
        let of = |weight, endpoints: &[u32]| LocalityEndpoints {
            weight,
            endpoints: endpoints.to_vec(),
            ..set.localities[0].clone()
        };
        set.localities = vec![of(80, &[0]), of(20, &[1, 2])];
        set
    };
    let counts = shares(LbPolicy::RoundRobin, by_locality, three(Healthy), 10_000);
    assert!((7800..8200).contains(&counts[0]) && counts[1].abs_diff(counts[2]) < 2, "{counts:?}");
    // Half of it is left: 20 * 0.5 * 1.4 = 14 against 80.
    let counts = shares(LbPolicy::RoundRobin, by_locality, three(Unhealthy), 10_000);
    assert!((8400..8650).contains(&counts[0]) && counts[2] == 0, "{counts:?}");
}

#[test]
fn new_endpoints_warm_up() {
    let start = SlowStart { window: Duration::from_secs(100), aggression: 1.0, min_weight_percent: 10.0 };
    let common = LbCommon { slow_start: Some(start), ..COMMON };
    for policy in [LbPolicy::RoundRobin, LEAST] {
        let born = |now: u64, weights: &[u32], old: Option<&Balancer>| {
            let set = Arc::new(endpoints(weights));
            Balancer::new((policy, common), set, Watched::default(), 0, Duration::from_secs(now), old)
        };
        let old = born(0, &[1], None);
        let mut balancer = born(1000, &[1, 1], Some(&old));
        let mut rng = fastrand::Rng::with_seed(11);
        let mut share = |at: u64| {
            let wish = Wish { now: Duration::from_secs(at), ..Wish::ANY };
            let hits = (0..10_000).filter(|_| balancer.pick(&wish, &mut || rng.u64(..)).unwrap().index == 1);
            hits.count()
        };
        // A tenth of the weight against a whole one, then a half, then all of it.
        assert!((750..1100).contains(&share(1000)), "{policy:?}");
        assert!((3050..3600).contains(&share(1050)), "{policy:?}");
        assert!((4700..5300).contains(&share(1100)), "{policy:?}");
    }
}

fn make(policy: LbPolicy, common: LbCommon, set: EndpointSet) -> Balancer {
    Balancer::new((policy, common), Arc::new(set), Watched::default(), 0, Duration::ZERO, None)
}
