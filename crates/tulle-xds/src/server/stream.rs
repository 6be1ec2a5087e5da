//! One stream: its subscriptions, and which of them may speak next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::catalog::{Catalog, TypeId};
use super::ids::StreamOptions;
use super::layers::Layers;
use super::report::reached;
use super::subscription::{Allowed, Subscription};

/// How long what is new may wait for earlier phases that do not come to an end.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct Stream {
    pub(super) options: StreamOptions,
    pub(super) sets: Vec<Layers>,
    pub(super) subscriptions: Vec<Option<Box<Subscription>>>,
    pub(super) nonce: u64,
    /// Resources that the client is expected to ask for, until when.
    pub(super) awaited: HashMap<(TypeId, Arc<str>), Instant>,
    pub(super) queued: bool,
    /// How far it was when that was last told.
    pub(super) told: u64,
}

impl Stream {
    pub(super) fn new(options: StreamOptions, sets: Vec<Layers>) -> Self {
        let subscriptions = sets.iter().map(|_| None).collect();
        Self { options, sets, subscriptions, nonce: 0, awaited: HashMap::new(), queued: false, told: 0 }
    }

    /// Every change up to this epoch is acknowledged or refused. 0 until the types without which nothing works (those whose
    /// responses are complete) have been asked for and answered.
    pub(super) fn reached(&self, catalog: &Catalog) -> u64 {
        let mut owed: Option<u64> = None;
        for id in catalog.ids() {
            match &self.subscriptions[id.index()] {
                Some(sub) if sub.answered || !catalog.get(id).full_state => {
                    owed = owed.into_iter().chain(sub.owed_since()).min();
                }
                None if !catalog.get(id).full_state => {}
                _ => return 0,
            }
        }
        reached(owed)
    }

    /// The first type, in order, that has something to send and may. `Err` when something waits for others or for time.
    pub(super) fn next(&self, catalog: &Catalog, now: Instant) -> Result<Option<(TypeId, Allowed)>, Blocked> {
        let mut blocked = false;
        for id in catalog.ids() {
            let Some(sub) = &self.subscriptions[id.index()] else { continue };
            if sub.in_flight.is_some() {
                continue;
            }
            let news = sub.owed || sub.has_news();
            let removals = sub.has_removals();
            if !news && !removals {
                continue;
            }
            let allowed = self.allowed(catalog, id, sub, now);
            if (news && allowed.news) || (removals && allowed.removals) {
                return Ok(Some((id, allowed)));
            }
            blocked = true;
        }
        if blocked { Err(Blocked) } else { Ok(None) }
    }

    fn allowed(&self, catalog: &Catalog, id: TypeId, sub: &Subscription, now: Instant) -> Allowed {
        let Some(phase) = catalog.get(id).phase else { return Allowed { news: true, removals: true } };
        if sub.since.is_some_and(|since| now.saturating_duration_since(since.at) > PATIENCE) {
            return Allowed { news: true, removals: true };
        }
        let mut allowed = Allowed { news: true, removals: true };
        if self.awaited.values().any(|until| *until > now) {
            allowed.removals = false;
            allowed.news =
                !self.awaited.keys().any(|(t, _)| catalog.get(*t).phase.is_some_and(|p| p < phase));
        }
        for other in catalog.ids() {
            let Some(theirs) = catalog.get(other).phase else { continue };
            let Some(other_sub) = &self.subscriptions[other.index()] else { continue };
            let flying = other_sub.in_flight.is_some();
            if other < id && (other_sub.has_news() || (flying && theirs < phase)) {
                allowed.news = false;
            }
            if other > id && (other_sub.has_news() || flying) {
                allowed.removals = false;
            }
            // What is gone and stood for is empty from then on: whoever refers to it goes first.
            let stood_for = catalog.get(id).stand_in.is_some();
            if other < id && stood_for && (other_sub.has_news() || other_sub.has_removals() || flying) {
                allowed.removals = false;
            }
        }
        allowed
    }
}

/// Something is to be sent, but other types come first.
#[derive(Debug)]
pub(super) struct Blocked;
