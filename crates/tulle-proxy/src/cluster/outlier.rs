//! The clock of outlier detection: lets endpoints back whose time is over, and compares rates.

use std::{rc::Rc, sync::Arc, time::Duration};

use tulle_engine::decide::outlier::{Cause, Detector};
use tulle_telemetry::metrics::proxy::ClusterStats;

use crate::worker::Worker;

/// Shortest wait between two sweeps.
const SHORTEST: Duration = Duration::from_millis(10);

/// Sweeps `detector` every interval for as long as the cluster `name` uses it. One worker does it for all.
pub(crate) fn watch(worker: &Rc<Worker>, name: &Arc<str>, detector: &Arc<Detector>) {
    if worker.id != 0 {
        return;
    }
    let (worker, name, detector) = (Rc::downgrade(worker), Arc::clone(name), Arc::downgrade(detector));
    tokio::task::spawn_local(async move {
        loop {
            let (Some(up), Some(detector_now)) = (worker.upgrade(), detector.upgrade()) else { return };
            // The clock goes on over a change of endpoints, which brings another detector.
            let wait = detector_now.due_in(up.uptime()).max(SHORTEST);
            drop((up, detector_now));
            tokio::time::sleep(wait).await;
            let (Some(worker), Some(detector)) = (worker.upgrade(), detector.upgrade()) else { return };
            let ejected = detector.sweep(worker.uptime(), fastrand::u64(..));
            let Some(cluster) = worker.cluster(&name).filter(|_| !ejected.is_empty()) else { continue };
            let hosts = cluster.circuits();
            for (endpoint, cause) in ejected {
                count(&cluster.stats, cause);
                let address = hosts.get(endpoint as usize).map(|(host, _)| host.address);
                tracing::info!(cluster = %name, ?address, ?cause, "endpoint ejected");
            }
        }
    });
}

/// Counts an ejection under its cause.
pub(crate) fn count(stats: &ClusterStats, cause: Cause) {
    stats.outlier_ejections_enforced_total.inc();
    match cause {
        Cause::Consecutive5xx => stats.outlier_ejections_enforced_consecutive_5xx.inc(),
        Cause::ConsecutiveGateway => stats.outlier_ejections_enforced_consecutive_gateway_failure.inc(),
        Cause::ConsecutiveLocalOrigin => {
            stats.outlier_ejections_enforced_consecutive_local_origin_failure.inc();
        }
        Cause::SuccessRate => stats.outlier_ejections_enforced_success_rate.inc(),
        Cause::FailurePercentage => stats.outlier_ejections_enforced_failure_percentage.inc(),
        Cause::LocalOriginSuccessRate => stats.outlier_ejections_enforced_local_origin_success_rate.inc(),
        Cause::LocalOriginFailurePercentage => {
            stats.outlier_ejections_enforced_failure_percentage_local_origin.inc();
        }
    }
}
