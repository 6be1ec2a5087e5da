//! Manifests, all the way: read, checked, written, modelled, and translated for a sidecar and a gateway.

use std::sync::Arc;

use tulle_mesh::{Change, MeshConfig, NsName, Snapshot};
use tulle_translate::{Kind, Proxy, View};

use crate::Target;

pub(crate) const TARGET: Target = Target { name: "manifests", run, words: WORDS };

const WORDS: &[&str] = &[
    "\n---\n",
    "- ",
    ": ",
    "\n  ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "&a ",
    "*a",
    "<<: *a\n",
    "|\n",
    "!!str ",
    "\t",
    "null",
    "apiVersion: networking.istio.io/v1\n",
    "kind: VirtualService\n",
    "kind: DestinationRule\n",
    "kind: ServiceEntry\n",
    "metadata: {name: a}\n",
    "spec:\n",
    "hosts: ['*']\n",
    "http:\n",
    "regex: '(.*)'\n",
    "5s",
    "99999999999",
    "-1",
    "1e9",
    "*.example.com",
    "outbound_.80_._.a",
    "{*}",
    "{**}",
    "%REQ(a)%",
    "\u{feff}",
    "\r\n",
    "\u{0}",
    "ä",
];

/// A pod that everything is translated for.
const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: client, namespace: default, labels: {app: client}}\n\
                   spec: {serviceAccountName: client, containers: [{name: client, image: x}]}\n\
                   status: {phase: Running, podIP: 10.244.0.2, conditions: [{type: Ready, status: 'True'}]}\n";

fn run(bytes: &[u8]) {
    let (objects, diagnostics) = tulle_api::parse_manifests("fuzz.yaml", bytes);
    for diagnostic in &diagnostics {
        let span = diagnostic.span.as_ref();
        assert!(span.is_some_and(|s| s.line > 0 && s.column > 0), "no place: {diagnostic}");
    }
    for object in &objects {
        let again = tulle_api::decode_object(&object.to_json());
        assert_eq!(again.map(|o| o.spec), Ok(object.spec.clone()));
        let _ = tulle_api::validate(object);
    }
    if objects.is_empty() {
        return;
    }
    let pod = tulle_api::parse_manifests("pod.yaml", POD.as_bytes()).0;
    let changes: Vec<Change> = pod.into_iter().chain(objects).map(|o| Change::Put(Arc::new(o))).collect();
    let (snapshot, _) = Snapshot::new(MeshConfig::default()).apply(&changes);
    let _ = snapshot.diagnostics().count();
    translate(&snapshot);
    let gone: Vec<Change> = snapshot_resources(&changes);
    let _ = snapshot.apply(&gone);
}

fn translate(snapshot: &Snapshot) {
    for kind in [Kind::Sidecar, Kind::Router] {
        let proxy = proxy(kind);
        let view = View::of(snapshot, &proxy);
        let _ = tulle_translate::listeners(snapshot, &proxy, &view);
        let _ = tulle_translate::clusters(snapshot, &proxy, &view);
        for name in tulle_translate::route_names(snapshot, &proxy, &view) {
            assert!(tulle_translate::routes(snapshot, &proxy, &view, &name).is_some(), "no routes {name}");
        }
        for name in tulle_translate::endpoint_names(snapshot, &view) {
            assert!(tulle_translate::endpoints(snapshot, &view, &name).is_some(), "no endpoints {name}");
        }
        let _ = tulle_translate::name_table(snapshot, &view);
    }
}

fn proxy(kind: Kind) -> Proxy {
    Proxy {
        kind,
        id: "sidecar~10.244.0.2~client.default~default.svc.cluster.local".into(),
        ip: "10.244.0.2".into(),
        families: tulle_translate::Families::Dual,
        labels: [("app".to_owned(), "client".to_owned())].into(),
        service_account: "client".into(),
        workload: "client".into(),
        cluster_id: "Kubernetes".into(),
        network: String::new(),
        locality: Default::default(),
        metadata: Default::default(),
        node: String::new(),
        stock_envoy: false,
        stands_for: None,
        pod: NsName::new("default", "client"),
    }
}

/// The same documents, taken away again.
fn snapshot_resources(changes: &[Change]) -> Vec<Change> {
    let gone = changes.iter().filter_map(|c| match c {
        Change::Put(object) => Some(Change::Delete(object.resource())),
        Change::Delete(_) | Change::Time(_) | Change::Keys(..) => None,
    });
    gone.collect()
}
