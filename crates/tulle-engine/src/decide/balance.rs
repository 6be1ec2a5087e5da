//! Which endpoint takes a request: priorities, health, panic, and the balancer within.
//!
//! A [`Balancer`] belongs to one worker and one cluster. It is rebuilt when endpoints change and keeps the numbers of
//! active requests by address; these are of all workers where [`Watched::load`] is given.

mod load;
mod pool;
mod priority;
mod slow_start;
mod table;
#[cfg(test)]
pub(crate) mod tests;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use self::load::Count;
pub use self::load::{ActiveRequest, Load};
use self::pool::{Pool, Turn};
use self::priority::PriorityLoads;
use self::slow_start::Warming;
use super::health::Checked;
use super::outlier::Detector;
use crate::runtime::cluster::{LbCommon, LbPolicy};
use crate::runtime::endpoint::{Endpoint, EndpointSet, Health};
use crate::runtime::net::Address;

/// An endpoint as one worker sees it.
#[derive(Clone, Debug)]
pub struct Host {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Its index in the endpoint set, for [`Detector::record`].
    pub index: u32,
    active: Rc<Count>,
    /// Since when it has been here, or healthy again; slow start counts from then.
    since: Rc<Cell<Duration>>,
}

impl Host {
    /// Counts a request that begins; it ends when the guard is dropped.
    pub fn begin(&self) -> ActiveRequest {
        self.active.begin()
    }

    /// Requests under way.
    pub fn active(&self) -> u32 {
        self.active.get()
    }
}

/// What all workers know of a cluster's endpoints: their health, nothing where nobody asks, and how busy they are.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// By the outcome of requests.
    pub detector: Option<Arc<Detector>>,
    /// By asking them.
    pub checked: Option<Arc<Checked>>,
    /// By the requests of all workers; without it each counts its own.
    pub load: Option<Arc<Load>>,
}

impl Watched {
    /// Changes whenever the health of an endpoint does.
    fn generation(&self) -> u64 {
        let ejections = self.detector.as_ref().map_or(0, |d| d.generation());
        ejections.wrapping_add(self.checked.as_ref().map_or(0, |c| c.generation()))
    }

    fn is_out(&self, index: u32) -> bool {
        self.detector.as_ref().is_some_and(|d| d.is_ejected(index))
            || self.checked.as_ref().is_some_and(|c| !c.is_healthy(index))
    }
}

/// What a request wants of its endpoint.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    /// Its hash, where the policy hashes (`decide::hash`); without one such a policy chooses at random.
    pub hash: Option<u64>,
    /// Which endpoints are to be avoided if another is found within `attempts` tries.
    pub passed_over: &'a dyn Fn(&Host) -> bool,
    /// 1 for no such search.
    pub attempts: u32,
    /// Priorities that have been tried: others are asked if they can take the request.
    pub tried_priorities: &'a [u32],
    /// The time, as [`Balancer::new`] was told it. Only slow start asks for it.
    pub now: Duration,
}

impl Wish<'_> {
    /// Any endpoint will do.
    pub const ANY: Wish<'static> =
        Wish { hash: None, passed_over: &|_| false, attempts: 1, tried_priorities: &[], now: Duration::ZERO };
}

impl std::fmt::Debug for Wish<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wish")
            .field("hash", &self.hash)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// Chooses endpoints of one cluster for one worker.
#[derive(Debug)]
pub struct Balancer {
    policy: LbPolicy,
    common: LbCommon,
    set: Arc<EndpointSet>,
    hosts: Vec<Host>,
    watched: Watched,
    generation: u64,
    loads: PriorityLoads,
    /// By priority: healthy, degraded, all.
    pools: Vec<[Pool; 3]>,
}

const HEALTHY: usize = 0;
const DEGRADED: usize = 1;
const ALL: usize = 2;

impl Balancer {
    /// A balancer for these endpoints at the time `now`, since any fixed moment of the process. `seed` is uniform; it spreads
    /// the first picks of workers. Numbers of active requests, and how long endpoints have been there, are taken over from
    /// `old`.
    pub fn new(
        (policy, common): (LbPolicy, LbCommon),
        set: Arc<EndpointSet>,
        watched: Watched,
        seed: u64,
        now: Duration,
        old: Option<&Balancer>,
    ) -> Self {
        let known: std::collections::HashMap<_, _> = old
            .into_iter()
            .flat_map(|old| &old.hosts)
            .map(|host| (&host.endpoint.address, (&host.active, &host.since)))
            .collect();
        let hosts = set
            .endpoints
            .iter()
            .zip(0..)
            .map(|(endpoint, index)| {
                let known = known.get(&endpoint.address);
                let of_all = watched.load.as_ref().and_then(|load| load.of(&endpoint.address));
                let own = || known.map(|(active, _)| Rc::clone(active));
                let active = of_all.map(Rc::new).or_else(own).unwrap_or_default();
                let since = known.map_or_else(|| Rc::new(Cell::new(now)), |(_, since)| Rc::clone(since));
                Host { endpoint: Arc::clone(endpoint), index, active, since }
            })
            .collect();
        let mut balancer = Self {
            policy,
            common,
            set,
            hosts,
            watched,
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

    /// How many endpoints are healthy, and how many degraded.
    pub fn available(&mut self, random: &mut dyn FnMut() -> u64) -> (u64, u64) {
        self.look_again(random);
        let count = |kind: usize| self.pools.iter().map(|kinds| kinds[kind].len() as u64).sum();
        (count(HEALTHY), count(DEGRADED))
    }

    /// Chooses an endpoint. `random` makes uniform numbers. `None`: no endpoint may be asked (503, `UH`).
    pub fn pick(&mut self, wish: &Wish<'_>, random: &mut dyn FnMut() -> u64) -> Option<&Host> {
        self.look_again(random);
        let others = match wish.tried_priorities {
            [] => None,
            tried => self.loads.without(tried),
        };
        let mut picked = None;
        for attempt in 0..wish.attempts.max(1) {
            let choice =
                others.as_ref().unwrap_or(&self.loads).choose(wish.hash.unwrap_or_else(&mut *random))?;
            let kind = match (choice.panic, choice.degraded) {
                (true, _) => ALL,
                (false, true) => DEGRADED,
                (false, false) => HEALTHY,
            };
            let warming = self.common.slow_start.map(|config| Warming { config, now: wish.now });
            let turn = Turn { hosts: &self.hosts, hash: wish.hash.map(|hash| (hash, attempt)), warming };
            let index = self.pools[choice.priority][kind].pick(self.policy, &turn, random)?;
            picked = Some(index);
            if !(wish.passed_over)(&self.hosts[index as usize]) {
                break;
            }
        }
        picked.map(|index| &self.hosts[index as usize])
    }

    /// The endpoint at an address, and whether it may be asked: it is healthy or degraded.
    pub fn at(&self, address: &Address) -> Option<(&Host, bool)> {
        let host = self.hosts.iter().find(|host| host.endpoint.address == *address)?;
        let fit = match host.endpoint.health {
            Health::Healthy | Health::Degraded => !self.watched.is_out(host.index),
            Health::Unhealthy | Health::Draining => false,
        };
        Some((host, fit))
    }

    /// Sorts endpoints anew if the health of one has changed.
    fn look_again(&mut self, random: &mut dyn FnMut() -> u64) {
        if self.watched.generation() != self.generation {
            self.rebuild(random());
        }
    }

    /// Sorts endpoints anew by priority and health.
    fn rebuild(&mut self, seed: u64) {
        self.generation = self.watched.generation();
        let priorities = self.set.priorities.max(1) as usize;
        let mut members: Vec<[Vec<u32>; 3]> = vec![Default::default(); priorities];
        for host in &self.hosts {
            let by_kind = &mut members[(host.endpoint.priority as usize).min(priorities - 1)];
            by_kind[ALL].push(host.index);
            if let Some(since) = self.watched.checked.as_ref().and_then(|c| c.healthy_since(host.index)) {
                host.since.set(host.since.get().max(since));
            }
            match host.endpoint.health {
                _ if self.watched.is_out(host.index) => {}
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
        // In panic localities do not matter either.
        let build = |indices: Vec<u32>, kind: usize| {
            let by_locality = self.common.locality_weighted && kind != ALL;
            Pool::new(indices, &self.hosts, &self.set, by_locality, seed)
        };
        self.pools = members
            .into_iter()
            .map(|[healthy, degraded, all]| {
                [build(healthy, HEALTHY), build(degraded, DEGRADED), build(all, ALL)]
            })
            .collect();
    }
}
