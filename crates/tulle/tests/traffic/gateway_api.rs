//! The Gateway API in a whole mesh: a Gateway at the mesh's own gateway, and routes for services.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Mesh, Spec};
use crate::manifests::{client, documents, echo, injected_default, namespace, service};

const SOON: Duration = Duration::from_secs(20);

/// A Service for one version of an app on port 9080.
pub fn version(app: &str, version: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {app}-{version}\nspec:\n  selector:\n    app: {app}\n    \
         version: {version}\n  ports:\n  - {{name: http, port: 9080, targetPort: 8080}}\n"
    )
}

fn web() -> Vec<(&'static str, String)> {
    vec![
        (
            "base.yaml",
            documents(&[
                injected_default(),
                service("web", "http"),
                version("web", "v1"),
                version("web", "v2"),
                echo("web", "v1"),
                echo("web", "v2"),
                client("client", "client", ""),
            ]),
        ),
        ("edge.yaml", EDGE.to_owned()),
        ("route.yaml", ROUTE.to_owned()),
    ]
}

const EDGE: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  gatewayClassName: tulle
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: '*.example.com'}
  - {name: admin, port: 8099, protocol: HTTP}
";

const ROUTE: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: default}
spec:
  parentRefs: [{name: edge, sectionName: http}]
  hostnames: [web.example.com]
  rules:
  - backendRefs:
    - {name: web-v1, port: 9080, weight: 8}
    - {name: web-v2, port: 9080, weight: 2}
  - matches: [{headers: [{name: x-version, value: v2}]}]
    backendRefs: [{name: web-v2, port: 9080}]
  - matches: [{path: {value: /old}}]
    filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}]
  - matches: [{path: {value: /strip}}]
    filters:
    - {type: URLRewrite, urlRewrite: {hostname: inner.example.com, path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-by, value: tulle}]}}
    backendRefs: [{name: web-v1, port: 9080}]
  - matches: [{path: {value: /half}}]
    backendRefs: [{name: web-v1, port: 9080}, {name: nobody, port: 9080}]
";

/// A request to the gateway from the host: status, head and body.
pub fn ask(mesh: &Mesh, host: &str, path: &str, header: &str) -> (u16, String, String) {
    let gateway = mesh.ready["gateway"].as_str().unwrap().trim_start_matches("http://").to_owned();
    let Ok(mut stream) = TcpStream::connect(&gateway) else { return (0, String::new(), String::new()) };
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    let text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{header}Connection: close\r\n\r\n");
    let mut answer = String::new();
    if stream.write_all(text.as_bytes()).is_err() || stream.read_to_string(&mut answer).is_err() {
        return (0, String::new(), answer);
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, head.to_ascii_lowercase(), body.to_owned())
}

/// The Service in front of the gateway with more ports.
const EDGE_HOST: &str = "edge.istio-system";

/// A resource as `tulle get` shows it.
pub fn get(mesh: &Mesh, what: &[&str]) -> Value {
    let state = mesh.dir.path().join("state");
    let mut args = vec!["get"];
    args.extend(what);
    args.extend(["-o", "json", "--state-dir", state.to_str().unwrap()]);
    let output = mesh.tulle(&args).output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{what:?}: {e}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The conditions of one entry of a status as `Type=Status Reason`.
pub fn conditions(of: &Value) -> Vec<String> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let all = of["conditions"].as_array().cloned().unwrap_or_default();
    all.iter()
        .map(|c| format!("{}={} {}", text(&c["type"]), text(&c["status"]), text(&c["reason"])))
        .collect()
}

#[test]
fn a_gateway_and_its_routes_have_their_effect_and_say_so() {
    let mesh = Mesh::start(&Spec { manifests: &web(), ..Spec::default() });
    mesh.eventually("the route is in force", SOON, || ask(&mesh, "web.example.com", "/", "").0 == 200);

    // Weights: 8 to 2 of 400, within five standard deviations.
    let mut names: BTreeMap<bool, u32> = BTreeMap::new();
    for _ in 0..400 {
        let (status, head, _) = ask(&mesh, "web.example.com", "/", "");
        assert_eq!(status, 200, "{head}");
        *names.entry(head.contains("x-echo-name: web-v1")).or_default() += 1;
    }
    assert!((280..=360).contains(&names[&true]), "{names:?}");

    // The more specific match wins, although it is written later.
    for _ in 0..10 {
        assert!(ask(&mesh, "web.example.com", "/", "x-version: v2").1.contains("x-echo-name: web-v2"));
    }

    let (status, head, _) = ask(&mesh, "web.example.com", "/old/a?b=c", "");
    assert_eq!(status, 301);
    assert!(head.contains("location: http://web.example.com/new/a?b=c"), "{head}");
    // Prefixes are whole segments.
    assert_eq!(ask(&mesh, "web.example.com", "/older", "").0, 200);

    let (status, _, body) = ask(&mesh, "web.example.com", "/strip/a/b?c=d", "");
    let seen: Value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{status} {body}: {e}"));
    assert_eq!(seen["path"], "/a/b?c=d");
    assert_eq!(
        (&seen["headers"]["host"], &seen["headers"]["x-by"]),
        (&"inner.example.com".into(), &"tulle".into())
    );

    // A backend that does not exist fails for its share.
    let statuses: Vec<u16> = (0..60).map(|_| ask(&mesh, "web.example.com", "/half", "").0).collect();
    let failed = statuses.iter().filter(|s| **s == 500).count();
    assert!(statuses.iter().all(|s| matches!(s, 200 | 500)), "{statuses:?}");
    assert!((10..=50).contains(&failed), "{statuses:?}");

    assert_eq!(ask(&mesh, "other.example.com", "/", "").0, 404, "a host that no route is for");

    mesh.eventually("the statuses are written", SOON, || {
        let route = get(&mesh, &["httproute", "web"]);
        let parent = &route["status"]["parents"][0];
        parent["controllerName"] == "tulle.dev/gateway-controller"
            && conditions(parent) == ["Accepted=True Accepted", "ResolvedRefs=False BackendNotFound"]
    });
    mesh.eventually("the Gateway is programmed", SOON, || {
        let gateway = get(&mesh, &["gateways.gateway.networking.k8s.io", "edge"]);
        let [http, admin] = [0, 1].map(|i| gateway["status"]["listeners"][i].clone());
        http["attachedRoutes"] == 1
            && admin["attachedRoutes"] == 0
            && conditions(&http)
                == [
                    "Accepted=True Accepted",
                    "Conflicted=False NoConflicts",
                    "Programmed=True Programmed",
                    "ResolvedRefs=True ResolvedRefs",
                ]
            && admin["conditions"][2]["message"]
                .as_str()
                .is_some_and(|m| m.contains("port 8099 is not one of Service"))
    });

    // An edited route is in force without restarting anything.
    mesh.write("route.yaml", &ROUTE.replace("weight: 8", "weight: 0"));
    mesh.eventually("the new weights are in force", SOON, || {
        (0..10).all(|_| ask(&mesh, "web.example.com", "/", "").1.contains("x-echo-name: web-v2"))
    });
    mesh.write("edge.yaml", &EDGE.replace("tulle", "somebody-else"));
    mesh.eventually("a Gateway of another class is not served", SOON, || {
        ask(&mesh, "web.example.com", "/", "").0 != 200
    });
}

#[test]
fn routes_for_services_hold_for_their_clients() {
    let producer = "\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: producer, namespace: default}
spec:
  parentRefs: [{group: '', kind: Service, name: web}]
  rules:
  - backendRefs: [{name: web-v1, port: 9080}]
  - matches: [{headers: [{name: x-canary, value: 'yes'}]}]
    backendRefs: [{name: web-v2, port: 9080}]
";
    let consumer = "\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: consumer, namespace: away}
spec:
  parentRefs: [{group: '', kind: Service, name: web, namespace: default}]
  rules: [{backendRefs: [{name: web-v2, namespace: default, port: 9080}]}]
";
    let mut manifests = web();
    manifests.retain(|(name, _)| *name == "base.yaml");
    let away = client("visitor", "visitor", "")
        .replace("metadata:\n  name:", "metadata:\n  namespace: away\n  name:");
    manifests.push(("away.yaml", documents(&[namespace("away", true), away])));
    manifests.push(("producer.yaml", producer.to_owned()));
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let url = "http://web.default:9080/";
    let from = |workload: &str, header: &str| {
        let headers: Vec<&str> = Some(header).filter(|h| !h.is_empty()).into_iter().collect();
        mesh.get_from(workload, url, &headers).1
    };
    let all =
        |workload: &str, header: &str, wanted: &str| (0..5).all(|_| from(workload, header).contains(wanted));
    mesh.eventually("the producer's route is in force", SOON, || all("client", "", "\"name\":\"web-v1\""));
    assert!(all("client", "x-canary: yes", "\"name\":\"web-v2\""));
    assert!(all("away/visitor", "", "\"name\":\"web-v1\""), "a producer's route is for everybody");
    mesh.write("consumer.yaml", consumer);
    mesh.eventually("the consumer's route is in force", SOON, || {
        all("away/visitor", "", "\"name\":\"web-v2\"")
    });
    assert!(all("client", "", "\"name\":\"web-v1\""), "for its own namespace alone");
}

const CONNECTIONS: &str = "\
apiVersion: v1
kind: Service
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {app: istio-ingressgateway, istio: ingressgateway}
  ports:
  - {name: https, port: 443, targetPort: 8443}
  - {name: tls-pass, port: 9443}
  - {name: tcp, port: 9000}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: edge.istio-system.svc.cluster.local}]
  listeners:
  - {name: https, port: 443, protocol: HTTPS, hostname: web.example.com, tls: {certificateRefs: [{name: web}]}}
  - {name: pass, port: 9443, protocol: TLS, tls: {mode: Passthrough}}
  - {name: tcp, port: 9000, protocol: TCP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: default}
spec:
  parentRefs: [{name: edge, sectionName: https}]
  rules: [{backendRefs: [{name: web-v1, port: 9080}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: cart, namespace: default}
spec:
  parentRefs: [{name: edge, sectionName: https}]
  rules: [{matches: [{method: {service: shop.Cart}}], backendRefs: [{name: web-v2, port: 9080}]}]
---
# What passes here ends at the listener for HTTPS.
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: pass, namespace: default}
spec:
  parentRefs: [{name: edge, sectionName: pass}]
  hostnames: [web.example.com]
  rules: [{backendRefs: [{name: edge, namespace: istio-system, port: 443}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: pass, namespace: istio-system}
spec:
  from: [{group: gateway.networking.k8s.io, kind: TLSRoute, namespace: default}]
  to: [{group: '', kind: Service, name: edge}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: raw, namespace: default}
spec:
  parentRefs: [{name: edge, sectionName: tcp}]
  rules: [{backendRefs: [{name: web-v2, port: 9080}]}]
";

/// The mesh's gateway as a backend that speaks TLS.
const BACKEND: &str = "\
apiVersion: v1
kind: Service
metadata: {name: edge-tls, namespace: istio-system}
spec:
  selector: {app: istio-ingressgateway, istio: ingressgateway}
  ports: [{name: https, port: 443, targetPort: 8443}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: edge-tls, namespace: istio-system}
spec:
  targetRefs: [{group: '', kind: Service, name: edge-tls}]
  validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}], hostname: web.example.com}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: plain, namespace: istio-system}
spec:
  gatewayClassName: tulle
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: plain, namespace: istio-system}
spec:
  parentRefs: [{name: plain}]
  rules:
  - filters: [{type: URLRewrite, urlRewrite: {hostname: web.example.com}}]
    backendRefs: [{name: edge-tls, port: 443}]
";

pub fn certificate(name: &str) -> String {
    let path = format!("{}/tests/traffic/certificates/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Body of an HTTPS request for `web.example.com` from the client's pod to a port of a host, and what curl says meanwhile.
pub fn https(mesh: &Mesh, host: &str, port: u16, path: &str) -> (String, String) {
    let url = format!("https://web.example.com:{port}{path}");
    let to = format!("web.example.com:{port}:{host}:{port}");
    // The host's curl: the built-in one knows no TLS.
    let command = ["/usr/bin/curl", "-svk", "-m", "10", "--connect-to", &to, &url];
    let output = mesh.exec("default", "client", &command).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn connections_are_routed_by_name_and_port_and_tls_ends_with_named_certificates() {
    let mut manifests = web();
    manifests.retain(|(name, _)| *name == "base.yaml");
    manifests.push(("certificate.yaml", certificate("first")));
    manifests.push(("edge.yaml", CONNECTIONS.to_owned()));
    manifests.push(("backend.yaml", BACKEND.to_owned()));
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    mesh.eventually("TLS ends at the gateway", SOON, || {
        https(&mesh, EDGE_HOST, 443, "/").0.contains("\"name\":\"web-v1\"")
    });
    assert!(
        https(&mesh, EDGE_HOST, 443, "/shop.Cart/Add").0.contains("\"name\":\"web-v2\""),
        "a call goes by its service"
    );
    let (body, said) = https(&mesh, EDGE_HOST, 9443, "/");
    assert!(body.contains("\"name\":\"web-v1\""), "TLS passes by its server name: {said}");
    let raw =
        |wanted: &str| mesh.get_from("client", "http://edge.istio-system:9000/", &[]).1.contains(wanted);
    mesh.eventually("bytes pass by their port", SOON, || raw("\"name\":\"web-v2\""));

    // A backend is spoken with over TLS once its authority is known, and as long as its certificate is the authority's.
    let through = || ask(&mesh, "plain.example.com", "/", "");
    mesh.eventually("the backend's authority is missing", SOON, || through().0 == 503);
    mesh.write("ca.yaml", &certificate("ca"));
    mesh.eventually("TLS to the backend", SOON, || through().2.contains("\"name\":\"web-v1\""));
    let policy = get(&mesh, &["backendtlspolicies", "edge-tls", "-n", "istio-system"]);
    assert_eq!(policy["status"]["ancestors"][0]["ancestorRef"]["name"], "plain", "{policy:#}");

    assert!(https(&mesh, EDGE_HOST, 443, "/").1.contains("CN=first"));
    mesh.write("certificate.yaml", &certificate("second"));
    mesh.eventually("the new certificate is shown", SOON, || {
        https(&mesh, EDGE_HOST, 443, "/").1.contains("CN=second")
    });

    mesh.eventually("a certificate of nobody's is not believed", SOON, || through().0 == 503);

    // Without the grant nothing passes any more.
    mesh.write(
        "edge.yaml",
        &CONNECTIONS.replace("kind: TLSRoute, namespace: default", "kind: TCPRoute, namespace: default"),
    );
    mesh.eventually("what is not granted is refused", SOON, || {
        https(&mesh, EDGE_HOST, 9443, "/").0.is_empty()
    });
    let route = get(&mesh, &["tlsroute", "pass"]);
    assert_eq!(conditions(&route["status"]["parents"][0])[0], "Accepted=True Accepted");
    mesh.eventually("the status says so", SOON, || {
        conditions(&get(&mesh, &["tlsroute", "pass"])["status"]["parents"][0])
            .contains(&"ResolvedRefs=False RefNotPermitted".to_owned())
    });
}

/// A Gateway that checks certificates of clients, and one whose listener is a ListenerSet's.
const CLIENTS: &str = "\
apiVersion: v1
kind: Service
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {app: istio-ingressgateway, istio: ingressgateway}
  ports: [{name: https, port: 443, targetPort: 8443}, {name: open, port: 9443}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: edge}
spec: {controllerName: tulle.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  gatewayClassName: edge
  addresses: [{type: Hostname, value: edge.istio-system.svc.cluster.local}]
  listeners: [{name: https, port: 443, protocol: HTTPS, hostname: web.example.com, tls: {certificateRefs: [{name: web}]}}]
  allowedListeners: {namespaces: {from: Same}}
  tls:
    frontend:
      default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: clients}]}}
      perPort: [{port: 9443, tls: {}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: open, namespace: default}
spec:
  parentRef: {name: edge}
  listeners: [{name: open, port: 9443, protocol: HTTPS, hostname: web.example.com, tls: {certificateRefs: [{name: web}]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: default}
spec:
  parentRefs: [{name: edge}, {kind: ListenerSet, name: open}]
  rules: [{backendRefs: [{name: web-v1, port: 9080}]}]
";

#[test]
fn certificates_of_clients_are_checked_and_listeners_are_added_by_sets() {
    let mut manifests = web();
    manifests.retain(|(name, _)| *name == "base.yaml");
    manifests.push(("certificate.yaml", certificate("first")));
    manifests.push(("edge.yaml", CLIENTS.to_owned()));
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let served = |port| https(&mesh, EDGE_HOST, port, "/").0.contains("\"name\":\"web-v1\"");
    mesh.eventually("the listener of the set is served", SOON, || served(9443));
    assert!(!served(443), "without authorities nobody is let in");
    let (authority, shown) = client_certificate(&mesh);
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: clients, namespace: default}}\ndata:\n  ca.crt: |\n{}",
        authority.lines().map(|l| format!("    {l}\n")).collect::<String>()
    );
    mesh.write("clients.yaml", &map);
    let with = |files: &[&str]| {
        let to = format!("web.example.com:443:{EDGE_HOST}:443");
        let mut command = vec!["/usr/bin/curl", "-sk", "-m", "10", "--connect-to", &to];
        command.extend(files);
        command.push("https://web.example.com/");
        let output = mesh.exec("default", "client", &command).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("\"name\":\"web-v1\"")
    };
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    mesh.eventually("a good certificate is let in", SOON, || with(&shown));
    assert!(!with(&[]), "none is not");
    mesh.eventually("the statuses say what is attached", SOON, || {
        let gateway = get(&mesh, &["gateways.gateway.networking.k8s.io", "edge"])["status"].clone();
        let set = get(&mesh, &["listenersets", "open"])["status"].clone();
        let class = get(&mesh, &["gatewayclasses", "edge"])["status"].clone();
        let features = class["supportedFeatures"].as_array().cloned().unwrap_or_default();
        features.contains(&serde_json::json!({"name": "GatewayListenerSet"}))
            && gateway["attachedListenerSets"] == 1
            && gateway["listeners"][0]["attachedRoutes"] == 1
            && set["listeners"][0]["attachedRoutes"] == 1
            && conditions(&set)[..2] == ["Accepted=True Accepted", "Programmed=True Programmed"]
    });
    // Clients that show nothing are let in where that is said.
    let lenient = CLIENTS.replace("name: clients}]}}", "name: clients}], mode: AllowInsecureFallback}}");
    mesh.write("edge.yaml", &lenient);
    mesh.eventually("those without are let in, too", SOON, || with(&[]));
}

/// An authority in PEM, and curl's arguments for a certificate of it.
fn client_certificate(mesh: &Mesh) -> (String, Vec<String>) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().unwrap();
    let signed = CertificateParams::new(vec!["client.example.com".to_owned()]).unwrap();
    let certificate = signed.signed_by(&own, &issuer).unwrap().pem();
    let file = |name: &str, text: &str| {
        let path = mesh.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let arguments = vec![
        "--cert".to_owned(),
        file("client.crt", &certificate),
        "--key".to_owned(),
        file("client.key", &own.serialize_pem()),
    ];
    (authority, arguments)
}
