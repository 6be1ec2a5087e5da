//! The one task that knows the mesh: changes of the store go in, changes of resources come out, and the status of what was
//! written goes back.
//!
//! A change is applied at once. What arrives meanwhile is taken together next time; nobody waits for a timer.

mod asked;
mod clients;
mod discovery;
mod quarantine;
mod report;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tulle_api::{Kind, Object};
use tulle_base::ResourceRef;
use tulle_ca::Aliases;
use tulle_identity::TrustSource;
use tulle_mesh::policy::{Fetched, KeySource};
use tulle_mesh::{Change, ChangedKeys, MeshConfig, NsName};
use tulle_store::{Filter, Follow, Store, Update};
use tulle_telemetry::audit::{AuditLog, Entry, Event};
use tulle_translate::Proxy;
use tulle_xds::server::{CoreEvent, Hub, HubEvent, StreamId};

use crate::bindings::Accounts;
use crate::console::Known;
use crate::documents::{Documents, Taken, has_status};
use crate::federation;
use crate::keys::Wanted;
use crate::ledger::Ledger;
use crate::metrics::{Metric, Metrics};
use crate::press::Press;
use crate::register;
use crate::rooms::{RoomId, Rooms, Step, reference};
use crate::roots;
use crate::rotation;
use crate::secrets::Secrets;
use crate::sets::Pool;
use crate::standing::Standing;
use crate::status::Flow;
use crate::stop::Stop;
use crate::trust::{self, Trust, Trusted};
use crate::types::Types;
use crate::views::Shared;
pub(crate) use asked::Question;
use clients::{Client, Opening};
use discovery::{Discovery, Turned};

/// Updates taken together at most.
const BATCH: usize = 4096;

/// How long after everything is known the first status is written: proxies of an earlier life come back meanwhile.
const QUIET: Duration = Duration::from_millis(500);

/// What others may know of a connected proxy.
#[derive(Clone, Debug)]
pub(crate) struct Connected {
    pub(crate) proxy: Proxy,
    pub(crate) view: String,
    pub(crate) since: Instant,
    /// When something was sent to it last; milliseconds since 1970, 0 for never.
    pub(crate) pushed: i64,
}

impl Connected {
    /// When something was sent to it last; seconds since 1970.
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of this century")]
    pub(crate) fn last_push(&self) -> Option<f64> {
        (self.pushed > 0).then(|| self.pushed as f64 / 1000.0)
    }
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
    pub(crate) flow: Flow,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) directory: Directory,
    pub(crate) standing: Standing,
    pub(crate) ready: watch::Sender<bool>,
    pub(crate) stop: Stop,
    /// Keys of tokens that are to be fetched, and those that were.
    pub(crate) wanted: watch::Sender<Wanted>,
    pub(crate) fetched: mpsc::UnboundedReceiver<(KeySource, Fetched)>,
    /// The roots in force, and which version of them proxies are given.
    pub(crate) trusted: watch::Receiver<Trusted>,
    pub(crate) pushed: watch::Sender<u64>,
    /// Bundles of other trust domains that are to be fetched, and those that were.
    pub(crate) bundles: watch::Sender<federation::Wanted>,
    pub(crate) fetched_bundles: mpsc::UnboundedReceiver<federation::Bundle>,
    /// What is asked of the CA.
    pub(crate) ca_requests: mpsc::UnboundedSender<Arc<Object>>,
    /// Other names of the trust domain, for the CA.
    pub(crate) aliases: Aliases,
    pub(crate) audit: AuditLog,
    /// Workloads that register themselves.
    pub(crate) register: mpsc::UnboundedSender<register::Told>,
    /// The newest snapshot, for the dashboard.
    pub(crate) known: watch::Sender<Known>,
    /// What comes from the store, for the dashboard, if there is one.
    pub(crate) told: Option<mpsc::UnboundedSender<Update>>,
    /// What the dashboard asks.
    pub(crate) questions: mpsc::UnboundedReceiver<Question>,
}

/// A view of one room.
type ViewKey = (RoomId, String);

/// See the module.
pub(crate) struct World {
    outside: Outside,
    types: Types,
    rooms: Rooms,
    documents: Documents,
    ledger: Ledger,
    pool: Pool,
    secrets: Secrets,
    trust: Trust,
    views: HashMap<ViewKey, Shared>,
    clients: HashMap<StreamId, Client>,
    by_pod: HashMap<NsName, HashSet<StreamId>>,
    /// Who refuses what.
    refusing: HashMap<ResourceRef, HashSet<StreamId>>,
    namespaces: HashSet<String>,
    discovery: Discovery,
    /// Streams that came before everything was known.
    waiting: Vec<Opening>,
    synced: bool,
    /// Resources whose status may be another, and was written less than a second ago.
    told_later: HashSet<ResourceRef>,
    /// No status is written before: proxies are given time to come.
    quiet_until: Option<Instant>,
    /// Counts what is done to the sets.
    epoch: u64,
    /// The store is known up to here.
    version: u64,
}

impl World {
    pub(crate) fn new(outside: Outside, types: Types, mesh: MeshConfig, serving: TrustSource) -> Self {
        let secrets = Secrets::new(&outside.hub, types.sds);
        let trust = Trust::new(&outside.hub, types.trust, serving);
        let discovery = Discovery::new(&mesh.root_namespace);
        Self {
            outside,
            types,
            secrets,
            trust,
            rooms: Rooms::new(mesh),
            documents: Documents::default(),
            ledger: Ledger::default(),
            pool: Pool::default(),
            views: HashMap::new(),
            clients: HashMap::new(),
            by_pod: HashMap::new(),
            refusing: HashMap::new(),
            namespaces: HashSet::new(),
            discovery,
            waiting: Vec::new(),
            synced: false,
            told_later: HashSet::new(),
            quiet_until: None,
            epoch: 0,
            version: 0,
        }
    }

    /// Runs until told to stop.
    pub(crate) async fn run(mut self) {
        let mut follow = Follow::new(Filter::kinds(&kinds()));
        let store = self.outside.store.clone();
        let mut stop = self.outside.stop.clone();
        self.publish_trust(Instant::now());
        loop {
            if self.synced && self.ledger.is_touched() {
                self.outside.flow.soon(Instant::now(), self.quiet_until);
            }
            let statuses_due = async {
                match self.outside.flow.due() {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            let fault_ends = async {
                match self.rooms.truth().next_end() {
                    Some(end) => tokio::time::sleep(until(end)).await,
                    None => std::future::pending().await,
                }
            };
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
                    self.take(batch, &follow, Instant::now());
                }
                event = self.outside.events.recv() => match event {
                    Some(event) => self.hear(event),
                    None => return,
                },
                () = statuses_due => self.report(Instant::now()),
                Some((source, fetched)) = self.outside.fetched.recv() => {
                    self.everywhere(Change::Keys(source, fetched), Instant::now());
                }
                Ok(()) = self.outside.trusted.changed() => self.publish_trust(Instant::now()),
                Some(bundle) = self.outside.fetched_bundles.recv() => {
                    if self.trust.fetched(bundle) {
                        self.publish_trust(Instant::now());
                    }
                }
                Some(question) = self.outside.questions.recv() => self.answer(question),
                () = fault_ends => self.everywhere(Change::Time(unix_now()), Instant::now()),
                () = stop.said() => return,
            }
        }
    }

    /// What is done to the sets from now on belongs to a new epoch.
    fn begin(&mut self) {
        self.epoch += 1;
        self.outside.hub.begin(self.epoch);
        self.ledger.begin(self.epoch);
        self.outside.standing.begin(self.epoch, self.version);
    }

    /// Something changed that is no document: it is later, so that faults end, or keys were fetched.
    fn everywhere(&mut self, change: Change, at: Instant) {
        self.begin();
        let step = self.rooms.everywhere(change);
        for resource in &step.noted {
            if self.documents.get(resource).is_some() {
                tracing::info!(%resource, "is in force otherwise: faults ended, or keys were fetched");
                self.ledger.touch(resource);
            }
        }
        if self.synced {
            self.spread(&step, at);
        }
        self.outside.hub.mark();
        self.show();
    }

    /// Publishes the newest snapshot.
    fn show(&self) {
        if self.outside.told.is_some() {
            let snapshot = self.rooms.truth().clone();
            self.outside.known.send_modify(|known| *known = Known { version: known.version + 1, snapshot });
        }
    }

    /// Something else is to be trusted.
    fn publish_trust(&mut self, at: Instant) {
        self.begin();
        let trusted = self.outside.trusted.borrow_and_update().clone();
        let mesh = self.rooms.truth().mesh();
        self.outside.aliases.store(Arc::new(mesh.trust_domain_aliases.clone()));
        self.outside.bundles.send_if_modified(|held| {
            let wanted = trust::wanted(mesh);
            let other = *held != wanted;
            *held = wanted;
            other
        });
        self.trust.publish(&self.outside.hub, &trusted, mesh, at);
        self.outside.hub.mark();
        // Everybody who looks at how streams stand asks the hub after this.
        self.outside.pushed.send_replace(trusted.version);
    }

    /// Has the keys fetched that tokens are checked with now.
    fn want_keys(&self, step: &Step) {
        if !step.noted.iter().any(|r| r.kind == "RequestAuthentication") {
            return;
        }
        let mut wanted = Wanted::new();
        for rule in self.rooms.truth().tokens().flat_map(|policy| &policy.rules) {
            if !matches!(rule.keys, KeySource::Inline(_)) {
                let limit = wanted.entry(rule.keys.clone()).or_insert(rule.timeout);
                *limit = rule.timeout.max(*limit);
            }
        }
        self.outside.wanted.send_if_modified(|held| {
            let other = *held != wanted;
            *held = wanted;
            other
        });
    }

    /// Takes in changes of the store.
    fn take(&mut self, updates: Vec<Update>, follow: &Follow, at: Instant) {
        let mut changes = Vec::with_capacity(updates.len());
        let mut turned = Turned::new();
        let mut synced = false;
        for update in &updates {
            if let Update::Put(object) = update {
                self.version = self.version.max(object.meta.resource_version.parse().unwrap_or(0));
            }
        }
        self.begin();
        if let Some(told) = &self.outside.told {
            for update in &updates {
                // The dashboard ends only when everything does.
                let _ = told.send(update.clone());
            }
        }
        let mut secrets = false;
        for update in updates {
            match update {
                // The mesh knows which Secrets hold certificates, not what they are.
                Update::Put(object) if object.kind() == Kind::Secret => {
                    self.secrets.change(&self.outside.hub, &object, true, at);
                    secrets = true;
                    changes.push(Change::Put(object));
                }
                Update::Delete(object) if object.kind() == Kind::Secret => {
                    self.secrets.change(&self.outside.hub, &object, false, at);
                    secrets = true;
                    changes.push(Change::Delete(object.resource()));
                }
                Update::Put(object) => {
                    self.note(&object, true);
                    if object.kind() == Kind::Namespace {
                        turned.extend(self.discovery.label(&object, true));
                    }
                    if self.discovery.sees(&object) {
                        changes.extend(self.put(object));
                    }
                }
                Update::Delete(object) => {
                    self.note(&object, false);
                    if object.kind() == Kind::Namespace {
                        turned.extend(self.discovery.label(&object, false));
                    }
                    changes.push(self.delete(&object));
                }
                Update::Synced => synced = true,
            }
        }
        changes.extend(self.turn(&turned, follow));
        let before = Instant::now();
        let mut step = self.rooms.step(&changes, &self.documents);
        let selectors = self.rooms.truth().mesh().discovery.clone();
        let turned = self.discovery.select(&selectors, follow.known().map(|o| o.meta.namespace.as_str()));
        if !turned.is_empty() {
            let more = self.turn(&turned, follow);
            step.merge(self.rooms.step(&more, &self.documents));
            changes.extend(more);
        }
        // Faults that were over before they came do not begin.
        if self.rooms.truth().next_end().is_some() || self.rooms.truth().now() > 0 {
            step.merge(self.rooms.time(unix_now()));
        }
        self.want_keys(&step);
        self.outside.metrics.observe(Metric::SnapshotTime, &[], before.elapsed().as_secs_f64());
        self.say_settings(&changes, &step);
        if step.keys.get(&0).is_some_and(|k| k.mesh) {
            self.publish_trust(at);
        }
        for resource in &step.noted {
            if self.documents.get(resource).is_some() {
                self.ledger.touch(resource);
            }
        }
        if synced && !self.synced {
            self.become_ready();
        }
        let changed: Vec<ResourceRef> = changes.iter().map(reference).collect();
        if self.synced {
            self.spread(&step, at);
            self.pardon(&changed, at);
            if secrets {
                self.grant_all(at);
            }
        }
        self.outside.hub.mark();
        self.show();
    }

    /// What is in namespaces that are read from now on comes, what is in those that are not any more goes.
    fn turn(&mut self, turned: &Turned, follow: &Follow) -> Vec<Change> {
        if turned.is_empty() {
            return Vec::new();
        }
        tracing::info!(?turned, "namespaces are read, or not any more");
        let mut changes = Vec::new();
        for object in follow.known().filter(|o| o.kind() != Kind::Secret) {
            match turned.get(&object.meta.namespace) {
                Some(true) => changes.extend(self.put(object.clone())),
                Some(false) => changes.push(self.delete(object)),
                None => {}
            }
        }
        changes
    }

    /// Tells that settings of the mesh are in force, or why they are not: a ConfigMap has no status.
    fn say_settings(&self, changes: &[Change], step: &Step) {
        if step.keys.get(&0).is_some_and(|k| k.mesh) {
            tracing::info!("other settings of the mesh are in force");
        }
        let puts = changes.iter().filter(|c| matches!(c, Change::Put(_))).map(reference);
        for map in puts.filter(|r| r.kind == "ConfigMap") {
            for problem in self.rooms.truth().diagnostics_of(&map) {
                tracing::warn!(%problem, "settings of the mesh");
            }
        }
    }

    /// Takes in an object; what of it concerns the mesh.
    fn put(&mut self, object: Arc<Object>) -> Option<Change> {
        if !has_status(object.kind()) {
            return Some(Change::Put(object));
        }
        let resource = object.resource();
        self.outside.flow.remember(&resource, object.status.as_ref());
        let refused = self.refusing.contains_key(&resource) || self.rooms.is_held(&resource);
        match self.documents.put(&object, self.epoch, refused) {
            Taken::Same => None,
            Taken::Changed => {
                self.tell_change(&object, "written", None);
                self.ledger.changed(&resource);
                Some(Change::Put(object))
            }
            Taken::Invalid => {
                self.tell_change(&object, "written", Some("it is invalid; its status says why"));
                self.ledger.touch(&resource);
                let label = [("type", object.kind().info().kind)];
                self.outside.metrics.add(Metric::RejectedConfigs, &label, 1.0);
                None
            }
        }
    }

    fn delete(&mut self, object: &Object) -> Change {
        let resource = object.resource();
        if has_status(object.kind()) {
            self.tell_change(object, "deleted", None);
            self.documents.delete(&resource);
            self.ledger.forget(&resource);
            self.outside.flow.forget(&resource);
        }
        Change::Delete(resource)
    }

    /// Tells the audit log what the mesh is configured by; what was there at the start is no change.
    fn tell_change(&self, object: &Object, change: &'static str, refused: Option<&str>) {
        if !self.synced {
            return;
        }
        let entry = Entry::new(Event::ConfigChanged, rotation::actor(object), object.resource().to_string())
            .with("change", change)
            .with("version", object.meta.resource_version.as_str());
        self.outside.audit.record(match refused {
            Some(reason) => entry.refused(reason),
            None => entry,
        });
    }

    /// What else has to know of an object.
    fn note(&mut self, object: &Arc<Object>, there: bool) {
        let event = if there { "update" } else { "delete" };
        let kind = object.kind();
        let metric = match kind.info().kind {
            "Service" | "EndpointSlice" | "Endpoints" | "Pod" | "Node" | "Namespace" => {
                Metric::RegistryEvents
            }
            _ => Metric::ConfigEvents,
        };
        self.outside.metrics.add(metric, &[("type", kind.info().kind), ("event", event)], 1.0);
        if there && rotation::concerns(object, &self.rooms.truth().mesh().root_namespace) {
            // The CA ends only when everything does.
            let _ = self.outside.ca_requests.send(object.clone());
        }
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
        self.quiet_until = Some(Instant::now() + QUIET);
        self.outside.accounts.synced();
        self.outside.ready.send_replace(true);
        tracing::info!(
            services = self.rooms.truth().services().count(),
            "the mesh is known; serving proxies"
        );
        self.tell_registrar(register::Told::Begin(self.documents.of_kind(Kind::WorkloadEntry)));
        for opening in std::mem::take(&mut self.waiting) {
            self.open(opening);
        }
    }

    /// Makes again what depends on what changed, for everybody.
    fn spread(&mut self, step: &Step, at: Instant) {
        if step.keys.values().all(ChangedKeys::is_empty) {
            return;
        }
        let before = Instant::now();
        if let Some(changed) = step.keys.get(&0) {
            self.count(changed);
        }
        // Looked at before the views change: what concerns a client is judged by the view that it had.
        let concerned = self.concerned(step);
        let mut press = Press {
            hub: &self.outside.hub,
            types: self.types,
            pool: &mut self.pool,
            ledger: &mut self.ledger,
            at,
        };
        for ((room, _), shared) in &mut self.views {
            if let Some(changed) = step.keys.get(room).filter(|c| !c.is_empty()) {
                shared.update(&mut press, self.rooms.snapshot(*room), changed);
            }
        }
        let metrics = Arc::clone(&self.outside.metrics);
        metrics.observe(Metric::DebounceTime, &[], before.saturating_duration_since(at).as_secs_f64());
        for refresh in concerned {
            metrics.observe(Metric::QueueTime, &[], before.elapsed().as_secs_f64());
            self.refresh(refresh, at);
        }
        self.outside.metrics.add(Metric::Encodes, &[], self.pool.take_encoded() as f64);
        self.outside.metrics.observe(Metric::PushTime, &[], before.elapsed().as_secs_f64());
    }

    fn hear(&mut self, event: HubEvent) {
        match event {
            HubEvent::Opening { stream, node, peer, protocol } => {
                let opening = Opening { stream, node, peer, protocol };
                if self.synced {
                    self.begin();
                    self.open(opening);
                    self.outside.hub.mark();
                } else {
                    self.waiting.push(opening);
                }
            }
            HubEvent::Closed { stream } => self.close(stream),
            HubEvent::Core(event) => self.core_event(event),
            HubEvent::Marked { epoch } => {
                let before = self.outside.standing.marked(epoch);
                self.ledger.touch_due(before, epoch);
                self.try_again();
            }
            HubEvent::Sent { stream, kind, bytes, .. } => {
                self.note_push(stream);
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

    fn core_event(&mut self, event: CoreEvent) {
        let metrics = &self.outside.metrics;
        match event {
            CoreEvent::Accepted { converged_in, .. } => {
                if let Some(time) = converged_in {
                    metrics.observe(Metric::Convergence, &[], time.as_secs_f64());
                }
            }
            CoreEvent::Refused { stream, kind, errors } => self.refused(stream, kind, errors),
            CoreEvent::Reached { stream, epoch } => self.reached(stream, epoch),
            CoreEvent::StaleNonce { .. } => metrics.add(Metric::ExpiredNonce, &[], 1.0),
            CoreEvent::UnknownType { stream, type_url, problem } if type_url == register::HEALTH => {
                let client = self.clients.get(&stream);
                if client.is_some_and(|client| register::wanted(&client.proxy).is_some()) {
                    tracing::info!(proxy = self.name_of(stream), ?problem, "workload told its health");
                    self.tell_registrar(register::Told::Health(stream, problem));
                }
            }
            CoreEvent::UnknownType { stream, type_url, problem: _ } => {
                tracing::debug!(
                    proxy = self.name_of(stream),
                    type_url,
                    "asked for a type that is not served"
                );
            }
        }
    }

    /// A proxy got on, or fell behind.
    fn reached(&mut self, stream: StreamId, epoch: u64) {
        let (before, now) = self.outside.standing.reached(stream, epoch);
        let Some(client) = self.clients.get(&stream) else { return };
        if before < client.joined || now < client.joined {
            self.ledger.touch_holder(client.own.holder);
            if let Some(shared) = self.views.get(&client.view_key()) {
                self.ledger.touch_holder(shared.holder);
            }
        } else {
            self.ledger.touch_due(before.min(now), before.max(now));
        }
        self.try_again();
    }

    /// The task ends only when everything does.
    fn tell_registrar(&self, told: register::Told) {
        let _ = self.outside.register.send(told);
    }

    fn name_of(&self, stream: StreamId) -> String {
        self.clients.get(&stream).map(|c| c.proxy.pod.to_string()).unwrap_or_default()
    }

    fn count(&self, changed: &ChangedKeys) {
        let metrics = &self.outside.metrics;
        let updates = [
            ("svc", changed.services.len()),
            ("eds", changed.endpoints.len()),
            (
                "config",
                changed.routes.len()
                    + changed.destinations.len()
                    + changed.policies.len()
                    + changed.telemetry.len(),
            ),
        ];
        for (kind, n) in updates.iter().filter(|(_, n)| *n > 0) {
            metrics.add(Metric::InboundUpdates, &[("type", kind)], *n as f64);
        }
        let causes = [
            ("service", !changed.services.is_empty()),
            ("endpoint", !changed.endpoints.is_empty()),
            ("config", updates[2].1 > 0),
            ("proxy", !changed.workloads.is_empty()),
            ("global", changed.mesh),
        ];
        for (cause, _) in causes.iter().filter(|(_, yes)| *yes) {
            metrics.add(Metric::PushTriggers, &[("type", cause)], 1.0);
        }
        let snapshot = self.rooms.truth();
        if !changed.services.is_empty() {
            metrics.set(Metric::Services, &[], snapshot.services().count() as f64);
        }
        if !changed.routes.is_empty() {
            let sets: HashSet<_> = snapshot.routes().map(|(_, r)| r.meta.resource.clone()).collect();
            metrics.set(Metric::VirtualServices, &[], sets.len() as f64);
        }
    }
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// How long until a moment, and a little longer, so that it has come. Clocks are set: it is looked at again every hour.
fn until(end: i64) -> Duration {
    let left = u64::try_from(end.saturating_sub(unix_now())).unwrap_or(0);
    Duration::from_secs(left.min(3600)) + Duration::from_millis(50)
}

/// The kinds that matter to the control plane: the mesh's own, and those of Kubernetes that say what runs.
fn kinds() -> Vec<Kind> {
    Kind::ALL.iter().copied().filter(|k| k.is_read_by_the_mesh()).collect()
}
