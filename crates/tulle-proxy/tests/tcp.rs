//! Raw TCP passes both ways, whoever speaks first, and one side may finish before the other.

mod common;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use common::{Backend, Proxy, cluster, eventually, listener, tcp};
use serde_json::json;

fn proxy(backend: &Backend) -> Proxy {
    Proxy::start(json!({
        "listeners": [listener("in", tcp("app"))],
        "clusters": [cluster("app", &[backend.address])],
    }))
}

#[test]
fn a_server_may_speak_first_and_a_client_may_finish_first() {
    let backend = Backend::raw(|stream| {
        stream.write_all(b"220 ready\r\n").unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(format!("got {}", all.len()).as_bytes()).unwrap();
    });
    let proxy = proxy(&backend);
    let mut client = TcpStream::connect(proxy.address("in")).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut greeting = [0; 11];
    client.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"220 ready\r\n");
    client.write_all(&vec![7; 3_000_000]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "got 3000000");
    eventually("counted", || proxy.stat("tcp.test.downstream_cx_rx_bytes_total") == 3_000_000);
}

#[test]
fn no_upstream_ends_in_a_reset_and_is_counted() {
    let backend = Backend::raw(|_| {});
    let address = backend.address;
    drop(backend);
    std::thread::sleep(Duration::from_millis(50));
    let proxy = Proxy::start(json!({
        "listeners": [listener("in", tcp("app"))],
        "clusters": [cluster("app", &[address])],
    }));
    let mut client = TcpStream::connect(proxy.address("in")).unwrap();
    assert!(client.read(&mut [0]).is_err());
    assert_eq!(proxy.stat("cluster.app.upstream_cx_connect_fail"), 1);
}
