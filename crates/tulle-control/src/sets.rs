//! Resources of one set as the server has them, and each distinct resource kept once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Instant;

use tulle_base::ResourceRef;
use tulle_translate::PatchRef;
use tulle_xds::resource::Follow;
use tulle_xds::server::{Change, Hub, SetId, TypeId};
use tulle_xds::{Resource, Version};

use crate::ledger::Holder;
use crate::metrics::{Metric, Metrics};

/// Distinct resources, so that views which see the same share its bytes.
#[derive(Default)]
pub(crate) struct Pool {
    known: HashMap<(TypeId, Arc<str>, Version, bool), Weak<Resource>>,
    /// How many were encoded since [`Pool::count`].
    encoded: u64,
    /// How many were there already since [`Pool::count`].
    found: u64,
    sweep_at: usize,
}

impl Pool {
    /// The shared form of what translation made. `follow` names what a client asks for once it has this.
    pub(crate) fn share(
        &mut self,
        kind: TypeId,
        made: &tulle_translate::Resource,
        follow: Option<Follow>,
    ) -> Made {
        Made {
            resource: self.shared(kind, made, follow),
            by: made.made_by.clone(),
            patches: made.patched_by.clone(),
        }
    }

    fn shared(
        &mut self,
        kind: TypeId,
        made: &tulle_translate::Resource,
        follow: Option<Follow>,
    ) -> Arc<Resource> {
        let key = (kind, made.name.clone(), Version::of(&made.body), follow.is_some());
        if let Some(resource) = self.known.get(&key).and_then(Weak::upgrade) {
            self.found += 1;
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

    /// Counts what was encoded and what was found since the last call.
    pub(crate) fn count(&mut self, metrics: &Metrics) {
        let (encoded, found) = (std::mem::take(&mut self.encoded), std::mem::take(&mut self.found));
        metrics.add(Metric::Encodes, &[], encoded as f64);
        metrics.add(Metric::CacheReads, &[("type", "miss")], encoded as f64);
        metrics.add(Metric::CacheReads, &[("type", "hit")], found as f64);
        metrics.set(Metric::CacheSize, &[], self.known.len() as f64);
    }
}

/// A resource, and the resources of the mesh that it was made of, sorted.
pub(crate) struct Made {
    pub(crate) resource: Arc<Resource>,
    pub(crate) by: Arc<[ResourceRef]>,
    /// The patches of EnvoyFilters that did something to it, sorted.
    pub(crate) patches: Arc<[PatchRef]>,
}

/// What a resource of a set has on it.
#[derive(Clone, Copy)]
pub(crate) enum Mark<'a> {
    /// It was made of this resource of the mesh.
    MadeOf(&'a ResourceRef),
    /// This patch of an EnvoyFilter did something to it.
    Patched(&'a PatchRef),
}

/// Hears that a mark is on one resource more (true) or less.
pub(crate) type Count<'a> = &'a mut dyn FnMut(Mark<'_>, bool);

/// One set at the hub, with what was put into it. Dropped from the hub with [`Published::withdraw`].
pub(crate) struct Published {
    pub(crate) id: SetId,
    /// The place that it belongs to; none for what is nobody's configuration.
    pub(crate) holder: Option<Holder>,
    held: HashMap<Arc<str>, Kept>,
}

struct Kept {
    version: Version,
    by: Arc<[ResourceRef]>,
    patches: Arc<[PatchRef]>,
}

impl Published {
    /// A new, empty set.
    pub(crate) fn new(hub: &Hub, kind: TypeId, holder: Option<Holder>) -> Self {
        Self { id: hub.create_set(kind), holder, held: HashMap::new() }
    }

    /// The set becomes exactly `resources`; only differences are told.
    pub(crate) fn replace(&mut self, hub: &Hub, resources: Vec<Made>, at: Instant, count: Count<'_>) {
        let names: HashSet<&str> = resources.iter().map(|r| &**r.resource.name()).collect();
        let gone: Vec<Arc<str>> = self.held.keys().filter(|n| !names.contains(&***n)).cloned().collect();
        drop(names);
        let mut changes: Vec<Change> = Vec::new();
        for name in gone {
            changes.extend(self.remove(&name, count));
        }
        changes.extend(resources.into_iter().filter_map(|r| self.differing(r, count)));
        hub.update(self.id, changes, at);
    }

    /// One name becomes `resource`, or is gone.
    pub(crate) fn set(
        &mut self,
        hub: &Hub,
        name: &str,
        resource: Option<Made>,
        at: Instant,
        count: Count<'_>,
    ) {
        let change = match resource {
            Some(resource) => self.differing(resource, count),
            None => self.remove(name, count),
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

    /// The resources of the mesh that the resource `name` was made of.
    pub(crate) fn made_by(&self, name: &str) -> Option<&Arc<[ResourceRef]>> {
        self.held.get(name).map(|kept| &kept.by)
    }

    fn remove(&mut self, name: &str, count: Count<'_>) -> Option<Change> {
        let (name, kept) = self.held.remove_entry(name)?;
        kept.by.iter().for_each(|by| count(Mark::MadeOf(by), false));
        kept.patches.iter().for_each(|patch| count(Mark::Patched(patch), false));
        Some(Change::Remove(name))
    }

    fn differing(&mut self, made: Made, count: Count<'_>) -> Option<Change> {
        let Made { resource, by, patches } = made;
        let version = resource.version();
        let kept = Kept { version, by: by.clone(), patches: patches.clone() };
        let Some(before) = self.held.insert(resource.name().clone(), kept) else {
            by.iter().for_each(|by| count(Mark::MadeOf(by), true));
            patches.iter().for_each(|patch| count(Mark::Patched(patch), true));
            return Some(Change::Put(resource));
        };
        if before.by != by {
            let (new, old) = (missing(&by, &before.by), missing(&before.by, &by));
            new.for_each(|r| count(Mark::MadeOf(r), true));
            old.for_each(|r| count(Mark::MadeOf(r), false));
        }
        if before.patches != patches {
            let (new, old) = (missing(&patches, &before.patches), missing(&before.patches, &patches));
            new.for_each(|p| count(Mark::Patched(p), true));
            old.for_each(|p| count(Mark::Patched(p), false));
        }
        (before.version != version).then_some(Change::Put(resource))
    }
}

/// What of `these` is not among `others`; both are sorted.
fn missing<'a, T: Ord>(these: &'a [T], others: &'a [T]) -> impl Iterator<Item = &'a T> {
    these.iter().filter(|one| others.binary_search(one).is_err())
}
