//! Forwarding to the host that a server name names, and certificates that must carry the name that was asked for.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::{net::SocketAddr, sync::Arc};

use common::{
    Backend, Client, Proxy, any_host, cluster, http, listener,
    tls::{Authority, CLIENT, SERVER, over_tls, server_tls},
};
use serde_json::{Value, json};
use tulle_proxy::worker::Settings;

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

fn any(kind: &str, config: Value) -> Value {
    let mut config = config;
    config["@type"] = json!(format!("type.googleapis.com/{kind}"));
    config
}

/// A server that takes TLS.
fn server(app: &Backend, settings: Settings) -> Proxy {
    let mut inbound = listener(
        "in",
        http(any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "app" } }])), json!({})),
    );
    inbound["filter_chains"][0]["transport_socket"] = server_tls(&["http/1.1"]);
    let resources = json!({ "listeners": [inbound], "clusters": [cluster("app", &[app.address])] });
    Proxy::with(resources, settings)
}

/// A client of `server` by TLS with this server name.
fn client(server: SocketAddr, sni: &str, ca: &Authority) -> Proxy {
    let mut cluster = over_tls(cluster("there", &[server]), &["http/1.1"], SERVER);
    cluster["transport_socket"]["typed_config"]["sni"] = json!(sni);
    let routes = any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "there" } }]));
    let resources = json!({ "listeners": [listener("out", http(routes, json!({})))], "clusters": [cluster] });
    Proxy::with(resources, ca.settings(CLIENT))
}

/// Passes TLS on to the host that the server name names, at `port`; to hosts of the machine too where `local`.
fn passing(port: u16, local: bool) -> Proxy {
    let mut names = json!({ "name": "names", "dns_lookup_family": "V4_ONLY" });
    if local {
        names["resolved_address_filter"] =
            json!({ "ranges": [{ "address_prefix": "10.255.0.0", "prefix_len": 16 }] });
    }
    let mut passing = listener(
        "pass",
        json!([
            { "name": "by-sni", "typed_config": any(
                "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig",
                json!({ "port_value": port, "dns_cache_config": names })) },
            { "name": "tcp", "typed_config": any("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                json!({ "stat_prefix": "pass", "cluster": "named" })) },
        ]),
    );
    passing["listener_filters"] = json!([{ "name": "tls", "typed_config": any(
        "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector", json!({})) }]);
    let named = json!({ "name": "named", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "1s",
        "cluster_type": { "name": "envoy.clusters.dynamic_forward_proxy", "typed_config": any(
            "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
            json!({ "dns_cache_config": names })) } });
    Proxy::start(json!({ "listeners": [passing], "clusters": [named] }))
}

fn status(client: &Proxy, host: &str) -> u16 {
    let mut connection = Client::connect(client.address("out"));
    connection.send(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"));
    connection.receive().unwrap().status
}

#[test]
fn tls_goes_to_the_host_that_its_server_name_names() {
    let (ca, app) = (Authority::new(), Backend::echo());
    let server = server(&app, ca.settings(SERVER));
    let at = server.address("in");
    let pass = passing(at.port(), true);
    let named = client(pass.address("pass"), "localhost", &ca);
    assert_eq!(status(&named, "test"), 200);
    let unknown = client(pass.address("pass"), "nowhere.invalid", &ca);
    assert_eq!(status(&unknown, "test"), 503, "a name that leads nowhere");
    let unsaid = client(pass.address("pass"), "", &ca);
    assert_eq!(status(&unsaid, "test"), 503, "no name");
}

#[test]
fn server_names_of_the_machine_lead_nowhere_unless_the_configuration_says_so() {
    let (ca, app) = (Authority::new(), Backend::echo());
    let server = server(&app, ca.settings(SERVER));
    let pass = passing(server.address("in").port(), false);
    assert_eq!(status(&client(pass.address("pass"), "localhost", &ca), "test"), 503);
    assert_eq!(status(&client(pass.address("pass"), "127.0.0.1.", &ca), "test"), 503);
}

#[test]
fn a_certificate_must_carry_the_host_where_the_cluster_says_so() {
    let (ca, app) = (Authority::new(), Backend::echo());
    let settings = ca.settings(SERVER);
    settings.secrets.certificate("default").set(Arc::new(ca.issue_for(SERVER, &["good.test"])));
    let server = server(&app, settings);
    let settings = ca.settings(CLIENT);
    let mut there = over_tls(cluster("there", &[server.address("in")]), &["http/1.1"], SERVER);
    let context = &mut there["transport_socket"]["typed_config"];
    context.as_object_mut().unwrap().remove("sni");
    context["common_tls_context"]["combined_validation_context"]["default_validation_context"] = json!({});
    there["typed_extension_protocol_options"] = json!({ HTTP_OPTIONS: any(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        json!({
            "upstream_http_protocol_options": { "auto_sni": true, "auto_san_validation": true },
            "explicit_http_config": { "http_protocol_options": {} },
        })) });
    let routes = any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "there" } }]));
    let resources = json!({ "listeners": [listener("out", http(routes, json!({})))], "clusters": [there] });
    let client = Proxy::with(resources, settings);
    assert_eq!(status(&client, "good.test"), 200);
    assert_eq!(status(&client, "good.test:8443"), 200, "the port is no part of the name");
    assert_eq!(status(&client, "bad.test"), 503);
    assert_eq!(status(&client, "good.test"), 200);
}
