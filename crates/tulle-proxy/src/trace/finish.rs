//! Spans of a request that has ended.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use tulle_engine::runtime::tracing::{CustomTag, TracerKind};
use tulle_http::Known;
use tulle_telemetry::{
    ResponseFlag, ResponseFlags,
    access_log::RequestRecord,
    trace::{Kind, Reason, Span, SpanId, TraceId, request_id},
};

use super::{Active, LocalTag, LocalTracing, Observe, tags};
use crate::http::{exchange::Exchange, finish::with_line};

/// The most bytes of a tag's value.
const MAX_VALUE: usize = 1024;

/// A try with a span of its own.
#[derive(Debug)]
pub(super) struct Try {
    id: SpanId,
    number: u32,
    begun: std::time::Instant,
    ended: Option<Span>,
}

impl Try {
    pub(super) fn new(id: SpanId, number: u32) -> Self {
        Self { id, number, begun: std::time::Instant::now(), ended: None }
    }
}

/// Nanoseconds since 1970.
pub(crate) fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What became of the trace of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traced {
    /// Whether its trace follows from its id, where no headers of traces travel.
    by_id: bool,
    /// Whether it is sampled.
    pub(crate) sampled: bool,
}

impl Traced {
    /// The trace that the request is part of. Made only when somebody asks.
    pub(crate) fn trace(self, x: &Exchange<'_>) -> Option<TraceId> {
        match x.record.ids {
            Some((id, _)) => Some(id),
            None if self.by_id => x.s.request.headers.get(Known::XRequestId).and_then(request_id::trace_of),
            None => None,
        }
    }
}

/// Makes the spans of a request that has ended and hands them on: to the collector if it is sampled, to the store of the control
/// plane if it is sampled or ended badly.
pub(crate) fn finish(x: &mut Exchange<'_>, duration: Duration) -> Traced {
    if x.record.trace.is_none() {
        return Traced::default();
    }
    let manager = std::rc::Rc::clone(x.manager);
    let Some(tracing) = &manager.tracing else { return Traced::default() };
    end_try(x, false);
    let Some(mut active) = x.record.trace.take() else { return Traced::default() };
    let traced = match &active.own {
        Some(own) => Traced { by_id: false, sampled: own.sampled },
        // Malformed headers: no span.
        None if tracing.tracer().is_some() => return Traced::default(),
        None => Traced { by_id: true, sampled: active.reason != Reason::None },
    };
    let sampled = traced.sampled;
    let keeping = x.conn.worker.telemetry.kept.is_on();
    let keep = keeping && (sampled || super::kept::is_trouble(x, duration));
    let export = sampled && tracing.exporter.is_some();
    if keep || export {
        hand_on(x, tracing, &mut active, traced, duration, (keep, export));
    }
    traced
}

/// Makes the spans and gives them to the store (`keep`) and to the collector (`export`).
fn hand_on(
    x: &mut Exchange<'_>,
    tracing: &LocalTracing,
    active: &mut Active,
    traced: Traced,
    duration: Duration,
    (keep, export): (bool, bool),
) {
    let Some(id) = traced.trace(x) else { return };
    let mut spans: Vec<Span> = Vec::with_capacity(1);
    if let Some(own) = &mut active.own {
        spans.extend(own.tries.drain(..).filter_map(|t| t.ended));
    }
    let lost = x.record.lost_events;
    let events = std::mem::take(&mut x.record.events);
    let mut span = span(x, tracing, active, id, duration);
    (span.events, span.lost_events) = (events, lost);
    spans.insert(0, span);
    let telemetry = &x.conn.worker.telemetry;
    if keep {
        telemetry.kept.spans(&spans);
    }
    if let (true, Some(exporter)) = (export, &tracing.exporter) {
        exporter.take(&x.conn.worker, spans);
    }
}

fn span(
    x: &Exchange<'_>,
    tracing: &LocalTracing,
    active: &Active,
    trace: TraceId,
    duration: Duration,
) -> Span {
    let own = active.own.as_ref();
    let kind = if tracing.is_server() { Kind::Server } else { Kind::Client };
    let (name, tags) = with_line(x, Some(duration), b"", |line| {
        (name(x, tracing, active, line), all_tags(x, tracing, line, true))
    });
    Span {
        trace,
        id: own.map_or_else(|| SpanId::new(fastrand::u64(..)), |own| own.id),
        parent: own.and_then(|own| own.parent),
        state: state(x, own.is_none_or(|own| own.keeps_state)),
        name,
        kind,
        shared: own.is_some_and(|own| own.shared),
        start: nanos(x.record.wall),
        duration: u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX),
        tags,
        events: Vec::new(),
        lost_events: 0,
        failed: failed(kind, x.record.status) || grpc_failed(x),
    }
}

/// `tracestate`, if it belongs to the trace.
fn state(x: &Exchange<'_>, kept: bool) -> String {
    let found = x.s.request.headers.get_str(Known::Tracestate).filter(|_| kept);
    found.unwrap_or_default().to_owned()
}

/// Whether a gRPC call ended with a status that is the server's fault.
fn grpc_failed(x: &Exchange<'_>) -> bool {
    x.record.grpc && matches!(x.record.grpc_status, Some(2 | 4 | 8 | 12..=15))
}

/// Whether a status counts as a failure of that end (OpenTelemetry's semantic conventions for HTTP).
fn failed(kind: Kind, status: u16) -> bool {
    match kind {
        Kind::Server => status >= 500,
        Kind::Client => status >= 400,
    }
}

fn name(x: &Exchange<'_>, tracing: &LocalTracing, active: &Active, line: &RequestRecord<'_>) -> String {
    if let Some(told) = active.own.as_ref().and_then(|own| own.name.clone()) {
        return told;
    }
    if let Some(route) = x.found.map(|f| f.route).filter(|r| !r.operation.is_empty()) {
        return route.operation.to_string();
    }
    if let Some(format) = &tracing.operation {
        return rendered(format, line);
    }
    if matches!(tracing.tracer().map(|t| &t.kind), Some(TracerKind::Zipkin { .. })) {
        return x.s.request.authority.clone();
    }
    match tracing.egress {
        true => format!("egress {}", x.s.request.authority),
        false => "ingress".to_owned(),
    }
}

pub(super) fn rendered(
    format: &tulle_telemetry::access_log::AccessLogFormat,
    line: &RequestRecord<'_>,
) -> String {
    let mut out = Vec::new();
    format.render(line, &mut out);
    out.truncate(MAX_VALUE);
    String::from_utf8_lossy(&out).into_owned()
}

type Tags = Vec<(Cow<'static, str>, String)>;

fn all_tags(x: &Exchange<'_>, tracing: &LocalTracing, line: &RequestRecord<'_>, whole: bool) -> Tags {
    let mut out: Tags = Vec::with_capacity(24);
    if whole {
        of_request(x, tracing, line, &mut out);
    } else {
        put(&mut out, "http.protocol", if x.record.upstream.is_some() { line.protocol } else { "-" });
        if let Some(host) = line.upstream_host {
            put(&mut out, "upstream_address", &host.to_string());
            put(&mut out, "peer.address", &host.to_string());
        }
    }
    common(x, line, &mut out);
    let route = x.found.and_then(|found| found.route.tracing.as_deref());
    let of_route = route.map(|r| (tags(&x.conn.worker, &r.tags), &*r.tags));
    let wins = |tag: &LocalTag| {
        of_route.as_ref().is_some_and(|(_, all): &(_, &[CustomTag])| all.iter().any(|t| t.name == tag.name))
    };
    let own = tracing.tags.iter().filter(|tag| !wins(tag));
    for tag in own.chain(of_route.iter().flat_map(|(tags, _)| tags)) {
        let value = tag.of(line);
        if !value.is_empty() {
            // One of our own names is theirs then.
            out.retain(|(known, _)| **known != *tag.name);
            out.push((Cow::Owned(tag.name.to_string()), value));
        }
    }
    out
}

fn put(out: &mut Tags, name: &'static str, value: &str) {
    let mut end = value.len().min(MAX_VALUE);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    out.push((Cow::Borrowed(name), value[..end].to_owned()));
}

fn of_request(x: &Exchange<'_>, tracing: &LocalTracing, line: &RequestRecord<'_>, out: &mut Tags) {
    let headers = &x.s.request.headers;
    let settings = &x.conn.worker.settings;
    put(out, "node_id", &settings.node_id);
    put(out, "zone", &settings.zone);
    let text = |name: Known| headers.get_str(name);
    if let Some(id) = text(Known::XRequestId) {
        put(out, "guid:x-request-id", id);
    }
    put(out, "http.url", &url(x, tracing.config.max_path));
    put(out, "http.method", x.s.request.method.as_str());
    put(out, "downstream_cluster", headers.get_str("x-envoy-downstream-service-cluster").unwrap_or("-"));
    put(out, "user_agent", text(Known::UserAgent).unwrap_or("-"));
    put(out, "http.protocol", line.protocol);
    if let Some(peer) = line.downstream_direct_remote_address {
        put(out, "peer.address", &peer.ip().to_string());
    }
    if let Some(id) = headers.get_str(Known::XClientTraceId) {
        put(out, "guid:x-client-trace-id", id);
    }
    if x.record.grpc {
        put(out, "grpc.path", &x.s.request.path);
        put(out, "grpc.authority", &x.s.request.authority);
        put(out, "grpc.content_type", text(Known::ContentType).unwrap_or_default());
        if let Some(limit) = text(Known::GrpcTimeout) {
            put(out, "grpc.timeout", limit);
        }
    }
    put(out, "request_size", &line.bytes_received.to_string());
    put(out, "response_size", &line.bytes_sent.to_string());
}

fn common(x: &Exchange<'_>, line: &RequestRecord<'_>, out: &mut Tags) {
    put(out, "component", "proxy");
    if let Some(cluster) = &x.record.cluster {
        put(out, "upstream_cluster", &cluster.config.name);
        put(out, "upstream_cluster.name", &cluster.config.stat_name);
    }
    put(out, "http.status_code", &line.response_code.to_string());
    let mut flags = String::new();
    for flag in line.response_flags.iter() {
        if !flags.is_empty() {
            flags.push(',');
        }
        flags.push_str(flag.short());
    }
    put(out, "response_flags", if flags.is_empty() { "-" } else { &flags });
    if let Some(status) = x.record.grpc_status.filter(|_| x.record.grpc) {
        put(out, "grpc.status_code", &status.to_string());
        let message =
            x.s.response.headers.get_str("grpc-message").or_else(|| x.s.trailers.get_str("grpc-message"));
        if let Some(message) = message {
            put(out, "grpc.message", message);
        }
    }
    if line.response_code == 0 || line.response_code >= 500 || grpc_failed(x) {
        put(out, "error", "true");
    }
}

/// Scheme, host and path as the client wrote them, the path cut to `most` bytes.
fn url(x: &Exchange<'_>, most: usize) -> String {
    let request = &x.s.request;
    let scheme = request.headers.get_str(Known::XForwardedProto).unwrap_or(request.scheme.as_str());
    let path = request.headers.get_str(Known::XEnvoyOriginalPath).unwrap_or(&request.path);
    let mut end = path.len().min(most);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    format!("{scheme}://{}{}", request.authority, &path[..end])
}

/// What broke a try off, in Envoy's words; it stands in the details.
fn reset_reason(details: &str) -> Option<String> {
    let inside = details.strip_prefix("upstream_reset_")?.split_once('{')?.1;
    Some(inside.split(['|', '}']).next()?.replace('_', " "))
}

/// Ends the span of the last try, if it has one. `again`: another one follows.
pub(crate) fn end_try(x: &mut Exchange<'_>, again: bool) {
    if x.record.observe != Observe::All {
        return;
    }
    let manager = std::rc::Rc::clone(x.manager);
    let Some(tracing) = &manager.tracing else { return };
    let Some(own) = x.record.trace.as_mut().and_then(|t| t.own.as_mut()) else { return };
    let (trace, parent, keeps_state) = (own.trace, own.id, own.keeps_state);
    let Some(last) = own.tries.last().filter(|t| t.ended.is_none()) else { return };
    let (id, number, begun) = (last.id, last.number, last.begun);
    let state = state(x, keeps_state);
    let status = x.record.try_status;
    let (name, mut tags) = with_line(x, None, b"", |line| {
        // What became of the request is not what became of the try.
        let of_request = [ResponseFlag::UpstreamRetryLimitExceeded, ResponseFlag::UpstreamRequestTimeout];
        let mut response_flags = ResponseFlags::NONE;
        line.response_flags.iter().filter(|f| !of_request.contains(f)).for_each(|f| response_flags.insert(f));
        let line = RequestRecord { response_code: status, response_flags, ..*line };
        let name = match &tracing.upstream_operation {
            Some(format) => rendered(format, &line),
            None => format!("router {} egress", line.upstream_cluster),
        };
        (name, all_tags(x, tracing, &line, false))
    });
    let late = !again && x.record.flags.contains(ResponseFlag::UpstreamRequestTimeout);
    if late || (again && status != 0) {
        put(&mut tags, "canceled", "true");
    }
    if let Some(reason) = reset_reason(&x.record.details).filter(|_| !again) {
        put(&mut tags, "error.reason", &reason);
        if !tags.iter().any(|(name, _)| name == "error") {
            put(&mut tags, "error", "true");
        }
    }
    if number > 1 {
        put(&mut tags, "retry.count", &(number - 1).to_string());
    }
    let ended = Span {
        trace,
        id,
        parent: Some(parent),
        state,
        name,
        kind: Kind::Client,
        shared: false,
        start: nanos(x.record.wall)
            + u64::try_from(begun.saturating_duration_since(x.record.start).as_nanos()).unwrap_or(0),
        duration: super::elapsed(begun),
        tags,
        events: Vec::new(),
        lost_events: 0,
        failed: failed(Kind::Client, status) || grpc_failed(x),
    };
    let own = x.record.trace.as_mut().and_then(|t| t.own.as_mut());
    if let Some(last) = own.and_then(|own| own.tries.last_mut()) {
        last.ended = Some(ended);
    }
}
