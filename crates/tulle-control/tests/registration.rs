//! A workload outside of the cluster registers itself with its certificate, tells its health, and goes.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod certified;

use std::time::Duration;

use certified::World;
use prost::Message;
use tulle_api::istio::WorkloadEntry;
use tulle_base::ResourceRef;
use tulle_identity::Watched;
use tulle_proto::envoy::core::Node;
use tulle_proto::envoy::google::{Struct, Value, value::Kind};
use tulle_proto::type_url;
use tulle_store::Store;
use tulle_xds::client::{self, Client, Event, Events, Interest};

const HEALTH: &str = "type.googleapis.com/istio.v1.HealthInformation";

const GROUP: &str = "
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: vms, namespace: shop}
spec:
  metadata: {labels: {app: vm}}
  template: {serviceAccount: cart}
  probe: {tcpSocket: {port: 80}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: vm, namespace: shop}
spec:
  hosts: [vm.shop.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: vm}}
";

/// A proxy on a machine of its own.
fn connect(group: &str, connector: client::Connector) -> (Client, Events) {
    let text = |s: &str| Value { kind: Some(Kind::StringValue(s.to_owned())) };
    let fields = [("SERVICE_ACCOUNT", "cart"), ("AUTO_REGISTER_GROUP", group)];
    let node = Node {
        id: "sidecar~10.9.0.7~vm.shop~shop.svc.cluster.local".to_owned(),
        metadata: Some(Struct { fields: fields.map(|(k, v)| (k.to_owned(), text(v))).into() }),
        ..Default::default()
    };
    let config = client::Config::new(node.encode_to_vec().into(), "istiod.istio-system.svc");
    let (client, events) = Client::start(config, connector);
    client.subscribe(type_url::CLUSTER, Interest::Wildcard);
    (client, events)
}

/// The first answer, or why there is none.
async fn answer(events: &mut Events) -> Result<(), String> {
    loop {
        match tokio::time::timeout(Duration::from_secs(30), events.next()).await.unwrap().unwrap() {
            Event::Update(_) => return Ok(()),
            Event::Disconnected { reason, .. } => return Err(reason),
            Event::Connected => {}
        }
    }
}

async fn entry(world: &World) -> Option<std::sync::Arc<tulle_api::Object>> {
    let name = ResourceRef::new("networking.istio.io", "WorkloadEntry", "shop", "vms-10.9.0.7");
    world.store.get(&name).await.unwrap()
}

/// Waits until the entry is as `done` asks.
async fn until(world: &World, what: &str, done: impl Fn(Option<&tulle_api::Object>) -> bool) {
    for _ in 0..600 {
        if done(entry(world).await.as_deref()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: {:#?}", entry(world).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workload_registers_tells_its_health_and_goes() {
    let world = World::start(Duration::from_secs(3600)).await;
    world.put(GROUP).await;
    let own = world.certify("cart").await.unwrap();
    // The store's changes reach the mesh a moment later.
    let (client, _events) = loop {
        let (client, mut events) = connect("vms", world.secure(own.clone()));
        match answer(&mut events).await {
            Ok(()) => break (client, events),
            Err(reason) => assert!(reason.contains("no WorkloadGroup shop/vms"), "{reason}"),
        }
    };
    until(&world, "it is written down", |e| e.is_some()).await;
    let object = entry(&world).await.unwrap();
    let spec: &WorkloadEntry = object.get().unwrap();
    assert_eq!((spec.address.as_str(), spec.labels["app"].as_str()), ("10.9.0.7", "vm"));
    assert!(!tulle_mesh::entry::is_healthy(&object), "it has not said that it is well");
    client.report(HEALTH, None);
    let healthy = |e: Option<&tulle_api::Object>| e.is_some_and(tulle_mesh::entry::is_healthy);
    until(&world, "it is well", healthy).await;
    client.report(HEALTH, Some("connection refused".to_owned()));
    until(&world, "it is not well", |e| e.is_some() && !healthy(e)).await;
    // The mesh's own conditions stand beside it.
    let condition = |e: &tulle_api::Object, kind: &str| {
        let all = e.status.as_ref().and_then(|s| s["conditions"].as_array().cloned()).unwrap_or_default();
        all.into_iter().find(|c| c["type"] == kind)
    };
    until(&world, "both conditions are there", |e| {
        e.is_some_and(|e| {
            condition(e, "Accepted").is_some()
                && condition(e, "Healthy").is_some_and(|c| c["message"] == "connection refused")
        })
    })
    .await;
    // It comes back, and its entry has stayed.
    let uid = entry(&world).await.unwrap().meta.uid.clone();
    drop(client);
    let gone = |e: Option<&tulle_api::Object>| {
        e.is_some_and(|e| e.meta.annotations.contains_key("istio.io/disconnectedAt"))
    };
    until(&world, "it is noted that it is gone", gone).await;
    let (client, mut events) = connect("vms", world.secure(own));
    answer(&mut events).await.unwrap();
    until(&world, "it is back", |e| e.is_some() && !gone(e)).await;
    assert_eq!(entry(&world).await.unwrap().meta.uid, uid);
    // It stays away.
    drop(client);
    until(&world, "it is removed", |e| e.is_none()).await;
    world.control.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_registers_as_somebody_else() {
    let world = World::start(Duration::from_secs(3600)).await;
    world.put(&GROUP.replace("serviceAccount: cart", "serviceAccount: db")).await;
    let own = world.certify("cart").await.unwrap();
    let refused = async |connector: client::Connector, text: &str| {
        for _ in 0..200 {
            let (_client, mut events) = connect("vms", connector.clone());
            let reason = answer(&mut events).await.unwrap_err();
            if reason.contains(text) {
                return;
            }
            assert!(reason.contains("no WorkloadGroup"), "{reason}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("never refused because of {text}");
    };
    refused(world.secure(own), "is for service account db").await;
    let plain = world.control.plain;
    let plain = client::connector(move || tokio::net::TcpStream::connect(plain));
    refused(plain, "connect to the TLS port").await;
    let other = world.certify("db").await.unwrap();
    let (_client, mut events) = connect("vms", world.secure(other));
    assert!(answer(&mut events).await.unwrap_err().starts_with("PermissionDenied"));
    let (_client, mut events) = connect("vms", world.secure(Watched::empty()));
    assert!(answer(&mut events).await.is_err());
    assert!(entry(&world).await.is_none());
    world.control.stop().await;
}
