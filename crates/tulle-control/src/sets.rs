//! Resources of one set as the server has them, and each distinct resource kept once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Instant;

use tulle_xds::resource::Follow;
use tulle_xds::server::{Change, Hub, SetId, TypeId};
use tulle_xds::{Resource, Version};

/// Distinct resources, so that views which see the same share its bytes.
#[derive(Default)]
pub(crate) struct Pool {
    known: HashMap<(TypeId, Arc<str>, Version, bool), Weak<Resource>>,
    /// How many were encoded since [`Pool::take_encoded`].
    encoded: u64,
    sweep_at: usize,
}

impl Pool {
    /// The shared form of what translation made. `follow` names what a client asks for once it has this.
    pub(crate) fn share(
        &mut self,
        kind: TypeId,
        made: &tulle_translate::Resource,
        follow: Option<Follow>,
    ) -> Arc<Resource> {
        let key = (kind, made.name.clone(), Version::of(&made.body), follow.is_some());
        if let Some(resource) = self.known.get(&key).and_then(Weak::upgrade) {
            return resource;
        }
        let mut resource = Resource::new(made.type_url, made.name.clone(), made.body.clone());
        if let Some(follow) = follow {
            resource = resource.followed_by(follow);
        }
        let resource = Arc::new(resource);
        self.known.insert(key, Arc::downgrade(&resource));
        self.encoded += 1;
        if self.known.len() > self.sweep_at {
            self.known.retain(|_, weak| weak.strong_count() > 0);
            self.sweep_at = self.known.len() * 2 + 1024;
        }
        resource
    }

    /// How many resources were encoded since the last call.
    pub(crate) fn take_encoded(&mut self) -> u64 {
        std::mem::take(&mut self.encoded)
    }
}

/// One set at the hub, with what was put into it. Dropped from the hub with [`Published::withdraw`].
pub(crate) struct Published {
    pub(crate) id: SetId,
    held: HashMap<Arc<str>, Version>,
}

impl Published {
    /// A new, empty set.
    pub(crate) fn new(hub: &Hub, kind: TypeId) -> Self {
        Self { id: hub.create_set(kind), held: HashMap::new() }
    }

    /// The set becomes exactly `resources`; only differences are told.
    pub(crate) fn replace(&mut self, hub: &Hub, resources: Vec<Arc<Resource>>, at: Instant) {
        let names: HashSet<&str> = resources.iter().map(|r| &**r.name()).collect();
        let mut changes: Vec<Change> = Vec::new();
        for name in self.held.keys().filter(|n| !names.contains(&***n)) {
            changes.push(Change::Remove(name.clone()));
        }
        drop(names);
        for change in &changes {
            self.held.remove(change.name());
        }
        changes.extend(resources.into_iter().filter_map(|r| self.differing(r)));
        hub.update(self.id, changes, at);
    }

    /// One name becomes `resource`, or is gone.
    pub(crate) fn set(&mut self, hub: &Hub, name: &str, resource: Option<Arc<Resource>>, at: Instant) {
        let change = match resource {
            Some(resource) => self.differing(resource),
            None => self.held.remove_entry(name).map(|(name, _)| Change::Remove(name)),
        };
        hub.update(self.id, change.into_iter().collect(), at);
    }

    /// Forgets the set; no stream is bound to it any more.
    pub(crate) fn withdraw(self, hub: &Hub) {
        hub.drop_set(self.id);
    }

    /// Whether a resource of this name is in the set.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.held.contains_key(name)
    }

    fn differing(&mut self, resource: Arc<Resource>) -> Option<Change> {
        let version = resource.version();
        let before = self.held.insert(resource.name().clone(), version);
        (before != Some(version)).then_some(Change::Put(resource))
    }
}
