//! Token buckets that several workers share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::runtime::rate_limit::BucketShape;

/// A token bucket: full at first, and filled evenly. One word is shared: the moment at which the bucket would have been empty.
///
/// Times count from any fixed moment, the same for all callers.
#[derive(Debug)]
pub struct TokenBucket {
    max: f64,
    /// Tokens a second; above zero.
    rate: f64,
    /// Whether an empty bucket refuses nothing and is only counted.
    pub shadow: bool,
    /// Bits of an `f64`: seconds.
    empty_at: AtomicU64,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(shape: BucketShape, shadow: bool) -> Self {
        let BucketShape { max_tokens, tokens_per_fill, fill_interval } = shape;
        let seconds = fill_interval.as_secs_f64().max(0.001);
        Self {
            max: f64::from(max_tokens),
            rate: f64::from(tokens_per_fill.max(1)) / seconds,
            shadow,
            empty_at: AtomicU64::new(f64::NEG_INFINITY.to_bits()),
        }
    }

    /// Takes `tokens` if they are all there.
    pub fn take(&self, tokens: u64, now: Duration) -> bool {
        #[allow(clippy::cast_precision_loss, reason = "hits are at most 1,000,000,000")]
        let tokens = tokens as f64;
        self.change(now, |level| (level >= tokens).then_some(level - tokens))
    }

    /// Gives tokens back, as far as there is room.
    pub fn give(&self, tokens: u64, now: Duration) {
        #[allow(clippy::cast_precision_loss, reason = "hits are at most 1,000,000,000")]
        let tokens = tokens as f64;
        self.change(now, |level| (level < self.max).then_some((level + tokens).min(self.max)));
    }

    /// Tokens in the bucket, whole ones.
    pub fn remaining(&self, now: Duration) -> u64 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 2^32")]
        let whole = self.level(f64::from_bits(self.empty_at.load(Ordering::Relaxed)), now) as u64;
        whole
    }

    /// The size of the bucket.
    pub fn max(&self) -> u64 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "made of a u32")]
        let max = self.max as u64;
        max
    }

    /// Tokens a second.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Whole seconds in which one token comes, 0 while there is one: what `x-ratelimit-reset` says (Envoy rounds down, and does not
    /// count the part of a token that is there).
    pub fn reset_seconds(&self, now: Duration) -> u64 {
        if self.remaining(now) >= 1 {
            return 0;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast saturates")]
        let millis = (1000.0 / self.rate).ceil() as u64;
        millis / 1000
    }

    fn level(&self, empty_at: f64, now: Duration) -> f64 {
        ((now.as_secs_f64() - empty_at) * self.rate).clamp(0.0, self.max)
    }

    /// Puts the level that `to` answers in place of the present one; `None` leaves it. Whether it was changed.
    fn change(&self, now: Duration, to: impl Fn(f64) -> Option<f64>) -> bool {
        let mut seen = self.empty_at.load(Ordering::Relaxed);
        loop {
            let Some(level) = to(self.level(f64::from_bits(seen), now)) else { return false };
            let next = now.as_secs_f64() - level / self.rate;
            match self.empty_at.compare_exchange_weak(
                seen,
                next.to_bits(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(other) => seen = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(max_tokens: u32, tokens_per_fill: u32, fill: Duration) -> TokenBucket {
        TokenBucket::new(BucketShape { max_tokens, tokens_per_fill, fill_interval: fill }, false)
    }

    #[test]
    fn it_is_full_at_first_and_fills_evenly() {
        let bucket = bucket(3, 2, Duration::from_secs(1));
        let at = |millis| Duration::from_secs(1000) + Duration::from_millis(millis);
        assert_eq!(bucket.remaining(at(0)), 3);
        assert!((0..3).all(|_| bucket.take(1, at(0))) && !bucket.take(1, at(0)));
        assert!(!bucket.take(1, at(499)), "half a second brings the first token");
        assert!(bucket.take(1, at(501)) && !bucket.take(1, at(501)));
        assert_eq!(bucket.remaining(at(1_000_000)), 3, "it never holds more than its size");
        assert!(!bucket.take(4, at(1_000_000)), "more than its size can never be had");
        assert!(bucket.take(3, at(1_000_000)));
        bucket.give(2, at(1_000_000));
        assert_eq!(bucket.remaining(at(1_000_000)), 2);
        bucket.give(9, at(1_000_000));
        assert_eq!(bucket.remaining(at(1_000_000)), 3);
    }

    #[test]
    fn the_reset_is_the_time_of_one_token_rounded_down() {
        let slow = bucket(1, 1, Duration::from_millis(60_900));
        let now = Duration::from_secs(5);
        assert_eq!(slow.reset_seconds(now), 0);
        assert!(slow.take(1, now));
        assert_eq!(slow.reset_seconds(now), 60);
        let fast = bucket(1, 10, Duration::from_secs(1));
        assert!(fast.take(1, now));
        assert_eq!(fast.reset_seconds(now), 0);
    }

    #[test]
    fn many_threads_take_exactly_what_is_there() {
        let bucket = bucket(10_000, 1, Duration::from_secs(1_000_000));
        let taken: usize = std::thread::scope(|scope| {
            let count = || (0..5000).filter(|_| bucket.take(1, Duration::from_secs(1))).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(taken, 10_000);
    }

    #[test]
    fn a_bucket_of_size_zero_refuses_everything() {
        let none = bucket(0, 1, Duration::ZERO);
        assert!(!none.take(1, Duration::from_secs(9)) && none.remaining(Duration::MAX) == 0);
    }
}
