//! For how long certificates are valid.

use std::time::Duration;

/// Limits on the life of workload certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlPolicy {
    /// What a request that names no time gets, and the most that any request gets.
    longest: Duration,
    /// The least that any request gets.
    shortest: Duration,
}

impl TtlPolicy {
    /// Certificates of at most `longest` (default in Istio and here: 24 h), at least 60 s or `longest` if that is less.
    pub fn new(longest: Duration) -> Self {
        Self { longest, shortest: longest.min(Duration::from_secs(60)) }
    }

    /// The life of a certificate for which `requested` was asked; zero is "whatever you think right".
    pub fn grant(&self, requested: Duration) -> Duration {
        if requested.is_zero() { self.longest } else { requested.clamp(self.shortest, self.longest) }
    }

    /// The most that is granted.
    pub fn longest(&self) -> Duration {
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_kept_within_limits() {
        let day = Duration::from_secs(86_400);
        let policy = TtlPolicy::new(day);
        let granted = |s| policy.grant(Duration::from_secs(s)).as_secs();
        assert_eq!([granted(0), granted(1), granted(3600), granted(u64::MAX)], [86_400, 60, 3600, 86_400]);
        let short = TtlPolicy::new(Duration::from_secs(20));
        assert_eq!(short.grant(Duration::from_secs(5)).as_secs(), 20);
    }
}
