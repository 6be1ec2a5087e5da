//! Connected proxies: let in, moved to where they belong, let go.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::PoisonError;
use std::time::Instant;

use tonic::Status;
use tulle_base::ResourceRef;
use tulle_mesh::ChangedKeys;
use tulle_telemetry::audit::{Entry, Event};
use tulle_translate::{Kind, Proxy, View};
use tulle_xds::server::{Layers, Peer, Protocol, StreamId, StreamOptions};

use super::{Connected, ViewKey, World};
use crate::admission::{admit, principal};
use crate::metrics::Metric;
use crate::own::Own;
use crate::press::Press;
use crate::register;
use crate::rooms::{RoomId, Step};
use crate::sets::Published;
use crate::views::Shared;

/// A stream that waits to be let in.
pub(super) struct Opening {
    pub(super) stream: StreamId,
    pub(super) node: bytes::Bytes,
    pub(super) peer: Peer,
    pub(super) protocol: Protocol,
}

/// A connected proxy.
pub(super) struct Client {
    pub(super) proxy: Proxy,
    pub(super) room: RoomId,
    pub(super) view: String,
    pub(super) own: Own,
    secrets: Layers,
    /// Secrets of other namespaces, for a gateway whose identity is certain.
    granted: Option<Published>,
    /// The epoch at which it came to where it is.
    pub(super) joined: u64,
    /// What it refuses, and what it is given in place of that.
    pub(super) refuses: BTreeMap<ResourceRef, Refused>,
    /// What was given to it again after it had been refused together with others, and when.
    pub(super) given_again: HashMap<ResourceRef, u64>,
    /// What was refused together and is to be given again, group by group, to find out which is meant.
    pub(super) trials: VecDeque<Vec<ResourceRef>>,
    /// How often that was done.
    pub(super) tried: u32,
}

/// What a proxy says of a resource.
pub(super) struct Refused {
    /// The xDS resource, such as `rds 80`.
    pub(super) resource: String,
    pub(super) message: String,
}

impl Client {
    pub(super) fn view_key(&self) -> ViewKey {
        (self.room, self.view.clone())
    }
}

/// A client whose own resources are to be made again.
pub(super) struct Refresh {
    pub(super) stream: StreamId,
    /// Where it belongs now.
    pub(super) room: RoomId,
    pub(super) view: String,
}

impl World {
    /// The clients whose own resources, or whose view, may be others now.
    pub(super) fn concerned(&self, step: &Step) -> Vec<Refresh> {
        let refresh = |(stream, client): (&StreamId, &Client)| {
            let changed = step.keys.get(&client.room)?;
            if !may_concern(changed, client) {
                return None;
            }
            let snapshot = self.rooms.snapshot(client.room);
            let view = View::key_of(snapshot, &client.proxy);
            let shared = self.views.get(&client.view_key())?;
            let own = tulle_translate::affected(snapshot, &client.proxy, shared.view(), changed);
            let own = own.clusters || own.listeners || own.routes;
            let refresh = Refresh { stream: *stream, room: client.room, view: view.clone() };
            (own || view != client.view).then_some(refresh)
        };
        if step.keys.values().any(concerns_everybody) {
            return self.clients.iter().filter_map(refresh).collect();
        }
        let pods = step.keys.values().flat_map(|c| &c.workloads);
        let streams = pods.filter_map(|pod| self.by_pod.get(pod)).flatten();
        streams.filter_map(|s| self.clients.get_key_value(s)).filter_map(refresh).collect()
    }

    /// Moves a client to where it belongs, and makes its own resources again.
    pub(super) fn refresh(&mut self, refresh: Refresh, at: Instant) {
        let Refresh { stream, room, view } = refresh;
        let Some(client) = self.clients.get_mut(&stream) else { return };
        let mut press = Press {
            hub: &self.outside.hub,
            types: self.types,
            pool: &mut self.pool,
            ledger: &mut self.ledger,
            at,
        };
        let snapshot = self.rooms.snapshot(room);
        let key = (room, view.clone());
        let shared =
            self.views.entry(key.clone()).or_insert_with(|| Shared::new(&mut press, snapshot, &client.proxy));
        client.own.make(&mut press, snapshot, &client.proxy, shared.view());
        if let Some(granted) = &mut client.granted {
            let names = tulle_translate::secrets(snapshot, &client.proxy);
            press.replace(granted, self.secrets.named(&names));
        }
        let old = client.view_key();
        if key == old {
            return;
        }
        shared.users += 1;
        self.outside.hub.rebind(stream, shared.layers(&client.own, client.secrets.clone(), self.trust.id()));
        (client.room, client.view, client.joined) = (room, view, self.epoch);
        self.ledger.touch_holder(client.own.holder);
        self.ledger.joined(shared.holder, stream);
        if let Some(entry) =
            self.outside.directory.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&stream)
        {
            entry.view = client.view.clone();
        }
        self.leave(&old, stream);
    }

    /// Secrets are others now: gateways have those that their listeners name.
    pub(super) fn grant_all(&mut self, at: Instant) {
        for client in self.clients.values_mut() {
            if let Some(granted) = &mut client.granted {
                let names = tulle_translate::secrets(self.rooms.snapshot(client.room), &client.proxy);
                granted.replace(&self.outside.hub, self.secrets.named(&names), at, &mut |_, _| {});
            }
        }
    }

    pub(super) fn open(&mut self, opening: Opening) {
        let Opening { stream, node, peer, protocol } = opening;
        let snapshot = self.rooms.snapshot(0);
        let mesh = snapshot.mesh();
        let address = peer.address.map(|a| a.to_string()).unwrap_or_default();
        let proxy = match admit(&node, &peer, &mesh.trust_domain, &mesh.trust_domain_aliases) {
            Ok(proxy) => proxy,
            Err(refused) => {
                tracing::warn!(address, reason = %refused, "stream refused");
                let entry = Entry::new(Event::StreamRefused, principal(&peer), address);
                self.outside.audit.record(entry.refused(refused.to_string()));
                return self.outside.hub.refuse(stream, refused.into());
            }
        };
        if let Err(refused) = self.register(stream, &proxy, peer.tls) {
            tracing::warn!(proxy = proxy.id, reason = %refused, "workload not registered");
            return self.outside.hub.refuse(stream, Status::failed_precondition(refused.to_string()));
        }
        let snapshot = self.rooms.snapshot(0);
        let at = Instant::now();
        let mut press = Press {
            hub: &self.outside.hub,
            types: self.types,
            pool: &mut self.pool,
            ledger: &mut self.ledger,
            at,
        };
        let view = View::key_of(snapshot, &proxy);
        let shared =
            self.views.entry((0, view.clone())).or_insert_with(|| Shared::new(&mut press, snapshot, &proxy));
        shared.users += 1;
        let own = Own::new(&mut press, snapshot, &proxy, shared.view());
        let options = StreamOptions { protocol, rewarm: proxy.stock_envoy };
        // The TLS port lets nobody in without a certificate that fits its node.
        let mut secrets = self.secrets.layers(&self.outside.hub, &proxy, peer.tls);
        let mut granted = None;
        if peer.tls && proxy.kind == Kind::Router {
            let mut set = Published::new(&self.outside.hub, self.types.sds, None);
            press.replace(&mut set, self.secrets.named(&tulle_translate::secrets(snapshot, &proxy)));
            secrets = secrets.iter().copied().chain([set.id]).collect();
            granted = Some(set);
        }
        self.outside.hub.admit(stream, options, shared.layers(&own, secrets.clone(), self.trust.id()));
        self.outside.standing.opened(stream);
        self.ledger.joined(shared.holder, stream);
        self.ledger.joined(own.holder, stream);
        self.pool.count(&self.outside.metrics);
        tracing::info!(proxy = proxy.id, view, tls = peer.tls, "proxy connected");
        let entry = Entry::new(Event::StreamAdmitted, principal(&peer), proxy.id.as_str());
        self.outside.audit.record(entry.with("address", address));
        self.by_pod.entry(proxy.pod.clone()).or_default().insert(stream);
        let entry = Connected { proxy: proxy.clone(), view: view.clone(), since: at, pushed: 0 };
        self.outside.directory.lock().unwrap_or_else(PoisonError::into_inner).insert(stream, entry);
        let client = Client {
            proxy,
            room: 0,
            view,
            own,
            secrets,
            granted,
            joined: self.epoch,
            refuses: BTreeMap::new(),
            given_again: HashMap::new(),
            trials: VecDeque::new(),
            tried: 0,
        };
        self.clients.insert(stream, client);
        self.count_clients();
    }

    /// Has a workload written down that asks for it; `known` says that its certificate was looked at.
    fn register(&self, stream: StreamId, proxy: &Proxy, known: bool) -> Result<(), register::Refused> {
        let Some(group) = register::wanted(proxy) else { return Ok(()) };
        let document = self.documents.get(&group).filter(|d| !d.is_invalid());
        let object = register::of(proxy, known, &group, document.map(|d| &*d.current))?;
        self.tell_registrar(register::Told::Came(stream, Box::new(object)));
        Ok(())
    }

    pub(super) fn close(&mut self, stream: StreamId) {
        self.waiting.retain(|o| o.stream != stream);
        let Some(client) = self.clients.remove(&stream) else { return };
        tracing::info!(proxy = client.proxy.id, "proxy disconnected");
        self.tell_registrar(register::Told::Left(stream));
        self.outside.directory.lock().unwrap_or_else(PoisonError::into_inner).remove(&stream);
        self.outside.standing.closed(stream);
        if let Some(streams) = self.by_pod.get_mut(&client.proxy.pod) {
            streams.remove(&stream);
            if streams.is_empty() {
                self.by_pod.remove(&client.proxy.pod);
            }
        }
        for resource in client.refuses.keys() {
            self.forgive(resource, stream);
        }
        let key = client.view_key();
        self.ledger.drop_holder(client.own.holder);
        client.own.withdraw(&self.outside.hub);
        if let Some(granted) = client.granted {
            granted.withdraw(&self.outside.hub);
        }
        self.leave(&key, stream);
        self.rooms.leave(key.0);
        self.count_clients();
    }

    /// One client less is on a view; the last one takes it along.
    fn leave(&mut self, key: &ViewKey, stream: StreamId) {
        let Some(shared) = self.views.get_mut(key) else { return };
        shared.users -= 1;
        self.ledger.left(shared.holder, stream);
        if shared.users == 0
            && let Some(shared) = self.views.remove(key)
        {
            self.ledger.drop_holder(shared.holder);
            shared.withdraw(&self.outside.hub);
        }
    }

    fn count_clients(&self) {
        let label = [("version", env!("CARGO_PKG_VERSION"))];
        self.outside.metrics.set(Metric::Connected, &label, self.clients.len() as f64);
    }
}

fn concerns_everybody(changed: &ChangedKeys) -> bool {
    let ChangedKeys {
        services,
        endpoints: _,
        routes,
        destinations,
        gateways,
        policies,
        scopes,
        patches,
        limits,
        telemetry,
        workloads: _,
        mesh,
    } = changed;
    *mesh
        || !services.is_empty()
        || !routes.is_empty()
        || !destinations.is_empty()
        || !gateways.is_empty()
        || !policies.is_empty()
        || !scopes.is_empty()
        || !patches.is_empty()
        || !limits.is_empty()
        || !telemetry.is_empty()
}

fn may_concern(changed: &ChangedKeys, client: &Client) -> bool {
    concerns_everybody(changed) || changed.workloads.contains(&client.proxy.pod)
}
