//! What the dashboard is told: the mesh in its words, versions of resources, and what is written there.
//!
//! `world` publishes each snapshot and hands on every object that it is told of; everything here is made of these when somebody asks,
//! on the threads that answer, and kept until something changed.

mod about;
mod applied;
mod history;
mod model;
mod policies;
mod proxies;
mod resources;
mod routes;
mod validate;
mod write;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tulle_api::{Kind, Object};
use tulle_base::{Diagnostics, ResourceRef};
use tulle_ca::IssuedBook;
use tulle_dashboard::plane::{
    Certificates, Change, FieldChange, Finding, Grant, KindRow, Later, Meant, Model, Plane, Policy, Proxies,
    Refusal, Resource, ResourceRow, Validation, Version, Wrote,
};
use tulle_mesh::{NsName, Snapshot};
use tulle_store::{Filter, Follow, Store, Update};
use tulle_telemetry::audit::{Entry, Event};

use crate::monitoring::Shown;
use crate::stop::Stop;
use crate::world::Question;
use history::History;

/// What `world` publishes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Counts snapshots.
    pub(crate) version: u64,
    /// The newest.
    pub(crate) snapshot: Snapshot,
}

/// What else is asked of patches: what only the program knows that has a proxy in it.
pub type PatchCheck = fn(&[Arc<Object>]) -> Diagnostics;

/// What a console needs.
pub(crate) struct Needs {
    pub(crate) shown: Arc<Shown>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) issued: Arc<IssuedBook>,
    pub(crate) known: watch::Receiver<Known>,
    pub(crate) questions: mpsc::UnboundedSender<Question>,
    pub(crate) patch_check: Option<PatchCheck>,
}

/// See the module.
pub(crate) struct Console {
    needs: Needs,
    kept: Mutex<Kept>,
    /// Counts what comes from the store, statuses included.
    counted: watch::Sender<u64>,
    model: Made<(u64, usize), Arc<Model>>,
    rows: Made<(u64, u64), Rows>,
    found: Made<u64, Arc<Vec<Finding>>>,
}

/// What was made last, and of which versions.
type Made<K, V> = Mutex<Option<(K, V)>>;
type Rows = Arc<(Vec<ResourceRow>, Vec<KindRow>)>;

/// Objects and their versions.
struct Kept {
    objects: HashMap<ResourceRef, Arc<Object>>,
    history: History,
}

/// Kinds that only the console looks at: what makes pods.
const MAKERS: &[Kind] = &[Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet];

impl Console {
    /// A console that keeps its files in `state_dir`.
    pub(crate) fn new(needs: Needs, state_dir: &Path) -> Self {
        let history = History::open(&state_dir.join("history.log"));
        Self {
            needs,
            kept: Mutex::new(Kept { objects: HashMap::new(), history }),
            counted: watch::Sender::new(0),
            model: Mutex::default(),
            rows: Mutex::default(),
            found: Mutex::default(),
        }
    }

    /// Takes in what the world is told of, and what it does not look at, until told to stop.
    pub(crate) async fn run(self: Arc<Self>, mut told: mpsc::UnboundedReceiver<Update>, mut stop: Stop) {
        let mut follow = Follow::new(Filter::kinds(MAKERS));
        let store = self.needs.store.clone();
        let mut synced = [false; 2];
        loop {
            let (update, from) = tokio::select! {
                update = told.recv() => match update {
                    Some(update) => (update, 0),
                    None => return,
                },
                update = follow.next(&*store) => (update, 1),
                () = stop.said() => return,
            };
            if matches!(update, Update::Synced) {
                synced[from] = true;
            }
            self.take(update, synced == [true, true]);
        }
    }

    fn take(&self, update: Update, synced: bool) {
        let now = now();
        let mut kept = self.kept();
        match update {
            Update::Put(object) => {
                kept.history.put(&object, now);
                kept.objects.insert(object.resource(), object);
            }
            Update::Delete(object) => {
                let resource = object.resource();
                kept.history.delete(&resource, now);
                kept.objects.remove(&resource);
            }
            Update::Synced if synced => {
                let there: HashSet<ResourceRef> = kept.objects.keys().cloned().collect();
                kept.history.only(&there, now);
            }
            Update::Synced => {}
        }
        drop(kept);
        self.counted.send_modify(|n| *n += 1);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> Known {
        self.needs.known.borrow().clone()
    }

    fn object(&self, resource: &ResourceRef) -> Option<Arc<Object>> {
        self.kept().objects.get(resource).cloned()
    }

    /// The pods whose proxies are connected.
    fn connected(&self) -> BTreeSet<NsName> {
        let directory = self.needs.shown.directory.lock().unwrap_or_else(PoisonError::into_inner);
        directory.values().map(|c| c.proxy.pod.clone()).collect()
    }
}

impl Plane for Console {
    fn model(&self) -> Arc<Model> {
        let (known, connected) = (self.known(), self.connected());
        let key = (known.version, connected.len());
        let mut held = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        match &*held {
            Some((of, model)) if *of == key => Arc::clone(model),
            _ => {
                let model = Arc::new(model::model(&known.snapshot, self.version(), &connected));
                *held = Some((key, Arc::clone(&model)));
                model
            }
        }
    }

    fn version(&self) -> u64 {
        self.needs.known.borrow().version + *self.counted.borrow()
    }

    fn proxies(&self) -> Later<'_, Proxies> {
        Box::pin(self.all_proxies())
    }

    fn dump<'a>(&'a self, proxy: &'a str) -> Later<'a, Option<serde_json::Value>> {
        Box::pin(self.dump_of(proxy))
    }

    fn about(&self) -> Later<'_, serde_json::Value> {
        Box::pin(self.about_all())
    }

    fn resources(&self) -> (Vec<ResourceRow>, Vec<KindRow>) {
        let rows = self.all_rows();
        (rows.0.clone(), rows.1.clone())
    }

    fn resource<'a>(&'a self, id: &'a str) -> Later<'a, Option<Resource>> {
        Box::pin(self.one_resource(id))
    }

    fn version_of(&self, id: &str, version: u64) -> Option<(Version, Option<String>)> {
        self.kept().history.version(&resources::named(id)?, version)
    }

    fn changes(&self, since: f64, most: usize) -> Vec<Change> {
        self.kept().history.changes(since, most)
    }

    fn validate(&self, yaml: &str, all: bool) -> Validation {
        self.validated(yaml, all)
    }

    fn compare(&self, from: &str, to: &str) -> Vec<FieldChange> {
        history::compare(from, to)
    }

    fn write<'a>(&'a self, meant: Meant, who: &'a str, dry_run: bool) -> Later<'a, Result<Wrote, Refusal>> {
        Box::pin(self.written(meant, who, dry_run))
    }

    fn certificates(&self) -> Certificates {
        self.all_certificates()
    }

    fn policies(&self) -> Vec<Policy> {
        policies::all(&self.known().snapshot)
    }

    fn access(&self, to: &str) -> Vec<Grant> {
        policies::access(&self.known().snapshot, to)
    }

    fn audit(&self, who: &str, what: &str, refused: Option<&str>) {
        let entry = Entry::new(Event::DashboardUsed, who, what);
        self.needs.shown.audit.record(match refused {
            Some(reason) => entry.refused(reason),
            None => entry,
        });
    }

    fn changed(&self, seen: u64) -> Later<'_, u64> {
        Box::pin(async move {
            let (mut known, mut counted) = (self.needs.known.clone(), self.counted.subscribe());
            loop {
                let version = self.version();
                if version != seen {
                    return version;
                }
                // The senders live as long as the tasks that belong to them; without them nothing changes any more.
                let gone = tokio::select! {
                    changed = known.changed() => changed.is_err(),
                    changed = counted.changed() => changed.is_err(),
                };
                if gone {
                    std::future::pending::<()>().await;
                }
            }
        })
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
