//! Sessions across a weighted split: a user stays at one endpoint, whatever the weights become, and others are spread.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::gateway_api::{ask, version};
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
  - sessionPersistence: {type: Cookie, absoluteTimeout: 1h, cookie: {name: user, lifetimeType: Permanent}}
    backendRefs: [{name: web-v1, port: 9080, weight: 50}, {name: web-v2, port: 9080, weight: 50}]
  - matches: [{path: {value: /header}}]
    sessionPersistence: {type: Header, header: {name: x-user-session}}
    backendRefs: [{name: web-v1, port: 9080, weight: 50}, {name: web-v2, port: 9080, weight: 50}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: inside, namespace: default}
spec:
  parentRefs: [{group: '', kind: Service, name: web}]
  rules:
  - sessionPersistence: {type: Header, header: {name: x-inside}}
    backendRefs: [{name: web-v1, port: 9080}, {name: web-v2, port: 9080}]
";

/// The value of a field of a response head, which is in lower case but for values; and which version answered.
fn field(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).map(|v| v.trim().to_owned())
}

#[test]
fn a_session_stays_at_its_endpoint_across_a_split_and_its_changes() {
    let base = documents(&[
        injected_default(),
        service("web", "http"),
        version("web", "v1"),
        version("web", "v2"),
        echo("web", "v1"),
        echo("web", "v2"),
        client("client", "client", ""),
    ]);
    let manifests = [("base.yaml", base), ("routes.yaml", ROUTES.to_owned())];
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let request = |path: &str, header: &str| {
        let (status, head) = raw(&mesh, path, header);
        assert_eq!(status, 200, "{head}");
        let side = field(&head.to_ascii_lowercase(), "x-echo-name").unwrap();
        (side, head)
    };
    mesh.eventually("the routes are in force", SOON, || ask(&mesh, "web.example.com", "/", "").0 == 200);

    // Users who come without a session are spread; each of them has one from then on.
    let mut users: Vec<(String, String)> = Vec::new();
    for _ in 0..40 {
        let (side, head) = request("/", "");
        let cookie = head.lines().find_map(|l| {
            l.to_ascii_lowercase().starts_with("set-cookie: user=").then(|| l[12..].to_owned())
        });
        let cookie = cookie.unwrap_or_else(|| panic!("a session begins: {head}"));
        assert!(
            cookie.contains("Max-Age=3600") && cookie.contains("Path=/") && cookie.contains("HttpOnly"),
            "{cookie}"
        );
        users.push((cookie.split(';').next().unwrap().trim().to_owned(), side));
    }
    let sides: BTreeSet<&String> = users.iter().map(|(_, side)| side).collect();
    assert_eq!(sides.len(), 2, "both sides of the split get users");
    let stay = |users: &[(String, String)]| {
        for (cookie, side) in users {
            let (now, head) = request("/", &format!("Cookie: {cookie}"));
            assert_eq!(now, *side, "{cookie}");
            assert!(!head.to_ascii_lowercase().contains("set-cookie: user="), "it knows already: {head}");
        }
    };
    stay(&users);
    stay(&users);

    // Other weights are for new sessions.
    mesh.write(
        "routes.yaml",
        &ROUTES.replace(
            "weight: 50}, {name: web-v2, port: 9080, weight: 50",
            "weight: 1}, {name: web-v2, port: 9080, weight: 999",
        ),
    );
    mesh.eventually("new sessions go to the other side", SOON, || {
        (0..20).all(|_| request("/", "").0 == "web-v2")
    });
    stay(&users);

    // By header, too.
    let (side, head) = request("/header", "");
    let value = head.lines().find_map(|l| {
        l.to_ascii_lowercase().starts_with("x-user-session: ").then(|| l[16..].trim().to_owned())
    });
    let value = value.unwrap_or_else(|| panic!("{head}"));
    for _ in 0..20 {
        assert_eq!(request("/header", &format!("X-User-Session: {value}")).0, side);
    }

    // What names no endpoint, or one that is gone, is a new session.
    let (_, head) = request("/", "Cookie: user=CgwxOTIuMC4yLjE6ODA=");
    assert!(head.to_ascii_lowercase().contains("set-cookie: user="), "{head}");

    // Inside the mesh: what the sidecar tells the client, the client's sidecar reads.
    let inside = |header: &str| {
        // The host's curl: the built-in one shows no fields.
        let command = ["/usr/bin/curl", "-si", "-m", "20", "-H", header, "http://web:9080/"];
        let output = mesh.exec("default", "client", &command).output().unwrap();
        String::from_utf8_lossy(&output.stdout).to_string()
    };
    let first = inside("x-none: 1");
    let told = first
        .lines()
        .find_map(|l| l.to_ascii_lowercase().starts_with("x-inside: ").then(|| l[10..].trim().to_owned()));
    let told = told.unwrap_or_else(|| panic!("{first}"));
    let name = |answer: &str| field(&answer.to_ascii_lowercase(), "x-echo-name");
    for _ in 0..10 {
        assert_eq!(name(&inside(&format!("x-inside: {told}"))), name(&first));
    }
}

/// A request to the gateway from the host: status, and head as it came.
fn raw(mesh: &Mesh, path: &str, header: &str) -> (u16, String) {
    use std::io::{Read as _, Write as _};
    let gateway = mesh.ready["gateway"].as_str().unwrap().trim_start_matches("http://").to_owned();
    let mut stream = std::net::TcpStream::connect(&gateway).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    let text = format!("GET {path} HTTP/1.1\r\nHost: web.example.com\r\n{header}Connection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_owned();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, head)
}
