//! The server's side of ADS, without I/O: sets of resources in, requests in, responses and events out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use hashbrown::{HashMap, HashSet};

use super::catalog::{Catalog, TypeId};
use super::desk::{Desk, attach, detach};
use super::ids::{Protocol, SetId, StreamId, StreamOptions};
use super::layers::{Layers, lookup, resources};
use super::report::{CoreEvent, Limits, Outgoing, Response, TypeStatus, Violation};
use super::set::{Change, Set, Turn};
use super::stream::{PATIENCE, Stream};
use super::subscription::{Base, Batch, Moment, Subscription};
use crate::Version;
use crate::nack;
use crate::wire::{
    ControlPlane, DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Status,
};

/// All sets and all streams of one server.
pub struct ServerCore {
    catalog: Catalog,
    limits: Limits,
    control_plane: ControlPlane,
    sets: HashMap<SetId, Set>,
    next_set: u32,
    streams: HashMap<StreamId, Stream>,
    queue: VecDeque<StreamId>,
    /// Streams that have something to send which others must precede.
    blocked: HashSet<StreamId>,
    events: VecDeque<CoreEvent>,
    epoch: u64,
}

impl ServerCore {
    /// A server without resources. `identifier` names this instance to clients.
    pub fn new(catalog: Catalog, limits: Limits, identifier: &str) -> Self {
        Self {
            catalog,
            limits,
            control_plane: ControlPlane { identifier: identifier.to_owned() },
            sets: HashMap::new(),
            next_set: 0,
            streams: HashMap::new(),
            queue: VecDeque::new(),
            blocked: HashSet::new(),
            events: VecDeque::new(),
            epoch: 0,
        }
    }

    /// What is changed from now on belongs to `epoch`, which grows: [`CoreEvent::Reached`] counts in it.
    pub fn begin(&mut self, epoch: u64) {
        self.epoch = self.epoch.max(epoch);
    }

    /// The epoch of changes that are made now.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Up to which epoch a stream has acknowledged (or refused) every change; 0 for one that is not open.
    pub fn reached(&self, id: StreamId) -> u64 {
        self.streams.get(&id).map_or(0, |stream| stream.reached(&self.catalog))
    }

    /// The types.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// A new, empty set.
    pub fn create_set(&mut self, kind: TypeId) -> SetId {
        let id = SetId(self.next_set);
        self.next_set += 1;
        self.insert_set(id, kind);
        id
    }

    /// A new, empty set under an id that the caller chose (and will not use for another).
    pub fn insert_set(&mut self, id: SetId, kind: TypeId) {
        self.next_set = self.next_set.max(id.0 + 1);
        self.sets.insert(id, Set::new(kind));
    }

    /// Forgets a set. Streams still bound to it see an empty one.
    pub fn drop_set(&mut self, id: SetId) {
        self.sets.remove(&id);
    }

    /// Changes a set; every interested stream is queued. Changes that do not change anything cost nothing.
    pub fn update(&mut self, id: SetId, changes: impl IntoIterator<Item = Change>, now: Instant) {
        let Some(set) = self.sets.get_mut(&id) else { return };
        let (kind, epoch) = (set.kind, self.epoch);
        let stand_in = self.catalog.get(kind).stand_in.clone();
        // The wildcard streams are taken out for the time, since an effect borrows the set.
        let wildcard = std::mem::take(&mut set.wildcard);
        for change in changes {
            let Some(effect) = set.apply(change, stand_in.as_ref(), epoch) else { continue };
            let ceased = effect.all.after.is_none();
            for stream_id in &wildcard {
                if effect.subscribers.contains(stream_id) {
                    continue;
                }
                turn(&mut self.streams, &mut self.queue, *stream_id, kind, |sub| {
                    sub.turn(&effect.name, &effect.all, ceased, now, epoch);
                });
            }
            for stream_id in effect.subscribers {
                turn(&mut self.streams, &mut self.queue, *stream_id, kind, |sub| {
                    sub.turn(&effect.name, &effect.named, ceased, now, epoch);
                });
            }
        }
        set.wildcard = wildcard;
    }

    /// Opens a stream on `sets`: for each type of the catalogue, in its order, the sets that together are its resources.
    pub fn open(&mut self, id: StreamId, options: StreamOptions, sets: Vec<Layers>) {
        debug_assert_eq!(sets.len(), usize::from(self.catalog.len()));
        self.streams.insert(id, Stream::new(options, sets));
    }

    /// Moves a stream to other sets; it is sent the difference.
    pub fn rebind(&mut self, id: StreamId, sets: &[Layers], now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        for (kind, new) in self.catalog.ids().zip(sets) {
            let old = std::mem::replace(&mut stream.sets[kind.index()], new.clone());
            let Some(sub) = &mut stream.subscriptions[kind.index()] else { continue };
            if old == *new {
                continue;
            }
            let before = detach(&mut self.sets, id, sub);
            sub.sets = new.clone();
            attach(&mut self.sets, id, sub, self.catalog.get(kind).stand_in.as_ref());
            let mut wanted: HashSet<Arc<str>> = before.keys().cloned().collect();
            wanted.extend(sub.names.iter().cloned());
            if sub.wildcard {
                wanted.extend(resources(&self.sets, new).map(|r| r.name().clone()));
            }
            for name in wanted {
                let after = lookup(&self.sets, new, &name, sub.names.contains(&name)).cloned();
                let before = before.get(&name).cloned();
                if before.as_ref().map(|r| r.version()) != after.as_ref().map(|r| r.version()) {
                    let ceased = lookup(&self.sets, new, &name, false).is_none();
                    sub.turn(&name, &Turn { before, after }, ceased, now, self.epoch);
                }
            }
        }
        enqueue(&mut self.queue, id, stream);
    }

    /// Forgets a stream.
    pub fn close(&mut self, id: StreamId) {
        let Some(mut stream) = self.streams.remove(&id) else { return };
        self.blocked.remove(&id);
        for sub in stream.subscriptions.iter_mut().flatten() {
            detach(&mut self.sets, id, sub);
        }
    }

    /// How many streams are open.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// How a stream stands, type by type; empty for one that is not open.
    pub fn status(&self, id: StreamId) -> Vec<TypeStatus> {
        let Some(stream) = self.streams.get(&id) else { return Vec::new() };
        let subscribed = self.catalog.ids().filter_map(|kind| {
            let sub = stream.subscriptions[kind.index()].as_deref()?;
            Some(TypeStatus {
                kind,
                settled: sub.is_settled(),
                names: sub.names.len(),
                wildcard: sub.wildcard,
                refused: sub.refused().map(|(n, v)| (n.clone(), *v)).collect(),
            })
        });
        subscribed.collect()
    }

    /// Reads a delta request.
    ///
    /// # Errors
    /// A [`Violation`]; the stream must then be closed.
    pub fn delta_request(
        &mut self,
        id: StreamId,
        request: DeltaDiscoveryRequest,
        now: Instant,
    ) -> Result<(), Violation> {
        let Some(kind) = self.catalog.find(&request.type_url) else {
            self.unknown(id, request.type_url, request.error_detail);
            return Ok(());
        };
        if !request.response_nonce.is_empty() {
            self.answered(id, kind, &request.response_nonce, request.error_detail.as_ref(), now);
        }
        self.check(id, &request.resource_names_subscribe)?;
        let mut desk = self.desk(id, kind, now)?;
        let (mut add, remove) = (request.resource_names_subscribe, request.resource_names_unsubscribe);
        let first = desk.sub_is_new();
        let wildcard = (first && add.is_empty()) || add.iter().any(|n| n == "*");
        add.retain(|n| n != "*");
        let held = &request.initial_resource_versions;
        let base = |name: &str| match held.get(name) {
            Some(text) => Version::parse(text).map_or(Base::Unknown, Base::Version),
            None => Base::Unknown,
        };
        if first && !wildcard {
            // Held from an earlier stream, but no longer wanted: the client knows.
            desk.begin();
        }
        if wildcard {
            desk.want_all(&|name| if held.contains_key(name) { base(name) } else { Base::Absent });
            for name in held.keys().filter(|_| first) {
                desk.gone_meanwhile(name);
            }
        }
        for name in &add {
            desk.want(name, base(name));
        }
        for name in &remove {
            if name == "*" { desk.unwant_all() } else { desk.unwant(name) }
        }
        self.enqueue(id);
        Ok(())
    }

    /// Reads a state-of-the-world request.
    ///
    /// # Errors
    /// A [`Violation`]; the stream must then be closed.
    pub fn sotw_request(
        &mut self,
        id: StreamId,
        request: DiscoveryRequest,
        now: Instant,
    ) -> Result<(), Violation> {
        let Some(kind) = self.catalog.find(&request.type_url) else {
            self.unknown(id, request.type_url, request.error_detail);
            return Ok(());
        };
        if !request.response_nonce.is_empty()
            && !self.answered(id, kind, &request.response_nonce, request.error_detail.as_ref(), now)
        {
            // The client will answer the newer response too; what this one says about names is out of date.
            return Ok(());
        }
        self.check(id, &request.resource_names)?;
        let full_state = self.catalog.get(kind).full_state;
        let mut desk = self.desk(id, kind, now)?;
        desk.begin();
        let mut names = request.resource_names;
        let legacy = names.is_empty() && full_state && desk.sub().names.is_empty();
        if legacy || names.iter().any(|n| n == "*") {
            desk.want_all(&|_| Base::Absent);
        } else if desk.sub().wildcard {
            desk.unwant_all();
        }
        names.retain(|n| n != "*");
        let wanted: HashSet<&str> = names.iter().map(String::as_str).collect();
        let dropped: Vec<Arc<str>> =
            desk.sub().names.iter().filter(|n| !wanted.contains(&***n)).cloned().collect();
        for name in dropped {
            desk.unwant(&name);
        }
        for name in &names {
            if !desk.sub().names.contains(name.as_str()) {
                desk.want(name, Base::Unknown);
            }
        }
        self.enqueue(id);
        Ok(())
    }

    /// The next response to send. Call until `None` after every change and request.
    pub fn poll(&mut self, now: Instant) -> Option<Outgoing> {
        while let Some(id) = self.queue.pop_front() {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.queued = false;
            let reached = stream.reached(&self.catalog);
            if reached != stream.told {
                stream.told = reached;
                self.events.push_back(CoreEvent::Reached { stream: id, epoch: reached });
            }
            let (kind, allowed) = match stream.next(&self.catalog, now) {
                Ok(Some(next)) => next,
                Ok(None) => {
                    self.blocked.remove(&id);
                    continue;
                }
                Err(_) => {
                    self.blocked.insert(id);
                    continue;
                }
            };
            // There may be more; it is looked at after everybody else.
            enqueue(&mut self.queue, id, stream);
            let Some(sub) = stream.subscriptions[kind.index()].as_deref_mut() else { continue };
            let (sets, layers) = (&self.sets, sub.sets.clone());
            let find = |name: &str, named: bool| lookup(sets, &layers, name, named);
            if let Some(batch) = sub.take(find, stream.nonce + 1, allowed, self.limits.response_bytes) {
                return Some(self.send(id, kind, batch, now));
            }
        }
        None
    }

    /// The next thing that happened.
    pub fn next_event(&mut self) -> Option<CoreEvent> {
        self.events.pop_front()
    }

    /// Lets streams that have waited for too long go on. Call about twice a second while [`ServerCore::has_blocked`].
    pub fn tick(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.blocked) {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.awaited.retain(|_, until| *until > now);
                enqueue(&mut self.queue, id, stream);
            }
        }
    }

    /// Whether a stream waits for others of its types.
    pub fn has_blocked(&self) -> bool {
        !self.blocked.is_empty()
    }

    fn unknown(&mut self, stream: StreamId, type_url: String, error: Option<Status>) {
        let problem = error.map(|status| status.message);
        self.events.push_back(CoreEvent::UnknownType { stream, type_url, problem });
    }

    fn check(&self, id: StreamId, names: &[String]) -> Result<(), Violation> {
        let stream = self.streams.get(&id).ok_or(Violation::NotOpen)?;
        let have: usize = stream.subscriptions.iter().flatten().map(|s| s.names.len()).sum();
        if have + names.len() > self.limits.names {
            return Err(Violation::TooManyNames(self.limits.names));
        }
        if names.iter().any(|n| n.len() > self.limits.name_bytes) {
            return Err(Violation::NameTooLong(self.limits.name_bytes));
        }
        Ok(())
    }

    fn desk(&mut self, id: StreamId, kind: TypeId, now: Instant) -> Result<Desk<'_>, Violation> {
        let config = self.catalog.get(kind);
        let stream = self.streams.get_mut(&id).ok_or(Violation::NotOpen)?;
        let layers = stream.sets[kind.index()].clone();
        Ok(Desk {
            id,
            kind,
            keep_all: stream.options.protocol == Protocol::StateOfTheWorld && config.full_state,
            stand_in: config.stand_in.clone(),
            stream,
            sets: &mut self.sets,
            layers,
            now,
            epoch: self.epoch,
        })
    }

    /// Takes an acknowledgement, or nothing if the last response has one already; false if it is about an older one.
    fn answered(
        &mut self,
        id: StreamId,
        kind: TypeId,
        nonce: &str,
        error: Option<&Status>,
        now: Instant,
    ) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        let sub = stream.subscriptions[kind.index()].as_deref_mut();
        let Some(sub) = sub.filter(|s| nonce_text(s.last_nonce) == nonce) else {
            self.events.push_back(CoreEvent::StaleNonce { stream: id });
            return false;
        };
        if sub.in_flight.is_none() {
            return true;
        }
        let refused = error.zip(sub.in_flight.as_ref()).map(|(status, flight)| {
            let sent = flight.news();
            (nack::named(status, sent.clone()).is_empty(), nack::errors(status, sent))
        });
        let (whole, errors) = refused.unwrap_or_default();
        if whole && sub.split() {
            self.events.push_back(CoreEvent::Refused { stream: id, kind, errors: Vec::new() });
            enqueue(&mut self.queue, id, stream);
            return true;
        }
        let flight = sub.answered(errors.iter().map(|e| e.name.as_str()));
        let converged = flight.as_ref().and_then(|f| f.since).filter(|_| sub.since.is_none()).map(|s| s.at);
        let refusals = sub.refusals(&errors);
        for error in &errors {
            let named = sub.names.contains(error.name.as_str());
            let resource = lookup(&self.sets, &sub.sets, &error.name, named);
            if let Some(follow) = resource.and_then(|r| r.follows())
                && let Some(other) = self.catalog.find(&follow.type_url)
            {
                // The client will not ask for what follows something that it refused.
                stream.awaited.remove(&(other, follow.name.clone()));
            }
        }
        self.events.push_back(if error.is_some() {
            CoreEvent::Refused { stream: id, kind, errors: refusals }
        } else {
            let converged_in = converged.map(|since| now.saturating_duration_since(since));
            CoreEvent::Accepted { stream: id, kind, converged_in }
        });
        enqueue(&mut self.queue, id, stream);
        true
    }

    /// Makes the response of a batch that has just been put in flight.
    fn send(&mut self, id: StreamId, kind: TypeId, batch: Batch, now: Instant) -> Outgoing {
        let type_url = self.catalog.get(kind).url.as_ref().to_owned();
        let control_plane = Some(self.control_plane.clone());
        let stream = self.streams.get_mut(&id).expect("the caller has just used it");
        stream.nonce += 1;
        let nonce = nonce_text(stream.nonce);
        let response = match stream.options.protocol {
            Protocol::Delta => Response::Delta(DeltaDiscoveryResponse {
                system_version_info: String::new(),
                resources: batch.changed.iter().map(|r| r.encoded().clone()).collect(),
                type_url,
                nonce,
                removed_resources: batch.removed.iter().map(|n| n.as_ref().to_owned()).collect(),
                control_plane,
            }),
            Protocol::StateOfTheWorld => {
                let sub = stream.subscriptions[kind.index()].as_deref();
                let resources = match sub.and_then(Subscription::held) {
                    Some(held) => held.map(|r| r.any()).collect(),
                    None => batch.changed.iter().map(|r| r.any()).collect(),
                };
                let version_info = nonce.clone();
                Response::StateOfTheWorld(DiscoveryResponse {
                    version_info,
                    resources,
                    type_url,
                    nonce,
                    control_plane,
                })
            }
        };
        self.expect_followers(id, &batch, now);
        Outgoing { stream: id, kind, response }
    }

    /// Notes what the client will ask for, having accepted this batch; or sends it again, to those who need that.
    fn expect_followers(&mut self, id: StreamId, batch: &Batch, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        for resource in &batch.changed {
            let Some(follow) = resource.follows() else { continue };
            let Some(kind) = self.catalog.find(&follow.type_url) else { continue };
            let sub = stream.subscriptions[kind.index()].as_deref_mut();
            match sub.filter(|s| s.wildcard || s.names.contains(&follow.name)) {
                // What is asked for is a leftover of what was removed: it will be dropped and asked for again.
                Some(sub) if !batch.fresh.contains(resource.name()) => {
                    if stream.options.rewarm {
                        let when = Moment { at: now, epoch: self.epoch, from: self.epoch };
                        sub.mark(&follow.name, Base::Unknown, false, when);
                    }
                }
                Some(sub) if sub.wildcard => {}
                _ => {
                    stream.awaited.insert((kind, follow.name.clone()), now + PATIENCE);
                }
            }
        }
    }

    fn enqueue(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            enqueue(&mut self.queue, id, stream);
        }
    }
}

fn nonce_text(nonce: u64) -> String {
    format!("{nonce:x}")
}

fn enqueue(queue: &mut VecDeque<StreamId>, id: StreamId, stream: &mut Stream) {
    if !stream.queued {
        stream.queued = true;
        queue.push_back(id);
    }
}

fn turn(
    streams: &mut HashMap<StreamId, Stream>,
    queue: &mut VecDeque<StreamId>,
    id: StreamId,
    kind: TypeId,
    change: impl FnOnce(&mut Subscription),
) {
    let Some(stream) = streams.get_mut(&id) else { return };
    if let Some(sub) = stream.subscriptions[kind.index()].as_deref_mut() {
        change(sub);
        enqueue(queue, id, stream);
    }
}
