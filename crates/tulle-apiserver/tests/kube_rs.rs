//! A stock kube-rs client against the API, over TLS: its calls, and a watcher that outlives the server.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tulle_api::{Kind, Object, decode_object};
use tulle_apiserver::{Identity, Limits, NoMachine, Options, Role, Server, Token, kubeconfig, server_tls};
use tulle_store::{Embedded, Filter, LocalStore as _, Precondition};

/// Only catches hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A place for an API: a store's file, an authority, and a port that stays the same.
struct Place {
    dir: tempfile::TempDir,
    address: SocketAddr,
    /// Never listens: it keeps others from the port while no API is there.
    _reserved: TcpSocket,
}

/// A running API; all of it, connections and store too, has ended when this is dropped.
struct Running {
    store: Option<Embedded>,
    server: Option<Server>,
    runtime: tokio::runtime::Runtime,
}

impl Place {
    fn new() -> Self {
        let reserved = TcpSocket::new_v4().unwrap();
        reserved.set_reuseaddr(true).unwrap();
        reserved.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = reserved.local_addr().unwrap();
        Self { dir: tempfile::tempdir().unwrap(), address, _reserved: reserved }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn store(&self) -> Embedded {
        Embedded::open(self.file("objects.db")).unwrap()
    }

    fn start(&self) -> Running {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let store = self.store();
        let identity = Identity { name: "tulle:admin".into(), role: Role::Admin };
        let options = Options {
            store: Arc::new(store.clone()),
            tokens: vec![Token::new("secret", identity)],
            limits: Limits::default(),
            machine: Arc::new(NoMachine),
            tls: Some(server_tls(&self.file("ca.pem")).unwrap()),
            audit: tulle_telemetry::audit::AuditLog::default(),
        };
        let server = runtime.block_on(async {
            let listener = TcpListener::bind(self.address).await.unwrap();
            Server::start(listener, options).unwrap()
        });
        Running { store: Some(store), server: Some(server), runtime }
    }

    async fn client(&self) -> Client {
        let authority = server_tls(&self.file("ca.pem")).unwrap().authority;
        let text = kubeconfig(&format!("https://{}", self.address), &authority, "admin", "secret");
        let config = Kubeconfig::from_yaml(&text).unwrap();
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        Client::try_from(config).unwrap()
    }
}

impl Running {
    fn store(&self) -> &Embedded {
        self.store.as_ref().unwrap()
    }

    /// Ends the server as the end of its process would, and waits for that.
    fn stop(mut self) {
        drop(self.server.take());
        drop(self.store.take());
        drop(self.runtime);
    }
}

/// Objects by name, as a client gets them.
type State = BTreeMap<String, Value>;

/// A watcher that nobody helps, and what it knows.
struct Watched {
    objects: reflector::Store<DynamicObject>,
    /// What the watcher did, without the objects.
    steps: mpsc::UnboundedReceiver<Result<(), watcher::Error>>,
}

impl Watched {
    fn start(api: Api<DynamicObject>) -> Self {
        let writer = reflector::store::Writer::new(virtual_services());
        let objects = writer.as_reader();
        let (step, steps) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let events = watcher(api, watcher::Config::default()).default_backoff();
            let mut events = Box::pin(reflector(writer, events));
            while let Some(event) = events.next().await {
                if step.send(event.map(drop)).is_err() {
                    return;
                }
            }
        });
        Self { objects, steps }
    }

    fn known(&self) -> State {
        self.objects.state().iter().map(|object| (object.name_any(), as_json(object))).collect()
    }

    /// Goes on until `done`; errors are for the watcher to get over.
    async fn until(&mut self, done: impl Fn(&State, &Result<(), watcher::Error>) -> bool) {
        let mut last = Ok(());
        let steps = async {
            while !done(&self.known(), &last) {
                last = self.steps.recv().await.expect("a watcher has no end");
            }
        };
        let ended = tokio::time::timeout(PATIENCE, steps).await;
        assert!(ended.is_ok(), "the watcher's last step was {last:?}, and it knows {:#?}", self.known());
    }

    /// Waits until it knows what is in `store`, and no more than that.
    async fn until_it_knows(&mut self, store: &Embedded) {
        let objects = store.list_now(&Filter::kinds(&[Kind::VirtualService])).objects;
        let wanted: State = objects.iter().map(|o| (o.meta.name.clone(), o.to_json())).collect();
        self.until(|known, _| *known == wanted).await;
    }

    /// Waits until it was told that something does not work.
    async fn until_it_fails(&mut self) {
        self.until(|_, step| step.is_err()).await;
    }
}

fn virtual_services() -> ApiResource {
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "VirtualService");
    ApiResource::from_gvk_with_plural(&kind, "virtualservices")
}

fn manifest(name: &str, host: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"hosts": [host], "http": [{"route": [{"destination": {"host": host}}]}]},
    })
}

fn dynamic(name: &str, host: &str) -> DynamicObject {
    serde_json::from_value(manifest(name, host)).unwrap()
}

fn stored(name: &str, host: &str) -> Object {
    decode_object(&manifest(name, host)).unwrap()
}

fn as_json(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap()
}

fn names(objects: &[DynamicObject]) -> Vec<String> {
    objects.iter().map(|o| o.name_any()).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn a_watcher_outlives_a_restart() {
    let place = Place::new();
    let ours = runtime();
    let client = ours.block_on(place.client());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "shop", &virtual_services());

    let running = place.start();
    let mut watched = ours.block_on(async {
        let mut watched = Watched::start(Api::all_with(client, &virtual_services()));
        for name in ["cart", "stock"] {
            api.create(&PostParams::default(), &dynamic(name, name)).await.unwrap();
        }
        watched.until_it_knows(running.store()).await;
        assert_eq!(watched.known().len(), 2);
        watched
    });

    running.stop();
    // What is written while nobody can be told.
    let store = place.store();
    let cart = stored("cart", "cart").resource();
    assert!(store.delete_now(&cart, &Precondition::default()).unwrap().is_some());
    store.put_now(stored("stock", "warehouse")).unwrap();
    store.put_now(stored("orders", "orders")).unwrap();
    drop(store);
    ours.block_on(watched.until_it_fails());

    let running = place.start();
    ours.block_on(async {
        watched.until_it_knows(running.store()).await;
        api.create(&PostParams::default(), &dynamic("users", "users")).await.unwrap();
        watched.until_it_knows(running.store()).await;
        assert_eq!(watched.known().keys().collect::<Vec<_>>(), ["orders", "stock", "users"]);
        assert_eq!(watched.known()["stock"]["spec"]["hosts"], json!(["warehouse"]));
        // It is a watch again, not a list that came at the right time.
        api.delete("orders", &DeleteParams::default()).await.unwrap();
        watched.until_it_knows(running.store()).await;
        assert_eq!(watched.known().keys().collect::<Vec<_>>(), ["stock", "users"]);
    });
    running.stop();
}

#[test]
fn objects_are_listed_read_applied_and_deleted() {
    let place = Place::new();
    let running = place.start();
    runtime().block_on(async {
        let api: Api<DynamicObject> = Api::namespaced_with(place.client().await, "shop", &virtual_services());
        for name in ["cart", "orders", "stock"] {
            let created = api.create(&PostParams::default(), &dynamic(name, name)).await.unwrap();
            assert!(created.uid().is_some() && created.resource_version().is_some());
        }
        let list = api.list(&ListParams::default()).await.unwrap();
        assert_eq!(names(&list.items), ["cart", "orders", "stock"]);
        let first = api.list(&ListParams::default().limit(2)).await.unwrap();
        assert_eq!(names(&first.items), ["cart", "orders"]);
        let token = first.metadata.continue_.unwrap();
        let rest = api.list(&ListParams::default().limit(2).continue_token(&token)).await.unwrap();
        assert_eq!(names(&rest.items), ["stock"]);

        let cart = api.get("cart").await.unwrap();
        assert_eq!(cart.data["spec"]["hosts"], json!(["cart"]));
        let fields = Patch::Apply(manifest("cart", "basket"));
        let conflict = api.patch("cart", &PatchParams::apply("tests"), &fields).await.unwrap_err();
        assert!(matches!(&conflict, kube::Error::Api(status) if status.is_conflict()), "{conflict}");
        let applied = api.patch("cart", &PatchParams::apply("tests").force(), &fields).await.unwrap();
        assert_eq!(applied.data["spec"]["hosts"], json!(["basket"]));
        let owners = applied.managed_fields().iter().filter_map(|owner| owner.manager.as_deref());
        assert!(owners.into_iter().any(|owner| owner == "tests"), "{:?}", applied.managed_fields());
        let stale = api.replace("cart", &PostParams::default(), &cart).await.unwrap_err();
        assert!(matches!(&stale, kube::Error::Api(status) if status.is_conflict()), "{stale}");
        assert_eq!(as_json(&api.get("cart").await.unwrap()), as_json(&applied));

        api.delete("cart", &DeleteParams::default()).await.unwrap();
        assert!(api.get_opt("cart").await.unwrap().is_none());
        let again = api.delete("cart", &DeleteParams::default()).await.unwrap_err();
        assert!(matches!(&again, kube::Error::Api(status) if status.is_not_found()), "{again}");
    });
    running.stop();
}
