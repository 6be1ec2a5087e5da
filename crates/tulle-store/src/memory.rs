//! A store in this process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde_json::Value;
use tokio::sync::watch;
use tulle_api::value::Timestamp;
use tulle_api::{Kind, Object};
use tulle_base::ResourceRef;

use crate::store::{Answer, Change, Event, Filter, Listing, Store, Version, Watch, WatchSource};
use crate::{Refusal, StoreError};

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
        let shared = Shared {
            state: Mutex::default(),
            head: watch::Sender::new(0),
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
    pub fn put_now(&self, mut object: Object) -> Result<Arc<Object>, StoreError> {
        let resource = object.resource();
        if object.meta.name.is_empty() {
            return Err(StoreError::Invalid { resource, reason: Refusal::NoName });
        }
        let expected = expected_version(&object)?;
        let mut state = self.state();
        let current = state.find(object.kind(), &object.meta.namespace, &object.meta.name);
        let found = current.as_ref().map_or(0, |c| version_of(c));
        if let Some(expected) = expected.filter(|e| *e != found) {
            return Err(StoreError::Conflict { resource, expected, found });
        }
        match current {
            Some(current) => {
                inherit(&mut object, &current);
                if same(&current, &object) {
                    return Ok(current);
                }
                if current.spec != object.spec {
                    object.meta.generation = Some(current.meta.generation.unwrap_or(0) + 1);
                }
            }
            None => self.initialise(&mut object),
        }
        Ok(self.commit(&mut state, object))
    }

    /// Replaces a status; see [`Store::put_status`].
    ///
    /// # Errors
    /// As [`Store::put_status`].
    pub fn put_status_now(&self, resource: &ResourceRef, status: Value) -> Result<Arc<Object>, StoreError> {
        let mut state = self.state();
        let current = state.find_ref(resource).ok_or_else(|| StoreError::NotFound(resource.clone()))?;
        if current.status.as_ref() == Some(&status) {
            return Ok(current);
        }
        let mut object = Object::clone(&current);
        object.status = Some(status);
        Ok(self.commit(&mut state, object))
    }

    /// Deletes an object; see [`Store::delete`].
    pub fn delete_now(&self, resource: &ResourceRef) -> Option<Arc<Object>> {
        let mut state = self.state();
        let kind = Kind::find(&resource.group, &resource.kind)?;
        let key = (resource.namespace.clone(), resource.name.clone());
        let gone = state.objects.get_mut(&kind)?.remove(&key)?;
        self.record(&mut state, Event::Delete(gone.clone()));
        Some(gone)
    }

    /// One object, if it exists.
    pub fn get_now(&self, resource: &ResourceRef) -> Option<Arc<Object>> {
        self.state().find_ref(resource)
    }

    /// All objects that `filter` lets through.
    pub fn list_now(&self, filter: &Filter) -> Listing {
        let state = self.state();
        let kinds: Vec<Kind> =
            if filter.kinds.is_empty() { Kind::ALL.to_vec() } else { filter.kinds.clone() };
        let of_kinds = kinds.iter().filter_map(|k| state.objects.get(k)).flat_map(BTreeMap::values);
        let objects = of_kinds.filter(|o| filter.matches(o)).cloned().collect();
        Listing { version: state.version, objects }
    }

    fn initialise(&self, object: &mut Object) {
        if object.meta.uid.is_empty() {
            object.meta.uid = uid();
        }
        object.meta.generation = Some(1);
        if object.meta.creation_timestamp.is_none() {
            let since = (self.shared.clock)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
            object.meta.creation_timestamp = Some(Timestamp::from_unix(seconds));
        }
    }

    fn commit(&self, state: &mut State, mut object: Object) -> Arc<Object> {
        object.meta.resource_version = (state.version + 1).to_string();
        let object = Arc::new(object);
        let key = (object.meta.namespace.clone(), object.meta.name.clone());
        state.objects.entry(object.kind()).or_default().insert(key, object.clone());
        self.record(state, Event::Put(object.clone()));
        object
    }

    fn record(&self, state: &mut State, event: Event) {
        state.version += 1;
        state.log.push_back(Change { version: state.version, event });
        while state.log.len() > self.shared.log_limit {
            state.log.pop_front();
        }
        self.shared.head.send_replace(state.version);
    }
}

impl State {
    fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.objects.get(&kind)?.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    fn find_ref(&self, resource: &ResourceRef) -> Option<Arc<Object>> {
        let kind = Kind::find(&resource.group, &resource.kind)?;
        self.find(kind, &resource.namespace, &resource.name)
    }

    /// Changes after this version are remembered.
    fn oldest(&self) -> Version {
        self.log.front().map_or(self.version, |c| c.version - 1)
    }
}

/// Takes over what the user does not write from the object that is replaced.
fn inherit(object: &mut Object, current: &Object) {
    object.meta.uid.clone_from(&current.meta.uid);
    object.meta.creation_timestamp.clone_from(&current.meta.creation_timestamp);
    object.meta.generation = current.meta.generation;
    object.meta.resource_version.clone_from(&current.meta.resource_version);
    object.status.clone_from(&current.status);
    if object.origin.is_none() {
        object.origin.clone_from(&current.origin);
    }
}

/// Whether nothing that matters differs: the line that an object stands on does not.
fn same(a: &Object, b: &Object) -> bool {
    a.api_version == b.api_version && a.meta == b.meta && a.spec == b.spec
}

fn version_of(object: &Object) -> Version {
    object.meta.resource_version.parse().unwrap_or(0)
}

fn expected_version(object: &Object) -> Result<Option<Version>, StoreError> {
    let text = &object.meta.resource_version;
    if text.is_empty() {
        return Ok(None);
    }
    let reason = Refusal::BadVersion;
    text.parse().map(Some).map_err(|_| StoreError::Invalid { resource: object.resource(), reason })
}

/// A random UUID (RFC 9562 version 4). It names objects and protects nothing.
fn uid() -> String {
    let n = (fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{n:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
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

    fn put_status<'a>(&'a self, resource: &'a ResourceRef, status: Value) -> Answer<'a, Arc<Object>> {
        Box::pin(async move { self.put_status_now(resource, status) })
    }

    fn delete<'a>(&'a self, resource: &'a ResourceRef) -> Answer<'a, Option<Arc<Object>>> {
        Box::pin(async move { Ok(self.delete_now(resource)) })
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
