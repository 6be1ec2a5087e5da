//! What happened lately, for watches.
//!
//! One task follows the store and keeps every object as it is now and the last changes, each with what was there before it: a
//! watch with a selector must know whether an object came into view, changed in view, or went out of view. Watches are cursors
//! into that log, so a slow one costs nothing and is told that it is too late.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tulle_api::{Kind, Object};
use tulle_base::ResourceRef;
use tulle_base::backoff::Backoff;
use tulle_store::{Change, Event, Filter, Store, StoreError, Version};

/// Changes that are kept for watches.
const LOG: usize = 8192;

/// One change.
#[derive(Clone, Debug)]
pub(crate) struct Happened {
    /// Version of the store after it.
    pub version: Version,
    /// The object: as it is now, or its last state if it is gone.
    pub object: Arc<Object>,
    /// What was there before.
    pub previous: Option<Arc<Object>>,
    /// Whether it is gone.
    pub gone: bool,
}

/// Keeps the log; its task ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Hub {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    head: watch::Sender<Version>,
    log_limit: usize,
}

#[derive(Debug, Default)]
struct State {
    objects: HashMap<ResourceRef, Arc<Object>>,
    log: VecDeque<Happened>,
    /// Changes after this version are in the log.
    oldest: Version,
    /// The newest version that is known of.
    version: Version,
}

/// Changes after the one that was asked for are not known any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooOld {
    /// What was asked for.
    pub from: Version,
    /// The oldest version that can be asked for.
    pub oldest: Version,
}

impl Hub {
    /// Begins to follow `store`; within a tokio runtime.
    pub(crate) fn start(store: Arc<dyn Store>) -> Self {
        Self::with_log(store, LOG)
    }

    /// As [`Hub::start`], with room for `log_limit` changes.
    pub(crate) fn with_log(store: Arc<dyn Store>, log_limit: usize) -> Self {
        let head = watch::Sender::new(0);
        let shared = Arc::new(Shared { state: Mutex::default(), head, log_limit });
        let task = tokio::spawn(follow(store, Arc::clone(&shared)));
        Self { shared, task }
    }

    /// Changes after `from`, as they come.
    pub(crate) fn after(&self, from: Version) -> Cursor {
        Cursor { shared: Arc::clone(&self.shared), head: self.shared.head.subscribe(), at: from }
    }

    /// The oldest version whose successors are known.
    pub(crate) fn oldest(&self) -> Version {
        self.shared.state().oldest
    }

    /// Waits until the store was read once.
    pub(crate) async fn ready(&self) {
        let mut head = self.shared.head.subscribe();
        // The sender lives as long as this hub.
        let _ = head.wait_for(|_| self.is_ready()).await;
    }

    /// Whether the store was read once.
    pub(crate) fn is_ready(&self) -> bool {
        *self.shared.head.borrow() != 0
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code below panics while it holds the lock half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, objects: Vec<Arc<Object>>, version: Version) {
        let mut state = self.state();
        state.objects = objects.into_iter().map(|o| (o.resource(), o)).collect();
        state.log.clear();
        (state.oldest, state.version) = (version, version);
        drop(state);
        self.head.send_replace(version.max(1));
    }

    fn note(&self, change: Change) {
        let mut state = self.state();
        let version = change.version;
        let happened = match change.event {
            Event::Put(object) => {
                let previous = state.objects.insert(object.resource(), Arc::clone(&object));
                Some(Happened { version, object, previous, gone: false })
            }
            Event::Delete(object) => {
                let previous = state.objects.remove(&object.resource());
                Some(Happened { version, object, previous, gone: true })
            }
            Event::Bookmark => None,
        };
        state.log.extend(happened);
        while state.log.len() > self.log_limit {
            if let Some(first) = state.log.pop_front() {
                state.oldest = first.version;
            }
        }
        state.version = version;
        drop(state);
        self.head.send_replace(version.max(1));
    }
}

async fn follow(store: Arc<dyn Store>, shared: Arc<Shared>) {
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2));
    let mut from: Option<Version> = None;
    loop {
        let error = match keep_up(&*store, &shared, &mut from, &mut backoff).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        match error {
            StoreError::Expired { .. } => from = None,
            error => {
                tracing::debug!(%error, "the store is away; trying again");
                tokio::time::sleep(backoff.next(fastrand::f64())).await;
            }
        }
    }
}

async fn keep_up(
    store: &dyn Store,
    shared: &Shared,
    from: &mut Option<Version>,
    backoff: &mut Backoff,
) -> Result<std::convert::Infallible, StoreError> {
    let start = match *from {
        Some(version) => version,
        None => {
            let listing = store.list(Filter::default()).await?;
            shared.replace(listing.objects, listing.version);
            *from = Some(listing.version);
            listing.version
        }
    };
    let mut watch = store.watch(Filter::default(), start).await?;
    loop {
        let change = watch.next().await?;
        backoff.reset();
        *from = Some(change.version);
        shared.note(change);
    }
}

/// A place in the log.
#[derive(Debug)]
pub(crate) struct Cursor {
    shared: Arc<Shared>,
    head: watch::Receiver<Version>,
    at: Version,
}

impl Cursor {
    /// The version up to which everything was seen.
    pub(crate) fn version(&self) -> Version {
        self.at
    }

    /// The next change of an object of `kind`; waits for it. May be dropped half-way without losing one.
    ///
    /// # Errors
    /// [`TooOld`] when this cursor fell too far behind.
    pub(crate) async fn next(&mut self, kind: Kind) -> Result<Happened, TooOld> {
        loop {
            self.head.mark_unchanged();
            if let Some(happened) = self.advance(kind)? {
                return Ok(happened);
            }
            if self.head.changed().await.is_err() {
                return Err(TooOld { from: self.at, oldest: Version::MAX });
            }
        }
    }

    /// Waits for any change at all; `false` when there will be none.
    pub(crate) async fn changed(&mut self) -> bool {
        self.head.changed().await.is_ok()
    }

    fn advance(&mut self, kind: Kind) -> Result<Option<Happened>, TooOld> {
        let state = self.shared.state();
        if self.at < state.oldest {
            return Err(TooOld { from: self.at, oldest: state.oldest });
        }
        let start = state.log.partition_point(|h| h.version <= self.at);
        for happened in state.log.range(start..) {
            if happened.object.kind() == kind {
                self.at = happened.version;
                return Ok(Some(happened.clone()));
            }
        }
        self.at = self.at.max(state.version);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tulle_api::kubernetes::ConfigMap;
    use tulle_store::Memory;

    fn config(name: &str, value: &str) -> Object {
        let data = [("k".to_owned(), value.to_owned())].into();
        Object::new("default", name, ConfigMap { data, ..ConfigMap::default() })
    }

    #[tokio::test]
    async fn changes_come_with_what_was_there_before() {
        let store = Memory::new();
        let hub = Hub::start(Arc::new(store.clone()));
        hub.ready().await;
        let mut cursor = hub.after(0);
        store.put_now(config("a", "1")).unwrap();
        store.put_now(Object::new("default", "s", tulle_api::kubernetes::Service::default())).unwrap();
        store.put_now(config("a", "2")).unwrap();
        store.delete_now(&config("a", "").resource());
        let first = cursor.next(Kind::ConfigMap).await.unwrap();
        assert_eq!((first.version, first.previous.is_none(), first.gone), (1, true, false));
        let second = cursor.next(Kind::ConfigMap).await.unwrap();
        assert_eq!((second.version, second.previous.unwrap().meta.resource_version.as_str()), (3, "1"));
        assert!(cursor.next(Kind::ConfigMap).await.unwrap().gone);
    }

    #[tokio::test]
    async fn who_is_too_late_is_told() {
        let store = Memory::new();
        let hub = Hub::with_log(Arc::new(store.clone()), 2);
        hub.ready().await;
        let mut late = hub.after(0);
        let mut quick = hub.after(0);
        for n in 0..4 {
            store.put_now(config("a", &n.to_string())).unwrap();
            quick.next(Kind::ConfigMap).await.unwrap();
        }
        assert_eq!(late.next(Kind::ConfigMap).await.unwrap_err(), TooOld { from: 0, oldest: 2 });
    }
}
