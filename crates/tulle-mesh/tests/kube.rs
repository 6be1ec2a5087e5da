//! The Gateway API in a snapshot: what attaches to what, what may be referred to, and what is said of it, in whatever order
//! documents come and go.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;

use tulle_api::Object;
use tulle_base::ResourceRef;
use tulle_mesh::kube::{Finding, GROUP};
use tulle_mesh::{Change, MeshConfig, NsName, Snapshot};

const BASE: &str = "
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec: {clusterIP: 10.96.0.1, selector: {istio: ingressgateway}, ports: [{port: 80, name: http2, targetPort: 8080}, {port: 443, name: https}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.30, selector: {app: web}, ports: [{port: 80, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: other}
spec: {clusterIP: 10.96.0.31, selector: {app: api}, ports: [{port: 80, name: http}]}
";

const EDGE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: tulle
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: '*.example.com'}
  - {name: own, port: 80, protocol: HTTP, hostname: own.example.com}
  - {name: labelled, port: 81, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: a}}}}}
  - {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert, namespace: vault}]}}
";

const ROUTE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{name: edge, sectionName: http}]
  hostnames: [web.example.com]
  rules: [{backendRefs: [{name: web, port: 80}, {name: api, namespace: other, port: 80}]}]
";

const GRANT: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: grant, namespace: other}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}]
  to: [{group: '', kind: Service}]
";

fn objects(yaml: &str) -> Vec<Arc<Object>> {
    let (objects, problems) = tulle_api::parse_manifests("x.yaml", yaml.as_bytes());
    assert!(problems.iter().all(|p| p.severity != tulle_base::Severity::Error), "{problems:?}");
    objects.into_iter().map(Arc::new).collect()
}

/// A snapshot to which documents are added, and from which they are taken.
struct Mesh(Snapshot);

impl Mesh {
    fn of(parts: &[&str]) -> Self {
        let mut mesh = Self(Snapshot::new(MeshConfig::default()));
        parts.iter().for_each(|p| mesh.put(p));
        mesh
    }

    fn put(&mut self, yaml: &str) {
        for object in objects(yaml) {
            self.0 = self.0.apply(&[Change::Put(object)]).0;
        }
    }

    fn delete(&mut self, yaml: &str) {
        for object in objects(yaml) {
            self.0 = self.0.apply(&[Change::Delete(object.resource())]).0;
        }
    }

    /// Accepted and ResolvedRefs of a route at its first parent.
    fn route(&self, name: &str) -> (String, String) {
        let route = ResourceRef::new(GROUP, "HTTPRoute", "shop", name);
        let state = self.0.route_state(&route).unwrap();
        let parent = state.parents.first().unwrap_or_else(|| panic!("no parent of {name} is ours"));
        (word(&parent.accepted), word(&parent.resolved))
    }

    /// How many routes are attached to a listener of `edge`, and its conditions Accepted, ResolvedRefs and Conflicted.
    fn listener(&self, name: &str) -> (usize, [String; 3]) {
        let state = self.0.gateway_state(&NsName::new("shop", "edge")).unwrap();
        let l = state.listeners.iter().find(|l| l.name == name).unwrap();
        (self.0.attached_routes(l), [word(&l.accepted), word(&l.resolved), word(&l.conflicted)])
    }

    /// The destinations of a route at gateways; `-` is nowhere.
    fn destinations(&self, listener: &str) -> Vec<String> {
        let state = self.0.gateway_state(&NsName::new("shop", "edge")).unwrap();
        let l = state.listeners.iter().find(|l| l.name == listener).unwrap();
        let sets = self.0.routes_of_gateway(&l.internal);
        let all = sets.iter().flat_map(|s| s.destinations());
        all.map(|(d, _)| if d.is_nowhere() { "-".into() } else { d.host.as_str().to_owned() }).collect()
    }
}

fn word(f: &Finding) -> String {
    format!("{} {}", f.holds, f.reason)
}

fn yes(reason: &str) -> String {
    format!("true {reason}")
}

fn no(reason: &str) -> String {
    format!("false {reason}")
}

#[test]
fn another_namespace_must_grant_what_is_referred_to() {
    let mut mesh = Mesh::of(&[BASE, EDGE, ROUTE]);
    assert_eq!(mesh.route("web"), (yes("Accepted"), no("RefNotPermitted")));
    assert_eq!(mesh.destinations("http"), ["web.shop.svc.cluster.local", "-"]);
    mesh.put(GRANT);
    assert_eq!(mesh.route("web"), (yes("Accepted"), yes("ResolvedRefs")));
    assert_eq!(mesh.destinations("http")[1], "api.other.svc.cluster.local");
    mesh.put(&GRANT.replace("kind: Service}", "kind: Service, name: else}"));
    assert_eq!(mesh.route("web").1, no("RefNotPermitted"));
    mesh.put(&GRANT.replace("kind: HTTPRoute", "kind: GRPCRoute"));
    assert_eq!(mesh.route("web").1, no("RefNotPermitted"));
    mesh.put(GRANT);
    mesh.delete(GRANT);
    assert_eq!(mesh.route("web").1, no("RefNotPermitted"));
    assert_eq!(mesh.destinations("http")[1], "-");
}

#[test]
fn what_is_not_there_is_said_until_it_comes() {
    let mut mesh = Mesh::of(&[ROUTE]);
    assert_eq!(mesh.route("web").0, no("NoMatchingParent"));
    mesh.put(EDGE);
    assert_eq!(mesh.route("web"), (yes("Accepted"), no("BackendNotFound")));
    assert_eq!(mesh.listener("http").0, 1);
    mesh.put(GRANT);
    mesh.put(BASE);
    assert_eq!(mesh.route("web").1, yes("ResolvedRefs"));
    mesh.put(&ROUTE.replace("web, port: 80", "web, port: 8080"));
    assert_eq!(mesh.route("web").1, no("BackendNotFound"));
    mesh.put(&EDGE.replace("gatewayClassName: tulle", "gatewayClassName: else"));
    let route = ResourceRef::new(GROUP, "HTTPRoute", "shop", "web");
    assert!(mesh.0.route_state(&route).unwrap().parents.is_empty(), "it is somebody else's");
    assert!(!mesh.0.is_modelled(&ResourceRef::new(GROUP, "Gateway", "shop", "edge")));
    mesh.put(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: else}
spec: {controllerName: tulle.dev/gateway-controller}
",
    );
    assert_eq!(mesh.route("web").0, yes("Accepted"));
    mesh.delete(EDGE);
    assert_eq!(mesh.route("web").0, no("NoMatchingParent"));
}

#[test]
fn listeners_say_which_routes_they_take() {
    let mut mesh = Mesh::of(&[BASE, EDGE, GRANT, ROUTE]);
    assert_eq!(mesh.listener("http"), (1, [yes("Accepted"), yes("ResolvedRefs"), no("NoConflicts")]));
    for (change, reason) in [
        ("sectionName: http, port: 81", "NoMatchingParent"),
        ("sectionName: else", "NoMatchingParent"),
        ("sectionName: labelled", "NotAllowedByListeners"),
        ("sectionName: own", "NoMatchingListenerHostname"),
    ] {
        mesh.put(&ROUTE.replace("sectionName: http", change));
        assert_eq!(mesh.route("web").0, no(reason), "{change}");
        assert_eq!(mesh.listener("http").0, 0, "{change}");
    }
    mesh.put("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n");
    mesh.put(&ROUTE.replace("sectionName: http", "sectionName: labelled"));
    assert_eq!(mesh.route("web").0, yes("Accepted"));
    mesh.put("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: b}}\n");
    assert_eq!(mesh.route("web").0, no("NotAllowedByListeners"));
    mesh.put(&ROUTE.replace(", sectionName: http", ""));
    assert_eq!(mesh.route("web").0, yes("Accepted"));
    assert_eq!((mesh.listener("http").0, mesh.listener("own").0, mesh.listener("https").0), (1, 0, 1));
}

#[test]
fn a_certificate_must_be_there_and_granted() {
    let grant = "
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: grant, namespace: vault}
spec:
  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: shop}]
  to: [{group: '', kind: Secret, name: cert}]
";
    let secret = "
apiVersion: v1
kind: Secret
metadata: {name: cert, namespace: vault}
type: kubernetes.io/tls
stringData: {tls.crt: \"-----BEGIN CERTIFICATE-----\\nx\\n\", tls.key: \"-----BEGIN PRIVATE KEY-----\\nx\\n\"}
";
    let mut mesh = Mesh::of(&[BASE, EDGE, secret]);
    let served = |mesh: &Mesh| {
        let state = mesh.0.gateway_state(&NsName::new("shop", "edge")).unwrap();
        let https = state.listeners.iter().find(|l| l.name == "https").unwrap();
        https.gateway.as_ref().map(|g| g.secrets().collect::<Vec<_>>())
    };
    assert_eq!(mesh.listener("https").1[1], no("RefNotPermitted"));
    assert_eq!(served(&mesh), None);
    mesh.put(grant);
    assert_eq!(mesh.listener("https").1[1], yes("ResolvedRefs"));
    assert_eq!(served(&mesh), Some(vec![NsName::new("vault", "cert")]));
    mesh.put(&secret.replace("-----BEGIN CERTIFICATE-----", "Hello"));
    assert_eq!(mesh.listener("https").1[1], no("InvalidCertificateRef"));
    mesh.put(secret);
    assert_eq!(mesh.listener("https").1[1], yes("ResolvedRefs"));
    mesh.delete(secret);
    assert_eq!(mesh.listener("https").1[1], no("InvalidCertificateRef"));
    mesh.put(secret);
    mesh.delete(grant);
    assert_eq!(served(&mesh), None);
}

#[test]
fn a_more_specific_listener_has_its_host_for_itself() {
    let mesh = Mesh::of(&[BASE, EDGE, &ROUTE.replace("web.example.com", "own.example.com")]);
    let state = mesh.0.gateway_state(&NsName::new("shop", "edge")).unwrap();
    let server = &state.listeners[0].gateway.as_ref().unwrap().servers[0];
    assert_eq!(server.intersect("shop", &"own.example.com".into()), []);
    assert_eq!(server.intersect("shop", &"web.example.com".into()), ["web.example.com".into()]);
}

#[test]
fn two_listeners_cannot_share_a_port_but_by_name() {
    let two = |a: &str, b: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: shop}}\nspec:\n  \
             gatewayClassName: tulle\n  listeners:\n  - {{name: a, port: 80, {a}}}\n  - {{name: b, port: 80, {b}}}\n"
        )
    };
    for (a, b, reason) in [
        ("protocol: HTTP", "protocol: TCP", "ProtocolConflict"),
        (
            "protocol: HTTP",
            "protocol: TLS, hostname: a.example.com, tls: {mode: Passthrough}",
            "ProtocolConflict",
        ),
    ] {
        let mesh = Mesh::of(&[BASE, &two(a, b)]);
        let (_, [accepted, _, conflicted]) = mesh.listener("b");
        assert_eq!((accepted, conflicted), (no(reason), yes(reason)), "{a} {b}");
        assert_eq!(mesh.listener("a").1[0], yes("Accepted"));
    }
    let other = two("protocol: HTTP, hostname: a.example.com", "protocol: HTTP");
    assert_eq!(Mesh::of(&[BASE, &other]).listener("b").1[2], no("NoConflicts"));
    let unknown = two("protocol: HTTP", "protocol: example.com/own")
        .replace("port: 80, protocol: e", "port: 90, protocol: e");
    assert_eq!(Mesh::of(&[BASE, &unknown]).listener("b").1[0], no("UnsupportedProtocol"));
}

#[test]
fn ports_of_services_are_parents_by_number_and_by_name() {
    let of = |parent: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: web, namespace: shop}}\nspec:\n  \
             parentRefs: [{{group: '', kind: Service, name: web{parent}}}]\n  rules: [{{backendRefs: [{{name: web, port: 80}}]}}]\n"
        )
    };
    let ports = |mesh: &Mesh| {
        let sets = mesh.0.routes_of(&"web.shop.svc.cluster.local".into());
        let matches = sets.iter().flat_map(|s| &s.http).flat_map(|r| &r.matches);
        matches.map(|m| m.port).collect::<Vec<_>>()
    };
    let mut mesh = Mesh::of(&[BASE, &of("")]);
    assert_eq!((mesh.route("web").0, ports(&mesh)), (yes("Accepted"), vec![None]));
    for parent in [", port: 80", ", sectionName: http", ", port: 80, sectionName: http"] {
        mesh.put(&of(parent));
        assert_eq!((mesh.route("web").0, ports(&mesh)), (yes("Accepted"), vec![Some(80)]), "{parent}");
    }
    for parent in [", port: 81", ", sectionName: grpc", ", port: 81, sectionName: http"] {
        mesh.put(&of(parent));
        assert_eq!((mesh.route("web").0, ports(&mesh)), (no("NoMatchingParent"), vec![]), "{parent}");
    }
}

#[test]
fn a_service_entry_is_a_parent_when_it_comes() {
    let entry = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: shop}
spec: {hosts: [api.example.com, b.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
";
    let route = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: outside, port: 80}]
  rules: [{backendRefs: [{group: networking.istio.io, kind: Hostname, name: api.example.com, port: 80}]}]
";
    let mut mesh = Mesh::of(&[route]);
    assert_eq!(mesh.route("web"), (no("NoMatchingParent"), no("BackendNotFound")));
    mesh.put(entry);
    assert_eq!(mesh.route("web"), (yes("Accepted"), yes("ResolvedRefs")));
    assert_eq!(mesh.0.routes_of(&"b.example.com".into()).len(), 1);
    mesh.delete(entry);
    assert_eq!(mesh.route("web").0, no("NoMatchingParent"));
    assert!(mesh.0.routes_of(&"b.example.com".into()).is_empty());
}

#[test]
fn a_policy_names_authorities_and_says_which_gateways_it_concerns() {
    let policy = "
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: web, namespace: shop, creationTimestamp: '2026-01-01T00:00:00Z'}
spec:
  targetRefs: [{group: '', kind: Service, name: web}]
  validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}], hostname: web.example.com}
";
    let ca = "
apiVersion: v1
kind: ConfigMap
metadata: {name: ca, namespace: shop}
data: {ca.crt: \"-----BEGIN CERTIFICATE-----\\nx\\n\"}
";
    let reference = |name: &str| ResourceRef::new(GROUP, "BackendTLSPolicy", "shop", name);
    let state = |mesh: &Mesh, name: &str| {
        let state = mesh.0.policy_state(&reference(name)).unwrap();
        (word(&state.accepted), word(&state.resolved), state.ancestors.len())
    };
    let names = |mesh: &Mesh| {
        let service = mesh.0.service(&"web.shop.svc.cluster.local".into(), "shop").unwrap();
        let (_, tls) = mesh.0.backend_tls(service, &service.ports[0]).unwrap();
        (tls.subject_alt_names.join(","), !tls.authorities.is_empty())
    };
    let mut mesh = Mesh::of(&[policy]);
    assert_eq!(state(&mesh, "web").0, no("TargetNotFound"));
    mesh.put(BASE);
    assert_eq!(state(&mesh, "web"), (no("NoValidCACertificate"), no("InvalidCACertificateRef"), 0));
    assert_eq!(names(&mesh), ("invalid.invalid".to_owned(), false), "nothing passes");
    mesh.put(ca);
    assert_eq!(state(&mesh, "web"), (yes("Accepted"), yes("ResolvedRefs"), 0));
    assert_eq!(names(&mesh), ("web.example.com".to_owned(), true));
    mesh.put(EDGE);
    mesh.put(ROUTE);
    assert_eq!(state(&mesh, "web").2, 1);
    let young = policy.replace(
        "name: web, namespace: shop, creationTimestamp: '2026",
        "name: young, namespace: shop, creationTimestamp: '2027",
    );
    mesh.put(&young);
    assert_eq!((state(&mesh, "web").0, state(&mesh, "young").0), (yes("Accepted"), no("Conflicted")));
    mesh.delete(policy);
    assert_eq!(state(&mesh, "young").0, yes("Accepted"));
    mesh.delete(ca);
    assert_eq!(state(&mesh, "young").1, no("InvalidCACertificateRef"));
}

#[test]
fn the_last_state_does_not_depend_on_the_order_of_changes() {
    let parts = [BASE, EDGE, GRANT, ROUTE];
    let wanted = Mesh::of(&parts);
    for shift in 1..parts.len() {
        let mut order = parts;
        order.rotate_left(shift);
        let mut mesh = Mesh::of(&order);
        mesh.delete(order[1]);
        mesh.put(order[1]);
        assert_eq!(mesh.route("web"), wanted.route("web"), "{shift}");
        assert_eq!(mesh.listener("http"), wanted.listener("http"), "{shift}");
        assert_eq!(mesh.destinations("http"), wanted.destinations("http"), "{shift}");
    }
}

const LISTENERS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more, namespace: other}
spec:
  parentRef: {name: edge, namespace: shop}
  listeners: [{name: own, port: 80, protocol: HTTP, hostname: more.example.com}, {name: taken, port: 80, protocol: HTTP, hostname: own.example.com}]
";

/// What became of the ListenerSet `more`: of itself, and of its listeners as Accepted.
fn more(mesh: &Mesh) -> Option<(String, Vec<String>)> {
    let state = mesh.0.listener_set_state(&NsName::new("other", "more"))?;
    Some((word(&state.accepted), state.listeners.iter().map(|l| word(&l.accepted)).collect()))
}

#[test]
fn listeners_are_added_where_the_gateway_lets_them() {
    let route = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{kind: ListenerSet, name: more, namespace: other}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
";
    let open = LISTENERS.replace(
        "port: 80, protocol: HTTP, hostname: more",
        "allowedRoutes: {namespaces: {from: All}}, port: 80, protocol: HTTP, hostname: more",
    );
    let mut mesh = Mesh::of(&[BASE, route, &open]);
    assert_eq!(more(&mesh), None, "there is no Gateway");
    assert_eq!(mesh.route("web").0, no("NoMatchingParent"));
    mesh.put(EDGE);
    let accepted = |mesh: &Mesh| more(mesh).unwrap().0;
    assert_eq!(accepted(&mesh), no("NotAllowed"), "nobody may by default");
    assert_eq!(mesh.route("web").0, no("NoMatchingParent"));
    for from in ["All", "Selector, selector: {matchLabels: {kubernetes.io/metadata.name: other}}"] {
        mesh.put(&format!("{EDGE}  allowedListeners: {{namespaces: {{from: {from}}}}}\n"));
        let (set, listeners) = more(&mesh).unwrap();
        assert_eq!(set, yes("Accepted"));
        assert_eq!(listeners, [yes("Accepted"), no("HostnameConflict")], "the Gateway's own come first");
        assert_eq!(mesh.route("web").0, yes("Accepted"));
    }
    let name = NsName::new("other", "more-istio-autogenerated-k8s-listenerset-own");
    assert!(mesh.0.gateway(&name).is_some());
    // Routes to the Gateway are not for listeners of others.
    assert!(mesh.0.routes_of_gateway(&name).iter().all(|r| r.meta.name() == "web"));
    mesh.put(&format!("{EDGE}  allowedListeners: {{namespaces: {{from: Same}}}}\n"));
    assert_eq!(accepted(&mesh), no("NotAllowed"));
    assert!(mesh.0.gateway(&name).is_none());
    mesh.put(&format!("{EDGE}  allowedListeners: {{namespaces: {{from: All}}}}\n"));
    mesh.delete(&open);
    assert!(mesh.0.gateway(&name).is_none());
    assert_eq!(more(&mesh), None);
    assert_eq!(mesh.route("web").0, no("NoMatchingParent"));
}

#[test]
fn clients_are_checked_with_authorities_that_are_there() {
    let secure = "
apiVersion: v1
kind: Secret
metadata: {name: cert, namespace: shop}
type: kubernetes.io/tls
stringData: {tls.crt: \"-----BEGIN CERTIFICATE-----\\nx\\n-----END CERTIFICATE-----\\n\", tls.key: \"-----BEGIN PRIVATE KEY-----\\nx\\n-----END PRIVATE KEY-----\\n\"}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: tulle
  listeners: [{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}]
  tls: {frontend: {default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: clients, namespace: vault}]}}}}
";
    let authorities = "
apiVersion: v1
kind: ConfigMap
metadata: {name: clients, namespace: vault}
data: {ca.crt: \"-----BEGIN CERTIFICATE-----\\nx\\n-----END CERTIFICATE-----\\n\"}
";
    let grant = "
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: gateways, namespace: vault}
spec: {from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: shop}], to: [{group: '', kind: ConfigMap}]}
";
    let mut mesh = Mesh::of(&[BASE, secure]);
    let served = |mesh: &Mesh| {
        let state = mesh.0.gateway_state(&NsName::new("shop", "edge")).unwrap();
        state.listeners[0].gateway.is_some()
    };
    let refused = |why| [no("NoValidCACertificate"), no(why), no("NoConflicts")];
    assert_eq!(mesh.listener("https").1, refused("RefNotPermitted"));
    mesh.put(grant);
    assert_eq!(mesh.listener("https").1, refused("InvalidCACertificateRef"));
    assert!(!served(&mesh), "nobody is let in unchecked");
    mesh.put(authorities);
    assert_eq!(mesh.listener("https").1, [yes("Accepted"), yes("ResolvedRefs"), no("NoConflicts")]);
    assert!(served(&mesh));
    mesh.put(&secure.replace("kind: ConfigMap, name: clients", "kind: Secret, name: clients"));
    assert_eq!(mesh.listener("https").1, refused("InvalidCACertificateKind"));
    mesh.put(secure);
    mesh.delete(authorities);
    assert!(!served(&mesh));
}

#[test]
fn datagrams_are_taken_by_no_listener() {
    let route = "
apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {name: dns, namespace: shop}
spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: web, port: 80}]}]}
";
    let mesh = Mesh::of(&[BASE, EDGE, route]);
    let state = mesh.0.route_state(&ResourceRef::new(GROUP, "UDPRoute", "shop", "dns")).unwrap();
    assert_eq!(word(&state.parents[0].accepted), no("NotAllowedByListeners"));
}

#[test]
fn nothing_passes_where_nobody_may_be_asked() {
    let asking = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{name: edge, sectionName: http}]
  hostnames: [web.example.com]
  rules:
  - filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: api, namespace: other, port: 80}, http: {}}}]
    backendRefs: [{name: web, port: 80}]
";
    let mut mesh = Mesh::of(&[BASE, EDGE, asking]);
    assert_eq!(mesh.route("web"), (yes("Accepted"), no("RefNotPermitted")));
    assert!(mesh.destinations("http").is_empty(), "it is answered with 500");
    mesh.put(GRANT);
    assert_eq!(mesh.route("web"), (yes("Accepted"), yes("ResolvedRefs")));
    assert_eq!(mesh.destinations("http"), ["api.other.svc.cluster.local", "web.shop.svc.cluster.local"]);
    mesh.put(&asking.replace("name: api, namespace: other", "kind: Backend, group: example.com, name: api"));
    assert_eq!(mesh.route("web"), (yes("Accepted"), no("InvalidKind")));
    assert!(mesh.destinations("http").is_empty());
    mesh.put(&asking.replace("name: api", "name: nobody"));
    assert_eq!(mesh.route("web"), (yes("Accepted"), no("BackendNotFound")));
    assert_eq!(mesh.destinations("http").len(), 2, "there is nobody who would let it pass");
}
