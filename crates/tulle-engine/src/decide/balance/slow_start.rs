//! Slow start: a new endpoint gets more and more of its weight.

use std::time::Duration;

use super::Host;
use crate::runtime::cluster::SlowStart;

/// Slow start at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Warming {
    pub(super) config: SlowStart,
    pub(super) now: Duration,
}

impl Warming {
    /// Which part of its weight an endpoint has now, above 0 and at most 1: the time it has been here, as a part of the
    /// window and bent by the aggression, but at least the least part.
    pub(super) fn part(&self, host: &Host) -> f64 {
        let SlowStart { window, aggression, min_weight_percent } = self.config;
        let here = self.now.saturating_sub(host.since.get()).max(Duration::from_millis(1));
        if here >= window {
            return 1.0;
        }
        let part = here.as_secs_f64() / window.as_secs_f64();
        let bent = if aggression == 1.0 { part } else { part.powf(1.0 / aggression) };
        bent.max(min_weight_percent / 100.0).clamp(f64::MIN_POSITIVE, 1.0)
    }
}
