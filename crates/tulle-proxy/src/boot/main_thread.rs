//! What the tasks of the main thread share.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;
use tulle_base::agent::AppProbe;
use tulle_base::drain::DrainState;
use tulle_engine::runtime::Cluster;
use tulle_identity::rotate::RotationStatus;
use tulle_identity::{Certificate, Secrets, Trust, Watched};
use tulle_telemetry::audit::AuditLog;
use tulle_telemetry::metrics::{Extra, ExtraKind, Snapshot};
use tulle_xds::ResourceError;

use super::book::{Book, Outcome};
use super::resolve::Resolver;
use super::run::Hooks;
use crate::admin::Shown;
use crate::dns::NameServer;
use crate::worker::{Fleet, Remote, Vitals};

/// The state of the main thread. Its tasks run one at a time, so nothing here is locked.
pub(crate) struct Main {
    /// The workers, for questions.
    pub(crate) remote: Remote,
    /// Certificates and roots by name.
    pub(crate) secrets: Secrets,
    /// What the workload trusts; none without an identity of the mesh.
    pub(crate) trust: RefCell<Option<Trust>>,
    /// The certificate that other processes are given, once one has asked.
    pub(crate) given: RefCell<Option<Watched<Certificate>>>,
    /// Security events.
    pub(crate) audit: AuditLog,
    /// How the workload's certificate stands.
    pub(crate) rotation: Option<Watched<RotationStatus>>,
    /// When the process began.
    pub(crate) started: Instant,
    /// Number of workers.
    pub(crate) workers: usize,
    /// Who we are.
    pub(crate) node_name: Arc<str>,
    /// Name of the pod.
    pub(crate) pod: Arc<str>,
    /// The pod's label `app`; empty without.
    pub(crate) app: Arc<str>,
    /// Whether statistics are limited to those that Istio shows.
    pub(crate) istio_stats: bool,
    /// Statistics that are shown besides.
    pub(crate) shown: Option<Shown>,
    /// Whether the application's metrics are served beside our own.
    pub(crate) merge_metrics: bool,
    /// What workers counted in series that others still count in.
    pub(crate) retired: RefCell<Snapshot>,
    /// The pod's annotations.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Probes of the application.
    pub(crate) app_probes: BTreeMap<String, AppProbe>,
    /// The pod's address.
    pub(crate) pod_ip: Option<IpAddr>,
    /// The cluster that the pod belongs to.
    pub(crate) cluster_id: String,
    /// Mark of our sockets.
    pub(crate) mark: Option<u32>,
    /// The encoded bootstrap, for dumps.
    pub(crate) bootstrap: Bytes,
    /// What is in force.
    pub(crate) book: RefCell<Book>,
    /// The workers, for changes.
    pub(crate) fleet: RefCell<Fleet>,
    /// The pod's DNS.
    pub(crate) dns: Option<Rc<NameServer>>,
    /// Tasks that resolve clusters' names.
    pub(crate) resolvers: RefCell<HashMap<Arc<str>, Resolver>>,
    /// What was counted.
    pub(crate) counts: Counts,
    /// Whether a dump is being made.
    pub(crate) dumping: Cell<bool>,
    pub(super) progress: Progress,
    pub(super) stop: Notify,
    pub(super) changed: Cell<bool>,
    hooks: Hooks,
    drain: Cell<DrainState>,
    vitals: Cell<Vitals>,
}

impl std::fmt::Debug for Main {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Main").field("node", &self.node_name).finish_non_exhaustive()
    }
}

/// Counters of the main thread.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Responses taken in whole, by short type (`cds`).
    pub(crate) accepted: RefCell<BTreeMap<&'static str, u64>>,
    /// Responses with refused resources.
    pub(crate) rejected: RefCell<BTreeMap<&'static str, u64>>,
    /// Whether the control plane is connected.
    pub(crate) connected: Cell<bool>,
    /// Connections to it that failed or ended.
    pub(crate) disconnects: Cell<u64>,
    scrapes: Cell<u64>,
    scrape_failures: Cell<u64>,
}

/// How far the start has come. `None`: not needed.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The first listeners came.
    pub(super) listeners: Cell<Option<bool>>,
    /// The first clusters came.
    pub(super) clusters: Cell<Option<bool>>,
    /// The first certificate came.
    pub(super) identity: Cell<Option<bool>>,
    /// Everything was there once and workers had it; how long it took.
    pub(super) ready_after: Cell<Option<Duration>>,
}

/// What [`Main::new`] is given.
pub(super) struct Parts {
    pub(super) plan: super::Plan,
    pub(super) book: Book,
    pub(super) fleet: Fleet,
    pub(super) dns: Option<Rc<NameServer>>,
    pub(super) rotation: Option<Watched<RotationStatus>>,
    pub(super) audit: AuditLog,
    pub(super) hooks: Hooks,
    pub(super) started: Instant,
}

impl Main {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { plan, book, fleet, dns, rotation, audit, hooks, started } = parts;
        Self {
            remote: fleet.remote(),
            secrets: plan.secrets,
            trust: RefCell::default(),
            given: RefCell::default(),
            audit,
            rotation,
            started,
            workers: fleet.len(),
            node_name: super::agent::describe(&plan.node),
            pod: plan.node.pod.as_str().into(),
            app: plan.node.labels.get("app").map_or("", String::as_str).into(),
            istio_stats: plan.istio_stats,
            shown: Shown::new(plan.stats),
            merge_metrics: plan.merge_metrics,
            retired: RefCell::default(),
            pod_ip: plan.node.ip.parse().ok(),
            cluster_id: plan.node.cluster_id,
            annotations: plan.node.annotations,
            app_probes: plan.app_probes,
            mark: plan.mark,
            bootstrap: plan.bootstrap,
            book: RefCell::new(book),
            fleet: RefCell::new(fleet),
            dns,
            resolvers: RefCell::default(),
            counts: Counts::default(),
            dumping: Cell::new(false),
            progress: Progress::default(),
            stop: Notify::new(),
            changed: Cell::new(false),
            hooks,
            drain: Cell::new(DrainState::Serving),
            vitals: Cell::default(),
        }
    }

    /// Tells the workers what changed; the listeners whose sockets could not be opened come back.
    pub(super) fn put_in_force(&self, outcome: &mut Outcome) -> Vec<ResourceError> {
        let changes = std::mem::take(&mut outcome.changes);
        if changes.is_empty() {
            return Vec::new();
        }
        self.changed.set(true);
        match self.fleet.borrow_mut().apply(changes) {
            Ok(()) => Vec::new(),
            Err(errors) => errors
                .into_iter()
                .map(|e| {
                    tracing::error!(listener = %e.listener, error = %e, "socket not opened");
                    ResourceError::new(&*e.listener, e.to_string())
                })
                .collect(),
        }
    }

    /// Asks for an orderly end.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.notify_one();
    }

    /// Moves all workers on in their shutdown.
    pub(crate) fn drain(&self, state: DrainState) {
        if state > self.drain.get() {
            self.drain.set(state);
            self.remote.drain(state);
        }
    }

    /// How far the shutdown is.
    pub(crate) fn drain_state(&self) -> DrainState {
        self.drain.get()
    }

    /// Whether everything that is needed was there once.
    pub(crate) fn is_ready(&self) -> bool {
        self.progress.ready_after.get().is_some()
    }

    /// How long it took to become ready.
    pub(crate) fn startup_seconds(&self) -> Option<f64> {
        self.progress.ready_after.get().map(|d| d.as_secs_f64())
    }

    /// Whether all parts of the start are done, as far as the main thread sees.
    pub(super) fn start_complete(&self) -> bool {
        let Progress { listeners, clusters, identity, ready_after: _ } = &self.progress;
        [listeners, clusters, identity].iter().all(|part| part.get() != Some(false))
            && !self.book.borrow().is_warming()
    }

    /// Changes what is logged.
    pub(crate) fn set_log_levels(
        &self,
        levels: &str,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        (self.hooks.set_log_levels)(levels)
    }

    /// What is logged now.
    pub(crate) fn log_levels(&self) -> String {
        (self.hooks.log_levels)()
    }

    /// The program that renders dumps, if not this process itself.
    pub(crate) fn dump_command(&self) -> Option<Vec<std::ffi::OsString>> {
        self.hooks.dump_command.clone()
    }

    /// Says that the proxy is ready, once.
    pub(super) fn tell_ready(&self) {
        (self.hooks.on_ready)();
    }

    /// The clusters in force.
    pub(crate) fn clusters(&self) -> Vec<Arc<Cluster>> {
        self.book.borrow().clusters.iter().map(|(_, held)| Arc::clone(&held.compiled)).collect()
    }

    /// Listeners with the address that each is bound to, or would be.
    pub(crate) fn listener_addresses(&self) -> Vec<(String, String)> {
        let (book, fleet) = (self.book.borrow(), self.fleet.borrow());
        book.listeners
            .iter()
            .filter_map(|(name, held)| {
                let bound = fleet.address_of(name).map(|a| a.to_string());
                let address =
                    bound.or_else(|| held.compiled.addresses.first().map(|l| l.address.to_string()))?;
                Some((name.to_string(), address))
            })
            .collect()
    }

    /// The names that the pod's DNS knows.
    pub(crate) fn dns_names(&self) -> Option<Vec<(String, Vec<String>)>> {
        self.dns.as_ref().map(|dns| dns.names())
    }

    /// What the pod's DNS has counted.
    pub(crate) fn dns_stats(&self) -> Vec<Extra> {
        self.dns.as_ref().map(|dns| dns.stats()).unwrap_or_default()
    }

    /// Counts a scrape of merged metrics.
    pub(crate) fn count_scrape(&self, failed: bool) {
        self.counts.scrapes.set(self.counts.scrapes.get() + 1);
        self.counts.scrape_failures.set(self.counts.scrape_failures.get() + u64::from(failed));
    }

    /// Scrapes of merged metrics.
    pub(crate) fn scrapes(&self) -> u64 {
        self.counts.scrapes.get()
    }

    /// Scrapes in which the application's part was missing.
    pub(crate) fn scrape_failures(&self) -> u64 {
        self.counts.scrape_failures.get()
    }

    /// Keeps the workers' gauges for [`Main::own_stats`].
    pub(crate) fn remember_vitals(&self, vitals: Vitals) {
        self.vitals.set(vitals);
    }

    /// Statistics of the main thread, in Envoy's names.
    #[allow(clippy::cast_precision_loss, reason = "counters stay far below 2^53")]
    pub(crate) fn own_stats(&self) -> Vec<Extra> {
        let gauge = |name: &str, value: f64| Extra::envoy(name, ExtraKind::Gauge, value);
        let control = |stat: &str, kind, value| Extra::of_cluster("xds-grpc", stat, kind, value);
        let book = self.book.borrow();
        let mut all = vec![
            gauge("server.live", f64::from(u8::from(self.drain.get() == DrainState::Serving))),
            gauge("server.state", f64::from(self.state_number())),
            gauge("server.uptime", self.started.elapsed().as_secs() as f64),
            gauge("server.concurrency", self.workers as f64),
            gauge("server.total_connections", self.vitals.get().downstream_connections as f64),
            gauge("listener_manager.total_listeners_active", book.listeners.len() as f64),
            gauge("listener_manager.total_listeners_warming", book.listeners.warming().count() as f64),
            gauge("cluster_manager.active_clusters", book.clusters.len() as f64),
            gauge("cluster_manager.warming_clusters", book.clusters.warming().count() as f64),
            gauge("control_plane.connected_state", f64::from(u8::from(self.counts.connected.get()))),
            control("upstream_cx_active", ExtraKind::Gauge, f64::from(u8::from(self.counts.connected.get()))),
            control("upstream_cx_destroy", ExtraKind::Counter, self.counts.disconnects.get() as f64),
        ];
        for (counts, what) in
            [(&self.counts.accepted, "update_success"), (&self.counts.rejected, "update_rejected")]
        {
            for (kind, count) in counts.borrow().iter() {
                let manager = if *kind == "lds" { "listener_manager" } else { "cluster_manager" };
                let name = format!("{manager}.{kind}.{what}");
                all.push(Extra::envoy(name, ExtraKind::Counter, *count as f64));
            }
        }
        all
    }

    /// Envoy's numbers: 0 live, 1 draining, 2 not initialized.
    fn state_number(&self) -> u8 {
        match (self.drain.get(), self.is_ready()) {
            (DrainState::Serving, true) => 0,
            (DrainState::Serving, false) => 2,
            _ => 1,
        }
    }
}
