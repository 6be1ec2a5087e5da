//! Whether something is well, and why not.

use serde::Serialize;

use super::breakers::{Breaker, BreakerState};
use super::golden::Golden;
use crate::plane::Reference;

/// From this share of failed requests on something is degraded.
const DEGRADED: f64 = 0.01;
/// From this share on it is failing.
const FAILING: f64 = 0.05;
/// Fewer failures than this in the window are no sign of anything.
const FEW: f64 = 3.0;

/// How something is. The order is that of concern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Nothing came, and nothing is known to be wrong.
    #[default]
    Idle,
    /// Well.
    Healthy,
    /// Something is wrong, most requests succeed.
    Degraded,
    /// Many requests fail, or none can succeed.
    Failing,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reason {
    /// Stable: `errors`, `flag:XX`, `ejected`, `breaker-open`, `no-endpoints`, `plaintext`, `not-synced`.
    pub code: String,
    /// In words, with the numbers.
    pub text: String,
    /// What was measured.
    pub value: f64,
    /// From where on it matters.
    pub limit: f64,
    /// The resource of the mesh that makes it so, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Reference>,
    /// The rule within it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
}

impl Reason {
    /// A reason.
    pub fn new(code: impl Into<String>, text: impl Into<String>, value: f64, limit: f64) -> Self {
        Self { code: code.into(), text: text.into(), value, limit, resource: None, rule: None }
    }
}

/// Health with its reasons.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Judged {
    /// The worst.
    pub health: Health,
    /// All of them.
    pub reasons: Vec<Reason>,
}

impl Judged {
    /// Judges requests that were made for `seconds`.
    pub fn of(golden: &Golden, seconds: f64) -> Self {
        let mut judged = Self {
            health: if golden.is_idle() { Health::Idle } else { Health::Healthy },
            reasons: Vec::new(),
        };
        let share = golden.error_rate;
        if golden.errors * seconds >= FEW && share >= DEGRADED {
            let (health, limit) =
                if share >= FAILING { (Health::Failing, FAILING) } else { (Health::Degraded, DEGRADED) };
            let percent = share * 100.0;
            let text = format!(
                "{percent:.1} % of {:.1} requests a second failed; from {:.0} % on this counts",
                golden.rate,
                limit * 100.0
            );
            judged.add(health, Reason::new("errors", text, share, limit));
        }
        judged
    }

    /// One more reason.
    pub fn add(&mut self, health: Health, reason: Reason) {
        self.health = self.health.max(health);
        self.reasons.push(reason);
    }

    /// What its breaker says.
    #[must_use]
    pub fn with_breaker(mut self, breaker: &Breaker) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let ejected = breaker.ejected as f64;
        if !breaker.open.is_empty() {
            let text = format!(
                "the limit of {} is reached",
                breaker.open.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            );
            self.add(Health::Degraded, Reason::new("breaker-open", text, 1.0, 1.0));
        }
        if breaker.ejected > 0 {
            let all = breaker.state == BreakerState::Open && breaker.ejected >= breaker.endpoints;
            let text = format!("{} of {} endpoints are ejected", breaker.ejected, breaker.endpoints);
            let health = if all { Health::Failing } else { Health::Degraded };
            self.add(health, Reason::new("ejected", text, ejected, 1.0));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_failures_say_nothing_and_many_say_how_many() {
        let golden =
            |rate: f64, errors: f64| Golden { rate, errors, error_rate: errors / rate, ..Golden::default() };
        assert_eq!(Judged::of(&Golden::default(), 60.0).health, Health::Idle);
        assert_eq!(Judged::of(&golden(0.1, 1.0 / 30.0), 60.0).health, Health::Healthy, "two of six");
        assert_eq!(Judged::of(&golden(10.0, 0.2), 60.0).health, Health::Degraded);
        let failing = Judged::of(&golden(10.0, 1.0), 60.0);
        assert_eq!((failing.health, failing.reasons.len()), (Health::Failing, 1));
        assert_eq!(
            failing.reasons[0].text,
            "10.0 % of 10.0 requests a second failed; from 5 % on this counts"
        );
    }
}
