//! A finished span.

use std::borrow::Cow;

use super::{SpanId, TraceId};

/// The most events that a span keeps; more are counted.
pub const MAX_EVENTS: usize = 32;

/// Which end of a request a span is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request comes in.
    Server,
    /// The request goes out.
    Client,
}

/// What a proxy did with a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its trace.
    pub trace: TraceId,
    /// Itself.
    pub id: SpanId,
    /// The span that caused it.
    pub parent: Option<SpanId>,
    /// `tracestate` as it came.
    pub state: String,
    /// What was done.
    pub name: String,
    /// Which end.
    pub kind: Kind,
    /// Whether client and server share the span (Zipkin).
    pub shared: bool,
    /// Begin, in nanoseconds since 1970.
    pub start: u64,
    /// How long, in nanoseconds.
    pub duration: u64,
    /// What is known of it.
    pub tags: Vec<(Cow<'static, str>, String)>,
    /// What happened meanwhile.
    pub events: Vec<Event>,
    /// Events that were left out.
    pub lost_events: u32,
    /// Whether it failed as OpenTelemetry counts: a server's 5xx, a client's 4xx too.
    pub failed: bool,
}

/// Something that happened during a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When, in nanoseconds since 1970.
    pub at: u64,
    /// What.
    pub name: &'static str,
    /// What is known of it.
    pub attributes: Vec<(&'static str, String)>,
}
