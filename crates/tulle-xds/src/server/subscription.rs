//! What one stream wants of one type, what it has, and what it is still to be told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use hashbrown::{HashMap, HashSet};

use super::layers::Layers;
use super::report::Refusal;
use super::set::Turn;
use crate::{Resource, ResourceError, Version};

/// What the client is thought to hold of a name that is to be told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// Nothing.
    Absent,
    /// This version.
    Version(Version),
    /// Perhaps something; it is told whatever is true.
    Unknown,
}

impl Base {
    fn of(resource: Option<&Arc<Resource>>) -> Self {
        resource.map_or(Self::Absent, |r| Self::Version(r.version()))
    }
}

/// When something came to be owed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// The time, for how long it takes.
    pub(super) at: Instant,
    /// The epoch of the change.
    pub(super) epoch: u64,
    /// The first epoch that the client has not accepted; 0 when nothing of it is known to be accepted.
    pub(super) from: u64,
}

/// When the oldest of what is owed came to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    pub(super) at: Instant,
    pub(super) epoch: u64,
}

#[derive(Clone, Copy, Debug)]
struct Dirty {
    base: Base,
    /// Whether the news is that the resource is gone. What stands for it then is sent as late as a removal would be: routes in
    /// force may still need the endpoints that were there.
    gone: bool,
    from: u64,
}

/// What was sent of a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// None for a removal.
    pub(super) version: Option<Version>,
    from: u64,
}

/// A response that waits for its acknowledgement.
#[derive(Debug)]
pub(super) struct InFlight {
    /// What was sent of each name.
    pub(super) items: HashMap<Arc<str>, Sent>,
    /// State of the world: what the client held of each name before.
    previous: HashMap<Arc<str>, Option<Arc<Resource>>>,
    /// When the oldest change in it was made.
    pub(super) since: Option<Since>,
}

impl InFlight {
    /// Names that were sent because they are new or changed.
    pub(super) fn news(&self) -> impl Iterator<Item = &str> + Clone {
        self.items.iter().filter(|(_, s)| s.version.is_some()).map(|(name, _)| name.as_ref())
    }
}

/// What is to be sent.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) changed: Vec<Arc<Resource>>,
    /// Names among them that the client had not before.
    pub(super) fresh: HashSet<Arc<str>>,
    pub(super) removed: Vec<Arc<str>>,
}

/// State of one type on one stream.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) sets: Layers,
    pub(super) wildcard: bool,
    pub(super) names: HashSet<Arc<str>>,
    dirty: HashMap<Arc<str>, Dirty>,
    gone: usize,
    /// A response is owed even if there is nothing to say: the first one.
    pub(super) owed: bool,
    pub(super) in_flight: Option<InFlight>,
    /// Nonce of the last response; a client repeats it when it asks for other names.
    pub(super) last_nonce: u64,
    /// What was refused last, with the first epoch that is not accepted.
    refused: HashMap<Arc<str>, (Version, u64)>,
    /// When the oldest change that is still to be sent was made.
    pub(super) since: Option<Since>,
    /// Whether the client has answered a response.
    pub(super) answered: bool,
    /// Groups of names of a response that was refused as a whole: each is sent by itself, to find out which was meant.
    trial: VecDeque<Vec<Arc<str>>>,
    /// State of the world, complete types only: what the client has after the last response.
    held: Option<HashMap<Arc<str>, Arc<Resource>>>,
}

impl Subscription {
    /// `keep_all`: this is a state-of-the-world stream and a type whose responses are complete.
    pub(super) fn new(sets: Layers, keep_all: bool, now: Instant) -> Self {
        Self {
            sets,
            wildcard: false,
            names: HashSet::new(),
            dirty: HashMap::new(),
            gone: 0,
            owed: true,
            in_flight: None,
            last_nonce: 0,
            refused: HashMap::new(),
            since: Some(Since { at: now, epoch: u64::MAX }),
            answered: false,
            trial: VecDeque::new(),
            held: keep_all.then(HashMap::new),
        }
    }

    /// Whether something new or changed waits to be sent.
    pub(super) fn has_news(&self) -> bool {
        self.dirty.len() > self.gone
    }

    /// Whether a removal waits to be sent.
    pub(super) fn has_removals(&self) -> bool {
        self.gone > 0
    }

    /// Whether nothing is to be sent or acknowledged.
    pub(super) fn is_settled(&self) -> bool {
        self.dirty.is_empty() && self.in_flight.is_none() && !self.owed
    }

    /// Resources that this stream refused, with the version refused.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&Arc<str>, &Version)> {
        self.refused.iter().map(|(name, (version, _))| (name, version))
    }

    /// The errors that have just been taken in, with what they are about.
    pub(super) fn refusals(&self, errors: &[ResourceError]) -> Vec<Refusal> {
        let of = |error: &ResourceError| {
            let (version, since) = *self.refused.get(error.name.as_str())?;
            Some(Refusal { error: error.clone(), version, since })
        };
        errors.iter().filter_map(of).collect()
    }

    /// Epoch of the oldest change that is to be sent or to be acknowledged.
    pub(super) fn owed_since(&self) -> Option<u64> {
        let waiting = self.since.filter(|_| !self.dirty.is_empty());
        let flying = self.in_flight.as_ref().and_then(|f| f.since);
        waiting.into_iter().chain(flying).map(|s| s.epoch).min()
    }

    /// A name turned from one content to another. `ceased`: the resource does not exist any more, whatever stands for it.
    pub(super) fn turn(&mut self, name: &Arc<str>, turn: &Turn, ceased: bool, now: Instant, epoch: u64) {
        let base = Base::of(turn.before.as_ref());
        self.mark(name, base, ceased, Moment { at: now, epoch, from: epoch });
    }

    /// A name is to be told about; `base` is believed only if nothing is known better.
    pub(super) fn mark(&mut self, name: &Arc<str>, base: Base, gone: bool, when: Moment) {
        let sent = self.in_flight.as_ref().and_then(|f| f.items.get(name));
        let base = match sent.map(|s| s.version) {
            Some(Some(version)) if base != Base::Unknown => Base::Version(version),
            Some(None) if base != Base::Unknown => Base::Absent,
            _ => base,
        };
        let from = self.refused.get(name).map_or(when.from, |(_, from)| when.from.min(*from));
        let dirty = self.dirty.entry(name.clone()).or_insert(Dirty { base, gone: false, from });
        dirty.from = dirty.from.min(from);
        if base == Base::Unknown {
            dirty.base = Base::Unknown;
        }
        self.gone = self.gone + usize::from(gone) - usize::from(dirty.gone);
        dirty.gone = gone;
        let since = self.since.get_or_insert(Since { at: when.at, epoch: when.epoch });
        since.epoch = since.epoch.min(when.epoch);
    }

    /// A name is of no interest any more.
    pub(super) fn forget(&mut self, name: &str) {
        if let Some(dirty) = self.dirty.remove(name) {
            self.gone -= usize::from(dirty.gone);
        }
        self.refused.remove(name);
        if let Some(held) = &mut self.held {
            held.remove(name);
        }
    }

    /// Takes what may be sent now, at most about `limit` bytes of it (the rest stays), and puts it in flight.
    ///
    /// `None` when there is nothing to say after all.
    pub(super) fn take<'a>(
        &mut self,
        lookup: impl Fn(&str, bool) -> Option<&'a Arc<Resource>>,
        nonce: u64,
        may: Allowed,
        limit: usize,
    ) -> Option<Batch> {
        let mut batch = Batch::default();
        let mut items = HashMap::new();
        let mut bytes = 0;
        for name in self.choose(may) {
            if bytes >= limit && self.held.is_none() {
                break;
            }
            let Some(dirty) = self.dirty.remove(&name) else { continue };
            self.gone -= usize::from(dirty.gone);
            match lookup(&name, self.names.contains(&name)) {
                Some(resource) => {
                    let version = resource.version();
                    let known = dirty.base == Base::Version(version);
                    let bad = self.refused.get(&name).is_some_and(|(refused, _)| *refused == version);
                    if !known && !bad {
                        bytes += resource.encoded().len();
                        if dirty.base == Base::Absent && resource.follows().is_some() {
                            batch.fresh.insert(name.clone());
                        }
                        items.insert(name, Sent { version: Some(version), from: dirty.from });
                        batch.changed.push(resource.clone());
                    }
                }
                None if dirty.base == Base::Absent => {}
                None => {
                    items.insert(name.clone(), Sent { version: None, from: dirty.from });
                    batch.removed.push(name);
                }
            }
        }
        if self.dirty.is_empty() {
            self.gone = 0;
        }
        let since = if self.dirty.is_empty() { self.since.take() } else { self.since };
        if items.is_empty() && !self.owed {
            return None;
        }
        self.owed = false;
        for name in items.keys() {
            self.refused.remove(name);
        }
        let previous = self.hold(&batch);
        self.last_nonce = nonce;
        self.in_flight = Some(InFlight { items, previous, since });
        Some(batch)
    }

    /// The names that may be sent now: those on trial by themselves, else all.
    fn choose(&mut self, may: Allowed) -> Vec<Arc<str>> {
        while let Some(group) = self.trial.front().filter(|_| may.news) {
            let wanted = |name: &&Arc<str>| self.dirty.get(*name).is_some_and(|d| !d.gone);
            let chosen: Vec<Arc<str>> = group.iter().filter(wanted).cloned().collect();
            self.trial.pop_front();
            if !chosen.is_empty() {
                return chosen;
            }
        }
        let may = |d: &Dirty| if d.gone { may.removals } else { may.news };
        self.dirty.iter().filter(|(_, d)| may(d)).map(|(n, _)| n.clone()).collect()
    }

    /// Everything that the client should have, for a complete response.
    pub(super) fn held(&self) -> Option<impl Iterator<Item = &Arc<Resource>>> {
        self.held.as_ref().map(HashMap::values)
    }

    /// The response in flight was accepted, or refused in part (`refused` names).
    pub(super) fn answered<'a>(
        &mut self,
        refused: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<InFlight> {
        let flight = self.in_flight.take()?;
        self.answered = true;
        for name in refused {
            let Some((name, Sent { version: Some(version), from })) = flight.items.get_key_value(name) else {
                continue;
            };
            self.refused.insert(name.clone(), (*version, *from));
            if let Some(dirty) = self.dirty.get_mut(name) {
                dirty.base = Base::Unknown;
                dirty.from = dirty.from.min(*from);
            }
            self.unhold(&flight, name);
        }
        Some(flight)
    }

    /// The response in flight was refused as a whole: all of it is sent again, in two halves, one after the other. False when
    /// there is nothing to halve.
    pub(super) fn split(&mut self) -> bool {
        if self.in_flight.as_ref().is_none_or(|f| f.news().count() < 2) {
            return false;
        }
        let Some(flight) = self.in_flight.take() else { return false };
        self.answered = true;
        let mut names = Vec::new();
        for (name, Sent { version, from }) in &flight.items {
            let at = flight.since.map_or_else(Instant::now, |s| s.at);
            let epoch = flight.since.map_or(u64::MAX, |s| s.epoch);
            let gone = self.dirty.get(name).map_or(version.is_none(), |d| d.gone);
            self.mark(name, Base::Unknown, gone, Moment { at, epoch, from: *from });
            if version.is_some() {
                names.push(name.clone());
                self.unhold(&flight, name);
            }
        }
        names.sort();
        let second = names.split_off(names.len() / 2);
        self.trial.push_front(second);
        self.trial.push_front(names);
        true
    }

    /// What the client held of `name` before `flight` is what it holds.
    fn unhold(&mut self, flight: &InFlight, name: &Arc<str>) {
        let Some(held) = &mut self.held else { return };
        match flight.previous.get(name) {
            Some(Some(good)) => drop(held.insert(name.clone(), good.clone())),
            Some(None) => drop(held.remove(name)),
            None => {}
        }
    }

    fn hold(&mut self, batch: &Batch) -> HashMap<Arc<str>, Option<Arc<Resource>>> {
        let Some(held) = &mut self.held else { return HashMap::new() };
        let mut previous = HashMap::with_capacity(batch.changed.len());
        for resource in &batch.changed {
            let name = resource.name().clone();
            let before = held.insert(name.clone(), resource.clone());
            previous.insert(name, before);
        }
        for name in &batch.removed {
            held.remove(name);
        }
        previous
    }
}

/// What make-before-break lets through at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    /// New and changed resources.
    pub(super) news: bool,
    /// Removals.
    pub(super) removals: bool,
}
