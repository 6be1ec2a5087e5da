//! A small mesh as documents, and a proxy that takes what it is sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use prost::Message;
use tokio::net::TcpStream;
use tulle_api::parse_manifests;
use tulle_control::Config;
use tulle_proto::envoy::core::Node;
use tulle_proto::envoy::endpoint::ClusterLoadAssignment;
use tulle_proto::envoy::google::{Struct, Value, value::Kind};
use tulle_proto::type_url;
use tulle_store::Store;
use tulle_xds::client::{self, Client, Event, Events, Interest, Update};

/// The public half of a throw-away key; nothing is signed with it here.
pub(crate) const TOKEN_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9
q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==
-----END PUBLIC KEY-----
";

pub(crate) const MESH: &str = r"
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  clusterIP: 10.96.0.10
  selector: {app: cart}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: cart-0, namespace: shop, labels: {app: cart}}
spec:
  serviceAccountName: cart
  containers: [{name: cart, image: cart, ports: [{containerPort: 8080}]}]
status:
  phase: Running
  podIP: 10.244.0.5
  podIPs: [{ip: 10.244.0.5}]
  conditions: [{type: Ready, status: 'True'}]
";

pub(crate) fn slice(addresses: &[&str]) -> String {
    let endpoints: Vec<String> = addresses
        .iter()
        .map(|a| format!("{{addresses: [{a}], conditions: {{ready: true}}, targetRef: {{kind: Pod, name: cart-0, namespace: shop}}}}"))
        .collect();
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: cart-1, namespace: shop, \
         labels: {{kubernetes.io/service-name: cart}}}}\naddressType: IPv4\nports: [{{name: http, port: 8080}}]\n\
         endpoints: [{}]\n",
        endpoints.join(", ")
    )
}

/// Writes what `yaml` says.
pub(crate) async fn put(store: &impl Deref<Target: Store>, yaml: &str) {
    let (objects, diagnostics) = parse_manifests("test.yaml", yaml.as_bytes());
    assert!(!diagnostics.iter().any(|d| d.severity == tulle_base::Severity::Error), "{diagnostics:?}");
    for object in objects {
        store.put(object).await.unwrap();
    }
}

pub(crate) fn config(dir: &std::path::Path) -> Config {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = Config::new(dir.to_owned(), TOKEN_KEY.to_owned());
    config.plain = any;
    config.secure = any;
    config.monitoring = vec![any];
    config
}

pub(crate) fn node(pod: &str, agent: &str) -> bytes::Bytes {
    let text = |s: &str| Value { kind: Some(Kind::StringValue(s.to_owned())) };
    let labels = Struct { fields: [("app".to_owned(), text("cart"))].into() };
    let fields = [
        ("NAMESPACE".to_owned(), text("shop")),
        ("SERVICE_ACCOUNT".to_owned(), text("cart")),
        ("LABELS".to_owned(), Value { kind: Some(Kind::StructValue(labels)) }),
    ];
    let node = Node {
        id: format!("sidecar~10.244.0.5~{pod}.shop~shop.svc.cluster.local"),
        cluster: "cart.shop".into(),
        metadata: Some(Struct { fields: fields.into() }),
        user_agent_name: agent.into(),
        ..Default::default()
    };
    node.encode_to_vec().into()
}

/// A proxy that accepts everything and asks for the endpoints of every cluster.
pub(crate) struct Proxy {
    pub(crate) client: Client,
    pub(crate) events: Events,
    pub(crate) held: BTreeMap<(String, String), bytes::Bytes>,
    pub(crate) updates: Vec<(String, usize, usize)>,
}

impl Proxy {
    pub(crate) fn connect(address: SocketAddr, node: bytes::Bytes) -> Self {
        let connector = client::connector(move || TcpStream::connect(address));
        let (client, events) = Client::start(client::Config::new(node, "istiod"), connector);
        client.subscribe(type_url::CLUSTER, Interest::Wildcard);
        client.subscribe(type_url::LISTENER, Interest::Wildcard);
        client.subscribe(type_url::ROUTE_CONFIGURATION, Interest::Names(vec!["80".into()]));
        client.subscribe(type_url::NAME_TABLE, Interest::Wildcard);
        Self { client, events, held: BTreeMap::new(), updates: Vec::new() }
    }

    /// Applies updates until `done`.
    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let wait = async {
            while !done(self) {
                match self.events.next().await.unwrap() {
                    Event::Update(update) => self.apply(update),
                    Event::Connected | Event::Disconnected { .. } => {}
                }
            }
        };
        if tokio::time::timeout(Duration::from_secs(10), wait).await.is_err() {
            panic!("{what} did not come; {:?} and {:?}", self.updates, self.held.keys().collect::<Vec<_>>());
        }
    }

    /// Applies what comes within a moment.
    pub(crate) async fn settle(&mut self) {
        while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(150), self.events.next()).await
        {
            if let Event::Update(update) = event {
                self.apply(update);
            }
        }
    }

    pub(crate) fn apply(&mut self, update: Update) {
        let kind = update.type_url.as_ref().to_owned();
        self.updates.push((kind.clone(), update.changed.len(), update.removed.len()));
        let mut names = Vec::new();
        for r in update.changed {
            if kind == type_url::CLUSTER && r.name.starts_with("outbound|") {
                names.push(r.name.as_ref().to_owned());
            }
            self.held.insert((kind.clone(), r.name.as_ref().to_owned()), r.payload);
        }
        for name in update.removed {
            self.held.remove(&(kind.clone(), name.as_ref().to_owned()));
        }
        self.client.accept(update.ticket);
        if !names.is_empty() {
            self.client.subscribe(type_url::CLUSTER_LOAD_ASSIGNMENT, Interest::Names(names));
        }
    }

    pub(crate) fn has(&self, kind: &str, name: &str) -> bool {
        self.held.contains_key(&(kind.to_owned(), name.to_owned()))
    }

    pub(crate) fn endpoints(&self) -> usize {
        let key = (type_url::CLUSTER_LOAD_ASSIGNMENT.to_owned(), CART.to_owned());
        let Some(bytes) = self.held.get(&key) else { return 0 };
        let message = ClusterLoadAssignment::decode(bytes.clone()).unwrap();
        message.endpoints.iter().map(|l| l.lb_endpoints.len()).sum()
    }
}

pub(crate) const CART: &str = "outbound|80||cart.shop.svc.cluster.local";
