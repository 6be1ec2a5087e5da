//! Spans and records of requests, as proxies push them: the newest, in bounded memory.
//!
//! * [`Traces`] keeps them: errors and slow requests longest;
//! * [`view`] makes a trace of its spans: order, depth, critical path; [`jaeger`] the same as Jaeger's query service says it;
//! * [`records`] are requests, kept for a while and told to whoever listens (tap);
//! * [`answer`] and [`Listener`] are what `/api/traces` and `/api/requests` say.
//!
//! What is beyond a bound goes, or is cut, and is counted.

mod answer;
mod jaeger;
mod records;
mod view;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;
use tulle_proto::otlp::{self, KeyValue, text_of};
use tulle_proto::telemetry::Record;

pub use answer::{Answer, answer};
pub use records::{Filter, Heard, Kept, Listener};

/// Traces at most.
const MAX_TRACES: usize = 4_000;
/// Spans at most, of all traces, and of one.
const MAX_SPANS: usize = 60_000;
const MAX_TRACE: usize = 1_000;
/// Bytes of all spans, about.
const MAX_BYTES: usize = 64 << 20;
/// So many traces that went well stay, however many went wrong.
const PLAIN: usize = 500;
/// Records at most.
const MAX_RECORDS: usize = 20_000;
/// Bytes of all records, about.
const MAX_RECORD_BYTES: usize = 32 << 20;
/// Records that a listener may be behind.
const BEHIND: usize = 1_024;
/// Most attributes and events of a span, and bytes of a text.
const MAX_LIST: usize = 64;
const MAX_TEXT: usize = 1_024;
/// From when on a trace is slow, in nanoseconds.
const SLOW: u64 = 1_000_000_000;

/// Who pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its pod.
    pub pod: String,
    /// Its namespace, as its certificate says.
    pub namespace: String,
    /// `APP.NAMESPACE`.
    pub service: String,
}

/// A span with who made it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) source: Arc<Source>,
    pub(crate) span: otlp::Span,
}

/// The spans of one trace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    pub(crate) spans: Vec<Stored>,
    /// Whether something went wrong, or took long.
    notable: bool,
    bytes: usize,
    /// Spans that there was no room for.
    lost: u64,
}

/// The newest spans and records.
#[derive(Debug)]
pub struct Traces {
    inner: Mutex<Inner>,
    live: broadcast::Sender<Arc<Kept>>,
    lost_spans: AtomicU64,
    lost_records: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    traces: HashMap<[u8; 16], Trace>,
    /// In the order in which they came, those that went well and those that did not.
    plain: VecDeque<[u8; 16]>,
    notable: VecDeque<[u8; 16]>,
    spans: usize,
    bytes: usize,
    records: VecDeque<Arc<Kept>>,
    record_bytes: usize,
    next: u64,
}

impl Default for Traces {
    fn default() -> Self {
        let (live, _) = broadcast::channel(BEHIND);
        Self { inner: Mutex::default(), live, lost_spans: AtomicU64::new(0), lost_records: AtomicU64::new(0) }
    }
}

impl Traces {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes spans of a source. Those without valid ids are counted as lost.
    pub fn spans(&self, source: &Arc<Source>, spans: Vec<otlp::Span>) {
        let mut lost = 0;
        let mut inner = self.lock();
        for span in spans {
            lost += u64::from(!inner.add(source, span));
        }
        drop(inner);
        self.lost(lost, 0);
    }

    /// Takes records of a source.
    pub fn records(&self, source: &Arc<Source>, records: Vec<Record>) {
        for record in records {
            let kept = self.lock().record(source, record);
            // Nobody listening is no error.
            let _ = self.live.send(kept);
        }
    }

    /// Counts what sources had no room for.
    pub fn lost(&self, spans: u64, records: u64) {
        self.lost_spans.fetch_add(spans, Ordering::Relaxed);
        self.lost_records.fetch_add(records, Ordering::Relaxed);
    }

    /// Spans and records that were lost on their way here.
    pub fn losses(&self) -> (u64, u64) {
        (self.lost_spans.load(Ordering::Relaxed), self.lost_records.load(Ordering::Relaxed))
    }

    /// How many traces, spans and records there are.
    pub fn sizes(&self) -> (usize, usize, usize) {
        let inner = self.lock();
        (inner.traces.len(), inner.spans, inner.records.len())
    }
}

impl Inner {
    /// Whether there was room for the span, and it is one.
    fn add(&mut self, source: &Arc<Source>, mut span: otlp::Span) -> bool {
        let Ok(id) = <[u8; 16]>::try_from(span.trace_id.as_slice()) else { return false };
        if span.span_id.len() != 8 || span.end_time_unix_nano < span.start_time_unix_nano {
            return false;
        }
        trim(&mut span);
        let notable = is_notable(&span);
        let bytes = size(&span);
        let new = !self.traces.contains_key(&id);
        let trace = self.traces.entry(id).or_default();
        if trace.spans.len() >= MAX_TRACE {
            trace.lost += 1;
            return false;
        }
        let was = trace.notable;
        trace.notable |= notable;
        trace.bytes += bytes;
        trace.spans.push(Stored { source: Arc::clone(source), span });
        self.spans += 1;
        self.bytes += bytes;
        if new {
            if notable { self.notable.push_back(id) } else { self.plain.push_back(id) }
        } else if notable && !was {
            // Its place among those that went well is passed over when its turn comes.
            self.notable.push_back(id);
        }
        self.evict();
        true
    }

    fn evict(&mut self) {
        while self.traces.len() > MAX_TRACES || self.spans > MAX_SPANS || self.bytes > MAX_BYTES {
            let of_plain = self.plain.len() > PLAIN || self.notable.is_empty();
            let next = if of_plain { self.plain.pop_front() } else { self.notable.pop_front() };
            let Some(id) = next else { return };
            if of_plain && self.traces.get(&id).is_some_and(|t| t.notable) {
                continue;
            }
            if let Some(trace) = self.traces.remove(&id) {
                self.spans -= trace.spans.len();
                self.bytes -= trace.bytes;
            }
        }
    }

    fn record(&mut self, source: &Arc<Source>, record: Record) -> Arc<Kept> {
        self.next += 1;
        let kept = Arc::new(Kept::new(self.next, source, record));
        self.record_bytes += kept.bytes();
        self.records.push_back(Arc::clone(&kept));
        while self.records.len() > MAX_RECORDS || self.record_bytes > MAX_RECORD_BYTES {
            let Some(old) = self.records.pop_front() else { break };
            self.record_bytes -= old.bytes();
        }
        kept
    }
}

fn is_notable(span: &otlp::Span) -> bool {
    let duration = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
    duration >= SLOW
        || !span.events.is_empty()
        || span.status.as_ref().is_some_and(|s| s.code == 2)
        || attribute(span, "error") == "true"
}

/// The text of an attribute; empty for none.
pub(crate) fn attribute<'s>(span: &'s otlp::Span, name: &str) -> &'s str {
    span.attributes.iter().find(|kv| kv.key == name).map_or("", |kv| text_of(kv.value.as_ref()))
}

fn trim(span: &mut otlp::Span) {
    let texts = |list: &mut Vec<KeyValue>| {
        list.truncate(MAX_LIST);
        for pair in list {
            cut(&mut pair.key);
            // Only texts are sent, and only texts are kept: other values may nest.
            let mut text = text_of(pair.value.as_ref()).to_owned();
            cut(&mut text);
            pair.value = Some(otlp::text(text));
        }
    };
    cut(&mut span.name);
    cut(&mut span.trace_state);
    texts(&mut span.attributes);
    span.events.truncate(MAX_LIST);
    for event in &mut span.events {
        cut(&mut event.name);
        texts(&mut event.attributes);
    }
    if span.parent_span_id.len() != 8 {
        span.parent_span_id.clear();
    }
}

pub(crate) fn cut(text: &mut String) {
    if text.len() > MAX_TEXT {
        let mut end = MAX_TEXT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}

/// About how much memory a span takes.
fn size(span: &otlp::Span) -> usize {
    let pairs = |list: &[KeyValue]| -> usize {
        list.iter().map(|kv| 160 + kv.key.len() + text_of(kv.value.as_ref()).len()).sum()
    };
    let events: usize = span.events.iter().map(|e| 80 + e.name.len() + pairs(&e.attributes)).sum();
    300 + span.name.len() + span.trace_state.len() + pairs(&span.attributes) + events
}

#[cfg(test)]
mod tests;
