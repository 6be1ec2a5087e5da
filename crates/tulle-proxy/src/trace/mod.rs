//! Traces of requests: contexts in headers, spans, and their way to collectors.
//!
//! [`begin`] decides whether a request is sampled and reads and writes the headers of traces; [`finish`] makes the spans of one that is;
//! [`collector`] holds them in a bounded buffer of the worker and sends them. What is not sampled costs the headers alone.
//! [`kept`] is what the control plane's own store gets besides: errors and slow requests whether sampled or not.

pub(crate) mod begin;
pub(crate) mod collector;
mod finish;
pub(crate) mod kept;

use std::{rc::Rc, sync::Arc, time::Instant};

use tulle_engine::runtime::{
    listener::Direction,
    tracing::{CustomTag, OtlpTarget, TagValue, Tracer, TracerKind, Tracing},
};
use tulle_telemetry::{
    access_log::{AccessLogFormat, RequestRecord},
    trace::{Event, Reason, SpanId, TraceId},
};

use self::collector::Exporter;
use crate::{http::record::Record, worker::Worker};

pub(crate) use self::finish::{Traced, end_try, finish, nanos};

/// How much is remembered of what happens to a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Observe {
    /// Nothing.
    #[default]
    No,
    /// What went wrong: it is kept if it ends badly.
    Trouble,
    /// Everything: it is sampled.
    All,
}

/// Tracing made ready for a worker.
#[derive(Debug)]
pub(crate) struct LocalTracing {
    pub(crate) config: Tracing,
    /// Whether requests go out here: their spans are a client's.
    pub(crate) egress: bool,
    tags: Vec<LocalTag>,
    operation: Option<AccessLogFormat>,
    upstream_operation: Option<AccessLogFormat>,
    exporter: Option<Rc<Exporter>>,
}

/// A tag made ready, of spans or of entries of access logs.
#[derive(Debug)]
pub(crate) struct LocalTag {
    name: Arc<str>,
    value: LocalValue,
}

#[derive(Debug)]
enum LocalValue {
    Fixed(Arc<str>),
    Format(AccessLogFormat, Arc<str>),
}

/// The trace of a request under way.
#[derive(Debug)]
pub(crate) struct Active {
    reason: Reason,
    /// Our own span; `None` if headers were malformed, or nobody wants contexts.
    own: Option<Box<Own>>,
}

/// Our own span as far as it is known at its begin.
#[derive(Debug)]
struct Own {
    trace: TraceId,
    id: SpanId,
    parent: Option<SpanId>,
    shared: bool,
    sampled: bool,
    /// Whether `tracestate` goes on.
    keeps_state: bool,
    /// The form in which B3 came in.
    b3: Option<B3Form>,
    /// The name that the other side wants it to have.
    name: Option<String>,
    /// Tries with spans of their own.
    tries: Vec<finish::Try>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum B3Form {
    Single,
    Multi,
}

impl LocalTracing {
    /// Makes tracing of a listener of that direction ready.
    pub(crate) fn new(worker: &Worker, config: &Tracing, direction: Direction) -> Self {
        let format =
            |text: &str| (!text.is_empty()).then(|| AccessLogFormat::text(text, true).ok()).flatten();
        Self {
            egress: direction == Direction::Outbound,
            tags: tags(worker, &config.tags),
            operation: format(&config.operation),
            upstream_operation: format(&config.upstream_operation),
            exporter: config.tracer.as_ref().and_then(|t| collector::exporter(worker, t)),
            config: config.clone(),
        }
    }

    /// Whether the request's own span is a server's: a hop that has spans for its tries is one, whoever its client is.
    fn is_server(&self) -> bool {
        !self.egress || self.config.spawn_upstream
    }

    fn tracer(&self) -> Option<&Tracer> {
        self.config.tracer.as_deref()
    }
}

impl LocalTag {
    /// Its value for a request or connection; empty for none.
    fn of(&self, line: &RequestRecord<'_>) -> String {
        match &self.value {
            LocalValue::Fixed(text) => text.to_string(),
            LocalValue::Format(format, default) => {
                let found = finish::rendered(format, line);
                if found.is_empty() { default.to_string() } else { found }
            }
        }
    }
}

/// Names and values of those tags that have one.
pub(crate) fn values(tags: &[LocalTag], line: &RequestRecord<'_>) -> Vec<(String, String)> {
    let all = tags.iter().map(|tag| (tag.name.to_string(), tag.of(line)));
    all.filter(|(_, value)| !value.is_empty()).collect()
}

/// Makes tags ready.
pub(crate) fn tags(worker: &Worker, list: &[CustomTag]) -> Vec<LocalTag> {
    list.iter()
        .filter_map(|CustomTag { name, value }| {
            let value = match value {
                TagValue::Literal(text) => LocalValue::Fixed(Arc::clone(text)),
                TagValue::Environment(variable, default) => {
                    let found = worker.settings.environment.get(&**variable).filter(|v| !v.is_empty());
                    LocalValue::Fixed(found.map_or_else(|| Arc::clone(default), |v| v.as_str().into()))
                }
                // Compiled before, so that it cannot fail.
                TagValue::Format(format, default) => {
                    LocalValue::Format(AccessLogFormat::text(format, true).ok()?, Arc::clone(default))
                }
            };
            Some(LocalTag { name: Arc::clone(name), value })
        })
        .collect()
}

/// Whether spans of this tracer leave the mesh.
fn leaves(tracer: &Tracer) -> bool {
    !matches!(tracer.kind, TracerKind::Otlp { to: OtlpTarget::Nobody, .. })
}

impl Record {
    /// Notes something that went wrong, if the request is observed. `attributes` are made only then.
    pub(crate) fn trouble(
        &mut self,
        name: &'static str,
        attributes: impl FnOnce() -> Vec<(&'static str, String)>,
    ) {
        self.happened(Observe::Trouble, name, attributes);
    }

    /// Notes something of note, if the request is sampled.
    pub(crate) fn noted(
        &mut self,
        name: &'static str,
        attributes: impl FnOnce() -> Vec<(&'static str, String)>,
    ) {
        self.happened(Observe::All, name, attributes);
    }

    fn happened(
        &mut self,
        least: Observe,
        name: &'static str,
        attributes: impl FnOnce() -> Vec<(&'static str, String)>,
    ) {
        if self.observe < least {
            return;
        }
        if self.events.len() >= tulle_telemetry::trace::span::MAX_EVENTS {
            self.lost_events += 1;
            return;
        }
        let at = nanos(self.wall) + elapsed(self.start);
        self.events.push(Event { at, name, attributes: attributes() });
    }
}

/// Nanoseconds since `start`.
fn elapsed(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
