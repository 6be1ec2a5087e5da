//! The audit log as OTLP log records (OTLP/HTTP with JSON, opentelemetry.io/docs/specs/otlp): `POST URL` with up to 512 records.
//!
//! A collector that is away holds nobody up: a thread of its own sends, tries again after 1 s to 30 s, and what does not fit into its
//! queue meanwhile is lost and counted. A request that the collector calls wrong (4xx, but for 408 and 429) is not sent again.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Counts, Output, SCHEMA};

/// Records that may wait.
const QUEUE: usize = 8192;
/// Records of one request.
const BATCH: usize = 512;
/// How long records wait for others.
const LINGER: Duration = Duration::from_secs(1);
/// Longest wait for the collector, at each step.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Where records are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    authority: String,
    path: String,
}

impl Endpoint {
    /// Reads `http://HOST[:PORT][/PATH]`; the port is 4318 and the path `/v1/logs` by default.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the URL.
    pub fn parse(url: &str) -> Result<Self, String> {
        if url.starts_with("https://") {
            return Err(format!(
                "{url}: OTLP is sent in the clear; let a collector on this machine send it on by TLS"
            ));
        }
        let rest =
            url.strip_prefix("http://").ok_or_else(|| format!("{url}: not http://HOST[:PORT][/PATH]"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let port = authority.rsplit(']').next().unwrap_or_default().rsplit_once(':').map(|(_, port)| port);
        let odd = |c: char| c.is_ascii_control() || c.is_whitespace() || c == '@';
        if authority.is_empty() || url.contains(odd) || port.is_some_and(|p| p.parse::<u16>().is_err()) {
            return Err(format!("{url}: not http://HOST[:PORT][/PATH]"));
        }
        Ok(Self {
            authority: if port.is_some() { authority.to_owned() } else { format!("{authority}:4318") },
            path: if path.is_empty() { "/v1/logs".to_owned() } else { format!("/{path}") },
        })
    }

    /// Sends one request; the status of the answer.
    fn post(&self, body: &[u8]) -> io::Result<u16> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in self.authority.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => return self.exchange(stream, body),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn exchange(&self, mut stream: TcpStream, body: &[u8]) -> io::Result<u16> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            self.path,
            self.authority,
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        // Of the answer only `HTTP/1.1 200` is read.
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        let status = std::str::from_utf8(&start)
            .ok()
            .filter(|s| s.starts_with("HTTP/1."))
            .and_then(|s| s[9..].parse().ok());
        status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer"))
    }
}

/// The end of the queue at which records come in.
pub(super) struct Otlp(SyncSender<Value>);

impl Otlp {
    pub(super) fn start(
        endpoint: Endpoint,
        component: &str,
        instance: &str,
        counts: Arc<Counts>,
    ) -> io::Result<Self> {
        let (sender, records) = sync_channel(QUEUE);
        let resource = json!({"attributes": [
            attribute("service.name", &json!(format!("tulle-{component}"))),
            attribute("service.instance.id", &json!(instance)),
        ]});
        let sending = Sending { endpoint, resource, counts };
        std::thread::Builder::new().name("audit-otlp".to_owned()).spawn(move || sending.run(&records))?;
        Ok(Self(sender))
    }
}

impl Output for Otlp {
    fn put(&mut self, event: &Value, _line: &str) -> io::Result<()> {
        self.0.try_send(event.clone()).map_err(|_| io::Error::from(io::ErrorKind::WouldBlock))
    }
}

struct Sending {
    endpoint: Endpoint,
    resource: Value,
    counts: Arc<Counts>,
}

impl Sending {
    /// Until the last handle is gone, and what waits then was sent or refused once.
    fn run(self, records: &Receiver<Value>) {
        let mut batch = Vec::new();
        loop {
            let ended = fill(records, &mut batch);
            if !batch.is_empty() {
                self.deliver(&batch, ended);
                batch.clear();
            }
            if ended {
                return;
            }
        }
    }

    fn deliver(&self, batch: &[Value], last: bool) {
        let lost = || {
            self.counts.lost.fetch_add(batch.len() as u64, Ordering::Relaxed);
        };
        let body = self.request(batch).to_string();
        let mut wait = RETRY.0;
        loop {
            match self.endpoint.post(body.as_bytes()) {
                Ok(200..=299) => return,
                Ok(status @ 400..=499) if !matches!(status, 408 | 429) => return lost(),
                Ok(_) | Err(_) if last => return lost(),
                Ok(_) | Err(_) => std::thread::sleep(wait),
            }
            wait = (wait * 2).min(RETRY.1);
        }
    }

    fn request(&self, batch: &[Value]) -> Value {
        let records: Vec<Value> = batch.iter().map(record).collect();
        json!({"resourceLogs": [{
            "resource": self.resource,
            "scopeLogs": [{"scope": {"name": SCHEMA}, "logRecords": records}],
        }]})
    }
}

/// Takes what is there, and waits a moment for more; whether the queue has ended.
fn fill(records: &Receiver<Value>, batch: &mut Vec<Value>) -> bool {
    match records.recv() {
        Ok(first) => batch.push(first),
        Err(_) => return true,
    }
    let until = Instant::now() + LINGER;
    while batch.len() < BATCH {
        match records.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(next) => batch.push(next),
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => return true,
        }
    }
    false
}

/// An event as a log record: its name is the event's, its body the line as files have it, its attributes the fields.
fn record(event: &Value) -> Value {
    let refused = event["outcome"] == "refused";
    let mut attributes = vec![];
    for (name, value) in event.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("schema" | "time" | "component" | "instance" | "event", _) => {}
            ("details", Value::Object(details)) => {
                attributes
                    .extend(details.iter().map(|(name, value)| attribute(&format!("details.{name}"), value)));
            }
            (_, Value::String(text)) if text.is_empty() => {}
            _ => attributes.push(attribute(name, value)),
        }
    }
    json!({
        "timeUnixNano": nanoseconds(event["time"].as_str().unwrap_or_default()),
        "severityNumber": if refused { 13 } else { 9 },
        "severityText": if refused { "WARN" } else { "INFO" },
        "eventName": event["event"],
        "body": {"stringValue": event.to_string()},
        "attributes": attributes,
    })
}

fn attribute(name: &str, value: &Value) -> Value {
    let value = match value {
        Value::String(text) => json!({"stringValue": text}),
        Value::Bool(truth) => json!({"boolValue": truth}),
        // 64-bit integers are texts in OTLP's JSON.
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            json!({"intValue": number.to_string()})
        }
        Value::Number(number) => json!({"doubleValue": number}),
        other => json!({"stringValue": other.to_string()}),
    };
    json!({"key": name, "value": value})
}

/// Nanoseconds since 1970, as text, of a time as the field `time` has it.
fn nanoseconds(time: &str) -> String {
    let number =
        |range: std::ops::Range<usize>| time.get(range).and_then(|t| t.parse::<i64>().ok()).unwrap_or(0);
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Days since 1970 in the calendar whose years begin in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day
        - 1
        - 719_468;
    let seconds = ((days * 24 + number(11..13)) * 60 + number(14..16)) * 60 + number(17..19);
    (seconds * 1_000_000_000 + number(20..23) * 1_000_000).to_string()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::{AuditLog, Entry, Event, Sink};
    use super::*;

    #[test]
    fn urls_are_read_or_refused_with_a_reason() {
        let read = |url: &str| Endpoint::parse(url).map(|e| format!("{}{}", e.authority, e.path));
        assert_eq!(read("http://collector"), Ok("collector:4318/v1/logs".to_owned()));
        assert_eq!(read("http://[::1]:9/x/y"), Ok("[::1]:9/x/y".to_owned()));
        assert_eq!(read("http://[::1]"), Ok("[::1]:4318/v1/logs".to_owned()));
        for wrong in
            ["https://collector", "collector:4318", "http://", "http://a:b", "http://a\r\nx: y", "http://u@h"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_counted_from_1970() {
        for (time, seconds) in
            [("1970-01-01T00:00:00.000Z", "0"), ("2024-02-29T12:00:00.000Z", "1709208000000000000")]
        {
            assert_eq!(nanoseconds(time), seconds);
        }
        assert_eq!(nanoseconds("2026-11-29T17:31:01.250Z"), "1795973461250000000");
    }

    /// Reads one request to its end and answers it.
    fn serve(listener: &TcpListener, status: &str) -> Value {
        let (mut stream, _) = listener.accept().unwrap();
        let mut read = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let n = stream.read(&mut piece).unwrap();
            read.extend_from_slice(&piece[..n]);
            let text = String::from_utf8_lossy(&read).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            assert!(
                head.starts_with("POST /v1/logs HTTP/1.1\r\n") && head.contains("application/json"),
                "{head}"
            );
            let length: usize =
                head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
            if body.len() == length {
                stream
                    .write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes())
                    .unwrap();
                return serde_json::from_str(body).unwrap();
            }
        }
    }

    #[test]
    fn a_collector_gets_every_event_again_if_it_was_not_ready_and_not_if_it_calls_it_wrong() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log = AuditLog::start("proxy", "pod-1", &[Sink::Otlp(Endpoint::parse(&url).unwrap())]).unwrap();
        let entry = Entry::new(Event::RequestDenied, "spiffe://d/ns/a/sa/b", "GET /x")
            .refused("why")
            .with("count", 3);
        log.record(entry);
        let first = serve(&listener, "503 x");
        assert_eq!(first, serve(&listener, "200 OK"), "the same again");
        let resource = &first["resourceLogs"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "tulle-proxy");
        let record = &resource["scopeLogs"][0]["logRecords"][0];
        assert_eq!(
            (record["eventName"].as_str(), record["severityText"].as_str()),
            (Some("request.denied"), Some("WARN"))
        );
        let attributes = record["attributes"].as_array().unwrap();
        let of = |name: &str| attributes.iter().find(|a| a["key"] == name).unwrap()["value"].clone();
        assert_eq!(of("actor"), json!({"stringValue": "spiffe://d/ns/a/sa/b"}));
        assert_eq!((of("details.count"), of("number")), (json!({"intValue": "3"}), json!({"intValue": "1"})));
        let body: Value = serde_json::from_str(record["body"]["stringValue"].as_str().unwrap()).unwrap();
        assert_eq!((body["schema"].as_str(), log.lost()), (Some(SCHEMA), 0));

        log.record(Entry::new(Event::AdminUsed, "a", "b"));
        serve(&listener, "400 x");
        while log.lost() == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        // The loss itself is told with the next event.
        log.record(Entry::new(Event::AdminUsed, "a", "c"));
        let told = serve(&listener, "200 OK");
        let names: Vec<_> = told["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["eventName"].clone())
            .collect();
        assert_eq!(names, ["audit.lost", "admin.used"]);
    }
}
