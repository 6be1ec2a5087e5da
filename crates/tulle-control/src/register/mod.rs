//! Workloads outside of the cluster register themselves: a proxy that names a WorkloadGroup (`AUTO_REGISTER_GROUP` in its node's
//! metadata) gets a WorkloadEntry when it connects, which stays through reconnects and goes a while after it is gone. What it
//! says of its workload's health is in the entry's status.

mod entry;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tulle_api::Object;
use tulle_api::value::Timestamp;
use tulle_base::ResourceRef;
use tulle_store::{Precondition, Store, StoreError};
use tulle_xds::server::StreamId;

use crate::metrics::{Metric, Metrics};
use crate::stop::Stop;
pub(crate) use entry::{Refused, of, wanted};

/// What proxies report their workload's health as (Istio's).
pub(crate) const HEALTH: &str = "type.googleapis.com/istio.v1.HealthInformation";

/// How long an entry stays when its workload is gone (Istio's `PILOT_WORKLOAD_ENTRY_GRACE_PERIOD`).
const GRACE: Duration = Duration::from_secs(10);
/// How long workloads have to come back after this control plane has started.
const RETURN: Duration = Duration::from_secs(60);
/// Wait before what failed is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Longest text of a health report that is kept.
const MAX_MESSAGE: usize = 1024;

/// What the task is told.
#[derive(Debug)]
pub(crate) enum Told {
    /// Everything in the store is known: entries of an earlier life are looked at.
    Begin(Vec<Arc<Object>>),
    /// A workload is there, with what is to be written down of it.
    Came(StreamId, Box<Object>),
    /// A stream has ended.
    Left(StreamId),
    /// A workload is well, or what is wrong with it.
    Health(StreamId, Option<String>),
}

/// Writes entries into the store, until told to stop.
pub(crate) async fn keep(
    store: Arc<dyn Store>,
    controller: String,
    metrics: Arc<Metrics>,
    mut told: mpsc::UnboundedReceiver<Told>,
    mut stop: Stop,
) {
    let mut book = Book { controller, streams: HashMap::new(), entries: HashMap::new() };
    loop {
        let due = book.next_due();
        let wait = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            next = told.recv() => match next {
                Some(next) => book.hear(next, Instant::now()),
                None => return,
            },
            () = wait => {}
            () = stop.said() => return,
        }
        for (resource, work) in book.due(Instant::now()) {
            let done = match &work {
                Work::Write(object) => write(&*store, object, &book.controller).await,
                Work::Health(status) => health(&*store, &resource, status).await.map(|()| None),
                Work::Leave => leave(&*store, &resource, &book.controller).await,
                Work::Remove => remove(&*store, &resource, &book.controller).await,
            };
            match done {
                Ok(done) => done.into_iter().for_each(|metric| metrics.add(metric, &[], 1.0)),
                Err(error) => {
                    metrics.add(Metric::RegistrationErrors, &[], 1.0);
                    tracing::warn!(%resource, %error, "cannot write down a registered workload; trying again");
                    book.again(&resource, work, Instant::now() + RETRY);
                }
            }
        }
    }
}

/// Something to do in the store.
#[derive(Debug)]
enum Work {
    /// The workload is there.
    Write(Box<Object>),
    /// Its health is another: the condition.
    Health(Value),
    /// It is gone, for now.
    Leave,
    /// It stayed away.
    Remove,
}

/// One entry.
#[derive(Default)]
struct Entry {
    /// Streams of its workload: a new one may be there before the old one has ended.
    streams: Vec<StreamId>,
    /// What is to be done, in its order, and not before.
    work: Vec<(Instant, Work)>,
}

/// Who is there, and what is to be done.
struct Book {
    controller: String,
    streams: HashMap<StreamId, ResourceRef>,
    entries: HashMap<ResourceRef, Entry>,
}

impl Book {
    fn hear(&mut self, told: Told, now: Instant) {
        match told {
            Told::Begin(entries) => {
                let own: Vec<ResourceRef> =
                    entries.iter().filter(|e| self.is_own(e)).map(|e| e.resource()).collect();
                for resource in own {
                    let known = self.entries.entry(resource).or_default();
                    if known.streams.is_empty() {
                        known.work.push((now + RETURN, Work::Remove));
                    }
                }
            }
            Told::Came(stream, object) => {
                let resource = object.resource();
                self.streams.insert(stream, resource.clone());
                let entry = self.entries.entry(resource).or_default();
                entry.streams.push(stream);
                entry.work.retain(|(_, w)| !matches!(w, Work::Leave | Work::Remove | Work::Write(_)));
                entry.work.insert(0, (now, Work::Write(object)));
            }
            Told::Left(stream) => {
                let Some(resource) = self.streams.remove(&stream) else { return };
                let Some(entry) = self.entries.get_mut(&resource) else { return };
                entry.streams.retain(|s| *s != stream);
                if entry.streams.is_empty() {
                    entry.work.push((now, Work::Leave));
                    entry.work.push((now + GRACE, Work::Remove));
                }
            }
            Told::Health(stream, problem) => {
                let Some(entry) = self.streams.get(&stream).and_then(|r| self.entries.get_mut(r)) else {
                    return;
                };
                entry.work.retain(|(_, w)| !matches!(w, Work::Health(_)));
                entry.work.push((now, Work::Health(condition(problem.as_deref()))));
            }
        }
    }

    /// Whether an entry was made by this control plane in an earlier life.
    fn is_own(&self, entry: &Object) -> bool {
        let annotations = &entry.meta.annotations;
        annotations.contains_key(entry::GROUP) && annotations.get(entry::CONTROLLER) == Some(&self.controller)
    }

    fn next_due(&self) -> Option<Instant> {
        self.entries.values().filter_map(|e| e.work.first().map(|(at, _)| *at)).min()
    }

    /// What is to be done now. Entries about which nothing is left are forgotten.
    fn due(&mut self, now: Instant) -> Vec<(ResourceRef, Work)> {
        let mut out = Vec::new();
        for (resource, entry) in &mut self.entries {
            while entry.work.first().is_some_and(|(at, _)| *at <= now) {
                out.push((resource.clone(), entry.work.remove(0).1));
            }
        }
        self.entries.retain(|_, e| !e.streams.is_empty() || !e.work.is_empty());
        out
    }

    /// What failed comes first again, unless it is out of date.
    fn again(&mut self, resource: &ResourceRef, work: Work, at: Instant) {
        let entry = self.entries.entry(resource.clone()).or_default();
        let replaced = match work {
            Work::Write(_) => entry.work.iter().any(|(_, w)| matches!(w, Work::Write(_))),
            Work::Health(_) => entry.work.iter().any(|(_, w)| matches!(w, Work::Health(_))),
            Work::Leave | Work::Remove => !entry.streams.is_empty(),
        };
        if !replaced {
            entry.work.insert(0, (at, work));
        }
    }
}

/// The condition that `tulle-mesh` reads.
fn condition(problem: Option<&str>) -> Value {
    let mut message = problem.unwrap_or_default().to_owned();
    let mut end = message.len().min(MAX_MESSAGE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    let status = if problem.is_none() { "True" } else { "False" };
    json!({"type": "Healthy", "status": status, "message": message})
}

fn now_text() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    let seconds = since.map(|s| i64::try_from(s.as_secs()).unwrap_or(i64::MAX)).unwrap_or_default();
    Timestamp::from_unix(seconds).to_string()
}

/// What is counted of something that was done.
type Done = Result<Option<Metric>, StoreError>;

/// Creates an entry, or brings the one that is there up to date. One that somebody wrote by hand stays as it is.
async fn write(store: &dyn Store, object: &Object, controller: &str) -> Done {
    let mut object = object.clone();
    object.meta.annotations.insert(entry::CONTROLLER.to_owned(), controller.to_owned());
    object.meta.annotations.insert(entry::CONNECTED.to_owned(), now_text());
    object.meta.resource_version = "0".to_owned();
    if let Some(there) = store.get(&object.resource()).await? {
        if !there.meta.annotations.contains_key(entry::GROUP) {
            tracing::warn!(resource = %object.resource(), "is there already and was not registered; it stays as it is");
            return Ok(None);
        }
        object.meta.resource_version.clone_from(&there.meta.resource_version);
        store.put(object).await?;
        return Ok(Some(Metric::RegisteredAgain));
    }
    store.put(object).await?;
    Ok(Some(Metric::Registered))
}

/// Writes the health into the status, beside what else is there.
async fn health(store: &dyn Store, resource: &ResourceRef, condition: &Value) -> Result<(), StoreError> {
    let Some(there) = store.get(resource).await? else { return Ok(()) };
    let mut status = there.status.clone().unwrap_or_else(|| json!({}));
    let mut condition = condition.clone();
    let mut others = match status.get_mut("conditions").map(Value::take) {
        Some(Value::Array(all)) => all,
        _ => Vec::new(),
    };
    let before = others.iter().position(|c| c["type"] == "Healthy").map(|i| others.remove(i));
    let same = before.filter(|b| b["status"] == condition["status"]);
    let since = same.and_then(|b| b["lastTransitionTime"].as_str().map(str::to_owned));
    condition["lastTransitionTime"] = since.unwrap_or_else(now_text).into();
    others.push(condition);
    status["conditions"] = Value::Array(others);
    let only_if =
        Precondition { version: there.meta.resource_version.parse().ok(), ..Precondition::default() };
    match store.put_status_if(resource, status, only_if).await {
        Ok(_) | Err(StoreError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Notes that the workload is gone.
async fn leave(store: &dyn Store, resource: &ResourceRef, controller: &str) -> Done {
    let Some(there) = own(store, resource, controller).await? else { return Ok(None) };
    let mut object = Object::clone(&there);
    object.meta.annotations.insert(entry::DISCONNECTED.to_owned(), now_text());
    store.put(object).await?;
    Ok(Some(Metric::Unregistered))
}

/// Removes the entry of a workload that stayed away.
async fn remove(store: &dyn Store, resource: &ResourceRef, controller: &str) -> Done {
    let Some(there) = own(store, resource, controller).await? else { return Ok(None) };
    tracing::info!(%resource, "the workload is gone; its entry is removed");
    let only_if =
        Precondition { version: there.meta.resource_version.parse().ok(), ..Precondition::default() };
    store.delete_if(resource, only_if).await?;
    Ok(Some(Metric::RegistrationsRemoved))
}

/// The entry, unless its workload is connected to another control plane by now.
async fn own(
    store: &dyn Store,
    resource: &ResourceRef,
    controller: &str,
) -> Result<Option<Arc<Object>>, StoreError> {
    let there = store.get(resource).await?;
    let by_us = |o: &Arc<Object>| o.meta.annotations.get(entry::CONTROLLER).is_some_and(|c| c == controller);
    Ok(there.filter(by_us))
}
