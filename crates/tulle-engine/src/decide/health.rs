//! Active health checks: what the answers mean, and when an endpoint is asked again.
//!
//! One [`Checked`] per cluster tells all workers who is healthy; a [`Prober`] per endpoint turns answers into that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::runtime::endpoint::{Endpoint, EndpointCheck, EndpointSet};
use crate::runtime::health::{HealthCheck, Intervals};
use crate::runtime::net::Address;

/// The health of a cluster's endpoints as asking them shows it.
#[derive(Debug)]
pub struct Checked {
    points: Vec<Arc<Point>>,
    generation: Arc<AtomicU64>,
    traffic: Arc<AtomicBool>,
}

/// The health of one endpoint. One that was never asked is unhealthy.
#[derive(Debug)]
pub struct Point {
    address: Address,
    check: Option<Arc<EndpointCheck>>,
    healthy: AtomicBool,
    asked: AtomicBool,
    /// Somebody asks it.
    watched: AtomicBool,
    /// Since when, in milliseconds.
    since: AtomicU64,
    generation: Arc<AtomicU64>,
}

impl Checked {
    /// For these endpoints, in their order. Endpoints that `old` knows keep their health.
    pub fn new(endpoints: &EndpointSet, old: Option<&Checked>) -> Self {
        let generation = old.map(|old| Arc::clone(&old.generation)).unwrap_or_default();
        generation.fetch_add(1, Relaxed);
        let known: std::collections::HashMap<_, _> =
            old.into_iter().flat_map(|old| &old.points).map(|p| (&p.address, p)).collect();
        let points = endpoints.endpoints.iter().map(|endpoint| {
            let same = known.get(&endpoint.address).filter(|point| point.check == endpoint.check);
            same.map_or_else(|| Arc::new(Point::new(endpoint, &generation)), |point| Arc::clone(point))
        });
        let traffic = old.map(|old| Arc::clone(&old.traffic)).unwrap_or_default();
        Self { points: points.collect(), generation, traffic }
    }

    /// Changes whenever the health of an endpoint does.
    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// Whether the endpoint with this index is healthy.
    pub fn is_healthy(&self, index: u32) -> bool {
        self.points.get(index as usize).is_some_and(|p| p.is_healthy())
    }

    /// Since when the endpoint with this index is healthy, in time of the process; `None` if it is not.
    pub fn healthy_since(&self, index: u32) -> Option<Duration> {
        let point = self.points.get(index as usize)?;
        point.is_healthy().then(|| Duration::from_millis(point.since.load(Relaxed)))
    }

    /// The cluster has a request.
    pub fn note_traffic(&self) {
        if !self.had_traffic() {
            self.traffic.store(true, Relaxed);
        }
    }

    /// Whether the cluster has had requests.
    pub fn had_traffic(&self) -> bool {
        self.traffic.load(Relaxed)
    }

    /// The endpoints, in their order.
    pub fn points(&self) -> &[Arc<Point>] {
        &self.points
    }
}

impl Point {
    fn new(endpoint: &Endpoint, generation: &Arc<AtomicU64>) -> Self {
        // Nobody asks those that are not to be asked.
        let fine = endpoint.check.as_ref().is_some_and(|check| check.disabled);
        Self {
            address: endpoint.address.clone(),
            check: endpoint.check.clone(),
            healthy: AtomicBool::new(fine),
            asked: AtomicBool::new(fine),
            watched: AtomicBool::new(fine),
            since: AtomicU64::new(0),
            generation: Arc::clone(generation),
        }
    }

    /// How it is asked, where that is not as all others are.
    pub fn check(&self) -> Option<&EndpointCheck> {
        self.check.as_deref()
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether it is healthy.
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Relaxed)
    }

    /// Whether the caller is the first who is to ask it.
    pub fn begin_watch(&self) -> bool {
        !self.watched.swap(true, Relaxed)
    }

    /// Whether it was asked at least once.
    pub fn was_asked(&self) -> bool {
        self.asked.load(Relaxed)
    }

    fn set(&self, healthy: bool, now: Duration) {
        self.asked.store(true, Relaxed);
        if self.healthy.swap(healthy, Relaxed) != healthy {
            self.since.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Relaxed);
            self.generation.fetch_add(1, Relaxed);
        }
    }
}

/// What came of one check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckResult {
    /// It is well.
    #[default]
    Healthy,
    /// It cannot be reached, is late, or says that it should be asked again: counts against the threshold.
    Unreachable,
    /// It says that it is not well: unhealthy at once.
    Unhealthy,
}

/// What the answers of one endpoint have come to.
#[derive(Debug, Default)]
pub struct Prober {
    successes: u32,
    failures: u32,
    last: CheckResult,
    /// The last answer was not enough to change anything.
    pending: bool,
}

impl Prober {
    /// Takes in an answer of `point`; whether it changed the health.
    pub fn record(
        &mut self,
        point: &Point,
        config: &HealthCheck,
        result: CheckResult,
        now: Duration,
    ) -> bool {
        let before = point.is_healthy();
        let first = !point.was_asked();
        self.last = result;
        self.pending = false;
        if result == CheckResult::Healthy {
            self.failures = 0;
            self.successes = if before { 0 } else { self.successes.saturating_add(1) };
            let enough = before || first || self.successes >= config.healthy_threshold;
            self.pending = !enough;
            point.set(enough, now);
        } else {
            self.successes = 0;
            self.failures = self.failures.saturating_add(1);
            let at_once = result == CheckResult::Unhealthy || first || !before;
            let enough = at_once || self.failures >= config.unhealthy_threshold;
            self.pending = !enough;
            point.set(!enough, now);
        }
        point.is_healthy() != before
    }

    /// How long until the next check. `traffic`: the cluster has had requests. `random` is uniform.
    pub fn wait(&self, intervals: &Intervals, traffic: bool, random: u64) -> Duration {
        let well = self.last == CheckResult::Healthy;
        let base = match (traffic, well, self.pending) {
            (true, true, false) => intervals.healthy,
            (true, true, true) => intervals.healthy_edge,
            (true, false, false) => intervals.unhealthy,
            (true, false, true) => intervals.unhealthy_edge,
            (false, true, false) => intervals.no_traffic_healthy,
            (false, _, _) => intervals.no_traffic,
        };
        let share = base.saturating_mul(intervals.jitter_percent) / 100;
        base + part(share, random) + part(intervals.jitter, random.rotate_left(32))
    }

    /// How long until the first check.
    pub fn first_wait(intervals: &Intervals, random: u64) -> Duration {
        part(intervals.initial_jitter, random)
    }
}

/// A random part of a time, in whole milliseconds.
fn part(longest: Duration, random: u64) -> Duration {
    let millis = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(if millis == 0 { 0 } else { random % millis })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::balance::tests::endpoints;
    use crate::runtime::health::{HealthCheckKind, TcpCheck};

    const SECOND: Duration = Duration::from_secs(1);

    fn config() -> HealthCheck {
        HealthCheck {
            timeout: SECOND,
            intervals: Intervals {
                healthy: SECOND * 10,
                unhealthy: SECOND * 20,
                healthy_edge: SECOND * 3,
                unhealthy_edge: SECOND * 4,
                no_traffic: SECOND * 60,
                no_traffic_healthy: SECOND * 50,
                initial_jitter: SECOND,
                jitter: Duration::ZERO,
                jitter_percent: 0,
            },
            unhealthy_threshold: 3,
            healthy_threshold: 2,
            reuse_connection: true,
            kind: HealthCheckKind::Tcp(TcpCheck::default()),
        }
    }

    #[test]
    fn the_first_answer_decides_and_later_ones_count() {
        use CheckResult::{Healthy, Unhealthy, Unreachable};
        let (config, checked) = (config(), Checked::new(&endpoints(&[1]), None));
        let mut prober = Prober::default();
        let mut tell = |result| {
            prober.record(&checked.points()[0], &config, result, SECOND);
            let wait = prober.wait(&config.intervals, true, 0).as_secs();
            (checked.is_healthy(0), wait)
        };
        assert!(!checked.is_healthy(0), "never asked");
        assert_eq!(tell(Healthy), (true, 10), "the first one is enough");
        assert_eq!(tell(Unreachable), (true, 4));
        assert_eq!(tell(Unreachable), (true, 4));
        assert_eq!(tell(Healthy), (true, 10), "counts in a row");
        assert_eq!(tell(Unreachable), (true, 4));
        assert_eq!(tell(Unreachable), (true, 4));
        assert_eq!(tell(Unreachable), (false, 20));
        assert_eq!(tell(Healthy), (false, 3));
        assert_eq!(tell(Unreachable), (false, 20));
        assert_eq!(tell(Healthy), (false, 3));
        assert_eq!(tell(Healthy), (true, 10));
        assert_eq!(tell(Unhealthy), (false, 20), "what it says itself is believed at once");
        assert_eq!(prober.wait(&config.intervals, false, 0), SECOND * 60);
    }

    #[test]
    fn health_survives_a_change_of_endpoints() {
        let old = Checked::new(&endpoints(&[1, 1]), None);
        Prober::default().record(&old.points()[1], &config(), CheckResult::Healthy, SECOND);
        let new = Checked::new(&endpoints(&[1, 1, 1]), Some(&old));
        assert_eq!([0, 1, 2].map(|i| new.is_healthy(i)), [false, true, false]);
        assert!(new.generation() > 1 && new.healthy_since(1) == Some(SECOND));
    }

    #[test]
    fn an_endpoint_that_is_not_asked_is_well_and_one_that_is_asked_otherwise_is_asked_anew() {
        let with = |check: EndpointCheck| {
            let mut set = endpoints(&[1]);
            let endpoint = Endpoint { check: Some(Arc::new(check)), ..(*set.endpoints[0]).clone() };
            set.endpoints = vec![Arc::new(endpoint)];
            set
        };
        let unasked = Checked::new(&with(EndpointCheck { disabled: true, ..Default::default() }), None);
        assert!(unasked.is_healthy(0) && !unasked.points()[0].begin_watch());
        let own = EndpointCheck { port: Some(8081), ..Default::default() };
        let asked = Checked::new(&with(own.clone()), Some(&unasked));
        assert!(!asked.is_healthy(0) && asked.points()[0].begin_watch());
        Prober::default().record(&asked.points()[0], &config(), CheckResult::Healthy, SECOND);
        assert!(Checked::new(&with(own.clone()), Some(&asked)).is_healthy(0), "as before");
        let at = |text: &str| text.parse().unwrap();
        assert_eq!(own.at(at("10.0.0.1:80")), at("10.0.0.1:8081"));
        let elsewhere = EndpointCheck { address: Some(at("[::1]:9")), ..own };
        assert_eq!(elsewhere.at(at("10.0.0.1:80")), at("[::1]:8081"));
    }
}
