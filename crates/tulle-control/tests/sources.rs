//! A control plane over each kind of store serves a proxy, and passes changes on.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(clippy::print_stderr, reason = "a test that is left out says so")]

#[allow(dead_code, reason = "shared with tests that need more of it")]
#[path = "../../tulle-store/tests/support/etcd.rs"]
mod etcd_server;
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod one_proxy;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tulle_base::ResourceRef;
use tulle_control::{ControlPlane, EtcdAccess, Source, SourceError};
use tulle_proto::type_url;
use tulle_store::{RemoteStore, Store as _, StoreAddress};

use etcd_server::EtcdServer;
use one_proxy::{MESH, Proxy, config, node, put, slice};

async fn open(address: &str) -> Source {
    let address: StoreAddress = address.parse().unwrap();
    Source::open(&address, EtcdAccess::default()).await.unwrap()
}

/// A control plane over `source` and a proxy of it that has the mesh with one endpoint.
async fn serving(source: &Source, state: &Path) -> (ControlPlane, Proxy) {
    let control = ControlPlane::start(config(state), source.store()).await.unwrap();
    let mut proxy = Proxy::connect(control.plain, node("cart-0", "tulle"));
    let first = |p: &Proxy| p.endpoints() == 1 && p.has(type_url::LISTENER, "virtualInbound");
    proxy.until("the first configuration", first).await;
    (control, proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder() {
    let (dir, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(files.path().join("mesh.yaml"), MESH).unwrap();
    fs::write(files.path().join("slice.yaml"), slice(&["10.244.0.5"])).unwrap();
    let source = open(&format!("file:{}", files.path().display())).await;
    let (control, mut proxy) = serving(&source, dir.path()).await;
    fs::write(files.path().join("slice.yaml"), slice(&["10.244.0.5", "10.244.0.6"])).unwrap();
    proxy.until("the second endpoint", |p| p.endpoints() == 2).await;
    fs::remove_file(files.path().join("slice.yaml")).unwrap();
    proxy.until("the end of all endpoints", |p| p.endpoints() == 0).await;
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd() {
    let Some(mut server) = EtcdServer::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let somebody = Arc::new(server.store("/mesh"));
    put(&somebody, MESH).await;
    put(&somebody, &slice(&["10.244.0.5"])).await;
    let source = open(&format!("etcd://127.0.0.1:{}/mesh", server.port())).await;
    let (control, mut proxy) = serving(&source, dir.path()).await;
    put(&somebody, &slice(&["10.244.0.5", "10.244.0.6"])).await;
    proxy.until("the second endpoint", |p| p.endpoints() == 2).await;
    // What the control plane writes is in etcd too.
    let root = ResourceRef::new("", "ConfigMap", "shop", "istio-ca-root-cert");
    assert!(somebody.get(&root).await.unwrap().is_some());
    // It goes on when etcd was away.
    server.kill();
    server.start_again().await;
    put(&somebody, &slice(&["10.244.0.5", "10.244.0.6", "10.244.0.7"])).await;
    proxy.until("the third endpoint", |p| p.endpoints() == 3).await;
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_it_offers_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("embedded:{}", dir.path().join("store.db").display());
    let socket = dir.path().join("store.sock");
    let mut source = open(&address).await;
    source.serve(socket.clone()).unwrap();
    let somebody = Arc::new(RemoteStore::new(&socket));
    put(&somebody, MESH).await;
    put(&somebody, &slice(&["10.244.0.5"])).await;
    let (control, proxy) = serving(&source, dir.path()).await;
    let address: StoreAddress = address.parse().unwrap();
    let taken = Source::open(&address, EtcdAccess::default()).await.unwrap_err();
    assert!(
        matches!(taken, SourceError::Embedded(_)) && taken.to_string().contains("another process"),
        "{taken}"
    );
    drop(proxy);
    control.stop().await;
    drop(source);
    // The next control plane finds everything there, and replaces the socket.
    let mut source = reopened(&address).await;
    source.serve(socket).unwrap();
    let (control, mut proxy) = serving(&source, dir.path()).await;
    put(&somebody, &slice(&["10.244.0.5", "10.244.0.6"])).await;
    proxy.until("the second endpoint", |p| p.endpoints() == 2).await;
    control.stop().await;
}

/// Opens a store as soon as the tasks that had it have ended.
async fn reopened(address: &StoreAddress) -> Source {
    for _ in 0..600 {
        if let Ok(source) = Source::open(address, EtcdAccess::default()).await {
            return source;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{address} is not given back");
}
