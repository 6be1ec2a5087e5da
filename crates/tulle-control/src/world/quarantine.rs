//! Resources that a proxy refuses: who is meant, and how everything else gets through.
//!
//! A proxy refuses an xDS resource. Guilty may be what it was made of and has changed since the proxy last accepted it. The
//! proxy is given a state of the mesh in which these have their last good form, so that it accepts what else is in the same
//! xDS resource. Where several may be guilty (a proxy that has just come has accepted nothing yet) they are given again, half
//! by half, until the refused ones are known.

use std::collections::BTreeSet;
use std::time::Instant;

use tulle_base::ResourceRef;
use tulle_translate::View;
use tulle_xds::server::{Refusal, StreamId, TypeId};

use super::World;
use super::clients::{Refresh, Refused};
use crate::metrics::Metric;

/// How often one stream is given something again, at most: each time it is made for it alone.
const MAX_TRIALS: u32 = 200;

impl World {
    /// A proxy refused resources.
    pub(super) fn refused(&mut self, stream: StreamId, kind: TypeId, errors: Vec<Refusal>) {
        let label = self.types.label(kind);
        self.outside.metrics.add(Metric::Rejects, &[("type", label)], 1.0);
        let mut moved = false;
        for Refusal { error, version: _, since } in errors {
            tracing::error!(
                proxy = self.name_of(stream),
                r#type = label,
                resource = error.name,
                reason = error.message,
                "a proxy refused a resource; its last good version stays in force"
            );
            let suspects = self.suspects(stream, kind, &error.name, since);
            if suspects.is_empty() {
                continue;
            }
            moved = true;
            let Some(client) = self.clients.get_mut(&stream) else { return };
            for resource in &suspects {
                let refused =
                    Refused { resource: format!("{label} {}", error.name), message: error.message.clone() };
                client.refuses.insert(resource.clone(), refused);
                self.refusing.entry(resource.clone()).or_default().insert(stream);
                self.ledger.touch(resource);
            }
            if suspects.len() > 1 {
                let (one, other) = suspects.split_at(suspects.len() / 2);
                client.trials.push_front(other.to_vec());
                client.trials.push_front(one.to_vec());
            }
        }
        self.count_refused();
        if moved {
            self.begin();
            self.relocate(stream, Instant::now());
            self.outside.hub.mark();
        }
    }

    /// What may be to blame for a refused resource: what it was made of, and the proxy has not accepted before in this form.
    fn suspects(&self, stream: StreamId, kind: TypeId, name: &str, since: u64) -> Vec<ResourceRef> {
        let Some(client) = self.clients.get(&stream) else { return Vec::new() };
        let shared = self.views.get(&client.view_key()).and_then(|v| v.made_by(self.types, kind, name));
        let made_by = shared.or_else(|| client.own.made_by(self.types, kind, name));
        let changed = |r: &ResourceRef| {
            let given = client.given_again.get(r).copied();
            self.documents.get(r).map(|d| d.changed).max(given)
        };
        let all = made_by.into_iter().flat_map(|all| all.iter());
        let all = all.filter(|r| !client.refuses.contains_key(*r));
        all.filter(|r| changed(r).is_some_and(|epoch| epoch >= since)).cloned().collect()
    }

    /// Resources are others now: nobody refuses them any more, until it is seen.
    pub(super) fn pardon(&mut self, changed: &[ResourceRef], at: Instant) {
        let mut moved = BTreeSet::new();
        for resource in changed {
            let Some(streams) = self.refusing.remove(resource) else { continue };
            for stream in streams {
                if let Some(client) = self.clients.get_mut(&stream) {
                    client.refuses.remove(resource);
                    moved.insert(stream);
                }
            }
            self.ledger.touch(resource);
        }
        for stream in &moved {
            self.relocate(*stream, at);
        }
        if !moved.is_empty() {
            self.count_refused();
        }
    }

    /// A proxy does not refuse a resource any more.
    pub(super) fn forgive(&mut self, resource: &ResourceRef, stream: StreamId) {
        if let Some(streams) = self.refusing.get_mut(resource) {
            streams.remove(&stream);
            if streams.is_empty() {
                self.refusing.remove(resource);
            }
        }
        self.ledger.touch(resource);
    }

    /// Gives the next group of what was refused together to proxies that have answered everything.
    pub(super) fn try_again(&mut self) {
        let standing = &self.outside.standing;
        let settled = |(stream, client): (&StreamId, &super::Client)| {
            let may = !client.trials.is_empty()
                && standing.is_settled(*stream)
                && standing.low(*stream) >= client.joined;
            may.then_some(*stream)
        };
        let streams: BTreeSet<StreamId> = self.refusing.values().flatten().copied().collect();
        let clients = streams.iter().filter_map(|s| self.clients.get_key_value(s));
        let ready: Vec<StreamId> = clients.filter_map(settled).collect();
        for stream in ready {
            self.give_again(stream);
        }
    }

    fn give_again(&mut self, stream: StreamId) {
        let Some(client) = self.clients.get_mut(&stream) else { return };
        let Some(group) = client.trials.pop_front() else { return };
        client.tried += 1;
        if client.tried > MAX_TRIALS {
            tracing::warn!(proxy = client.proxy.id, "refuses too much; what it refuses is not given again");
            client.trials.clear();
            return;
        }
        let group: Vec<ResourceRef> =
            group.into_iter().filter(|r| client.refuses.remove(r).is_some()).collect();
        for resource in &group {
            client.given_again.insert(resource.clone(), self.epoch + 1);
        }
        for resource in &group {
            self.forgive(resource, stream);
        }
        self.begin();
        self.relocate(stream, Instant::now());
        self.outside.hub.mark();
    }

    /// Moves a proxy to the room that fits what it refuses.
    fn relocate(&mut self, stream: StreamId, at: Instant) {
        let Some(client) = self.clients.get(&stream) else { return };
        let without: BTreeSet<ResourceRef> = client.refuses.keys().cloned().collect();
        let before = client.room;
        let Some(room) = self.rooms.enter(&without, &self.documents) else {
            // It stays where it is; by the protocol it keeps its last good resources.
            if let Some(client) = self.clients.get_mut(&stream) {
                client.trials.clear();
            }
            return;
        };
        let view = View::key_of(self.rooms.snapshot(room), &client.proxy);
        self.refresh(Refresh { stream, room, view }, at);
        self.rooms.leave(before);
    }

    fn count_refused(&self) {
        let refused = self.refusing.len() as f64;
        self.outside.metrics.set(Metric::Quarantined, &[], refused);
    }
}
