//! The one task that knows the mesh: changes of the store go in, changes of resources come out, and the status of what was
//! written goes back.
//!
//! A change is applied at once. What arrives meanwhile is taken together next time; nobody waits for a timer.

mod asked;
mod clients;
mod discovery;
mod hear;
mod quarantine;
mod report;
mod spread;
mod take;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tulle_api::{Kind, Object};
use tulle_base::ResourceRef;
use tulle_ca::Aliases;
use tulle_identity::TrustSource;
use tulle_mesh::policy::{Fetched, KeySource};
use tulle_mesh::{Change, MeshConfig, NsName};
use tulle_store::{Filter, Follow, Store, Update};
use tulle_telemetry::audit::AuditLog;
use tulle_translate::Proxy;
use tulle_xds::server::{Hub, HubEvent, StreamId};

use crate::bindings::Accounts;
use crate::console::Known;
use crate::documents::Documents;
use crate::federation;
use crate::keys::Wanted;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::register;
use crate::rooms::{RoomId, Rooms, Step};
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
use discovery::Discovery;

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

    /// The task ends only when everything does.
    fn tell_registrar(&self, told: register::Told) {
        let _ = self.outside.register.send(told);
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
