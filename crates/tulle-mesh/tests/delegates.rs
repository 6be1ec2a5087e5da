//! Rules of a delegate stand in place of the root's rule.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

use std::sync::Arc;
use std::time::Duration;

use tulle_base::ResourceRef;
use tulle_mesh::routing::{HttpAction, HttpRoute, StringMatch};
use tulle_mesh::{Change, MeshConfig, Snapshot};

const ROOT: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root}
spec:
  hosts: [shop.example.com]
  gateways: [edge]
  http:
  - name: cart
    match: [{uri: {prefix: /cart}}]
    timeout: 3s
    delegate: {name: cart, namespace: team}
  - route: [{destination: {host: web}}]
";

const DELEGATE: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: team}
spec:
  http:
  - name: admin
    match: [{uri: {prefix: /cart/admin}}]
    timeout: 9s
    route: [{destination: {host: admin}}]
  - match: [{uri: {exact: /elsewhere}}, {uri: {exact: /cart/x}}]
    route: [{destination: {host: never}}]
  - route: [{destination: {host: cart}}]
";

fn put(yaml: &str) -> Vec<Change> {
    let (objects, problems) = tulle_api::parse_manifests("test.yaml", yaml.as_bytes());
    assert!(problems.iter().all(|p| p.severity < tulle_base::Severity::Error), "{problems:?}");
    objects.into_iter().map(|o| Change::Put(Arc::new(o))).collect()
}

fn rules(mesh: &Snapshot) -> Vec<HttpRoute> {
    mesh.routes_of(&"shop.example.com".into())[0].http.clone()
}

fn prefix(rule: &HttpRoute) -> Option<&StringMatch> {
    rule.matches.first()?.uri.as_ref()
}

#[test]
fn delegates_narrow_matches_and_inherit_what_they_leave_out() {
    let mesh = Snapshot::new(MeshConfig::default()).apply(&put(&format!("{ROOT}---{DELEGATE}"))).0;
    let rules = rules(&mesh);
    assert_eq!(rules.len(), 3, "the rule with a match outside of the root's is dropped: {rules:#?}");
    assert_eq!(rules[0].name, "cart-admin");
    assert_eq!(rules[0].rule, "http[0].delegate(team/cart).http[0]");
    assert_eq!(prefix(&rules[0]), Some(&StringMatch::Prefix("/cart/admin".into())));
    assert_eq!(prefix(&rules[1]), Some(&StringMatch::Prefix("/cart".into())));
    let timeout = |r: &HttpRoute| match &r.action {
        HttpAction::Forward(f) => (f.timeout, f.destinations[0].destination.host.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!(timeout(&rules[0]), (Some(Duration::from_secs(9)), "admin.team.svc.cluster.local".into()));
    assert_eq!(timeout(&rules[1]), (Some(Duration::from_secs(3)), "cart.team.svc.cluster.local".into()));
    assert_eq!(rules[2].rule, "http[1]");
}

#[test]
fn a_delegate_that_comes_later_or_goes_is_taken_in_or_out() {
    let (mesh, _) = Snapshot::new(MeshConfig::default()).apply(&put(ROOT));
    assert_eq!(rules(&mesh).len(), 1);
    assert!(mesh.diagnostics().any(|d| d.to_string().contains("no VirtualService team/cart")));
    let (mesh, keys) = mesh.apply(&put(DELEGATE));
    assert_eq!(rules(&mesh).len(), 3);
    assert!(keys.routes.contains(&"shop.example.com".into()));
    assert!(keys.gateways.contains(&tulle_mesh::NsName::new("default", "edge")));
    assert!(
        !mesh
            .diagnostics()
            .any(|d| d.to_string().contains("team/cart: ") && d.to_string().contains("no Virtual"))
    );
    let gone = Change::Delete(ResourceRef::new("networking.istio.io", "VirtualService", "team", "cart"));
    assert_eq!(rules(&mesh.apply(&[gone]).0).len(), 1);
}
