//! A control plane over a store in memory, and proxies that accept what they like.
#![allow(dead_code, unreachable_pub, reason = "several tests share it, and not every one uses everything")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use serde_json::Value as Json;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tulle_api::parse_manifests;
use tulle_base::ResourceRef;
use tulle_control::{Config, ControlPlane};
use tulle_proto::envoy::core::Node;
use tulle_proto::envoy::google::{Struct, Value, value::Kind};
use tulle_proto::type_url;
use tulle_store::{Filter, Memory, Store};
use tulle_xds::ResourceError;
use tulle_xds::client::{self, Client, Event, Interest, Update};

/// Catches what hangs; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The public half of a throw-away key; nothing is signed with it here.
const TOKEN_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9
q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==
-----END PUBLIC KEY-----
";

/// A control plane with its store.
pub struct Mesh {
    pub store: Arc<Memory>,
    pub control: ControlPlane,
    _dir: tempfile::TempDir,
}

impl Mesh {
    pub async fn start(yaml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Memory::new());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = Config::new(dir.path().to_owned(), TOKEN_KEY.to_owned());
        (config.plain, config.secure, config.monitoring) = (any, any, vec![any]);
        let control = ControlPlane::start(config, store.clone()).await.unwrap();
        let mesh = Self { store, control, _dir: dir };
        mesh.put(yaml);
        mesh.control.ready().await;
        mesh
    }

    pub fn put(&self, yaml: &str) {
        let (objects, diagnostics) = parse_manifests("test.yaml", yaml.as_bytes());
        assert!(!diagnostics.iter().any(|d| d.severity == tulle_base::Severity::Error), "{diagnostics:?}");
        for object in objects {
            self.store.put_now(object).unwrap();
        }
    }

    pub fn delete(&self, resource: &ResourceRef) {
        self.store.delete_now(resource);
    }

    /// Waits until a resource's status is as `done` asks.
    pub async fn status(&self, resource: &ResourceRef, done: impl Fn(&Status) -> bool) -> Status {
        let from = self.store.list_now(&Filter::default()).version;
        let mut changes = self.store.watch(Filter::default(), from).await.unwrap();
        let mut last = Status(Json::Null);
        let wait = async {
            loop {
                if let Some(object) = self.store.get_now(resource) {
                    let generation = object.meta.generation.unwrap_or_default();
                    last = Status(object.status.clone().unwrap_or_default());
                    if last.0["observedGeneration"] == generation && done(&last) {
                        return;
                    }
                }
                changes.next().await.unwrap();
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{resource} stays {:#}", last.0);
        }
        last
    }

    /// Waits until every proxy concerned has a resource.
    pub async fn programmed(&self, resource: &ResourceRef) -> Status {
        self.status(resource, |s| s.is("Programmed", "True")).await
    }
}

/// A resource's status.
#[derive(Clone, Debug)]
pub struct Status(pub Json);

impl Status {
    pub fn condition(&self, kind: &str) -> &Json {
        let all = self.0["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().find(|c| c["type"] == kind).unwrap_or(&Json::Null)
    }

    pub fn is(&self, kind: &str, status: &str) -> bool {
        self.condition(kind)["status"] == status
    }

    pub fn reason(&self, kind: &str) -> &str {
        self.condition(kind)["reason"].as_str().unwrap_or_default()
    }

    pub fn message(&self, kind: &str) -> &str {
        self.condition(kind)["message"].as_str().unwrap_or_default()
    }
}

/// Why a proxy refuses a resource of a type, if it does.
pub type Refuse = fn(kind: &str, name: &str, payload: &[u8]) -> Option<&'static str>;

/// A sidecar that asks for everything that it hears of.
pub struct Proxy {
    held: Arc<Mutex<BTreeMap<(String, String), Bytes>>>,
    changed: watch::Receiver<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn accept_all(_: &str, _: &str, _: &[u8]) -> Option<&'static str> {
    None
}

impl Proxy {
    pub fn connect(mesh: &Mesh, pod: &str, refuse: Refuse) -> Self {
        let address = mesh.control.plain;
        let connector = client::connector(move || TcpStream::connect(address));
        let (client, mut events) = Client::start(client::Config::new(node(pod), "istiod"), connector);
        client.subscribe(type_url::CLUSTER, Interest::Wildcard);
        client.subscribe(type_url::LISTENER, Interest::Wildcard);
        client.subscribe(type_url::ROUTE_CONFIGURATION, Interest::Names(vec!["80".into()]));
        client.subscribe(type_url::NAME_TABLE, Interest::Wildcard);
        client.subscribe(type_url::TRUST_BUNDLE, Interest::Wildcard);
        let held = Arc::new(Mutex::new(BTreeMap::new()));
        let (tell, changed) = watch::channel(0);
        let shared = held.clone();
        let task = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let Event::Update(update) = event {
                    apply(&client, &shared, update, refuse);
                    tell.send_modify(|n| *n += 1);
                }
            }
        });
        Self { held, changed, task }
    }

    /// Waits until the routes of port 80 are as `done` asks, by their bytes as text.
    pub async fn routes(&self, what: &str, done: impl Fn(&str) -> bool) {
        self.until(what, |held| {
            let routes = held.get(&(type_url::ROUTE_CONFIGURATION.to_owned(), "80".to_owned()));
            routes.is_some_and(|bytes| done(&String::from_utf8_lossy(bytes)))
        })
        .await;
    }

    pub async fn until(&self, what: &str, done: impl Fn(&BTreeMap<(String, String), Bytes>) -> bool) {
        let mut changed = self.changed.clone();
        let wait = async {
            while !done(&self.held.lock().unwrap()) {
                changed.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{what} did not come");
        }
    }
}

fn apply(client: &Client, held: &Mutex<BTreeMap<(String, String), Bytes>>, update: Update, refuse: Refuse) {
    let kind = update.type_url.as_ref().to_owned();
    let (mut names, mut errors) = (Vec::new(), Vec::new());
    let mut held = held.lock().unwrap();
    for r in update.changed {
        if let Some(reason) = refuse(&kind, &r.name, &r.payload) {
            errors.push(ResourceError::new(&*r.name, reason));
            continue;
        }
        if kind == type_url::CLUSTER && r.name.starts_with("outbound|") {
            names.push(r.name.as_ref().to_owned());
        }
        held.insert((kind.clone(), r.name.as_ref().to_owned()), r.payload);
    }
    for name in update.removed {
        held.remove(&(kind.clone(), name.as_ref().to_owned()));
    }
    // What follows is asked for before this is answered, as our proxy does.
    if !names.is_empty() {
        client.subscribe(type_url::CLUSTER_LOAD_ASSIGNMENT, Interest::Names(names));
    }
    if errors.is_empty() { client.accept(update.ticket) } else { client.reject(update.ticket, errors) }
}

fn node(pod: &str) -> Bytes {
    let text = |s: &str| Value { kind: Some(Kind::StringValue(s.to_owned())) };
    let app = pod.rsplit_once('-').map_or(pod, |(app, _)| app);
    let labels = Struct { fields: [("app".to_owned(), text(app))].into() };
    let fields = [
        ("NAMESPACE".to_owned(), text("shop")),
        ("LABELS".to_owned(), Value { kind: Some(Kind::StructValue(labels)) }),
    ];
    let node = Node {
        id: format!("sidecar~10.244.0.5~{pod}.shop~shop.svc.cluster.local"),
        cluster: format!("{app}.shop"),
        metadata: Some(Struct { fields: fields.into() }),
        user_agent_name: "tulle".into(),
        ..Default::default()
    };
    node.encode_to_vec().into()
}

/// A VirtualService of namespace `shop`.
pub fn route(name: &str) -> ResourceRef {
    ResourceRef::new("networking.istio.io", "VirtualService", "shop", name)
}

/// A DestinationRule of namespace `shop`.
pub fn rule(name: &str) -> ResourceRef {
    ResourceRef::new("networking.istio.io", "DestinationRule", "shop", name)
}

/// Services of namespace `shop` on port 80.
pub fn services(names: &[&str]) -> String {
    let one = |name: &&str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80}}]}}\n---\n"
        )
    };
    names.iter().map(one).collect()
}

/// A VirtualService of `host` that adds a header of this value.
pub fn tagged(name: &str, host: &str, value: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec:\n  hosts: [{host}]\n  http:\n  - headers: {{request: {{set: {{x-tag: {value}}}}}}}\n    \
         route: [{{destination: {{host: {host}}}}}]\n"
    )
}

/// A VirtualService of `host` that sends everything to a subset.
pub fn to_subset(host: &str, subset: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {host}, namespace: shop}}\n\
         spec:\n  hosts: [{host}]\n  http: [{{route: [{{destination: {{host: {host}, subset: {subset}}}}}]}}]\n"
    )
}

/// A DestinationRule of `host` with these subsets.
pub fn subsets(host: &str, names: &[&str]) -> String {
    let names: Vec<String> =
        names.iter().map(|n| format!("{{name: {n}, labels: {{version: {n}}}}}")).collect();
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {host}, namespace: shop}}\n\
         spec:\n  host: {host}\n  subsets: [{}]\n",
        names.join(", ")
    )
}
