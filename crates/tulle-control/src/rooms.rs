//! The states of the mesh that proxies are given. There is one for everybody; a proxy that refuses a resource is given one in
//! which that resource has its last good form, so that everything else keeps converging there too.
//!
//! The common one differs from what the store says where that would break what works: a route to a subset that nobody
//! defines (yet) keeps its last good form, and so does a DestinationRule while routes in force still need its subsets.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tulle_base::{Host, ResourceRef};
use tulle_mesh::{Change, ChangedKeys, MeshConfig, MissingSubset, Snapshot};

use crate::documents::Documents;

/// Rooms beside the common one, at most: proxies that refuse the same share one.
const MAX_ROOMS: usize = 64;
/// How often a step is tried again with less in it. What breaks routes then goes in all the same.
const MAX_ROUNDS: usize = 4;

/// Names a state; 0 is the common one.
pub(crate) type RoomId = u32;

/// See the module.
pub(crate) struct Rooms {
    truth: Snapshot,
    base: Snapshot,
    /// What keeps an older form in `base`.
    held: BTreeSet<ResourceRef>,
    /// Routes of `truth` to subsets that nobody defines.
    missing: BTreeMap<ResourceRef, Vec<MissingSubset>>,
    others: HashMap<RoomId, Room>,
    next: RoomId,
}

struct Room {
    without: BTreeSet<ResourceRef>,
    snapshot: Snapshot,
    users: usize,
}

/// What a step changed.
#[derive(Default)]
pub(crate) struct Step {
    /// In each room.
    pub(crate) keys: HashMap<RoomId, ChangedKeys>,
    /// What was looked at: problems and conflicts of these may be others now.
    pub(crate) noted: BTreeSet<ResourceRef>,
}

impl Step {
    /// Takes in what another step changed after this one.
    pub(crate) fn merge(&mut self, later: Self) {
        let Self { keys, noted } = later;
        for (room, changed) in keys {
            self.keys.entry(room).or_default().merge(changed);
        }
        self.noted.extend(noted);
    }
}

impl Rooms {
    pub(crate) fn new(mesh: MeshConfig) -> Self {
        let base = Snapshot::new(mesh);
        Self {
            truth: base.clone(),
            base,
            held: BTreeSet::new(),
            missing: BTreeMap::new(),
            others: HashMap::new(),
            next: 1,
        }
    }

    /// The mesh as the store says.
    pub(crate) fn truth(&self) -> &Snapshot {
        &self.truth
    }

    /// The state of a room.
    pub(crate) fn snapshot(&self, room: RoomId) -> &Snapshot {
        self.others.get(&room).map_or(&self.base, |r| &r.snapshot)
    }

    /// Whether the resource keeps an older form everywhere.
    pub(crate) fn is_held(&self, resource: &ResourceRef) -> bool {
        self.held.contains(resource)
    }

    /// The subsets that a resource sends requests to and nobody defines.
    pub(crate) fn missing(&self, resource: &ResourceRef) -> &[MissingSubset] {
        self.missing.get(resource).map_or(&[], Vec::as_slice)
    }

    /// Takes in changes of the store.
    pub(crate) fn step(&mut self, changes: &[Change], documents: &Documents) -> Step {
        let (truth, truth_keys, mut noted) = self.truth.apply_noting(changes);
        self.truth = truth;
        self.note_missing(&noted);
        let was_held = self.held.clone();
        let attempt = self.attempt(changes, documents);
        let mut step = Step::default();
        let (base, keys) = if was_held.is_empty() && self.breaks(&self.truth, &noted, &attempt).is_empty() {
            (self.truth.clone(), truth_keys)
        } else {
            self.careful(attempt.clone())
        };
        let kept = |c: &&Change| !self.held.contains(&reference(c));
        let attempt: Vec<Change> = attempt.iter().filter(kept).cloned().collect();
        self.base = if self.held.is_empty() { self.truth.clone() } else { base };
        step.keys.insert(0, keys);
        for (id, room) in &mut self.others {
            let wanted = |c: &&Change| !room.without.contains(&reference(c));
            let theirs: Vec<Change> = attempt.iter().filter(wanted).cloned().collect();
            let (snapshot, keys) = room.snapshot.apply(&theirs);
            room.snapshot = snapshot;
            step.keys.insert(*id, keys);
        }
        noted.extend(was_held.symmetric_difference(&self.held).cloned());
        step.noted = noted;
        step
    }

    /// Tells every room the time of day, in seconds after 1970-01-01T00:00:00Z.
    pub(crate) fn time(&mut self, now: i64) -> Step {
        self.everywhere(Change::Time(now))
    }

    /// Puts a change in force that is no document's, in every room.
    pub(crate) fn everywhere(&mut self, change: Change) -> Step {
        let change = [change];
        let (truth, _, noted) = self.truth.apply_noting(&change);
        self.truth = truth;
        let mut step = Step { noted, ..Step::default() };
        let (base, keys) = self.base.apply(&change);
        self.base = base;
        step.keys.insert(0, keys);
        for (id, room) in &mut self.others {
            let (snapshot, keys) = room.snapshot.apply(&change);
            room.snapshot = snapshot;
            step.keys.insert(*id, keys);
        }
        step
    }

    /// The room without the present form of some resources; none if there are too many rooms.
    pub(crate) fn enter(&mut self, without: &BTreeSet<ResourceRef>, documents: &Documents) -> Option<RoomId> {
        if without.is_empty() {
            return Some(0);
        }
        if let Some((id, room)) = self.others.iter_mut().find(|(_, r)| r.without == *without) {
            room.users += 1;
            return Some(*id);
        }
        if self.others.len() >= MAX_ROOMS {
            tracing::warn!(
                "too many proxies refuse different resources; this one keeps its last good resources"
            );
            return None;
        }
        let last_good = |resource: &ResourceRef| {
            let good = documents.get(resource).and_then(|d| d.good.clone());
            good.map_or_else(|| Change::Delete(resource.clone()), Change::Put)
        };
        // What is held has its last good form already.
        let changes: Vec<Change> =
            without.iter().filter(|r| !self.held.contains(*r)).map(last_good).collect();
        let (snapshot, _) = self.base.apply(&changes);
        let id = self.next;
        self.next += 1;
        self.others.insert(id, Room { without: without.clone(), snapshot, users: 1 });
        Some(id)
    }

    /// One user of a room less.
    pub(crate) fn leave(&mut self, id: RoomId) {
        let Some(room) = self.others.get_mut(&id) else { return };
        room.users -= 1;
        if room.users == 0 {
            self.others.remove(&id);
        }
    }

    fn note_missing(&mut self, noted: &BTreeSet<ResourceRef>) {
        for resource in noted.iter().filter(|r| r.kind == "VirtualService") {
            let missing = self.truth.missing_subsets(resource);
            if missing.is_empty() {
                self.missing.remove(resource);
            } else {
                self.missing.insert(resource.clone(), missing);
            }
        }
    }

    /// What of the changes may be put in force, and what was held and may be now.
    fn attempt(&mut self, changes: &[Change], documents: &Documents) -> Vec<Change> {
        let free: Vec<ResourceRef> = self.held.iter().filter(|r| self.is_free(r)).cloned().collect();
        for resource in &free {
            self.held.remove(resource);
        }
        let mut attempt: Vec<Change> = Vec::new();
        for resource in free {
            attempt.push(match documents.get(&resource) {
                Some(document) if !document.is_invalid() => Change::Put(document.current.clone()),
                Some(document) => match &document.good {
                    Some(good) => Change::Put(good.clone()),
                    None => continue,
                },
                None => Change::Delete(resource),
            });
        }
        let fresh = |c: &&Change| {
            !self.held.contains(&reference(c)) && !attempt.iter().any(|a| reference(a) == reference(c))
        };
        let fresh: Vec<Change> = changes.iter().filter(fresh).cloned().collect();
        // A rule is there before the routes that need it; the server sees to the order on the wire.
        fresh.into_iter().chain(attempt).collect()
    }

    fn is_free(&self, resource: &ResourceRef) -> bool {
        match resource.kind.as_str() {
            "DestinationRule" => {
                let host = self.base.rule_host(resource);
                !host.is_some_and(|host| self.missing.values().flatten().any(|m| covers(&host, &m.host)))
            }
            _ => !self.missing.contains_key(resource),
        }
    }

    /// Puts changes in force, without those that break routes.
    fn careful(&mut self, mut attempt: Vec<Change>) -> (Snapshot, ChangedKeys) {
        let mut round = 0;
        loop {
            let (next, keys, noted) = self.base.apply_noting(&attempt);
            let guilty = self.breaks(&next, &noted, &attempt);
            round += 1;
            if guilty.is_empty() || round > MAX_ROUNDS {
                return (next, keys);
            }
            attempt.retain(|c| !guilty.contains(&reference(c)));
            self.held.extend(guilty);
        }
    }

    /// Which of `changes`, that led to `next`, would have routes name a subset that nobody defines.
    fn breaks(
        &self,
        next: &Snapshot,
        noted: &BTreeSet<ResourceRef>,
        changes: &[Change],
    ) -> BTreeSet<ResourceRef> {
        let mut guilty = BTreeSet::new();
        for routes in noted.iter().filter(|r| r.kind == "VirtualService") {
            let missing = next.missing_subsets(routes);
            if missing.is_empty() {
                continue;
            }
            if changes.iter().any(|c| matches!(c, Change::Put(_)) && reference(c) == *routes) {
                guilty.insert(routes.clone());
            } else if self.base.missing_subsets(routes).is_empty() {
                let rules = changes.iter().map(reference).filter(|r| r.kind == "DestinationRule");
                guilty.extend(rules.filter(|rule| {
                    let host = self.base.rule_host(rule);
                    host.is_some_and(|host| missing.iter().any(|m| covers(&host, &m.host)))
                }));
            }
        }
        guilty
    }
}

fn covers(rule: &Host, host: &Host) -> bool {
    rule == host || rule.covers(host)
}

/// What a change is about.
pub(crate) fn reference(change: &Change) -> ResourceRef {
    match change {
        Change::Put(object) => object.resource(),
        Change::Delete(resource) => resource.clone(),
        Change::Time(_) | Change::Keys(..) => ResourceRef::new("", "", "", ""),
    }
}
