//! The main thread at work: what wakes it, and what it does then.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tulle_base::readiness::ReadinessProbe;
use tulle_identity::{Certificate, Watched};
use tulle_xds::client::{Connector, Event, Events};

use super::health::{self, Verdict};
use super::main_thread::Main;
use super::plan::{XdsPlan, XdsServer};
use super::resolve::{self, Resolved};
use super::saved;
use super::signals::StopSignals;
use super::upload;
use super::xds::{self, Link};
use tulle_identity::secrets::OWN_CERTIFICATE;

/// How long after a change the last good configuration is written.
const SAVE_AFTER: Duration = Duration::from_secs(1);
/// How often the main thread looks at what waits.
const TICK: Duration = Duration::from_millis(200);

/// What the loop of the main thread holds on to.
pub(super) struct Loop {
    pub(super) main: Rc<Main>,
    pub(super) own: Watched<Certificate>,
    pub(super) link: Option<Link>,
    pub(super) events: Option<Events>,
    pub(super) pending: Option<Pending>,
    pub(super) resolved: mpsc::Sender<Resolved>,
    pub(super) results: mpsc::Receiver<Resolved>,
    /// How the application is asked whether it is well; from when the control plane can be told.
    pub(super) probe: Option<ReadinessProbe>,
    pub(super) verdicts: Option<mpsc::Receiver<Verdict>>,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) save_at: Option<Instant>,
}

/// A connection to the control plane that has not begun.
pub(super) struct Pending {
    pub(super) plan: XdsPlan,
    pub(super) connector: Connector,
    pub(super) node: bytes::Bytes,
    pub(super) remembered: Vec<saved::Saved>,
}

/// What woke the loop.
enum Wake {
    Stop,
    Identity,
    Xds(Option<Event>),
    Resolved(Option<Resolved>),
    Health(Verdict),
    Tick,
}

impl Loop {
    pub(super) async fn until_stopped(&mut self, signals: &mut StopSignals) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // Only while something waits: an idle proxy sleeps.
            let (look, wait) = (self.has_to_look(), self.waits_for_identity());
            let wake = tokio::select! {
                () = signals.next() => Wake::Stop,
                () = self.main.stop.notified() => Wake::Stop,
                _ = self.own.changed_since(0), if wait => Wake::Identity,
                event = next_event(&mut self.events) => Wake::Xds(event),
                resolved = self.results.recv() => Wake::Resolved(resolved),
                verdict = next_verdict(&mut self.verdicts) => Wake::Health(verdict),
                _ = tick.tick(), if look => Wake::Tick,
            };
            match wake {
                Wake::Stop | Wake::Xds(None) => return,
                Wake::Identity => self.connect(),
                Wake::Xds(Some(event)) => {
                    if let Some(link) = &self.link {
                        link.handle(&self.main, event).await;
                    }
                    self.start_all_resolvers();
                    self.look_ready().await;
                }
                Wake::Resolved(Some(Resolved { cluster, endpoints })) => {
                    let outcome = self.main.book.borrow_mut().resolved(&cluster, endpoints);
                    xds::finish(&self.main, outcome);
                    self.look_ready().await;
                }
                Wake::Resolved(None) => {}
                Wake::Health(verdict) => {
                    if let Some(link) = &self.link {
                        link.tell_health(verdict);
                    }
                }
                Wake::Tick => {
                    let late = self.main.book.borrow_mut().expire_warming(Instant::now());
                    xds::finish(&self.main, late);
                    self.look_ready().await;
                    self.save_if_due();
                }
            }
        }
    }

    /// Whether the control plane is not asked yet because it would not know us: it knows us by our certificate.
    pub(super) fn waits_for_identity(&self) -> bool {
        self.pending.as_ref().is_some_and(|p| matches!(p.plan.server, XdsServer::Mesh(_)))
            && self.main.progress.identity.get().is_some()
    }

    pub(super) fn connect(&mut self) {
        let Some(Pending { plan, connector, node, remembered }) = self.pending.take() else { return };
        let (link, events) = xds::start(&plan, node, connector, &remembered);
        link.subscribe_needs(&self.main);
        if matches!(plan.server, XdsServer::Mesh(_)) {
            upload::start(&self.main, link.connection());
        }
        self.link = Some(link);
        self.events = Some(events);
        if let Some(probe) = self.probe.take() {
            let (tell, verdicts) = mpsc::channel(1);
            tokio::task::spawn_local(health::keep_asking(probe, self.main.mark, tell));
            self.verdicts = Some(verdicts);
        }
    }

    fn has_to_look(&self) -> bool {
        !self.main.is_ready()
            || self.main.changed.get()
            || self.save_at.is_some()
            || self.main.book.borrow().is_warming()
    }

    /// Starts resolving clusters that have names and are not resolved yet.
    pub(super) fn start_all_resolvers(&self) {
        let missing: Vec<_> = {
            let (book, resolvers) = (self.main.book.borrow(), self.main.resolvers.borrow());
            let all = book.clusters.iter().chain(book.clusters.warming());
            all.map(|(name, _)| Arc::clone(name)).filter(|name| !resolvers.contains_key(name)).collect()
        };
        start_resolvers(&self.main, &missing, &self.resolved);
    }

    /// Says that the proxy is ready once everything is there and every worker has it.
    async fn look_ready(&self) {
        if let (Some(false), Some(_)) =
            (self.main.progress.identity.get(), self.main.secrets.certificate(OWN_CERTIFICATE).get())
        {
            self.main.progress.identity.set(Some(true));
        }
        if self.main.is_ready() || !self.main.start_complete() {
            return;
        }
        // A worker answers once it has applied what it was told before.
        self.main.remember_vitals(self.main.remote.vitals().await);
        let took = self.main.started.elapsed();
        self.main.progress.ready_after.set(Some(took));
        tracing::info!(milliseconds = took.as_millis(), "ready");
        self.main.tell_ready();
    }

    fn save_if_due(&mut self) {
        let Some(dir) = self.state_dir.clone().filter(|_| self.link.is_some()) else {
            self.main.changed.set(false);
            return;
        };
        if self.main.changed.replace(false) {
            self.save_at.get_or_insert(Instant::now() + SAVE_AFTER);
        }
        if self.save_at.is_some_and(|at| at <= Instant::now()) {
            self.save_at = None;
            let resources = xds::to_save(&self.main);
            tokio::task::spawn_blocking(move || {
                if let Err(error) = saved::save(&dir, &resources) {
                    tracing::warn!(%error, "last good configuration not written");
                }
            });
        }
    }
}

/// Without a client, never.
async fn next_event(events: &mut Option<Events>) -> Option<Event> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

/// Without a probe, never.
async fn next_verdict(verdicts: &mut Option<mpsc::Receiver<Verdict>>) -> Verdict {
    let next = match verdicts {
        Some(verdicts) => verdicts.recv().await,
        None => None,
    };
    match next {
        Some(verdict) => verdict,
        None => std::future::pending().await,
    }
}

pub(super) fn start_resolvers(main: &Main, names: &[Arc<str>], results: &mpsc::Sender<Resolved>) {
    for name in names {
        let cluster = {
            let book = main.book.borrow();
            let mut all = book.clusters.warming().chain(book.clusters.iter());
            all.find(|(n, _)| *n == name).map(|(_, held)| Arc::clone(&held.compiled))
        };
        if let Some(resolver) = cluster.and_then(|c| resolve::start(&c, results.clone())) {
            main.resolvers.borrow_mut().insert(Arc::clone(name), resolver);
        }
    }
}
