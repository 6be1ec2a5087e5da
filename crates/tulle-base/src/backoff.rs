//! Exponential back-off with full jitter.

use std::time::Duration;

/// Doubles from `base` to `max`; each wait is a random part of the current step (full jitter).
///
/// Pure: randomness is an argument, so a seed replays a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    attempt: u32,
}

impl Backoff {
    /// A back-off that has not failed yet. `base` must be above zero; `max` is raised to `base` if below it.
    pub fn new(base: Duration, max: Duration) -> Self {
        Self { base, max: max.max(base), attempt: 0 }
    }

    /// The longest wait after the next failure, without jitter.
    pub fn ceiling(&self) -> Duration {
        self.base.saturating_mul(1u32.checked_shl(self.attempt.min(31)).unwrap_or(u32::MAX)).min(self.max)
    }

    /// Counts a failure and returns how long to wait, given `random` in `0.0..1.0`.
    pub fn next(&mut self, random: f64) -> Duration {
        let wait = self.ceiling().mul_f64(random.clamp(0.0, 1.0));
        self.attempt = self.attempt.saturating_add(1);
        wait
    }

    /// Starts again after a success.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Failures since the last reset.
    pub fn failures(&self) -> u32 {
        self.attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_limit() {
        let mut b = Backoff::new(Duration::from_millis(25), Duration::from_millis(250));
        let waits: Vec<u128> = (0..6).map(|_| b.next(1.0).as_millis()).collect();
        assert_eq!(waits, [25, 50, 100, 200, 250, 250]);
        b.reset();
        assert_eq!(b.next(0.5).as_micros(), 12_500);
    }

    #[test]
    fn never_overflows() {
        let mut b = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        for _ in 0..100 {
            assert!(b.next(1.0) <= Duration::from_secs(60));
        }
    }
}
