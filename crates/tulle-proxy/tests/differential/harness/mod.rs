//! Runs the cases of an area through both proxies and compares.

pub mod answer;
pub mod case;
mod client;
pub mod config;
pub mod draw;
mod logs;
mod normal;
mod proxies;
mod spans;
mod upstream;
mod upstream_h2;

use std::{
    collections::BTreeMap,
    net::{Ipv6Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use self::{
    answer::{Answer, Stage},
    case::{Case, Talk},
    normal::Normal,
    proxies::Side,
    upstream::Upstream,
};
use crate::differences;

/// A bootstrap and the cases that are sent through it.
pub struct Area {
    pub name: &'static str,
    listeners: Vec<(String, Value)>,
    clusters: Vec<Value>,
    pub cases: Vec<Case>,
    log: Option<Value>,
    checks: Vec<(String, Answer)>,
}

/// Bytes as text: those outside printable ASCII are escaped, but for line ends.
pub fn text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\r' | b'\n' | 0x20..0x7f => out.push(char::from(*byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out
}

/// A port of loopback that nobody else gets while the socket lives: bound, so that another socket with SO_REUSEPORT may listen
/// there.
pub fn reserve() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Whether the machine speaks IPv6 on loopback.
pub fn has_v6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// A port like that of [`reserve`] which nobody else gets at ::1 either, where there is IPv6.
fn reserve_both() -> (Vec<socket2::Socket>, SocketAddr) {
    loop {
        let (socket, address) = reserve();
        if !has_v6() {
            return (vec![socket], address);
        }
        let other = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
        other.set_only_v6(true).unwrap();
        other.set_reuse_port(true).unwrap();
        if other.bind(&SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())).into()).is_ok() {
            return (vec![socket, other], address);
        }
    }
}

/// What differs in each of so many runs is wrong. What does not is said, and is the machine's: that a process was not given time while
/// another one had it.
const TRIES: usize = 3;

impl Area {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            listeners: Vec::new(),
            clusters: Vec::new(),
            cases: Vec::new(),
            log: None,
            checks: Vec::new(),
        }
    }

    /// Every connection manager added from here on logs lines of this format, which are compared.
    pub fn logging(&mut self, format: &str) {
        self.log = Some(json!({ "text_format_source": { "inline_string": format!("{format}\n") } }));
    }

    /// The format that was given to [`Area::logging`].
    pub fn log_format(&self) -> Value {
        self.log.clone().unwrap()
    }

    /// A cluster of the upstreams with these names.
    pub fn cluster(&mut self, name: &str, upstreams: &[&str], extra: Value) {
        self.clusters.push(config::cluster(name, upstreams, &extra));
    }

    /// A cluster as it is written here.
    pub fn written_cluster(&mut self, cluster: Value) {
        self.clusters.push(cluster);
    }

    /// What an upstream answers to health checks (requests for `/health…`, and those of gRPC) in every case.
    pub fn check(&mut self, upstream: &str, answer: Answer) {
        self.checks.push((upstream.to_owned(), answer));
    }

    /// A listener with one chain of these filters.
    pub fn listener(&mut self, name: &str, filters: Value, extra: Value) {
        let listener = json!({
            "name": name,
            "address": { "socket_address": {
                "address": "127.0.0.1", "port_value": format!("{{listener:{name}}}") } },
            "filter_chains": [{ "filters": filters }],
        });
        self.listeners.push((name.to_owned(), config::merged(listener, &extra)));
    }

    /// A listener for HTTP with these virtual hosts; `extra` is merged into the connection manager.
    pub fn http(&mut self, name: &str, virtual_hosts: Value, extra: Value) {
        let log = self.log.as_ref().map(|format| config::access_log("{log}", format));
        self.listener(name, config::manager(virtual_hosts, &extra, log), json!({}));
    }

    /// Adds a case.
    pub fn case(&mut self, name: impl Into<String>, listener: &str, talk: impl Into<Talk>) -> &mut Case {
        let name = name.into();
        assert!(self.cases.iter().all(|c| c.name != name), "{}: two cases are called {name:?}", self.name);
        let mut case = Case::new(name, listener, talk);
        if self.log.is_none() {
            case.lines = 0;
        }
        self.cases.push(case);
        self.cases.last_mut().unwrap()
    }

    /// Runs everything; panics with all disagreements. `CASE` (a part of a name) picks cases.
    pub fn run(mut self) {
        let Some(program) = envoy() else { return };
        if let Ok(part) = std::env::var("CASE") {
            self.cases.retain(|c| c.name.contains(&part));
        }
        if self.cases.is_empty() {
            return;
        }
        if self.cases.iter().any(|c| c.v6) && !has_v6() {
            eprintln!("skipped: the machine has no ::1");
            return;
        }
        let mut dir = tempfile::tempdir().unwrap();
        if std::env::var_os("KEEP").is_some() {
            dir.disable_cleanup(true);
            eprintln!("kept: {}", dir.path().display());
        }
        let stage = Stage::default();
        let set = Set::new(&self, &stage, dir.path());
        let resources = set.resources(&self);
        let mut wrong: Option<Vec<String>> = None;
        for _ in 0..TRIES {
            stage.reset(&self.checks);
            let envoy = {
                let _side = Side::envoy(&program, &resources, dir.path(), set.probe.1);
                set.run(&self, &stage)
            };
            stage.reset(&self.checks);
            let ours = {
                let _side = Side::ours(&resources);
                set.run(&self, &stage)
            };
            let now = self.wrong(&envoy, &ours);
            let chance = |name: &str| now.iter().all(|(n, _)| n != name);
            let left = match &wrong {
                None => now.iter().map(|(name, _)| name.clone()).collect(),
                Some(before) => before.iter().filter(|name| !chance(name)).cloned().collect::<Vec<_>>(),
            };
            for (name, what) in now.iter().filter(|(name, _)| left.contains(name)) {
                eprintln!("differential {}: {name}: {what}", self.name);
            }
            let done = left.is_empty();
            wrong = Some(left);
            if done {
                break;
            }
        }
        self.report(&wrong.unwrap_or_default());
    }

    /// The cases in which one run of both is not as it should be, and how.
    fn wrong(&self, envoy: &[Vec<String>], ours: &[Vec<String>]) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        for ((case, envoy), ours) in self.cases.iter().zip(envoy).zip(ours) {
            let what = match (envoy == ours, differences::of(self.name, &case.name)) {
                (true, None) | (false, Some(_)) => None,
                (true, Some(id)) => Some(format!("listed as {id}, but does not differ")),
                (false, None) => Some(difference(envoy, ours)),
            };
            wrong.extend(what.map(|what| (case.name.clone(), what)));
            if std::env::var_os("VERBOSE").is_some() {
                eprintln!("--- {}\nenvoy\n{}\nours\n{}", case.name, envoy.join("\n"), ours.join("\n"));
            }
        }
        wrong
    }

    fn report(&self, wrong: &[String]) {
        let of = |case: &&Case| !wrong.contains(&case.name);
        let differs = |case: &&Case| differences::of(self.name, &case.name).is_some();
        let listed = self.cases.iter().filter(of).filter(differs).count();
        let agree = self.cases.len() - wrong.len() - listed;
        eprintln!(
            "differential {}: {agree} agree, {listed} differ as listed, {} wrong",
            self.name,
            wrong.len()
        );
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), self.cases.len(), wrong.join("\n"));
    }
}

/// The stock Envoy to compare with: `ENVOY`, which `./test` sets. Empty: another step compares.
pub fn envoy() -> Option<String> {
    match std::env::var("ENVOY") {
        Ok(program) if !program.is_empty() => Some(program),
        Ok(_) => None,
        Err(_) => {
            let ci = std::env::var("CI").is_ok_and(|v| v == "true");
            assert!(!ci, "ENVOY does not name a stock Envoy");
            eprintln!("skipped: ENVOY does not name a stock Envoy");
            None
        }
    }
}

/// The lines that only one side has, in one line.
fn difference(envoy: &[String], ours: &[String]) -> String {
    let only = |these: &[String], those: &[String]| {
        let mut rest: Vec<&String> = those.iter().collect();
        let mut only = Vec::new();
        for line in these {
            match rest.iter().position(|l| *l == line) {
                Some(at) => drop(rest.remove(at)),
                None => only.push(line.trim()),
            }
        }
        if only.is_empty() { "(nothing more)".to_owned() } else { only.join(" / ") }
    };
    let (left, right) = (only(envoy, ours), only(ours, envoy));
    if left == right { "the order differs".to_owned() } else { format!("Envoy {left}  OURS {right}") }
}

/// Upstreams and ports, the same for both sides.
struct Set {
    upstreams: Vec<Upstream>,
    listeners: BTreeMap<String, (Vec<socket2::Socket>, SocketAddr)>,
    probe: (socket2::Socket, SocketAddr),
    log: PathBuf,
}

impl Set {
    fn new(area: &Area, stage: &Stage, dir: &Path) -> Self {
        let mut names: Vec<String> = Vec::new();
        for text in area.clusters.iter().map(Value::to_string) {
            for part in text.split("{port:").skip(1) {
                let name = part.split('}').next().unwrap_or_default().to_owned();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Self {
            upstreams: names.iter().map(|name| Upstream::start(name, stage)).collect(),
            listeners: area.listeners.iter().map(|(name, _)| (name.clone(), reserve_both())).collect(),
            probe: reserve(),
            log: dir.join("access.log"),
        }
    }

    fn at(&self, case: &Case) -> SocketAddr {
        let listener = &case.listener;
        let at = self.listeners.get(listener).unwrap_or_else(|| panic!("no listener {listener}")).1;
        if case.v6 { (Ipv6Addr::LOCALHOST, at.port()).into() } else { at }
    }

    /// Puts addresses and ports in place of their names.
    fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for upstream in &self.upstreams {
            let (name, address) = (&upstream.name, upstream.address);
            text = text.replace(&format!("\"{{port:{name}}}\""), &address.port().to_string());
            text = text.replace(&format!("{{port:{name}}}"), &address.port().to_string());
            text = text.replace(&format!("{{{name}}}"), &address.to_string());
            let plain = address.to_string();
            let message = [&[0x0a, plain.len() as u8], plain.as_bytes()].concat();
            text = text.replace(&format!("{{base64:{name}}}"), &STANDARD.encode(&plain));
            // Sessions that ended in 1970, and that last until 2100.
            let ended = [&message[..], &[0x10, 1]].concat();
            let lasting = [&message[..], &[0x10, 0x80, 0xae, 0x99, 0xa4, 0x0f]].concat();
            text = text.replace(&format!("{{session:{name}}}"), &STANDARD.encode(message));
            text = text.replace(&format!("{{ended:{name}}}"), &STANDARD.encode(ended));
            text = text.replace(&format!("{{lasting:{name}}}"), &STANDARD.encode(lasting));
        }
        for (name, (_, address)) in &self.listeners {
            text = text.replace(&format!("\"{{listener:{name}}}\""), &address.port().to_string());
            text = text.replace(&format!("{{listener:{name}}}"), &address.port().to_string());
        }
        text.replace("{log}", &self.log.display().to_string())
    }

    fn resources(&self, area: &Area) -> Value {
        // Where one can see that a proxy is up, without a line in the area's log.
        let probe = json!({
            "name": "probe",
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": self.probe.1.port() } },
            "filter_chains": [{ "filters": config::manager(json!([]), &json!({}), None) }],
        });
        let mut listeners: Vec<&Value> = area.listeners.iter().map(|(_, l)| l).collect();
        listeners.push(&probe);
        let all = json!({ "listeners": listeners, "clusters": area.clusters });
        serde_json::from_str(&self.fill(&all.to_string())).unwrap()
    }

    /// Runs every case against whoever listens; what each looked like.
    fn run(&self, area: &Area, stage: &Stage) -> Vec<Vec<String>> {
        // Emptied, not removed: Envoy has it open already.
        std::fs::File::create(&self.log).unwrap();
        let mut logged = 0;
        area.cases.iter().map(|case| self.one(case, stage, &mut logged)).collect()
    }

    fn one(&self, case: &Case, stage: &Stage, logged: &mut usize) -> Vec<String> {
        stage.begin(&case.answers, &case.named);
        let mut stream = client::connect(self.at(case), case.from);
        let mut normal = Normal {
            ports: vec![(stream.local_addr().unwrap().port(), "CLIENT")],
            cased: case.cased,
            ..Normal::default()
        };
        let start = Instant::now();
        let received = match &case.talk {
            Talk::Http1(turns) => {
                let turns: Vec<_> = turns.iter().map(|t| self.filled(t)).collect();
                client::http1(&mut stream, &turns, case.until_closed)
            }
            Talk::Http2(requests) => client::http2(&mut stream, requests),
            Talk::Tcp(bytes) => client::tcp(&mut stream, bytes),
        };
        let halves = (start.elapsed().as_millis() + 250) / 500;
        let mut seen = stage.end(case.expected, case.spans);
        seen.sort_by(|a, b| a.upstream.cmp(&b.upstream));
        let (reports, seen): (Vec<_>, Vec<_>) =
            seen.into_iter().partition(|s| spans::is_collector(&s.upstream));
        normal.ports.extend(seen.iter().map(|s| (s.port, "LOCAL")));
        let mut lines = Vec::new();
        received.iter().for_each(|r| normal.received(r, &mut lines));
        if !case.blind {
            seen.iter().for_each(|s| normal.seen(s, &mut lines));
        }
        if case.timed {
            lines.push(format!("took {halves} halves of a second"));
        }
        normal.reported(&reports, &mut lines);
        for check in stage.checked().iter().filter(|_| case.checks) {
            lines.push("checked".to_owned());
            normal.seen(check, &mut lines);
        }
        for line in self.log_lines(logged, case) {
            lines.push(format!("log: {}", normal.text(&line)));
        }
        // Only now, so that no log says that the client went away.
        drop(stream);
        lines
    }

    fn filled(&self, turn: &case::Turn) -> case::Turn {
        match String::from_utf8(turn.bytes.clone()) {
            Ok(text) => case::Turn { bytes: self.fill(&text).into_bytes(), ..turn.clone() },
            Err(_) => turn.clone(),
        }
    }

    /// The next lines of the access log: waits until there are as many as the case says.
    fn log_lines(&self, logged: &mut usize, case: &Case) -> Vec<String> {
        if case.lines == 0 {
            return Vec::new();
        }
        let patience = Instant::now() + Duration::from_secs(10);
        loop {
            let text = std::fs::read(&self.log).map(|b| self::text(&b)).unwrap_or_default();
            let complete = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
            let lines: Vec<String> = complete.lines().skip(*logged).map(str::to_owned).collect();
            let counted = lines.iter().filter(|l| l.starts_with(case.counted)).count();
            if counted >= case.lines || Instant::now() > patience {
                *logged += lines.len();
                return lines;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
