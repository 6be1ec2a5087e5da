//! How often certificates are asked for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Callers that are remembered, at most. One that is forgotten begins anew; the limit of all together holds whatever happens.
const MAX_CALLERS: usize = 65_536;

/// So many at once, and so many a second after that.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: f64,
    per_second: f64,
}

/// Of one pod: a proxy asks once in half a certificate's life, and a few times while it starts again and again.
const OF_ONE: Rate = Rate { burst: 20.0, per_second: 0.5 };
/// Of all together: what two cores sign, with room for a mesh whose pods all start at once.
const OF_ALL: Rate = Rate { burst: 10_000.0, per_second: 2_000.0 };

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { left: rate.burst, at: now }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * rate.per_second).min(rate.burst);
        self.at = now;
    }

    /// How long until there is one.
    fn wait(&self, rate: Rate) -> Option<Duration> {
        (self.left < 1.0).then(|| Duration::from_secs_f64((1.0 - self.left) / rate.per_second))
    }
}

/// Limits how often certificates are asked for, by caller and in all.
#[derive(Debug)]
pub(crate) struct Limiter(Mutex<State>);

#[derive(Debug)]
struct State {
    all: Bucket,
    callers: HashMap<String, Bucket>,
}

impl Limiter {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(State { all: Bucket::full(OF_ALL, now), callers: HashMap::new() }))
    }

    /// Takes one for `caller`.
    ///
    /// # Errors
    /// How long to wait for the next.
    pub(crate) fn take(&self, caller: &str, now: Instant) -> Result<(), Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { all, callers } = &mut *state;
        all.fill(OF_ALL, now);
        if callers.len() >= MAX_CALLERS && !callers.contains_key(caller) {
            callers.retain(|_, bucket| {
                bucket.fill(OF_ONE, now);
                bucket.left < OF_ONE.burst
            });
            if callers.len() >= MAX_CALLERS {
                callers.clear();
            }
        }
        let own = callers.entry(caller.to_owned()).or_insert_with(|| Bucket::full(OF_ONE, now));
        own.fill(OF_ONE, now);
        if let Some(wait) = own.wait(OF_ONE).or_else(|| all.wait(OF_ALL)) {
            return Err(wait);
        }
        own.left -= 1.0;
        all.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_waits_and_others_do_not() {
        let start = Instant::now();
        let limiter = Limiter::new(start);
        for _ in 0..20 {
            assert_eq!(limiter.take("a", start), Ok(()));
        }
        assert_eq!(limiter.take("a", start), Err(Duration::from_secs(2)));
        assert_eq!(limiter.take("b", start), Ok(()));
        assert_eq!(limiter.take("a", start + Duration::from_secs(2)), Ok(()));
        assert!(limiter.take("a", start + Duration::from_secs(2)).is_err());
    }

    #[test]
    fn all_together_have_a_limit_and_memory_is_bounded() {
        let start = Instant::now();
        let limiter = Limiter::new(start);
        let taken = (0..20_000).filter(|i| limiter.take(&i.to_string(), start).is_ok()).count();
        assert_eq!(taken, 10_000);
        let later = start + Duration::from_secs(3600);
        for i in 0..2 * MAX_CALLERS {
            let _ = limiter.take(&format!("x{i}"), later);
        }
        assert!(limiter.0.lock().unwrap().callers.len() <= MAX_CALLERS);
    }
}
