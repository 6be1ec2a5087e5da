//! Whatever happens to streams and resources, and in whatever order messages arrive, clients end up with what the server has.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use tulle_xds::client::{ClientCore, Interest};
use tulle_xds::server::{
    Catalog, Change, Layers, Limits, Protocol, Response, ServerCore, StreamId, StreamOptions, TypeConfig,
};
use tulle_xds::wire::{
    Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tulle_xds::{Resource, ResourceError, nack};

const TYPES: [&str; 3] = ["t/cluster", "t/endpoints", "t/independent"];
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// Content that every client refuses.
const BAD: u8 = 0;

fn catalog() -> Catalog {
    Catalog::new(vec![
        TypeConfig::ordered(TYPES[0], 0).with_full_state(),
        TypeConfig::ordered(TYPES[1], 1),
        TypeConfig::independent(TYPES[2]),
    ])
}

fn resource(kind: usize, name: &str, value: u8) -> Arc<Resource> {
    Arc::new(Resource::new(TYPES[kind], name, Bytes::from(vec![value])))
}

type Held = BTreeMap<(usize, String), u8>;

struct DeltaClient {
    core: ClientCore,
    held: Held,
    id: Option<StreamId>,
    to_server: VecDeque<DeltaDiscoveryRequest>,
    to_client: VecDeque<DeltaDiscoveryResponse>,
    wants: BTreeSet<(usize, String)>,
}

impl DeltaClient {
    fn collect(&mut self) {
        while let Some(request) = self.core.next_request() {
            self.to_server.push_back(request);
        }
    }

    fn receive(&mut self) {
        let Some(response) = self.to_client.pop_front() else { return };
        let Some(update) = self.core.response(response) else { return self.collect() };
        let kind = TYPES.iter().position(|t| **t == *update.type_url).unwrap();
        let mut errors = Vec::new();
        for received in update.changed {
            let value = received.payload.first().copied().unwrap_or_default();
            if value == BAD {
                errors.push(ResourceError::new(received.name.as_ref(), "bad"));
            } else {
                self.held.insert((kind, received.name.as_ref().to_owned()), value);
            }
        }
        for name in update.removed {
            self.held.remove(&(kind, name.as_ref().to_owned()));
        }
        self.core.answer(update.ticket, errors);
        self.collect();
    }
}

/// A state-of-the-world client with everything of type 0 and names of type 1.
struct SotwClient {
    held: Held,
    id: StreamId,
    to_server: VecDeque<DiscoveryRequest>,
    to_client: VecDeque<DiscoveryResponse>,
    names: BTreeSet<String>,
    nonce: String,
}

impl SotwClient {
    fn ask(&mut self, kind: usize, nonce: String, errors: &[ResourceError]) {
        let names = if kind == 0 { Vec::new() } else { self.names.iter().cloned().collect() };
        self.to_server.push_back(DiscoveryRequest {
            type_url: TYPES[kind].into(),
            resource_names: names,
            response_nonce: nonce,
            error_detail: (!errors.is_empty()).then(|| nack::status(errors)),
            ..Default::default()
        });
    }

    fn receive(&mut self) {
        let Some(response) = self.to_client.pop_front() else { return };
        let kind = TYPES.iter().position(|t| **t == *response.type_url).unwrap();
        let mut errors = Vec::new();
        let mut present = BTreeSet::new();
        for bytes in response.resources {
            // The name is not in the Any; a real client reads it from the message. Here it is found by content.
            let any = Any::decode(bytes).unwrap();
            let (name, value) = (any.value[1..].to_vec(), any.value[0]);
            let name = String::from_utf8(name).unwrap();
            present.insert(name.clone());
            if value == BAD {
                errors.push(ResourceError::new(name, "bad"));
            } else {
                self.held.insert((kind, name), value);
            }
        }
        if kind == 0 {
            self.held.retain(|(k, n), _| *k != 0 || present.contains(n));
        } else {
            self.nonce = response.nonce.clone();
        }
        self.ask(kind, response.nonce, &errors);
    }
}

#[derive(Clone, Debug)]
enum Op {
    Put(usize, usize, u8),
    Remove(usize, usize),
    Connect(usize),
    Disconnect(usize),
    Subscribe(usize, usize, Option<usize>),
    Unsubscribe(usize, usize, usize),
    ToServer(usize),
    ToClient(usize),
    Rebind(usize),
    Later,
}

fn op() -> impl Strategy<Value = Op> {
    let (kind, name, client) = (0..3usize, 0..NAMES.len(), 0..2usize);
    prop_oneof![
        4 => (kind.clone(), name.clone(), 0..4u8).prop_map(|(k, n, v)| Op::Put(k, n, v)),
        2 => (kind.clone(), name.clone()).prop_map(|(k, n)| Op::Remove(k, n)),
        1 => client.clone().prop_map(Op::Connect),
        1 => client.clone().prop_map(Op::Disconnect),
        2 => (client.clone(), kind.clone(), proptest::option::of(name.clone())).prop_map(|(c, k, n)| Op::Subscribe(c, k, n)),
        1 => (client.clone(), kind, name).prop_map(|(c, k, n)| Op::Unsubscribe(c, k, n)),
        5 => client.clone().prop_map(Op::ToServer),
        5 => client.clone().prop_map(Op::ToClient),
        1 => client.prop_map(Op::Rebind),
        1 => Just(Op::Later),
    ]
}

struct World {
    core: ServerCore,
    /// Two views; every client is on one of them.
    /// By view, type and layer; a resource is in the layer of its name's parity.
    sets: [Vec<Layers>; 2],
    content: [Held; 2],
    view: [usize; 2],
    clients: [DeltaClient; 2],
    next: u64,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let limits = Limits { response_bytes: 60, ..Limits::default() };
        let mut core = ServerCore::new(catalog(), limits, "test");
        let kinds: Vec<_> = core.catalog().ids().collect();
        let sets = [(); 2].map(|()| {
            kinds.iter().map(|k| Layers::from([core.create_set(*k), core.create_set(*k)])).collect()
        });
        let clients = [(); 2].map(|()| DeltaClient {
            core: ClientCore::new(Bytes::from_static(b"node")),
            held: Held::new(),
            id: None,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            wants: BTreeSet::new(),
        });
        let content = [Held::new(), Held::new()];
        Self { core, sets, content, view: [0, 1], clients, next: 1, now: Instant::now() }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Put(k, n, v) => {
                // The two views differ in every third value.
                for view in 0..2 {
                    let v = if v == 3 { v + view as u8 } else { v };
                    let change = Change::Put(resource(k, NAMES[n], v));
                    self.core.update(self.sets[view][k][n % 2], [change], self.now);
                    self.content[view].insert((k, NAMES[n].to_owned()), v);
                }
            }
            Op::Remove(k, n) => {
                for view in 0..2 {
                    self.core.update(self.sets[view][k][n % 2], [Change::Remove(NAMES[n].into())], self.now);
                    self.content[view].remove(&(k, NAMES[n].to_owned()));
                }
            }
            Op::Connect(c) => self.connect(c),
            Op::Disconnect(c) => self.disconnect(c),
            Op::Subscribe(c, k, n) => {
                let client = &mut self.clients[c];
                match n {
                    Some(n) => {
                        client.wants.insert((k, NAMES[n].to_owned()));
                        client.core.subscribe(TYPES[k], Interest::Names(vec![NAMES[n].to_owned()]));
                    }
                    None => {
                        client.wants.insert((k, "*".to_owned()));
                        client.core.subscribe(TYPES[k], Interest::Wildcard);
                    }
                }
                client.collect();
            }
            Op::Unsubscribe(c, k, n) => {
                let client = &mut self.clients[c];
                let key = (k, NAMES[n].to_owned());
                if client.wants.remove(&key) && !client.wants.contains(&(k, "*".to_owned())) {
                    client.held.remove(&key);
                }
                client.core.unsubscribe(TYPES[k], &[NAMES[n].to_owned()]);
                client.collect();
            }
            Op::ToServer(c) => self.upstream(c),
            Op::ToClient(c) => self.clients[c].receive(),
            Op::Rebind(c) => {
                self.view[c] = 1 - self.view[c];
                if let Some(id) = self.clients[c].id {
                    let sets = self.sets[self.view[c]].clone();
                    self.core.rebind(id, &sets, self.now);
                }
            }
            Op::Later => {
                self.now += Duration::from_secs(3);
                self.core.tick(self.now);
            }
        }
        self.flush();
    }

    fn connect(&mut self, c: usize) {
        if self.clients[c].id.is_some() {
            return;
        }
        let id = StreamId(self.next);
        self.next += 1;
        let options = StreamOptions { protocol: Protocol::Delta, rewarm: false };
        self.core.open(id, options, self.sets[self.view[c]].clone());
        self.clients[c].id = Some(id);
        self.clients[c].core.connected();
        self.clients[c].collect();
    }

    fn disconnect(&mut self, c: usize) {
        if let Some(id) = self.clients[c].id.take() {
            self.core.close(id);
            self.clients[c].core.disconnected();
            self.clients[c].to_server.clear();
            self.clients[c].to_client.clear();
        }
    }

    fn upstream(&mut self, c: usize) {
        let (Some(id), Some(request)) = (self.clients[c].id, self.clients[c].to_server.pop_front()) else {
            return;
        };
        // Over the wire and back.
        let request = DeltaDiscoveryRequest::decode(request.encode_to_vec().as_slice()).unwrap();
        self.core.delta_request(id, request, self.now).unwrap();
    }

    fn flush(&mut self) {
        while let Some(out) = self.core.poll(self.now) {
            let Response::Delta(response) = out.response else { panic!("wrong variant") };
            let client = self.clients.iter_mut().find(|c| c.id == Some(out.stream)).unwrap();
            client.to_client.push_back(response);
        }
        while self.core.next_event().is_some() {}
    }

    fn settle(&mut self) {
        for c in 0..2 {
            self.connect(c);
        }
        for _ in 0..400 {
            self.now += Duration::from_millis(500);
            self.core.tick(self.now);
            self.flush();
            for c in 0..2 {
                self.upstream(c);
                self.flush();
                self.clients[c].receive();
            }
        }
    }

    fn check(&self) {
        for (c, client) in self.clients.iter().enumerate() {
            assert!(client.to_server.is_empty() && client.to_client.is_empty(), "never comes to rest");
            let content = &self.content[self.view[c]];
            for (k, name) in (0..3).flat_map(|k| NAMES.map(|n| (k, n.to_owned()))) {
                let wanted =
                    client.wants.contains(&(k, name.clone())) || client.wants.contains(&(k, "*".to_owned()));
                let expected = content.get(&(k, name.clone())).copied().filter(|_| wanted);
                if expected == Some(BAD) {
                    continue;
                }
                assert_eq!(
                    client.held.get(&(k, name.clone())).copied(),
                    expected,
                    "client {c} type {k} {name}"
                );
            }
            for status in self.core.status(client.id.unwrap()) {
                assert!(status.settled, "client {c}: {status:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn delta_clients_converge(ops in proptest::collection::vec(op(), 1..80)) {
        let mut world = World::new();
        for op in ops {
            world.run(op);
        }
        world.settle();
        world.check();
    }

    #[test]
    fn reconnecting_costs_nothing(ops in proptest::collection::vec(op(), 1..60)) {
        let mut world = World::new();
        for op in ops {
            world.run(op);
        }
        // Refused resources are offered again to a new stream; here there are none.
        for k in 0..3 {
            for (n, name) in NAMES.iter().enumerate() {
                if world.content[0].get(&(k, (*name).to_owned())) == Some(&BAD) {
                    world.run(Op::Put(k, n, 1));
                }
            }
        }
        world.settle();
        for c in 0..2 {
            world.disconnect(c);
            world.connect(c);
        }
        for _ in 0..50 {
            for c in 0..2 {
                world.upstream(c);
                world.flush();
                for response in &world.clients[c].to_client {
                    prop_assert!(response.resources.is_empty(), "sent again: {response:?}");
                }
                world.clients[c].receive();
            }
        }
        world.check();
    }

    #[test]
    fn state_of_the_world_clients_converge(
        steps in proptest::collection::vec((0..2usize, 0..NAMES.len(), proptest::option::of(0..4u8), 0..6u8), 1..60),
    ) {
        let mut core = ServerCore::new(catalog(), Limits::default(), "test");
        let kinds: Vec<_> = core.catalog().ids().collect();
        let sets: Vec<_> = kinds.iter().map(|k| core.create_set(*k)).collect();
        let layers = sets.iter().map(|s| Layers::from([*s])).collect();
        let mut now = Instant::now();
        let id = StreamId(1);
        core.open(id, StreamOptions { protocol: Protocol::StateOfTheWorld, rewarm: true }, layers);
        let mut client = SotwClient {
            held: Held::new(), id, to_server: VecDeque::new(), to_client: VecDeque::new(),
            names: BTreeSet::new(), nonce: String::new(),
        };
        client.ask(0, String::new(), &[]);
        let mut content = Held::new();
        let exchange = |core: &mut ServerCore, client: &mut SotwClient, now: Instant| {
            if let Some(request) = client.to_server.pop_front() {
                core.sotw_request(client.id, request, now).unwrap();
            }
            while let Some(out) = core.poll(now) {
                let Response::StateOfTheWorld(response) = out.response else { panic!("wrong variant") };
                client.to_client.push_back(response);
            }
        };
        for (k, n, value, then) in steps {
            let name = NAMES[n];
            match value {
                Some(v) => {
                    let mut payload = vec![v];
                    payload.extend_from_slice(name.as_bytes());
                    let made = Arc::new(Resource::new(TYPES[k], name, Bytes::from(payload)));
                    core.update(sets[k], [Change::Put(made)], now);
                    content.insert((k, name.to_owned()), v);
                }
                None => {
                    core.update(sets[k], [Change::Remove(name.into())], now);
                    content.remove(&(k, name.to_owned()));
                }
            }
            match then {
                0 => {
                    client.names.insert(name.to_owned());
                    let nonce = client.nonce.clone();
                    client.ask(1, nonce, &[]);
                }
                1 | 2 => client.receive(),
                _ => {}
            }
            exchange(&mut core, &mut client, now);
        }
        for _ in 0..200 {
            now += Duration::from_millis(500);
            core.tick(now);
            client.receive();
            exchange(&mut core, &mut client, now);
        }
        for name in NAMES {
            let want = content.get(&(0, name.to_owned())).copied();
            if want != Some(BAD) {
                prop_assert_eq!(client.held.get(&(0, name.to_owned())).copied(), want);
            }
            // A name that is gone cannot be told in this variant; the client keeps what it had.
            let want = content.get(&(1, name.to_owned())).copied().filter(|_| client.names.contains(name));
            if let Some(want) = want.filter(|v| *v != BAD) {
                prop_assert_eq!(client.held.get(&(1, name.to_owned())).copied(), Some(want));
            }
        }
    }
}
