//! Services that are asked whether requests may pass, as routes say: by the gateway, and by sidecars of clients.

use std::time::Duration;

use crate::gateway_api::ask;
use crate::harness::{Mesh, Spec};
use crate::manifests::{client, documents, echo, injected_default, service};

const SOON: Duration = Duration::from_secs(20);

const ROUTES: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  gatewayClassName: tulle
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: default}
spec:
  parentRefs: [{name: edge}]
  hostnames: [web.example.com]
  rules:
  - backendRefs: [{name: web, port: 9080}]
  - matches: [{path: {value: /asked}}]
    filters:
    - type: ExternalAuth
      externalAuth:
        protocol: HTTP
        backendRef: {name: users, port: 9080}
        http: {path: check, allowedHeaders: [X-Key]}
    backendRefs: [{name: web, port: 9080}]
  - matches: [{path: {value: /untold}}]
    filters:
    - {type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: users, port: 9080}, http: {path: /check}}}
    backendRefs: [{name: web, port: 9080}]
  - matches: [{path: {value: /nobody}}]
    filters:
    - {type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: nobody, port: 9080}, http: {}}}
    backendRefs: [{name: web, port: 9080}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: inside, namespace: default}
spec:
  parentRefs: [{group: '', kind: Service, name: web}]
  rules:
  - matches: [{path: {value: /inside}}]
    filters:
    - type: ExternalAuth
      externalAuth:
        protocol: HTTP
        backendRef: {name: users, port: 9080}
        http: {path: /check, allowedHeaders: [x-key], allowedResponseHeaders: [x-none]}
    backendRefs: [{name: web, port: 9080}]
  - backendRefs: [{name: web, port: 9080}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: users, namespace: default}
spec:
  selector: {matchLabels: {app: users}}
  rules:
  - to: [{operation: {paths: ['/check/*']}}]
    when: [{key: 'request.headers[x-key]', values: [good]}]
";

#[test]
fn requests_pass_when_who_is_asked_says_so() {
    let base = documents(&[
        injected_default(),
        service("web", "http"),
        service("users", "http"),
        echo("web", "v1"),
        echo("users", "v1"),
        client("client", "client", ""),
    ]);
    let manifests = [("base.yaml", base), ("routes.yaml", ROUTES.to_owned())];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let edge = |path: &str, header: &str| ask(&mesh, "web.example.com", path, header);
    mesh.eventually("the routes are in force", SOON, || edge("/asked", "x-key: good").0 == 200);

    // Who answers gives the request what it answers with.
    let (_, head, body) = edge("/asked", "x-key: good");
    assert!(head.contains("x-echo-name: web-v1"), "{head}");
    assert!(body.to_ascii_lowercase().contains("x-echo-name") && body.contains("users-v1"), "{body}");
    assert_eq!(edge("/asked", "x-key: bad").0, 403);
    assert_eq!(edge("/asked", "").0, 403);
    assert_eq!(edge("/untold", "x-key: good").0, 403, "who is asked is not told the key");
    assert_eq!(edge("/nobody", "x-key: good").0, 500);
    assert_eq!(edge("/else", "").0, 200, "nobody is asked");

    let inside = |path: &str, key: &str| {
        mesh.get_from("client", &format!("http://web:9080{path}"), &[&format!("x-key: {key}")])
    };
    mesh.eventually("the client's sidecar asks", SOON, || inside("/inside", "bad").0 == 403);
    let (status, body) = inside("/inside", "good");
    assert_eq!(status, 200);
    assert!(!body.contains("users-v1"), "no header was asked for: {body}");
    assert_eq!(inside("/else", "bad").0, 200);
}
