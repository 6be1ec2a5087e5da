//! The server and the client over a real connection.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_stream::wrappers::TcpListenerStream;
use tulle_xds::client::{Client, Config, Event, Events, Interest, Update, connector};
use tulle_xds::server::{
    AdsService, Catalog, Change, CoreEvent, Hub, HubEvent, Layers, Limits, SetId, StreamOptions, TypeConfig,
};
use tulle_xds::{Resource, ResourceError};

const T: &str = "type.googleapis.com/test.Thing";

struct Server {
    hub: Hub,
    set: SetId,
    address: std::net::SocketAddr,
    events: tokio::sync::mpsc::UnboundedReceiver<HubEvent>,
}

impl Server {
    async fn start(address: &str, max_streams: usize, limits: Limits) -> Self {
        let catalog = Catalog::new(vec![TypeConfig::independent(T).with_full_state()]);
        let (hub, from_hub) = Hub::start(catalog, limits, max_streams, "test");
        let set = hub.create_set(hub.catalog().find(T).unwrap());
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = AdsService::new(&hub);
        tokio::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            tonic::transport::Server::builder().serve_with_incoming(service, incoming).await.unwrap();
        });
        let events = admit_all(hub.clone(), set, from_hub);
        Self { hub, set, address, events }
    }

    fn put(&self, name: &str, value: &str) {
        let payload = Bytes::copy_from_slice(value.as_bytes());
        let change = Change::Put(Arc::new(Resource::new(T, name, payload)));
        self.hub.update(self.set, vec![change], Instant::now());
    }

    fn client(&self) -> (Client, Events) {
        let address = self.address;
        let connector = connector(move || TcpStream::connect(address));
        Client::start(Config::new(Bytes::from_static(b"\x0a\x01n"), "test"), connector)
    }
}

/// Admits every stream but those whose node says not to; passes the other events on.
fn admit_all(hub: Hub, set: SetId, mut events: UnboundedReceiver<HubEvent>) -> UnboundedReceiver<HubEvent> {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            match event {
                HubEvent::Opening { stream, node, .. } if node == "stranger" => {
                    hub.refuse(stream, tonic::Status::permission_denied("who are you"));
                }
                HubEvent::Opening { stream, protocol, .. } => {
                    hub.admit(stream, StreamOptions { protocol, rewarm: false }, vec![Layers::from([set])]);
                }
                event => {
                    let _ = sender.send(event);
                }
            }
        }
    });
    receiver
}

async fn next_update(events: &mut Events) -> Update {
    let wait = async {
        loop {
            if let Event::Update(update) = events.next().await.expect("the client lives") {
                return update;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("an update comes")
}

fn names(update: &Update) -> Vec<String> {
    let mut names: Vec<_> = update.changed.iter().map(|r| r.name.as_ref().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_arrive_and_refusals_come_back_by_name() {
    let mut server = Server::start("127.0.0.1:0", 10, Limits::default()).await;
    server.put("a", "1");
    server.put("b", "1");
    let (client, mut events) = server.client();
    client.subscribe(T, Interest::Wildcard);
    let update = next_update(&mut events).await;
    assert_eq!(names(&update), ["a", "b"]);
    client.reject(update.ticket, vec![ResourceError::new("b", "port 0")]);
    loop {
        if let HubEvent::Core(CoreEvent::Refused { errors, .. }) = server.events.recv().await.unwrap() {
            let errors: Vec<_> = errors.into_iter().map(|e| e.error).collect();
            assert_eq!(errors, [ResourceError::new("b", "port 0")]);
            break;
        }
    }
    // Only the change of `a` is sent; `b` stays in quarantine.
    server.put("a", "2");
    let update = next_update(&mut events).await;
    assert_eq!(names(&update), ["a"]);
    client.accept(update.ticket);
    server.put("b", "2");
    assert_eq!(names(&next_update(&mut events).await), ["b"]);
}

#[tokio::test]
async fn a_restarted_server_has_nothing_to_say() {
    // The first server has a runtime of its own, so that it can die as a process does.
    let life = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = life.spawn(Server::start("127.0.0.1:0", 10, Limits::default())).await.unwrap();
    server.put("a", "1");
    let (client, mut events) = server.client();
    client.subscribe(T, Interest::Wildcard);
    let update = next_update(&mut events).await;
    client.accept(update.ticket);
    let address = server.address.to_string();
    life.shutdown_background();
    loop {
        match events.next().await.unwrap() {
            Event::Disconnected { .. } => break,
            Event::Connected => {}
            Event::Update(update) => panic!("{update:?}"),
        }
    }
    let mut again = Server::start(&address, 10, Limits::default()).await;
    again.put("a", "1");
    let update = next_update(&mut events).await;
    assert!(update.changed.is_empty() && update.removed.is_empty(), "{update:?}");
    client.accept(update.ticket);
    loop {
        match again.events.recv().await.unwrap() {
            HubEvent::Sent { bytes, .. } => assert_eq!(bytes, 0),
            HubEvent::Core(CoreEvent::Accepted { .. }) => break,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_stranger_is_refused_with_the_reason() {
    let server = Server::start("127.0.0.1:0", 10, Limits::default()).await;
    let address = server.address;
    let config = Config::new(Bytes::from_static(b"stranger"), "test");
    let (client, mut events) = Client::start(config, connector(move || TcpStream::connect(address)));
    client.subscribe(T, Interest::Wildcard);
    loop {
        if let Event::Disconnected { reason, .. } = events.next().await.unwrap() {
            assert_eq!(reason, "PermissionDenied: who are you");
            break;
        }
    }
}

#[tokio::test]
async fn streams_and_names_are_limited() {
    let limits = Limits { names: 3, ..Limits::default() };
    let server = Server::start("127.0.0.1:0", 1, limits).await;
    let (greedy, mut events) = server.client();
    let many = (0..4).map(|i| format!("n{i}")).collect();
    greedy.subscribe(T, Interest::Names(many));
    let reason = loop {
        if let Event::Disconnected { reason, .. } = events.next().await.unwrap() {
            break reason;
        }
    };
    assert_eq!(reason, "ResourceExhausted: more than 3 resource names on one stream");
    drop(greedy);
    tokio::time::sleep(Duration::from_millis(50)).await;

    let (first, mut first_events) = server.client();
    first.subscribe(T, Interest::Wildcard);
    next_update(&mut first_events).await;
    let (second, mut second_events) = server.client();
    second.subscribe(T, Interest::Wildcard);
    loop {
        if let Event::Disconnected { reason, .. } = second_events.next().await.unwrap() {
            assert!(reason.contains("too many streams"), "{reason}");
            break;
        }
    }
}
