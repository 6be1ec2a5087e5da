//! A stock Envoy that gets its certificates from us by SDS, and talks mutual TLS with our proxy, both ways.
//!
//! `ENVOY=/path/to/envoy cargo test -p tulle-proxy --test stock_envoy`
//!
//! Without `ENVOY`, or with an empty one, there is nothing to test and the test passes.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod authority;
mod common;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use authority::{MeshCa, Workload};
use common::{Backend, Proxy, any_host, cluster, eventually, get, http, listener, tls};
use serde_json::{Value, json};

struct Stock(Child);

impl Drop for Stock {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// What an Envoy is told of TLS: names of secrets, and where they are served.
fn context(kind: &str, delta: bool, san: &str) -> Value {
    let api = if delta { "DELTA_GRPC" } else { "GRPC" };
    let source = json!({ "resource_api_version": "V3", "api_config_source": {
        "api_type": api, "transport_api_version": "V3",
        "grpc_services": [{ "envoy_grpc": { "cluster_name": "sds" } }],
    } });
    let mut config = json!({
        "@type": format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}"),
        "common_tls_context": {
            "tls_params": { "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3" },
            "alpn_protocols": ["http/1.1"],
            "tls_certificate_sds_secret_configs": [{ "name": "default", "sds_config": source }],
            "combined_validation_context": {
                "default_validation_context": {
                    "match_typed_subject_alt_names": [{ "san_type": "URI", "matcher": { "exact": san } }],
                },
                "validation_context_sds_secret_config": { "name": "ROOTCA", "sds_config": source },
            },
        },
    });
    if kind.starts_with("Down") {
        config["require_client_certificate"] = json!(true);
    }
    json!({ "name": "envoy.transport_sockets.tls", "typed_config": config })
}

fn manager(name: &str, cluster: &str) -> Value {
    json!([{ "name": "envoy.filters.network.http_connection_manager", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": { "uri": true },
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": cluster } }] }] },
        "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }],
    } }])
}

struct Places {
    admin: SocketAddr,
    inbound: SocketAddr,
    outbound: SocketAddr,
}

fn bootstrap(
    places: &Places,
    socket: &Path,
    delta: bool,
    app: SocketAddr,
    cart: SocketAddr,
    cart_id: &str,
) -> Value {
    let at = |address: SocketAddr| json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } });
    let to = |name: &str, address: Value| {
        json!({ "name": name, "type": "STATIC", "connect_timeout": "2s", "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }] } })
    };
    let mut sds = to("sds", json!({ "pipe": { "path": socket } }));
    sds["typed_extension_protocol_options"] = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": { "http2_protocol_options": {} } } });
    let mut to_cart = to("cart", at(cart));
    to_cart["transport_socket"] = context("UpstreamTlsContext", delta, cart_id);
    json!({
        "node": { "id": "web", "cluster": "web" },
        "admin": { "address": at(places.admin) },
        "static_resources": {
            "listeners": [
                { "name": "in", "address": at(places.inbound), "filter_chains": [{
                    "transport_socket": context("DownstreamTlsContext", delta, cart_id),
                    "filters": manager("in", "app") }] },
                { "name": "out", "address": at(places.outbound),
                    "filter_chains": [{ "filters": manager("out", "cart") }] },
            ],
            "clusters": [sds, to("app", at(app)), to_cart],
        },
    })
}

/// Our proxy of `cart`: in from the mesh to `app`, and out to `web`.
fn ours(cart: &Workload, app: &Backend, web: SocketAddr, web_id: &str) -> Proxy {
    let to = |name: &str| any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": name } }]));
    let shown = json!({
        "forward_client_cert_details": "SANITIZE_SET", "set_current_client_cert_details": { "uri": true },
    });
    let mut inbound = listener("in", http(to("app"), shown));
    inbound["filter_chains"][0]["transport_socket"] = tls::server_tls(&["http/1.1"]);
    let out = listener("out", http(to("web"), json!({})));
    let web = tls::over_tls(cluster("web", &[web]), &["http/1.1"], web_id);
    let resources = json!({ "listeners": [inbound, out], "clusters": [cluster("app", &[app.address]), web] });
    Proxy::with(resources, cart.settings())
}

fn run(envoy: &str, delta: bool) {
    let ca = MeshCa::start();
    let (web, cart) = (ca.workload("web"), ca.workload("cart"));
    let app = Backend::echo();
    let places = Places { admin: free(), inbound: free(), outbound: free() };
    let ours = ours(&cart, &app, places.inbound, &web.id);
    let config = bootstrap(&places, &web.socket, delta, app.address, ours.address("in"), &cart.id);
    let (file, log) = (ca.dir.path().join("envoy.json"), ca.dir.path().join("envoy.log"));
    std::fs::write(&file, config.to_string()).unwrap();
    let child = Command::new(envoy)
        .args(["--concurrency", "1", "--use-dynamic-base-id", "-l", "warning", "-c"])
        .arg(&file)
        .arg("--log-path")
        .arg(&log)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _stock = Stock(child);
    let told = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("the stock Envoy listens", || std::net::TcpStream::connect(places.outbound).is_ok());

    // From the stock Envoy to our proxy, and from ours to it; each knows the other.
    for (from, client) in [(places.outbound, &web.id), (ours.address("out"), &cart.id)] {
        let mut response = get(from, "/");
        for _ in 0..300 {
            if response.status == 200 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            response = get(from, "/");
        }
        let stats = get(places.admin, "/stats?usedonly").body;
        let stats: Vec<&str> = stats.lines().filter(|l| l.contains("ssl") || l.contains("sds")).collect();
        assert!(
            response.body.contains(&format!("URI={client}")),
            "delta {delta}, {client}: {}\n{}\n{}",
            response.body,
            stats.join("\n"),
            told()
        );
    }
    // It has the secrets from us, and the key that it has is not the proxy's.
    let secrets = get(places.admin, "/config_dump?resource=dynamic_active_secrets").body;
    assert!(secrets.contains("ROOTCA") && secrets.contains("default"), "{secrets}");
    assert!(!told().contains("[critical]"), "{}", told());
}

#[test]
fn a_stock_envoy_takes_its_identity_from_us_and_speaks_with_our_proxy() {
    let Some(envoy) = std::env::var("ENVOY").ok().filter(|e| !e.is_empty()) else { return };
    run(&envoy, false);
    run(&envoy, true);
}
