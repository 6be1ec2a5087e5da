//! Ingresses in a whole mesh: paths, hosts and certificates at the mesh's own gateway, and what their status says.

use std::time::Duration;

use crate::gateway_api::{ask, certificate, conditions, get, https, version};
use crate::harness::{Mesh, Spec};
use crate::manifests::{client, documents, echo, injected_default, service};

const SOON: Duration = Duration::from_secs(20);

const INGRESS: &str = "\
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: mesh}
spec: {controller: tulle.dev/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: default}
spec:
  ingressClassName: mesh
  tls: [{hosts: [web.example.com], secretName: web}]
  rules:
  - host: web.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web-v1, port: {number: 9080}}}}
      - {path: /two, pathType: Prefix, backend: {service: {name: web-v2, port: {name: http}}}}
      - {path: /two, pathType: Exact, backend: {service: {name: web-v1, port: {number: 9080}}}}
      - {path: /gone, pathType: Exact, backend: {service: {name: nobody, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: rest, namespace: default, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  defaultBackend: {service: {name: web-v2, port: {number: 9080}}}
";

#[test]
fn ingresses_are_served_and_say_what_is_wrong_with_them() {
    let base = documents(&[
        injected_default(),
        service("web", "http"),
        version("web", "v1"),
        version("web", "v2"),
        echo("web", "v1"),
        echo("web", "v2"),
        client("client", "client", ""),
    ]);
    let manifests = [
        ("base.yaml", base),
        ("certificate.yaml", certificate("first")),
        ("ingress.yaml", INGRESS.to_owned()),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let to = |host: &str, path: &str| {
        let (status, head, _) = ask(&mesh, host, path, "");
        let name = head.lines().find_map(|l| l.strip_prefix("x-echo-name: ")).unwrap_or_default().to_owned();
        (status, name)
    };
    let is = |name: &str| (200, name.to_owned());
    mesh.eventually("the Ingress is in force", SOON, || to("web.example.com", "/") == is("web-v1"));
    // The longest prefix wins, an exact path over it, and prefixes are whole segments.
    assert_eq!(to("web.example.com", "/two/more"), is("web-v2"));
    assert_eq!(to("web.example.com", "/two"), is("web-v1"));
    assert_eq!(to("web.example.com", "/twofold"), is("web-v1"));
    assert_eq!(to("web.example.com", "/gone").0, 503);
    assert_eq!(to("elsewhere.example.com", "/"), is("web-v2"), "the default backend takes what no host has");

    mesh.eventually("TLS ends with the Secret's certificate", SOON, || {
        let (body, said) = https_at(&mesh, "/two/more");
        body.contains("\"name\":\"web-v2\"") && said.contains("CN=first")
    });
    mesh.eventually("the status says where it is reached and what is missing", SOON, || {
        let status = get(&mesh, &["ingress", "web"])["status"].clone();
        let gateway = mesh.ready["gateway"].as_str().unwrap();
        let ip = status["loadBalancer"]["ingress"][0]["ip"].as_str().unwrap_or("?").to_owned();
        gateway.contains(&ip)
            && conditions(&status)[..2] == ["Accepted=False Invalid", "Programmed=True Programmed"]
            && status["conditions"][0]["message"]
                .as_str()
                .is_some_and(|m| m.contains("no service has the host nobody"))
    });
    mesh.write("ingress.yaml", &INGRESS.replace("ingressClassName: mesh", "ingressClassName: nginx"));
    mesh.eventually("what is another's is left to it", SOON, || to("web.example.com", "/") == is("web-v2"));
}

/// An HTTPS request to the gateway's Service.
fn https_at(mesh: &Mesh, path: &str) -> (String, String) {
    https(mesh, "istio-ingressgateway.istio-system", 443, path)
}
