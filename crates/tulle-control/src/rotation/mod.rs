//! Rotation of the root: what `tulle ca` asks for, step by step, each only when it cuts nobody off.
//!
//! What is asked for is a ConfigMap (`tulle-ca-request`) in the control plane's namespace, so that whoever may configure the mesh may
//! ask, wherever its resources are; what came of it is another one (`tulle-ca-status`). How far the rotation is stands beside the keys
//! (`tulle_ca::Authorities`): after a crash it goes on from there.

mod gate;
mod report;

pub(crate) use report::actor;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tulle_api::Object;
use tulle_api::kubernetes::ConfigMap;
use tulle_ca::{Authorities, IssuedBook, Phase, RotateError, fingerprint};
use tulle_store::Store;
use tulle_telemetry::audit::{AuditLog, Entry, Event};
use tulle_xds::server::Hub;

use crate::bindings::Accounts;
use crate::stop::Stop;
use crate::trust::Trusted;
use crate::types::Types;
use crate::world::Directory;
use gate::{Facts, Seen, Standing, State};

/// Name of the ConfigMap with what is asked for.
pub(crate) const REQUEST: &str = "tulle-ca-request";
/// Its key.
const REQUEST_KEY: &str = "request";
/// How often it is looked whether the next step can be taken.
const LOOK: Duration = Duration::from_millis(250);
/// How long nobody must stand in the way before the next step is taken: a proxy has answered, or been given a certificate, before all of
/// its threads go by it.
const SETTLE: Duration = Duration::from_secs(2);
/// Wait before what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What is asked for.
#[derive(Clone, Debug, Deserialize)]
struct Request {
    /// By which the answer is known.
    id: String,
    action: Action,
    /// Whether the next step is taken whoever it cuts off.
    #[serde(default)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    /// Begin a rotation, or go on with the one that is under way.
    Rotate,
    /// Go back to the old root.
    Abort,
    /// Say how everything stands.
    Status,
}

/// What came of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) error: Option<String>,
}

/// What the task needs.
pub(crate) struct Rotation {
    pub(crate) authorities: Arc<Authorities>,
    pub(crate) issued: Arc<IssuedBook>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) hub: Hub,
    pub(crate) types: Types,
    pub(crate) directory: Directory,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) audit: AuditLog,
    pub(crate) namespace: String,
    pub(crate) trust_domain: String,
    /// What is to be trusted, and which version of it proxies and namespaces are given.
    pub(crate) trusted: watch::Sender<Trusted>,
    pub(crate) pushed: watch::Receiver<u64>,
    pub(crate) published: watch::Receiver<u64>,
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) requests: mpsc::UnboundedReceiver<Arc<Object>>,
    pub(crate) stop: Stop,
}

/// Whether an object is a request.
pub(crate) fn concerns(object: &Object, namespace: &str) -> bool {
    object.kind() == tulle_api::Kind::ConfigMap
        && (&*object.meta.name, &*object.meta.namespace) == (REQUEST, namespace)
}

/// What is known of everybody at one moment, by name.
pub(crate) type Standings = BTreeMap<String, State>;

struct Going {
    answer: Answer,
    force: bool,
    actor: String,
    /// What was written last, without its time.
    told: Option<(Phase, Vec<String>, String)>,
    tell_again: bool,
    /// Since when the next step could be taken.
    clear: Option<Instant>,
}

impl Rotation {
    /// Runs until told to stop.
    pub(crate) async fn run(mut self) {
        let mut stop = self.stop.clone();
        tokio::select! {
            ready = self.ready.wait_for(|ready| *ready) => if ready.is_err() { return },
            () = stop.said() => return,
        }
        let answer = Answer { id: report::last_answered(&*self.store, &self.namespace).await, error: None };
        let mut going =
            Going { answer, force: false, actor: String::new(), told: None, tell_again: false, clear: None };
        loop {
            let active = self.authorities.current().phase != Phase::Steady;
            if active {
                self.look(&mut going).await;
            }
            let wait = if going.tell_again { RETRY } else { LOOK };
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(object) => self.hear(&object, &mut going).await,
                    None => return,
                },
                () = tokio::time::sleep(wait), if active || going.tell_again => {
                    if going.tell_again {
                        self.tell(&mut going).await;
                    }
                }
                () = stop.said() => return,
            }
        }
    }

    async fn hear(&mut self, object: &Object, going: &mut Going) {
        let text = object.get::<ConfigMap>().and_then(|map| map.data.get(REQUEST_KEY)).cloned();
        let request = text.as_deref().map(serde_json::from_str::<Request>);
        let request = match request {
            Some(Ok(request)) if request.id != going.answer.id => request,
            Some(Err(error)) => return tracing::warn!(%error, "a request to the CA cannot be read"),
            Some(Ok(_)) | None => return,
        };
        let actor = actor(object);
        let before = self.authorities.current().phase;
        let now = SystemTime::now();
        let done = match request.action {
            Action::Status => Ok(()),
            Action::Rotate => match self.authorities.begin(now) {
                // It goes on.
                Err(RotateError::UnderWay(_)) => Ok(()),
                begun => begun,
            },
            Action::Abort => self.authorities.abort(now).map(drop),
        };
        let error = done.err().map(|e| e.to_string());
        if request.action != Action::Status {
            (going.force, going.actor) = (request.force && error.is_none(), actor);
            self.note(going, before, error.as_deref(), &[]);
            self.change();
        }
        going.answer = Answer { id: request.id, error };
        self.tell(going).await;
    }

    /// Takes the next step, if it cuts nobody off or is asked for all the same.
    async fn look(&mut self, going: &mut Going) {
        let standings = self.standings().await;
        let blockers = blockers(&standings);
        let version = self.trusted.borrow().version;
        let spread = *self.pushed.borrow() >= version && *self.published.borrow() >= version;
        let before = self.authorities.current().phase;
        let clear = spread && (blockers.is_empty() || going.force);
        going.clear = if clear { going.clear.or_else(|| Some(Instant::now())) } else { None };
        if going.clear.is_some_and(|since| since.elapsed() >= SETTLE) {
            going.clear = None;
            let passed: Vec<String> = if going.force { blockers.clone() } else { Vec::new() };
            match self.authorities.advance(SystemTime::now()) {
                Ok(phase) => {
                    going.force = false;
                    tracing::info!(
                        from = before.as_str(),
                        to = phase.as_str(),
                        passed_over = passed.len(),
                        "the rotation of the root goes on"
                    );
                    self.note(going, before, None, &passed);
                    self.change();
                }
                Err(error) => {
                    tracing::error!(%error, "the rotation of the root does not go on");
                    going.answer.error = Some(error.to_string());
                }
            }
        }
        let phase = self.authorities.current().phase;
        let now = (phase, blockers, going.answer.id.clone());
        if going.told.as_ref() != Some(&now) {
            self.tell(going).await;
        }
    }

    /// Tells everybody who has to know that something else signs or is to be trusted.
    fn change(&self) {
        let in_force = self.authorities.current();
        self.trusted.send_modify(|t| *t = Trusted::of(t.version + 1, &in_force));
    }

    fn note(&self, going: &Going, before: Phase, error: Option<&str>, passed: &[String]) {
        let now = self.authorities.current();
        let root = now.signing.roots().first().map(fingerprint).unwrap_or_default();
        let mut entry = Entry::new(Event::RootRotation, going.actor.as_str(), root)
            .with("from", before.as_str())
            .with("to", now.phase.as_str());
        if now.aborting {
            entry = entry.with("aborting", true);
        }
        if !passed.is_empty() {
            entry = entry.with("passedOver", passed.to_vec());
        }
        self.audit.record(match error {
            Some(error) => entry.refused(error),
            None => entry,
        });
    }

    async fn tell(&self, going: &mut Going) {
        let standings = self.standings().await;
        let phase = self.authorities.current().phase;
        let told = (phase, blockers(&standings), going.answer.id.clone());
        let report = report::Report { rotation: self, standings: &standings, answer: &going.answer };
        match report.write().await {
            Ok(()) => (going.told, going.tell_again) = (Some(told), false),
            Err(error) => {
                tracing::warn!(%error, "the status of the CA was not written; trying again");
                going.tell_again = true;
            }
        }
    }

    /// How everybody stands.
    async fn standings(&self) -> Standings {
        // Only what the hub was told before can be seen in its answer.
        let streams = self.hub.snapshot().await;
        let in_force = self.authorities.current();
        let signing = in_force.signing.roots().first().map(fingerprint);
        let streams = {
            let directory = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
            let seen = streams.iter().filter_map(|stream| {
                let proxy = &directory.get(&stream.stream)?.proxy;
                let standing = stream.types.iter().find(|t| t.kind == self.types.trust).map(|t| {
                    match (t.refused.is_empty(), t.settled) {
                        (false, _) => Standing::Refused,
                        (true, true) => Standing::Acknowledged,
                        (true, false) => Standing::Waiting,
                    }
                });
                Some(Seen {
                    pod: (proxy.pod.namespace.clone(), proxy.pod.name.clone()),
                    service_account: proxy.service_account.to_string(),
                    ours: !proxy.stock_envoy,
                    standing,
                })
            });
            seen.collect()
        };
        let held = self.issued.held(SystemTime::now());
        let facts = Facts {
            streams,
            proxies: self.accounts.proxies(),
            held: held.into_iter().filter(|h| self.accounts.may_hold(h)).collect(),
            signing: signing.as_deref().filter(|_| in_force.phase != Phase::Distributing),
        };
        gate::judge(&facts)
    }
}

/// Who would be cut off, and why.
fn blockers(standings: &Standings) -> Vec<String> {
    let mut all = Vec::new();
    for (name, state) in standings {
        match state {
            State::InStep | State::Elsewhere => {}
            State::Behind(reason) => all.push(format!("{name}: {reason}")),
            State::OldCertificate(until) => {
                all.push(format!(
                    "{name}: its certificate is of another root, until {}",
                    report::time(*until)
                ));
            }
        }
    }
    all
}
