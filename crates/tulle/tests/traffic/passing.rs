//! Mutual TLS that passes a gateway by the name of a cluster, from a sidecar to another; and gateways that listen elsewhere.

use std::os::unix::net::UnixStream;
use std::time::Duration;
use std::{io::Read as _, io::Write as _};

use crate::harness::{Mesh, Spec};
use crate::manifests::{client, documents, echo, injected_default, namespace, service, subsets};

const SOON: Duration = Duration::from_secs(20);

/// Another network's gateway, as its clients know it: a host whose endpoint is the gateway, asked for a service behind it by the
/// name of that service's cluster.
const EAST_WEST: &str = "\
apiVersion: v1
kind: Service
metadata: {name: east-west, namespace: istio-system}
spec:
  clusterIP: 10.96.77.1
  selector: {istio: ingressgateway}
  ports: [{name: tls, port: 15443}, {name: http-here, port: 8765}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: east-west, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 15443, name: tls, protocol: TLS}, hosts: ['default/*.local'], tls: {mode: AUTO_PASSTHROUGH}}
  - {port: {number: 8765, name: here, protocol: HTTP}, bind: 127.0.0.1, hosts: ['*']}
  - {port: {number: 0, name: file, protocol: HTTP}, bind: 'unix://SOCKET', hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: here, namespace: istio-system}
spec: {hosts: ['*'], gateways: [east-west], http: [{route: [{destination: {host: web.default.svc.cluster.local}}]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: remote, namespace: default}
spec:
  hosts: [web.remote.example, v2.remote.example, hidden.remote.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 15443}]
  endpoints: [{address: 10.96.77.1}]
";

/// TLS of the mesh towards `host`, asked for by `sni`.
fn by_name(host: &str, sni: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {host}}}\nspec:\n  host: {host}\n  \
         trafficPolicy: {{tls: {{mode: ISTIO_MUTUAL, sni: {sni}, subjectAltNames: ['spiffe://cluster.local/ns/default/sa/default']}}}}\n"
    )
}

#[test]
fn mutual_tls_passes_a_gateway_by_the_name_of_a_cluster_and_gateways_listen_where_they_are_told() {
    let sni = |subset: &str, host: &str| format!("outbound_.9080_.{subset}_.{host}.svc.cluster.local");
    let hidden = |yaml: &str| yaml.replace("metadata:\n  name:", "metadata:\n  namespace: hidden\n  name:");
    let socket = format!("/tmp/tulle-edge-{}.sock", std::process::id());
    let manifests = [
        (
            "base.yaml",
            documents(&[
                injected_default(),
                namespace("hidden", true),
                service("web", "http"),
                echo("web", "v1"),
                echo("web", "v2"),
                subsets("web", &[("v1", "v1"), ("v2", "v2")]),
                hidden(&service("web", "http")),
                hidden(&echo("web", "v1")),
                client("client", "client", ""),
            ]),
        ),
        ("gateway.yaml", EAST_WEST.replace("SOCKET", &socket)),
        (
            "rules.yaml",
            documents(&[
                by_name("web.remote.example", &sni("", "web.default")),
                by_name("v2.remote.example", &sni("v2", "web.default")),
                by_name("hidden.remote.example", &sni("", "web.hidden")),
            ]),
        ),
    ];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let get = |host: &str| mesh.get_from("client", &format!("http://{host}.remote.example/"), &[]);
    mesh.eventually("what the server name names is reached", SOON, || get("web").0 == 200);
    // It is the sidecar behind the gateway that checked who calls: TLS was not ended in between.
    let (_, body) = get("web");
    assert!(body.contains("URI=spiffe://cluster.local/ns/default/sa/client"), "{body}");
    assert!(!body.contains("istio-ingressgateway"), "{body}");
    assert!((0..10).all(|_| get("v2").1.contains("\"name\":\"web-v2\"")), "a subset has a name of its own");
    assert_eq!(get("hidden").0, 503, "the server is for one namespace alone");
    // A server name alone does not do: TLS that is not the mesh's passes to nobody.
    let to = "outbound_.9080_._.web.default.svc.cluster.local:15443:10.96.77.1:15443";
    let url = "https://outbound_.9080_._.web.default.svc.cluster.local:15443/";
    let outsider =
        mesh.exec("default", "client", &["/usr/bin/curl", "-sk", "-m", "10", "--connect-to", to, url]);
    let mut outsider = outsider;
    assert!(!outsider.output().unwrap().status.success());

    // On the gateway's own loopback address, and in the file system, and nowhere else.
    let (status, _) = mesh.get_from("client", "http://10.96.77.1:8765/", &[]);
    assert_ne!(status, 200, "the server is on the gateway's loopback address");
    let inside = |url: &str| mesh.get_from("istio-system/istio-ingressgateway", url, &[]).0;
    mesh.eventually("the gateway answers itself", SOON, || inside("http://127.0.0.1:8765/") == 200);
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let _ = std::fs::remove_file(socket);
}
