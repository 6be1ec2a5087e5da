//! Endpoints are told who the client is by the PROXY protocol, and clients do not share connections then.

mod common;

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::Ordering,
    time::Duration,
};

use common::{Backend, Client, Proxy, any_host, cluster, eventually, http, listener, tcp};
use serde_json::{Value, json};

/// `cluster` that begins connections with this version.
fn telling(mut cluster: Value, version: &str) -> Value {
    cluster["transport_socket"] = json!({
        "name": "envoy.transport_sockets.upstream_proxy_protocol",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
            "config": { "version": version },
            "transport_socket": {
                "name": "envoy.transport_sockets.raw_buffer",
                "typed_config": { "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" },
            },
        },
    });
    cluster
}

/// Our own proxy as the endpoint: it reads the header and says whom it was told of.
fn told(echo: &Backend) -> Proxy {
    let routes = json!([{
        "match": { "prefix": "/" },
        "route": { "cluster": "app" },
        "request_headers_to_add": [{ "header": { "key": "x-client", "value": "%DOWNSTREAM_REMOTE_ADDRESS%" } },
            { "header": { "key": "x-to", "value": "%DOWNSTREAM_LOCAL_ADDRESS%" } }],
    }]);
    let mut inner = listener("in", http(any_host(routes), json!({ "use_remote_address": true })));
    inner["listener_filters"] = json!([{ "name": "envoy.filters.listener.proxy_protocol", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol" } }]);
    Proxy::start(json!({ "listeners": [inner], "clusters": [cluster("app", &[echo.address])] }))
}

#[test]
fn requests_tell_their_client_and_connections_are_its_own() {
    let echo = Backend::echo();
    let far = told(&echo);
    for version in ["V1", "V2"] {
        let routes = any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "far" } }]));
        let near = Proxy::start(json!({
            "listeners": [listener("in", http(routes, json!({})))],
            "clusters": [telling(cluster("far", &[far.address("in")]), version)],
        }));
        for _ in 0..2 {
            let mut client = Client::connect(near.address("in"));
            let own = client.stream.local_addr().expect("connected");
            for _ in 0..3 {
                let seen = client.get("/x").body;
                assert!(seen.contains(&format!("x-client: {own}\n")), "{version}: {seen}");
                assert!(seen.contains(&format!("x-to: {}\n", near.address("in"))), "{version}: {seen}");
            }
        }
        assert_eq!(near.stat("cluster.far.upstream_cx_total"), 2, "one for each client");
        eventually("connections of gone clients are closed", || near.vitals().upstream_connections == 0);
    }
}

#[test]
fn bytes_tell_their_client_first() {
    let backend = Backend::raw(|stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("readable");
        stream.write_all(&all).expect("writable");
    });
    let near = Proxy::start(json!({
        "listeners": [listener("in", tcp("far"))],
        "clusters": [telling(cluster("far", &[backend.address]), "V1")],
    }));
    let mut client = TcpStream::connect(near.address("in")).expect("the proxy listens");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("not zero");
    client.write_all(b"bytes").expect("writable");
    client.shutdown(std::net::Shutdown::Write).expect("open");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("text");
    let (from, to) = (client.local_addr().expect("connected"), near.address("in"));
    let expected = format!("PROXY TCP4 {} {} {} {}\r\nbytes", from.ip(), to.ip(), from.port(), to.port());
    assert_eq!(answer, expected);
    assert_eq!(backend.connections.load(Ordering::Relaxed), 1);
}

#[test]
fn a_cluster_may_keep_the_connections_of_clients_apart() {
    let backend = Backend::text("app");
    for (apart, connections) in [(false, 1), (true, 2)] {
        let mut app = cluster("app", &[backend.address]);
        app["connection_pool_per_downstream_connection"] = json!(apart);
        let routes = any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "app" } }]));
        let proxy = Proxy::start(json!({
            "listeners": [listener("in", http(routes, json!({})))],
            "clusters": [app],
        }));
        for _ in 0..2 {
            let mut client = Client::connect(proxy.address("in"));
            assert_eq!(client.get("/a").status, 200);
            assert_eq!(client.get("/b").status, 200);
        }
        assert_eq!(proxy.stat("cluster.app.upstream_cx_total"), connections, "{apart}");
    }
}
