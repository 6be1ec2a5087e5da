//! A proxy between sockets that say whatever a test wants.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::common::{
    Backend, Client, Proxy, Response, any_host, cluster, eventually, get, http, http2, listener,
};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy with one listener, `in`. Requests go to the cluster `app`, but for `/fine`, which goes to a server that is always
/// well: the neighbour whom no misbehaviour elsewhere may concern.
pub(crate) struct Rig {
    pub(crate) proxy: Proxy,
    log: NamedTempFile,
    _fine: Backend,
}

impl Rig {
    /// In front of an HTTP/1 server.
    pub(crate) fn h1(app: SocketAddr) -> Self {
        Self::with(cluster("app", &[app]), json!({}))
    }

    /// In front of an HTTP/2 server.
    pub(crate) fn h2(app: SocketAddr) -> Self {
        Self::with(http2(cluster("app", &[app])), json!({}))
    }

    /// With this cluster `app`; `manager` is merged into the connection manager.
    pub(crate) fn with(app: Value, manager: Value) -> Self {
        Self::routed(app, manager, json!({}))
    }

    /// The same; `route` is merged into the route to `app`.
    pub(crate) fn routed(app: Value, mut manager: Value, route: Value) -> Self {
        let fine = Backend::text("fine");
        let log = NamedTempFile::new().unwrap();
        manager["access_log"] = json!([{
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": log.path(),
                "log_format": { "text_format_source": { "inline_string":
                    "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n" } },
            },
        }]);
        let mut to_app =
            json!({ "match": { "prefix": "/" }, "route": { "cluster": "app", "timeout": "0s" } });
        for (key, value) in route.as_object().unwrap() {
            to_app["route"][key] = value.clone();
        }
        let connect = json!({ "match": { "connect_matcher": {} }, "route": to_app["route"] });
        let routes = any_host(json!([
            { "match": { "path": "/fine" }, "route": { "cluster": "fine" } },
            { "match": { "path": "/direct" }, "direct_response": { "status": 200, "body": { "inline_string": "direct" } } },
            connect,
            to_app,
        ]));
        let proxy = Proxy::start(json!({
            "listeners": [listener("in", http(routes, manager))],
            "clusters": [app, cluster("fine", &[fine.address])],
        }));
        Self { proxy, log, _fine: fine }
    }

    /// Where it listens.
    pub(crate) fn at(&self) -> SocketAddr {
        self.proxy.address("in")
    }

    /// A client's connection.
    pub(crate) fn client(&self) -> Client {
        let client = Client::connect(self.at());
        client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    }

    /// Sends `text` on a connection of its own. The first response, and what comes behind it until the proxy closes, which a
    /// test that ends so also asserts.
    pub(crate) fn ask(&self, text: impl AsRef<[u8]>) -> (Response, String) {
        let mut client = self.client();
        client.send(text.as_ref());
        let response = client.receive().unwrap_or_else(|| {
            panic!("no response to {:?}", String::from_utf8_lossy(text.as_ref()));
        });
        (response, String::from_utf8_lossy(&client.rest()).into_owned())
    }

    /// Everything that comes back until the proxy closes.
    pub(crate) fn exchange(&self, text: impl AsRef<[u8]>) -> String {
        let mut client = self.client();
        client.send(text.as_ref());
        String::from_utf8_lossy(&client.rest()).into_owned()
    }

    /// Each request gets its status, and the connection ends: nothing behind it is read as a request.
    pub(crate) fn refuses(&self, cases: &[(&str, u16)]) {
        for (text, status) in cases {
            let smuggled = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
            let (response, rest) = self.ask(format!("{text}{smuggled}"));
            assert_eq!(response.status, *status, "{text:?}");
            assert_eq!(rest, "", "{text:?}: the connection ends behind the refusal");
        }
        self.neighbours_are_fine();
    }

    /// Others are served as ever.
    pub(crate) fn neighbours_are_fine(&self) {
        let response = get(self.at(), "/fine");
        assert_eq!((response.status, response.body.as_str()), (200, "fine"));
    }

    /// Waits for a line of the access log that holds all of `words`.
    pub(crate) fn logged(&self, words: &[&str]) {
        let read = || std::fs::read_to_string(self.log.path()).unwrap();
        let found =
            || read().lines().any(|line| words.iter().all(|w| line.split(' ').any(|f| f.contains(w))));
        let end = Instant::now() + PATIENCE;
        while !found() {
            assert!(Instant::now() < end, "{words:?} not in {}", read());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until nothing is under way any more.
    pub(crate) fn settles(&self) {
        eventually("no request under way", || self.proxy.vitals().active_requests == 0);
    }
}

/// An HTTP/1 server that keeps what it was sent, byte for byte.
pub(crate) struct Upstream {
    pub(crate) backend: Backend,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    /// Does `script` with every connection; [`Peer::request`] reads requests.
    pub(crate) fn new(script: impl Fn(&mut Peer<'_>) + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let backend = Backend::raw(move |stream| {
            script(&mut Peer { stream, seen: Arc::clone(&kept), unread: Vec::new() });
        });
        Self { backend, seen }
    }

    /// Answers every request with these bytes.
    pub(crate) fn saying(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::new(move |peer| {
            while peer.request().is_some() {
                if peer.stream.write_all(&response).is_err() {
                    return;
                }
            }
        })
    }

    /// The same, and closes.
    pub(crate) fn saying_once(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::new(move |peer| {
            peer.request();
            let _ = peer.stream.write_all(&response);
        })
    }

    /// Answers 200 with this body.
    pub(crate) fn well() -> Self {
        Self::saying("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell")
    }

    pub(crate) fn at(&self) -> SocketAddr {
        self.backend.address
    }

    /// The requests that have come, whole.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// The request that came last.
    pub(crate) fn last(&self) -> String {
        self.seen().pop().unwrap_or_default()
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.backend.connections.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// The proxy as an upstream sees it.
pub(crate) struct Peer<'a> {
    pub(crate) stream: &'a mut TcpStream,
    seen: Arc<Mutex<Vec<String>>>,
    unread: Vec<u8>,
}

impl Peer<'_> {
    /// Reads one request with its body; `None` when the connection has ended.
    pub(crate) fn request(&mut self) -> Option<String> {
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let end = self.until(b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&self.unread[..end]).to_ascii_lowercase();
        let field = |name: &str| {
            let line = head.lines().find(|l| l.starts_with(name))?;
            Some(line[name.len()..].trim().to_owned())
        };
        let mut whole = end;
        if let Some(length) = field("content-length:").and_then(|l| l.parse::<usize>().ok()) {
            while self.unread.len() < end + length {
                self.more()?;
            }
            whole = end + length;
        } else if field("transfer-encoding:").is_some() {
            whole = loop {
                let body = &self.unread[end..];
                let last = body
                    .windows(3)
                    .position(|w| w == b"0\r\n")
                    .filter(|at| *at == 0 || body[..*at].ends_with(b"\r\n"));
                let behind = last.and_then(|at| {
                    let rest = &body[at + 1..];
                    rest.windows(4).position(|w| w == b"\r\n\r\n").map(|p| end + at + 1 + p + 4)
                });
                match behind {
                    Some(whole) => break whole,
                    None => self.more()?,
                }
            };
        }
        let text = String::from_utf8_lossy(&self.unread[..whole]).into_owned();
        self.unread.drain(..whole);
        self.seen.lock().unwrap().push(text.clone());
        Some(text)
    }

    /// Says something.
    pub(crate) fn say(&mut self, text: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(text.as_ref()).is_ok()
    }

    /// Waits until the proxy has closed.
    pub(crate) fn wait_for_end(&mut self) {
        let mut bytes = [0; 4096];
        while self.stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
    }

    fn until(&mut self, mark: &[u8]) -> Option<usize> {
        loop {
            if let Some(at) = self.unread.windows(mark.len()).position(|w| w == mark) {
                return Some(at + mark.len());
            }
            self.more()?;
        }
    }

    fn more(&mut self) -> Option<()> {
        let mut bytes = [0; 16 * 1024];
        let count = self.stream.read(&mut bytes).ok().filter(|c| *c > 0)?;
        self.unread.extend_from_slice(&bytes[..count]);
        Some(())
    }
}

/// Writes `piece` again and again until the other side has taken no more for a while: how many bytes it took. Fails at `most`.
pub(crate) fn push_until_stuck(stream: &mut TcpStream, piece: &[u8], most: usize) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(700))).unwrap();
    let mut taken = 0;
    loop {
        match stream.write(piece) {
            // A part of a piece would break frames: what is left of it goes first.
            Ok(count) if count < piece.len() => {
                taken += count;
                match stream.write_all(&piece[count..]) {
                    Ok(()) => taken += piece.len() - count,
                    Err(_) => return taken,
                }
            }
            Ok(count) => taken += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return taken;
            }
            // A reset is a refusal to take more as well.
            Err(_) => return taken,
        }
        assert!(taken < most, "{taken} bytes taken and no end");
    }
}

/// Lets a connection end with a reset when it is closed.
pub(crate) fn reset(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}
