//! What workloads see of the mesh and of the world, and how they get there: Sidecars, unknown and external hosts, wildcards,
//! headless services, allocated addresses, an egress gateway.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::gateways::{Ca, certificate_secret};
use crate::harness::{Mesh, Spec};
use crate::manifests::{client, documents, echo, injected_default, namespace, service, within};

const SOON: Duration = Duration::from_secs(30);

/// The namespace of what is not in the mesh, and what is said of it.
const OUTSIDE: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild}
spec: {hosts: ['*.wild.test'], ports: [{number: 8080, name: http, protocol: HTTP}], resolution: NONE}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: named}
spec:
  hosts: [one.named.test]
  ports: [{number: 8080, name: http, protocol: HTTP}, {number: 9000, name: tcp, protocol: TCP}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {labels: {app: web}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: named-too}
spec:
  hosts: [two.named.test]
  ports: [{number: 8080, name: http, protocol: HTTP}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {labels: {app: other}}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 8080, name: http}, {port: 9000, name: tcp}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
      - {name: echo, image: 'tulle/echo:1', ports: [{containerPort: 8080}]}
";

/// Who sees what: `closed` its own part of the mesh and nothing else, `plain-old` goes to its own machine for everything, `through`
/// sends what is unknown to somebody.
const SCOPES: &str = "\
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: closed}
spec:
  workloadSelector: {labels: {app: closed}}
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
  egress:
  - {port: {number: 0, protocol: HTTP, name: socket}, bind: 'unix://SOCKET', hosts: ['./web.default.svc.cluster.local']}
  - {hosts: ['./web.default.svc.cluster.local', './*.wild.test']}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: plain-old}
spec:
  workloadSelector: {labels: {app: plain-old}}
  egress:
  - {port: {number: 8080, protocol: HTTP, name: http}, bind: 127.0.0.1, captureMode: NONE, hosts: ['./web.default.svc.cluster.local']}
  - {port: {number: 9000, protocol: TCP, name: tcp}, captureMode: NONE, hosts: ['./other.default.svc.cluster.local']}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: through}
spec:
  workloadSelector: {labels: {app: through}}
  outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: web, port: {number: 8080}}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web}
spec:
  workloadSelector: {labels: {app: web}}
  ingress:
  - {port: {number: 8080, protocol: HTTP, name: http}}
  - {port: {number: 9000, protocol: TCP, name: tcp}}
  - port: {number: 8443, protocol: HTTPS, name: https}
    defaultEndpoint: 127.0.0.1:8080
    tls: {mode: SIMPLE, serverCertificate: DIR/web.crt, privateKey: DIR/web.key}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: web}
spec: {selector: {matchLabels: {app: web}}, mtls: {mode: PERMISSIVE}, portLevelMtls: {8443: {mode: DISABLE}}}
";

/// A host outside that takes TLS alone, played by a server of the gateway; the same gateway is the way out.
const EGRESS: &str = "\
apiVersion: v1
kind: Service
metadata: {name: way-out, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, ports: [{name: http, port: 8081}]}
---
apiVersion: v1
kind: Service
metadata: {name: far, namespace: istio-system}
spec: {clusterIP: 10.96.78.1, selector: {istio: ingressgateway}, ports: [{name: https, port: 8444}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: far, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8444, name: https, protocol: HTTPS}, hosts: [far.test], tls: {mode: SIMPLE, credentialName: far}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: far-itself, namespace: istio-system}
spec: {hosts: [far.test], gateways: [far], http: [{route: [{destination: {host: web.default.svc.cluster.local, port: {number: 8080}}}]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: far, namespace: istio-system}
spec:
  hosts: [far.test]
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: http-tls, protocol: HTTP, targetPort: 8444}]
  resolution: STATIC
  endpoints: [{address: 10.96.78.1}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: way-out, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8081, name: http, protocol: HTTP}, hosts: [far.test]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: far, namespace: istio-system}
spec:
  hosts: [far.test]
  gateways: [mesh, way-out]
  http:
  - match: [{gateways: [mesh], port: 80}]
    route: [{destination: {host: way-out.istio-system.svc.cluster.local, port: {number: 8081}}}]
  - match: [{gateways: [way-out], port: 8081}]
    headers: {request: {set: {x-went-by: way-out}}}
    route: [{destination: {host: far.test, port: {number: 443}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: far, namespace: istio-system}
spec:
  host: far.test
  trafficPolicy:
    portLevelSettings:
    - {port: {number: 443}, tls: {mode: SIMPLE, sni: far.test, subjectAltNames: [far.test], caCertificates: DIR/ca.crt}}
";

/// The addresses of the pods of a namespace, by the value of their label `app`.
fn addresses(mesh: &Mesh, namespace: &str) -> Vec<(String, String)> {
    let state = mesh.dir.path().join("state");
    let args = ["get", "pods", "-n", namespace, "-o", "json", "--state-dir", state.to_str().unwrap()];
    let output = mesh.tulle(&args).output().unwrap();
    let list: Value = serde_json::from_slice(&output.stdout).expect("pods are JSON");
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let pods = list["items"].as_array().into_iter().flatten();
    pods.map(|pod| (text(&pod["metadata"]["labels"]["app"]), text(&pod["status"]["podIP"]))).collect()
}

fn address(mesh: &Mesh, namespace: &str, app: &str) -> String {
    let mut found = String::new();
    mesh.eventually("the pod has an address", SOON, || {
        let all = addresses(mesh, namespace);
        found = all.into_iter().find(|(a, _)| a == app).map(|(_, ip)| ip).unwrap_or_default();
        !found.is_empty()
    });
    found
}

/// Who answered.
fn name(answer: &(u16, String)) -> String {
    let body: Value = serde_json::from_str(&answer.1).unwrap_or_default();
    body["name"].as_str().unwrap_or_default().to_owned()
}

/// What curl of the machine printed in a pod.
fn curl(mesh: &Mesh, pod: &str, args: &[&str]) -> String {
    let all = [&["/usr/bin/curl", "-sS", "-m", "20"], args].concat();
    let output = mesh.exec("default", pod, &all).output().unwrap();
    String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr })
        .into_owned()
}

/// Whether a line that is sent to `to` in raw TCP comes back.
fn echoes(mesh: &Mesh, pod: &str, to: &str) -> bool {
    let (host, port) = to.rsplit_once(':').unwrap();
    let script = format!(
        "exec 3<>/dev/tcp/{host}/{port} && echo hello >&3 && read -t 5 -u 3 line && echo \"got $line\""
    );
    let output = mesh.exec("default", pod, &["/bin/bash", "-c", &script]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).contains("got hello")
}

#[test]
fn workloads_see_what_they_are_to_see_and_get_there_as_they_are_told() {
    let (authority, far) = (Ca::new("outside"), Ca::new("far"));
    let (web, pair) = (authority.issue("web.test", 1), far.issue("far.test", 2));
    let files = tempfile::Builder::new().prefix("tulhosts").tempdir_in("/tmp").unwrap();
    let dir = files.path().to_str().unwrap();
    for (file, text) in [
        ("web.crt", &web.certificate),
        ("web.key", &web.key),
        ("ca.crt", &far.pem),
        ("web-ca.crt", &authority.pem),
    ] {
        fs::write(files.path().join(file), text).unwrap();
    }
    let socket = format!("{dir}/out.sock");
    let with_tcp = |name: &str| {
        let yaml = service(name, "http").replace("port: 9080", "port: 8080");
        format!("{}  - port: 9000\n    name: tcp\n", yaml)
    };
    let manifests = [
        (
            "base.yaml",
            documents(&[
                injected_default(),
                namespace("outside", false),
                with_tcp("web"),
                echo("web", "v1"),
                with_tcp("other"),
                echo("other", "v1"),
                client("open", "open", ""),
                client("closed", "closed", ""),
                client("through", "through", ""),
                client("plain-old", "plain-old", ""),
                within("outside", &echo("stranger", "v1")),
                within("outside", &client("plain", "plain", "")),
                OUTSIDE.to_owned(),
            ]),
        ),
        ("scopes.yaml", SCOPES.replace("SOCKET", &socket).replace("DIR", dir)),
        ("egress.yaml", documents(&[certificate_secret("far", &pair), EGRESS.replace("DIR", dir)])),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let get = |pod: &str, url: &str| mesh.get_from(pod, url, &[]);
    mesh.eventually("the mesh works", SOON, || name(&get("open", "http://web:8080/")) == "web-v1");

    unknown_destinations(&mesh);
    scopes(&mesh, &socket);
    own_tls(&mesh, dir);

    // Headless: all pods by one name, each by its own.
    for pod in ["db-0", "db-1"] {
        let url = format!("http://{pod}.db.default.svc.cluster.local:8080/");
        mesh.eventually("each pod has its name", SOON, || name(&get("open", &url)) == pod);
    }
    let any = name(&get("open", "http://db:8080/"));
    assert!(any.starts_with("db-"), "{any}");

    // Hosts without addresses have allocated ones, by which they are told apart.
    let resolved =
        curl(&mesh, "open", &["-o", "/dev/null", "-w", "%{remote_ip}", "http://one.named.test:8080/"]);
    assert!(resolved.starts_with("240.240."), "{resolved}");
    assert_eq!(name(&get("open", "http://one.named.test:8080/")), "web-v1");
    assert_eq!(name(&get("open", "http://two.named.test:8080/")), "other-v1");
    assert!(echoes(&mesh, "open", "one.named.test:9000"));

    // Plain HTTP in the pod, TLS from the gateway on, whose certificate is checked.
    mesh.eventually("the way out works", SOON, || get("open", "http://far.test/").0 == 200);
    let (_, body) = get("open", "http://far.test/");
    assert!(body.contains("\"x-went-by\":\"way-out\""), "{body}");
    assert!(body.contains("\"x-forwarded-proto\":\"https\""), "TLS began at the gateway: {body}");
}

/// Where what nobody knows goes: on (ALLOW_ANY), nowhere (REGISTRY_ONLY), or to the proxy that a Sidecar names.
fn unknown_destinations(mesh: &Mesh) {
    let stranger = address(mesh, "outside", "stranger");
    let url = format!("http://{stranger}:8080/");
    let get = |pod: &str| mesh.get_from(pod, &url, &[]);
    assert_eq!(name(&get("open")), "stranger-v1");
    mesh.eventually("requests for unknown hosts are refused", SOON, || get("closed").0 == 502);
    let tcp = format!("{stranger}:9000");
    assert!(echoes(mesh, "open", &tcp), "unknown TCP passes");
    assert!(!echoes(mesh, "closed", &tcp), "unknown TCP goes nowhere");
    mesh.eventually("what is unknown goes to the named proxy", SOON, || name(&get("through")) == "web-v1");

    // A wildcard makes hosts known, wherever the client was going; only for who sees it.
    let wild = |pod: &str, host: &str| mesh.get_from(pod, &url, &[&format!("host: {host}")]);
    assert_eq!(name(&wild("closed", "a.wild.test")), "stranger-v1");
    assert_eq!(wild("closed", "a.tame.test").0, 502);
}

/// What a Sidecar leaves out is not there, and its own listeners are.
fn scopes(mesh: &Mesh, socket: &str) {
    let get = |url: &str, headers: &[&str]| mesh.get_from("closed", url, headers);
    assert_eq!(name(&get("http://web:8080/", &[])), "web-v1");
    let hidden = get("http://other:8080/", &[]);
    assert_eq!(hidden.0, 502, "{}", hidden.1);
    let by_socket = curl(mesh, "closed", &["--unix-socket", socket, "http://web:8080/"]);
    assert!(by_socket.contains("\"name\":\"web-v1\""), "{by_socket}");
    let here = |host: &str| mesh.get_from("plain-old", "http://127.0.0.1:8080/", &[&format!("host: {host}")]);
    mesh.eventually("requests to the machine itself go to the host", SOON, || name(&here("web")) == "web-v1");
    assert_eq!(here("other").0, 503, "they were going nowhere else");
    assert!(echoes(mesh, "plain-old", "127.0.0.1:9000"));
}

/// TLS with the workload's own certificate, for who is not in the mesh.
fn own_tls(mesh: &Mesh, dir: &str) {
    let web = address(mesh, "default", "web");
    let (ca, to) = (format!("{dir}/web-ca.crt"), format!("web.test:8443:{web}:8443"));
    let ask = |scheme: &str| {
        let url = format!("{scheme}://web.test:8443/");
        let args = ["/usr/bin/curl", "-sS", "-m", "10", "--cacert", &ca, "--connect-to", &to, &url];
        let output = mesh.exec("outside", "plain", &args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    mesh.eventually("TLS is ended by the sidecar", SOON, || ask("https").contains("\"name\":\"web-v1\""));
    assert_eq!(ask("http"), "", "plain text is not taken");
}
