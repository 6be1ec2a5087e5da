//! A proxy from a bootstrap, looked at through its administration port.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is the test failing")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tulle_proto::json::Json;
use tulle_proxy::boot::bootstrap::BootstrapError;
use tulle_proxy::boot::{self, Hooks, Plan};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Sends one request and returns status and body.
fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: never");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nVERY SECRET\n-----END PRIVATE KEY-----\n";

fn local(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

fn bootstrap(admin: u16, listener: u16, upstream: u16) -> Value {
    const TYPE: &str = "type.googleapis.com/envoy.extensions";
    let manager = json!({
        "@type": format!("{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "ingress",
        "route_config": { "name": "local", "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [
            { "match": { "path": "/direct" },
              "direct_response": { "status": 200, "body": { "inline_string": "here" } } },
            { "match": { "prefix": "/" }, "route": { "cluster": "backend" } },
        ] }] },
        "http_filters": [{ "name": "envoy.filters.http.router",
            "typed_config": { "@type": format!("{TYPE}.filters.http.router.v3.Router") } }],
    });
    let named = json!({ "socket_address": { "address": "localhost", "port_value": upstream } });
    let certificate =
        json!({ "certificate_chain": { "inline_string": "x" }, "private_key": { "inline_string": KEY } });
    let tls = json!({
        "@type": format!("{TYPE}.transport_sockets.tls.v3.UpstreamTlsContext"),
        "common_tls_context": { "tls_certificates": [certificate] },
    });
    json!({
        "node": { "id": "test", "cluster": "test" },
        "admin": { "address": local(admin) },
        "static_resources": {
            "listeners": [{
                "name": "http",
                "address": local(listener),
                "filter_chains": [{ "filters": [{
                    "name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
                }] }],
            }],
            "clusters": [
                { "name": "backend", "type": "STRICT_DNS", "dns_lookup_family": "V4_ONLY", "outlier_detection": {},
                  "load_assignment": {
                    "cluster_name": "backend",
                    "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": named } }] }],
                } },
                { "name": "secretive", "type": "STATIC", "load_assignment": { "cluster_name": "secretive" },
                  "transport_socket": { "name": "tls", "typed_config": tls } },
            ],
        },
    })
}

fn plan(document: &Value, workers: usize) -> Result<Plan, BootstrapError> {
    let encoded = Json::load().unwrap().encode("envoy.config.bootstrap.v3.Bootstrap", document);
    Plan::from_bootstrap(encoded.unwrap_or_else(|problems| panic!("{problems}")).into(), workers)
}

fn serve_upstream(listener: TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut buffer = [0; 2048];
        let _ = stream.read(&mut buffer).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nthere").unwrap();
    }
}

#[test]
fn a_bootstrap_serves_shows_itself_and_stops() {
    let (admin, listener, upstream) = (free_port(), free_port(), TcpListener::bind("127.0.0.1:0").unwrap());
    let document = bootstrap(admin, listener, upstream.local_addr().unwrap().port());
    let plan = plan(&document, 2).unwrap_or_else(|error| panic!("{error}"));
    let proxy = std::thread::spawn(move || boot::run(plan, Hooks::default()));
    std::thread::spawn(move || serve_upstream(upstream));
    let admin: SocketAddr = ([127, 0, 0, 1], admin).into();
    let listener: SocketAddr = ([127, 0, 0, 1], listener).into();
    until("the administration port opens", || TcpStream::connect(admin).is_ok());
    until("ready", || ask(admin, "GET", "/ready").0 == 200);

    assert_eq!(ask(listener, "GET", "/direct"), (200, "here".to_owned()));
    assert_eq!(ask(listener, "GET", "/"), (200, "there".to_owned()), "by a name that DNS resolved");

    let (_, stats) = ask(admin, "GET", "/stats?filter=%5Ecluster.backend.upstream_rq_2xx");
    assert_eq!(stats, "cluster.backend.upstream_rq_2xx: 1\n");
    let (_, text) = ask(admin, "GET", "/stats/prometheus");
    assert!(text.contains("envoy_server_live 1\n"), "{text}");
    assert!(
        text.contains("envoy_http_downstream_rq_total{http_conn_manager_prefix=\"ingress\"} 2\n"),
        "{text}"
    );
    let (_, clusters) = ask(admin, "GET", "/clusters");
    for line in ["health_flags::healthy", "priority::0", "circuit::closed", "ejections::0"] {
        assert!(clusters.contains(&format!("::{line}\n")), "{line}: {clusters}");
    }
    let (_, listeners) = ask(admin, "GET", "/listeners");
    assert_eq!(listeners, format!("http::{listener}\n"));

    let (status, dump) = ask(admin, "GET", "/config_dump?include_eds");
    assert_eq!(status, 200, "{dump}");
    assert!(dump.contains("\"stat_prefix\": \"ingress\""), "{dump}");
    assert!(!dump.contains("VERY SECRET"), "a key is shown");

    assert_eq!(ask(admin, "GET", "/quitquitquit").0, 405, "must be asked by POST");
    assert_eq!(ask(admin, "GET", "/nonsense").0, 404);
    assert_eq!(ask(admin, "POST", "/quitquitquit").0, 200);
    proxy.join().unwrap().unwrap();
    until("the listener closes", || TcpStream::connect(listener).is_err());
}

#[test]
fn what_is_not_supported_is_refused_by_its_path() {
    let mut document = bootstrap(1, 2, 3);
    let check = json!({ "timeout": "1s", "interval": "1s", "healthy_threshold": 1, "unhealthy_threshold": 1,
        "alt_port": 80, "tcp_health_check": {} });
    document["static_resources"]["clusters"][0]["health_checks"] = json!([check]);
    let error = plan(&document, 1).unwrap_err().to_string();
    assert!(error.contains("static_resources.clusters[0].health_checks[0].alt_port"), "{error}");
}
