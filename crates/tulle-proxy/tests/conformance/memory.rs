//! What misbehaving peers make the proxy hold, measured: the proxy is a process of its own, and its resident memory is read while
//! they misbehave. A neighbour asks all the while, and every one of its requests is answered.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tulle_proxy::worker::Settings;

use crate::{
    common::{Backend, Proxy, any_host, cluster, get, http, listener},
    wire_h2::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GET, HEADERS, INITIAL_WINDOW_SIZE, PING, POST,
        RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, settings,
    },
};

/// Tells the child what to run.
const CHILD: &str = "TULLE_TEST_PROXY";

/// Misbehaving peers at a time.
const PEERS: usize = 100;

/// The most that each of them may cost: a buffer of bulk transfer (256 KiB) that is read into, what waits to be written (64 KiB, in
/// memory that grows by doubling), a head, and room for the allocator.
const EACH: usize = 640 * 1024;

/// The most that the process may grow beside that.
const BESIDE: usize = 8 << 20;

/// Only a child: the proxy that the tests below look at. It ends when its input does.
#[test]
fn runs_as_a_process_of_its_own() {
    let Ok(resources) = std::env::var(CHILD) else { return };
    let resources: Value = serde_json::from_str(&resources).unwrap();
    let proxy = Proxy::with(resources, Settings::default());
    eprintln!("listens at {}", proxy.address("in"));
    let _ = std::io::stdin().read(&mut [0]);
}

/// A proxy in a process, and the neighbour who asks it for `/fine`.
struct Watched {
    child: Child,
    at: SocketAddr,
    before: usize,
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    neighbour: Option<JoinHandle<()>>,
    _fine: Backend,
}

impl Watched {
    /// In front of `app`.
    fn start(app: SocketAddr) -> Self {
        let fine = Backend::text("fine");
        let routes = any_host(json!([
            { "match": { "path": "/fine" }, "route": { "cluster": "fine" } },
            { "match": { "prefix": "/" }, "route": { "cluster": "app", "timeout": "0s" } },
        ]));
        let resources = json!({
            "listeners": [listener("in", http(routes, json!({})))],
            "clusters": [cluster("app", &[app]), cluster("fine", &[fine.address])],
        });
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "memory::runs_as_a_process_of_its_own", "--nocapture"])
            .env(CHILD, resources.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let at = loop {
            let line = lines.next().expect("the child has ended").unwrap();
            if let Some(at) = line.strip_prefix("listens at ") {
                break at.parse().unwrap();
            }
        };
        // What it says further must not block it.
        thread::spawn(move || lines.for_each(drop));
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let neighbour = {
            let (stop, answers) = (Arc::clone(&stop), Arc::clone(&answers));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(get(at, "/fine").status, 200, "the neighbour's");
                    answers.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(5));
                }
            })
        };
        let mut watched =
            Self { child, at, before: 0, stop, answers, neighbour: Some(neighbour), _fine: fine };
        watched.wait_for_answers(20);
        watched.before = watched.resident();
        watched
    }

    /// Bytes of memory that the process has now.
    fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    fn wait_for_answers(&self, more: usize) {
        let (from, end) = (self.answers.load(Ordering::Relaxed), Instant::now() + Duration::from_secs(60));
        while self.answers.load(Ordering::Relaxed) < from + more {
            assert!(Instant::now() < end, "the neighbour gets no answers");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Watches until the proxy no longer grows, and checks what `peers` of them have made of it.
    fn holds(&self, what: &str, peers: usize) {
        let (mut most, mut since) = (0, Instant::now());
        while since.elapsed() < Duration::from_secs(1) {
            let now = self.resident();
            if now > most + 64 * 1024 {
                (most, since) = (now, Instant::now());
            }
            let grown = now.saturating_sub(self.before);
            assert!(grown < peers * EACH + BESIDE, "{what}: {grown} bytes more for {peers} peers");
            thread::sleep(Duration::from_millis(10));
        }
        let grown = most.saturating_sub(self.before);
        eprintln!("{what}: {} KiB more, {} KiB each", grown / 1024, grown / 1024 / peers.max(1));
        self.wait_for_answers(20);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.neighbour.take().is_some_and(|n| n.join().is_err());
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
        assert!(!failed || thread::panicking(), "the neighbour was not served");
    }
}

/// An upstream that begins so and then says `piece` for ever.
fn endless(head: &'static str, piece: impl Into<Vec<u8>>) -> Backend {
    let piece = piece.into().repeat(64);
    Backend::raw(move |stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(head.as_bytes());
        while stream.write_all(&piece).is_ok() {}
    })
}

fn connect(at: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

const ASK: &str = "GET /stuck HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// Clients that read nothing of what they have asked for, over either version.
#[test]
fn clients_that_do_not_read_are_bounded() {
    let app = endless("HTTP/1.1 200 OK\r\n\r\n", "x".repeat(1000));
    let watched = Watched::start(app.address);
    let stuck: Vec<_> = (0..PEERS).map(|_| connect(watched.at, ASK)).collect();
    watched.holds("clients of HTTP/1 that do not read", stuck.len());
    drop(stuck);
    let wide = |_| {
        let mut frames = Frames::with(watched.at, &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]);
        frames.send(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]);
        (0..4).for_each(|n| frames.get(2 * n + 1, "/stuck"));
        frames
    };
    let stuck: Vec<_> = (0..PEERS / 4).map(wide).collect();
    watched.holds("clients of HTTP/2 that do not read", stuck.len() * 4);
    drop(stuck);
    let shut = |_| {
        let mut frames = Frames::with(watched.at, &[(INITIAL_WINDOW_SIZE, 0)]);
        (0..4).for_each(|n| frames.get(2 * n + 1, "/stuck"));
        frames
    };
    let stuck: Vec<_> = (0..PEERS / 4).map(shut).collect();
    watched.holds("streams without a window", stuck.len() * 4);
}

/// Windows that open and shut again, a byte at a time and all at once.
#[test]
fn windows_that_open_and_shut_are_bounded() {
    let app = endless("HTTP/1.1 200 OK\r\n\r\n", "x".repeat(1000));
    let watched = Watched::start(app.address);
    let mut all: Vec<_> = (0..20)
        .map(|_| {
            let mut frames = Frames::with(watched.at, &[(INITIAL_WINDOW_SIZE, 0)]);
            (0..4).for_each(|n| frames.get(2 * n + 1, "/stuck"));
            frames
        })
        .collect();
    for round in 0..200u32 {
        for frames in &mut all {
            let window = if round % 2 == 0 { 20_000 } else { 0 };
            frames.raw(&frame(SETTINGS, 0, 0, &settings(&[(INITIAL_WINDOW_SIZE, window)])));
            frames.send(WINDOW_UPDATE, 0, 1 + 2 * (round % 4), &[0, 0, 0, 1]);
        }
    }
    watched.holds("windows that open and shut", all.len() * 4);
}

/// Upstreams whose heads, informational responses and trailers never end: whoever asked gets an answer or an end, and little of
/// it is kept.
#[test]
fn answers_without_end_are_bounded() {
    for (what, app) in [
        ("one field without end", endless("HTTP/1.1 200 OK\r\nx: ", "y".repeat(1000))),
        ("fields without end", endless("HTTP/1.1 200 OK\r\n", "x: y\r\n".repeat(100))),
        ("a status line without end", endless("HTTP/1.1 200 ", "y".repeat(1000))),
        ("informational responses", endless("", "HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n")),
        (
            "a chunk size without end",
            endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "0".repeat(1000)),
        ),
        (
            "an extension without end",
            endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", "x".repeat(1000)),
        ),
        (
            "trailers without end",
            endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "x: y\r\n".repeat(100)),
        ),
    ] {
        let watched = Watched::start(app.address);
        let asking: Vec<_> = (0..PEERS / 4).map(|_| connect(watched.at, ASK)).collect();
        watched.holds(what, asking.len());
        for mut stream in asking {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut answer = Vec::new();
            // An end of any kind, but no silence.
            if let Err(error) = stream.read_to_end(&mut answer) {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{what}");
            }
            assert!(answer.starts_with(b"HTTP/1.1 "), "{what}");
        }
    }
}

/// Clients whose heads and bodies never end, or come to an upstream that does not read.
#[test]
fn requests_without_end_are_bounded() {
    let app = Backend::raw(|stream| {
        let _ = stream.read(&mut [0; 100]);
        thread::sleep(Duration::from_secs(60));
    });
    let watched = Watched::start(app.address);
    let part = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "y".repeat(50_000));
    let slow: Vec<_> = (0..PEERS).map(|_| connect(watched.at, &part)).collect();
    watched.holds("heads that are not complete", slow.len());
    drop(slow);
    let push = |_| {
        let mut stream =
            connect(watched.at, "POST /stuck HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
        stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000)).repeat(64);
        while stream.write_all(chunk.as_bytes()).is_ok() {}
        stream
    };
    let stuck: Vec<_> = (0..20).map(push).collect();
    watched.holds("bodies for an upstream that does not read", stuck.len());
}

/// Floods of HTTP/2: each connection ends, or is not read from; what was sent is not kept.
#[test]
fn floods_are_bounded() {
    let app = Backend::raw(|stream| drop(stream.read_to_end(&mut Vec::new())));
    let watched = Watched::start(app.address);
    let (get, post) = (block(&GET), block(&POST));
    let opened = |flags, id, head: &[u8]| frame(HEADERS, END_HEADERS | flags, id, head);
    let resets: Vec<u8> = (0..20_000u32)
        .flat_map(|n| {
            [opened(END_STREAM, 2 * n + 1, &get), frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8])].concat()
        })
        .collect();
    let field = block(&[("x", &"y".repeat(1000))]);
    let heads: Vec<u8> =
        [frame(HEADERS, END_STREAM, 1, &get), frame(CONTINUATION, 0, 1, &field).repeat(2000)].concat();
    let nothing: Vec<u8> = [opened(0, 1, &post), frame(DATA, 0, 1, b"").repeat(100_000)].concat();
    let trailers: Vec<u8> = (0..20_000u32)
        .flat_map(|n| [opened(0, 2 * n + 1, &post), frame(HEADERS, 0, 2 * n + 1, &field)].concat())
        .collect();
    for (what, bytes) in [
        ("rapid resets", resets),
        ("CONTINUATION", heads),
        ("empty DATA", nothing),
        ("SETTINGS", frame(SETTINGS, 0, 0, &settings(&[(INITIAL_WINDOW_SIZE, 1)])).repeat(200_000)),
        ("PING", frame(PING, 0, 0, &[0; 8]).repeat(200_000)),
        ("heads that are never complete", trailers),
    ] {
        let flood = |_| {
            let mut frames = Frames::connect(watched.at);
            let _ = frames.stream().set_write_timeout(Some(Duration::from_millis(500)));
            frames.raw(&bytes);
            frames
        };
        let floods: Vec<_> = (0..10).map(flood).collect();
        watched.holds(what, floods.len());
    }
}
