//! What a worker knows: configuration as it stands, and the connections that are under way.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
};

use foldhash::fast::RandomState;
use tulle_base::drain::DrainState;
use tulle_engine::runtime::RouteTable;

use super::{Settings, timers::Timers};
use crate::listener::registry::Listeners;

/// A map whose keys come from configuration.
pub(crate) type Map<T> = HashMap<Arc<str>, T, RandomState>;

/// One worker. Everything in it belongs to its thread.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Number of the worker, from 0.
    pub(crate) id: usize,
    /// What all workers were told at their start.
    pub(crate) settings: Arc<Settings>,
    /// Listeners by name, address and original destination.
    pub(crate) listeners: RefCell<Listeners>,
    /// Route tables by RDS name.
    pub(crate) routes: RefCell<Map<Arc<RouteTable>>>,
    /// Counts up with every change of a route table, so that connections notice.
    pub(crate) routes_epoch: Cell<u64>,
    /// Coarse deadlines.
    pub(crate) timers: Timers,
    /// Gauges.
    pub(crate) gauges: Gauges,
    drain: Cell<DrainState>,
}

/// What is under way.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    /// Downstream connections.
    pub(crate) downstream: Cell<u64>,
    /// Upstream connections, idle ones included.
    pub(crate) upstream: Cell<u64>,
    /// Requests.
    pub(crate) requests: Cell<u64>,
}

/// Adds one to a gauge for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(Rc<Worker>, fn(&Gauges) -> &Cell<u64>);

impl Worker {
    /// A worker without configuration.
    pub(crate) fn new(id: usize, settings: Arc<Settings>) -> Self {
        Self {
            id,
            settings,
            listeners: RefCell::default(),
            routes: RefCell::default(),
            routes_epoch: Cell::new(0),
            timers: Timers::default(),
            gauges: Gauges::default(),
            drain: Cell::new(DrainState::Serving),
        }
    }

    /// How far the worker is on its way down.
    pub(crate) fn drain_state(&self) -> DrainState {
        self.drain.get()
    }

    /// Moves on to `state`. Connections notice when they are polled, and all are.
    pub(crate) fn drain(&self, state: DrainState) {
        if state <= self.drain.get() {
            return;
        }
        self.drain.set(state);
        if state == DrainState::Closing {
            self.listeners.borrow_mut().close_sockets();
        }
        self.timers.wake_all();
    }

    /// Stops accepting at once.
    pub(crate) fn stop(&self) {
        self.listeners.borrow_mut().close_sockets();
    }

    /// The route table of that name.
    pub(crate) fn route_table(&self, name: &str) -> Option<Arc<RouteTable>> {
        self.routes.borrow().get(name).cloned()
    }

    /// Counts one more of what `gauge` picks.
    pub(crate) fn count(self: &Rc<Self>, gauge: fn(&Gauges) -> &Cell<u64>) -> Counted {
        let cell = gauge(&self.gauges);
        cell.set(cell.get() + 1);
        Counted(Rc::clone(self), gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let cell = (self.1)(&self.0.gauges);
        cell.set(cell.get().saturating_sub(1));
    }
}
