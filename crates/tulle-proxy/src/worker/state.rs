//! What a worker knows: configuration as it stands, and the connections that are under way.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use tulle_base::drain::DrainState;
use tulle_engine::runtime::{EndpointSet, RouteTable};

use super::{Settings, timers::Timers};
use crate::{
    cluster::{LocalCluster, sweep::Sweeper},
    http::scratch::Scratches,
    listener::registry::Listeners,
    names::AllLookups,
    telemetry::Telemetry,
};

/// A map whose keys come from configuration.
pub(crate) type Map<T> = HashMap<Arc<str>, T, RandomState>;

/// A route table as a worker holds it: a clone touches no counter that other workers touch.
pub(crate) type LocalTable = Rc<Arc<RouteTable>>;

/// One worker. Everything in it belongs to its thread.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Number of the worker, from 0.
    pub(crate) id: usize,
    /// What all workers were told at their start.
    pub(crate) settings: Arc<Settings>,
    /// Listeners by name, address and original destination.
    pub(crate) listeners: RefCell<Listeners>,
    /// Clusters by name.
    pub(crate) clusters: RefCell<Map<Rc<LocalCluster>>>,
    /// Endpoints by the name under which clusters wait for them.
    pub(crate) endpoints: RefCell<Map<Arc<EndpointSet>>>,
    /// Route tables by RDS name.
    pub(crate) routes: RefCell<Map<LocalTable>>,
    /// Counters and logs.
    pub(crate) telemetry: Telemetry,
    /// Closes idle upstream connections.
    pub(crate) sweeper: Sweeper,
    /// Memory of requests that have ended, for the next ones.
    pub(crate) scratches: Scratches,
    /// What is known of the hosts that requests name.
    pub(crate) lookups: AllLookups,
    /// The address that stands for this machine where a client is on it.
    pub(crate) own_ip: Option<IpAddr>,
    next_id: Cell<u64>,
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
            listeners: RefCell::default(),
            clusters: RefCell::default(),
            endpoints: RefCell::default(),
            routes: RefCell::default(),
            telemetry: Telemetry::new(&settings.node, &settings.principal()),
            sweeper: Sweeper::default(),
            scratches: Scratches::default(),
            lookups: AllLookups::default(),
            own_ip: settings.node.ip.parse().ok(),
            next_id: Cell::new((id as u64) << 48),
            timers: Timers::default(),
            gauges: Gauges::default(),
            drain: Cell::new(DrainState::Serving),
            settings,
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
        self.telemetry.sinks.flush();
    }

    /// The cluster of that name.
    pub(crate) fn cluster(&self, name: &str) -> Option<Rc<LocalCluster>> {
        self.clusters.borrow().get(name).cloned()
    }

    /// A number that no other connection of the process has.
    pub(crate) fn next_id(&self) -> u64 {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        id
    }

    /// How long the process has been running: the clock of outlier detection, the same for all workers.
    pub(crate) fn uptime(&self) -> Duration {
        self.settings.started.elapsed()
    }

    /// Seconds from the start of the proxy to `moment`, the same for all workers.
    pub(crate) fn seconds(&self, moment: Instant) -> u32 {
        let since = moment.saturating_duration_since(self.settings.started);
        u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
    }

    /// The route table of that name.
    pub(crate) fn route_table(&self, name: &str) -> Option<LocalTable> {
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
