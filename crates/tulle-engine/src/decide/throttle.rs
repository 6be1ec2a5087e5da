//! How fast the body of a response goes that a fault slows down.

use std::time::Duration;

/// How long to wait when no byte may go: what collects meanwhile goes at once.
pub const STEP: Duration = Duration::from_millis(50);

const NANOS: u128 = 1_000_000_000;

/// A share of bytes each second. What is not used collects for a second at most; at the start there is that of one [`STEP`].
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    per_second: u64,
    /// Bytes times nanoseconds.
    credit: u128,
    at: Duration,
}

impl Throttle {
    /// `kbps` is in KiB each second and at least 1; `now` is the time of a clock that begins anywhere.
    pub fn new(kbps: u64, now: Duration) -> Self {
        let per_second = kbps.max(1).saturating_mul(1024);
        Self { per_second, credit: u128::from(per_second) * STEP.as_nanos(), at: now }
    }

    /// How many of `wanted` bytes go now. They count as gone.
    pub fn take(&mut self, wanted: usize, now: Duration) -> usize {
        let passed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        let most = u128::from(self.per_second) * NANOS;
        let more = u128::from(self.per_second) * passed.as_nanos().min(NANOS);
        self.credit = (self.credit + more).min(most);
        let ready = usize::try_from(self.credit / NANOS).unwrap_or(usize::MAX);
        let count = wanted.min(ready);
        self.credit -= count as u128 * NANOS;
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long `bytes` take if they are all there.
    fn duration(kbps: u64, bytes: usize) -> Duration {
        let mut throttle = Throttle::new(kbps, Duration::ZERO);
        let (mut left, mut now) = (bytes, Duration::ZERO);
        loop {
            left -= throttle.take(left, now);
            if left == 0 {
                return now;
            }
            now += STEP;
        }
    }

    #[test]
    fn a_body_takes_its_time() {
        assert_eq!(duration(1, 51), Duration::ZERO, "what one step lets through goes at once");
        assert_eq!(duration(1, 1024), Duration::from_millis(950));
        assert_eq!(duration(100, 1024 * 1000), Duration::from_millis(9950));
        assert_eq!(duration(u64::MAX, usize::MAX / 20), Duration::ZERO);
    }

    #[test]
    fn a_pause_saves_one_second_at_most() {
        let mut throttle = Throttle::new(2, Duration::from_secs(7));
        assert_eq!(throttle.take(10_000, Duration::from_secs(7)), 102);
        assert_eq!(throttle.take(10_000, Duration::from_secs(7)), 0);
        assert_eq!(throttle.take(10_000, Duration::from_secs(3600)), 2048);
        assert_eq!(
            throttle.take(10_000, Duration::from_secs(3599)),
            0,
            "a clock that goes back gives nothing"
        );
        assert_eq!(throttle.take(10_000, Duration::from_secs(3601)), 2048);
    }
}
