//! Keeping up with a store, whatever happens to the connection.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tulle_api::Object;
use tulle_base::ResourceRef;
use tulle_base::backoff::Backoff;

use crate::store::{Event, Filter, Store, Watch};
use crate::{StoreError, Version};

/// What happened to the objects that are followed.
#[derive(Clone, Debug)]
pub enum Update {
    /// An object is new or different.
    Put(Arc<Object>),
    /// An object is gone; this is the last state that was seen.
    Delete(Arc<Object>),
    /// Everything that was there has been told; comes after the first list and after each later one.
    Synced,
}

/// A list, and then every change. When the watch breaks it is resumed; when the store has forgotten what comes next, it
/// is listed again and only the differences are told. Objects are told in the order of their changes.
#[derive(Debug)]
pub struct Follow {
    filter: Filter,
    known: HashMap<ResourceRef, Arc<Object>>,
    pending: VecDeque<Update>,
    state: State,
    backoff: Backoff,
}

#[derive(Debug)]
enum State {
    /// Nothing is known, or it is too old.
    List,
    /// Everything up to this version is known; the watch broke.
    Resume(Version),
    /// The watch is on.
    Watching(Watch, Version),
}

impl Follow {
    /// Follows the objects that `filter` lets through; nothing happens before [`Follow::next`].
    pub fn new(filter: Filter) -> Self {
        Self {
            filter,
            known: HashMap::new(),
            pending: VecDeque::new(),
            state: State::List,
            backoff: Backoff::new(Duration::from_millis(20), Duration::from_secs(2)),
        }
    }

    /// The objects that are there, as far as is known; some may not have been told yet.
    pub fn known(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.known.values()
    }

    /// The next update of `store`, which must be the same store each time. Waits while the store cannot be reached, and may
    /// be dropped half-way without losing an update.
    pub async fn next(&mut self, store: &dyn Store) -> Update {
        loop {
            if let Some(update) = self.pending.pop_front() {
                return update;
            }
            if let Err(error) = self.step(store).await {
                self.failed(&error).await;
            }
        }
    }

    async fn failed(&mut self, error: &StoreError) {
        self.state = match (&self.state, error) {
            (_, StoreError::Expired { .. }) | (State::List, _) => State::List,
            (State::Resume(version) | State::Watching(_, version), _) => State::Resume(*version),
        };
        if !matches!(error, StoreError::Expired { .. }) {
            tracing::debug!(%error, "the store is away; trying again");
            tokio::time::sleep(self.backoff.next(fastrand::f64())).await;
        }
    }

    async fn step(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        match &mut self.state {
            State::List => {
                let listing = store.list(self.filter.clone()).await?;
                self.compare(listing.objects);
                self.state = State::Resume(listing.version);
            }
            State::Resume(version) => {
                let version = *version;
                let watch = store.watch(self.filter.clone(), version).await?;
                self.state = State::Watching(watch, version);
            }
            State::Watching(watch, version) => {
                let change = watch.next().await?;
                *version = change.version;
                self.backoff.reset();
                match change.event {
                    Event::Put(object) => self.put(object),
                    Event::Delete(object) => self.delete(&object.resource()),
                    Event::Bookmark => {}
                }
            }
        }
        Ok(())
    }

    fn compare(&mut self, objects: Vec<Arc<Object>>) {
        let mut gone: Vec<ResourceRef> = {
            let listed: std::collections::HashSet<_> = objects.iter().map(|o| o.resource()).collect();
            self.known.keys().filter(|k| !listed.contains(k)).cloned().collect()
        };
        gone.sort();
        for resource in gone {
            self.delete(&resource);
        }
        for object in objects {
            self.put(object);
        }
        self.pending.push_back(Update::Synced);
    }

    fn put(&mut self, object: Arc<Object>) {
        let resource = object.resource();
        if self.known.get(&resource).is_some_and(|k| **k == *object) {
            return;
        }
        self.known.insert(resource, object.clone());
        self.pending.push_back(Update::Put(object));
    }

    fn delete(&mut self, resource: &ResourceRef) {
        if let Some(last) = self.known.remove(resource) {
            self.pending.push_back(Update::Delete(last));
        }
    }
}
