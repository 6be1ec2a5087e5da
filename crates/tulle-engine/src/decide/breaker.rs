//! Circuit breakers: limits that hold over all workers.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::runtime::cluster::CircuitBreakers;

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
}

impl Breaker {
    /// Counts one more, if the limit allows; what was allowed must be given back with [`Breaker::release`].
    #[must_use]
    pub fn try_acquire(&self, limits: &CircuitBreakers, what: Resource) -> bool {
        let max = match what {
            Resource::Connection => limits.max_connections,
            Resource::Pending => limits.max_pending,
            Resource::Request => limits.max_requests,
            Resource::Retry => self.max_retries(limits),
        };
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

    /// Retries allowed now: the limit, or with a budget its part of the requests under way or waiting, but at least
    /// the budget's minimum.
    fn max_retries(&self, limits: &CircuitBreakers) -> u32 {
        let Some(budget) = limits.retry_budget else { return limits.max_retries };
        let under_way = self.current(Resource::Request).saturating_add(self.current(Resource::Pending));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::cluster::RetryBudget;

    #[test]
    fn limits_hold_and_are_given_back() {
        let limits = CircuitBreakers { max_requests: 2, ..Default::default() };
        let breaker = Breaker::default();
        assert!(breaker.try_acquire(&limits, Resource::Request));
        assert!(breaker.try_acquire(&limits, Resource::Request));
        assert!(!breaker.try_acquire(&limits, Resource::Request));
        breaker.release(Resource::Request);
        assert_eq!(breaker.current(Resource::Request), 1);
        assert!(breaker.try_acquire(&limits, Resource::Request));
    }

    #[test]
    fn a_budget_follows_the_requests_under_way() {
        let budget = Some(RetryBudget { percent: 20.0, min_concurrency: 3 });
        let limits = CircuitBreakers { retry_budget: budget, ..Default::default() };
        let breaker = Breaker::default();
        assert_eq!(breaker.max_retries(&limits), 3);
        for _ in 0..100 {
            assert!(breaker.try_acquire(&limits, Resource::Request));
        }
        assert_eq!(breaker.max_retries(&limits), 20);
    }
}
