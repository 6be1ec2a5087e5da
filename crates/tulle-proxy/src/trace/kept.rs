//! What the control plane's store gets of requests: spans of those that are sampled or went wrong, and records of errors, denials and
//! slow ones, beside a few of the others. Kept until the main thread asks, at most so many; the rest is counted.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use tulle_http::HeaderList;
use tulle_proto::telemetry::{Pair, Party, Record, Why};
use tulle_telemetry::{
    access_log::RequestRecord,
    metrics::{PeerId, Reporter},
    trace::{Span, TraceId, otlp},
};

use super::Traced;
use crate::{
    http::{exchange::Exchange, finish::with_line},
    telemetry::{audit, istio::Parties},
};

/// From when on a request is slow.
pub(crate) const SLOW: Duration = Duration::from_secs(1);
/// Spans that wait for the main thread at most, which asks every second.
const MAX_SPANS: usize = 1_000;
/// Records that wait at most, by why they are kept: errors and denials, slow ones, sampled ones, others.
const MAX_RECORDS: [u32; 4] = [200, 100, 100, 50];
/// Headers of a record at most, and bytes of each text.
const MAX_HEADERS: usize = 32;
const MAX_TEXT: usize = 512;
/// Headers whose values say nothing about a person; of others the name alone is kept.
const PLAIN: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-language",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "grpc-timeout",
    "te",
    "traceparent",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-envoy-attempt-count",
    "x-envoy-original-path",
    "x-forwarded-proto",
    "x-request-id",
];

/// What waits for the main thread.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    on: Cell<bool>,
    spans: RefCell<Vec<tulle_proto::otlp::Span>>,
    records: RefCell<Vec<Record>>,
    counts: Cell<[u32; 4]>,
    lost: Cell<(u64, u64)>,
}

/// What a worker kept, as the main thread gets it.
#[derive(Debug, Default)]
pub struct Observed {
    /// Spans.
    pub spans: Vec<tulle_proto::otlp::Span>,
    /// Records.
    pub records: Vec<Record>,
    /// Spans that there was no room for.
    pub lost_spans: u64,
    /// Records of errors, denials, slow and sampled requests that there was no room for.
    pub lost_records: u64,
}

impl Observed {
    /// Adds what another worker kept.
    pub fn merge(&mut self, other: Self) {
        let Self { spans, records, lost_spans, lost_records } = other;
        self.spans.extend(spans);
        self.records.extend(records);
        self.lost_spans += lost_spans;
        self.lost_records += lost_records;
    }
}

impl Kept {
    /// Whether anybody asks.
    pub(crate) fn is_on(&self) -> bool {
        self.on.get()
    }

    /// Hands everything over, and goes on keeping.
    pub(crate) fn take(&self) -> Observed {
        self.on.set(true);
        self.counts.set([0; 4]);
        let (lost_spans, lost_records) = self.lost.take();
        Observed { spans: self.spans.take(), records: self.records.take(), lost_spans, lost_records }
    }

    /// Nobody asks any more.
    pub(crate) fn stop(&self) {
        self.on.set(false);
        self.spans.take();
        self.records.take();
    }

    pub(super) fn spans(&self, spans: &[Span]) {
        let mut kept = self.spans.borrow_mut();
        let room = MAX_SPANS.saturating_sub(kept.len());
        kept.extend(spans.iter().take(room).map(otlp::message));
        let (lost, records) = self.lost.get();
        self.lost.set((lost + spans.len().saturating_sub(room) as u64, records));
    }

    /// Whether there is room for one more of a kind.
    fn admit(&self, why: Why) -> bool {
        let mut counts = self.counts.get();
        let at = why as usize;
        if counts[at] >= MAX_RECORDS[at] {
            if why != Why::Other {
                let (spans, records) = self.lost.get();
                self.lost.set((spans, records + 1));
            }
            return false;
        }
        counts[at] += 1;
        self.counts.set(counts);
        true
    }
}

/// Whether a request ended badly: with an error, refused, or slowly.
pub(super) fn is_trouble(x: &Exchange<'_>, duration: Duration) -> bool {
    matches!(why(x, duration, false), Why::Error | Why::Slow)
}

fn why(x: &Exchange<'_>, duration: Duration, sampled: bool) -> Why {
    let record = &x.record;
    let failed_grpc = matches!(record.grpc_status, Some(2 | 4 | 8 | 13 | 14 | 15));
    if record.status == 0
        || record.status >= 500
        || !record.flags.is_empty()
        || failed_grpc
        || audit::is_denial(&record.details)
    {
        return Why::Error;
    }
    // What has been upgraded lasts as long as it is used.
    if duration >= SLOW && !x.incoming.upgrade && !x.s.request.is_connect() {
        return Why::Slow;
    }
    if sampled { Why::Sampled } else { Why::Other }
}

/// Keeps a record of a request that has ended.
pub(crate) fn record(x: &Exchange<'_>, duration: Duration, traced: Traced) {
    let telemetry = &x.conn.worker.telemetry;
    if !telemetry.kept.is_on() {
        return;
    }
    let why = why(x, duration, traced.sampled);
    if telemetry.kept.admit(why) {
        let record = with_line(x, Some(duration), b"", |line| made(x, line, why, traced.trace(x)));
        telemetry.kept.records.borrow_mut().push(record);
    }
}

fn made(x: &Exchange<'_>, line: &RequestRecord<'_>, why: Why, trace: Option<TraceId>) -> Record {
    let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
    let (reporter, source, destination, service, mtls) = parties(x, line);
    let route = x.found.map(|found| found.route);
    let rule = route.and_then(|r| r.provenance.as_ref()).map(|p| p.to_string()).unwrap_or_default();
    let mut flags = String::new();
    for flag in line.response_flags.iter() {
        flags.push_str(if flags.is_empty() { "" } else { "," });
        flags.push_str(flag.short());
    }
    Record {
        time_us: micros(line.start),
        duration_us: micros(line.duration.unwrap_or_default()),
        upstream_us: line.response_duration.map_or(0, micros),
        outbound: reporter == Reporter::Source,
        source: Some(source),
        destination: Some(destination),
        service,
        method: bytes(line.method),
        // Without the query, which may hold a token.
        path: cut(x.s.request.path.split(['?', '#']).next().unwrap_or_default()),
        authority: bytes(line.authority),
        protocol: line.protocol.to_owned(),
        status: u32::from(line.response_code),
        grpc_status: line.grpc_status,
        flags,
        details: cut(line.response_code_details),
        route: cut(line.route_name),
        cluster: cut(line.upstream_cluster_raw),
        rule,
        attempts: line.attempts,
        request_bytes: line.bytes_received,
        response_bytes: line.bytes_sent,
        mtls,
        request_id: line.request_headers.header("x-request-id").map(bytes).unwrap_or_default(),
        trace_id: trace.map(|t| t.0.to_vec()).unwrap_or_default(),
        why: why.into(),
        headers: headers(&x.s.request.headers),
    }
}

fn parties(x: &Exchange<'_>, line: &RequestRecord<'_>) -> (Reporter, Party, Party, String, bool) {
    let telemetry = &x.conn.worker.telemetry;
    let (reporter, authority) = match &x.manager.istio {
        Some(stats) => (stats.reporter, stats.host_counts.then_some(x.s.request.authority.as_str())),
        None => (Reporter::Source, None),
    };
    let parties = Parties {
        reporter,
        conn: x.conn,
        cluster: x.record.cluster.as_ref(),
        host: x.record.host.as_ref(),
        upstream: x.record.upstream.as_deref(),
        told: x.record.peer,
        authority,
        tags: tulle_telemetry::metrics::TagsId::default(),
    };
    let key = telemetry.traffic(&parties);
    let address = |at: Option<std::net::SocketAddr>| at.map(|a| a.to_string()).unwrap_or_default();
    let party = |id: PeerId, address: String| {
        let labels = telemetry.store.borrow().peer_labels(id);
        Party {
            workload: labels.workload.to_string(),
            namespace: labels.namespace.to_string(),
            principal: labels.principal.to_string(),
            address,
        }
    };
    let source = party(key.source, address(line.downstream_remote_address));
    let to = match reporter {
        Reporter::Source => line.upstream_host,
        _ => line.downstream_local_address,
    };
    let destination = party(key.destination, address(to));
    let service = telemetry.store.borrow().service_labels(key.service).host.to_string();
    let mtls = match reporter {
        Reporter::Source => line.upstream_peer_uri_san.starts_with("spiffe://"),
        _ => x.conn.is_mutual(),
    };
    (reporter, source, destination, service, mtls)
}

fn headers(all: &HeaderList) -> Vec<Pair> {
    all.iter()
        .take(MAX_HEADERS)
        .map(|field| {
            let name = cut(field.name_str());
            let plain = PLAIN.contains(&name.as_str());
            let value = if plain { bytes(field.value) } else { "(redacted)".to_owned() };
            Pair { name, value }
        })
        .collect()
}

fn bytes(text: &[u8]) -> String {
    cut(&String::from_utf8_lossy(&text[..text.len().min(MAX_TEXT)]))
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
