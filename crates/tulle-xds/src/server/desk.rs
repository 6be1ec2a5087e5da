//! Reading one request: what a stream wants changes, and what it must be told with it.

use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;

use super::catalog::{StandIn, TypeId};
use super::ids::{SetId, StreamId};
use super::layers::{Layers, epoch_of, lookup, resources};
use super::set::Set;
use super::stream::Stream;
use super::subscription::{Base, Moment, Subscription};
use crate::Resource;

/// One stream's place at the sets of one type, while a request is read.
pub(super) struct Desk<'a> {
    pub(super) id: StreamId,
    pub(super) kind: TypeId,
    pub(super) keep_all: bool,
    pub(super) stand_in: Option<StandIn>,
    pub(super) stream: &'a mut Stream,
    pub(super) sets: &'a mut HashMap<SetId, Set>,
    pub(super) layers: Layers,
    pub(super) now: Instant,
    /// The server's epoch.
    pub(super) epoch: u64,
}

impl Desk<'_> {
    /// `name` is asked for now: it is owed since its last change, and nothing of it is known to be good.
    fn asked(&self, name: &str) -> Moment {
        Moment { at: self.now, epoch: epoch_of(self.sets, &self.layers, name), from: 0 }
    }

    pub(super) fn sub_is_new(&self) -> bool {
        self.stream.subscriptions[self.kind.index()].is_none()
    }

    pub(super) fn begin(&mut self) {
        self.sub();
    }

    pub(super) fn sub(&mut self) -> &mut Subscription {
        let (keep_all, now) = (self.keep_all, self.now);
        self.stream.subscriptions[self.kind.index()]
            .get_or_insert_with(|| Box::new(Subscription::new(self.layers.clone(), keep_all, now)))
    }

    /// Everything is wanted; `base` says what the client holds of a name already.
    pub(super) fn want_all(&mut self, base: &dyn Fn(&str) -> Base) {
        if self.sub().wildcard {
            return;
        }
        self.sub().wildcard = true;
        for id in self.layers.iter() {
            if let Some(set) = self.sets.get_mut(id) {
                set.wildcard.insert(self.id);
            }
        }
        let index = self.kind.index();
        let Some(sub) = self.stream.subscriptions[index].as_deref_mut() else { return };
        for resource in resources(self.sets, &self.layers) {
            let base = base(resource.name());
            if !sub.names.contains(resource.name()) && base != Base::Version(resource.version()) {
                let epoch = epoch_of(self.sets, &self.layers, resource.name());
                sub.mark(resource.name(), base, false, Moment { at: self.now, epoch, from: 0 });
            }
        }
    }

    /// The client holds a resource from an earlier stream; tells it if that is gone.
    pub(super) fn gone_meanwhile(&mut self, name: &str) {
        if lookup(self.sets, &self.layers, name, false).is_none() {
            let moment = Moment { at: self.now, epoch: self.epoch, from: 0 };
            self.sub().mark(&name.into(), Base::Unknown, true, moment);
        }
    }

    /// One name is wanted. Asking again for a name sends it again.
    pub(super) fn want(&mut self, name: &str, base: Base) {
        let mut shared: Option<Arc<str>> = None;
        for id in self.layers.iter() {
            if let Some(set) = self.sets.get_mut(id) {
                shared = Some(set.subscribe(self.id, name, self.stand_in.as_ref()));
            }
        }
        let shared = shared.unwrap_or_else(|| name.into());
        self.stream.awaited.remove(&(self.kind, shared.clone()));
        let current = lookup(self.sets, &self.layers, name, true).map(|r| r.version());
        let moment = self.asked(name);
        let sub = self.sub();
        sub.names.insert(shared.clone());
        if base == Base::Unknown || current.map(Base::Version) != Some(base) {
            sub.mark(&shared, base, current.is_none(), moment);
        }
    }

    pub(super) fn unwant(&mut self, name: &str) {
        let exists = lookup(self.sets, &self.layers, name, false).is_some();
        let moment = self.asked(name);
        let sub = self.sub();
        if !sub.names.remove(name) {
            return;
        }
        sub.forget(name);
        if sub.wildcard {
            // It is still wanted, as one of all (xDS protocol, "unsubscribing from resources").
            sub.mark(&name.into(), Base::Unknown, !exists, moment);
        }
        for id in self.layers.iter() {
            if let Some(set) = self.sets.get_mut(id) {
                set.unsubscribe(self.id, name);
            }
        }
    }

    pub(super) fn unwant_all(&mut self) {
        let names: Vec<Arc<str>> = resources(self.sets, &self.layers).map(|r| r.name().clone()).collect();
        for id in self.layers.iter() {
            if let Some(set) = self.sets.get_mut(id) {
                set.wildcard.remove(&self.id);
            }
        }
        let sub = self.sub();
        sub.wildcard = false;
        for name in names {
            if !sub.names.contains(&name) {
                sub.forget(&name);
            }
        }
    }
}

/// Puts a subscription on its sets, as it stands.
pub(super) fn attach(
    sets: &mut HashMap<SetId, Set>,
    id: StreamId,
    sub: &Subscription,
    stand_in: Option<&StandIn>,
) {
    for set in sub.sets.iter() {
        let Some(set) = sets.get_mut(set) else { continue };
        if sub.wildcard {
            set.wildcard.insert(id);
        }
        for name in &sub.names {
            set.subscribe(id, name, stand_in);
        }
    }
}

/// Takes a subscription off its sets; returns what the client has been offered from them.
pub(super) fn detach(
    sets: &mut HashMap<SetId, Set>,
    id: StreamId,
    sub: &Subscription,
) -> HashMap<Arc<str>, Arc<Resource>> {
    let mut offered = HashMap::new();
    if sub.wildcard {
        offered.extend(resources(sets, &sub.sets).map(|r| (r.name().clone(), r.clone())));
    }
    for name in &sub.names {
        if let Some(resource) = lookup(sets, &sub.sets, name, true) {
            offered.insert(name.clone(), resource.clone());
        }
    }
    for set in sub.sets.iter() {
        let Some(set) = sets.get_mut(set) else { continue };
        set.wildcard.remove(&id);
        for name in &sub.names {
            set.unsubscribe(id, name);
        }
    }
    offered
}
