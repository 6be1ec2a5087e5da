//! Active health checks: endpoints are asked again and again whether they are well. One worker does it for all.

mod ask;

use std::{
    rc::{Rc, Weak},
    sync::{self, Arc},
    time::Duration,
};

use tulle_engine::decide::health::{CheckResult, Checked, Point, Prober};

use super::{Host, LocalCluster};
use crate::worker::Worker;

/// How long to wait where an endpoint cannot be asked yet.
const PAUSE: Duration = Duration::from_millis(100);

/// Begins to ask those of `checked` that nobody asks yet.
pub(crate) fn watch(worker: &Rc<Worker>, cluster: &Rc<LocalCluster>, checked: &Arc<Checked>) {
    if worker.id != 0 {
        return;
    }
    for point in checked.points().iter().filter(|point| point.begin_watch()) {
        let name = Arc::clone(&cluster.config.name);
        tokio::task::spawn_local(run(Rc::downgrade(worker), name, Arc::downgrade(point)));
    }
}

/// Asks one endpoint for as long as the cluster has it.
async fn run(worker: Weak<Worker>, name: Arc<str>, point: sync::Weak<Point>) {
    let mut prober = Prober::default();
    // Where it is asked, if that is not where it is.
    let mut elsewhere: Option<Rc<Host>> = None;
    let mut wait = match worker.upgrade().and_then(|w| w.cluster(&name)?.config.health_check.clone()) {
        Some(config) => Prober::first_wait(&config.intervals, fastrand::u64(..)),
        None => PAUSE,
    };
    loop {
        tokio::time::sleep(wait).await;
        wait = PAUSE;
        let (Some(worker), Some(point)) = (worker.upgrade(), point.upgrade()) else { return };
        let Some(cluster) = worker.cluster(&name) else { continue };
        let Some(config) = cluster.config.health_check.clone() else { continue };
        let Some(address) = super::local::place(point.address()) else { return };
        let Some(host) = cluster.hosts().into_iter().find(|host| host.address == address) else { continue };
        let host = match point.check().map(|check| check.at(address)).filter(|at| *at != address) {
            None => host,
            Some(at) => {
                let other = elsewhere.take().filter(|other| other.transport == host.transport);
                let new = || Rc::new(Host::new(at, Arc::clone(&host.endpoint.borrow()), host.transport));
                Rc::clone(elsewhere.insert(other.unwrap_or_else(new)))
            }
        };
        let stats = &cluster.stats;
        stats.health_check_attempt.inc();
        let hostname = point.check().map_or("", |check| &*check.hostname);
        let asked =
            tokio::time::timeout(config.timeout, ask::ask(&worker, &cluster, &host, (&config, hostname)));
        let result = asked.await.unwrap_or(CheckResult::Unreachable);
        match result {
            CheckResult::Healthy => stats.health_check_success.inc(),
            CheckResult::Unhealthy => stats.health_check_failure.inc(),
            CheckResult::Unreachable => {
                stats.health_check_failure.inc();
                stats.health_check_network_failure.inc();
            }
        }
        if prober.record(&point, &config, result, worker.uptime()) {
            let healthy = point.is_healthy();
            tracing::info!(cluster = %name, endpoint = %address, healthy, "health check");
        }
        wait = prober.wait(&config.intervals, cluster.had_traffic(), fastrand::u64(..));
    }
}
