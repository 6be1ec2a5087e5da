//! What a worker counts and logs.

pub(crate) mod access_log;
pub(crate) mod audit;
pub(crate) mod istio;
pub(crate) mod log_service;
pub(crate) mod peer;
mod policies;
pub(crate) mod sink;

use std::{cell::RefCell, rc::Rc, sync::Arc};

use hashbrown::HashMap;
use tulle_base::agent::NodeConfig;
use tulle_telemetry::metrics::{PeerId, Snapshot, Store, proxy::PolicyStats};

use self::{log_service::LogServices, sink::Sinks};
use crate::trace::{collector::Collectors, kept::Kept};

/// The counters and log buffers of one worker.
#[derive(Debug)]
pub(crate) struct Telemetry {
    /// All metrics.
    pub(crate) store: RefCell<Store>,
    /// The counters of authorization policies, at hand by name.
    policies: RefCell<HashMap<Arc<str>, Rc<PolicyStats>, foldhash::fast::RandomState>>,
    /// Open log files.
    pub(crate) sinks: Sinks,
    /// Services that access logs go to.
    pub(crate) log_services: LogServices,
    /// Where spans go.
    pub(crate) collectors: Collectors,
    /// What the control plane's store gets of requests.
    pub(crate) kept: Kept,
    /// Ourselves, as a label set with a number.
    own: PeerId,
    /// What we tell peers about ourselves.
    pub(crate) card: Rc<peer::Card>,
}

impl Telemetry {
    /// Empty counters of a worker of `node`.
    pub(crate) fn new(node: &NodeConfig, principal: &str) -> Self {
        let mut store = Store::default();
        let own = store.peer(&peer::own_labels(node, principal));
        Self {
            store: RefCell::new(store),
            policies: RefCell::default(),
            sinks: Sinks::default(),
            log_services: LogServices::default(),
            collectors: Collectors::default(),
            kept: Kept::default(),
            own,
            card: Rc::new(peer::Card::new(node)),
        }
    }

    /// Our own number.
    pub(crate) fn own(&self) -> PeerId {
        self.own
    }

    /// Everything counted so far.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.store.borrow().snapshot()
    }
}
