//! A snapshot takes documents in, derives what depends on them, and says which keys changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use tulle_base::{Host, Labels};
use tulle_mesh::policy::MtlsMode;
use tulle_mesh::{Change, ChangedKeys, MeshConfig, NsName, Snapshot};

fn changes(yaml: &str) -> Vec<Change> {
    let (objects, problems) = tulle_api::parse_manifests("test.yaml", yaml.as_bytes());
    assert!(
        problems.iter().all(|p| p.severity < tulle_base::Severity::Error),
        "{}",
        problems.iter().map(|p| format!("{p}\n")).collect::<String>()
    );
    objects.into_iter().map(|o| Change::Put(Arc::new(o))).collect()
}

fn mesh(yaml: &str) -> Snapshot {
    Snapshot::new(MeshConfig::default()).apply(&changes(yaml)).0
}

fn delete(kind: &str, name: &str) -> Change {
    let group = if kind == "Service" || kind == "Pod" { "" } else { "networking.istio.io" };
    Change::Delete(tulle_base::ResourceRef::new(group, kind, "default", name))
}

const REVIEWS: &str = "
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec:
  clusterIP: 10.96.0.10
  selector: {app: reviews}
  ports: [{port: 9080, name: http, targetPort: web}]
---
apiVersion: v1
kind: Pod
metadata:
  name: reviews-v1-77f4b8-x1
  labels: {app: reviews, version: v1, pod-template-hash: 77f4b8, security.istio.io/tlsMode: istio}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: reviews-v1-77f4b8, uid: u, controller: true}]
spec:
  serviceAccountName: bookinfo-reviews
  containers: [{name: reviews, image: x, ports: [{containerPort: 9081, name: web}]}]
status: {phase: Running, podIP: 10.244.0.5, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: reviews-1, labels: {kubernetes.io/service-name: reviews}}
addressType: IPv4
ports: [{name: http, port: 9081}]
endpoints:
- {addresses: [10.244.0.5], conditions: {ready: true}, targetRef: {kind: Pod, name: reviews-v1-77f4b8-x1}}
- {addresses: [10.244.0.6], conditions: {ready: false}}
";

fn reviews() -> Host {
    "reviews.default.svc.cluster.local".into()
}

#[test]
fn endpoints_know_their_workload() {
    let mesh = mesh(REVIEWS);
    let service = mesh.service(&reviews(), "default").unwrap();
    let endpoints = mesh.endpoints(service);
    let [endpoint] = endpoints.of_port(9080) else { panic!("{endpoints:?}") };
    assert_eq!((endpoint.address.as_str(), endpoint.port), ("10.244.0.5", 9081));
    assert!(endpoint.mtls_ready);
    let workload = endpoint.workload.as_ref().unwrap();
    assert_eq!(workload.workload_name, "reviews-v1");
    assert_eq!(
        endpoints.identities(9080, "cluster.local"),
        ["spiffe://cluster.local/ns/default/sa/bookinfo-reviews"]
    );
    let pod = NsName::new("default", "reviews-v1-77f4b8-x1");
    let ports = mesh.inbound_ports("default", &workload.labels, &pod, "10.244.0.5");
    assert_eq!(ports.iter().map(|p| p.target).collect::<Vec<_>>(), [9081], "a named port is the container's");
}

#[test]
fn one_change_names_only_what_depends_on_it() {
    let before = mesh(REVIEWS);
    let rule = changes(
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: reviews}, \
         spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}}",
    );
    let (after, keys) = before.apply(&rule);
    let wanted = ChangedKeys { destinations: BTreeSet::from([reviews()]), ..ChangedKeys::default() };
    assert_eq!(keys, wanted);
    // The rest is shared, not copied.
    let service = |s: &Snapshot| Arc::clone(s.service(&reviews(), "default").unwrap());
    assert!(Arc::ptr_eq(&service(&before), &service(&after)));
    let endpoints = |s: &Snapshot| s.endpoints(&service(s));
    assert!(Arc::ptr_eq(&endpoints(&before), &endpoints(&after)));
    // The same document again changes nothing.
    assert!(after.apply(&rule).1.is_empty());
}

#[test]
fn an_endpoint_more_of_the_same_identity_is_an_endpoint_change_alone() {
    let before = mesh(REVIEWS);
    let more = changes(
        "
apiVersion: v1
kind: Pod
metadata: {name: reviews-v2, labels: {app: reviews, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: bookinfo-reviews, containers: [{name: a, image: x}]}
status: {phase: Running, podIP: 10.244.0.7}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: reviews-2, labels: {kubernetes.io/service-name: reviews}}
addressType: IPv4
ports: [{name: http, port: 9081}]
endpoints: [{addresses: [10.244.0.7], targetRef: {kind: Pod, name: reviews-v2}}]
",
    );
    let (after, keys) = before.apply(&more);
    assert_eq!(keys.endpoints, BTreeSet::from([reviews()]));
    assert!(keys.services.is_empty(), "same identity, same TLS: clusters stay: {keys:?}");
    assert_eq!(after.endpoints(after.service(&reviews(), "x").unwrap()).of_port(9080).len(), 2);
    let (gone, keys) = after.apply(&[delete("Pod", "reviews-v2")]);
    assert_eq!(keys.endpoints, BTreeSet::from([reviews()]));
    let endpoints = gone.endpoints(gone.service(&reviews(), "x").unwrap());
    assert!(endpoints.of_port(9080)[1].workload.is_none());
}

#[test]
fn a_service_that_goes_takes_its_endpoints_along() {
    let (after, keys) = mesh(REVIEWS).apply(&[delete("Service", "reviews")]);
    assert_eq!(keys.services, BTreeSet::from([reviews()]));
    assert_eq!(keys.endpoints, BTreeSet::from([reviews()]));
    assert!(after.service(&reviews(), "default").is_none());
}

#[test]
fn what_nobody_defines_is_said_until_somebody_does() {
    let routes = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  gateways: [mesh, edge]
  http: [{route: [{destination: {host: reviews, subset: v3}}]}]
";
    let first = mesh(routes);
    let said: Vec<String> = first.diagnostics().map(ToString::to_string).collect();
    assert!(said[0].contains("spec.http[0].route[0].destination.host: no service has the host"), "{said:?}");
    assert!(said[1].contains("spec.gateways[1]: no Gateway default/edge"), "{said:?}");
    let (second, _) = first.apply(&changes(REVIEWS));
    let said: Vec<String> = second.diagnostics().map(ToString::to_string).collect();
    assert!(said[0].contains("defines subset v3; define it"), "{said:?}");
    let (third, _) = second.apply(&changes(
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: reviews}, \
         spec: {host: reviews, subsets: [{name: v3, labels: {version: v3}}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: edge}, \
         spec: {selector: {a: b}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}}",
    ));
    assert_eq!(third.diagnostics().count(), 0);
}

#[test]
fn the_older_claim_of_a_host_wins_and_the_younger_is_told() {
    let claim = |name: &str, created: &str| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: VirtualService, \
             metadata: {{name: {name}, creationTimestamp: {created}}}, \
             spec: {{hosts: [reviews], http: [{{route: [{{destination: {{host: reviews}}}}]}}]}}}}"
        )
    };
    let yaml = format!(
        "{REVIEWS}\n---\n{}\n---\n{}",
        claim("a", "2026-02-02T00:00:00Z"),
        claim("b", "2026-01-01T00:00:00Z")
    );
    let mesh = mesh(&yaml);
    assert_eq!(mesh.routes_of(&reviews())[0].meta.name(), "b");
    let said: Vec<String> = mesh.diagnostics().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("VirtualService default/a"), "{said:?}");
    assert!(said[0].contains("VirtualService default/b too, which is older and wins"), "{said:?}");
}

#[test]
fn a_port_set_to_plain_text_is_not_called_with_tls() {
    let strict = |mode: &str| {
        changes(&format!(
            "{{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {{name: default}}, \
             spec: {{mtls: {{mode: {mode}}}}}}}"
        ))
    };
    let (mesh, keys) = mesh(REVIEWS).apply(&strict("DISABLE"));
    assert_eq!(mesh.peer_modes("default", &Labels::new()).mode, MtlsMode::Disable);
    assert_eq!(keys.policies, BTreeSet::from(["default".to_owned()]));
    assert!(keys.endpoints.contains(&reviews()) && keys.services.contains(&reviews()));
    let endpoints = mesh.endpoints(mesh.service(&reviews(), "default").unwrap());
    assert!(!endpoints.any_mtls(9080));
    let (mesh, _) = mesh.apply(&strict("STRICT"));
    assert!(mesh.endpoints(mesh.service(&reviews(), "default").unwrap()).any_mtls(9080));
}

#[test]
fn destination_rules_are_looked_up_by_namespace_then_by_host() {
    let rule = |ns: &str, name: &str, host: &str, export: &str| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {{name: {name}, namespace: {ns}}}, \
             spec: {{host: {host}, exportTo: {export}}}}}\n---\n"
        )
    };
    let host = "reviews.default.svc.cluster.local";
    let yaml = [
        rule("istio-system", "root", "'*.local'", "['*']"),
        rule("default", "wide", "'*.default.svc.cluster.local'", "['*']"),
        rule("default", "exact", host, "['*']"),
        rule("default", "private", "'*.svc.cluster.local'", "['.']"),
        rule("client", "own", "'*.svc.cluster.local'", "['*']"),
    ]
    .concat();
    let mesh = mesh(&yaml);
    let found = |namespace: &str| {
        let rule = mesh.destination_rule(&reviews(), namespace, Some("default"), &Labels::new());
        rule.map(|r| r.meta.name().to_owned())
    };
    assert_eq!(found("client").as_deref(), Some("own"), "the client's namespace, though less specific");
    assert_eq!(found("another").as_deref(), Some("exact"));
    let elsewhere = mesh.destination_rule(&"a.b.svc.cluster.local".into(), "x", Some("b"), &Labels::new());
    assert_eq!(elsewhere.map(|r| r.meta.name()), Some("root"));
}

#[test]
fn the_missions_outlier_rule_means_what_it_says() {
    let mesh = mesh(
        "
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: order, namespace: platform-core}
spec:
  host: order-service.platform-core.svc.cluster.local
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: 100}}
    outlierDetection: {consecutiveErrors: 5, interval: 30s, minHealthPercent: 50}
    retries: {attempts: 3, perTryTimeout: 2s}
",
    );
    let host = "order-service.platform-core.svc.cluster.local".into();
    let rule = mesh.destination_rule(&host, "x", Some("platform-core"), &Labels::new()).unwrap();
    let policy = rule.effective("", 80);
    let outlier = policy.outlier.unwrap();
    assert_eq!((outlier.consecutive_5xx, outlier.consecutive_gateway), (Some(5), Some(5)));
    assert_eq!(policy.retries.unwrap().attempts, 3);
}

#[test]
fn sidecars_leave_policies_with_target_refs_alone() {
    let mesh = mesh(
        "
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: refs}, \
 spec: {targetRefs: [{kind: Service, name: reviews}]}}
---
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: all, namespace: istio-system}, spec: {}}
---
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: mine}, \
 spec: {selector: {matchLabels: {app: reviews}}}}
",
    );
    let labels: Labels = [("app".to_owned(), "reviews".to_owned())].into();
    let names = |labels: &Labels| -> Vec<String> {
        mesh.authorizations("default", labels).iter().map(|p| p.meta.name().to_owned()).collect()
    };
    assert_eq!(names(&labels), ["all", "mine"]);
    assert_eq!(names(&Labels::new()), ["all"]);
}

#[test]
fn service_entries_select_pods_as_they_come_and_go() {
    let entry = "
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: e}, spec: {hosts: [x.internal], \
 ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, location: MESH_INTERNAL, \
 workloadSelector: {labels: {app: reviews}}}}
";
    let host: Host = "x.internal".into();
    let (before, _) = Snapshot::new(MeshConfig::default()).apply(&changes(entry));
    let endpoints = |s: &Snapshot| s.endpoints(s.service(&host, "default").unwrap()).of_port(80).len();
    assert_eq!(endpoints(&before), 0);
    let (with, keys) = before.apply(&changes(REVIEWS));
    assert_eq!(endpoints(&with), 1);
    assert!(keys.endpoints.contains(&host));
    let (without, _) = with.apply(&[delete("Pod", "reviews-v1-77f4b8-x1")]);
    assert_eq!(endpoints(&without), 0);
}

#[test]
fn a_pod_in_slices_of_both_families_is_one_endpoint() {
    let both = REVIEWS
        .replace("clusterIP: 10.96.0.10", "clusterIP: 'fd00::10'\n  clusterIPs: ['fd00::10', 10.96.0.10]")
        .replace("podIP: 10.244.0.5,", "podIP: 10.244.0.5, podIPs: [{ip: 10.244.0.5}, {ip: 'fd00::5'}],");
    let slice = "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: reviews-2, labels: {kubernetes.io/service-name: reviews}}
addressType: IPv6
ports: [{name: http, port: 9081}]
endpoints:
- {addresses: ['fd00::5'], targetRef: {kind: Pod, name: reviews-v1-77f4b8-x1}}
- {addresses: ['fd00::9']}
";
    let mesh = mesh(&format!("{both}{slice}"));
    let service = mesh.service(&reviews(), "default").unwrap();
    let all: Vec<Vec<String>> = mesh
        .endpoints(service)
        .of_port(9080)
        .iter()
        .map(|e| e.addresses().map(str::to_owned).collect())
        .collect();
    // The service's own first family comes first; whoever has no pod stands alone.
    assert_eq!(all, [vec!["fd00::5", "10.244.0.5"], vec!["fd00::9"]]);
}
