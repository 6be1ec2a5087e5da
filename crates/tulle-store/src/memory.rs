//! A store in this process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde_json::Value;
use tokio::sync::watch;
use tulle_api::{Kind, Object};
use tulle_base::ResourceRef;

use crate::StoreError;
use crate::decide::{Decision, Key, Write, decide, key_of};
use crate::store::{
    Answer, Change, Event, Filter, Listing, LocalStore, Precondition, Store, Version, Watch, WatchSource,
};

/// Changes that are remembered for watchers by default.
const DEFAULT_LOG: usize = 16_384;
/// A watcher that skipped this many changes is told how far it is.
const BOOKMARK_EVERY: usize = 256;

/// Objects in memory. Cloning gives another handle to the same store.
#[derive(Clone, Debug)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    head: watch::Sender<Version>,
    clock: fn() -> SystemTime,
    log_limit: usize,
}

#[derive(Debug, Default)]
struct State {
    version: Version,
    objects: BTreeMap<Kind, BTreeMap<(String, String), Arc<Object>>>,
    log: VecDeque<Change>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::with(SystemTime::now, DEFAULT_LOG)
    }

    /// An empty store with this clock, which remembers `log_limit` changes for watchers that fell behind.
    pub fn with(clock: fn() -> SystemTime, log_limit: usize) -> Self {
        Self::restored(clock, log_limit, 0, Vec::new(), Vec::new())
    }

    /// A store as it was at `version`, with what was remembered of the changes before it: without gaps, up to `version`.
    pub(crate) fn restored(
        clock: fn() -> SystemTime,
        log_limit: usize,
        version: Version,
        objects: Vec<Arc<Object>>,
        log: Vec<Change>,
    ) -> Self {
        let mut state = State { version, log: log.into(), ..State::default() };
        for object in objects {
            state.insert(object);
        }
        let shared = Shared {
            state: Mutex::new(state),
            head: watch::Sender::new(version),
            clock,
            log_limit: log_limit.max(1),
        };
        Self { shared: Arc::new(shared) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code below panics while it holds the lock half-way through a change.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes one object; see [`Store::put`].
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_now(&self, object: Object) -> Result<Arc<Object>, StoreError> {
        stored(self.write(Write::Put(Box::new(object)))?)
    }

    /// Replaces a status; see [`Store::put_status`].
    ///
    /// # Errors
    /// As [`Store::put_status`].
    pub fn put_status_now(&self, resource: &ResourceRef, status: Value) -> Result<Arc<Object>, StoreError> {
        stored(self.write(Write::Status(resource.clone(), status, Precondition::default()))?)
    }

    /// Deletes an object; see [`Store::delete`].
    pub fn delete_now(&self, resource: &ResourceRef) -> Option<Arc<Object>> {
        // Without a condition nothing can fail.
        self.write(Write::Delete(resource.clone(), Precondition::default())).ok().flatten()
    }

    /// One object, if it exists.
    pub fn get_now(&self, resource: &ResourceRef) -> Option<Arc<Object>> {
        self.find(&key_of(resource)?)
    }

    /// All objects that `filter` lets through.
    pub fn list_now(&self, filter: &Filter) -> Listing {
        let state = self.state();
        let mut kinds = if filter.kinds.is_empty() { Kind::ALL.to_vec() } else { filter.kinds.clone() };
        kinds.sort_unstable();
        kinds.dedup();
        let of_kinds = kinds.iter().filter_map(|k| state.objects.get(k)).flat_map(BTreeMap::values);
        let objects = of_kinds.filter(|o| filter.matches(o)).cloned().collect();
        Listing { version: state.version, objects }
    }

    /// The object at `key`.
    pub(crate) fn find(&self, key: &Key) -> Option<Arc<Object>> {
        self.state().find(key)
    }

    /// The version of the last change.
    pub(crate) fn version(&self) -> Version {
        self.state().version
    }

    /// The time, as this store sees it.
    pub(crate) fn now(&self) -> SystemTime {
        (self.shared.clock)()
    }

    /// Everything: the version, the objects, and the changes that are remembered.
    pub(crate) fn everything(&self) -> (Version, Vec<Arc<Object>>, Vec<Change>) {
        let state = self.state();
        let objects = state.objects.values().flat_map(BTreeMap::values).cloned().collect();
        (state.version, objects, state.log.iter().cloned().collect())
    }

    fn write(&self, write: Write) -> Result<Option<Arc<Object>>, StoreError> {
        let mut state = self.state();
        let current = write.key().and_then(|key| state.find(&key));
        let decision = decide(write, current.as_ref(), self.now())?;
        let (answer, change) = carry_out(decision, state.version + 1);
        if let Some(change) = change {
            state.apply(change, self.shared.log_limit);
            self.shared.head.send_replace(state.version);
        }
        Ok(answer)
    }

    /// Takes in changes that were decided elsewhere, and wakes the watchers.
    pub(crate) fn publish(&self, changes: Vec<Change>) {
        let mut state = self.state();
        for change in changes {
            state.apply(change, self.shared.log_limit);
        }
        self.shared.head.send_replace(state.version);
    }
}

/// What a decision means at `version`: the answer to whoever asked, and the change, if there is one.
pub(crate) fn carry_out(decision: Decision, version: Version) -> (Option<Arc<Object>>, Option<Change>) {
    match decision {
        Decision::Same(there) => (there, None),
        Decision::Put(mut object) => {
            object.meta.resource_version = version.to_string();
            let object: Arc<Object> = object.into();
            (Some(object.clone()), Some(Change { version, event: Event::Put(object) }))
        }
        Decision::Delete(gone) => (Some(gone.clone()), Some(Change { version, event: Event::Delete(gone) })),
    }
}

/// The object that a put was answered with: there always is one.
pub(crate) fn stored(answer: Option<Arc<Object>>) -> Result<Arc<Object>, StoreError> {
    answer.ok_or(StoreError::Protocol("a put was answered without an object"))
}

impl State {
    fn find(&self, (kind, namespace, name): &Key) -> Option<Arc<Object>> {
        self.objects.get(kind)?.get(&(namespace.clone(), name.clone())).cloned()
    }

    fn insert(&mut self, object: Arc<Object>) {
        let key = (object.meta.namespace.clone(), object.meta.name.clone());
        self.objects.entry(object.kind()).or_default().insert(key, object);
    }

    fn apply(&mut self, change: Change, log_limit: usize) {
        match &change.event {
            Event::Put(object) => self.insert(object.clone()),
            Event::Delete(object) => {
                let key = (object.meta.namespace.clone(), object.meta.name.clone());
                if let Some(of_kind) = self.objects.get_mut(&object.kind()) {
                    of_kind.remove(&key);
                }
            }
            Event::Bookmark => {}
        }
        self.version = change.version;
        self.log.push_back(change);
        while self.log.len() > log_limit {
            self.log.pop_front();
        }
    }

    /// Changes after this version are remembered.
    fn oldest(&self) -> Version {
        self.log.front().map_or(self.version, |c| c.version - 1)
    }
}

impl Store for Memory {
    fn get<'a>(&'a self, resource: &'a ResourceRef) -> Answer<'a, Option<Arc<Object>>> {
        let found = self.get_now(resource);
        Box::pin(async move { Ok(found) })
    }

    fn list(&self, filter: Filter) -> Answer<'_, Listing> {
        Box::pin(async move { Ok(self.list_now(&filter)) })
    }

    fn put(&self, object: Object) -> Answer<'_, Arc<Object>> {
        Box::pin(async move { self.put_now(object) })
    }

    fn put_status_if<'a>(
        &'a self,
        resource: &'a ResourceRef,
        status: Value,
        only_if: Precondition,
    ) -> Answer<'a, Arc<Object>> {
        Box::pin(async move { stored(self.write(Write::Status(resource.clone(), status, only_if))?) })
    }

    fn delete_if<'a>(
        &'a self,
        resource: &'a ResourceRef,
        only_if: Precondition,
    ) -> Answer<'a, Option<Arc<Object>>> {
        Box::pin(async move { self.write(Write::Delete(resource.clone(), only_if)) })
    }

    fn watch(&self, filter: Filter, from: Version) -> Answer<'_, Watch> {
        let head = self.shared.head.subscribe();
        Box::pin(async move {
            let mut cursor = Cursor { store: self.clone(), filter, head, at: from, skipped: 0 };
            // A version that this store never had comes from another one: what follows it is not known.
            let (oldest, newest) = {
                let state = self.state();
                (state.oldest(), state.version)
            };
            if from < oldest || from > newest {
                return Err(StoreError::Expired { from, oldest });
            }
            cursor.head.mark_changed();
            Ok(Watch::new(cursor))
        })
    }
}

impl LocalStore for Memory {
    fn put_now(&self, object: Object) -> Result<Arc<Object>, StoreError> {
        Self::put_now(self, object)
    }

    fn put_status_now(&self, resource: &ResourceRef, status: Value) -> Result<Arc<Object>, StoreError> {
        Self::put_status_now(self, resource, status)
    }

    fn delete_now(
        &self,
        resource: &ResourceRef,
        only_if: &Precondition,
    ) -> Result<Option<Arc<Object>>, StoreError> {
        self.write(Write::Delete(resource.clone(), only_if.clone()))
    }

    fn get_now(&self, resource: &ResourceRef) -> Option<Arc<Object>> {
        Self::get_now(self, resource)
    }

    fn list_now(&self, filter: &Filter) -> Listing {
        Self::list_now(self, filter)
    }
}

/// A place in the log.
struct Cursor {
    store: Memory,
    filter: Filter,
    head: watch::Receiver<Version>,
    at: Version,
    skipped: usize,
}

impl Cursor {
    /// The next change that is already there.
    fn advance(&mut self) -> Result<Option<Change>, StoreError> {
        let state = self.store.state();
        let oldest = state.oldest();
        if self.at < oldest {
            return Err(StoreError::Expired { from: self.at, oldest });
        }
        let start = usize::try_from(self.at - oldest).unwrap_or(usize::MAX);
        for change in state.log.iter().skip(start) {
            self.at = change.version;
            let matched = match &change.event {
                Event::Put(object) | Event::Delete(object) => self.filter.matches(object),
                Event::Bookmark => false,
            };
            if matched {
                self.skipped = 0;
                return Ok(Some(change.clone()));
            }
            self.skipped += 1;
        }
        if self.skipped >= BOOKMARK_EVERY {
            self.skipped = 0;
            return Ok(Some(Change { version: self.at, event: Event::Bookmark }));
        }
        Ok(None)
    }
}

impl WatchSource for Cursor {
    fn next(&mut self) -> Answer<'_, Change> {
        Box::pin(async move {
            loop {
                if let Some(change) = self.advance()? {
                    return Ok(change);
                }
                // The cursor holds the store, so the sender lives; the version is looked at before waiting.
                if *self.head.borrow_and_update() <= self.at {
                    self.head.changed().await.map_err(|_| StoreError::Closed)?;
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tulle_api::kubernetes::ConfigMap;

    fn config(name: &str, value: &str) -> Object {
        let data = [("k".to_owned(), value.to_owned())].into();
        Object::new("default", name, ConfigMap { data, ..ConfigMap::default() })
    }

    #[test]
    fn the_store_sets_what_users_do_not() {
        let store =
            Memory::with(|| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_785_578_400), 8);
        let first = store.put_now(config("a", "1")).unwrap();
        assert_eq!(first.meta.creation_timestamp.as_ref().unwrap().as_str(), "2026-08-01T10:00:00Z");
        assert_eq!((&*first.meta.resource_version, first.meta.generation), ("1", Some(1)));
        let same = store.put_now(config("a", "1")).unwrap();
        assert_eq!(same.meta.resource_version, "1");
        let second = store.put_now(config("a", "2")).unwrap();
        assert_eq!((&*second.meta.resource_version, second.meta.generation), ("2", Some(2)));
        assert_eq!(second.meta.uid, first.meta.uid);
        assert_eq!((second.meta.uid.len(), &second.meta.uid[14..15]), (36, "4"));
        let status = serde_json::json!({"ok": true});
        let third = store.put_status_now(&second.resource(), status.clone()).unwrap();
        assert_eq!((&*third.meta.resource_version, third.meta.generation), ("3", Some(2)));
        assert_eq!(store.put_now(config("a", "4")).unwrap().status, Some(status));
    }

    #[test]
    fn versions_guard_writes() {
        let store = Memory::new();
        let mut object = config("a", "1");
        object.meta.resource_version = "0".into();
        let created = store.put_now(object.clone()).unwrap();
        assert!(matches!(store.put_now(object), Err(StoreError::Conflict { expected: 0, found: 1, .. })));
        let mut update = Object::clone(&created);
        update.meta.labels.insert("a".into(), "b".into());
        store.put_now(update.clone()).unwrap();
        assert!(matches!(store.put_now(update), Err(StoreError::Conflict { expected: 1, found: 2, .. })));
        assert!(store.delete_now(&created.resource()).is_some());
        assert!(store.delete_now(&created.resource()).is_none());
        assert!(matches!(
            store.put_now(created.as_ref().clone()),
            Err(StoreError::Conflict { found: 0, .. })
        ));
    }

    #[tokio::test]
    async fn watches_go_on_where_they_were_or_expire() {
        let store = Memory::with(SystemTime::now, 4);
        store.put_now(config("a", "1")).unwrap();
        let mut watch = store.watch(Filter::kinds(&[Kind::ConfigMap]), 0).await.unwrap();
        assert_eq!(watch.next().await.unwrap().version, 1);
        store.delete_now(&config("a", "").resource());
        assert!(matches!(watch.next().await.unwrap().event, Event::Delete(o) if o.meta.name == "a"));
        for i in 0..6 {
            store.put_now(config("b", &i.to_string())).unwrap();
        }
        assert!(matches!(watch.next().await, Err(StoreError::Expired { from: 2, oldest: 4 })));
        assert!(matches!(store.watch(Filter::default(), 3).await, Err(StoreError::Expired { .. })));
        assert!(matches!(store.watch(Filter::default(), 99).await, Err(StoreError::Expired { .. })));
        assert_eq!(store.watch(Filter::default(), 4).await.unwrap().next().await.unwrap().version, 5);
    }

    #[tokio::test]
    async fn a_change_wakes_a_waiting_watch() {
        let store = Memory::new();
        let mut watch = store.watch(Filter::default(), 0).await.unwrap();
        let waiting = tokio::spawn(async move { watch.next().await.unwrap().version });
        tokio::task::yield_now().await;
        store.put_now(config("a", "1")).unwrap();
        assert_eq!(waiting.await.unwrap(), 1);
    }
}
