//! What the main thread tells a worker: compiled resources that changed, and sockets to accept on.

use std::sync::Arc;

use tulle_base::drain::DrainState;
use tulle_engine::runtime::{Cluster, EndpointSet, Listener, RouteTable};

use super::query::Query;
pub use crate::cluster::local::Shared;
use crate::listener::bind::ListenSocket;

/// The changed and removed resources of one kind. What is not named stays as it is.
#[derive(Clone, Debug)]
pub struct Delta<T> {
    /// New or changed resources under their names.
    pub changed: Vec<(Arc<str>, T)>,
    /// Names that no longer exist. A name in both lists counts as changed.
    pub removed: Vec<Arc<str>>,
}

impl<T> Default for Delta<T> {
    fn default() -> Self {
        Self { changed: Vec::new(), removed: Vec::new() }
    }
}

impl<T> Delta<T> {
    /// Whether there is nothing to apply.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }
}

/// A change of configuration, the same for every worker: what the main thread hands to
/// [`Fleet::apply`](super::Fleet::apply).
///
/// It is applied in an order that never leaves a dangling reference (make before break): clusters, endpoints, routes and
/// listeners are added or changed first; then listeners, routes, endpoints and clusters are removed. Secrets do not travel
/// here: TLS configurations read the cells of [`tulle_identity::Secrets`] at every handshake.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Listeners under their Envoy names. A changed listener keeps its sockets while its address stays the same.
    pub listeners: Delta<Arc<Listener>>,
    /// Clusters under their names. A changed cluster keeps its pools unless its transport changed.
    pub clusters: Delta<Arc<Cluster>>,
    /// Endpoints under the name that the cluster's EDS configuration gives (`service_name`, else the cluster's name).
    /// Results of `STRICT_DNS` resolution travel here too, under the cluster's name.
    pub endpoints: Delta<Arc<EndpointSet>>,
    /// Route tables under their RDS names.
    pub routes: Delta<Arc<RouteTable>>,
}

impl Changes {
    /// Takes names that are also changed out of the removed ones.
    pub(super) fn tidy(&mut self) {
        let Self { listeners, clusters, endpoints, routes } = self;
        super::apply::tidy(listeners);
        super::apply::tidy(clusters);
        super::apply::tidy(endpoints);
        super::apply::tidy(routes);
    }

    /// Whether there is nothing to apply.
    pub fn is_empty(&self) -> bool {
        let Self { listeners, clusters, endpoints, routes } = self;
        listeners.is_empty() && clusters.is_empty() && endpoints.is_empty() && routes.is_empty()
    }
}

/// [`Changes`] for one worker, with the sockets that it shall accept on from now on.
#[derive(Debug, Default)]
pub struct Update {
    /// The resources.
    pub changes: Changes,
    /// New sockets under the listener's name, in addition to those that the worker has; non-blocking and listening.
    pub sockets: Vec<(Arc<str>, ListenSocket)>,
    /// What all workers have in common of the clusters that changed, themselves or in their endpoints.
    pub shared: Vec<(Arc<str>, Shared)>,
    /// Listeners whose present sockets are to be closed before the new ones are used (their address changed).
    pub rebound: Vec<Arc<str>>,
}

/// Everything a worker can be told.
#[derive(Debug)]
pub enum Command {
    /// Apply a change of configuration.
    Update(Box<Update>),
    /// Answer a question.
    Query(Query),
    /// Move to a later state of the shutdown; earlier states are ignored.
    Drain(DrainState),
    /// Close every connection and end the thread.
    Stop,
}
