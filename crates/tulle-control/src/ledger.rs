//! Which resources of the mesh concern which proxies: an index from each resource to the places whose xDS resources were made
//! of it, and from each place to the streams that are served from there.

use std::collections::{BTreeMap, HashMap, HashSet};

use tulle_base::ResourceRef;
use tulle_translate::PatchRef;
use tulle_xds::server::StreamId;

/// A place that xDS resources are served from: a view's sets, or those of one proxy alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Holder(u64);

/// See the module. A change costs what it touches: nothing here is looked through as a whole.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next: u64,
    epoch: u64,
    holders: HashMap<Holder, Held>,
    known: HashMap<ResourceRef, Known>,
    /// In how many places each patch of an EnvoyFilter does something.
    patched: HashMap<ResourceRef, BTreeMap<usize, u32>>,
    /// The resources by the epoch at which they came to be due.
    recent: BTreeMap<u64, HashSet<ResourceRef>>,
    touched: HashSet<ResourceRef>,
}

#[derive(Debug, Default)]
struct Held {
    streams: HashSet<StreamId>,
    /// How much of the place was made of each resource.
    made_of: HashMap<ResourceRef, Part>,
    /// To how many xDS resources of the place each patch did something.
    patched: HashMap<PatchRef, u32>,
}

#[derive(Debug, Default)]
struct Part {
    /// How many xDS resources.
    count: u32,
    /// When the last of them came.
    due: u64,
}

#[derive(Debug, Default)]
struct Known {
    holders: HashSet<Holder>,
    /// When it changed.
    changed: u64,
    /// When it changed, or anything more was made of it anywhere.
    due: u64,
}

impl Ledger {
    /// What is noted from now on belongs to `epoch`.
    pub(crate) fn begin(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// A new place.
    pub(crate) fn holder(&mut self) -> Holder {
        self.next += 1;
        self.holders.insert(Holder(self.next), Held::default());
        Holder(self.next)
    }

    /// A place is gone.
    pub(crate) fn drop_holder(&mut self, holder: Holder) {
        let Some(held) = self.holders.remove(&holder) else { return };
        for resource in held.made_of.into_keys() {
            self.release(holder, &resource);
            self.touched.insert(resource);
        }
        for patch in held.patched.into_keys() {
            self.release_patch(&patch);
        }
    }

    /// A patch of an EnvoyFilter did something to one xDS resource more (or less) of the place.
    pub(crate) fn count_patch(&mut self, holder: Holder, patch: &PatchRef, more: bool) {
        let Some(held) = self.holders.get_mut(&holder) else { return };
        if more {
            let count = held.patched.entry(patch.clone()).or_default();
            *count += 1;
            if *count == 1 {
                let (filter, index) = patch;
                *self.patched.entry(filter.clone()).or_default().entry(*index).or_default() += 1;
                self.touch(filter);
            }
        } else if let Some(count) = held.patched.get_mut(patch) {
            *count -= 1;
            if *count == 0 {
                held.patched.remove(patch);
                self.release_patch(patch);
            }
        }
    }

    /// A patch does nothing in some place any more.
    fn release_patch(&mut self, (filter, index): &PatchRef) {
        let Some(patches) = self.patched.get_mut(filter) else { return };
        if let Some(places) = patches.get_mut(index) {
            *places -= 1;
            if *places == 0 {
                patches.remove(index);
            }
        }
        if patches.is_empty() {
            self.patched.remove(filter);
        }
        self.touch(filter);
    }

    /// Whether a patch of an EnvoyFilter does anything anywhere.
    pub(crate) fn is_patching(&self, filter: &ResourceRef, index: usize) -> bool {
        self.patched.get(filter).is_some_and(|patches| patches.contains_key(&index))
    }

    /// One xDS resource more (or less) of the place was made of `resource`.
    pub(crate) fn count(&mut self, holder: Holder, resource: &ResourceRef, more: bool) {
        let Some(held) = self.holders.get_mut(&holder) else { return };
        if more {
            let part = held.made_of.entry(resource.clone()).or_default();
            part.count += 1;
            part.due = self.epoch;
            if part.count == 1 {
                self.known.entry(resource.clone()).or_default().holders.insert(holder);
            }
            self.note(resource);
        } else if let Some(part) = held.made_of.get_mut(resource) {
            part.count -= 1;
            if part.count == 0 {
                held.made_of.remove(resource);
                self.release(holder, resource);
                self.touched.insert(resource.clone());
            }
        }
    }

    /// The resource changed in this epoch: who has answered everything up to it has it.
    pub(crate) fn changed(&mut self, resource: &ResourceRef) {
        self.note(resource);
        if let Some(known) = self.known.get_mut(resource) {
            known.changed = self.epoch;
        }
    }

    /// Notes that something of the resource is due since this epoch.
    fn note(&mut self, resource: &ResourceRef) {
        let known = self.known.entry(resource.clone()).or_default();
        if known.due != self.epoch {
            if let Some(bucket) = self.recent.get_mut(&known.due) {
                bucket.remove(resource);
                if bucket.is_empty() {
                    self.recent.remove(&known.due);
                }
            }
            known.due = self.epoch;
            self.recent.entry(self.epoch).or_default().insert(resource.clone());
        }
        self.touched.insert(resource.clone());
    }

    /// The resource is gone.
    pub(crate) fn forget(&mut self, resource: &ResourceRef) {
        self.touched.remove(resource);
        let Some(known) = self.known.get_mut(resource) else { return };
        if let Some(bucket) = self.recent.get_mut(&known.due) {
            bucket.remove(resource);
        }
        known.due = 0;
        if known.holders.is_empty() {
            self.known.remove(resource);
        }
    }

    /// Nothing of a place was made of the resource any more.
    fn release(&mut self, holder: Holder, resource: &ResourceRef) {
        let Some(known) = self.known.get_mut(resource) else { return };
        known.holders.remove(&holder);
        if known.holders.is_empty() && known.due == 0 {
            self.known.remove(resource);
        }
    }

    /// A stream is served from a place.
    pub(crate) fn joined(&mut self, holder: Holder, stream: StreamId) {
        if let Some(held) = self.holders.get_mut(&holder) {
            held.streams.insert(stream);
        }
        self.touch_holder(holder);
    }

    /// A stream is not served from a place any more.
    pub(crate) fn left(&mut self, holder: Holder, stream: StreamId) {
        if let Some(held) = self.holders.get_mut(&holder) {
            held.streams.remove(&stream);
        }
        self.touch_holder(holder);
    }

    /// Everything that a place was made of may stand otherwise now.
    pub(crate) fn touch_holder(&mut self, holder: Holder) {
        if let Some(held) = self.holders.get(&holder) {
            self.touched.extend(held.made_of.keys().cloned());
        }
    }

    /// The resources that came to be due after `from`, up to `to`, may stand otherwise now.
    pub(crate) fn touch_due(&mut self, from: u64, to: u64) {
        if from < to {
            let due = self.recent.range(from + 1..=to).flat_map(|(_, all)| all);
            self.touched.extend(due.cloned());
        }
    }

    /// One resource may stand otherwise now.
    pub(crate) fn touch(&mut self, resource: &ResourceRef) {
        if !self.touched.contains(resource) {
            self.touched.insert(resource.clone());
        }
    }

    /// What was touched since the last call.
    pub(crate) fn take_touched(&mut self) -> HashSet<ResourceRef> {
        std::mem::take(&mut self.touched)
    }

    /// Whether anything was touched.
    pub(crate) fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// The streams that a resource concerns, each with the epoch that it must have reached to have the resource.
    pub(crate) fn streams_of(&self, resource: &ResourceRef) -> HashMap<StreamId, u64> {
        let mut all = HashMap::new();
        let Some(known) = self.known.get(resource) else { return all };
        for held in known.holders.iter().filter_map(|h| self.holders.get(h)) {
            let due = held.made_of.get(resource).map_or(0, |p| p.due).max(known.changed);
            for stream in &held.streams {
                let most = all.entry(*stream).or_insert(due);
                *most = due.max(*most);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str) -> ResourceRef {
        ResourceRef::new("networking.istio.io", "VirtualService", "shop", name)
    }

    #[test]
    fn a_resource_concerns_the_streams_of_the_places_made_of_it() {
        let mut ledger = Ledger::default();
        ledger.begin(1);
        let (view, own) = (ledger.holder(), ledger.holder());
        ledger.count(view, &route("a"), true);
        ledger.count(view, &route("a"), true);
        ledger.count(own, &route("b"), true);
        ledger.joined(view, StreamId(1));
        ledger.joined(view, StreamId(2));
        ledger.joined(own, StreamId(2));
        assert_eq!(ledger.streams_of(&route("a")), HashMap::from([(StreamId(1), 1), (StreamId(2), 1)]));
        assert_eq!(ledger.streams_of(&route("b")), HashMap::from([(StreamId(2), 1)]));
        ledger.count(view, &route("a"), false);
        assert_eq!(ledger.streams_of(&route("a")).len(), 2, "one is left");
        ledger.count(view, &route("a"), false);
        assert!(ledger.streams_of(&route("a")).is_empty());
    }

    #[test]
    fn a_patch_does_something_while_some_place_has_its_mark() {
        let mut ledger = Ledger::default();
        let (one, other) = (ledger.holder(), ledger.holder());
        let (filter, patch) = (route("f"), (route("f"), 1));
        ledger.count_patch(one, &patch, true);
        ledger.count_patch(one, &patch, true);
        ledger.count_patch(other, &patch, true);
        assert!(ledger.is_patching(&filter, 1) && !ledger.is_patching(&filter, 0));
        ledger.count_patch(one, &patch, false);
        ledger.drop_holder(other);
        assert!(ledger.is_patching(&filter, 1), "one is left");
        ledger.take_touched();
        ledger.count_patch(one, &patch, false);
        assert!(!ledger.is_patching(&filter, 1));
        assert_eq!(ledger.take_touched(), HashSet::from([filter]));
    }

    #[test]
    fn only_what_is_concerned_is_touched() {
        let mut ledger = Ledger::default();
        let view = ledger.holder();
        for (epoch, name) in [(1, "a"), (2, "b"), (3, "c")] {
            ledger.begin(epoch);
            ledger.count(view, &route(name), true);
        }
        let first = ledger.take_touched();
        assert_eq!(first.len(), 3);
        ledger.touch_due(1, 2);
        assert_eq!(ledger.take_touched(), HashSet::from([route("b")]));
        ledger.begin(4);
        ledger.changed(&route("b"));
        ledger.take_touched();
        ledger.touch_due(1, 3);
        assert_eq!(ledger.take_touched(), HashSet::from([route("c")]));
    }

    #[test]
    fn what_is_made_elsewhere_is_due_there_alone() {
        let mut ledger = Ledger::default();
        let (old, new) = (ledger.holder(), ledger.holder());
        ledger.begin(1);
        ledger.changed(&route("a"));
        ledger.count(old, &route("a"), true);
        ledger.joined(old, StreamId(1));
        ledger.begin(7);
        ledger.count(new, &route("a"), true);
        ledger.joined(new, StreamId(2));
        assert_eq!(ledger.streams_of(&route("a")), HashMap::from([(StreamId(1), 1), (StreamId(2), 7)]));
        ledger.begin(9);
        ledger.changed(&route("a"));
        assert_eq!(ledger.streams_of(&route("a")), HashMap::from([(StreamId(1), 9), (StreamId(2), 9)]));
    }
}
