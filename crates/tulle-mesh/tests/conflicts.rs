//! Documents that claim the same: who is told what.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;

use tulle_base::ResourceRef;
use tulle_mesh::{Change, Conflict, MeshConfig, Outcome, Snapshot};

/// Two documents of one kind in namespace `shop`, `old` and `young`, each with the given spec.
fn pair(api: &str, kind: &str, old: &str, young: &str) -> Snapshot {
    let one = |name: &str, year: u32, spec: &str| {
        format!(
            "apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop, \
             creationTimestamp: \"{year}-01-01T00:00:00Z\"}}\nspec: {spec}\n---\n"
        )
    };
    mesh(&format!("{}{}", one("young", 2026, young), one("old", 2025, old)))
}

fn mesh(yaml: &str) -> Snapshot {
    let (objects, problems) = tulle_api::parse_manifests("x.yaml", yaml.as_bytes());
    assert!(problems.iter().all(|p| p.severity != tulle_base::Severity::Error), "{problems:?}");
    // One by one, so that each sees the other come.
    let changes: Vec<Change> = objects.into_iter().map(|o| Change::Put(Arc::new(o))).collect();
    changes.chunks(1).fold(Snapshot::new(MeshConfig::default()), |snapshot, change| snapshot.apply(change).0)
}

fn of<'a>(snapshot: &'a Snapshot, group: &str, kind: &str, name: &str) -> &'a [Conflict] {
    snapshot.conflicts_of(&ResourceRef::new(group, kind, "shop", name))
}

/// The old one wins and the young one loses, about `field`; each names the other.
fn check(snapshot: &Snapshot, group: &str, kind: &str, field: &str) {
    let [winner] = of(snapshot, group, kind, "old") else { panic!("{:?}", of(snapshot, group, kind, "old")) };
    let [loser] = of(snapshot, group, kind, "young") else {
        panic!("{:?}", of(snapshot, group, kind, "young"))
    };
    assert_eq!((winner.outcome, loser.outcome), (Outcome::Wins, Outcome::Loses), "{kind}");
    assert_eq!((winner.other.name.as_str(), loser.other.name.as_str()), ("young", "old"), "{kind}");
    assert_eq!((winner.field.as_str(), loser.field.as_str()), (field, field), "{kind}");
    assert!(loser.message.contains("is older"), "{kind}: {}", loser.message);
}

const NETWORKING: &str = "networking.istio.io";

#[test]
fn the_older_of_two_wins() {
    let route = |to: &str| format!("{{hosts: [cart], http: [{{route: [{{destination: {{host: {to}}}}}]}}]}}");
    let routes = pair("networking.istio.io/v1", "VirtualService", &route("a"), &route("b"));
    check(&routes, NETWORKING, "VirtualService", "spec.hosts[0]");
    let rule = "{host: cart, trafficPolicy: {loadBalancer: {simple: RANDOM}}}";
    let rules = pair("networking.istio.io/v1", "DestinationRule", rule, rule);
    check(&rules, NETWORKING, "DestinationRule", "spec.trafficPolicy");
    let subset = "{host: cart, subsets: [{name: v1, labels: {version: v1}}]}";
    let rules = pair("networking.istio.io/v1", "DestinationRule", subset, subset);
    check(&rules, NETWORKING, "DestinationRule", "spec.subsets[0]");
    let entry =
        "{hosts: [api.example.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}";
    let entries = pair("networking.istio.io/v1", "ServiceEntry", entry, entry);
    check(&entries, NETWORKING, "ServiceEntry", "spec.hosts");
    let sidecar = "{egress: [{hosts: [\"./*\"]}]}";
    let sidecars = pair("networking.istio.io/v1", "Sidecar", sidecar, sidecar);
    check(&sidecars, NETWORKING, "Sidecar", "spec.workloadSelector");
    let peer = "{mtls: {mode: STRICT}}";
    let peers = pair("security.istio.io/v1", "PeerAuthentication", peer, peer);
    check(&peers, "security.istio.io", "PeerAuthentication", "spec.selector");
    let counts = "{metrics: [{providers: [{name: prometheus}]}]}";
    let telemetries = pair("telemetry.istio.io/v1", "Telemetry", counts, counts);
    check(&telemetries, "telemetry.istio.io", "Telemetry", "spec.selector");
}

#[test]
fn what_does_not_meet_is_no_conflict() {
    let none = |snapshot: &Snapshot, kind: &str| of(snapshot, NETWORKING, kind, "young").is_empty();
    let route =
        |more: &str| format!("{{hosts: [cart], {more} http: [{{route: [{{destination: {{host: a}}}}]}}]}}");
    let apart =
        pair("networking.istio.io/v1", "VirtualService", &route("exportTo: [a],"), &route("exportTo: [b],"));
    assert!(none(&apart, "VirtualService"), "no namespace sees both");
    let gateways = pair(
        "networking.istio.io/v1",
        "VirtualService",
        &route("gateways: [one],"),
        &route("gateways: [two],"),
    );
    assert!(none(&gateways, "VirtualService"), "no gateway has both");
    let narrower = "{workloadSelector: {labels: {app: cart}}, egress: [{hosts: [\"./*\"]}]}";
    let sidecars = pair("networking.istio.io/v1", "Sidecar", "{egress: [{hosts: [\"./*\"]}]}", narrower);
    assert!(none(&sidecars, "Sidecar"), "the one with a selector is nearer");
}

#[test]
fn routes_for_one_host_at_a_gateway_are_put_one_after_the_other() {
    let route = "{hosts: [cart.example], gateways: [edge], http: [{route: [{destination: {host: a}}]}]}";
    let both = pair("networking.istio.io/v1", "VirtualService", route, route);
    let [conflict] = of(&both, NETWORKING, "VirtualService", "young") else { panic!("one") };
    assert_eq!(conflict.outcome, Outcome::Merged);
    assert!(conflict.message.contains("those of the other come first"), "{}", conflict.message);
}

#[test]
fn selectors_meet_when_a_pod_has_both_labels() {
    let peer = |label: &str| format!("{{selector: {{matchLabels: {{{label}}}}}, mtls: {{mode: STRICT}}}}");
    let apart = pair("security.istio.io/v1", "PeerAuthentication", &peer("app: cart"), &peer("tier: back"));
    assert!(of(&apart, "security.istio.io", "PeerAuthentication", "young").is_empty());
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: cart-0, namespace: shop, labels: {app: cart, tier: back}}\n\
               spec: {serviceAccountName: cart, containers: [{name: cart, image: cart}]}\n\
               status: {phase: Running, podIP: 10.0.0.5, podIPs: [{ip: 10.0.0.5}]}\n";
    let (pods, _) = tulle_api::parse_manifests("x.yaml", pod.as_bytes());
    let changes: Vec<Change> = pods.into_iter().map(|o| Change::Put(Arc::new(o))).collect();
    let (met, _) = apart.apply(&changes);
    let [conflict] = of(&met, "security.istio.io", "PeerAuthentication", "young") else {
        panic!("they meet")
    };
    assert!(conflict.message.contains("pod shop/cart-0"), "{}", conflict.message);
    // The conflict goes with the other document.
    let other = ResourceRef::new("security.istio.io", "PeerAuthentication", "shop", "old");
    let (alone, _) = met.apply(&[Change::Delete(other)]);
    assert!(of(&alone, "security.istio.io", "PeerAuthentication", "young").is_empty());
}
