//! A load balancer in front says whose connection it is, and the proxy believes the word that it was told to believe.

mod common;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use common::{Backend, Proxy, any_host, cluster, eventually, http, listener};
use serde_json::{Value, json};

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x02\xdc\x04\x01\xbb";

fn proxy(echo: &Backend, filter: Value) -> Proxy {
    let routes = json!([{
        "match": { "prefix": "/" },
        "route": { "cluster": "app" },
        "request_headers_to_add": [
            { "header": { "key": "x-client", "value": "%DOWNSTREAM_REMOTE_ADDRESS%" } },
            { "header": { "key": "x-direct", "value": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%" } },
            { "header": { "key": "x-to", "value": "%DOWNSTREAM_LOCAL_ADDRESS%" } },
        ],
    }]);
    let mut config = filter;
    config["@type"] =
        json!("type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol");
    let mut listener = listener("in", http(any_host(routes), json!({ "use_remote_address": true })));
    listener["listener_filters"] =
        json!([{ "name": "envoy.filters.listener.proxy_protocol", "typed_config": config }]);
    Proxy::start(json!({ "listeners": [listener], "clusters": [cluster("app", &[echo.address])] }))
}

/// What comes back when these pieces are sent one after the other; empty when the connection is reset.
fn say(proxy: &Proxy, pieces: &[&[u8]]) -> String {
    let mut client = TcpStream::connect(proxy.address("in")).expect("the proxy listens");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("not zero");
    for piece in pieces {
        // The proxy may have refused already.
        if client.write_all(piece).is_err() {
            return String::new();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    String::from_utf8(answer).expect("the answer is text")
}

const GET: &[u8] = b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[test]
fn both_versions_say_who_the_client_is() {
    let echo = Backend::echo();
    let proxy = proxy(&echo, json!({}));
    let v1 = say(&proxy, &[b"PROXY TCP4 192.0.2.7 10.0.0.2 56324 443\r\n", GET]);
    for part in [
        "x-client: 192.0.2.7:56324\n",
        "x-direct: 127.0.0.1\n",
        "x-to: 10.0.0.2:443\n",
        "x-forwarded-for: 192.0.2.7\n",
    ] {
        assert!(v1.contains(part), "{part} is not in {v1}");
    }
    // In small pieces, with the request right behind the header.
    let both = [V2, GET].concat();
    let pieces: Vec<&[u8]> = both.chunks(9).collect();
    let v2 = say(&proxy, &pieces);
    for part in ["GET /x HTTP/1.1\n", "x-client: 192.0.2.7:56324\n", "x-forwarded-for: 192.0.2.7\n"] {
        assert!(v2.contains(part), "{part} is not in {v2}");
    }
    // The balancer's own health check.
    let own = say(&proxy, &[b"PROXY UNKNOWN\r\n", GET]);
    assert!(own.contains("x-client: 127.0.0.1:"), "{own}");
}

#[test]
fn who_does_not_say_it_is_refused_unless_it_need_not() {
    let echo = Backend::echo();
    let strict = proxy(&echo, json!({}));
    assert_eq!(say(&strict, &[GET]), "");
    assert_eq!(say(&strict, &[b"PROXY TCP4 nonsense\r\n", GET]), "");
    eventually("counted", || strict.stat("listener.127.0.0.1:0.downstream_cx_proxy_proto_error") == 2);
    assert_eq!(echo.hits(), 0);

    let lax =
        proxy(&echo, json!({ "allow_requests_without_proxy_protocol": true, "disallowed_versions": ["V1"] }));
    assert!(say(&lax, &[GET]).contains("x-client: 127.0.0.1:"));
    assert!(say(&lax, &[V2, GET]).contains("x-client: 192.0.2.7:56324\n"));
    assert_eq!(
        say(&lax, &[b"PROXY TCP4 192.0.2.7 10.0.0.2 1 2\r\n", GET]),
        "",
        "a version that is not allowed"
    );
    assert_eq!(echo.hits(), 2);
}
