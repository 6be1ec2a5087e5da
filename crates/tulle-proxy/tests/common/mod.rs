//! A proxy, backends and a client in one process, on loopback. Everything ends with the value that holds it.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "each test file uses a part; a failed unwrap is a failed test"
)]

pub mod h2;
pub mod tls;

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use prost::Message as _;
use serde_json::{Value, json};
use tulle_engine::{compile, runtime::cluster::Discovery};
use tulle_proto::{envoy::bootstrap::Bootstrap, json::Json};
use tulle_proxy::worker::{Changes, Delta, Fleet, Settings};

/// A running proxy.
pub struct Proxy {
    fleet: Option<Fleet>,
}

struct Disk;

impl compile::Files for Disk {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }
}

/// The static resources of a bootstrap, as a change.
pub fn changes(static_resources: Value) -> Changes {
    let document = json!({ "static_resources": static_resources });
    let bytes = Json::load().unwrap().encode("envoy.config.bootstrap.v3.Bootstrap", &document).unwrap();
    let message = Bootstrap::decode(bytes.as_slice()).unwrap();
    let (compiled, _) = compile::bootstrap(&message, &Disk).unwrap_or_else(|e| panic!("{e}"));
    Changes {
        listeners: Delta {
            changed: compiled.listeners.iter().map(|l| (Arc::clone(&l.name), Arc::clone(l))).collect(),
            removed: Vec::new(),
        },
        clusters: Delta {
            changed: compiled.clusters.iter().map(|c| (Arc::clone(&c.name), Arc::clone(c))).collect(),
            removed: Vec::new(),
        },
        endpoints: Delta {
            changed: compiled
                .clusters
                .iter()
                .filter_map(|c| match &c.discovery {
                    Discovery::StrictDns(set, _) | Discovery::LogicalDns(set, _) => {
                        Some((Arc::clone(&c.name), Arc::clone(set)))
                    }
                    _ => None,
                })
                .collect(),
            removed: Vec::new(),
        },
        ..Changes::default()
    }
}

impl Proxy {
    /// A proxy with one worker that runs these static resources.
    pub fn start(static_resources: Value) -> Self {
        Self::with(static_resources, Settings::default())
    }

    /// The same with other settings.
    pub fn with(static_resources: Value, settings: Settings) -> Self {
        let mut fleet = Fleet::start(settings, Vec::new()).unwrap();
        fleet.apply(changes(static_resources)).unwrap();
        Self { fleet: Some(fleet) }
    }

    /// The fleet.
    pub fn fleet(&mut self) -> &mut Fleet {
        self.fleet.as_mut().unwrap()
    }

    /// Puts a change in force and waits until every worker has.
    pub fn apply(&mut self, static_resources: Value) {
        self.fleet().apply(changes(static_resources)).unwrap();
        self.vitals();
    }

    /// Where a listener listens.
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.fleet.as_ref().unwrap().address_of(listener).unwrap()
    }

    /// Answers come in the order of commands, so this also waits for changes.
    pub fn vitals(&self) -> tulle_proxy::worker::Vitals {
        block_on(self.fleet.as_ref().unwrap().remote().vitals())
    }

    /// One of Envoy's statistics by its full name.
    pub fn stat(&self, name: &str) -> u64 {
        let stats = block_on(self.fleet.as_ref().unwrap().remote().stats()).envoy_stats();
        stats.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no {name} in {stats:#?}")).1
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(fleet) = self.fleet.take() {
            fleet.stop();
        }
    }
}

/// Runs a future to its end.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A listener on a free port of loopback whose only chain has these filters.
pub fn listener(name: &str, filters: Value) -> Value {
    json!({
        "name": name,
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
        "filter_chains": [{ "filters": filters }],
    })
}

/// The filters of a chain that speaks HTTP with these routes; `extra` is merged into the connection manager.
pub fn http(virtual_hosts: Value, extra: Value) -> Value {
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "test",
        "route_config": { "name": "routes", "virtual_hosts": virtual_hosts },
        "http_filters": [router()],
    });
    for (key, value) in extra.as_object().unwrap() {
        manager[key] = value.clone();
    }
    json!([{ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }])
}

/// The router filter.
pub fn router() -> Value {
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
    })
}

/// One virtual host for every name with these routes.
pub fn any_host(routes: Value) -> Value {
    json!([{ "name": "all", "domains": ["*"], "routes": routes }])
}

/// The filters of a chain that relays to this cluster.
pub fn tcp(cluster: &str) -> Value {
    json!([{
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "test",
            "cluster": cluster,
        },
    }])
}

/// A static cluster of these endpoints.
pub fn cluster(name: &str, endpoints: &[SocketAddr]) -> Value {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|e| {
            json!({ "endpoint": { "address": { "socket_address": {
                "address": e.ip().to_string(), "port_value": e.port() } } } })
        })
        .collect();
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": endpoints }] },
    })
}

/// `cluster` speaking HTTP/2.
pub fn http2(mut cluster: Value) -> Value {
    cluster["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} },
        },
    });
    cluster
}

/// A request as a backend sees it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// First line.
    pub line: String,
    /// Fields with lower-case names.
    pub headers: HashMap<String, String>,
    /// Body.
    pub body: Vec<u8>,
}

/// A response as a client sees it.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// Status.
    pub status: u16,
    /// Fields with lower-case names.
    pub headers: HashMap<String, String>,
    /// Body.
    pub body: String,
}

/// What a backend does with a connection.
type Handler = dyn Fn(&mut TcpStream) + Send + Sync;

/// A server of a few lines.
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    /// Connections so far.
    pub connections: Arc<AtomicUsize>,
    /// Requests so far.
    pub requests: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Backend {
    /// Hands every connection to `handler` on a thread of its own.
    pub fn raw(handler: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(AtomicUsize::new(0));
        let handler: Arc<Handler> = Arc::new(handler);
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&connections));
        thread::spawn(move || {
            for stream in socket.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(mut stream) = stream else { return };
                counter.fetch_add(1, Ordering::Relaxed);
                let handler = Arc::clone(&handler);
                thread::spawn(move || handler(&mut stream));
            }
        });
        Self { address, connections, requests: Arc::default(), stop }
    }

    /// Answers HTTP/1.1 requests, keeping connections alive. `answer` gives the whole response; empty bytes close.
    pub fn http(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let mut backend = Self::raw(move |stream| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while let Some(request) = read_request(&mut reader) {
                counter.fetch_add(1, Ordering::Relaxed);
                let response = answer(&request);
                if response.is_empty() || stream.write_all(&response).is_err() {
                    return;
                }
            }
        });
        backend.requests = requests;
        backend
    }

    /// Answers every request with 200 and this body.
    pub fn text(body: &'static str) -> Self {
        Self::http(move |_| ok(body))
    }

    /// Answers with the request as it came: first line, fields, body.
    pub fn echo() -> Self {
        Self::http(|request| {
            let mut fields: Vec<_> = request.headers.iter().collect();
            fields.sort();
            let mut text = format!("{}\n", request.line);
            for (name, value) in fields {
                text.push_str(&format!("{name}: {value}\n"));
            }
            text.push('\n');
            text.push_str(&String::from_utf8_lossy(&request.body));
            ok(&text)
        })
    }

    /// How many requests it has had.
    pub fn hits(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// A 200 with this body.
pub fn ok(body: &str) -> Vec<u8> {
    status(200, body)
}

/// A response with this status and body.
pub fn status(code: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {code} X\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Reads one request; `None` at the end of the connection.
pub fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let (line, headers) = read_head(reader)?;
    let body = read_body(reader, &headers, 0);
    Some(Request { line, headers, body })
}

fn read_head(reader: &mut impl BufRead) -> Option<(String, HashMap<String, String>)> {
    let mut first = String::new();
    if reader.read_line(&mut first).ok()? == 0 {
        return None;
    }
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Some((first.trim_end().to_owned(), headers));
        }
        let (name, value) = line.split_once(':')?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

fn read_body(reader: &mut impl BufRead, headers: &HashMap<String, String>, status: u16) -> Vec<u8> {
    let mut body = Vec::new();
    if let Some(length) = headers.get("content-length") {
        body.resize(length.parse().unwrap(), 0);
        let _ = reader.read_exact(&mut body);
    } else if headers.get("transfer-encoding").is_some_and(|t| t == "chunked") {
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return body;
            }
            let size = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
            let mut chunk = vec![0; size + 2];
            if size == 0 {
                while reader.read_line(&mut line).unwrap_or(0) > 2 {
                    line.clear();
                }
                return body;
            }
            if reader.read_exact(&mut chunk).is_err() {
                return body;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    } else if status != 0 && status != 204 && status != 304 && status >= 200 {
        let _ = reader.read_to_end(&mut body);
    }
    body
}

/// A client's connection.
pub struct Client {
    /// The socket.
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    /// Writes bytes.
    pub fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).unwrap();
    }

    /// Reads one response; `None` when the connection has ended.
    pub fn receive(&mut self) -> Option<Response> {
        self.receive_for("GET")
    }

    /// The same for the response to a request of this method.
    pub fn receive_for(&mut self, method: &str) -> Option<Response> {
        let (line, headers) = read_head(&mut self.reader)?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let body = if method == "HEAD" { Vec::new() } else { read_body(&mut self.reader, &headers, status) };
        Some(Response { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Sends a GET and reads the response.
    pub fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"));
        self.receive().unwrap()
    }

    /// Everything until the peer closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        // A reset is an end as well.
        let _ = self.reader.read_to_end(&mut all);
        all
    }
}

/// One GET on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> Response {
    Client::connect(address).get(path)
}

/// One request with these fields, on a connection of its own.
pub fn request(address: SocketAddr, line: &str, fields: &[(&str, &str)]) -> Response {
    let mut client = Client::connect(address);
    let mut text = format!("{line} HTTP/1.1\r\nhost: test\r\n");
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    client.send(text + "\r\n");
    client.receive_for(line.split(' ').next().unwrap()).unwrap()
}

/// Waits until `done` says so, for at most five seconds.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(5);
    while !done() {
        assert!(Instant::now() < end, "{what}: not within five seconds");
        thread::sleep(Duration::from_millis(20));
    }
}
