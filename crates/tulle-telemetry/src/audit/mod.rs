//! The audit log: one stream of security events, one JSON object a line, in a form that does not change (docs/security.md).
//!
//! Whoever records an event never waits: events go through a bounded queue to a thread that writes them. What does not fit is
//! counted, and the number is written as an event of its own as soon as there is room, so that a reader sees every gap twice: by it,
//! and by the numbers of the events.

pub mod otlp;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::access_log::rfc3339;

/// What the field `schema` of every line says. Fields are added under the same name; one that changes gets another.
pub const SCHEMA: &str = "tulle.dev/audit/v1";
/// Events that may wait to be written.
const QUEUE: usize = 8192;
/// Size at which a file is set aside, in bytes; default 64 MiB.
const MAX_FILE: u64 = 64 << 20;
/// Longest text of a field, in bytes; what is longer is cut.
const MAX_TEXT: usize = 4096;

macro_rules! events {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal;)*) => {
        /// What happened. The names are those of the field `event`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Event { $($(#[doc = $doc])+ $variant,)* }

        impl Event {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

events! {
    /// A certificate was signed. Actor: whose it is; subject: the same; details: serial, credential, pod, notAfter, root.
    CertificateIssued = "certificate.issued";
    /// A certificate was not signed. Actor: who asked, as far as it is known; details: pod.
    CertificateRefused = "certificate.refused";
    /// A discovery stream was opened. Actor: the certificate's identity, or nobody in the clear; subject: the node.
    StreamAdmitted = "discovery.admitted";
    /// A discovery stream was refused. Subject: the address.
    StreamRefused = "discovery.refused";
    /// A rotation of the root took a step, or was refused one. Actor: who asked; details: from, to, and whom it passes over.
    RootRotation = "ca.rotation";
    /// Something that the mesh is configured by was written or deleted. Actor: the field manager that the API notes, or the file;
    /// subject: the resource; details: change, version.
    ConfigChanged = "config.changed";
    /// Something that the mesh is to be configured by was not taken: its writer may not write it, or it is wrong. Actor: the user of the
    /// API, or the file; subject: what was asked, or the resource; details: code.
    ConfigRefused = "config.refused";
    /// Something was done on the dashboard, or refused. Actor: the session or token, or the client's address; subject: method and path, or
    /// login.
    DashboardUsed = "dashboard.used";
    /// An administrative endpoint was used. Actor: the client's address; subject: method and path.
    AdminUsed = "admin.used";
    /// A request or connection was denied. Actor: the peer; subject: what it asked for; details: policy, rule.
    RequestDenied = "request.denied";
    /// A request or connection was admitted, and an AUDIT policy asks for its record. Actor and subject as of those denied; details:
    /// policy, client, status.
    RequestAudited = "request.audited";
    /// A TLS peer was refused for its certificate. Actor: nobody, since nothing it says is known to be true; subject: where; details:
    /// client or endpoint, fault.
    PeerRefused = "peer.refused";
    /// Identity was handed to another process. Actor: its process id and user; subject: what.
    IdentityServed = "identity.served";
    /// Events before this one were lost. Details: count.
    Lost = "audit.lost";
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As was asked.
    Success,
    /// Refused, for the reason in the field `reason`.
    Refused,
}

/// One event.
#[derive(Clone, Debug)]
pub struct Entry {
    event: Event,
    outcome: Outcome,
    at: SystemTime,
    actor: String,
    subject: String,
    reason: String,
    details: Vec<(&'static str, Value)>,
}

impl Entry {
    /// Something that was done, now.
    pub fn new(event: Event, actor: impl Into<String>, subject: impl Into<String>) -> Self {
        Self {
            event,
            outcome: Outcome::Success,
            at: SystemTime::now(),
            actor: cut(actor.into()),
            subject: cut(subject.into()),
            reason: String::new(),
            details: Vec::new(),
        }
    }

    /// It was refused.
    #[must_use]
    pub fn refused(mut self, reason: impl Into<String>) -> Self {
        (self.outcome, self.reason) = (Outcome::Refused, cut(reason.into()));
        self
    }

    /// One more detail; an empty text is left out.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        let value = match value.into() {
            Value::String(text) if text.is_empty() => return self,
            Value::String(text) => Value::String(cut(text)),
            other => other,
        };
        self.details.push((name, value));
        self
    }

    /// What happened.
    pub fn event(&self) -> Event {
        self.event
    }

    fn value(self, component: &str, instance: &str, number: u64) -> Value {
        let Self { event, outcome, at, actor, subject, reason, details } = self;
        let outcome = match outcome {
            Outcome::Success => "success",
            Outcome::Refused => "refused",
        };
        let details: Map<String, Value> =
            details.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        json!({
            "schema": SCHEMA, "time": rfc3339(at.duration_since(UNIX_EPOCH).unwrap_or_default()),
            "component": component, "instance": instance, "number": number,
            "event": event.as_str(), "outcome": outcome, "actor": actor, "subject": subject,
            "reason": reason, "details": details,
        })
    }
}

/// Seconds since the epoch as in the field `time`, without a fraction: `2026-11-29T14:45:00Z`.
pub fn timestamp(seconds: u64) -> String {
    let mut text = rfc3339(Duration::from_secs(seconds));
    if let Some(end) = text.rfind('.') {
        text.replace_range(end.., "Z");
    }
    text
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// A file, appended to; at 64 MiB it becomes `FILE.1`, whose predecessor is removed. Only its owner may read it.
    File(PathBuf),
    /// A collector of OpenTelemetry.
    Otlp(otlp::Endpoint),
}

impl Sink {
    /// Reads `-` (standard output), `http://HOST[:PORT][/PATH]` (a collector) or the name of a file.
    ///
    /// # Errors
    /// A sentence that says what is wrong with a URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "-" => Ok(Self::Stdout),
            "" => Err("a file, - for stdout, or a URL is needed".to_owned()),
            url if url.contains("://") => otlp::Endpoint::parse(url).map(Self::Otlp),
            file => Ok(Self::File(file.into())),
        }
    }
}

/// Records events. Clones are the same log; the default one records nothing.
#[derive(Clone, Default)]
pub struct AuditLog(Option<Arc<Shared>>);

struct Shared {
    queue: SyncSender<Entry>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    recorded: AtomicU64,
    lost: AtomicU64,
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuditLog").field(&self.0.as_ref().map(|shared| &shared.counts)).finish()
    }
}

impl AuditLog {
    /// Starts to write to `sinks`. `component` is `control-plane` or `proxy`, `instance` which of them.
    ///
    /// # Errors
    /// A file that cannot be opened, or a thread that cannot be started.
    pub fn start(component: &str, instance: &str, sinks: &[Sink]) -> io::Result<Self> {
        let counts = Arc::new(Counts::default());
        let mut outputs: Vec<Box<dyn Output>> = Vec::new();
        for sink in sinks {
            outputs.push(match sink {
                Sink::Stdout => Box::new(io::stdout()),
                Sink::File(path) => Box::new(Rolled::open(path, MAX_FILE)?),
                Sink::Otlp(to) => {
                    Box::new(otlp::Otlp::start(to.clone(), component, instance, Arc::clone(&counts))?)
                }
            });
        }
        Self::write_to(component, instance, outputs, QUEUE, counts)
    }

    fn write_to(
        component: &str,
        instance: &str,
        outputs: Vec<Box<dyn Output>>,
        queue: usize,
        counts: Arc<Counts>,
    ) -> io::Result<Self> {
        let (queue, events) = sync_channel(queue);
        let writer = Writer {
            component: component.to_owned(),
            instance: instance.to_owned(),
            outputs,
            counts: Arc::clone(&counts),
            number: 0,
            told_lost: 0,
        };
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(&events))?;
        Ok(Self(Some(Arc::new(Shared { queue, counts }))))
    }

    /// Records an event; never waits.
    pub fn record(&self, entry: Entry) {
        let Some(shared) = &self.0 else { return };
        match shared.queue.try_send(entry) {
            Ok(()) => shared.counts.recorded.fetch_add(1, Ordering::Relaxed),
            Err(_) => shared.counts.lost.fetch_add(1, Ordering::Relaxed),
        };
    }

    /// Whether anything is recorded: an event that is costly to describe need not be, otherwise.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Events recorded so far.
    pub fn recorded(&self) -> u64 {
        self.0.as_ref().map_or(0, |s| s.counts.recorded.load(Ordering::Relaxed))
    }

    /// Events lost so far, because the queue was full or they could not be written.
    pub fn lost(&self) -> u64 {
        self.0.as_ref().map_or(0, |s| s.counts.lost.load(Ordering::Relaxed))
    }
}

trait Output: Send {
    /// Takes an event, and the same as a line.
    fn put(&mut self, event: &Value, line: &str) -> io::Result<()>;
}

impl Output for io::Stdout {
    fn put(&mut self, _event: &Value, line: &str) -> io::Result<()> {
        let mut out = self.lock();
        out.write_all(line.as_bytes())?;
        out.flush()
    }
}

/// A file that is set aside when it is large.
struct Rolled {
    path: PathBuf,
    file: File,
    size: u64,
    max: u64,
}

impl Rolled {
    fn open(path: &Path, max: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size, max })
    }
}

impl Output for Rolled {
    fn put(&mut self, _event: &Value, line: &str) -> io::Result<()> {
        if self.size > 0 && self.size + line.len() as u64 > self.max {
            let mut aside = self.path.clone().into_os_string();
            aside.push(".1");
            std::fs::rename(&self.path, aside)?;
            *self = Self::open(&self.path, self.max)?;
        }
        self.file.write_all(line.as_bytes())?;
        self.size += line.len() as u64;
        Ok(())
    }
}

struct Writer {
    component: String,
    instance: String,
    outputs: Vec<Box<dyn Output>>,
    counts: Arc<Counts>,
    number: u64,
    told_lost: u64,
}

impl Writer {
    /// Until the last handle is gone and everything is written.
    fn run(mut self, events: &Receiver<Entry>) {
        while let Ok(entry) = events.recv() {
            self.tell_lost();
            self.write(entry);
        }
        self.tell_lost();
    }

    fn tell_lost(&mut self) {
        let lost = self.counts.lost.load(Ordering::Relaxed);
        if lost > self.told_lost {
            let count = lost - self.told_lost;
            self.told_lost = lost;
            self.write(Entry::new(Event::Lost, "", "").with("count", count));
        }
    }

    fn write(&mut self, entry: Entry) {
        self.number += 1;
        let event = entry.value(&self.component, &self.instance, self.number);
        let line = format!("{event}\n");
        for output in &mut self.outputs {
            if output.put(&event, &line).is_err() {
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
                // A full disk stays full for a while: nothing is won by trying as fast as events come.
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// Whether lines pass, and those that did.
    type Passed = Mutex<(bool, Vec<String>)>;

    #[derive(Clone, Default)]
    struct Gate(Arc<(Passed, Condvar)>);

    impl Output for Gate {
        fn put(&mut self, _event: &Value, line: &str) -> io::Result<()> {
            let (lock, bell) = &*self.0;
            let mut state = bell.wait_while(lock.lock().unwrap(), |(open, _)| !*open).unwrap();
            state.1.push(line.to_owned());
            bell.notify_all();
            Ok(())
        }
    }

    impl Gate {
        fn open(&self, lines: usize) -> Vec<Value> {
            let (lock, bell) = &*self.0;
            lock.lock().unwrap().0 = true;
            bell.notify_all();
            let state = bell.wait_while(lock.lock().unwrap(), |(_, seen)| seen.len() < lines).unwrap();
            state.1.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    fn entry(subject: &str) -> Entry {
        Entry::new(Event::CertificateIssued, "a", subject)
    }

    #[test]
    fn a_line_has_every_field_of_the_schema() {
        let entry = Entry::new(Event::CertificateRefused, "spiffe://d/ns/a/sa/b", "x\n\"y")
            .refused("because")
            .with("pod", "a/b")
            .with("empty", "")
            .with("count", 3);
        let value = entry.value("proxy", "one", 7);
        assert!(!value.to_string().contains('\n'), "one event is one line");
        let mut fields: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "actor",
                "component",
                "details",
                "event",
                "instance",
                "number",
                "outcome",
                "reason",
                "schema",
                "subject",
                "time"
            ]
        );
        assert_eq!(value["details"], json!({"pod": "a/b", "count": 3}));
        assert_eq!((value["subject"].as_str(), value["outcome"].as_str()), (Some("x\n\"y"), Some("refused")));
    }

    #[test]
    fn what_does_not_fit_is_counted_and_told() {
        let gate = Gate::default();
        let log = AuditLog::write_to("c", "i", vec![Box::new(gate.clone())], 4, Arc::default()).unwrap();
        for i in 0..20 {
            log.record(entry(&i.to_string()));
        }
        let lost = log.lost();
        assert!((15..=16).contains(&lost), "one is being written, four wait: {lost}");
        let lines = gate.open(usize::try_from(20 - lost).unwrap() + 1);
        let told = lines.iter().find(|l| l["event"] == "audit.lost").unwrap();
        assert_eq!(told["details"]["count"], lost);
        let numbers: Vec<u64> = lines.iter().map(|l| l["number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn texts_are_cut_and_nothing_is_recorded_when_it_is_off() {
        let long = Entry::new(Event::AdminUsed, "ä".repeat(5000), "").actor;
        assert_eq!(long.len(), MAX_TEXT);
        let off = AuditLog::default();
        off.record(entry("x"));
        assert_eq!((off.recorded(), off.lost(), off.is_on()), (0, 0, false));
    }

    #[test]
    fn files_are_set_aside() {
        let dir = std::env::temp_dir().join(format!("tulle-audit-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("audit.log");
        let mut file = Rolled::open(&path, 20).unwrap();
        for line in ["first line\n", "second line\n", "third line\n"] {
            file.put(&Value::Null, line).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "third line\n");
        assert_eq!(std::fs::read_to_string(dir.join("audit.log.1")).unwrap(), "second line\n");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
