//! From documents in a store to resources at a proxy, over real connections.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod one_proxy;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use tokio::net::TcpStream;
use tulle_base::ResourceRef;
use tulle_control::ControlPlane;
use tulle_proto::envoy::core::Node;
use tulle_proto::type_url;
use tulle_store::{Memory, Store};
use tulle_xds::client::Event;

use one_proxy::{CART, MESH, Proxy, config, node, put, slice};

async fn get(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_learns_of_changes_and_of_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Memory::new());
    put(&store, MESH).await;
    put(&store, &slice(&["10.244.0.5"])).await;
    let control = ControlPlane::start(config(dir.path()), store.clone()).await.unwrap();
    let mut proxy = Proxy::connect(control.plain, node("cart-0", "tulle"));
    proxy
        .until("the first configuration", |p| {
            p.endpoints() == 1 && p.has(type_url::LISTENER, "virtualInbound")
        })
        .await;
    proxy.settle().await;
    for (kind, name) in [
        (type_url::CLUSTER, CART),
        (type_url::CLUSTER, "inbound|8080||"),
        (type_url::CLUSTER, "PassthroughCluster"),
        (type_url::LISTENER, "virtualOutbound"),
        (type_url::LISTENER, "0.0.0.0_80"),
        (type_url::ROUTE_CONFIGURATION, "80"),
    ] {
        assert!(proxy.has(kind, name), "{name} in {:?}", proxy.held.keys().collect::<Vec<_>>());
    }

    // An endpoint more: one small message, at once.
    proxy.updates.clear();
    let before = Instant::now();
    put(&store, &slice(&["10.244.0.5", "10.244.0.6"])).await;
    proxy.until("the second endpoint", |p| p.endpoints() == 2).await;
    assert!(before.elapsed() < Duration::from_millis(90), "{:?}", before.elapsed());
    proxy.settle().await;
    assert_eq!(proxy.updates, [(type_url::CLUSTER_LOAD_ASSIGNMENT.to_owned(), 1, 0)]);

    // A route: routes change, clusters do not.
    proxy.updates.clear();
    put(
        &store,
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: cart, namespace: shop}\n\
         spec:\n  hosts: [cart]\n  http: [{route: [{destination: {host: cart}}], timeout: 5s}]\n",
    )
    .await;
    proxy.until("the route", |p| !p.updates.is_empty()).await;
    proxy.settle().await;
    assert_eq!(proxy.updates, [(type_url::ROUTE_CONFIGURATION.to_owned(), 1, 0)]);

    // A service more and less.
    proxy.updates.clear();
    let more = "apiVersion: v1\nkind: Service\nmetadata: {name: more, namespace: shop}\n\
                spec: {clusterIP: 10.96.0.11, selector: {app: more}, ports: [{name: http, port: 81}]}\n";
    put(&store, more).await;
    let cluster = "outbound|81||more.shop.svc.cluster.local";
    proxy.until("the new cluster", |p| p.has(type_url::CLUSTER, cluster)).await;
    proxy.settle().await;
    let clusters: Vec<_> = proxy.updates.iter().filter(|u| u.0 == type_url::CLUSTER).collect();
    assert_eq!(clusters.len(), 1, "{:?}", proxy.updates);
    assert_eq!(clusters[0].1, 1, "{:?}", proxy.updates);
    store.delete(&ResourceRef::new("", "Service", "shop", "more")).await.unwrap();
    proxy.until("the cluster's end", |p| !p.has(type_url::CLUSTER, cluster)).await;
    proxy.settle().await;

    let root = store.get(&ResourceRef::new("", "ConfigMap", "shop", "istio-ca-root-cert")).await.unwrap();
    assert!(root.unwrap().to_json().to_string().contains("BEGIN CERTIFICATE"));
    // Taken away by mistake, it comes back; gone with its namespace, it does not.
    let reference = ResourceRef::new("", "ConfigMap", "shop", "istio-ca-root-cert");
    store.delete(&reference).await.unwrap();
    for _ in 0..100 {
        if store.get(&reference).await.unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.get(&reference).await.unwrap().is_some());
    store.delete(&ResourceRef::new("", "Namespace", "", "shop")).await.unwrap();
    store.delete(&reference).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(store.get(&reference).await.unwrap().is_none());
    let monitoring = control.monitoring[0];
    assert!(get(monitoring, "/ready").await.starts_with("HTTP/1.1 200"));
    let metrics = get(monitoring, "/metrics").await;
    assert!(
        metrics.contains("pilot_xds{version=\"") && metrics.contains("pilot_xds_pushes{type=\"eds\"}"),
        "{metrics}"
    );
    let syncz = get(monitoring, "/debug/syncz").await;
    assert!(
        syncz.contains("\"proxy\": \"cart-0.shop\"") && syncz.contains("\"cds_status\": \"SYNCED\""),
        "{syncz}"
    );
    assert!(get(monitoring, "/nowhere").await.starts_with("HTTP/1.1 404"));
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_sends_nothing_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Memory::new());
    put(&store, MESH).await;
    put(&store, &slice(&["10.244.0.5"])).await;
    // As kill -9 would: its runtime goes, with every connection.
    let life = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (first_config, first_store) = (config(dir.path()), store.clone());
    let first = life
        .spawn(async move { ControlPlane::start(first_config, first_store).await.unwrap() })
        .await
        .unwrap();
    let (address, root) = (first.plain, first.root_pem.clone());
    let mut proxy = Proxy::connect(address, node("cart-0", "tulle"));
    proxy
        .until("the first configuration", |p| {
            p.endpoints() == 1 && p.has(type_url::LISTENER, "virtualInbound")
        })
        .await;
    proxy.settle().await;
    std::mem::forget(first);
    life.shutdown_background();
    proxy.updates.clear();
    let mut again = config(dir.path());
    again.plain = address;
    // The old socket may take a moment to be closed.
    let second = loop {
        match ControlPlane::start(again.clone(), store.clone()).await {
            Ok(second) => break second,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!(second.root_pem, root);
    proxy.until("the new stream", |p| p.updates.len() >= 4).await;
    proxy.settle().await;
    let sent: usize = proxy.updates.iter().map(|u| u.1 + u.2).sum();
    assert_eq!(sent, 0, "{:?}", proxy.updates);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_resource_says_so_and_leaves_the_rest_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Memory::new());
    put(&store, MESH).await;
    let control = ControlPlane::start(config(dir.path()), store.clone()).await.unwrap();
    control.ready().await;
    put(
        &store,
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: cart, namespace: shop}\n\
         spec:\n  hosts: [cart]\n  http: [{route: [{destination: {host: cart, subset: v9}}]}]\n",
    )
    .await;
    let reference = ResourceRef::new("networking.istio.io", "VirtualService", "shop", "cart");
    let mut status = None;
    for _ in 0..100 {
        status = store.get(&reference).await.unwrap().unwrap().status.clone();
        if status.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let status = status.expect("a status is written").to_string();
    assert!(status.contains("v9") && status.contains("conditions"), "{status}");
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_on_the_ports_does_no_harm() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Memory::new());
    put(&store, MESH).await;
    let control = ControlPlane::start(config(dir.path()), store.clone()).await.unwrap();
    let garbage = [
        b"\x16\x03\x01\x02".as_slice(),
        b"GET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        &[0u8; 70_000],
    ];
    for address in [control.plain, control.secure, control.monitoring[0]] {
        for bytes in garbage {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // The other side may hang up half-way.
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let _ = tokio::time::timeout(Duration::from_secs(1), stream.read_to_end(&mut answer)).await;
        }
    }
    for (node, reason) in [
        (bytes::Bytes::from_static(b"\xff\xff\xff"), "not a Node"),
        (Node { id: "nobody".into(), ..Default::default() }.encode_to_vec().into(), "not of the form"),
        (
            Node { id: "ztunnel~1.2.3.4~a.b~c".into(), ..Default::default() }.encode_to_vec().into(),
            "not served",
        ),
    ] {
        let mut proxy = Proxy::connect(control.plain, node);
        let reason_given = loop {
            if let Event::Disconnected { reason, .. } = proxy.events.next().await.unwrap() {
                break reason;
            }
        };
        assert!(reason_given.contains(reason), "{reason_given}");
    }
    let mut proxy = Proxy::connect(control.plain, node("cart-0", "tulle"));
    proxy.until("the first configuration", |p| p.has(type_url::CLUSTER, CART)).await;
    control.stop().await;
}
