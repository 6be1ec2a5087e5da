//! Which endpoint takes a request: priorities, health, panic, and the balancer within.
//!
//! A [`Balancer`] belongs to one worker and one cluster. It is rebuilt when endpoints change and keeps the numbers of
//! active requests by address.

mod pool;
mod priority;
mod table;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use self::pool::Pool;
use self::priority::PriorityLoads;
use super::outlier::Detector;
use crate::runtime::cluster::{LbCommon, LbPolicy};
use crate::runtime::endpoint::{Endpoint, EndpointSet, Health};

/// An endpoint as one worker sees it.
#[derive(Clone, Debug)]
pub struct Host {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Its index in the endpoint set, for [`Detector::record`].
    pub index: u32,
    active: Rc<Cell<u32>>,
}

impl Host {
    /// Counts a request that begins; it ends when the guard is dropped.
    pub fn begin(&self) -> ActiveRequest {
        self.active.set(self.active.get() + 1);
        ActiveRequest(Rc::clone(&self.active))
    }

    /// Requests of this worker under way.
    pub fn active(&self) -> u32 {
        self.active.get()
    }
}

/// A request under way at an endpoint.
#[derive(Debug)]
pub struct ActiveRequest(Rc<Cell<u32>>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Chooses endpoints of one cluster for one worker.
#[derive(Debug)]
pub struct Balancer {
    policy: LbPolicy,
    common: LbCommon,
    set: Arc<EndpointSet>,
    hosts: Vec<Host>,
    detector: Option<Arc<Detector>>,
    generation: u64,
    loads: PriorityLoads,
    /// By priority: healthy, degraded, all.
    pools: Vec<[Pool; 3]>,
}

const HEALTHY: usize = 0;
const DEGRADED: usize = 1;
const ALL: usize = 2;

impl Balancer {
    /// A balancer for these endpoints. `seed` is uniform; it spreads the first picks of workers. Numbers of active
    /// requests are taken over from `old`.
    pub fn new(
        policy: LbPolicy,
        common: LbCommon,
        set: Arc<EndpointSet>,
        detector: Option<Arc<Detector>>,
        seed: u64,
        old: Option<&Balancer>,
    ) -> Self {
        let known: std::collections::HashMap<_, _> = old
            .into_iter()
            .flat_map(|old| &old.hosts)
            .map(|host| (&host.endpoint.address, &host.active))
            .collect();
        let hosts = set
            .endpoints
            .iter()
            .zip(0..)
            .map(|(endpoint, index)| Host {
                endpoint: Arc::clone(endpoint),
                index,
                active: known.get(&endpoint.address).map_or_else(Rc::default, |active| Rc::clone(active)),
            })
            .collect();
        let mut balancer = Self {
            policy,
            common,
            set,
            hosts,
            detector,
            generation: 0,
            loads: PriorityLoads::default(),
            pools: Vec::new(),
        };
        balancer.rebuild(seed);
        balancer
    }

    /// The endpoints.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Chooses an endpoint. `random` makes uniform numbers. `passed_over` says which endpoints are to be avoided if
    /// another is found within `attempts` tries (1 for no such search). `None`: no endpoint may be asked (503, `UH`).
    pub fn pick(
        &mut self,
        random: &mut dyn FnMut() -> u64,
        passed_over: &dyn Fn(&Host) -> bool,
        attempts: u32,
    ) -> Option<&Host> {
        self.pick_by_hash(None, random, passed_over, attempts)
    }

    /// As [`Balancer::pick`], by the hash of the request where the policy hashes (`decide::hash`). Without a hash, such a
    /// policy chooses at random.
    pub fn pick_by_hash(
        &mut self,
        hash: Option<u64>,
        random: &mut dyn FnMut() -> u64,
        passed_over: &dyn Fn(&Host) -> bool,
        attempts: u32,
    ) -> Option<&Host> {
        if self.detector.as_ref().is_some_and(|d| d.generation() != self.generation) {
            self.rebuild(random());
        }
        let mut picked = None;
        for attempt in 0..attempts.max(1) {
            let index = self.pick_index(hash, attempt, random)?;
            picked = Some(index);
            if !passed_over(&self.hosts[index as usize]) {
                break;
            }
        }
        picked.map(|index| &self.hosts[index as usize])
    }

    fn pick_index(
        &mut self,
        hash: Option<u64>,
        attempt: u32,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<u32> {
        let choice = self.loads.choose(hash.unwrap_or_else(&mut *random))?;
        let kind = match (choice.panic, choice.degraded) {
            (true, _) => ALL,
            (false, true) => DEGRADED,
            (false, false) => HEALTHY,
        };
        let pool = &mut self.pools[choice.priority][kind];
        pool.pick(self.policy, &self.hosts, hash.map(|hash| (hash, attempt)), random)
    }

    /// Sorts endpoints anew by priority and health.
    fn rebuild(&mut self, seed: u64) {
        self.generation = self.detector.as_ref().map_or(0, |d| d.generation());
        let priorities = self.set.priorities.max(1) as usize;
        let mut members: Vec<[Vec<u32>; 3]> = vec![Default::default(); priorities];
        for host in &self.hosts {
            let by_kind = &mut members[(host.endpoint.priority as usize).min(priorities - 1)];
            by_kind[ALL].push(host.index);
            let ejected = self.detector.as_ref().is_some_and(|d| d.is_ejected(host.index));
            match host.endpoint.health {
                _ if ejected => {}
                Health::Healthy => by_kind[HEALTHY].push(host.index),
                Health::Degraded => by_kind[DEGRADED].push(host.index),
                Health::Unhealthy | Health::Draining => {}
            }
        }
        let weigh = |indices: &Vec<u32>| -> u64 {
            if self.set.weighted_priority_health {
                indices.iter().map(|i| u64::from(self.hosts[*i as usize].endpoint.weight)).sum()
            } else {
                indices.len() as u64
            }
        };
        let counts: Vec<[u64; 3]> = members.iter().map(|kinds| [0, 1, 2].map(|k| weigh(&kinds[k]))).collect();
        self.loads =
            PriorityLoads::new(&counts, self.set.overprovisioning_factor, self.common.panic_threshold);
        let build = |indices: Vec<u32>| {
            Pool::new(indices, &self.hosts, &self.set, self.common.locality_weighted, seed)
        };
        self.pools = members.into_iter().map(|kinds| kinds.map(build)).collect();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
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
                    hostname: "".into(),
                    weight: *weight,
                    health: *health,
                    locality: Arc::clone(&locality),
                    priority: *priority,
                    transport_socket_match: Default::default(),
                    lb: Default::default(),
                    workload: None,
                    metadata: Default::default(),
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
        let mut balancer = Balancer::new(policy, common, Arc::new(set), None, 0, None);
        for _ in 0..picks {
            if let Some(host) = balancer.pick(&mut || rng.u64(..), &|_| false, 1) {
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
        let set = Arc::new(endpoints(&[1, 1, 1]));
        let mut rng = fastrand::Rng::with_seed(3);
        let mut balancer = Balancer::new(LEAST, COMMON, set, None, 0, None);
        let busy: Vec<ActiveRequest> = (0..50).map(|_| balancer.hosts()[0].begin()).collect();
        let mut hits = 0;
        for _ in 0..900 {
            let host = balancer.pick(&mut || rng.u64(..), &|_| false, 1).unwrap();
            hits += usize::from(host.index == 0);
        }
        // Only when both choices fall on it: one in nine.
        assert!((60..150).contains(&hits), "{hits}");
        drop(busy);
        assert_eq!(balancer.hosts()[0].active(), 0);
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
        for policy in [
            LbPolicy::RingHash { min_size: 1024, max_size: 8 << 20 },
            LbPolicy::Maglev { table_size: 65_537 },
        ] {
            let balancer =
                |weights: &[u32]| Balancer::new(policy, COMMON, Arc::new(endpoints(weights)), None, 0, None);
            let place = |balancer: &mut Balancer, hash: u64| {
                balancer.pick_by_hash(Some(hash), &mut || 0, &|_| false, 1).map(|host| host.index)
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
            let other = three.pick_by_hash(Some(42), &mut || 0, &|h| Some(h.index) == tried, 5);
            assert_ne!(other.map(|h| h.index), tried, "{policy:?}: a retry goes elsewhere");
        }
    }

    #[test]
    fn hosts_that_were_tried_are_passed_over() {
        let mut balancer =
            Balancer::new(LbPolicy::RoundRobin, COMMON, Arc::new(endpoints(&[1, 1])), None, 0, None);
        for _ in 0..10 {
            let host = balancer.pick(&mut || 0, &|host| host.index == 0, 5).unwrap();
            assert_eq!(host.index, 1);
        }
        assert!(balancer.pick(&mut || 0, &|_| true, 5).is_some(), "better a tried one than none");
    }
}
