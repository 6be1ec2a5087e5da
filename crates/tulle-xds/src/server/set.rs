//! A set of resources of one type, with the index from each name to the streams that want it.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::catalog::{StandIn, TypeId};
use super::ids::StreamId;
use crate::Resource;

/// One change to a set.
#[derive(Clone, Debug)]
pub enum Change {
    /// The resource is new or has new content.
    Put(Arc<Resource>),
    /// The resource is gone.
    Remove(Arc<str>),
}

impl Change {
    /// Name of the resource that changes.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Put(resource) => resource.name(),
            Self::Remove(name) => name,
        }
    }
}

/// What a name stands for: before and after a change.
pub(super) struct Turn {
    pub(super) before: Option<Arc<Resource>>,
    pub(super) after: Option<Arc<Resource>>,
}

/// A change as two kinds of streams see it.
pub(super) struct Effect<'a> {
    pub(super) name: Arc<str>,
    /// For streams that want everything.
    pub(super) all: Turn,
    /// For streams that asked for this name.
    pub(super) named: Turn,
    pub(super) subscribers: &'a HashSet<StreamId>,
}

#[derive(Default)]
struct Entry {
    current: Option<Arc<Resource>>,
    /// Served to those who ask by name while there is no current one.
    stand_in: Option<Arc<Resource>>,
    subscribers: HashSet<StreamId>,
    /// Epoch of the last change.
    epoch: u64,
}

/// Resources of one type, shared by every stream that is bound to the set.
pub(super) struct Set {
    pub(super) kind: TypeId,
    entries: HashMap<Arc<str>, Entry>,
    /// Streams that want everything.
    pub(super) wildcard: HashSet<StreamId>,
}

impl Set {
    pub(super) fn new(kind: TypeId) -> Self {
        Self { kind, entries: HashMap::new(), wildcard: HashSet::new() }
    }

    /// Applies a change; `None` if the content is what it was.
    pub(super) fn apply(
        &mut self,
        change: Change,
        stand_in: Option<&StandIn>,
        epoch: u64,
    ) -> Option<Effect<'_>> {
        let name = change.name().clone();
        let new = match change {
            Change::Put(resource) => Some(resource),
            Change::Remove(_) => None,
        };
        if new.is_none() && !self.entries.contains_key(&name) {
            return None;
        }
        let entry = self.entries.entry(name.clone()).or_default();
        if version(&entry.current) == version(&new) {
            return None;
        }
        if new.is_none() && entry.stand_in.is_none() && !entry.subscribers.is_empty() {
            entry.stand_in = stand_in.and_then(|make| make(&name)).map(Arc::new);
        }
        entry.epoch = epoch;
        let before = std::mem::replace(&mut entry.current, new.clone());
        let named = Turn {
            before: before.clone().or_else(|| entry.stand_in.clone()),
            after: new.clone().or_else(|| entry.stand_in.clone()),
        };
        let all = Turn { before, after: new };
        if all.after.is_none() && entry.subscribers.is_empty() {
            self.entries.remove(&name);
        }
        static NOBODY: std::sync::LazyLock<HashSet<StreamId>> = std::sync::LazyLock::new(HashSet::new);
        let subscribers = self.entries.get(&name).map_or(&*NOBODY, |e| &e.subscribers);
        Some(Effect { name, all, named, subscribers })
    }

    /// Notes that `stream` wants `name`; returns the shared form of the name.
    pub(super) fn subscribe(&mut self, stream: StreamId, name: &str, stand_in: Option<&StandIn>) -> Arc<str> {
        if !self.entries.contains_key(name) {
            self.entries.insert(name.into(), Entry::default());
        }
        let (key, _) = self.entries.get_key_value(name).expect("it was there or was just inserted");
        let key = key.clone();
        let entry = self.entries.entry(key.clone()).or_default();
        entry.subscribers.insert(stream);
        if entry.current.is_none() && entry.stand_in.is_none() {
            entry.stand_in = stand_in.and_then(|make| make(name)).map(Arc::new);
        }
        key
    }

    /// Undoes [`Set::subscribe`].
    pub(super) fn unsubscribe(&mut self, stream: StreamId, name: &str) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.subscribers.remove(&stream);
            if entry.subscribers.is_empty() {
                entry.stand_in = None;
                if entry.current.is_none() {
                    self.entries.remove(name);
                }
            }
        }
    }

    /// The resource `name`, if it exists.
    pub(super) fn current(&self, name: &str) -> Option<&Arc<Resource>> {
        self.entries.get(name)?.current.as_ref()
    }

    /// Epoch of the last change of `name`; 0 when it never existed.
    pub(super) fn epoch_of(&self, name: &str) -> u64 {
        self.entries.get(name).map_or(0, |e| e.epoch)
    }

    /// What those who ask for `name` get while it does not exist.
    pub(super) fn stand_in(&self, name: &str) -> Option<&Arc<Resource>> {
        self.entries.get(name)?.stand_in.as_ref()
    }

    /// Every resource that exists.
    pub(super) fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.entries.values().filter_map(|e| e.current.as_ref())
    }

    /// How many names are held, for one reason or another.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

fn version(resource: &Option<Arc<Resource>>) -> Option<crate::Version> {
    resource.as_ref().map(|r| r.version())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::catalog::{Catalog, TypeConfig};
    use super::*;

    fn put(name: &str, value: &'static str) -> Change {
        Change::Put(Arc::new(Resource::new("t", name, Bytes::from_static(value.as_bytes()))))
    }

    #[test]
    fn equal_content_is_no_change() {
        let kind = Catalog::new(vec![TypeConfig::independent("t")]).find("t").unwrap();
        let mut set = Set::new(kind);
        assert!(set.apply(put("a", "1"), None, 1).is_some());
        assert!(set.apply(put("a", "1"), None, 1).is_none());
        assert!(set.apply(Change::Remove("b".into()), None, 1).is_none());
    }

    #[test]
    fn names_nobody_needs_are_dropped() {
        let kind = Catalog::new(vec![TypeConfig::independent("t")]).find("t").unwrap();
        let stand_in: StandIn = Arc::new(|name: &str| Some(Resource::new("t", name, Bytes::new())));
        let mut set = Set::new(kind);
        set.subscribe(StreamId(1), "a", Some(&stand_in));
        assert!(set.stand_in("a").is_some() && set.current("a").is_none());
        set.apply(put("a", "1"), Some(&stand_in), 1);
        set.unsubscribe(StreamId(1), "a");
        assert_eq!(set.len(), 1);
        set.apply(Change::Remove("a".into()), Some(&stand_in), 2);
        assert_eq!(set.len(), 0);
        set.subscribe(StreamId(1), "b", None);
        set.unsubscribe(StreamId(1), "b");
        assert_eq!(set.len(), 0);
    }
}
