//! Unix sockets stand in for addresses on both sides: clients connect to one, and endpoints listen at one.

mod common;

use std::{
    io::{BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    time::Duration,
};

use common::{Client, Proxy, any_host, http, listener, ok, read_request, tcp};
use serde_json::{Value, json};

/// A directory for sockets, which ends with the value.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tulle-sockets-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory for sockets");
        Self(path)
    }

    fn at(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("the path is text").to_owned()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A cluster of servers at these sockets.
fn cluster(name: &str, paths: &[&str]) -> Value {
    let endpoints: Vec<Value> =
        paths.iter().map(|path| json!({ "endpoint": { "address": { "pipe": { "path": path } } } })).collect();
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": endpoints }] },
    })
}

/// A server that says its name to every request.
fn serve(path: &str, name: &'static str) {
    let socket = UnixListener::bind(path).expect("the path is free");
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
                while let Some(request) = read_request(&mut reader) {
                    let forwarded = request.headers.get("x-forwarded-for").cloned().unwrap_or_default();
                    if stream.write_all(&ok(&format!("{name} {} {forwarded}", request.line))).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn all(cluster: &str) -> Value {
    any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": cluster } }]))
}

#[test]
fn endpoints_at_sockets_are_balanced_and_kept_apart() {
    let dir = Dir::new("upstream");
    let (one, two) = (dir.at("one"), dir.at("two"));
    serve(&one, "one");
    serve(&two, "two");
    let mut proxy = Proxy::start(json!({
        "listeners": [listener("in", http(all("app"), json!({})))],
        "clusters": [cluster("app", &[&one, &two])],
    }));
    let mut client = Client::connect(proxy.address("in"));
    let mut bodies: Vec<String> = (0..4).map(|_| client.get("/x").body).collect();
    bodies.sort();
    assert_eq!(
        bodies,
        ["one GET /x HTTP/1.1 ", "one GET /x HTTP/1.1 ", "two GET /x HTTP/1.1 ", "two GET /x HTTP/1.1 "]
    );
    // The other one is gone: a connection to it is not taken for one to this.
    proxy.apply(json!({ "listeners": [], "clusters": [cluster("app", &[&two])] }));
    for _ in 0..4 {
        assert_eq!(client.get("/y").body, "two GET /y HTTP/1.1 ");
    }
    // Nobody listens there any more.
    proxy.apply(json!({ "listeners": [], "clusters": [cluster("app", &[&dir.at("nobody")])] }));
    assert_eq!(client.get("/z").status, 503);
}

#[test]
fn clients_come_through_a_socket_for_requests_and_for_bytes() {
    let dir = Dir::new("downstream");
    let (app, web, raw) = (dir.at("app"), dir.at("web"), dir.at("raw"));
    serve(&app, "app");
    let at = |name: &str, path: &str, filters: Value| {
        let mut listener = listener(name, filters);
        listener["address"] = json!({ "pipe": { "path": path } });
        listener
    };
    let _proxy = Proxy::start(json!({
        "listeners": [
            at("web", &web, http(all("app"), json!({ "use_remote_address": true }))),
            at("raw", &raw, tcp("app")),
        ],
        "clusters": [cluster("app", &[&app])],
    }));
    for path in [&web, &raw] {
        for round in 0..3 {
            let mut client = UnixStream::connect(path).expect("the proxy listens");
            client.set_read_timeout(Some(Duration::from_secs(10))).expect("not zero");
            let request = format!("GET /{round} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            client.write_all(request.as_bytes()).expect("the proxy reads");
            if path == &raw {
                client.shutdown(std::net::Shutdown::Write).expect("open");
            }
            let mut answer = String::new();
            client.read_to_string(&mut answer).expect("an answer");
            assert!(answer.contains(&format!("app GET /{round} HTTP/1.1")), "{path}: {answer}");
        }
    }
}
