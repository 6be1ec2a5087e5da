//! Ingresses in a snapshot: whose they are, what is said of them, and that the order in which documents come does not matter.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;

use tulle_api::Object;
use tulle_base::ResourceRef;
use tulle_mesh::config::MeshConfig;
use tulle_mesh::ingress::IngressMode;
use tulle_mesh::{Change, NsName, Outcome, Snapshot};

const BASE: &str = "
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system, annotations: {local.tulle.dev/host-ports: 80=127.0.0.1:8080}}
spec: {clusterIP: 10.96.0.1, selector: {istio: ingressgateway}, ports: [{port: 80, name: http2}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.30, selector: {app: web}, ports: [{port: 80, name: http}]}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: mesh}
spec: {controller: tulle.dev/ingress-controller}
---
apiVersion: v1
kind: Secret
metadata: {name: cert, namespace: shop}
type: kubernetes.io/tls
stringData: {tls.crt: \"-----BEGIN CERTIFICATE-----\\nx\\n-----END CERTIFICATE-----\\n\", tls.key: \"-----BEGIN PRIVATE KEY-----\\nx\\n-----END PRIVATE KEY-----\\n\"}
";

/// An Ingress with `meta` and `spec`, and one path of `a.example.org`.
fn ingress(name: &str, meta: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: shop{meta}}}\nspec:\n  \
         rules: [{{host: a.example.org, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: web, port: \
         {{name: http}}}}}}}}]}}}}]\n{spec}"
    )
}

fn read(text: &str) -> Vec<Object> {
    let (objects, problems) = tulle_api::parse_manifests("input", text.as_bytes());
    assert!(problems.iter().all(|p| p.severity != tulle_base::Severity::Error), "{problems:#?}");
    objects
}

fn puts(text: &str) -> Vec<Change> {
    read(text).into_iter().map(|o| Change::Put(Arc::new(o))).collect()
}

fn snapshot(mesh: MeshConfig, documents: &[&str]) -> Snapshot {
    let changes: Vec<Change> = documents.iter().flat_map(|d| puts(d)).collect();
    Snapshot::new(mesh).apply(&changes).0
}

fn reference(name: &str) -> ResourceRef {
    ResourceRef::new("networking.k8s.io", "Ingress", "shop", name)
}

fn is_served(snapshot: &Snapshot, name: &str) -> bool {
    snapshot.ingress_state(&reference(name)).is_some()
}

fn said(snapshot: &Snapshot, name: &str) -> Vec<String> {
    snapshot.diagnostics_of(&reference(name)).map(ToString::to_string).collect()
}

#[test]
fn the_class_and_the_mesh_s_settings_say_whose_an_ingress_is() {
    let own = "  ingressClassName: istio\n";
    let annotated = ", annotations: {kubernetes.io/ingress.class: istio}";
    let cases = [
        // Metadata, spec, and whether it is served in the modes off, default and strict.
        ("", own, [false, true, true]),
        ("", "  ingressClassName: mesh\n", [false, true, true]),
        ("", "  ingressClassName: nginx\n", [false, false, false]),
        ("", "", [false, true, false]),
        (annotated, "", [false, true, true]),
        (", annotations: {kubernetes.io/ingress.class: nginx}", own, [false, false, false]),
    ];
    for (meta, spec, wanted) in cases {
        for (mode, wanted) in
            [IngressMode::Off, IngressMode::Default, IngressMode::Strict].into_iter().zip(wanted)
        {
            let mesh = MeshConfig { ingress_mode: mode, ..MeshConfig::default() };
            let snapshot = snapshot(mesh, &[BASE, &ingress("web", meta, spec)]);
            assert_eq!(is_served(&snapshot, "web"), wanted, "{mode:?} {meta} {spec}");
            assert_eq!(
                said(&snapshot, "web").is_empty(),
                wanted,
                "what is not served says so: {mode:?} {meta} {spec}"
            );
        }
    }
    let default = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: always, annotations: {ingressclass.kubernetes.io/is-default-class: 'true'}}
spec: {controller: istio.io/ingress-controller}
";
    let bare = ingress("web", "", "");
    let with = snapshot(MeshConfig::default(), &[BASE, &bare, default]);
    assert!(is_served(&with, "web"), "a class that is the default takes those without class");
    let gone = ResourceRef::new("networking.k8s.io", "IngressClass", "", "always");
    assert!(!is_served(&with.apply(&[Change::Delete(gone)]).0, "web"));
}

#[test]
fn what_is_missing_is_named_and_found_when_it_comes() {
    let written =
        ingress("web", "", "  ingressClassName: mesh\n  tls: [{hosts: [a.example.org], secretName: late}]\n")
            .replace("name: web, port", "name: later, port");
    let before = snapshot(MeshConfig::default(), &[BASE, &written]);
    let texts = said(&before, "web").join("\n");
    for part in [
        "no service has the host later.shop.svc.cluster.local",
        "there is no Secret shop/late",
        "spec.tls[0]",
    ] {
        assert!(texts.contains(part), "{texts}");
    }
    let come = BASE.replace("name: web", "name: later").replace("name: cert", "name: late");
    let (after, keys) = before.apply(&puts(&come));
    assert_eq!(said(&after, "web"), Vec::<String>::new());
    let gateway = NsName::new("istio-system", "istio-autogenerated-k8s-ingress");
    assert!(keys.gateways.contains(&gateway));
    assert_eq!(after.gateway(&gateway).unwrap().servers.len(), 2, "it is served over TLS, too");
    let state = after.ingress_state(&reference("web")).unwrap();
    assert_eq!(state.addresses, ["127.0.0.1"]);
    let (none, _) = after.apply(&[Change::Delete(reference("web"))]);
    assert!(none.gateway(&gateway).is_none());
    assert_eq!(none.routes_of_gateway(&gateway).len(), 0);
}

#[test]
fn of_two_with_one_path_the_older_wins_and_both_say_so() {
    let spec = "  ingressClassName: mesh\n  tls: [{hosts: [a.example.org], secretName: cert}]\n";
    let old = ingress("old", ", creationTimestamp: '2026-01-01T00:00:00Z'", spec);
    let young = ingress("young", ", creationTimestamp: '2026-02-01T00:00:00Z'", spec);
    let both = snapshot(MeshConfig::default(), &[BASE, &young, &old]);
    let outcomes = |s: &Snapshot, name: &str| -> Vec<(String, Outcome)> {
        s.conflicts_of(&reference(name)).iter().map(|c| (c.field.to_string(), c.outcome)).collect()
    };
    let all = |outcome| {
        vec![("spec.rules[0].http.paths[0]".to_owned(), outcome), ("spec.tls[0]".to_owned(), outcome)]
    };
    assert_eq!(outcomes(&both, "old"), all(Outcome::Wins));
    assert_eq!(outcomes(&both, "young"), all(Outcome::Loses));
    let (alone, _) = both.apply(&[Change::Delete(reference("old"))]);
    assert_eq!(outcomes(&alone, "young"), []);
}

#[test]
fn the_order_in_which_documents_come_does_not_matter() {
    let spec = "  ingressClassName: mesh\n  tls: [{secretName: cert}]\n  defaultBackend: {service: {name: web, port: {number: 80}}}\n";
    let texts = [
        BASE.to_owned(),
        ingress("one", ", creationTimestamp: '2026-01-01T00:00:00Z'", spec),
        ingress("two", ", creationTimestamp: '2026-02-01T00:00:00Z'", spec),
    ];
    let forwards: Vec<Change> = texts.iter().flat_map(|t| puts(t)).collect();
    let told = |changes: &[Change]| {
        let mut snapshot = Snapshot::new(MeshConfig::default());
        for change in changes {
            snapshot = snapshot.apply(std::slice::from_ref(change)).0;
        }
        let gateway = NsName::new("istio-system", "istio-autogenerated-k8s-ingress");
        let notes: Vec<String> = snapshot.diagnostics().map(ToString::to_string).collect();
        (snapshot.gateway(&gateway).cloned(), snapshot.routes_of_gateway(&gateway).to_vec(), notes)
    };
    let mut backwards = forwards.clone();
    backwards.reverse();
    assert_eq!(told(&forwards), told(&backwards));
}
