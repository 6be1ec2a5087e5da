//! The states of an orderly shutdown.

use std::time::Duration;

/// How far a component is on its way down. It only ever moves forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainState {
    /// Serving as usual.
    #[default]
    Serving,
    /// Still accepting, but telling peers to go elsewhere: GOAWAY, `Connection: close`, not ready.
    Draining,
    /// Listeners closed; what is under way may finish until the deadline.
    Closing,
}

/// The times of an orderly shutdown, counted from the request to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainTimes {
    /// How long to stay in [`DrainState::Draining`]; Istio's `terminationDrainDuration`, default 5 s.
    pub drain: Duration,
    /// When everything is closed at the latest.
    pub deadline: Duration,
}

impl Default for DrainTimes {
    fn default() -> Self {
        Self { drain: Duration::from_secs(5), deadline: Duration::from_secs(30) }
    }
}
