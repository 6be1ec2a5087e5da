//! Circuit breakers: limits that hold over all workers.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::runtime::cluster::{CircuitBreakers, RetryBudget};

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Connections to endpoints (response flag `UO` when over).
    Connection,
    /// Requests that wait for a connection.
    Pending,
    /// Requests under way.
    Request,
    /// Retries under way (`URX` when over).
    Retry,
}

/// The counters of one cluster and priority, shared by all workers. Each is touched once when a thing begins and once
/// when it ends. Limits are arguments, so that a change of configuration keeps the counts.
#[derive(Debug, Default)]
pub struct Breaker {
    connections: AtomicU32,
    pending: AtomicU32,
    requests: AtomicU32,
    retries: AtomicU32,
    recent: Recent,
}

impl Breaker {
    /// Counts one more at the time `now`, if the limit allows; what was allowed must be given back with
    /// [`Breaker::release`]. The time matters only to a retry budget with an interval.
    #[must_use]
    pub fn try_acquire(&self, limits: &CircuitBreakers, what: Resource, now: Duration) -> bool {
        let max = self.max(limits, what, now);
        if what == Resource::Request
            && let Some(RetryBudget { interval, .. }) = limits.retry_budget
        {
            self.recent.begin(interval, now);
        }
        let counter = self.counter(what);
        // A thing too many is counted for a moment and taken back: no loop, and never more than `max` allowed at once.
        if counter.fetch_add(1, Ordering::Relaxed) < max {
            return true;
        }
        counter.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// Gives back what [`Breaker::try_acquire`] allowed.
    pub fn release(&self, what: Resource) {
        self.counter(what).fetch_sub(1, Ordering::Relaxed);
    }

    /// How many there are now.
    pub fn current(&self, what: Resource) -> u32 {
        self.counter(what).load(Ordering::Relaxed)
    }

    /// Whether one more would be refused now: the circuit is open.
    pub fn is_open(&self, limits: &CircuitBreakers, what: Resource, now: Duration) -> bool {
        self.current(what) >= self.max(limits, what, now)
    }

    fn max(&self, limits: &CircuitBreakers, what: Resource, now: Duration) -> u32 {
        match what {
            Resource::Connection => limits.max_connections,
            Resource::Pending => limits.max_pending,
            Resource::Request => limits.max_requests,
            Resource::Retry => self.max_retries(limits, now),
        }
    }

    /// Retries allowed now: the limit, or with a budget its part of the requests under way, those that wait for a connection
    /// among them (of those that began within the budget's interval, if it has one), but at least the budget's minimum.
    fn max_retries(&self, limits: &CircuitBreakers, now: Duration) -> u32 {
        let Some(budget) = limits.retry_budget else { return limits.max_retries };
        let under_way = if budget.interval.is_zero() {
            self.current(Resource::Request)
        } else {
            self.recent.count(budget.interval, now)
        };
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float cast saturates, and budgets are between 0 and 100 percent"
        )]
        let part = (f64::from(under_way) * budget.percent / 100.0) as u32;
        part.max(budget.min_concurrency)
    }

    fn counter(&self, what: Resource) -> &AtomicU32 {
        match what {
            Resource::Connection => &self.connections,
            Resource::Pending => &self.pending,
            Resource::Request => &self.requests,
            Resource::Retry => &self.retries,
        }
    }
}

/// Requests that began lately, counted in tenths of the interval.
#[derive(Debug, Default)]
struct Recent([AtomicU64; Self::SLOTS]);

impl Recent {
    const SLOTS: usize = 16;
    const PARTS: u64 = 10;
    /// Bits of a slot that count; the others say which tenth it is of.
    const COUNT: u32 = 24;

    fn tenth(interval: Duration, now: Duration) -> u64 {
        let part = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX).div_ceil(Self::PARTS).max(1);
        u64::try_from(now.as_micros()).unwrap_or(u64::MAX) / part
    }

    fn slot(&self, tenth: u64) -> &AtomicU64 {
        &self.0[usize::try_from(tenth % Self::SLOTS as u64).unwrap_or(0)]
    }

    fn begin(&self, interval: Duration, now: Duration) {
        if interval.is_zero() {
            return;
        }
        let tenth = Self::tenth(interval, now);
        let full = (1 << Self::COUNT) - 1;
        // Another worker may begin the tenth meanwhile: then this looks again.
        let _ = self.slot(tenth).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
            let same = old >> Self::COUNT == tenth & (u64::MAX >> Self::COUNT);
            let count = if same { (old & full).saturating_add(1).min(full) } else { 1 };
            Some(tenth << Self::COUNT | count)
        });
    }

    fn count(&self, interval: Duration, now: Duration) -> u32 {
        let last = Self::tenth(interval, now);
        let full = (1 << Self::COUNT) - 1;
        let of = |tenth: u64| {
            let slot = self.slot(tenth).load(Ordering::Relaxed);
            if slot >> Self::COUNT == tenth & (u64::MAX >> Self::COUNT) { slot & full } else { 0 }
        };
        let sum: u64 = (last.saturating_sub(Self::PARTS - 1)..=last).map(of).sum();
        u32::try_from(sum).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    #[test]
    fn limits_hold_and_are_given_back() {
        let limits = CircuitBreakers { max_requests: 2, ..Default::default() };
        let breaker = Breaker::default();
        assert!(breaker.try_acquire(&limits, Resource::Request, NOW));
        assert!(breaker.try_acquire(&limits, Resource::Request, NOW));
        assert!(!breaker.try_acquire(&limits, Resource::Request, NOW));
        breaker.release(Resource::Request);
        assert_eq!(breaker.current(Resource::Request), 1);
        assert!(breaker.try_acquire(&limits, Resource::Request, NOW));
    }

    #[test]
    fn a_budget_follows_the_requests_under_way() {
        let budget = Some(RetryBudget { percent: 20.0, min_concurrency: 3, interval: Duration::ZERO });
        let limits = CircuitBreakers { retry_budget: budget, ..Default::default() };
        let breaker = Breaker::default();
        assert_eq!(breaker.max_retries(&limits, NOW), 3);
        for _ in 0..100 {
            assert!(breaker.try_acquire(&limits, Resource::Request, NOW));
        }
        assert_eq!(breaker.max_retries(&limits, NOW), 20);
    }

    #[test]
    fn a_budget_may_count_what_began_lately() {
        let interval = Duration::from_secs(10);
        let budget = Some(RetryBudget { percent: 20.0, min_concurrency: 3, interval });
        let limits = CircuitBreakers { retry_budget: budget, ..Default::default() };
        let breaker = Breaker::default();
        for _ in 0..100 {
            assert!(breaker.try_acquire(&limits, Resource::Request, NOW));
            breaker.release(Resource::Request);
        }
        assert_eq!(breaker.max_retries(&limits, NOW + Duration::from_secs(9)), 20);
        assert_eq!(breaker.max_retries(&limits, NOW + Duration::from_secs(11)), 3);
    }
}
