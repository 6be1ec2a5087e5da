//! `envoy.filters.http.health_check`.

use tulle_base::drain::DrainState;
use tulle_engine::{
    decide::matcher,
    runtime::{
        endpoint::Health,
        health_check::{HealthCheck, HealthCheckMode},
    },
};
use tulle_telemetry::ResponseFlag;

use crate::{
    cluster::local::Circuit,
    http::{exchange::Exchange, reply::Reply},
    worker::Worker,
};

/// Answers a health check, or lets it pass.
pub(super) fn ask(x: &mut Exchange<'_>, filter: &HealthCheck) -> Option<Reply> {
    if !filter.headers.iter().all(|h| matcher::header(h, &x.s.request)) {
        return None;
    }
    x.health_check = true;
    let worker = &x.conn.worker;
    let (status, details) = match &filter.mode {
        _ if is_leaving(worker) => (503, "health_check_failed"),
        HealthCheckMode::PassThrough(cache) => (cache.as_ref()?.get(worker.uptime())?, "health_check_cached"),
        HealthCheckMode::Own(clusters) if clusters.is_empty() => (200, "health_check_ok"),
        HealthCheckMode::Own(clusters) => of_clusters(worker, clusters),
    };
    let reply = Reply::new(status, "", details);
    Some(if (200..300).contains(&status) { reply } else { reply.flag(ResponseFlag::FailedLocalHealthCheck) })
}

/// Whether the proxy is on its way down: it does not want to be sent anything any more.
fn is_leaving(worker: &Worker) -> bool {
    worker.drain_state() > DrainState::Serving
}

fn of_clusters(worker: &Worker, clusters: &[(std::sync::Arc<str>, u64)]) -> (u16, &'static str) {
    for (name, percent) in clusters {
        let Some(cluster) = worker.cluster(name) else {
            return (503, "health_check_failed_no_cluster_found");
        };
        let hosts = cluster.circuits();
        let is_healthy = |(host, circuit): &&(std::rc::Rc<crate::cluster::Host>, Circuit)| {
            matches!(host.endpoint.borrow().health, Health::Healthy | Health::Degraded) && !circuit.is_out()
        };
        let (healthy, total) = (hosts.iter().filter(is_healthy).count() as u64, hosts.len() as u64);
        if total == 0 && *percent > 0 {
            return (503, "health_check_failed_cluster_empty");
        }
        if 100 * healthy < total * percent {
            return (503, "health_check_failed_cluster_unhealthy");
        }
    }
    (200, "health_check_ok_cluster_healthy")
}

/// Says on the response to a health check who answered, and on others that nobody should come any more.
pub(super) fn respond(x: &mut Exchange<'_>, filter: &HealthCheck) {
    let worker = &x.conn.worker;
    if x.health_check {
        if let HealthCheckMode::PassThrough(Some(cache)) = &filter.mode
            && !is_leaving(worker)
        {
            cache.put(x.s.response.status, worker.uptime());
        }
        let name = worker.settings.service_cluster.as_bytes();
        x.s.response.headers.set("x-envoy-upstream-healthchecked-cluster", name);
    }
    if is_leaving(worker) {
        x.s.response.headers.set("x-envoy-immediate-health-check-fail", b"true");
    }
}
