//! Mutual TLS between two proxies: identities on both sides, HTTP/1.1 carried over one HTTP/2 connection, permissive mode, and
//! certificates that rotate under live connections.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use common::{
    Backend, Client, Proxy, any_host, cluster, eventually, get, http, listener, tcp,
    tls::{Authority, CLIENT, SERVER, over_tls, server_tls},
};
use serde_json::{Value, json};

fn inbound(app: &Backend, tls: Value) -> Value {
    let filters = http(
        any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "app" } }])),
        json!({
            "forward_client_cert_details": "APPEND_FORWARD",
            "set_current_client_cert_details": { "uri": true },
        }),
    );
    let mut inbound = listener("in", filters);
    inbound["filter_chains"][0]["transport_socket"] = tls;
    json!({ "listeners": [inbound], "clusters": [cluster("app", &[app.address])] })
}

fn outbound(server: &Proxy, alpn: &[&str], san: &str) -> Value {
    json!({
        "listeners": [listener("out", http(
            any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "cart" } }])),
            json!({}),
        ))],
        "clusters": [over_tls(cluster("cart", &[server.address("in")]), alpn, san)],
    })
}

#[test]
fn http1_travels_over_one_connection_between_sidecars_and_both_know_each_other() {
    let ca = Authority::new();
    let app = Backend::echo();
    let server = Proxy::with(inbound(&app, server_tls(&["tulle-h1", "http/1.1"])), ca.settings(SERVER));
    let client = Proxy::with(outbound(&server, &["tulle-h1", "http/1.1"], SERVER), ca.settings(CLIENT));
    let at = client.address("out");
    let threads: Vec<_> = (0..8)
        .map(|i| {
            std::thread::spawn(move || {
                let mut client = Client::connect(at);
                for j in 0..25 {
                    client.send(format!(
                        "POST /{i}/{j} HTTP/1.1\r\nhost: cart\r\ncontent-length: 3\r\n\r\nabc"
                    ));
                    let response = client.receive().unwrap();
                    assert_eq!(response.status, 200);
                    assert!(
                        response.body.starts_with(&format!("POST /{i}/{j} HTTP/1.1\n")),
                        "{}",
                        response.body
                    );
                    assert!(response.body.ends_with("\nabc"), "{}", response.body);
                    assert!(response.body.contains(&format!("URI={CLIENT}")), "{}", response.body);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(server.stat("http.test.downstream_cx_http2_total"), 1, "one connection for all");
    assert_eq!(client.stat("cluster.cart.upstream_cx_total"), 1);
}

#[test]
fn http1_over_tls_without_the_hop_protocol_works_as_well() {
    let ca = Authority::new();
    let app = Backend::echo();
    let server = Proxy::with(inbound(&app, server_tls(&["http/1.1"])), ca.settings(SERVER));
    let client = Proxy::with(outbound(&server, &["tulle-h1", "http/1.1"], SERVER), ca.settings(CLIENT));
    let mut c = Client::connect(client.address("out"));
    for i in 0..5 {
        assert!(c.get(&format!("/{i}")).body.starts_with(&format!("GET /{i} ")));
    }
    assert_eq!(server.stat("http.test.downstream_cx_http1_total"), 1);
}

#[test]
fn the_next_connection_resumes_the_session_and_the_client_is_known_all_the_same() {
    let ca = Authority::new();
    let app = Backend::echo();
    let (ours, theirs) = (ca.settings(SERVER), ca.settings(CLIENT));
    let trust = ours.secrets.bundle("ROOTCA");
    let server = Proxy::with(inbound(&app, server_tls(&["tulle-h1"])), ours);
    let mut resources = outbound(&server, &["tulle-h1"], SERVER);
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    resources["clusters"][0]["typed_extension_protocol_options"] = json!({ options: {
        "@type": format!("type.googleapis.com/{options}"),
        "common_http_protocol_options": { "max_requests_per_connection": 1 },
        "explicit_http_config": { "http_protocol_options": {} },
    } });
    let client = Proxy::with(resources, theirs);
    let ask = || {
        let response = get(client.address("out"), "/");
        assert_eq!(response.status, 200);
        assert!(response.body.contains(&format!("URI={CLIENT}")), "{}", response.body);
    };
    (0..6).for_each(|_| ask());
    assert_eq!(client.stat("cluster.cart.ssl.handshake"), 6);
    let reused = client.stat("cluster.cart.ssl.session_reused");
    assert!(reused >= 4, "each connection brings the ticket of the next: {reused}");
    assert_eq!(server.stat("listener.127.0.0.1:0.ssl.session_reused"), reused);

    // Roots that are replaced, if only by the same, end all sessions, and nothing fails by it.
    trust.set(trust.get().unwrap());
    ask();
    assert_eq!(client.stat("cluster.cart.ssl.session_reused"), reused);
    ask();
    assert_eq!(client.stat("cluster.cart.ssl.session_reused"), reused + 1);
}

#[test]
fn strangers_are_refused_and_so_is_a_server_with_another_name() {
    let (ca, other) = (Authority::new(), Authority::new());
    let app = Backend::echo();
    let server = Proxy::with(inbound(&app, server_tls(&["tulle-h1"])), ca.settings(SERVER));
    let mut plain = Client::connect(server.address("in"));
    plain.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    assert!(!String::from_utf8_lossy(&plain.rest()).contains("HTTP/1.1"), "nothing but a TLS alert at most");
    let stranger = Proxy::with(outbound(&server, &["tulle-h1"], SERVER), other.settings(CLIENT));
    assert_eq!(get(stranger.address("out"), "/").status, 503);
    let misled = Proxy::with(
        outbound(&server, &["tulle-h1"], "spiffe://cluster.local/ns/x/sa/y"),
        ca.settings(CLIENT),
    );
    let response = get(misled.address("out"), "/");
    assert_eq!(response.status, 503);
    // The client is not told why, as from Envoy; the statistics are.
    assert!(misled.stat("cluster.cart.ssl.connection_error") > 0, "{}", response.body);
    assert!(misled.stat("cluster.cart.ssl.fail_verify_san") > 0);
    assert!(stranger.stat("cluster.cart.ssl.fail_verify_error") > 0);
    assert_eq!(app.hits(), 0);
}

#[test]
fn permissive_takes_both_on_one_port() {
    let ca = Authority::new();
    let app = Backend::echo();
    let mut resources = inbound(&app, server_tls(&["tulle-h1", "http/1.1"]));
    let mut plain = resources["listeners"][0]["filter_chains"][0].clone();
    plain.as_object_mut().unwrap().remove("transport_socket");
    plain["filter_chain_match"] = json!({ "transport_protocol": "raw_buffer" });
    resources["listeners"][0]["filter_chains"][0]["filter_chain_match"] =
        json!({ "transport_protocol": "tls" });
    resources["listeners"][0]["filter_chains"].as_array_mut().unwrap().push(plain);
    resources["listeners"][0]["listener_filters"] = json!([{
        "name": "envoy.filters.listener.tls_inspector",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector" },
    }]);
    let server = Proxy::with(resources, ca.settings(SERVER));
    let client = Proxy::with(outbound(&server, &["tulle-h1"], SERVER), ca.settings(CLIENT));
    assert!(get(client.address("out"), "/").body.contains("x-forwarded-client-cert"));
    let direct = get(server.address("in"), "/");
    assert_eq!(direct.status, 200);
    assert!(!direct.body.contains("x-forwarded-client-cert"));
}

#[test]
fn a_rotated_certificate_serves_new_connections_and_old_ones_live_on() {
    let ca = Authority::new();
    let app = Backend::echo();
    let settings = ca.settings(SERVER);
    let secrets = settings.secrets.clone();
    let server = Proxy::with(inbound(&app, server_tls(&["tulle-h1"])), settings);
    let client = Proxy::with(outbound(&server, &["tulle-h1"], SERVER), ca.settings(CLIENT));
    let mut c = Client::connect(client.address("out"));
    assert_eq!(c.get("/").status, 200);
    secrets.certificate("default").set(Arc::new(ca.issue("spiffe://cluster.local/ns/shop/sa/new")));
    assert_eq!(c.get("/").status, 200, "the old connection lives on");
    let fresh = Proxy::with(
        outbound(&server, &["tulle-h1"], "spiffe://cluster.local/ns/shop/sa/new"),
        ca.settings(CLIENT),
    );
    assert_eq!(get(fresh.address("out"), "/").status, 200);
    assert_eq!(server.stat("http.test.downstream_cx_http2_total"), 2);
}

#[test]
fn raw_bytes_travel_through_tls_with_half_close() {
    let ca = Authority::new();
    let backend = Backend::raw(|stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(format!("got {}", all.len()).as_bytes()).unwrap();
    });
    let mut inbound = listener("in", tcp("app"));
    inbound["filter_chains"][0]["transport_socket"] = server_tls(&["istio"]);
    let server = Proxy::with(
        json!({ "listeners": [inbound], "clusters": [cluster("app", &[backend.address])] }),
        ca.settings(SERVER),
    );
    let client = Proxy::with(
        json!({
            "listeners": [listener("out", tcp("cart"))],
            "clusters": [over_tls(cluster("cart", &[server.address("in")]), &["istio"], SERVER)],
        }),
        ca.settings(CLIENT),
    );
    let mut c = TcpStream::connect(client.address("out")).unwrap();
    c.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    c.write_all(&vec![1; 2_000_000]).unwrap();
    c.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    c.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "got 2000000");
    eventually("all closed", || client.vitals().upstream_connections == 0);
}

#[test]
fn websockets_travel_between_sidecars() {
    let ca = Authority::new();
    let app = Backend::raw(|stream| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        let request = common::read_request(&mut reader).unwrap();
        assert_eq!(request.line, "GET /chat HTTP/1.1");
        assert_eq!(
            (request.headers["upgrade"].as_str(), request.headers["sec-websocket-key"].as_str()),
            ("websocket", "k")
        );
        stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                  sec-websocket-accept: a\r\n\r\nhello",
            )
            .unwrap();
        let mut bytes = [0; 4];
        reader.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
    });
    let upgrades = json!([{ "upgrade_type": "websocket" }]);
    let manager = "/filter_chains/0/filters/0/typed_config";
    let mut resources = inbound(&app, server_tls(&["tulle-h1"]));
    resources["listeners"][0].pointer_mut(manager).unwrap()["upgrade_configs"] = upgrades.clone();
    let server = Proxy::with(resources, ca.settings(SERVER));
    let mut resources = outbound(&server, &["tulle-h1"], SERVER);
    resources["listeners"][0].pointer_mut(manager).unwrap()["upgrade_configs"] = upgrades;
    let client = Proxy::with(resources, ca.settings(CLIENT));
    let mut c = Client::connect(client.address("out"));
    c.send("GET /chat HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\nping");
    let bytes = c.rest();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    assert!(text.contains("sec-websocket-accept: a"), "{text}");
    assert!(text.ends_with("\r\n\r\nhelloping"), "{text}");
}
