//! Bytes go inside of HTTP: a forward proxy is asked with CONNECT or POST to connect to somebody else.

mod common;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{Backend, Proxy, any_host, cluster, http, http2, listener, tcp};
use serde_json::{Value, json};

/// The filters of a chain that goes through `proxy` to this host.
fn through(tunnel: Value) -> Value {
    let mut filters = tcp("proxy");
    filters[0]["typed_config"]["tunneling_config"] = tunnel;
    filters
}

/// An own proxy in front, and the cluster of forward proxies.
fn front(tunnel: Value, forward: Value) -> Proxy {
    Proxy::start(json!({ "listeners": [listener("in", through(tunnel))], "clusters": [forward] }))
}

/// Sends these bytes, ends, and reads to the end.
fn say(proxy: &Proxy, bytes: &[u8]) -> Vec<u8> {
    let mut client = TcpStream::connect(proxy.address("in")).expect("the proxy listens");
    client.set_read_timeout(Some(Duration::from_secs(20))).expect("not zero");
    let mut reader = client.try_clone().expect("a second handle");
    let sent = bytes.to_vec();
    let writer = std::thread::spawn(move || {
        // The proxy may have refused already.
        let _ = client.write_all(&sent);
        let _ = client.shutdown(Shutdown::Write);
        client
    });
    let mut answer = Vec::new();
    let _ = reader.read_to_end(&mut answer);
    drop(writer.join());
    answer
}

/// A forward proxy: what it was asked for, and `answer` before it echoes. The head may come with the first bytes behind it.
fn forward(answer: &'static str) -> (Backend, Arc<Mutex<String>>) {
    let heads: Arc<Mutex<String>> = Arc::default();
    let told = Arc::clone(&heads);
    let backend = Backend::raw(move |stream| {
        let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).expect("readable") == 0 {
                return;
            }
        }
        *told.lock().expect("no panic") = head;
        stream.write_all(answer.as_bytes()).expect("writable");
        let mut buffer = [0; 65536];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            if stream.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    });
    (backend, heads)
}

#[test]
fn connect_carries_bytes_both_ways_until_both_have_ended() {
    let (proxy, heads) = forward("HTTP/1.1 200 OK\r\n\r\nhello ");
    let front = front(json!({ "hostname": "db.example.com:5432" }), cluster("proxy", &[proxy.address]));
    let data = vec![7; 2_000_000];
    let answer = say(&front, &data);
    assert_eq!(&answer[..6], b"hello ", "what came with the head");
    assert!(answer[6..] == data, "{} bytes came back", answer.len());
    assert_eq!(
        heads.lock().expect("no panic").to_ascii_lowercase(),
        "connect db.example.com:5432 http/1.1\r\nhost: db.example.com:5432\r\n\r\n"
    );
    assert_eq!(front.stat("cluster.proxy.upstream_rq_total"), 1);
}

#[test]
fn a_refusal_or_silence_is_a_reset_for_the_client() {
    for answer in ["HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "nonsense\r\n\r\n"] {
        let (proxy, _) = forward(answer);
        let front = front(json!({ "hostname": "a:1" }), cluster("proxy", &[proxy.address]));
        assert_eq!(say(&front, b"bytes"), b"", "{answer}");
        let mut client = TcpStream::connect(front.address("in")).expect("the proxy listens");
        assert!(client.read(&mut [0]).is_err(), "{answer}");
    }
}

#[test]
fn post_carries_bytes_in_bodies() {
    let (proxy, heads) = forward("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nyes\r\n");
    let tunnel = json!({ "hostname": "a.example.com:80", "use_post": true, "post_path": "/tunnel" });
    let front = front(tunnel, cluster("proxy", &[proxy.address]));
    // What is echoed are the chunks themselves, which are chunks of the answer too.
    assert_eq!(say(&front, b"abc"), b"yesabc");
    assert_eq!(
        heads.lock().expect("no panic").to_ascii_lowercase(),
        "post /tunnel http/1.1\r\nhost: a.example.com:80\r\ntransfer-encoding: chunked\r\n\r\n"
    );
}

/// A second proxy that terminates CONNECT, as Envoy does it.
fn terminating(target: SocketAddr) -> Proxy {
    let route = json!([{
        "match": { "connect_matcher": {} },
        "route": { "cluster": "target", "upgrade_configs": [{ "upgrade_type": "CONNECT", "connect_config": {} }] },
    }]);
    let extra = json!({ "upgrade_configs": [{ "upgrade_type": "CONNECT" }], "http2_protocol_options": { "allow_connect": true } });
    Proxy::start(json!({
        "listeners": [listener("in", http(any_host(route), extra))],
        "clusters": [cluster("target", &[target])],
    }))
}

#[test]
fn connect_works_over_http_2_and_with_our_own_proxy_at_the_far_end() {
    let echo = Backend::raw(|stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("readable");
        all.reverse();
        stream.write_all(&all).expect("writable");
    });
    let far = terminating(echo.address);
    let own = cluster("proxy", &[far.address("in")]);
    for forward in [own.clone(), http2(own)] {
        let front = front(json!({ "hostname": "target:1" }), forward.clone());
        let data: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut expected = data.clone();
        expected.reverse();
        let answer = say(&front, &data);
        assert!(answer == expected, "{} bytes came back through {forward}", answer.len());
    }
}
