//! How long a container waits before it is started again.

use std::time::Duration;

/// Kubernetes' crash loop: the first restart at once, then 10 s, doubling to 5 min; forgotten after 10 min of running. The
/// mesh's own parts come back faster: 0.5 s, doubling to 15 s.
#[derive(Clone, Debug)]
pub struct RestartDelay {
    base: Duration,
    max: Duration,
    failures: u32,
}

/// A run of this length counts as a success.
const GOOD_RUN: Duration = Duration::from_secs(600);

impl RestartDelay {
    /// For an application.
    pub fn application() -> Self {
        Self { base: Duration::from_secs(10), max: Duration::from_secs(300), failures: 0 }
    }

    /// For a part of the mesh.
    pub fn mesh() -> Self {
        Self { base: Duration::from_millis(500), max: Duration::from_secs(15), failures: 0 }
    }

    /// The wait after a run that lasted `ran`.
    pub fn after(&mut self, ran: Duration) -> Duration {
        if ran >= GOOD_RUN {
            self.failures = 0;
        }
        let wait = match self.failures {
            0 => Duration::ZERO,
            n => self.base.saturating_mul(1u32.checked_shl(n - 1).unwrap_or(u32::MAX)).min(self.max),
        };
        self.failures = (self.failures + 1).min(31);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_once_then_doubling_then_forgotten() {
        let mut d = RestartDelay::application();
        let waits: Vec<u64> = (0..8).map(|_| d.after(Duration::from_secs(1)).as_secs()).collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(d.after(GOOD_RUN), Duration::ZERO);
        for _ in 0..100 {
            assert!(d.after(Duration::ZERO) <= Duration::from_secs(300));
        }
    }
}
