//! Spans for OpenTelemetry's collectors.

use tulle_proto::otlp::{
    ExportTraceServiceRequest, InstrumentationScope, KeyValue, Resource, ResourceSpans, ScopeSpans,
    SpanEvent, SpanKind, SpanStatus, pair,
};

use super::{Event, Kind, Span};

/// A batch of spans of one maker.
pub fn batch(resource: &[(String, String)], scope: bool, spans: &[Span]) -> ExportTraceServiceRequest {
    let attributes = resource.iter().map(|(k, v)| pair(k.as_str(), v.as_str())).collect();
    let scope = scope.then(|| InstrumentationScope {
        name: "envoy".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    });
    let spans = spans.iter().map(message).collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes }),
            scope_spans: vec![ScopeSpans { scope, spans }],
        }],
    }
}

/// A span as a message.
pub fn message(span: &Span) -> tulle_proto::otlp::Span {
    let Span {
        trace,
        id,
        parent,
        state,
        name,
        kind,
        shared: _,
        start,
        duration,
        tags,
        events,
        lost_events,
        failed,
    } = span;
    tulle_proto::otlp::Span {
        trace_id: trace.0.to_vec(),
        span_id: id.0.to_vec(),
        trace_state: state.clone(),
        parent_span_id: parent.map(|p| p.0.to_vec()).unwrap_or_default(),
        name: name.clone(),
        kind: match kind {
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
        }
        .into(),
        start_time_unix_nano: *start,
        end_time_unix_nano: start.saturating_add(*duration),
        attributes: tags.iter().map(|(k, v)| pair(&**k, v.as_str())).collect(),
        events: events.iter().map(event).collect(),
        dropped_events_count: *lost_events,
        status: failed.then(|| SpanStatus { message: String::new(), code: 2 }),
    }
}

fn event(event: &Event) -> SpanEvent {
    let Event { at, name, attributes } = event;
    let attributes: Vec<KeyValue> = attributes.iter().map(|(k, v)| pair(*k, v.as_str())).collect();
    SpanEvent { time_unix_nano: *at, name: (*name).to_owned(), attributes }
}
