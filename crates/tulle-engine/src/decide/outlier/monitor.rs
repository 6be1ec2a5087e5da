//! What is counted of one endpoint.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::runtime::cluster::OutlierDetection;
use crate::runtime::net::Address;

/// Where the circuit of an endpoint stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Closed: it is asked as the balancer wants it.
    Closed,
    /// Open: it is ejected.
    Open,
    /// Half open: it was ejected, is asked again, and has not answered well yet.
    HalfOpen,
}

impl State {
    /// The word for it in `/clusters` and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// What is counted of one endpoint.
#[derive(Debug)]
pub struct Monitor {
    pub(super) address: Address,
    pub(super) consecutive_5xx: AtomicU32,
    pub(super) consecutive_gateway: AtomicU32,
    pub(super) consecutive_local: AtomicU32,
    /// Its answers; failures to reach it too, where they are not split off.
    pub(super) answers: Tally,
    /// Failures to reach it, and connections.
    pub(super) local: Tally,
    ejected: AtomicBool,
    /// It is back and has not answered well yet.
    trial: AtomicBool,
    /// When it comes back, in milliseconds.
    until: AtomicU64,
    /// How often it was ejected lately; the time out grows with it.
    times: AtomicU32,
    /// How often it was ejected in all.
    ejections: AtomicU64,
}

impl Monitor {
    pub(super) fn new(address: Address) -> Self {
        Self {
            address,
            consecutive_5xx: AtomicU32::new(0),
            consecutive_gateway: AtomicU32::new(0),
            consecutive_local: AtomicU32::new(0),
            answers: Tally::default(),
            local: Tally::default(),
            ejected: AtomicBool::new(false),
            trial: AtomicBool::new(false),
            until: AtomicU64::new(0),
            times: AtomicU32::new(0),
            ejections: AtomicU64::new(0),
        }
    }

    /// Whether it is left out now.
    pub fn is_ejected(&self) -> bool {
        self.ejected.load(Relaxed)
    }

    /// Where its circuit stands.
    pub fn state(&self) -> State {
        match (self.is_ejected(), self.trial.load(Relaxed)) {
            (true, _) => State::Open,
            (false, true) => State::HalfOpen,
            (false, false) => State::Closed,
        }
    }

    /// How often it was ejected in all.
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Relaxed)
    }

    /// It answered well.
    pub(super) fn proved(&self) {
        if self.trial.load(Relaxed) {
            self.trial.store(false, Relaxed);
        }
    }

    /// Ejects it; `false` if another did so before. Its time out is the base time, times how often it was ejected
    /// lately, and some jitter.
    pub(super) fn leave_out(&self, config: &OutlierDetection, now: Duration, random: u64) -> bool {
        if self.ejected.swap(true, Relaxed) {
            return false;
        }
        self.ejections.fetch_add(1, Relaxed);
        let OutlierDetection { base_ejection: base, max_ejection: longest, .. } = *config;
        // The number grows no further than the time does, so that an endpoint that behaves is soon forgiven.
        let mut times = self.times.load(Relaxed);
        if base.saturating_mul(times) < longest.saturating_add(base) {
            times += 1;
            self.times.store(times, Relaxed);
        }
        let out = base.saturating_mul(times).min(longest);
        let jitter_ms = millis(config.max_ejection_jitter);
        let jitter = if jitter_ms == 0 { 0 } else { random % (jitter_ms + 1) };
        self.until.store(millis(now + out).saturating_add(jitter), Relaxed);
        true
    }

    /// Lets it back if its time is over: `true`. One that is not out is forgiven a little.
    pub(super) fn take_back(&self, now_ms: u64) -> bool {
        if !self.is_ejected() {
            let times = self.times.load(Relaxed);
            self.times.store(times.saturating_sub(1), Relaxed);
            return false;
        }
        if self.until.load(Relaxed) > now_ms {
            return false;
        }
        for counter in [&self.consecutive_5xx, &self.consecutive_gateway, &self.consecutive_local] {
            counter.store(0, Relaxed);
        }
        self.trial.store(true, Relaxed);
        self.ejected.swap(false, Relaxed)
    }
}

/// Successes among all, since the last sweep.
#[derive(Debug, Default)]
pub(super) struct Tally {
    successes: AtomicU32,
    total: AtomicU32,
}

impl Tally {
    pub(super) fn count(&self, success: bool) {
        self.total.fetch_add(1, Relaxed);
        if success {
            self.successes.fetch_add(1, Relaxed);
        }
    }

    /// Successes and all, which begin anew.
    pub(super) fn take(&self) -> (u32, u32) {
        let successes = self.successes.swap(0, Relaxed);
        (successes, self.total.swap(0, Relaxed).max(successes))
    }
}

/// Counts one more in a row; whether the limit is reached and (by chance) enforced. The count starts again then.
pub(super) fn over(counter: &AtomicU32, limit: u32, enforcing: u32, random: u64) -> bool {
    if limit == 0 || counter.fetch_add(1, Relaxed) + 1 < limit {
        return false;
    }
    counter.store(0, Relaxed);
    random % 100 < u64::from(enforcing)
}

/// Writes only if there is something to write: success is common, and the line is shared.
pub(super) fn reset(counter: &AtomicU32) {
    if counter.load(Relaxed) != 0 {
        counter.store(0, Relaxed);
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
