//! A stock Envoy, programmed by this control plane. Run it in a network namespace of its own, since the listeners have fixed ports:
//!
//! `ENVOY=/path/to/envoy unshare -rn sh -c 'ip link set lo up && cargo test -p tulle-control --test stock_envoy'`
//!
//! Without `ENVOY`, or with an empty one, there is nothing to test and the test passes.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may stop at the first surprise")]

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tulle_api::parse_manifests;
use tulle_control::{Config, ControlPlane};
use tulle_proto::envoy::core::{DataSource, data_source};
use tulle_proto::envoy::tls::{CertificateValidationContext, Secret, TlsCertificate, secret};
use tulle_proto::type_url;
use tulle_store::{Memory, Store};
use tulle_xds::server::{
    AdsService, Catalog, Change, Hub, HubEvent, Layers, Limits, StreamOptions, TypeConfig,
};

const MESH: &str = r"
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  clusterIP: 10.96.0.10
  selector: {app: cart}
  ports: [{name: http, port: 8000, targetPort: 8080}, {name: tcp, port: 9000}, {port: 9100, name: guess}]
---
apiVersion: v1
kind: Pod
metadata: {name: cart-0, namespace: shop, labels: {app: cart}}
spec:
  serviceAccountName: cart
  containers: [{name: cart, image: cart, ports: [{containerPort: 8080}]}]
status: {phase: Running, podIP: 10.244.0.5, podIPs: [{ip: 10.244.0.5}], conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: cart-1, namespace: shop, labels: {kubernetes.io/service-name: cart}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: tcp, port: 9000}, {name: guess, port: 9100}]
endpoints: [{addresses: [10.244.0.5], conditions: {ready: true}, targetRef: {kind: Pod, name: cart-0, namespace: shop}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http: [{match: [{uri: {prefix: /slow}}], fault: {delay: {fixedDelay: 1s, percentage: {value: 10}}}, route: [{destination: {host: cart}}], timeout: 5s, retries: {attempts: 2}}, {route: [{destination: {host: cart}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart, namespace: shop}
spec:
  host: cart
  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {consecutive5xxErrors: 3}, connectionPool: {tcp: {maxConnections: 10}}}
  subsets: [{name: v1, labels: {version: v1}}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.11, selector: {app: cart}, ports: [{name: http, port: 8000}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: web}]
  rules:
  - {matches: [{path: {value: /a.b}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}], backendRefs: [{name: web, port: 8000}]}
  - {matches: [{path: {value: /old}}], filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}
  - {timeouts: {backendRequest: 1s}, backendRefs: [{name: web, port: 8000}, {kind: Other, name: web, port: 8000}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: cart, namespace: shop}
spec:
  rules: [{from: [{source: {namespaces: [shop]}}], to: [{operation: {methods: [GET], paths: [/a*]}}]}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion: policy.tulle.dev/v1alpha1
kind: RateLimit
metadata: {name: cart, namespace: shop}
spec:
  response: {headers: true}
  limits:
  - {name: all, requests: 1000000, scope: MESH}
  - name: callers
    match: {paths: [/a*], methods: [GET], hosts: ['*.example.org'], headers: {x-app: '*'}}
    per: [{attribute: PRINCIPAL}, {header: x-tenant-id}, {queryParameter: q}]
    requests: 10
    overrides: [{values: ['*', gold, '*'], requests: 20}]
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: cart, namespace: shop}
spec:
  configPatches:
  - applyTo: NETWORK_FILTER
    match: {listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}}
    patch:
      operation: MERGE
      value:
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stream_idle_timeout: 600s
  - applyTo: CLUSTER
    match: {context: SIDECAR_OUTBOUND}
    patch: {operation: MERGE, value: {upstream_connection_options: {tcp_keepalive: {keepalive_time: 300}}}}
  - applyTo: HTTP_ROUTE
    match: {context: SIDECAR_OUTBOUND, routeConfiguration: {portNumber: 8000}}
    patch: {operation: INSERT_FIRST, value: {name: first, match: {path: /first}, direct_response: {status: 204}}}
";

struct Stock(Child);

impl Drop for Stock {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn bootstrap(xds: SocketAddr, sds: SocketAddr, kind: &str) -> String {
    let api = match kind {
        "delta" => "DELTA_GRPC",
        _ => "GRPC",
    };
    format!(
        r#"{{
  "node": {{"id": "sidecar~10.244.0.5~cart-0.shop~shop.svc.cluster.local", "cluster": "cart.shop",
    "metadata": {{"NAMESPACE": "shop", "SERVICE_ACCOUNT": "cart", "LABELS": {{"app": "cart"}}}}}},
  "admin": {{"address": {{"socket_address": {{"address": "127.0.0.1", "port_value": 15000}}}}}},
  "dynamic_resources": {{
    "ads_config": {{"api_type": "{api}", "transport_api_version": "V3", "set_node_on_first_message_only": true,
      "grpc_services": [{{"envoy_grpc": {{"cluster_name": "xds-grpc"}}}}]}},
    "cds_config": {{"ads": {{}}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}},
    "lds_config": {{"ads": {{}}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}}
  }},
  "static_resources": {{"clusters": [
    {{"name": "xds-grpc", "type": "STATIC", "connect_timeout": "1s",
      "typed_extension_protocol_options": {{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {{
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {{"http2_protocol_options": {{}}}}}}}},
      "load_assignment": {{"cluster_name": "xds-grpc", "endpoints": [{{"lb_endpoints": [{{"endpoint": {{"address":
        {{"socket_address": {{"address": "{}", "port_value": {}}}}}}}}}]}}]}}}},
    {{"name": "sds-grpc", "type": "STATIC", "connect_timeout": "1s",
      "typed_extension_protocol_options": {{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {{
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {{"http2_protocol_options": {{}}}}}}}},
      "load_assignment": {{"cluster_name": "sds-grpc", "endpoints": [{{"lb_endpoints": [{{"endpoint": {{"address":
        {{"socket_address": {{"address": "{}", "port_value": {}}}}}}}}}]}}]}}}}
  ]}}
}}"#,
        xds.ip(),
        xds.port(),
        sds.ip(),
        sds.port()
    )
}

async fn admin(path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect("127.0.0.1:15000").await else { return String::new() };
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let mut text = Vec::new();
    // Whatever goes wrong here is seen in the text.
    let _ = stream.write_all(request.as_bytes()).await;
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

fn stat(stats: &str, name: &str) -> u64 {
    let line = stats.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
    line.and_then(|v| v.trim().parse().ok()).unwrap_or(0)
}

async fn put(store: &Memory, yaml: &str) {
    let (objects, diagnostics) = parse_manifests("test.yaml", yaml.as_bytes());
    assert!(!diagnostics.iter().any(|d| d.severity == tulle_base::Severity::Error), "{diagnostics:?}");
    for object in objects {
        store.put(object).await.unwrap();
    }
}

/// What stands beside a stock Envoy and answers for its secrets: the server of this project, under SDS' path.
async fn secrets(root_pem: &str) -> SocketAddr {
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap().self_signed(&key).unwrap();
    let text = |s: String| DataSource {
        specifier: Some(data_source::Specifier::InlineString(s)),
        ..Default::default()
    };
    let certificate = TlsCertificate {
        certificate_chain: Some(text(own.pem())),
        private_key: Some(text(key.serialize_pem())),
        ..Default::default()
    };
    let roots =
        CertificateValidationContext { trusted_ca: Some(text(root_pem.to_owned())), ..Default::default() };
    let catalog = Catalog::new(vec![TypeConfig::independent(type_url::SECRET)]);
    let (hub, mut events) = Hub::start(catalog, Limits::default(), 10, "sds");
    let set = hub.create_set(hub.catalog().find(type_url::SECRET).unwrap());
    for (name, kind) in [
        ("default", secret::Type::TlsCertificate(certificate)),
        ("ROOTCA", secret::Type::ValidationContext(roots)),
    ] {
        let secret = Secret { name: name.into(), r#type: Some(kind) };
        let made = tulle_xds::Resource::new(type_url::SECRET, name, secret.encode_to_vec().into());
        hub.update(set, vec![Change::Put(Arc::new(made))], std::time::Instant::now());
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = AdsService::new(&hub);
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let HubEvent::Opening { stream, protocol, .. } = event {
                let options = StreamOptions { protocol, rewarm: false };
                hub.admit(stream, options, vec![Layers::from([set])]);
            }
        }
    });
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let service = service.clone();
            let answer = service_fn(move |mut request: http::Request<Incoming>| {
                *request.uri_mut() = http::Uri::from_static(tulle_xds::wire::SOTW_PATH);
                let service = service.clone();
                async move {
                    Ok::<_, std::convert::Infallible>(service.call(request.map(tonic::body::Body::new)).await)
                }
            });
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(socket), answer),
            );
        }
    });
    address
}

/// A control plane over a store, and a stock Envoy that has its first listeners from it.
struct Bench {
    _dir: tempfile::TempDir,
    store: Arc<Memory>,
    control: ControlPlane,
    stock: Stock,
    log: std::path::PathBuf,
    /// What the Envoy counted.
    stats: String,
}

async fn start(envoy: &str, kind: &str) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Memory::new());
    put(&store, MESH).await;
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut config = Config::new(dir.path().to_owned(), key.public_key_pem());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    (config.plain, config.secure, config.monitoring) = (any, any, Vec::new());
    let control = ControlPlane::start(config, store.clone()).await.unwrap();
    let file = dir.path().join("bootstrap.json");
    let sds = secrets(&control.root_pem).await;
    std::fs::write(&file, bootstrap(control.plain, sds, kind)).unwrap();
    let log = dir.path().join("log");
    let child = Command::new(envoy)
        .args(["--concurrency", "1", "--use-dynamic-base-id", "-l", "info", "-c"])
        .arg(&file)
        .arg("--log-path")
        .arg(&log)
        .spawn()
        .unwrap();
    let stock = Stock(child);
    let mut stats = String::new();
    for _ in 0..150 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        stats = admin("/stats").await;
        if stat(&stats, "listener_manager.lds.update_success") > 0
            && stat(&stats, "listener_manager.total_listeners_active") > 2
        {
            break;
        }
    }
    Bench { _dir: dir, store, control, stock, log, stats }
}

async fn program(envoy: &str, kind: &str) {
    let Bench { _dir, store, control, stock, log, stats } = start(envoy, kind).await;
    let log_text = std::fs::read_to_string(&log).unwrap_or_default();
    let trouble: Vec<&str> = log_text
        .lines()
        .filter(|l| l.contains("[warning]") || l.contains("[error]") || l.contains("[critical]"))
        .collect();
    let dump = admin("/config_dump?include_eds").await;
    let refused = stats.lines().filter(|l| l.contains(".rds.") && l.contains("update_rejected"));
    let refused: Vec<&str> = refused.filter(|l| !l.ends_with(": 0")).collect();
    assert!(refused.is_empty(), "{kind}: {refused:?}\n{}", trouble.join("\n"));
    for rejected in ["cluster_manager.cds.update_rejected", "listener_manager.lds.update_rejected"] {
        assert_eq!(stat(&stats, rejected), 0, "{kind}: {rejected}\n{}", trouble.join("\n"));
    }
    assert!(stat(&stats, "listener_manager.total_listeners_active") > 2, "{kind}\n{}", trouble.join("\n"));
    for name in [
        "outbound|8000||cart.shop.svc.cluster.local",
        "virtualInbound",
        "10.244.0.5",
        "\"8000\"",
        "InvalidBackend",
    ] {
        assert!(dump.contains(name), "{kind}: {name} is not in the dump");
    }
    // A change reaches it.
    put(
        &store,
        "apiVersion: v1\nkind: Service\nmetadata: {name: late, namespace: shop}\n\
         spec: {clusterIP: 10.96.0.12, selector: {app: late}, ports: [{name: http, port: 8100}]}\n",
    )
    .await;
    let mut found = false;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let dump = admin("/config_dump").await;
        found = dump.contains("outbound|8100||late.shop") && dump.contains("0.0.0.0_8100");
        if found {
            break;
        }
    }
    assert!(found, "{kind}: the new service does not arrive");
    // A changed cluster warms until its endpoints come again, and does not ask for them.
    let changed = MESH.split("---").find(|d| d.contains("DestinationRule")).unwrap();
    put(&store, &changed.replace("maxConnections: 10", "maxConnections: 4711")).await;
    let mut warm = false;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let dump = admin("/config_dump?resource=dynamic_active_clusters").await;
        warm = dump.contains("4711") && stat(&admin("/stats").await, "cluster_manager.warming_clusters") == 0;
        if warm {
            break;
        }
    }
    assert!(warm, "{kind}: a changed cluster stays without endpoints");
    eprintln!("{kind}: {} warnings\n{}", trouble.len(), trouble.join("\n"));
    drop(stock);
    control.stop().await;
}

/// A stock Envoy refuses long regular expressions (`re2.max_program_size.error_level`), which are fine elsewhere: the routes
/// that have one are kept from it, and everything else in the same xDS resource goes on.
async fn refuse(envoy: &str, kind: &str) {
    let Bench { _dir, store, control, stock, log, stats: _ } = start(envoy, kind).await;
    let pay = |tag: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: pay, namespace: shop}}\n\
             spec: {{clusterIP: 10.96.0.11, selector: {{app: pay}}, ports: [{{name: http, port: 8000}}]}}\n---\n\
             apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: pay, namespace: shop}}\n\
             spec:\n  hosts: [pay]\n  http: [{{headers: {{request: {{set: {{x-tag: {tag}}}}}}}, route: [{{destination: {{host: pay}}}}]}}]\n"
        )
    };
    let cart = |path: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: cart, namespace: shop}}\n\
             spec:\n  hosts: [cart]\n  http: [{{match: [{{uri: {{regex: {path:?}}}}}], route: [{{destination: {{host: cart}}}}]}}]\n"
        )
    };
    put(&store, &pay("tag-one")).await;
    put(&store, &cart("/short")).await;
    dump(kind, |d| d.contains("tag-one") && d.contains("/short")).await;
    put(&store, &cart("/long/([a-z]{300}|[0-9]{300})")).await;
    let reference = tulle_base::ResourceRef::new("networking.istio.io", "VirtualService", "shop", "cart");
    let mut status = String::new();
    for _ in 0..100 {
        status = store.get_now(&reference).unwrap().status.clone().unwrap_or_default().to_string();
        if status.contains("Refused") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let told =
        status.contains("shop/cart-0") && status.contains("rds 8000") && status.contains("program size");
    assert!(told, "{kind}: {status}\n{}", std::fs::read_to_string(&log).unwrap_or_default());
    put(&store, &pay("tag-two")).await;
    dump(kind, |d| d.contains("tag-two") && d.contains("/short") && !d.contains("/long")).await;
    put(&store, &cart("/mended")).await;
    dump(kind, |d| d.contains("tag-two") && d.contains("/mended")).await;
    drop(stock);
    control.stop().await;
}

/// Waits until the dump of what is in force is as `done` asks.
async fn dump(kind: &str, done: impl Fn(&str) -> bool) {
    let mut dump = String::new();
    for _ in 0..100 {
        dump = admin("/config_dump?resource=dynamic_route_configs").await;
        if done(&dump) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{kind}: {dump}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stock_envoy_takes_everything_but_what_it_refuses() {
    let Some(envoy) = std::env::var("ENVOY").ok().filter(|e| !e.is_empty()) else { return };
    program(&envoy, "delta").await;
    program(&envoy, "sotw").await;
    refuse(&envoy, "delta").await;
    refuse(&envoy, "sotw").await;
}
