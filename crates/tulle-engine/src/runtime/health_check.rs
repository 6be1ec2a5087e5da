//! `envoy.filters.http.health_check`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::matcher::HeaderMatcher;

/// Answers health checks.
#[derive(Debug)]
pub struct HealthCheck {
    /// Which requests are health checks: all must match.
    pub headers: Vec<HeaderMatcher>,
    /// How they are answered.
    pub mode: HealthCheckMode,
}

/// How health checks are answered.
#[derive(Debug)]
pub enum HealthCheckMode {
    /// By the proxy: 200 unless it is on its way down, or one of these clusters has too few healthy endpoints (in percent).
    Own(Vec<(Arc<str>, u64)>),
    /// By the upstream, unless the proxy is on its way down; its status may stand for some time.
    PassThrough(Option<StatusCache>),
}

/// The status of the last health check that passed through, shared by all workers.
#[derive(Debug)]
pub struct StatusCache {
    time: Duration,
    /// The status in the lower 16 bits, and above it the millisecond until which it stands.
    last: AtomicU64,
}

impl StatusCache {
    /// An empty cache that keeps a status for `time`.
    pub fn new(time: Duration) -> Self {
        Self { time, last: AtomicU64::new(0) }
    }

    /// The status, while it stands. `now` counts from any fixed moment.
    pub fn get(&self, now: Duration) -> Option<u16> {
        let last = self.last.load(Ordering::Relaxed);
        let status = u16::try_from(last & 0xffff).unwrap_or_default();
        (millis(now) < last >> 16 && status != 0).then_some(status)
    }

    /// Remembers a status.
    pub fn put(&self, status: u16, now: Duration) {
        let until = millis(now.saturating_add(self.time));
        self.last.store(until << 16 | u64::from(status), Ordering::Relaxed);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX) & (u64::MAX >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_stands_for_its_time() {
        let cache = StatusCache::new(Duration::from_secs(10));
        let at = Duration::from_secs;
        assert_eq!(cache.get(at(1)), None);
        cache.put(503, at(1));
        assert_eq!((cache.get(at(1)), cache.get(at(10)), cache.get(at(11))), (Some(503), Some(503), None));
        cache.put(200, at(12));
        assert_eq!(cache.get(at(13)), Some(200));
    }
}
