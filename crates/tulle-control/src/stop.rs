//! The word that everything is to end.

use tokio::sync::watch;

/// Hears when everything is to end. Whoever lost its speaker ends too.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// With the end that says so, by sending `true`.
    pub(crate) fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Waits for it. Cancel safe.
    pub(crate) async fn said(&mut self) {
        // An error says that the speaker is gone.
        let _ = self.0.wait_for(|s| *s).await;
    }
}
