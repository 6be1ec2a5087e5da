//! The configuration in force: what came, what it compiled to, what waits for something else.
//!
//! Pure: it is told what arrived and says what workers must be told, what was refused and what is needed further. A resource that
//! cannot be used is refused by name and its last good version stays; everything else of the same response is applied. A new
//! cluster waits for its endpoints and a new listener for its routes (warming), so that nothing is put in force half.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tulle_engine::runtime::cluster::Discovery;
use tulle_engine::runtime::http_manager::RouteSource;
use tulle_engine::runtime::listener::Terminal;
use tulle_engine::runtime::{Cluster, EndpointSet, FilterChain, Listener, RouteTable};
use tulle_proto::type_url;
use tulle_xds::ResourceError;

use super::compile::{Compile, Problem};
use super::counted::CountedNames;
use super::needs;
use crate::worker::{Changes, Delta};

/// How long a resource waits for what it refers to; then it is put in force without (Envoy's `initial_fetch_timeout`).
pub(crate) const WARMING_TIMEOUT: Duration = Duration::from_secs(15);

/// One resource as it came.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    /// Name within its type.
    pub(crate) name: Arc<str>,
    /// Version as the server gave it; empty for static ones.
    pub(crate) version: Box<str>,
    /// The encoded message.
    pub(crate) payload: Bytes,
}

/// A resource in force, or on its way there.
#[derive(Clone, Debug)]
pub(crate) struct Held<T> {
    /// What it compiled to.
    pub(crate) compiled: Arc<T>,
    /// How it came; `None` for what this process made by itself.
    pub(crate) raw: Option<Raw>,
    /// Whether it is of the bootstrap and cannot be changed by xDS.
    pub(crate) fixed: bool,
}

#[derive(Debug)]
struct Warming<T> {
    held: Held<T>,
    since: Instant,
}

/// All resources of one type.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    held: HashMap<Arc<str>, Held<T>>,
    warming: HashMap<Arc<str>, Warming<T>>,
    refused: HashMap<Arc<str>, Refusal>,
}

/// Why the newest version of a resource is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Its version.
    pub(crate) version: Box<str>,
    /// All that is wrong with it, in one line.
    pub(crate) message: String,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { held: HashMap::new(), warming: HashMap::new(), refused: HashMap::new() }
    }
}

impl<T> Shelf<T> {
    /// What is in force.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Held<T>)> {
        self.held.iter()
    }

    /// The resource of that name, if it is in force.
    pub(crate) fn get(&self, name: &str) -> Option<&Held<T>> {
        self.held.get(name)
    }

    /// What waits.
    pub(crate) fn warming(&self) -> impl Iterator<Item = (&Arc<str>, &Held<T>)> {
        self.warming.iter().map(|(name, w)| (name, &w.held))
    }

    /// What was refused last.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&Arc<str>, &Refusal)> {
        self.refused.iter()
    }

    /// How many are in force.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// The newest version of a name, in force or waiting.
    fn newest(&self, name: &str) -> Option<&Held<T>> {
        self.warming.get(name).map(|w| &w.held).or_else(|| self.held.get(name))
    }

    fn compile(
        &mut self,
        raw: &Raw,
        compile: impl FnOnce(&[u8]) -> Result<Arc<T>, Problem>,
    ) -> Result<Option<Held<T>>, ResourceError> {
        let fail = |message: String| ResourceError::new(&*raw.name, message);
        if let Some(newest) = self.newest(&raw.name) {
            if newest.fixed {
                return Err(fail("this name belongs to the bootstrap".to_owned()));
            }
            if newest.raw.as_ref().is_some_and(|old| old.payload == raw.payload) {
                self.refused.remove(&raw.name);
                return Ok(None);
            }
        }
        match compile(&raw.payload) {
            Ok(compiled) => {
                self.refused.remove(&raw.name);
                Ok(Some(Held { compiled, raw: Some(raw.clone()), fixed: false }))
            }
            Err(problem) => {
                let message = problem.to_string();
                let refusal = Refusal { version: raw.version.clone(), message: message.clone() };
                self.refused.insert(Arc::clone(&raw.name), refusal);
                Err(fail(message))
            }
        }
    }

    fn forget(&mut self, name: &str) -> bool {
        self.refused.remove(name);
        self.warming.remove(name);
        match self.held.get(name) {
            Some(held) if held.fixed => false,
            Some(_) => self.held.remove(name).is_some(),
            None => false,
        }
    }
}

/// What a response came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What workers must be told.
    pub(crate) changes: Changes,
    /// What was refused, for the NACK.
    pub(crate) errors: Vec<ResourceError>,
    /// Names of clusters whose endpoints come from DNS and that are new or changed.
    pub(crate) resolve: Vec<Arc<str>>,
    /// Clusters that are gone.
    pub(crate) removed_clusters: Vec<Arc<str>>,
}

/// The configuration in force.
pub(crate) struct Book {
    compile: Box<dyn Compile>,
    /// Listeners.
    pub(crate) listeners: Shelf<Listener>,
    /// Clusters.
    pub(crate) clusters: Shelf<Cluster>,
    /// Endpoints, by the name that clusters use for them.
    pub(crate) endpoints: Shelf<EndpointSet>,
    /// Route tables.
    pub(crate) routes: Shelf<RouteTable>,
    /// Endpoint sets that clusters need by EDS.
    pub(crate) wanted_endpoints: CountedNames,
    /// Route tables that listeners need by RDS.
    pub(crate) wanted_routes: CountedNames,
    /// Secrets that TLS contexts need by name.
    pub(crate) wanted_secrets: CountedNames,
}

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Book")
            .field("listeners", &self.listeners.len())
            .field("clusters", &self.clusters.len())
            .finish_non_exhaustive()
    }
}

impl Book {
    /// An empty book.
    pub(crate) fn new(compile: Box<dyn Compile>) -> Self {
        Self {
            compile,
            listeners: Shelf::default(),
            clusters: Shelf::default(),
            endpoints: Shelf::default(),
            routes: Shelf::default(),
            wanted_endpoints: CountedNames::default(),
            wanted_routes: CountedNames::default(),
            wanted_secrets: CountedNames::default(),
        }
    }

    /// Puts the bootstrap's own resources in force.
    pub(crate) fn fix(
        &mut self,
        listeners: Vec<Arc<Listener>>,
        clusters: Vec<Arc<Cluster>>,
        now: Instant,
    ) -> Outcome {
        let mut out = Outcome::default();
        for compiled in clusters {
            let name = Arc::clone(&compiled.name);
            self.cluster_arrived(name, Held { compiled, raw: None, fixed: true }, now, &mut out);
        }
        for compiled in listeners {
            let name = Arc::clone(&compiled.name);
            self.listener_arrived(name, Held { compiled, raw: None, fixed: true }, now, &mut out);
        }
        out
    }

    /// Takes in one response. Types that are not kept here (secrets, names) are none of its business.
    pub(crate) fn apply(
        &mut self,
        type_url: &str,
        changed: Vec<Raw>,
        removed: &[Arc<str>],
        now: Instant,
    ) -> Outcome {
        let mut out = Outcome::default();
        match type_url {
            type_url::CLUSTER => self.apply_clusters(changed, removed, now, &mut out),
            type_url::CLUSTER_LOAD_ASSIGNMENT => self.apply_endpoints(changed, removed, &mut out),
            type_url::LISTENER => self.apply_listeners(changed, removed, now, &mut out),
            type_url::ROUTE_CONFIGURATION => self.apply_routes(changed, removed, &mut out),
            _ => {}
        }
        out
    }

    /// Takes in what DNS said about a cluster; an empty set when it said nothing.
    pub(crate) fn resolved(&mut self, cluster: &Arc<str>, set: Arc<EndpointSet>) -> Outcome {
        let mut out = Outcome::default();
        if self.clusters.newest(cluster).is_some() {
            let held = Held { compiled: set, raw: None, fixed: false };
            self.endpoints_arrived(Arc::clone(cluster), held, &mut out);
        }
        out
    }

    /// Puts in force what has waited for too long.
    pub(crate) fn expire_warming(&mut self, now: Instant) -> Outcome {
        let mut out = Outcome::default();
        let late = |since: Instant| now.duration_since(since) >= WARMING_TIMEOUT;
        let clusters: Vec<Arc<str>> = self
            .clusters
            .warming
            .iter()
            .filter(|(_, w)| late(w.since))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in clusters {
            tracing::warn!(cluster = %name, "no endpoints came in time; in force without");
            self.activate_cluster(&name, &mut out);
        }
        let listeners: Vec<Arc<str>> = self
            .listeners
            .warming
            .iter()
            .filter(|(_, w)| late(w.since))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in listeners {
            tracing::warn!(listener = %name, "its routes did not come in time; in force without");
            self.activate_listener(&name, &mut out);
        }
        out
    }

    /// Whether anything waits.
    pub(crate) fn is_warming(&self) -> bool {
        !self.clusters.warming.is_empty() || !self.listeners.warming.is_empty()
    }

    fn apply_clusters(&mut self, changed: Vec<Raw>, removed: &[Arc<str>], now: Instant, out: &mut Outcome) {
        for raw in changed {
            match self.clusters.compile(&raw, |bytes| self.compile.cluster(bytes)) {
                Ok(Some(held)) => self.cluster_arrived(Arc::clone(&raw.name), held, now, out),
                Ok(None) => {}
                Err(error) => out.errors.push(error),
            }
        }
        for name in removed {
            let newest = self.clusters.newest(name).filter(|held| !held.fixed);
            let Some(old) = newest.map(|held| Arc::clone(&held.compiled)) else { continue };
            self.release_cluster(&old, out);
            if self.clusters.forget(name) {
                out.changes.clusters.removed.push(Arc::clone(name));
            }
            out.removed_clusters.push(Arc::clone(name));
        }
    }

    fn cluster_arrived(&mut self, name: Arc<str>, held: Held<Cluster>, now: Instant, out: &mut Outcome) {
        let old = self.clusters.newest(&name).map(|h| Arc::clone(&h.compiled));
        if let Discovery::Eds(service) = &held.compiled.discovery {
            self.wanted_endpoints.add(service);
        }
        if matches!(held.compiled.discovery, Discovery::StrictDns(..) | Discovery::LogicalDns(..)) {
            out.resolve.push(Arc::clone(&name));
        }
        for secret in needs::cluster_secrets(&held.compiled) {
            self.wanted_secrets.add(&secret);
        }
        if let Some(old) = old {
            self.release_cluster(&old, out);
        }
        let ready = self.has_endpoints(&held.compiled);
        self.clusters.warming.insert(Arc::clone(&name), Warming { held, since: now });
        if ready {
            self.activate_cluster(&name, out);
        }
    }

    /// Takes back what the version of a cluster that is replaced or removed asked for.
    fn release_cluster(&mut self, old: &Cluster, out: &mut Outcome) {
        if let Discovery::Eds(service) = &old.discovery
            && self.wanted_endpoints.remove(service)
            && self.endpoints.forget(service)
        {
            out.changes.endpoints.removed.push(Arc::clone(service));
        }
        for secret in needs::cluster_secrets(old) {
            self.wanted_secrets.remove(&secret);
        }
    }

    fn has_endpoints(&self, cluster: &Cluster) -> bool {
        match &cluster.discovery {
            Discovery::Eds(service) => self.endpoints.get(service).is_some(),
            Discovery::StrictDns(..) | Discovery::LogicalDns(..) => {
                self.endpoints.get(&cluster.name).is_some()
            }
            Discovery::Static(_) | Discovery::OriginalDst(_) | Discovery::Forward(_) => true,
        }
    }

    fn activate_cluster(&mut self, name: &Arc<str>, out: &mut Outcome) {
        if let Some(Warming { held, .. }) = self.clusters.warming.remove(name) {
            out.changes.clusters.changed.push((Arc::clone(name), Arc::clone(&held.compiled)));
            self.clusters.held.insert(Arc::clone(name), held);
        }
    }

    fn apply_endpoints(&mut self, changed: Vec<Raw>, removed: &[Arc<str>], out: &mut Outcome) {
        for raw in changed {
            match self.endpoints.compile(&raw, |bytes| self.compile.endpoints(bytes)) {
                Ok(Some(held)) => self.endpoints_arrived(Arc::clone(&raw.name), held, out),
                Ok(None) => {}
                Err(error) => out.errors.push(error),
            }
        }
        for name in removed {
            if self.endpoints.forget(name) {
                out.changes.endpoints.removed.push(Arc::clone(name));
            }
        }
    }

    fn endpoints_arrived(&mut self, name: Arc<str>, held: Held<EndpointSet>, out: &mut Outcome) {
        out.changes.endpoints.changed.push((Arc::clone(&name), Arc::clone(&held.compiled)));
        self.endpoints.held.insert(name, held);
        let ready: Vec<Arc<str>> = self
            .clusters
            .warming
            .iter()
            .filter(|(_, w)| self.has_endpoints(&w.held.compiled))
            .map(|(cluster, _)| Arc::clone(cluster))
            .collect();
        for cluster in ready {
            self.activate_cluster(&cluster, out);
        }
    }

    fn apply_listeners(&mut self, changed: Vec<Raw>, removed: &[Arc<str>], now: Instant, out: &mut Outcome) {
        for raw in changed {
            match self.listeners.compile(&raw, |bytes| self.compile.listener(bytes)) {
                Ok(Some(held)) => self.listener_arrived(Arc::clone(&raw.name), held, now, out),
                Ok(None) => {}
                Err(error) => out.errors.push(error),
            }
        }
        for name in removed {
            let newest = self.listeners.newest(name).filter(|held| !held.fixed);
            let Some(old) = newest.map(|held| Arc::clone(&held.compiled)) else { continue };
            self.release_listener(&old, out);
            if self.listeners.forget(name) {
                out.changes.listeners.removed.push(Arc::clone(name));
            }
        }
    }

    fn listener_arrived(&mut self, name: Arc<str>, held: Held<Listener>, now: Instant, out: &mut Outcome) {
        let old = self.listeners.newest(&name).map(|h| Arc::clone(&h.compiled));
        for table in route_names(&held.compiled) {
            self.wanted_routes.add(table);
        }
        for secret in needs::listener_secrets(&held.compiled) {
            self.wanted_secrets.add(&secret);
        }
        if let Some(old) = old {
            self.release_listener(&old, out);
        }
        let ready = self.has_routes(&held.compiled);
        self.listeners.warming.insert(Arc::clone(&name), Warming { held, since: now });
        if ready {
            self.activate_listener(&name, out);
        }
    }

    fn release_listener(&mut self, old: &Listener, out: &mut Outcome) {
        for table in route_names(old) {
            if self.wanted_routes.remove(table) && self.routes.forget(table) {
                out.changes.routes.removed.push(Arc::clone(table));
            }
        }
        for secret in needs::listener_secrets(old) {
            self.wanted_secrets.remove(&secret);
        }
    }

    fn has_routes(&self, listener: &Listener) -> bool {
        route_names(listener).all(|name| self.routes.get(name).is_some())
    }

    fn activate_listener(&mut self, name: &Arc<str>, out: &mut Outcome) {
        if let Some(Warming { held, .. }) = self.listeners.warming.remove(name) {
            out.changes.listeners.changed.push((Arc::clone(name), Arc::clone(&held.compiled)));
            self.listeners.held.insert(Arc::clone(name), held);
        }
    }

    fn apply_routes(&mut self, changed: Vec<Raw>, removed: &[Arc<str>], out: &mut Outcome) {
        for raw in changed {
            match self.routes.compile(&raw, |bytes| self.compile.routes(bytes)) {
                Ok(Some(held)) => {
                    let name = Arc::clone(&raw.name);
                    out.changes.routes.changed.push((Arc::clone(&name), Arc::clone(&held.compiled)));
                    self.routes.held.insert(name, held);
                }
                Ok(None) => {}
                Err(error) => out.errors.push(error),
            }
        }
        for name in removed {
            if self.routes.forget(name) {
                out.changes.routes.removed.push(Arc::clone(name));
            }
        }
        let ready: Vec<Arc<str>> = self
            .listeners
            .warming
            .iter()
            .filter(|(_, w)| self.has_routes(&w.held.compiled))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in ready {
            self.activate_listener(&name, out);
        }
    }
}

/// The route tables that a listener takes from RDS.
fn route_names(listener: &Listener) -> impl Iterator<Item = &Arc<str>> {
    chains(listener).filter_map(|chain| match &chain.terminal {
        Terminal::Http(http) => match &http.routes {
            RouteSource::Rds(name) => Some(name),
            RouteSource::Inline(_) => None,
        },
        Terminal::Tcp(_) => None,
    })
}

/// All chains of a listener, the default one last.
pub(crate) fn chains(listener: &Listener) -> impl Iterator<Item = &Arc<FilterChain>> {
    listener.chains.iter().chain(&listener.default_chain)
}

/// Puts `later` behind `first`.
pub(crate) fn join(first: &mut Changes, later: Changes) {
    fn delta<T>(first: &mut Delta<T>, later: Delta<T>) {
        first.changed.extend(later.changed);
        first.removed.extend(later.removed);
    }
    let Changes { listeners, clusters, endpoints, routes } = later;
    delta(&mut first.listeners, listeners);
    delta(&mut first.clusters, clusters);
    delta(&mut first.endpoints, endpoints);
    delta(&mut first.routes, routes);
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
