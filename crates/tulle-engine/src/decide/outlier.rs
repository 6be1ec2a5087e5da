//! Outlier detection: endpoints that fail are left out for a while.
//!
//! One [`Detector`] per cluster, shared by all workers. Success costs a load; failures and sweeps touch atomics. Time is
//! an argument, in time since any fixed moment of the process.

mod errors;
mod monitor;
mod rates;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

pub use self::errors::counts_as;
pub use self::monitor::{Monitor, State};
use self::monitor::{millis, over, reset};
use crate::runtime::cluster::OutlierDetection;
use crate::runtime::endpoint::EndpointSet;

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
    /// Rate of reaching it far below the others'.
    LocalOriginSuccessRate,
    /// Percentage of failures to reach it.
    LocalOriginFailurePercentage,
}

/// The outlier detection of one cluster.
#[derive(Debug)]
pub struct Detector {
    config: OutlierDetection,
    monitors: Vec<Arc<Monitor>>,
    /// What outlives a change of endpoints.
    lasting: Arc<Lasting>,
}

#[derive(Debug, Default)]
struct Lasting {
    ejected: AtomicU32,
    /// Grows with every ejection and return, so that balancers know when to look again.
    generation: AtomicU64,
    /// Endpoints that would have been ejected if not too many had been out.
    overflow: AtomicU64,
    /// When it was swept last, in milliseconds.
    swept: AtomicU64,
}

impl Detector {
    /// A detector for these endpoints, in their order. Endpoints that `old` knows keep their counts. `now` is when the time
    /// to the first sweep begins, unless `old` has begun it.
    pub fn new(
        config: OutlierDetection,
        endpoints: &EndpointSet,
        old: Option<&Detector>,
        now: Duration,
    ) -> Self {
        let known: std::collections::HashMap<_, _> =
            old.into_iter().flat_map(|old| &old.monitors).map(|m| (&m.address, m)).collect();
        let monitors: Vec<Arc<Monitor>> = endpoints
            .endpoints
            .iter()
            .map(|endpoint| match known.get(&endpoint.address) {
                Some(monitor) => Arc::clone(monitor),
                None => Arc::new(Monitor::new(endpoint.address.clone())),
            })
            .collect();
        let lasting = match old {
            Some(old) => Arc::clone(&old.lasting),
            None => Arc::new(Lasting { swept: AtomicU64::new(millis(now)), ..Lasting::default() }),
        };
        let ejected = monitors.iter().filter(|m| m.is_ejected()).count();
        lasting.ejected.store(u32::try_from(ejected).unwrap_or(u32::MAX), Relaxed);
        lasting.generation.fetch_add(1, Relaxed);
        Self { config, lasting, monitors }
    }

    /// Changes whenever the set of ejected endpoints does.
    pub fn generation(&self) -> u64 {
        self.lasting.generation.load(Relaxed)
    }

    /// Whether the endpoint with this index is left out.
    pub fn is_ejected(&self, index: u32) -> bool {
        self.monitors.get(index as usize).is_some_and(|m| m.is_ejected())
    }

    /// What is known of the endpoint with this index.
    pub fn monitor(&self, index: u32) -> Option<&Monitor> {
        self.monitors.get(index as usize).map(Arc::as_ref)
    }

    /// How many are left out.
    pub fn ejected(&self) -> u32 {
        self.lasting.ejected.load(Relaxed)
    }

    /// How often an endpoint was not ejected because too many were out.
    pub fn overflow(&self) -> u64 {
        self.lasting.overflow.load(Relaxed)
    }

    /// How long from `now` until [`Detector::sweep`] is due. A change of endpoints does not put it off.
    pub fn due_in(&self, now: Duration) -> Duration {
        let last = Duration::from_millis(self.lasting.swept.load(Relaxed));
        (last + self.config.interval).saturating_sub(now)
    }

    /// Counts an outcome. `random` is uniform, for enforcement in part and jitter. The cause, if this ejected the endpoint.
    pub fn record(&self, index: u32, outcome: Outcome, now: Duration, random: u64) -> Option<Cause> {
        let monitor = self.monitors.get(index as usize)?;
        let cause = match outcome {
            Outcome::Connected => {
                if self.config.split_local_origin {
                    monitor.local.count(true);
                    reset(&monitor.consecutive_local);
                }
                None
            }
            Outcome::LocalOrigin if self.config.split_local_origin => {
                monitor.local.count(false);
                over(
                    &monitor.consecutive_local,
                    self.config.consecutive_local_origin,
                    self.config.enforcing_consecutive_local_origin,
                    random,
                )
                .then_some(Cause::ConsecutiveLocalOrigin)
            }
            Outcome::LocalOrigin => self.failed(monitor, true, random),
            Outcome::Status(status) if status >= 500 => {
                self.failed(monitor, (502..=504).contains(&status), random)
            }
            Outcome::Status(_) => {
                monitor.answers.count(true);
                reset(&monitor.consecutive_5xx);
                reset(&monitor.consecutive_gateway);
                monitor.proved();
                None
            }
        }?;
        self.eject(monitor, now, random).then_some(cause)
    }

    fn failed(&self, monitor: &Monitor, gateway: bool, random: u64) -> Option<Cause> {
        let c = &self.config;
        monitor.answers.count(false);
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
        self.lasting.swept.store(millis(now), Relaxed);
        for monitor in &self.monitors {
            if monitor.take_back(millis(now)) {
                self.lasting.ejected.fetch_sub(1, Relaxed);
                self.lasting.generation.fetch_add(1, Relaxed);
            }
        }
        rates::compare(self, now, random)
    }

    /// Ejects an endpoint unless too many are out: `(already ejected + 1) / endpoints` must stay within the limit.
    fn eject(&self, monitor: &Monitor, now: Duration, random: u64) -> bool {
        if monitor.is_ejected() {
            return false;
        }
        let before = self.lasting.ejected.fetch_add(1, Relaxed);
        let hosts = u64::try_from(self.monitors.len()).unwrap_or(u64::MAX);
        let within = (u64::from(before) + 1) * 100 <= u64::from(self.config.max_ejection_percent) * hosts;
        let allowed = within || (self.config.always_eject_one && before == 0);
        if !allowed {
            self.lasting.overflow.fetch_add(1, Relaxed);
        }
        if !allowed || !monitor.leave_out(&self.config, now, random) {
            self.lasting.ejected.fetch_sub(1, Relaxed);
            return false;
        }
        self.lasting.generation.fetch_add(1, Relaxed);
        true
    }
}
