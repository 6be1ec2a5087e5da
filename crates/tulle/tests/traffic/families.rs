//! IPv4, IPv6 and both: the same mesh, the same protection, whatever the family of an address.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Mesh, Spec, User, http_get};
use crate::manifests::{client, documents, echo, injected_default, namespace, service, within};

const STRICT: &str = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:\n  name: default\nspec:\n  mtls: {mode: STRICT}\n";

const ENTRANCE: &str = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata:\n  name: entrance\nspec:\n  \
    selector: {istio: ingressgateway}\n  servers: [{hosts: ['*'], port: {number: 80, name: http, protocol: HTTP}}]\n---\n\
    apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: entrance\nspec:\n  hosts: ['*']\n  \
    gateways: [entrance]\n  http: [{route: [{destination: {host: six, port: {number: 9080}}}]}]\n";

/// A Service for the echo pods with further lines of its `spec`.
fn of_echo(name: &str, more: &str) -> String {
    service(name, "http").replace(&format!("app: {name}"), "app: echo") + more
}

fn services(plain: &str) -> String {
    documents(&[
        of_echo("plain", plain),
        of_echo("both", "  ipFamilyPolicy: RequireDualStack\n"),
        of_echo("six", "  ipFamilies: [IPv6]\n"),
    ])
}

/// Namespace `outside` without sidecars: a client, and a server that has an IPv6 address alone.
fn outside() -> String {
    let lone = within(
        "outside",
        &documents(&[echo("lone", "v1"), service("lone", "http") + "  ipFamilies: [IPv6]\n"]),
    );
    documents(&[namespace("outside", false), within("outside", &client("outsider", "outsider", "")), lone])
}

fn manifests() -> Vec<(&'static str, String)> {
    vec![
        ("base.yaml", documents(&[injected_default(), STRICT.to_owned(), client("client", "client", "")])),
        ("echo.yaml", echo("echo", "v1")),
        ("services.yaml", services("")),
        ("entrance.yaml", ENTRANCE.to_owned()),
        ("outside.yaml", outside()),
    ]
}

/// The cluster addresses of a service of namespace `default`.
fn cluster_ips(mesh: &Mesh, name: &str) -> Vec<String> {
    let state = mesh.dir.path().join("state");
    let args =
        ["get", "services", name, "-n", "default", "-o", "json", "--state-dir", state.to_str().unwrap()];
    let output = mesh.tulle(&args).output().unwrap();
    let service: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    texts(&service["spec"]["clusterIPs"])
}

/// All addresses of the pod whose name begins so.
fn pod_ips(mesh: &Mesh, name: &str) -> Vec<String> {
    let pods = mesh.ready["pods"].as_array().unwrap();
    let pod = pods.iter().find(|p| p["name"].as_str().unwrap().starts_with(name)).expect("it is there");
    texts(&pod["ips"])
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|v| v.as_str().unwrap().to_owned()).collect()
}

fn url(ip: &str, port: u16) -> String {
    if ip.contains(':') { format!("http://[{ip}]:{port}/") } else { format!("http://{ip}:{port}/") }
}

/// The client gets an answer, and the server knows who it is.
fn reaches_with_identity(mesh: &Mesh, url: &str) {
    let (status, body) = mesh.get_from("client", url, &[]);
    assert_eq!(status, 200, "{url}: {body}");
    assert!(body.contains("URI=spiffe://cluster.local/ns/default/sa/client"), "{url}: not over mTLS: {body}");
}

/// Whoever has no sidecar reaches nothing of the mesh, by any address of any family.
fn strict_holds(mesh: &Mesh, services: &[&str]) {
    let mut doors: Vec<String> = pod_ips(mesh, "echo-").iter().map(|ip| url(ip, 8080)).collect();
    for name in services {
        doors.extend(cluster_ips(mesh, name).iter().map(|ip| url(ip, 9080)));
        doors.push(format!("http://{name}.default:9080/"));
    }
    for door in doors {
        let (status, body) = mesh.get_from("outside/outsider", &door, &[]);
        assert_eq!(status, 0, "{door} is open to plain text: {body}");
    }
}

#[test]
fn both_families_carry_the_same_mesh() {
    let manifests = manifests();
    let mesh = Mesh::start(&Spec { manifests: &manifests, ..Spec::default() });
    let ips = pod_ips(&mesh, "client-");
    assert!(ips[0].starts_with("10.244.") && ips[1].starts_with("fd00:10:244::"), "{ips:?}");
    let (plain, both, six) =
        (cluster_ips(&mesh, "plain"), cluster_ips(&mesh, "both"), cluster_ips(&mesh, "six"));
    assert!(plain.len() == 1 && plain[0].starts_with("10.96."), "{plain:?}");
    assert!(both[0].starts_with("10.96.") && both[1].starts_with("fd00:10:96::"), "{both:?}");
    assert!(six.len() == 1 && six[0].starts_with("fd00:10:96::"), "{six:?}");
    for ip in plain.iter().chain(&both).chain(&six) {
        reaches_with_identity(&mesh, &url(ip, 9080));
    }
    for name in ["plain", "both", "six"] {
        reaches_with_identity(&mesh, &format!("http://{name}.default:9080/"));
    }
    strict_holds(&mesh, &["plain", "both", "six"]);
    // The node's own DNS knows IPv6 names, and pods without sidecar reach services by them.
    assert_eq!(mesh.get_from("outside/outsider", "http://lone.outside:9080/", &[]).0, 200);

    let (status, body) = mesh.get("/");
    assert_eq!(status, 200, "through the gateway to a service of IPv6: {body}");
    if let Some(gateway) = mesh.ready["gateway_ipv6"].as_str() {
        let (status, body) = http_get(&format!("{gateway}/"));
        assert_eq!(status, 200, "through the gateway on ::1: {body}");
    }

    // A service gains its second family while it is used, and loses it again.
    let load = mesh.start_load("client", &["http://plain.default:9080/", "-d", "8", "-c", "4", "-r", "50"]);
    mesh.write("services.yaml", &services("  ipFamilyPolicy: PreferDualStack\n"));
    mesh.eventually("a second address", Duration::from_secs(20), || cluster_ips(&mesh, "plain").len() == 2);
    let now = cluster_ips(&mesh, "plain");
    assert_eq!(now[0], plain[0], "the first address stays");
    mesh.eventually("it is in force", Duration::from_secs(20), || {
        mesh.get_from("client", &url(&now[1], 9080), &[]).0 == 200
    });
    reaches_with_identity(&mesh, &url(&now[1], 9080));
    strict_holds(&mesh, &["plain"]);
    mesh.write("services.yaml", &services(""));
    mesh.eventually("one address", Duration::from_secs(20), || cluster_ips(&mesh, "plain") == plain);
    let report = crate::harness::report(load.wait_with_output().unwrap());
    assert_eq!(report["errors"], json!({}), "{report}");
    assert_eq!(report["status"].as_object().unwrap().keys().collect::<Vec<_>>(), ["200"], "{report}");
}

#[test]
fn a_mesh_of_ipv6_alone() {
    let mut manifests = manifests();
    let only_six = services("").replace("RequireDualStack", "PreferDualStack");
    manifests
        .iter_mut()
        .filter(|(name, _)| *name == "services.yaml")
        .for_each(|(_, y)| y.clone_from(&only_six));
    let args = ["--ip-family", "ipv6"];
    let mesh = Mesh::start(&Spec { args: &args, manifests: &manifests, ..Spec::default() });
    for pod in mesh.ready["pods"].as_array().unwrap() {
        let ips = texts(&pod["ips"]);
        assert!(ips.len() == 1 && ips[0].starts_with("fd00:10:244::"), "{pod}");
    }
    for name in ["plain", "both", "six"] {
        let ips = cluster_ips(&mesh, name);
        assert!(ips.len() == 1 && ips[0].starts_with("fd00:10:96::"), "{name} {ips:?}");
        reaches_with_identity(&mesh, &url(&ips[0], 9080));
        reaches_with_identity(&mesh, &format!("http://{name}.default:9080/"));
    }
    strict_holds(&mesh, &["plain", "both", "six"]);
    assert_eq!(mesh.get("/").0, 200, "from the host's IPv4 through the gateway");
    if let Some(gateway) = mesh.ready["gateway_ipv6"].as_str() {
        assert_eq!(http_get(&format!("{gateway}/")).0, 200);
    }
}

#[test]
fn an_ordinary_user_has_both_families() {
    let manifests = manifests();
    let mesh = Mesh::start(&Spec { user: User::Ordinary, manifests: &manifests, ..Spec::default() });
    for ip in cluster_ips(&mesh, "both") {
        reaches_with_identity(&mesh, &url(&ip, 9080));
    }
    strict_holds(&mesh, &["both", "six"]);
}

#[test]
fn a_mesh_of_ipv4_alone_refuses_what_it_cannot_give() {
    let mut manifests = manifests();
    manifests.retain(|(name, _)| !["entrance.yaml", "outside.yaml"].contains(name));
    let args = ["--ip-family", "ipv4"];
    let mesh = Mesh::start(&Spec { args: &args, manifests: &manifests, ..Spec::default() });
    assert_eq!(pod_ips(&mesh, "client-").len(), 1);
    reaches_with_identity(&mesh, "http://plain.default:9080/");
    assert_eq!(cluster_ips(&mesh, "both"), [""; 0]);
    let log = mesh.log();
    assert!(log.contains("spec.ipFamilyPolicy is RequireDualStack"), "{log}");
    assert!(log.contains("--ip-family dual"), "{log}");
    // Not even a link-local address: nothing comes in but what is captured.
    let inet6 = mesh.exec("default", "client", &["cat", "/proc/self/net/if_inet6"]).output().unwrap();
    let text = String::from_utf8_lossy(&inet6.stdout).into_owned();
    assert!(text.lines().all(|line| line.ends_with(" lo")), "{text}");
}
