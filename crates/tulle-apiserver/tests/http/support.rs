//! An API over a store in memory, on a port of loopback, and a client for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tulle_apiserver::{Identity, Limits, NoMachine, Options, Role, Server, Token};
use tulle_store::Memory;
use tulle_telemetry::audit::AuditLog;

/// Only catches hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Api {
    pub(crate) store: Memory,
    pub(crate) address: SocketAddr,
    agent: ureq::Agent,
    _server: Server,
    _runtime: tokio::runtime::Runtime,
}

/// What the API answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) warnings: Vec<String>,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.code), "{} {}", self.code, self.text);
        self.body
    }

    /// The reason of a failure that is a well-formed Status.
    #[track_caller]
    pub(crate) fn reason(&self) -> String {
        assert_eq!(self.body["kind"], "Status", "{} {}", self.code, self.text);
        assert_eq!((&self.body["status"], &self.body["code"]), (&json!("Failure"), &json!(self.code)));
        assert!(!self.body["message"].as_str().unwrap().is_empty());
        self.body["reason"].as_str().unwrap().to_owned()
    }
}

impl Api {
    pub(crate) fn start() -> Self {
        Self::with(Memory::new(), Limits::default())
    }

    pub(crate) fn with(store: Memory, limits: Limits) -> Self {
        Self::audited(store, limits, AuditLog::default())
    }

    pub(crate) fn audited(store: Memory, limits: Limits, audit: AuditLog) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let token = |secret, name: &str, role| Token::new(secret, Identity { name: name.into(), role });
        let options = Options {
            store: Arc::new(store.clone()),
            tokens: vec![
                token("admin", "tulle:admin", Role::Admin),
                token("viewer", "tulle:viewer", Role::Viewer),
            ],
            limits,
            machine: Arc::new(NoMachine),
            tls: None,
            audit,
        };
        let server = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            Server::start(listener, options).unwrap()
        });
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        let address = server.address();
        Self { store, address, agent: config.into(), _server: server, _runtime: runtime }
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut builder =
            ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            builder = builder.header("authorization", "Bearer admin");
        }
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let mut response = self.agent.run(builder.body(body.to_vec()).unwrap()).unwrap();
        let headers = response.headers().clone();
        let text =
            String::from_utf8_lossy(&response.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap())
                .into_owned();
        let warnings = headers.get_all("warning").iter().map(|v| v.to_str().unwrap().to_owned()).collect();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { code: response.status().as_u16(), warnings, headers, body, text }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path, &[], b"")
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.request(method, path, &headers, body.to_string().as_bytes())
    }

    pub(crate) fn patch(&self, path: &str, kind: &str, body: &Value) -> Answer {
        let kind = match kind {
            "apply" => "application/apply-patch+yaml".to_owned(),
            kind => format!("application/{kind}-patch+json"),
        };
        self.request("PATCH", path, &[("content-type", &kind)], body.to_string().as_bytes())
    }

    /// Creates a ConfigMap in `shop`.
    #[track_caller]
    pub(crate) fn config_map(&self, name: &str, labels: &Value, data: &Value) -> Value {
        let object = json!({"metadata": {"name": name, "labels": labels}, "data": data});
        self.send("POST", "/api/v1/namespaces/shop/configmaps", &object).ok()
    }

    /// The lines of a watch, as they come.
    pub(crate) fn watch(&self, path: &str) -> Lines {
        self.watch_with(path, "")
    }

    pub(crate) fn watch_with(&self, path: &str, headers: &str) -> Lines {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head =
            format!("GET {path} HTTP/1.1\r\nhost: api\r\nauthorization: Bearer admin\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut status = String::new();
        reader.read_line(&mut status).unwrap();
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        Lines { reader, pending: Vec::new() }
    }
}

/// Lines of a chunked body.
pub(crate) struct Lines {
    reader: BufReader<TcpStream>,
    pending: Vec<u8>,
}

impl Lines {
    /// The next event; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.pending.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let mut size = String::new();
            self.reader.read_line(&mut size).unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
            if size == 0 {
                return None;
            }
            let mut piece = vec![0; size + 2];
            self.reader.read_exact(&mut piece).unwrap();
            piece.truncate(size);
            self.pending.extend(piece);
        }
    }

    /// Type and name of the next event.
    #[track_caller]
    pub(crate) fn event(&mut self) -> (String, String) {
        let event = self.next().expect("the watch goes on");
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

pub(crate) fn event(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}
