//! The one task that knows the mesh: changes of the store go in, changes of resources come out.
//!
//! A change is applied at once. What arrives meanwhile is taken together next time; nobody waits for a timer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tulle_api::{Kind, Object};
use tulle_mesh::{Change, ChangedKeys, MeshConfig, NsName, Snapshot};
use tulle_store::{Filter, Follow, Store, Update};
use tulle_translate::{Proxy, View};
use tulle_xds::server::{CoreEvent, Hub, HubEvent, Layers, Peer, Protocol, StreamId, StreamOptions};

use crate::admission::admit;
use crate::bindings::Accounts;
use crate::metrics::{Metric, Metrics};
use crate::own::Own;
use crate::press::Press;
use crate::roots;
use crate::secrets::Secrets;
use crate::sets::Pool;
use crate::status::Statuses;
use crate::stop::Stop;
use crate::types::Types;
use crate::views::Shared;

/// Updates taken together at most.
const BATCH: usize = 4096;

/// What others may know of a connected proxy.
#[derive(Clone, Debug)]
pub(crate) struct Connected {
    pub(crate) proxy: Proxy,
    pub(crate) view: String,
    pub(crate) since: Instant,
}

/// The connected proxies.
pub(crate) type Directory = Arc<Mutex<BTreeMap<StreamId, Connected>>>;

/// What the task needs from outside.
pub(crate) struct Outside {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) hub: Hub,
    pub(crate) events: mpsc::UnboundedReceiver<HubEvent>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) namespaces: mpsc::UnboundedSender<String>,
    pub(crate) statuses: Statuses,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) directory: Directory,
    pub(crate) ready: watch::Sender<bool>,
    pub(crate) stop: Stop,
}

struct Opening {
    stream: StreamId,
    node: bytes::Bytes,
    peer: Peer,
    protocol: Protocol,
}

struct Client {
    proxy: Proxy,
    view: String,
    own: Own,
    secrets: Layers,
}

/// A client whose own resources are to be made again.
struct Refresh {
    stream: StreamId,
    /// The view that it is on now.
    view: String,
}

/// See the module.
pub(crate) struct World {
    outside: Outside,
    types: Types,
    snapshot: Snapshot,
    pool: Pool,
    secrets: Secrets,
    views: HashMap<String, Shared>,
    clients: HashMap<StreamId, Client>,
    by_pod: HashMap<NsName, HashSet<StreamId>>,
    namespaces: HashSet<String>,
    /// Streams that came before everything was known.
    waiting: Vec<Opening>,
    synced: bool,
}

impl World {
    pub(crate) fn new(outside: Outside, types: Types, mesh: MeshConfig) -> Self {
        let secrets = Secrets::new(&outside.hub, types.sds);
        Self {
            outside,
            types,
            secrets,
            snapshot: Snapshot::new(mesh),
            pool: Pool::default(),
            views: HashMap::new(),
            clients: HashMap::new(),
            by_pod: HashMap::new(),
            namespaces: HashSet::new(),
            waiting: Vec::new(),
            synced: false,
        }
    }

    /// Runs until told to stop.
    pub(crate) async fn run(mut self) {
        let mut follow = Follow::new(Filter::kinds(KINDS));
        let store = self.outside.store.clone();
        let mut stop = self.outside.stop.clone();
        loop {
            tokio::select! {
                update = follow.next(&*store) => {
                    let mut batch = vec![update];
                    while batch.len() < BATCH {
                        tokio::select! {
                            biased;
                            update = follow.next(&*store) => batch.push(update),
                            () = std::future::ready(()) => break,
                        }
                    }
                    self.take(batch, Instant::now());
                }
                event = self.outside.events.recv() => match event {
                    Some(event) => self.hear(event),
                    None => return,
                },
                () = stop.said() => return,
            }
        }
    }

    /// Takes in changes of the store.
    fn take(&mut self, updates: Vec<Update>, at: Instant) {
        let mut changes = Vec::with_capacity(updates.len());
        let mut synced = false;
        for update in updates {
            match update {
                Update::Put(object) if object.kind() == Kind::Secret => {
                    self.secrets.change(&self.outside.hub, &object, true, at);
                }
                Update::Delete(object) if object.kind() == Kind::Secret => {
                    self.secrets.change(&self.outside.hub, &object, false, at);
                }
                Update::Put(object) => {
                    self.note(&object, true);
                    changes.push(Change::Put(object));
                }
                Update::Delete(object) => {
                    self.note(&object, false);
                    changes.push(Change::Delete(object.resource()));
                }
                Update::Synced => synced = true,
            }
        }
        let before = Instant::now();
        let (snapshot, changed) = self.snapshot.apply(&changes);
        self.snapshot = snapshot;
        self.outside.metrics.observe(Metric::SnapshotTime, &[], before.elapsed().as_secs_f64());
        self.outside.statuses.examine(&self.snapshot, &changes);
        if synced && !self.synced {
            self.become_ready();
        }
        if self.synced && !changed.is_empty() {
            self.spread(&changed, at);
        }
    }

    /// What else has to know of an object.
    fn note(&mut self, object: &Arc<Object>, there: bool) {
        let event = if there { "put" } else { "delete" };
        let kind = object.kind();
        self.outside.metrics.add(Metric::ConfigEvents, &[("type", kind.info().kind), ("event", event)], 1.0);
        if there {
            self.outside.accounts.put(object);
        } else {
            self.outside.accounts.delete(object);
        }
        let namespace = match kind {
            Kind::Namespace if there => {
                self.namespaces.insert(object.meta.name.clone());
                Some(&object.meta.name)
            }
            Kind::Namespace => {
                self.namespaces.remove(&object.meta.name);
                None
            }
            // Somebody changed it, or took it away; unless it went with its namespace.
            Kind::ConfigMap if roots::concerns(object) => {
                Some(&object.meta.namespace).filter(|ns| self.namespaces.contains(*ns))
            }
            _ => None,
        };
        if let Some(namespace) = namespace {
            // The publisher ends only when everything does.
            let _ = self.outside.namespaces.send(namespace.clone());
        }
    }

    fn become_ready(&mut self) {
        self.synced = true;
        self.outside.accounts.synced();
        self.outside.ready.send_replace(true);
        tracing::info!(services = self.snapshot.services().count(), "the mesh is known; serving proxies");
        for opening in std::mem::take(&mut self.waiting) {
            self.open(opening);
        }
    }

    /// Makes again what depends on what changed, for everybody.
    fn spread(&mut self, changed: &ChangedKeys, at: Instant) {
        let before = Instant::now();
        self.count(changed);
        // Looked at before the views change: what concerns a client is judged by the view that it had.
        let concerned = self.concerned(changed);
        let mut press = Press { hub: &self.outside.hub, types: self.types, pool: &mut self.pool, at };
        for shared in self.views.values_mut() {
            shared.update(&mut press, &self.snapshot, changed);
        }
        for refresh in concerned {
            self.refresh(refresh, at);
        }
        self.outside.metrics.add(Metric::Encodes, &[], self.pool.take_encoded() as f64);
        self.outside.metrics.observe(Metric::PushTime, &[], before.elapsed().as_secs_f64());
    }

    /// The clients whose own resources, or whose view, may be others now.
    fn concerned(&self, changed: &ChangedKeys) -> Vec<Refresh> {
        let ChangedKeys {
            services,
            endpoints: _,
            routes,
            destinations,
            gateways,
            policies,
            scopes,
            workloads,
            mesh,
        } = changed;
        let everybody = *mesh
            || !services.is_empty()
            || !routes.is_empty()
            || !destinations.is_empty()
            || !gateways.is_empty()
            || !policies.is_empty()
            || !scopes.is_empty();
        let streams: Vec<StreamId> = if everybody {
            self.clients.keys().copied().collect()
        } else {
            workloads.iter().filter_map(|pod| self.by_pod.get(pod)).flatten().copied().collect()
        };
        let refresh = |stream: StreamId| {
            let client = self.clients.get(&stream)?;
            let view = View::key_of(&self.snapshot, &client.proxy);
            let shared = self.views.get(&client.view)?;
            let own = tulle_translate::affected(&self.snapshot, &client.proxy, shared.view(), changed);
            let own = own.clusters || own.listeners || own.routes;
            (own || view != client.view).then_some(Refresh { stream, view })
        };
        streams.into_iter().filter_map(refresh).collect()
    }

    /// Moves a client to its view, and makes its own resources again.
    fn refresh(&mut self, refresh: Refresh, at: Instant) {
        let Refresh { stream, view } = refresh;
        let Some(client) = self.clients.get_mut(&stream) else { return };
        let mut press = Press { hub: &self.outside.hub, types: self.types, pool: &mut self.pool, at };
        let shared = self
            .views
            .entry(view.clone())
            .or_insert_with(|| Shared::new(&mut press, &self.snapshot, &client.proxy));
        client.own.make(&mut press, &self.snapshot, &client.proxy, shared.view());
        if view == client.view {
            return;
        }
        shared.users += 1;
        self.outside.hub.rebind(stream, shared.layers(&client.own, client.secrets.clone()));
        let old = std::mem::replace(&mut client.view, view.clone());
        if let Some(entry) =
            self.outside.directory.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&stream)
        {
            entry.view = view;
        }
        self.leave(&old);
    }

    fn hear(&mut self, event: HubEvent) {
        match event {
            HubEvent::Opening { stream, node, peer, protocol } => {
                let opening = Opening { stream, node, peer, protocol };
                if self.synced { self.open(opening) } else { self.waiting.push(opening) }
            }
            HubEvent::Closed { stream } => self.close(stream),
            HubEvent::Core(event) => self.core_event(event),
            HubEvent::Sent { kind, bytes, .. } => {
                let label = [("type", self.types.label(kind))];
                self.outside.metrics.add(Metric::Pushes, &label, 1.0);
                self.outside.metrics.observe(Metric::ConfigSize, &label, bytes as f64);
            }
            HubEvent::Expelled { stream, violation } => {
                self.outside.metrics.add(Metric::InternalErrors, &[], 1.0);
                tracing::warn!(proxy = self.name_of(stream), %violation, "stream ended");
            }
        }
    }

    fn open(&mut self, opening: Opening) {
        let Opening { stream, node, peer, protocol } = opening;
        let proxy = match admit(&node, &peer, &self.snapshot.mesh().trust_domain) {
            Ok(proxy) => proxy,
            Err(refused) => {
                tracing::warn!(address = ?peer.address, reason = %refused, "stream refused");
                return self.outside.hub.refuse(stream, refused.into());
            }
        };
        let at = Instant::now();
        let mut press = Press { hub: &self.outside.hub, types: self.types, pool: &mut self.pool, at };
        let view = View::key_of(&self.snapshot, &proxy);
        let shared =
            self.views.entry(view.clone()).or_insert_with(|| Shared::new(&mut press, &self.snapshot, &proxy));
        shared.users += 1;
        let own = Own::new(&mut press, &self.snapshot, &proxy, shared.view());
        let options = StreamOptions { protocol, rewarm: proxy.stock_envoy };
        // The TLS port lets nobody in without a certificate that fits its node.
        let secrets = self.secrets.layers(&self.outside.hub, &proxy, peer.tls);
        self.outside.hub.admit(stream, options, shared.layers(&own, secrets.clone()));
        self.outside.metrics.add(Metric::Encodes, &[], self.pool.take_encoded() as f64);
        tracing::info!(proxy = proxy.id, view, tls = peer.tls, "proxy connected");
        self.by_pod.entry(proxy.pod.clone()).or_default().insert(stream);
        let entry = Connected { proxy: proxy.clone(), view: view.clone(), since: at };
        self.outside.directory.lock().unwrap_or_else(PoisonError::into_inner).insert(stream, entry);
        self.clients.insert(stream, Client { proxy, view, own, secrets });
        self.count_clients();
    }

    fn close(&mut self, stream: StreamId) {
        self.waiting.retain(|o| o.stream != stream);
        let Some(client) = self.clients.remove(&stream) else { return };
        tracing::info!(proxy = client.proxy.id, "proxy disconnected");
        self.outside.directory.lock().unwrap_or_else(PoisonError::into_inner).remove(&stream);
        if let Some(streams) = self.by_pod.get_mut(&client.proxy.pod) {
            streams.remove(&stream);
            if streams.is_empty() {
                self.by_pod.remove(&client.proxy.pod);
            }
        }
        client.own.withdraw(&self.outside.hub);
        self.leave(&client.view);
        self.count_clients();
    }

    /// One client less is on a view; the last one takes it along.
    fn leave(&mut self, key: &str) {
        let Some(shared) = self.views.get_mut(key) else { return };
        shared.users -= 1;
        if shared.users == 0
            && let Some(shared) = self.views.remove(key)
        {
            shared.withdraw(&self.outside.hub);
        }
    }

    fn core_event(&mut self, event: CoreEvent) {
        let metrics = &self.outside.metrics;
        match event {
            CoreEvent::Accepted { converged_in, .. } => {
                if let Some(time) = converged_in {
                    metrics.observe(Metric::Convergence, &[], time.as_secs_f64());
                }
            }
            CoreEvent::Refused { stream, kind, errors } => {
                let label = self.types.label(kind);
                metrics.add(Metric::Rejects, &[("type", label)], 1.0);
                for error in errors {
                    tracing::error!(
                        proxy = self.name_of(stream),
                        r#type = label,
                        resource = error.name,
                        reason = error.message,
                        "a proxy refused a resource; its last good version stays in force"
                    );
                }
            }
            CoreEvent::StaleNonce { .. } => metrics.add(Metric::ExpiredNonce, &[], 1.0),
            CoreEvent::UnknownType { stream, type_url } => {
                tracing::debug!(
                    proxy = self.name_of(stream),
                    type_url,
                    "asked for a type that is not served"
                );
            }
        }
    }

    fn name_of(&self, stream: StreamId) -> String {
        self.clients.get(&stream).map(|c| c.proxy.pod.to_string()).unwrap_or_default()
    }

    fn count(&mut self, changed: &ChangedKeys) {
        let metrics = &self.outside.metrics;
        let updates = [
            ("svc", changed.services.len()),
            ("eds", changed.endpoints.len()),
            ("config", changed.routes.len() + changed.destinations.len() + changed.policies.len()),
        ];
        for (kind, n) in updates.iter().filter(|(_, n)| *n > 0) {
            metrics.add(Metric::InboundUpdates, &[("type", kind)], *n as f64);
        }
        if !changed.services.is_empty() {
            metrics.set(Metric::Services, &[], self.snapshot.services().count() as f64);
        }
        if !changed.routes.is_empty() {
            let sets: HashSet<_> = self.snapshot.routes().map(|(_, r)| r.meta.resource.clone()).collect();
            metrics.set(Metric::VirtualServices, &[], sets.len() as f64);
        }
    }

    fn count_clients(&self) {
        let label = [("version", env!("CARGO_PKG_VERSION"))];
        self.outside.metrics.set(Metric::Connected, &label, self.clients.len() as f64);
    }
}

/// The kinds that matter to the control plane.
const KINDS: &[Kind] = &[
    Kind::VirtualService,
    Kind::DestinationRule,
    Kind::Gateway,
    Kind::ServiceEntry,
    Kind::WorkloadEntry,
    Kind::Sidecar,
    Kind::PeerAuthentication,
    Kind::RequestAuthentication,
    Kind::AuthorizationPolicy,
    Kind::Telemetry,
    Kind::Namespace,
    Kind::ServiceAccount,
    Kind::Service,
    Kind::Pod,
    Kind::ConfigMap,
    Kind::Secret,
    Kind::EndpointSlice,
];
