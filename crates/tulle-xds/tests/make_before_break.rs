//! A route never points at a cluster that the client does not have, with its endpoints, at any moment of any change.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use tulle_xds::Resource;
use tulle_xds::client::{ClientCore, Interest};
use tulle_xds::resource::Follow;
use tulle_xds::server::{
    Catalog, Change, Layers, Limits, Protocol, Response, ServerCore, SetId, StreamId, StreamOptions,
    TypeConfig,
};
use tulle_xds::wire::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

const CDS: &str = "t/cluster";
const EDS: &str = "t/endpoints";
const LDS: &str = "t/listener";
const RDS: &str = "t/route";

fn catalog() -> Catalog {
    let empty = Arc::new(|name: &str| Some(Resource::new(EDS, name, Bytes::from_static(b"empty"))));
    Catalog::new(vec![
        TypeConfig::ordered(CDS, 0).with_full_state(),
        TypeConfig::ordered(EDS, 0).with_stand_in(empty),
        TypeConfig::ordered(LDS, 1).with_full_state(),
        TypeConfig::ordered(RDS, 1),
    ])
}

fn layers(sets: &[SetId]) -> Vec<Layers> {
    sets.iter().map(|s| Layers::from([*s])).collect()
}

/// A client that behaves as Envoy does: subscribes to the endpoints of every cluster it is given, after accepting it.
struct Client {
    core: ClientCore,
    clusters: BTreeSet<String>,
    endpoints: BTreeSet<String>,
    routes: BTreeMap<String, Vec<String>>,
    inbox: VecDeque<DeltaDiscoveryResponse>,
}

impl Client {
    fn receive(&mut self) {
        let Some(response) = self.inbox.pop_front() else { return };
        let Some(update) = self.core.response(response) else { return };
        let mut subscribe = Vec::new();
        let mut unsubscribe = Vec::new();
        for r in update.changed {
            let name = r.name.as_ref().to_owned();
            match &*update.type_url {
                CDS => {
                    self.clusters.insert(name.clone());
                    subscribe.push(name);
                }
                EDS => {
                    self.endpoints.insert(name);
                }
                RDS => {
                    let text = String::from_utf8(r.payload.to_vec()).unwrap();
                    let used = text.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect();
                    self.routes.insert(name, used);
                }
                _ => {}
            }
        }
        for name in update.removed {
            if *update.type_url == *CDS {
                self.clusters.remove(&*name);
                self.endpoints.remove(&*name);
                unsubscribe.push(name.as_ref().to_owned());
            }
        }
        self.core.answer(update.ticket, vec![]);
        if !subscribe.is_empty() {
            self.core.subscribe(EDS, Interest::Names(subscribe));
        }
        if !unsubscribe.is_empty() {
            self.core.unsubscribe(EDS, &unsubscribe);
        }
        self.check();
    }

    fn check(&self) {
        for (route, used) in &self.routes {
            for cluster in used {
                assert!(self.clusters.contains(cluster), "route {route} uses {cluster}, which is not there");
                assert!(self.endpoints.contains(cluster), "route {route} uses {cluster}, which is warming");
            }
        }
    }
}

fn put(kind: &str, name: &str, payload: String) -> Change {
    let resource = Resource::new(kind, name, Bytes::from(payload));
    let follow = Follow { type_url: EDS.into(), name: name.into() };
    Change::Put(Arc::new(if kind == CDS { resource.followed_by(follow) } else { resource }))
}

struct World {
    core: ServerCore,
    sets: Vec<SetId>,
    client: Client,
    now: Instant,
    mesh: BTreeSet<usize>,
}

impl World {
    fn new() -> Self {
        let mut core = ServerCore::new(catalog(), Limits::default(), "test");
        let kinds: Vec<_> = core.catalog().ids().collect();
        let sets: Vec<_> = kinds.iter().map(|k| core.create_set(*k)).collect();
        let options = StreamOptions { protocol: Protocol::Delta, rewarm: false };
        core.open(StreamId(1), options, layers(&sets));
        let mut client = Client {
            core: ClientCore::new(Bytes::from_static(b"n")),
            clusters: BTreeSet::new(),
            endpoints: BTreeSet::new(),
            routes: BTreeMap::new(),
            inbox: VecDeque::new(),
        };
        for kind in [CDS, LDS] {
            client.core.subscribe(kind, Interest::Wildcard);
        }
        client.core.subscribe(RDS, Interest::Names(vec!["r".into()]));
        client.core.connected();
        Self { core, sets, client, now: Instant::now(), mesh: BTreeSet::new() }
    }

    /// The mesh becomes exactly `services`; types change in the worst order.
    fn become_mesh(&mut self, services: &BTreeSet<usize>) {
        let used: Vec<String> = services.iter().map(|s| format!("c{s}")).collect();
        let route = put(RDS, "r", used.join(","));
        self.core.update(self.sets[3], [route], self.now);
        for gone in self.mesh.difference(services) {
            let name: Arc<str> = format!("c{gone}").into();
            self.core.update(self.sets[0], [Change::Remove(name.clone())], self.now);
            self.core.update(self.sets[1], [Change::Remove(name)], self.now);
        }
        for new in services.difference(&self.mesh) {
            self.core.update(self.sets[1], [put(EDS, &format!("c{new}"), "e".into())], self.now);
            self.core.update(self.sets[0], [put(CDS, &format!("c{new}"), "c".into())], self.now);
        }
        self.mesh = services.clone();
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(out) = self.core.poll(self.now) {
            let Response::Delta(response) = out.response else { panic!("wrong variant") };
            self.client.inbox.push_back(response);
        }
    }

    fn upstream(&mut self) {
        if let Some(request) = self.client.core.next_request() {
            self.core.delta_request(StreamId(1), request, self.now).unwrap();
        }
        self.flush();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn routes_always_have_their_clusters(
        steps in proptest::collection::vec((proptest::option::of(proptest::collection::btree_set(0..5usize, 0..5)), 0..4u8, 0..4u8), 1..60),
    ) {
        let mut world = World::new();
        for (mesh, requests, responses) in steps {
            world.now += Duration::from_millis(10);
            if let Some(services) = mesh {
                world.become_mesh(&services);
            }
            for _ in 0..requests {
                world.upstream();
            }
            for _ in 0..responses {
                world.client.receive();
            }
        }
        for _ in 0..200 {
            world.upstream();
            world.client.receive();
        }
        let clusters: BTreeSet<String> = world.mesh.iter().map(|s| format!("c{s}")).collect();
        prop_assert_eq!(&world.client.clusters, &clusters);
        let routed: BTreeSet<String> = world.client.routes.values().flatten().cloned().collect();
        prop_assert!(routed == clusters || world.client.routes.is_empty());
    }
}

#[test]
fn a_client_that_never_asks_for_what_follows_is_not_held_up_for_ever() {
    let mut world = World::new();
    world.core.update(world.sets[0], [put(CDS, "static", "c".into())], world.now);
    world.core.update(world.sets[2], [put(LDS, "l", "l".into())], world.now);
    let mut types = Vec::new();
    for _ in 0..10 {
        while let Some(request) = world.client.core.next_request() {
            world.core.delta_request(StreamId(1), request, world.now).unwrap();
        }
        world.flush();
        while let Some(response) = world.client.inbox.pop_front() {
            types.push(response.type_url.clone());
            let update = world.client.core.response(response).unwrap();
            world.client.core.answer(update.ticket, vec![]);
        }
        world.now += Duration::from_millis(500);
        world.core.tick(world.now);
    }
    assert!(types.contains(&LDS.to_owned()), "{types:?}");
}

#[test]
fn a_stock_envoy_gets_endpoints_again_when_a_cluster_changes() {
    let mut core = ServerCore::new(catalog(), Limits::default(), "test");
    let kinds: Vec<_> = core.catalog().ids().collect();
    let sets: Vec<_> = kinds.iter().map(|k| core.create_set(*k)).collect();
    let now = Instant::now();
    core.update(sets[0], [put(CDS, "c", "1".into())], now);
    core.update(sets[1], [put(EDS, "c", "e".into())], now);
    for (id, rewarm) in [(1, true), (2, false)] {
        core.open(StreamId(id), StreamOptions { protocol: Protocol::Delta, rewarm }, layers(&sets));
        let mut client = ClientCore::new(Bytes::new());
        client.subscribe(CDS, Interest::Wildcard);
        client.subscribe(EDS, Interest::Names(vec!["c".into()]));
        client.connected();
        let mut seen = Vec::new();
        let mut exchange = |core: &mut ServerCore, client: &mut ClientCore| {
            for _ in 0..10 {
                while let Some(request) = client.next_request() {
                    core.delta_request(StreamId(id), request, now).unwrap();
                }
                while let Some(out) = core.poll(now) {
                    let Response::Delta(response) = out.response else { panic!() };
                    seen.push((response.type_url.clone(), response.resources.len()));
                    let update = client.response(response).unwrap();
                    client.answer(update.ticket, vec![]);
                }
            }
            std::mem::take(&mut seen)
        };
        exchange(&mut core, &mut client);
        core.update(sets[0], [put(CDS, "c", format!("changed {id}"))], now);
        let expected: Vec<(String, usize)> = match rewarm {
            true => vec![(CDS.into(), 1), (EDS.into(), 1)],
            false => vec![(CDS.into(), 1)],
        };
        assert_eq!(exchange(&mut core, &mut client), expected);
        core.close(StreamId(id));
    }
}

#[test]
fn names_that_do_not_exist_are_answered() {
    let mut world = World::new();
    world.client.core.subscribe(EDS, Interest::Names(vec!["nowhere".into()]));
    world.client.core.subscribe(RDS, Interest::Names(vec!["none".into()]));
    let mut answers = Vec::new();
    for _ in 0..10 {
        world.upstream();
        while let Some(response) = world.client.inbox.pop_front() {
            answers.push((
                response.type_url.clone(),
                response.resources.len(),
                response.removed_resources.clone(),
            ));
            let update = world.client.core.response(response).unwrap();
            world.client.core.answer(update.ticket, vec![]);
        }
    }
    assert!(answers.contains(&(EDS.to_owned(), 1, vec![])), "{answers:?}");
    let mut absent: Vec<_> = answers.iter().filter(|a| a.0 == RDS).flat_map(|a| a.2.clone()).collect();
    absent.sort();
    assert_eq!(absent, ["none", "r"], "{answers:?}");
}

#[test]
fn endpoints_are_emptied_only_after_the_routes_that_need_them_are_gone() {
    let mut core = ServerCore::new(catalog(), Limits::default(), "test");
    let now = Instant::now();
    let kinds = [CDS, EDS, LDS, RDS].map(|url| core.catalog().find(url).unwrap());
    let sets = kinds.map(|kind| core.create_set(kind));
    for (set, kind, name) in
        [(0, CDS, "v2"), (0, CDS, "all"), (1, EDS, "v2"), (1, EDS, "all"), (3, RDS, "80")]
    {
        core.update(sets[set], [put(kind, name, "before".into())], now);
    }
    let id = StreamId(1);
    core.open(id, StreamOptions { protocol: Protocol::Delta, rewarm: false }, layers(&sets));
    let ask = |core: &mut ServerCore, kind: &str, names: &[&str], nonce: String| {
        let request = DeltaDiscoveryRequest {
            type_url: kind.into(),
            resource_names_subscribe: names.iter().map(|n| (*n).to_owned()).collect(),
            response_nonce: nonce,
            ..Default::default()
        };
        core.delta_request(id, request, now).unwrap();
    };
    let mut order = Vec::new();
    let settle = |core: &mut ServerCore, order: &mut Vec<String>| {
        while let Some(out) = core.poll(now) {
            let Response::Delta(response) = out.response else { panic!("asked for deltas") };
            order.push(response.type_url.clone());
            ask(core, &response.type_url, &[], response.nonce);
        }
    };
    // Endpoints are asked for once the clusters are there.
    for (kind, names) in [(CDS, &[][..]), (EDS, &["v2", "all"]), (LDS, &[]), (RDS, &["80"])] {
        ask(&mut core, kind, names, String::new());
        settle(&mut core, &mut order);
    }
    // The route that needs v2 goes, and v2 with it, in any order.
    order.clear();
    core.update(sets[1], [Change::Remove("v2".into())], now);
    core.update(sets[0], [Change::Remove("v2".into())], now);
    core.update(sets[3], [put(RDS, "80", "after".into())], now);
    settle(&mut core, &mut order);
    assert_eq!(
        order,
        [RDS, CDS, EDS],
        "the route first, then the cluster, then what is left of its endpoints"
    );
}
