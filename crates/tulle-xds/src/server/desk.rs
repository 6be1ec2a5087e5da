//! Reading one request: what a stream wants changes, and what it must be told with it.

use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;

use super::catalog::{StandIn, TypeId};
use super::ids::{SetId, StreamId};
use super::set::Set;
use super::stream::Stream;
use super::subscription::{Base, Subscription};
use crate::Resource;

/// One stream's place at one set, while a request is read.
pub(super) struct Desk<'a> {
    pub(super) id: StreamId,
    pub(super) kind: TypeId,
    pub(super) keep_all: bool,
    pub(super) stand_in: Option<StandIn>,
    pub(super) stream: &'a mut Stream,
    pub(super) set: &'a mut Set,
    pub(super) set_id: SetId,
    pub(super) now: Instant,
}

impl Desk<'_> {
    pub(super) fn sub_is_new(&self) -> bool {
        self.stream.subscriptions[self.kind.index()].is_none()
    }

    pub(super) fn begin(&mut self) {
        self.sub();
    }

    pub(super) fn sub(&mut self) -> &mut Subscription {
        let (set_id, keep_all, now) = (self.set_id, self.keep_all, self.now);
        self.stream.subscriptions[self.kind.index()]
            .get_or_insert_with(|| Box::new(Subscription::new(set_id, keep_all, now)))
    }

    /// Everything is wanted; `base` says what the client holds of a name already.
    pub(super) fn want_all(&mut self, base: &dyn Fn(&str) -> Base) {
        let now = self.now;
        if self.sub().wildcard {
            return;
        }
        self.sub().wildcard = true;
        self.set.wildcard.insert(self.id);
        let index = self.kind.index();
        let Some(sub) = self.stream.subscriptions[index].as_deref_mut() else { return };
        for resource in self.set.resources() {
            let base = base(resource.name());
            if !sub.names.contains(resource.name()) && base != Base::Version(resource.version()) {
                sub.mark(resource.name(), base, false, now);
            }
        }
    }

    /// The client holds a resource from an earlier stream; tells it if that is gone.
    pub(super) fn gone_meanwhile(&mut self, name: &str) {
        let now = self.now;
        if self.set.get(name, false).is_none() {
            self.sub().mark(&name.into(), Base::Unknown, true, now);
        }
    }

    /// One name is wanted. Asking again for a name sends it again.
    pub(super) fn want(&mut self, name: &str, base: Base) {
        let now = self.now;
        let shared = self.set.subscribe(self.id, name, self.stand_in.as_ref());
        self.stream.awaited.remove(&(self.kind, shared.clone()));
        let current = self.set.get(name, true).map(|r| r.version());
        let sub = self.sub();
        sub.names.insert(shared.clone());
        if base == Base::Unknown || current.map(Base::Version) != Some(base) {
            sub.mark(&shared, base, current.is_none(), now);
        }
    }

    pub(super) fn unwant(&mut self, name: &str) {
        let now = self.now;
        let exists = self.set.get(name, false).is_some();
        let id = self.id;
        let sub = self.sub();
        if !sub.names.remove(name) {
            return;
        }
        sub.forget(name);
        if sub.wildcard {
            // It is still wanted, as one of all (xDS protocol, "unsubscribing from resources").
            sub.mark(&name.into(), Base::Unknown, !exists, now);
        }
        self.set.unsubscribe(id, name);
    }

    pub(super) fn unwant_all(&mut self) {
        let id = self.id;
        let names: Vec<Arc<str>> = self.set.resources().map(|r| r.name().clone()).collect();
        self.set.wildcard.remove(&id);
        let sub = self.sub();
        sub.wildcard = false;
        for name in names {
            if !sub.names.contains(&name) {
                sub.forget(&name);
            }
        }
    }
}

/// Takes a subscription off its set; returns what the client has been offered from it.
pub(super) fn detach(
    sets: &mut HashMap<SetId, Set>,
    set: SetId,
    id: StreamId,
    sub: &Subscription,
) -> HashMap<Arc<str>, Arc<Resource>> {
    let mut offered = HashMap::new();
    let Some(set) = sets.get_mut(&set) else { return offered };
    if sub.wildcard {
        set.wildcard.remove(&id);
        offered.extend(set.resources().map(|r| (r.name().clone(), r.clone())));
    }
    for name in &sub.names {
        if let Some(resource) = set.get(name, true) {
            offered.insert(name.clone(), resource.clone());
        }
        set.unsubscribe(id, name);
    }
    offered
}
