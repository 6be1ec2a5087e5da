//! Outlier detection: endpoints that fail are left out for a while.
//!
//! One [`Detector`] per cluster, shared by all workers. Success costs a load; failures and sweeps touch atomics. Time is
//! an argument, in time since any fixed moment of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::runtime::cluster::OutlierDetection;
use crate::runtime::endpoint::EndpointSet;
use crate::runtime::net::Address;

/// What came of a request to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A response with this status.
    Status(u16),
    /// No connection, timeout or reset: counted as 5xx and gateway failure, or apart if the configuration splits them.
    LocalOrigin,
    /// A connection was made (counts only where local origin is split).
    Connected,
}

/// Why an endpoint was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// 5xx in a row.
    Consecutive5xx,
    /// 502, 503, 504 in a row.
    ConsecutiveGateway,
    /// Failures to reach it in a row.
    ConsecutiveLocalOrigin,
    /// Rate of success far below the others'.
    SuccessRate,
    /// Percentage of failures.
    FailurePercentage,
}

/// What is counted of one endpoint.
#[derive(Debug)]
pub struct Monitor {
    address: Address,
    consecutive_5xx: AtomicU32,
    consecutive_gateway: AtomicU32,
    consecutive_local: AtomicU32,
    successes: AtomicU32,
    total: AtomicU32,
    ejected: AtomicBool,
    /// When it comes back, in milliseconds.
    until: AtomicU64,
    /// How often it was ejected lately; the time out grows with it.
    times: AtomicU32,
}

impl Monitor {
    fn new(address: Address) -> Self {
        Self {
            address,
            consecutive_5xx: AtomicU32::new(0),
            consecutive_gateway: AtomicU32::new(0),
            consecutive_local: AtomicU32::new(0),
            successes: AtomicU32::new(0),
            total: AtomicU32::new(0),
            ejected: AtomicBool::new(false),
            until: AtomicU64::new(0),
            times: AtomicU32::new(0),
        }
    }

    /// Whether it is left out now.
    pub fn is_ejected(&self) -> bool {
        self.ejected.load(Relaxed)
    }
}

/// The outlier detection of one cluster.
#[derive(Debug)]
pub struct Detector {
    config: OutlierDetection,
    monitors: Vec<Arc<Monitor>>,
    ejected: AtomicU32,
    /// Grows with every ejection and return, so that balancers know when to look again.
    generation: AtomicU64,
}

impl Detector {
    /// A detector for these endpoints, in their order. Endpoints that `old` knows keep their counts.
    pub fn new(config: OutlierDetection, endpoints: &EndpointSet, old: Option<&Detector>) -> Self {
        let monitors: Vec<Arc<Monitor>> = endpoints
            .endpoints
            .iter()
            .map(|endpoint| {
                old.and_then(|old| old.monitors.iter().find(|m| m.address == endpoint.address))
                    .cloned()
                    .unwrap_or_else(|| Arc::new(Monitor::new(endpoint.address.clone())))
            })
            .collect();
        let ejected = monitors.iter().filter(|m| m.is_ejected()).count();
        Self {
            config,
            ejected: AtomicU32::new(u32::try_from(ejected).unwrap_or(u32::MAX)),
            generation: AtomicU64::new(old.map_or(0, |old| old.generation() + 1)),
            monitors,
        }
    }

    /// Changes whenever the set of ejected endpoints does.
    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// Whether the endpoint with this index is left out.
    pub fn is_ejected(&self, index: u32) -> bool {
        self.monitors.get(index as usize).is_some_and(|m| m.is_ejected())
    }

    /// How many are left out.
    pub fn ejected(&self) -> u32 {
        self.ejected.load(Relaxed)
    }

    /// Counts an outcome. `random` is uniform, for enforcement in part and jitter. The cause, if this ejected the endpoint.
    pub fn record(&self, index: u32, outcome: Outcome, now: Duration, random: u64) -> Option<Cause> {
        let monitor = self.monitors.get(index as usize)?;
        let cause = match outcome {
            Outcome::Connected => {
                if self.config.split_local_origin {
                    reset(&monitor.consecutive_local);
                }
                None
            }
            Outcome::LocalOrigin if self.config.split_local_origin => over(
                &monitor.consecutive_local,
                self.config.consecutive_local_origin,
                self.config.enforcing_consecutive_local_origin,
                random,
            )
            .then_some(Cause::ConsecutiveLocalOrigin),
            Outcome::LocalOrigin => self.failed(monitor, true, random),
            Outcome::Status(status) if status >= 500 => {
                self.failed(monitor, (502..=504).contains(&status), random)
            }
            Outcome::Status(_) => {
                monitor.total.fetch_add(1, Relaxed);
                monitor.successes.fetch_add(1, Relaxed);
                reset(&monitor.consecutive_5xx);
                reset(&monitor.consecutive_gateway);
                None
            }
        }?;
        self.eject(monitor, now, random).then_some(cause)
    }

    fn failed(&self, monitor: &Monitor, gateway: bool, random: u64) -> Option<Cause> {
        let c = &self.config;
        monitor.total.fetch_add(1, Relaxed);
        let by_gateway = if gateway {
            let (limit, enforce) = (c.consecutive_gateway, c.enforcing_consecutive_gateway);
            over(&monitor.consecutive_gateway, limit, enforce, random)
        } else {
            reset(&monitor.consecutive_gateway);
            false
        };
        let by_5xx =
            over(&monitor.consecutive_5xx, c.consecutive_5xx, c.enforcing_consecutive_5xx, random >> 16);
        match (by_gateway, by_5xx) {
            (true, _) => Some(Cause::ConsecutiveGateway),
            (false, true) => Some(Cause::Consecutive5xx),
            (false, false) => None,
        }
    }

    /// Lets endpoints back whose time is over, and compares rates. To be called every `interval`. What was ejected.
    pub fn sweep(&self, now: Duration, random: u64) -> Vec<(u32, Cause)> {
        let now_ms = millis(now);
        for monitor in &self.monitors {
            if monitor.is_ejected() {
                if monitor.until.load(Relaxed) <= now_ms && monitor.ejected.swap(false, Relaxed) {
                    self.ejected.fetch_sub(1, Relaxed);
                    self.generation.fetch_add(1, Relaxed);
                    for counter in
                        [&monitor.consecutive_5xx, &monitor.consecutive_gateway, &monitor.consecutive_local]
                    {
                        counter.store(0, Relaxed);
                    }
                }
            } else if monitor.until.load(Relaxed) <= now_ms {
                // A whole interval without ejection: the next time out is shorter.
                let times = monitor.times.load(Relaxed);
                monitor.times.store(times.saturating_sub(1), Relaxed);
            }
        }
        let rates: Vec<(u32, u32, u32)> = self
            .monitors
            .iter()
            .zip(0..)
            .map(|(m, index)| (index, m.successes.swap(0, Relaxed), m.total.swap(0, Relaxed)))
            .collect();
        let mut ejected = self.by_success_rate(&rates, now, random);
        ejected.extend(self.by_failure_percentage(&rates, now, random >> 16));
        ejected
    }

    fn by_success_rate(&self, rates: &[(u32, u32, u32)], now: Duration, random: u64) -> Vec<(u32, Cause)> {
        let Some(config) = self.config.success_rate else { return Vec::new() };
        let enough: Vec<(u32, f64)> = rates
            .iter()
            .filter(|(_, _, total)| *total >= config.request_volume && *total > 0)
            .map(|(index, ok, total)| (*index, f64::from(*ok) * 100.0 / f64::from(*total)))
            .collect();
        if enough.is_empty() || enough.len() < config.minimum_hosts as usize {
            return Vec::new();
        }
        let count = f64::from(u32::try_from(enough.len()).unwrap_or(u32::MAX));
        let mean = enough.iter().map(|(_, rate)| rate).sum::<f64>() / count;
        let variance = enough.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / count;
        let threshold = mean - variance.sqrt() * f64::from(config.stdev_factor) / 1000.0;
        let below = enough.iter().filter(|(_, rate)| *rate < threshold).map(|(index, _)| *index);
        self.eject_each(below, config.enforcing, Cause::SuccessRate, now, random)
    }

    fn by_failure_percentage(
        &self,
        rates: &[(u32, u32, u32)],
        now: Duration,
        random: u64,
    ) -> Vec<(u32, Cause)> {
        let Some(config) = self.config.failure_percentage else { return Vec::new() };
        let enough: Vec<&(u32, u32, u32)> =
            rates.iter().filter(|(_, _, total)| *total >= config.request_volume && *total > 0).collect();
        if enough.is_empty() || enough.len() < config.minimum_hosts as usize {
            return Vec::new();
        }
        let bad = enough.into_iter().filter(|(_, ok, total)| {
            u64::from(total - ok) * 100 >= u64::from(config.threshold) * u64::from(*total)
        });
        self.eject_each(bad.map(|r| r.0), config.enforcing, Cause::FailurePercentage, now, random)
    }

    fn eject_each(
        &self,
        indices: impl Iterator<Item = u32>,
        enforcing: u32,
        cause: Cause,
        now: Duration,
        random: u64,
    ) -> Vec<(u32, Cause)> {
        indices
            .filter(|index| random.rotate_left(*index) % 100 < u64::from(enforcing))
            .filter(|index| self.eject(&self.monitors[*index as usize], now, random))
            .map(|index| (index, cause))
            .collect()
    }

    /// Ejects an endpoint unless too many are out: `(already ejected + 1) / endpoints` must stay within the limit.
    fn eject(&self, monitor: &Monitor, now: Duration, random: u64) -> bool {
        let before = self.ejected.fetch_add(1, Relaxed);
        let hosts = u64::try_from(self.monitors.len()).unwrap_or(u64::MAX);
        let within = (u64::from(before) + 1) * 100 <= u64::from(self.config.max_ejection_percent) * hosts;
        let allowed = within || (self.config.always_eject_one && before == 0);
        if !allowed || monitor.ejected.swap(true, Relaxed) {
            self.ejected.fetch_sub(1, Relaxed);
            return false;
        }
        let times = monitor.times.fetch_add(1, Relaxed) + 1;
        let longest = self.config.max_ejection.max(self.config.base_ejection);
        let out = self.config.base_ejection.saturating_mul(times).min(longest);
        let jitter_ms = millis(self.config.max_ejection_jitter);
        let jitter = if jitter_ms == 0 { 0 } else { random % (jitter_ms + 1) };
        monitor.until.store(millis(now + out).saturating_add(jitter), Relaxed);
        self.generation.fetch_add(1, Relaxed);
        true
    }
}

/// Counts one more in a row; whether the limit is reached and (by chance) enforced. The count starts again then.
fn over(counter: &AtomicU32, limit: u32, enforcing: u32, random: u64) -> bool {
    if limit == 0 || counter.fetch_add(1, Relaxed) + 1 < limit {
        return false;
    }
    counter.store(0, Relaxed);
    random % 100 < u64::from(enforcing)
}

/// Writes only if there is something to write: success is common, and the line is shared.
fn reset(counter: &AtomicU32) {
    if counter.load(Relaxed) != 0 {
        counter.store(0, Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::balance::tests::endpoints;
    use crate::runtime::cluster::{FailurePercentage, SuccessRate};

    fn config() -> OutlierDetection {
        OutlierDetection {
            consecutive_5xx: 3,
            enforcing_consecutive_5xx: 100,
            consecutive_gateway: 0,
            enforcing_consecutive_gateway: 0,
            split_local_origin: false,
            consecutive_local_origin: 5,
            enforcing_consecutive_local_origin: 100,
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            max_ejection_jitter: Duration::ZERO,
            max_ejection_percent: 100,
            always_eject_one: false,
            success_rate: None,
            failure_percentage: None,
        }
    }

    const START: Duration = Duration::from_secs(1000);

    fn fail(d: &Detector, index: u32, times: u32) -> Option<Cause> {
        (0..times).filter_map(|_| d.record(index, Outcome::Status(503), START, 0)).last()
    }

    #[test]
    fn consecutive_failures_eject_and_time_brings_back() {
        let d = Detector::new(config(), &endpoints(&[1, 1]), None);
        assert_eq!(fail(&d, 0, 2), None);
        d.record(0, Outcome::Status(200), START, 0);
        assert_eq!(fail(&d, 0, 2), None, "a success starts the count again");
        assert_eq!(fail(&d, 0, 1), Some(Cause::Consecutive5xx));
        assert!(d.is_ejected(0) && d.generation() == 1);
        d.sweep(START + Duration::from_secs(29), 0);
        assert!(d.is_ejected(0));
        d.sweep(START + Duration::from_secs(30), 0);
        assert!(!d.is_ejected(0) && d.generation() == 2 && d.ejected() == 0);
        // The second time is twice as long.
        fail(&d, 0, 3);
        d.sweep(START + Duration::from_secs(59), 0);
        assert!(d.is_ejected(0));
        d.sweep(START + Duration::from_secs(60), 0);
        assert!(!d.is_ejected(0));
    }

    #[test]
    fn the_percentage_caps_and_ten_percent_of_few_is_none() {
        let few = Detector::new(
            OutlierDetection { max_ejection_percent: 10, ..config() },
            &endpoints(&[1; 9]),
            None,
        );
        assert_eq!(fail(&few, 0, 3), None);
        let ten = Detector::new(
            OutlierDetection { max_ejection_percent: 10, ..config() },
            &endpoints(&[1; 10]),
            None,
        );
        assert!(fail(&ten, 0, 3).is_some() && fail(&ten, 1, 3).is_none());
        let one = OutlierDetection { max_ejection_percent: 0, always_eject_one: true, ..config() };
        assert!(fail(&Detector::new(one, &endpoints(&[1; 2]), None), 0, 3).is_some());
    }

    #[test]
    fn gateway_failures_and_local_origin() {
        let gateway = OutlierDetection {
            consecutive_gateway: 2,
            enforcing_consecutive_gateway: 100,
            consecutive_5xx: 0,
            ..config()
        };
        let d = Detector::new(gateway, &endpoints(&[1]), None);
        d.record(0, Outcome::Status(502), START, 0);
        d.record(0, Outcome::Status(500), START, 0);
        assert_eq!(d.record(0, Outcome::LocalOrigin, START, 0), None);
        assert_eq!(d.record(0, Outcome::LocalOrigin, START, 0), Some(Cause::ConsecutiveGateway));
        let split = OutlierDetection { split_local_origin: true, consecutive_local_origin: 1, ..config() };
        let d = Detector::new(split, &endpoints(&[1]), None);
        assert_eq!(d.record(0, Outcome::LocalOrigin, START, 0), Some(Cause::ConsecutiveLocalOrigin));
    }

    #[test]
    fn rates_are_compared_at_sweeps() {
        let rate = SuccessRate { enforcing: 100, minimum_hosts: 5, request_volume: 10, stdev_factor: 1900 };
        let config = OutlierDetection { success_rate: Some(rate), consecutive_5xx: 0, ..config() };
        let d = Detector::new(config, &endpoints(&[1; 6]), None);
        for index in 0..6 {
            for n in 0..10 {
                let status = if index == 5 && n < 9 { 500 } else { 200 };
                d.record(index, Outcome::Status(status), START, 0);
            }
        }
        assert_eq!(d.sweep(START, 0), [(5, Cause::SuccessRate)]);
        let percentage =
            FailurePercentage { enforcing: 100, threshold: 85, minimum_hosts: 1, request_volume: 10 };
        let config = OutlierDetection { success_rate: None, failure_percentage: Some(percentage), ..config };
        let d = Detector::new(config, &endpoints(&[1; 2]), None);
        (0..10).for_each(|n| {
            d.record(1, Outcome::Status(if n < 9 { 500 } else { 200 }), START, 0);
        });
        assert_eq!(d.sweep(START, 0), [(1, Cause::FailurePercentage)]);
    }

    #[test]
    fn counts_survive_a_change_of_endpoints() {
        let old = Detector::new(config(), &endpoints(&[1, 1]), None);
        fail(&old, 1, 3);
        let new = Detector::new(config(), &endpoints(&[1, 1, 1]), Some(&old));
        assert!(new.is_ejected(1) && new.ejected() == 1);
    }
}
