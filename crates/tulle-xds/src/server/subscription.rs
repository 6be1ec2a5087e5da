//! What one stream wants of one type, what it has, and what it is still to be told.

use std::sync::Arc;
use std::time::Instant;

use hashbrown::{HashMap, HashSet};

use super::layers::Layers;
use super::set::Turn;
use crate::{Resource, Version};

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

#[derive(Clone, Copy, Debug)]
struct Dirty {
    base: Base,
    /// Whether the news is that the resource is gone.
    gone: bool,
}

/// A response that waits for its acknowledgement.
#[derive(Debug)]
pub(super) struct InFlight {
    /// Name and version; none for a removal.
    pub(super) items: HashMap<Arc<str>, Option<Version>>,
    /// State of the world: what the client held of each name before.
    previous: HashMap<Arc<str>, Option<Arc<Resource>>>,
    /// When the oldest change in it was made.
    pub(super) since: Option<Instant>,
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
    refused: HashMap<Arc<str>, Version>,
    /// When the oldest change that is still to be sent was made.
    pub(super) since: Option<Instant>,
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
            since: Some(now),
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
        self.refused.iter()
    }

    /// A name turned from one content to another.
    pub(super) fn turn(&mut self, name: &Arc<str>, turn: &Turn, now: Instant) {
        let base = Base::of(turn.before.as_ref());
        self.mark(name, base, turn.after.is_none(), now);
    }

    /// A name is to be told about; `base` is believed only if nothing is known better.
    pub(super) fn mark(&mut self, name: &Arc<str>, base: Base, gone: bool, now: Instant) {
        let sent = self.in_flight.as_ref().and_then(|f| f.items.get(name));
        let base = match sent {
            Some(Some(version)) if base != Base::Unknown => Base::Version(*version),
            Some(None) if base != Base::Unknown => Base::Absent,
            _ => base,
        };
        let dirty = self.dirty.entry(name.clone()).or_insert(Dirty { base, gone: false });
        if base == Base::Unknown {
            dirty.base = Base::Unknown;
        }
        self.gone = self.gone + usize::from(gone) - usize::from(dirty.gone);
        dirty.gone = gone;
        self.since.get_or_insert(now);
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
        let chosen: Vec<Arc<str>> = self
            .dirty
            .iter()
            .filter(|(_, d)| if d.gone { may.removals } else { may.news })
            .map(|(n, _)| n.clone())
            .collect();
        for name in chosen {
            if bytes >= limit && self.held.is_none() {
                break;
            }
            let Some(dirty) = self.dirty.remove(&name) else { continue };
            self.gone -= usize::from(dirty.gone);
            match lookup(&name, self.names.contains(&name)) {
                Some(resource) => {
                    let version = resource.version();
                    let known = dirty.base == Base::Version(version);
                    let bad = self.refused.get(&name) == Some(&version);
                    if !known && !bad {
                        bytes += resource.encoded().len();
                        if dirty.base == Base::Absent && resource.follows().is_some() {
                            batch.fresh.insert(name.clone());
                        }
                        items.insert(name, Some(version));
                        batch.changed.push(resource.clone());
                    }
                }
                None if dirty.base == Base::Absent => {}
                None => {
                    items.insert(name.clone(), None);
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
        for name in refused {
            let Some((name, Some(version))) = flight.items.get_key_value(name) else {
                continue;
            };
            self.refused.insert(name.clone(), *version);
            if let Some(dirty) = self.dirty.get_mut(name) {
                dirty.base = Base::Unknown;
            }
            if let Some(held) = &mut self.held {
                match flight.previous.get(name) {
                    Some(Some(good)) => held.insert(name.clone(), good.clone()),
                    _ => held.remove(name),
                };
            }
        }
        Some(flight)
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
