//! The clock of outlier detection: lets endpoints back whose time is over, and compares rates.

use std::{rc::Rc, sync::Arc, time::Duration};

use tulle_engine::decide::outlier::Detector;

use crate::worker::Worker;

/// Sweeps `detector` every `interval` for as long as a cluster uses it. One worker does it for all.
pub(crate) fn watch(worker: &Rc<Worker>, detector: &Arc<Detector>, interval: Duration) {
    if worker.id != 0 {
        return;
    }
    let settings = Arc::clone(&worker.settings);
    let detector = Arc::downgrade(detector);
    let interval = interval.max(Duration::from_millis(10));
    tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(interval).await;
            let Some(detector) = detector.upgrade() else { return };
            for (endpoint, cause) in detector.sweep(settings.started.elapsed(), fastrand::u64(..)) {
                tracing::info!(endpoint, ?cause, "endpoint ejected");
            }
        }
    });
}
