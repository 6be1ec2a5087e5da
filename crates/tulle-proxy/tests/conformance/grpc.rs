//! gRPC's own Python client and server over two of our proxies, in the clear and with mutual TLS: `grpc/client.py` says what is
//! asked. Without grpcio the tests are skipped, but not in CI.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tulle_proxy::worker::Settings;

use crate::common::{
    Proxy, any_host, cluster, http, http2, listener,
    tls::{Authority, CLIENT, SERVER, over_tls, server_tls},
};

/// The interpreter of the environment that `./test` makes, or one that has grpcio by itself.
fn python() -> Option<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let made = target.join("peers/grpc/bin/python");
    let found = [made, PathBuf::from("python3")].into_iter().find(|python| {
        let has = Command::new(python).args(["-c", "import grpc"]).stderr(Stdio::null()).status();
        has.is_ok_and(|status| status.success())
    });
    if found.is_none() {
        assert!(env::var_os("CI").is_none(), "there is no grpcio: pip install grpcio, or run ./test");
        eprintln!("skipped: there is no grpcio");
    }
    found
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/grpc").join(name)
}

/// A server; it ends with this value.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(python: &PathBuf, args: &[&str]) -> Self {
        let mut child = Command::new(python)
            .arg(script("server.py"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server's side of a hop, in front of this port.
fn inbound(log: &NamedTempFile, port: u16, tls: Option<Value>) -> Value {
    let route = json!([{ "match": { "prefix": "/" }, "route": { "cluster": "app", "timeout": "0s" } }]);
    let mut inbound = listener("in", http(any_host(route), short_times(log)));
    if let Some(tls) = tls {
        inbound["filter_chains"][0]["transport_socket"] = tls;
    }
    json!({ "listeners": [inbound], "clusters": [http2(cluster("app", &[([127, 0, 0, 1], port).into()]))] })
}

/// The client's side.
fn outbound(log: &NamedTempFile, to: Value) -> Value {
    let route = json!([{ "match": { "prefix": "/" }, "route": { "cluster": "echo", "timeout": "0s" } }]);
    json!({ "listeners": [listener("out", http(any_host(route), short_times(log)))], "clusters": [to] })
}

/// Times that a long stream outlives, and a log that a test that fails shows.
fn short_times(log: &NamedTempFile) -> Value {
    json!({
        "stream_idle_timeout": "3s", "request_headers_timeout": "1s", "drain_timeout": "0.5s",
        "common_http_protocol_options": { "idle_timeout": "1s" },
        "access_log": [{
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": log.path(),
                "log_format": { "text_format_source": { "inline_string":
                    "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %GRPC_STATUS% %DURATION% ms\n" } },
            },
        }],
    })
}

/// Lines of the log that are no ordinary ends.
fn odd_ends(log: &NamedTempFile) -> String {
    let text = std::fs::read_to_string(log.path()).unwrap_or_default();
    let odd: Vec<&str> = text.lines().filter(|l| !l.contains(" 200 - via_upstream ")).collect();
    odd.join("\n")
}

fn ask(log: &NamedTempFile, python: &PathBuf, client: &Proxy, cases: &[&str]) {
    let output = Command::new(python)
        .arg(script("client.py"))
        .arg(client.address("out").to_string())
        .args(cases)
        .output()
        .unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        std::thread::sleep(std::time::Duration::from_secs(1));
        panic!("{said}{wrong}{}", odd_ends(log));
    }
    let least = if cases.is_empty() { 15 } else { cases.len() };
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), least, "{said}");
}

/// Through two proxies in the clear.
#[test]
fn grpc_through_two_proxies() {
    let Some(python) = python() else { return };
    let log = NamedTempFile::new().unwrap();
    let server = Server::start(&python, &[]);
    let near = Proxy::start(inbound(&log, server.port, None));
    let far = Proxy::start(outbound(&log, http2(cluster("echo", &[near.address("in")]))));
    ask(&log, &python, &far, &[]);
}

/// Through two proxies with mutual TLS, as between sidecars.
#[test]
fn grpc_through_two_proxies_with_mutual_tls() {
    let Some(python) = python() else { return };
    let log = NamedTempFile::new().unwrap();
    let server = Server::start(&python, &[]);
    let ca = Authority::new();
    let near = Proxy::with(inbound(&log, server.port, Some(server_tls(&["h2"]))), ca.settings(SERVER));
    let echo = over_tls(http2(cluster("echo", &[near.address("in")])), &["h2"], SERVER);
    let far = Proxy::with(outbound(&log, echo), ca.settings(CLIENT));
    ask(&log, &python, &far, &[]);
    assert!(near.stat("http.test.downstream_cx_ssl_total") >= 1);
}

/// RFC 9113 section 6.8: a server that ends its connections every half second, gracefully: no call fails.
#[test]
fn grpc_servers_that_go_away_lose_no_call() {
    let Some(python) = python() else { return };
    let log = NamedTempFile::new().unwrap();
    let server = Server::start(&python, &["500"]);
    let near = Proxy::start(inbound(&log, server.port, None));
    let far = Proxy::start(outbound(&log, http2(cluster("echo", &[near.address("in")]))));
    ask(&log, &python, &far, &["connections_that_go_away"]);
}

/// A server that is not there is UNAVAILABLE in gRPC's own words.
#[test]
fn grpc_without_a_server_is_unavailable() {
    let Some(python) = python() else { return };
    let log = NamedTempFile::new().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let far = Proxy::with(
        outbound(&log, http2(cluster("echo", &[([127, 0, 0, 1], port).into()]))),
        Settings::default(),
    );
    ask(&log, &python, &far, &["unavailable"]);
}
