//! PeerAuthentication at each level, DestinationRules, and kinds of clients: some 200 combinations, each as a connection between real
//! proxies that run what the control plane would send them, against a table written from the documentation.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "a test; a failed unwrap is a failed test"
)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use serde_json::{Value, json};
use tulle_base::Locality;
use tulle_engine::compile::{self, NoFiles};
use tulle_identity::{Certificate, Secrets, TrustBundle};
use tulle_mesh::{Change, MeshConfig, NsName, Snapshot};
use tulle_proto::Message;
use tulle_proto::envoy::{
    cluster::{Cluster, cluster},
    core::{Address, SocketAddress, address, socket_address::PortSpecifier},
    endpoint::{
        ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
    },
    listener::Listener,
    route::RouteConfiguration,
};
use tulle_proxy::worker::{Changes, Delta, Fleet, Settings};
use tulle_translate::{Families, Kind, Proxy, Resource, View};

/// A mode as it is written; `None` is no policy.
type Mode = Option<&'static str>;

/// Policies: of the mesh, of the namespace, of the workload with those of its ports (HTTP, TCP).
#[derive(Clone, Copy, Debug)]
struct Policies {
    mesh: Mode,
    namespace: Mode,
    workload: Option<(&'static str, Mode, Mode)>,
}

const fn of(mesh: Mode, namespace: Mode, workload: Option<(&'static str, Mode, Mode)>) -> Policies {
    Policies { mesh, namespace, workload }
}

const STRICT: Mode = Some("STRICT");
const PERMISSIVE: Mode = Some("PERMISSIVE");
const DISABLE: Mode = Some("DISABLE");
const UNSET: Mode = Some("UNSET");

const POLICIES: &[Policies] = &[
    of(None, None, None),
    of(STRICT, None, None),
    of(DISABLE, None, None),
    of(STRICT, PERMISSIVE, None),
    of(PERMISSIVE, STRICT, None),
    of(STRICT, UNSET, None),
    of(None, STRICT, Some(("DISABLE", None, None))),
    of(None, DISABLE, Some(("STRICT", None, None))),
    of(None, STRICT, Some(("UNSET", DISABLE, None))),
    of(None, None, Some(("STRICT", PERMISSIVE, None))),
    of(None, None, Some(("PERMISSIVE", STRICT, DISABLE))),
    of(None, None, Some(("DISABLE", None, STRICT))),
    of(None, None, Some(("UNSET", STRICT, UNSET))),
    of(DISABLE, None, Some(("UNSET", UNSET, PERMISSIVE))),
    of(STRICT, None, Some(("UNSET", PERMISSIVE, DISABLE))),
];

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Client {
    /// A sidecar under a DestinationRule with this TLS mode; `None` is none (auto mTLS).
    Sidecar(Mode),
    /// The same, where the rule says DISABLE and ISTIO_MUTUAL for each port.
    PortLevel,
    /// A pod without sidecar.
    Plain,
    /// A sidecar whose certificate another authority signed.
    Foreign,
}

const CLIENTS: &[Client] = &[
    Client::Sidecar(None),
    Client::Sidecar(DISABLE),
    Client::Sidecar(Some("ISTIO_MUTUAL")),
    Client::Sidecar(Some("SIMPLE")),
    Client::PortLevel,
    Client::Plain,
    Client::Foreign,
];

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// It passes by mutual TLS.
    Mutual,
    /// It passes in plain text.
    Plain,
    /// It does not pass.
    Refused,
    /// The TLS of the client reaches the application, which does not speak it.
    AppSeesTls,
}

/// The mode of a port: port beats workload beats namespace beats mesh; UNSET inherits; PERMISSIVE by default.
fn mode(policies: &Policies, http: bool) -> &'static str {
    let (workload, port) = match policies.workload {
        Some((workload, of_http, of_tcp)) => (Some(workload), if http { of_http } else { of_tcp }),
        None => (None, None),
    };
    let levels = [port, workload, policies.namespace, policies.mesh];
    levels.into_iter().flatten().find(|m| *m != "UNSET").unwrap_or("PERMISSIVE")
}

/// The table.
fn wanted(mode: &str, client: Client, http: bool) -> Outcome {
    let passes_tls = if http { Outcome::Refused } else { Outcome::AppSeesTls };
    let auto = if mode == "DISABLE" { "plain" } else { "mutual" };
    let wire = match client {
        Client::Sidecar(None) => auto,
        Client::Plain | Client::Sidecar(Some("DISABLE")) => "plain",
        Client::Sidecar(Some("SIMPLE")) => "simple",
        Client::Foreign => "foreign",
        _ => "mutual",
    };
    match (mode, wire) {
        ("STRICT" | "PERMISSIVE", "mutual") => Outcome::Mutual,
        ("PERMISSIVE" | "DISABLE", "plain") => Outcome::Plain,
        // TLS that is not the mesh's own is the application's business, on ports that are not HTTP.
        ("PERMISSIVE", "simple") | ("DISABLE", _) => passes_tls,
        _ => Outcome::Refused,
    }
}

#[test]
fn every_level_rule_and_client_is_as_documented() {
    let app = App::start();
    let (ca, foreign) = (Authority::new(), Authority::new());
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for policies in POLICIES {
        let ports = [reserve(), reserve()];
        let numbers = [ports[0].1, ports[1].1];
        let server = serve(policies, numbers, &app, &ca);
        for client in CLIENTS {
            let mut sidecar = match client {
                Client::Plain => None,
                Client::Foreign => Some(sidecar(policies, *client, numbers, foreign.settings(CLIENT, &ca))),
                _ => Some(sidecar(policies, *client, numbers, ca.settings(CLIENT, &ca))),
            };
            for http in [true, false] {
                let direct = SocketAddr::from(([127, 0, 0, 1], numbers[usize::from(!http)]));
                let at = sidecar
                    .as_ref()
                    .map_or(direct, |fleet| fleet.address_of(if http { "http" } else { "tcp" }).unwrap());
                let (want, got) =
                    (wanted(mode(policies, http), *client, http), observe(&app, &server, at, http));
                tried += 1;
                if want != got {
                    wrong.push(format!("{policies:?} {client:?} http {http}: {got:?}, not {want:?}"));
                }
            }
            if let Some(fleet) = sidecar.take() {
                fleet.stop();
            }
        }
        server.stop();
    }
    eprintln!("{tried} combinations");
    assert!(tried >= 200 && wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
}

const SERVER: &str = "spiffe://cluster.local/ns/shop/sa/web";
const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/client";

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate of this authority, trusting `trusted`.
    fn settings(&self, uri: &str, trusted: &Self) -> Settings {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        let cert = Certificate::from_pem(cert.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let secrets = Secrets::default();
        secrets.certificate("default").set(Arc::new(cert));
        secrets.bundle("ROOTCA").set(Arc::new(TrustBundle::from_pem(trusted.0.pem().as_bytes()).unwrap()));
        Settings { secrets, ..Settings::default() }
    }
}

/// An application: answers HTTP with the request that it got, other bytes with `pong`, and notes TLS hellos.
struct App {
    address: SocketAddr,
    hellos: Arc<Mutex<usize>>,
}

impl App {
    fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, hellos) = (socket.local_addr().unwrap(), Arc::new(Mutex::new(0)));
        let seen = Arc::clone(&hellos);
        std::thread::spawn(move || {
            for mut stream in socket.incoming().flatten() {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || {
                    let mut bytes = [0; 8192];
                    while let Ok(count @ 1..) = stream.read(&mut bytes) {
                        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                        let answer = match bytes[0] {
                            0x16 => {
                                *seen.lock().unwrap() += 1;
                                return;
                            }
                            b'G' => {
                                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())
                            }
                            _ => "pong".to_owned(),
                        };
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, hellos }
    }
}

/// A port that nobody else gets while the socket lives, and that a socket with SO_REUSEPORT may listen on.
fn reserve() -> (socket2::Socket, u16) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

/// One request or message to `at`, and what came of it.
fn observe(app: &App, server: &Fleet, at: SocketAddr, http: bool) -> Outcome {
    let handshakes = || -> u64 {
        let stats = block_on(server.remote().stats()).envoy_stats();
        stats
            .iter()
            .filter(|(name, _)| name.ends_with("ssl.handshake") && name.starts_with("listener"))
            .map(|(_, n)| n)
            .sum()
    };
    let (before, hellos) = (handshakes(), *app.hellos.lock().unwrap());
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let said = if http { "GET / HTTP/1.1\r\nHost: web.shop\r\nConnection: close\r\n\r\n" } else { "ping" };
    let mut answer = vec![0; 8192];
    let count = match stream.write_all(said.as_bytes()) {
        Ok(()) => stream.read(&mut answer).unwrap_or(0),
        Err(_) => 0,
    };
    let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
    let passed = answer.starts_with("HTTP/1.1 200") || answer == "pong";
    let mutual = handshakes() > before;
    if http && passed {
        assert_eq!(answer.to_lowercase().contains(&format!("uri={CLIENT}")), mutual, "{answer}");
    }
    match (passed, mutual) {
        (true, true) => Outcome::Mutual,
        (true, false) => Outcome::Plain,
        _ if *app.hellos.lock().unwrap() > hellos => Outcome::AppSeesTls,
        _ => Outcome::Refused,
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn snapshot(policies: &Policies, client: Client, [http, tcp]: [u16; 2]) -> Snapshot {
    let pod = |name: &str, ip: &str| {
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "shop",
                "labels": { "app": name, "security.istio.io/tlsMode": "istio" } },
            "spec": { "serviceAccountName": name, "containers": [{ "name": "c", "image": "x" }] },
            "status": { "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }], "conditions": [{ "type": "Ready", "status": "True" }] } })
    };
    let mut all = vec![
        pod("web", "127.0.0.1"),
        pod("client", "127.0.0.2"),
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web", "namespace": "shop" },
            "spec": { "clusterIP": "10.96.0.30", "selector": { "app": "web" }, "ports": [
                { "port": 80, "name": "http", "targetPort": http }, { "port": 9000, "name": "tcp", "targetPort": tcp }] } }),
        json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": "web-1", "namespace": "shop", "labels": { "kubernetes.io/service-name": "web" } },
            "ports": [{ "name": "http", "port": http, "protocol": "TCP" }, { "name": "tcp", "port": tcp, "protocol": "TCP" }],
            "endpoints": [{ "addresses": ["127.0.0.1"], "conditions": { "ready": true },
                "targetRef": { "kind": "Pod", "name": "web", "namespace": "shop" } }] }),
    ];
    let peer = |namespace: &str, name: &str, spec: Value| {
        json!({ "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
            "metadata": { "name": name, "namespace": namespace }, "spec": spec })
    };
    for (namespace, mode) in [("istio-system", policies.mesh), ("shop", policies.namespace)] {
        all.extend(mode.map(|mode| peer(namespace, "default", json!({ "mtls": { "mode": mode } }))));
    }
    if let Some((mode, of_http, of_tcp)) = policies.workload {
        let mut ports = serde_json::Map::new();
        for (port, mode) in [(http, of_http), (tcp, of_tcp)] {
            ports.extend(mode.map(|mode| (port.to_string(), json!({ "mode": mode }))));
        }
        let selector = json!({ "matchLabels": { "app": "web" } });
        let mut spec = json!({ "selector": selector, "mtls": { "mode": mode } });
        if !ports.is_empty() {
            spec["portLevelMtls"] = ports.into();
        }
        all.push(peer("shop", "web", spec));
    }
    // Neither of these is for this workload: a selector counts in its own namespace alone, and this one selects another.
    let other =
        |app: &str| json!({ "selector": { "matchLabels": { "app": app } }, "mtls": { "mode": "STRICT" } });
    all.extend([peer("istio-system", "selected", other("web")), peer("shop", "other", other("other"))]);
    let tls = |mode: &str| json!({ "mode": mode, "insecureSkipVerify": mode == "SIMPLE" });
    let policy = match client {
        Client::Sidecar(Some(mode)) => Some(json!({ "tls": tls(mode) })),
        Client::Foreign => Some(json!({ "tls": tls("ISTIO_MUTUAL") })),
        Client::PortLevel => {
            let port = |number: u16| json!({ "port": { "number": number }, "tls": tls("ISTIO_MUTUAL") });
            Some(json!({ "tls": tls("DISABLE"), "portLevelSettings": [port(80), port(9000)] }))
        }
        Client::Sidecar(None) | Client::Plain => None,
    };
    all.extend(policy.map(|policy| {
        json!({ "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": { "name": "web", "namespace": "shop" },
            "spec": { "host": "web.shop.svc.cluster.local", "trafficPolicy": policy } })
    }));
    let put = |document: &Value| {
        Change::Put(Arc::new(
            tulle_api::decode_object(document).unwrap_or_else(|e| panic!("{e:?}\n{document:#}")),
        ))
    };
    let changes: Vec<Change> = all.iter().map(put).collect();
    Snapshot::new(MeshConfig { access_log_file: String::new(), ..MeshConfig::default() }).apply(&changes).0
}

fn proxy(name: &str, ip: &str) -> Proxy {
    Proxy {
        kind: Kind::Sidecar,
        id: format!("sidecar~{ip}~{name}.shop~shop.svc.cluster.local"),
        ip: ip.into(),
        families: Families::V4,
        pod: NsName::new("shop", name),
        labels: [("app".to_owned(), name.to_owned())].into(),
        service_account: name.into(),
        workload: name.into(),
        cluster_id: "Kubernetes".into(),
        network: String::new(),
        locality: Locality::default(),
        metadata: Default::default(),
        node: String::new(),
        stock_envoy: false,
        stands_for: None,
    }
}

fn message<M: Message>(all: &[Resource], name: &str) -> M {
    let found = all.iter().find(|r| &*r.name == name).unwrap_or_else(|| {
        panic!("no {name} among {:?}", all.iter().map(|r| r.name.to_string()).collect::<Vec<_>>())
    });
    M::from_wire(&found.body).unwrap()
}

fn address(at: SocketAddr) -> Address {
    let socket = SocketAddress {
        address: at.ip().to_string(),
        port_specifier: Some(PortSpecifier::PortValue(at.port().into())),
        ..SocketAddress::default()
    };
    Address { address: Some(address::Address::SocketAddress(socket)) }
}

fn to_app(name: &str, app: SocketAddr) -> Cluster {
    let endpoint = Endpoint { address: Some(address(app)), ..Endpoint::default() };
    let endpoint =
        LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(endpoint)), ..LbEndpoint::default() };
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(cluster::ClusterDiscoveryType::Type(
            cluster::DiscoveryType::Static as i32,
        )),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: name.to_owned(),
            endpoints: vec![LocalityLbEndpoints { lb_endpoints: vec![endpoint], ..Default::default() }],
            ..ClusterLoadAssignment::default()
        }),
        ..Cluster::default()
    }
}

fn delta<T: ?Sized>(all: Vec<(Arc<str>, Arc<T>)>) -> Delta<Arc<T>> {
    Delta { changed: all, removed: Vec::new() }
}

fn start(settings: Settings, listeners: &[Listener], clusters: &[Cluster], more: Changes) -> Fleet {
    let listeners =
        listeners.iter().map(|l| compile::listener(l, &NoFiles).unwrap_or_else(|e| panic!("{e}")).0);
    let clusters = clusters.iter().map(|c| compile::cluster(c, &NoFiles).unwrap_or_else(|e| panic!("{e}")).0);
    let changes = Changes {
        listeners: delta(listeners.map(|l| (Arc::clone(&l.name), l)).collect()),
        clusters: delta(clusters.map(|c| (Arc::clone(&c.name), c)).collect()),
        ..more
    };
    let mut fleet = Fleet::start(settings, Vec::new()).unwrap();
    fleet.apply(changes).unwrap();
    block_on(fleet.remote().vitals());
    fleet
}

/// The workload's proxy: what comes in at its two ports, each on a socket of its own in place of the redirection.
fn serve(policies: &Policies, ports: [u16; 2], app: &App, ca: &Authority) -> Fleet {
    let snapshot = snapshot(policies, Client::Plain, ports);
    let proxy = proxy("web", "127.0.0.1");
    let resources = tulle_translate::listeners(&snapshot, &proxy, &View::of(&snapshot, &proxy));
    let inbound: Listener = message(&resources, "virtualInbound");
    let at = |port: u16| Listener {
        name: format!("in-{port}"),
        address: Some(address(([127, 0, 0, 1], port).into())),
        ..inbound.clone()
    };
    let clusters = ports.map(|port| to_app(&format!("inbound|{port}||"), app.address));
    start(ca.settings(SERVER, ca), &ports.map(at), &clusters, Changes::default())
}

/// The client's proxy: what goes out to the two ports of the service, on sockets of loopback.
fn sidecar(policies: &Policies, client: Client, ports: [u16; 2], settings: Settings) -> Fleet {
    let snapshot = snapshot(policies, client, ports);
    let proxy = proxy("client", "127.0.0.2");
    let view = View::of(&snapshot, &proxy);
    let listeners = tulle_translate::listeners(&snapshot, &proxy, &view);
    let clusters = tulle_translate::clusters(&snapshot, &proxy, &view);
    let at = |written: &str, name: &str| Listener {
        name: name.to_owned(),
        address: Some(address(([127, 0, 0, 1], 0).into())),
        bind_to_port: None,
        ..message(&listeners, written)
    };
    let names = ["outbound|80||web.shop.svc.cluster.local", "outbound|9000||web.shop.svc.cluster.local"];
    let endpoints = names.map(|name| {
        let resource = tulle_translate::endpoints(&snapshot, &view, name).unwrap();
        let message: ClusterLoadAssignment = ClusterLoadAssignment::from_wire(&resource.body).unwrap();
        (Arc::from(name), compile::endpoints(&message).unwrap_or_else(|e| panic!("{e}")).0)
    });
    let routes = tulle_translate::routes(&snapshot, &proxy, &view, "80").unwrap();
    let routes = RouteConfiguration::from_wire(&routes.body).unwrap();
    let routes = compile::routes(&routes, &NoFiles).unwrap_or_else(|e| panic!("{e}")).0;
    let more = Changes {
        endpoints: delta(endpoints.into()),
        routes: delta(vec![(Arc::from("80"), routes)]),
        ..Changes::default()
    };
    let listeners = [at("0.0.0.0_80", "http"), at("10.96.0.30_9000", "tcp")];
    start(settings, &listeners, &names.map(|name| message::<Cluster>(&clusters, name)), more)
}
