//! Putting commands in force.

use std::{rc::Rc, sync::Arc};

use tulle_engine::{
    decide::outlier::State,
    runtime::{Cluster, EndpointSet, endpoint::Health},
};

use super::{
    Worker,
    query::{EndpointStatus, Query, Vitals},
    update::{Changes, Delta, Update},
};
use crate::{
    cluster::{self, LocalCluster, local::Shared},
    listener,
};

/// Applies an update: additions from the endpoints up to the listeners, then removals from the listeners down.
pub(super) fn apply(worker: &Rc<Worker>, update: Update) {
    let Update { changes, sockets, rebound, shared } = update;
    let Changes { listeners, clusters, endpoints, routes } = changes;
    let shared_of = |name: &Arc<str>| shared.iter().find(|(n, _)| n == name).map(|(_, s)| s.clone());
    for (name, set) in &endpoints.changed {
        worker.endpoints.borrow_mut().insert(Arc::clone(name), Arc::clone(set));
    }
    for (name, config) in &clusters.changed {
        put_cluster(worker, name, config, shared_of(name).unwrap_or_default());
    }
    for (name, set) in &endpoints.changed {
        load_endpoints(worker, name, set, &shared);
    }
    for (name, shared) in &shared {
        if let Some(detector) = &shared.watched.detector {
            cluster::outlier::watch(worker, name, detector);
        }
        if let (Some(checked), Some(cluster)) = (&shared.watched.checked, worker.cluster(name)) {
            cluster::checks::watch(worker, &cluster, checked);
        }
    }
    for (name, table) in routes.changed {
        worker.routes.borrow_mut().insert(name, Rc::new(table));
    }
    for name in &rebound {
        worker.listeners.borrow_mut().close_sockets_of(name);
    }
    for (name, config) in listeners.changed {
        listener::registry::update(worker, &name, &config);
    }
    for (name, socket) in sockets {
        listener::accept::start(worker, &name, socket);
    }
    remove(worker, &listeners.removed, &routes.removed, &endpoints.removed, &clusters.removed);
    worker.timers.wake_all();
}

/// A new or changed cluster. Requests under way finish on what they began with.
fn put_cluster(worker: &Worker, name: &Arc<str>, config: &Arc<Cluster>, shared: Shared) {
    let stats = worker.telemetry.store.borrow_mut().proxy.clusters.get(&config.stat_name);
    let cluster = Rc::new(LocalCluster::new(Arc::clone(config), shared, stats, worker.settings.started));
    if let Some(wanted) = cluster.endpoints_name()
        && let Some(set) = worker.endpoints.borrow().get(wanted)
    {
        cluster.load(Arc::clone(set));
    }
    if let Some(old) = worker.clusters.borrow_mut().insert(Arc::clone(name), cluster) {
        old.retire();
    }
}

fn load_endpoints(worker: &Worker, name: &Arc<str>, set: &Arc<EndpointSet>, shared: &[(Arc<str>, Shared)]) {
    for (cluster_name, cluster) in worker.clusters.borrow().iter() {
        if cluster.endpoints_name().is_some_and(|wanted| wanted == name) {
            if let Some((_, shared)) = shared.iter().find(|(n, _)| n == cluster_name) {
                cluster.shared.replace(shared.clone());
            }
            cluster.load(Arc::clone(set));
        }
    }
}

fn remove(
    worker: &Worker,
    listeners: &[Arc<str>],
    routes: &[Arc<str>],
    endpoints: &[Arc<str>],
    clusters: &[Arc<str>],
) {
    listeners.iter().for_each(|name| worker.listeners.borrow_mut().remove(name));
    for name in routes {
        worker.routes.borrow_mut().remove(name);
    }
    for name in endpoints {
        worker.endpoints.borrow_mut().remove(name);
    }
    for name in clusters {
        if let Some(cluster) = worker.clusters.borrow_mut().remove(name) {
            cluster.retire();
            worker.telemetry.store.borrow_mut().proxy.clusters.remove(&cluster.config.stat_name);
        }
    }
}

/// Removals that an update also adds are not removals.
pub(super) fn tidy<T>(delta: &mut Delta<T>) {
    let Delta { changed, removed } = delta;
    removed.retain(|name| !changed.iter().any(|(c, _)| c == name));
}

/// Answers a question. An asker that has gone away is no problem.
pub(super) fn answer(worker: &Worker, query: Query) {
    match query {
        Query::CaughtUp(answer) => {
            let _ = answer.send(());
        }
        Query::Vitals(answer) => {
            let gauges = &worker.gauges;
            let clusters = worker.clusters.borrow();
            let _ = answer.send(Vitals {
                downstream_connections: gauges.downstream.get(),
                upstream_connections: gauges.upstream.get(),
                active_requests: gauges.requests.get(),
                listeners: worker.listeners.borrow().len() as u64,
                clusters: clusters.len() as u64,
                clusters_warming: clusters.values().filter(|c| c.is_warming()).count() as u64,
            });
        }
        Query::Endpoints(answer) => {
            let _ = answer.send(endpoints(worker));
        }
        Query::Observed(answer) => {
            let _ = answer.send(worker.telemetry.kept.take());
        }
        Query::KeepNothing => worker.telemetry.kept.stop(),
        Query::Stats(answer) => {
            worker.clusters.borrow().values().for_each(|cluster| cluster.measure(worker.id == 0));
            let _ = answer.send(worker.telemetry.snapshot());
        }
        Query::Forget(idle, answer) => {
            let _ = answer.send(worker.telemetry.store.borrow_mut().forget(&idle));
        }
    }
}

fn endpoints(worker: &Worker) -> Vec<EndpointStatus> {
    let mut all = Vec::new();
    for (name, cluster) in worker.clusters.borrow().iter() {
        for (host, circuit) in cluster.circuits() {
            let endpoint = host.endpoint.borrow();
            let by_discovery = matches!(endpoint.health, Health::Healthy | Health::Degraded);
            let ejected = circuit.state == Some(State::Open);
            all.push(EndpointStatus {
                cluster: Arc::clone(name),
                address: host.address,
                healthy: by_discovery && !ejected && !circuit.failed_check,
                ejected,
                failed_check: circuit.failed_check,
                circuit: circuit.state,
                ejections: circuit.ejections,
                active_requests: u64::from(host.active.get()),
                connections: u64::from(host.connections.get()),
                requests_total: host.total.get(),
                requests_error: host.errors.get(),
                weight: endpoint.weight,
                priority: endpoint.priority,
                locality: Arc::clone(&endpoint.locality),
            });
        }
    }
    all
}
