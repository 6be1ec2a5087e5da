//! Putting commands in force.

use std::{rc::Rc, sync::Arc};

use super::{
    Worker,
    query::{Query, Vitals},
    state::Map,
    update::{Changes, Delta, Update},
};
use crate::listener;

/// Applies an update: additions from the endpoints up to the listeners, then removals from the listeners down.
pub(super) fn apply(worker: &Rc<Worker>, update: Update) {
    let Update { changes, sockets, rebound } = update;
    let Changes { listeners, clusters, endpoints, routes } = changes;
    let _ = (clusters, endpoints);
    if !routes.is_empty() {
        merge(&mut worker.routes.borrow_mut(), routes);
        worker.routes_epoch.set(worker.routes_epoch.get() + 1);
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
    for name in &listeners.removed {
        worker.listeners.borrow_mut().remove(name);
    }
    worker.timers.wake_all();
}

fn merge<T>(map: &mut Map<Arc<T>>, delta: Delta<Arc<T>>) {
    for name in &delta.removed {
        map.remove(name);
    }
    map.extend(delta.changed);
}

/// Answers a question. An asker that has gone away is no problem.
pub(super) fn answer(worker: &Worker, query: Query) {
    match query {
        Query::Vitals(answer) => {
            let gauges = &worker.gauges;
            let _ = answer.send(Vitals {
                downstream_connections: gauges.downstream.get(),
                upstream_connections: gauges.upstream.get(),
                active_requests: gauges.requests.get(),
                listeners: worker.listeners.borrow().len() as u64,
                clusters: 0,
                clusters_warming: 0,
            });
        }
        Query::Endpoints(answer) => {
            let _ = answer.send(Vec::new());
        }
        Query::Stats(answer) => {
            let _ = answer.send(tulle_telemetry::metrics::Snapshot::default());
        }
    }
}
