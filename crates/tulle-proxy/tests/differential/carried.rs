//! How connections to endpoints begin, and what carries them: the PROXY protocol, and tunnels through another proxy.

use serde_json::{Value, json};

use crate::harness::{
    Area,
    answer::{Ending, hang_up, status},
    case::{Talk, get, post},
    config::{any_host, filter, merged},
};

/// A transport socket that begins with this version of the PROXY protocol.
fn telling(version: &str) -> Value {
    let raw = filter("envoy.transport_sockets.raw_buffer", "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer", json!({}));
    json!({ "transport_socket": filter(
        "envoy.transport_sockets.upstream_proxy_protocol",
        "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        json!({ "config": { "version": version }, "transport_socket": raw }),
    ) })
}

pub fn area() -> Area {
    let mut a = Area::new("carried");
    let proxy = |config: Value| {
        filter("envoy.filters.network.tcp_proxy", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            merged(json!({ "stat_prefix": "tcp" }), &config))
    };
    let routes = |cluster: &str| {
        any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": cluster } }]))
    };
    for (name, version) in [("v1", "V1"), ("v2", "V2")] {
        a.cluster(name, &[&format!("told-{name}")], telling(version));
        a.http(name, routes(name), json!({}));
        a.http(&format!("{name}-edge"), routes(name), json!({ "use_remote_address": true }));
        a.listener(&format!("{name}-tcp"), json!([proxy(json!({ "cluster": name }))]), json!({}));
        a.case(format!("{name} with a request"), name, get("/x"));
        a.case(format!("{name} with requests on one connection"), name, vec![get("/x"), post("/y", "body"), get("/z")]);
        a.case(format!("{name} behind another proxy"), name, get("/x").header("x-forwarded-for", "192.0.2.7"));
        a.case(format!("{name} at the edge"), &format!("{name}-edge"), get("/x").header("x-forwarded-for", "192.0.2.7"));
        a.case(format!("{name} for somebody else"), name, get("/x")).from([127, 0, 0, 9]);
        let bytes = b"POST /tcp HTTP/1.1\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello".to_vec();
        a.case(format!("{name} with bytes"), &format!("{name}-tcp"), Talk::Tcp(bytes));
    }
    a.cluster("forward", &["forward"], json!({}));
    a.listener("connect", json!([proxy(json!({ "cluster": "forward", "tunneling_config": { "hostname": "far.example.com:443" } }))]), json!({}));
    let tunnel = || status(200).ending(Ending::Tunnel);
    a.case("bytes in CONNECT", "connect", Talk::Tcp(b"some bytes".to_vec())).answer(tunnel());
    a.case("nothing in CONNECT", "connect", Talk::Tcp(Vec::new())).answer(tunnel());
    a.case("CONNECT answered with 204", "connect", Talk::Tcp(b"x".to_vec())).answer(status(204).ending(Ending::Tunnel));
    a.case("CONNECT refused", "connect", Talk::Tcp(b"x".to_vec())).answer(status(403));
    a.case("CONNECT not answered", "connect", Talk::Tcp(b"x".to_vec())).answer(hang_up());
    a
}
