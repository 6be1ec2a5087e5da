//! What proxies share, and what a change concerns.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

use std::sync::Arc;

use tulle_mesh::{Change, MeshConfig, NsName, Snapshot};
use tulle_translate::{Kind, Proxy, View, affected};

const MESH: &str = "
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{port: 80, name: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: b, namespace: far}, spec: {clusterIP: 10.96.0.2, selector: {app: b}, ports: [{port: 80, name: http}]}}
";

fn apply(snapshot: &Snapshot, yaml: &str) -> (Snapshot, tulle_mesh::ChangedKeys) {
    let (objects, problems) = tulle_api::parse_manifests("test", yaml.as_bytes());
    assert!(problems.iter().all(|p| p.severity < tulle_base::Severity::Error), "{problems:?}");
    let changes: Vec<Change> = objects.into_iter().map(|o| Change::Put(Arc::new(o))).collect();
    snapshot.apply(&changes)
}

fn mesh() -> Snapshot {
    apply(&Snapshot::new(MeshConfig::default()), MESH).0
}

fn sidecar(namespace: &str, pod: &str, app: &str) -> Proxy {
    Proxy {
        kind: Kind::Sidecar,
        id: String::new(),
        ip: "10.0.0.1".into(),
        families: Default::default(),
        pod: NsName::new(namespace, pod),
        labels: [("app".to_owned(), app.to_owned())].into(),
        service_account: "default".into(),
        workload: app.into(),
        cluster_id: "Kubernetes".into(),
        network: String::new(),
        locality: Default::default(),
        metadata: Default::default(),
        node: String::new(),
        stock_envoy: false,
        stands_for: None,
    }
}

#[test]
fn proxies_of_a_namespace_share_until_labels_matter() {
    let mesh = mesh();
    let (x, y) = (sidecar("default", "x", "a"), sidecar("default", "y", "z"));
    let far = sidecar("far", "x", "a");
    assert_eq!(View::key_of(&mesh, &x), View::key_of(&mesh, &y));
    assert_ne!(View::key_of(&mesh, &x), View::key_of(&mesh, &far));
    let outbound = |mesh: &Snapshot, p: &Proxy| {
        let view = View::of(mesh, p);
        (tulle_translate::outbound_clusters(mesh, &view), tulle_translate::outbound_listeners(mesh, &view))
    };
    assert_eq!(outbound(&mesh, &x), outbound(&mesh, &y), "equal keys, equal resources");
    let (mesh, _) = apply(
        &mesh,
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v}, spec: {hosts: [a], \
         http: [{match: [{sourceLabels: {app: z}}], route: [{destination: {host: b.far.svc.cluster.local}}]}, \
         {route: [{destination: {host: a}}]}]}}",
    );
    assert_ne!(View::key_of(&mesh, &x), View::key_of(&mesh, &y));
    let routes = |p: &Proxy| tulle_translate::routes(&mesh, p, &View::of(&mesh, p), "80").unwrap();
    assert_ne!(routes(&x).version, routes(&y).version);
}

#[test]
fn proxies_share_until_somebody_asks_where_they_are() {
    let at = |pod: &str, locality: &str| Proxy {
        locality: tulle_base::Locality::parse(locality),
        ..sidecar("default", pod, "a")
    };
    let (near, same, far) = (at("x", "r1/z1"), at("y", "r1/z1"), at("z", "r2/z1"));
    let nowhere = sidecar("default", "nowhere", "a");
    let key = View::key_of;
    let mesh = mesh();
    assert_eq!(key(&mesh, &near), key(&mesh, &far), "nobody asks");
    let rule = |policy: &str| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {{name: d}}, spec: {{host: a, trafficPolicy: {{{policy}}}}}}}"
        )
    };
    let (shares, _) = apply(&mesh, &rule("loadBalancer: {simple: RANDOM}"));
    assert_eq!(key(&shares, &near), key(&shares, &far), "another policy asks for nothing");
    let (asks, changed) = apply(&mesh, &rule("outlierDetection: {}"));
    assert_ne!(key(&asks, &near), key(&asks, &far));
    assert_eq!(key(&asks, &near), key(&asks, &same));
    assert_eq!(key(&asks, &nowhere), key(&mesh, &nowhere), "who is nowhere has the view of before");
    assert!(affected(&asks, &near, &View::of(&mesh, &near), &changed).endpoints);
    let (off, _) =
        apply(&mesh, &rule("outlierDetection: {}, loadBalancer: {localityLbSetting: {enabled: false}}"));
    assert_eq!(key(&off, &near), key(&off, &far), "switched off");
    let labels = "outlierDetection: {}, loadBalancer: {localityLbSetting: {failoverPriority: [app]}}";
    let (by_label, _) = apply(&mesh, &rule(labels));
    assert_eq!(key(&by_label, &near), key(&by_label, &far), "labels rank, not places");
    let other = sidecar("default", "o", "b");
    assert_ne!(key(&by_label, &near), key(&by_label, &other));
    // A node says where its pods are, and says it anew when its labels change.
    let placed = |region: &str| {
        format!(
            "{{apiVersion: v1, kind: Node, metadata: {{name: n1, labels: {{topology.kubernetes.io/region: {region}}}}}}}\n---\n\
             {{apiVersion: v1, kind: Pod, metadata: {{name: nowhere, namespace: default}}, spec: {{nodeName: n1, containers: [{{name: c, image: x}}]}}}}"
        )
    };
    let (there, _) = apply(&asks, &placed("r1"));
    assert_ne!(key(&there, &nowhere), key(&asks, &nowhere));
    let (moved, changed) = apply(&there, &placed("r2"));
    assert_ne!(key(&moved, &nowhere), key(&there, &nowhere));
    assert!(changed.workloads.contains(&nowhere.pod));
}

#[test]
fn a_change_concerns_what_depends_on_it() {
    let before = mesh();
    let proxy = sidecar("default", "x", "a");
    let view = View::of(&before, &proxy);
    let types = |yaml: &str| {
        let (after, keys) = apply(&before, yaml);
        affected(&after, &proxy, &view, &keys)
    };
    let rule = types(
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: d}, spec: {host: a}}",
    );
    assert!(rule.clusters && rule.routes && !rule.listeners && !rule.names);
    let elsewhere = types(
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: d}, spec: {host: none}}",
    );
    assert!(elsewhere.is_empty());
    let policy = |ns: &str| {
        types(&format!(
            "{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: p, namespace: {ns}}}, spec: {{}}}}"
        ))
    };
    assert!(policy("default").listeners && !policy("default").clusters);
    assert!(policy("istio-system").listeners);
    assert!(policy("far").is_empty());
    let endpoints = types(
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a-1, labels: {kubernetes.io/service-name: a}}, \
         addressType: IPv4, ports: [{port: 80, name: http}], endpoints: [{addresses: [10.0.0.9]}]}",
    );
    assert!(endpoints.endpoints && !endpoints.clusters && !endpoints.listeners, "{endpoints:?}");
    let gateway = types(
        "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g}, spec: {selector: {a: b}, \
         servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}}",
    );
    assert!(gateway.is_empty(), "sidecars do not see gateways");
}

#[test]
fn proxies_that_a_filter_selects_have_a_view_of_their_own() {
    let filter = |selector: &str, context: &str| {
        format!(
            "{{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {{name: f}}, spec: {{{selector} \
             configPatches: [{{applyTo: CLUSTER, match: {{context: {context}}}, patch: {{operation: MERGE, value: {{connect_timeout: 7s}}}}}}]}}}}"
        )
    };
    let before = mesh();
    let (x, y, far) = (sidecar("default", "x", "a"), sidecar("default", "y", "z"), sidecar("far", "x", "a"));
    // For the whole namespace: nobody is told apart.
    let (mesh, keys) = apply(&before, &filter("", "SIDECAR_OUTBOUND"));
    assert_eq!(View::key_of(&mesh, &x), View::key_of(&mesh, &y));
    let of = |proxy: &Proxy| affected(&mesh, proxy, &View::of(&before, proxy), &keys);
    assert!(of(&x).clusters && of(&x).view && !of(&x).listeners && !of(&x).routes);
    assert!(of(&far).is_empty());
    let timeouts = |mesh: &Snapshot, p: &Proxy| tulle_translate::outbound_clusters(mesh, &View::of(mesh, p));
    assert_ne!(timeouts(&before, &x), timeouts(&mesh, &x));
    assert_eq!(timeouts(&before, &far), timeouts(&mesh, &far));
    // For some of it: whoever is selected, and whoever is not, is on another view than before.
    let (selected, _) = apply(&mesh, &filter("workloadSelector: {labels: {app: a}},", "SIDECAR_OUTBOUND"));
    let all = [&mesh, &selected].map(|m| [View::key_of(m, &x), View::key_of(m, &y)]);
    assert_ne!(all[1][0], all[1][1]);
    assert!(!all[0].contains(&all[1][0]) && !all[0].contains(&all[1][1]), "{all:?}");
    assert_eq!(timeouts(&selected, &y), timeouts(&before, &y));
    assert_eq!(timeouts(&selected, &x), timeouts(&mesh, &x));
    // When the selection turns around, nobody stays on a view that was made for the others.
    let (turned, _) = apply(&selected, &filter("workloadSelector: {labels: {app: z}},", "SIDECAR_OUTBOUND"));
    assert!(![&x, &y].map(|p| View::key_of(&turned, p)).iter().any(|k| all[1].contains(k)));
    // What comes in is everybody's own.
    let (inbound, _) = apply(&before, &filter("workloadSelector: {labels: {app: a}},", "SIDECAR_INBOUND"));
    assert_eq!(View::key_of(&inbound, &x), View::key_of(&inbound, &y));
}

#[test]
fn who_stands_for_a_view_has_it_after_every_change() {
    let gateway = "\
{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {meshNetworks: '{networks: \
  {here: {endpoints: [{fromRegistry: Kubernetes}], gateways: []}, there: {gateways: [{address: 192.0.2.1, port: 15443}]}}}'}}
---
{apiVersion: v1, kind: Service, metadata: {name: edge, namespace: far}, spec: {clusterIP: 10.96.0.3, selector: {app: edge}, \
  ports: [{port: 15443, name: tls, targetPort: sni}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: edge-1, namespace: far, labels: {app: edge}, annotations: {proxy.istio.io/config: \
  '{gatewayTopology: {numTrustedProxies: 2}, proxyHeaders: {server: {value: ours}}}'}}, \
  spec: {containers: [{name: c, image: x, ports: [{containerPort: 9443, name: sni}]}]}, status: {podIP: 10.0.0.1, phase: Running}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: edge, namespace: far}, spec: {selector: {app: edge}, \
  servers: [{port: {number: 15443, name: tls, protocol: TLS}, hosts: ['*.local'], tls: {mode: AUTO_PASSTHROUGH}}]}}
";
    let (before, _) = apply(&mesh(), gateway);
    let edge = Proxy { kind: Kind::Router, ..sidecar("far", "edge-1", "edge") };
    let key = View::key_of(&before, &edge);
    for part in ["/in=here", "/behind=", "ours", "/sni="] {
        assert!(key.contains(part), "{part} in {key}");
    }
    let one = edge.representative(&before);
    let more = "{apiVersion: v1, kind: Service, metadata: {name: c}, spec: {clusterIP: 10.96.0.9, ports: [{port: 80, name: http}]}}";
    let (after, changed) = apply(&before, more);
    assert!(affected(&after, &one, &View::of(&before, &edge), &changed).view);
    assert_eq!(View::of(&after, &one).key(), key);
    let all = |proxy: &Proxy| tulle_translate::outbound_clusters(&after, &View::of(&after, proxy));
    assert_eq!(all(&one), all(&edge));
    // It is not taken along by a change of one of their pods.
    let (_, changed) = apply(&after, gateway);
    assert!(!changed.workloads.contains(&one.pod));
}
