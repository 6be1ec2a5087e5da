//! Whether a request is sampled, and what its headers say of its trace.

use tulle_engine::runtime::{
    matcher::Fraction,
    tracing::{TracerKind, Tracing},
};
use tulle_http::{HeaderList, Known};
use tulle_telemetry::trace::{
    Found, Parent, Reason, SpanId, TraceId,
    context::{self, B3},
    request_id,
};

use super::{Active, B3Form, LocalTracing, Observe, Own, finish::Try};
use crate::http::exchange::Exchange;

/// Why a request is traced, as Envoy decides it: once, where it enters; the id tells it to all who see the request later.
fn decide(x: &mut Exchange<'_>, config: &Tracing) -> Reason {
    let ids = x.manager.config.request_id;
    if !ids.decides {
        return Reason::Sampled;
    }
    let headers = &x.s.request.headers;
    let Some(id) = headers.get(Known::XRequestId) else { return Reason::None };
    let Some(number) = request_id::number(id) else { return Reason::None };
    let (client, random, overall) = match x.found.and_then(|found| found.route.tracing.as_deref()) {
        Some(route) => (route.client, route.random, route.overall),
        None => (config.client, config.random, config.overall),
    };
    let before = if ids.pack { Reason::of(id) } else { Reason::None };
    let mut reason = before;
    if reason == Reason::None {
        if headers.contains(Known::XClientTraceId) && client.hits(fastrand::u64(..)) {
            reason = Reason::Client;
        } else if headers.contains(Known::XEnvoyForceTrace) {
            reason = Reason::Service;
        } else if chosen(random, number) {
            reason = Reason::Sampled;
        }
    }
    if reason != Reason::None && !chosen(overall, number) {
        reason = Reason::None;
    }
    if reason != before
        && ids.pack
        && let Some(packed) = reason.packed(id)
    {
        x.s.request.headers.set(Known::XRequestId, &packed);
    }
    reason
}

/// Whether an id's number is among the chosen, with two digits behind the point of a percentage.
fn chosen(fraction: Fraction, number: u64) -> bool {
    (number % 10_000) * 100 < u64::from(fraction.per_million())
}

/// Begins the trace of a request whose route is known.
pub(crate) fn begin(x: &mut Exchange<'_>) {
    let keeping = x.conn.worker.telemetry.kept.is_on();
    x.record.observe = if keeping { Observe::Trouble } else { Observe::No };
    let manager = std::rc::Rc::clone(x.manager);
    let Some(tracing) = &manager.tracing else { return };
    let reason = decide(x, &tracing.config);
    let stats = &manager.stats;
    match reason {
        Reason::None => stats.tracing_not_traceable.inc(),
        Reason::Sampled => stats.tracing_random_sampling.inc(),
        Reason::Service => stats.tracing_service_forced.inc(),
        Reason::Client => stats.tracing_client_enabled.inc(),
    }
    let own = tracing
        .tracer()
        .and_then(|tracer| own(&x.s.request.headers, &tracer.kind, tracing.is_server(), reason));
    let sampled =
        own.as_ref().map_or(reason != Reason::None && tracing.tracer().is_none(), |own| own.sampled);
    if sampled && (keeping || tracing.exporter.is_some()) {
        x.record.observe = Observe::All;
    }
    x.record.ids = own.as_ref().map(|own| (own.trace, own.id));
    x.record.trace = Some(Active { reason, own: own.map(Box::new) });
    decorate(x, tracing);
}

/// Our own span; `None` if what the headers say is none, and is left as it is.
fn own(headers: &HeaderList, kind: &TracerKind, server: bool, reason: Reason) -> Option<Own> {
    let (w3c, b3_counts, long, shares, always) = match kind {
        TracerKind::Otlp { always, .. } => (true, true, true, false, *always),
        TracerKind::Zipkin { w3c, long, shared, to: _ } => (*w3c, true, *long, *shared && server, false),
    };
    let zipkin = matches!(kind, TracerKind::Zipkin { .. });
    let b3 = b3_of(headers);
    let traceparent = || if w3c { context::w3c(headers.get_str(Known::Traceparent)) } else { Found::Nothing };
    // Zipkin's own headers come first for Zipkin, and last for OpenTelemetry.
    let found = match zipkin {
        // One that cannot be read says nothing then.
        true => {
            or(b3.read(), || Some(traceparent()).filter(|f| *f != Found::Malformed).unwrap_or(Found::Nothing))
        }
        false => or(traceparent(), || b3.read()),
    };
    let form = b3_counts.then(|| form_of(&b3)).flatten();
    let traced = reason != Reason::None;
    let fresh = new_trace(long);
    // The first span of a trace has its id in Zipkin.
    let first = SpanId(*fresh.0.last_chunk().unwrap_or(&[0; 8]));
    let base = Own {
        trace: fresh,
        id: SpanId::new(fastrand::u64(..)),
        parent: None,
        // Members of other traces belong to W3C's headers, and to nothing without them.
        keeps_state: zipkin || matches!(traceparent(), Found::Parent(_)),
        shared: shares,
        sampled: traced,
        b3: if zipkin { form.or(Some(B3Form::Multi)) } else { form },
        name: None,
        tries: Vec::new(),
    };
    match found {
        Found::Malformed => None,
        Found::Nothing if zipkin => Some(Own { id: first, ..base }),
        Found::Nothing => Some(Own { sampled: traced || always, ..base }),
        Found::Decision(sampled) if zipkin => Some(Own { id: first, sampled, ..base }),
        Found::Decision(sampled) => Some(Own { sampled, ..base }),
        Found::Parent(Parent { trace, span, above, sampled }) => {
            let sampled = sampled.unwrap_or(traced);
            let own = Own { trace, sampled, ..base };
            Some(match shares {
                true => Own { id: span, parent: above, ..own },
                false => Own { parent: Some(span), ..own },
            })
        }
    }
}

fn or(first: Found, second: impl FnOnce() -> Found) -> Found {
    if first == Found::Nothing { second() } else { first }
}

fn new_trace(long: bool) -> TraceId {
    let random = fastrand::u128(..);
    TraceId::new(if long { random } else { random & u128::from(u64::MAX) })
}

fn b3_of(headers: &HeaderList) -> B3<'_> {
    B3 {
        single: headers.get_str(Known::B3),
        trace: headers.get_str(Known::XB3TraceId),
        span: headers.get_str(Known::XB3SpanId),
        parent: headers.get_str(Known::XB3ParentSpanId),
        sampled: headers.get_str(Known::XB3Sampled),
        flags: headers.get_str(Known::XB3Flags),
    }
}

fn form_of(b3: &B3<'_>) -> Option<B3Form> {
    if b3.single.is_some() {
        return Some(B3Form::Single);
    }
    b3.is_multi().then_some(B3Form::Multi)
}

/// The name of the operation, as one side tells it the other.
fn decorate(x: &mut Exchange<'_>, tracing: &LocalTracing) {
    let route = x.found.map(|found| found.route);
    if tracing.egress {
        if let Some(route) = route.filter(|r| !r.operation.is_empty() && r.tells_operation) {
            x.s.request.headers.set(Known::XEnvoyDecoratorOperation, route.operation.as_bytes());
        }
        return;
    }
    let Some(told) = x.s.request.headers.get_str(Known::XEnvoyDecoratorOperation).map(str::to_owned) else {
        return;
    };
    x.s.request.headers.remove(Known::XEnvoyDecoratorOperation);
    if let Some(own) = x.record.trace.as_mut().and_then(|t| t.own.as_mut()).filter(|_| !told.is_empty()) {
        own.name = Some(told);
    }
}

/// Tells the name of the operation in the head of a response, or learns it there.
pub(crate) fn respond(x: &mut Exchange<'_>) {
    let Some(tracing) = &x.manager.tracing else { return };
    if tracing.tracer().is_none() {
        return;
    }
    let headers = &mut x.s.response.headers;
    let own = x.record.trace.as_mut().and_then(|t| t.own.as_mut());
    if tracing.egress {
        let told = headers.get_str(Known::XEnvoyDecoratorOperation).map(str::to_owned);
        if let Some(told) = told {
            headers.remove(Known::XEnvoyDecoratorOperation);
            if let Some(own) = own.filter(|_| !told.is_empty()) {
                own.name = Some(told);
            }
        }
        return;
    }
    let route = x.found.map(|found| found.route).filter(|r| !r.operation.is_empty() && r.tells_operation);
    if let (Some(route), Some(own)) = (route, own)
        && own.name.is_none()
    {
        headers.set(Known::XEnvoyDecoratorOperation, route.operation.as_bytes());
    }
}

/// Writes the context for the next try into the request.
pub(crate) fn attempt(x: &mut Exchange<'_>) {
    let Some(tracing) = &x.manager.tracing else { return };
    if x.record.trace.as_ref().is_none_or(|t| t.own.is_none()) {
        return;
    }
    let Some(own) = x.record.trace.as_mut().and_then(|t| t.own.as_mut()) else { return };
    let mut span = own.id;
    let mut parent = own.parent;
    if tracing.config.spawn_upstream {
        (span, parent) = (SpanId::new(fastrand::u64(..)), Some(own.id));
        own.tries.push(Try::new(span, x.record.attempts));
    } else if x.record.attempts > 1 {
        return;
    }
    if tracing.config.no_propagation {
        return;
    }
    let (trace, sampled, form, keeps_state) = (own.trace, own.sampled, own.b3, own.keeps_state);
    let w3c = match tracing.tracer().map(|t| &t.kind) {
        Some(TracerKind::Zipkin { w3c, .. }) => *w3c,
        _ => true,
    };
    let headers = &mut x.s.request.headers;
    if !keeps_state {
        headers.remove(Known::Tracestate);
    }
    if w3c {
        headers.set(Known::Traceparent, &context::traceparent(trace, span, sampled));
    }
    if let Some(form) = form {
        write_b3(headers, form, (trace, span, parent), sampled);
    }
}

fn write_b3(
    headers: &mut HeaderList,
    form: B3Form,
    (trace, span, parent): (TraceId, SpanId, Option<SpanId>),
    sampled: bool,
) {
    let trace = trace.to_hex();
    // Short ids stay short: whoever sent one may know no other.
    let trace = trace.strip_prefix("0000000000000000").unwrap_or(&trace);
    let (span, parent) = (span.to_hex(), parent.map(SpanId::to_hex));
    let sampled = if sampled { "1" } else { "0" };
    match form {
        B3Form::Single => {
            let mut text = format!("{trace}-{span}-{sampled}");
            if let Some(parent) = parent {
                text.push('-');
                text.push_str(&parent);
            }
            headers.set(Known::B3, text.as_bytes());
        }
        B3Form::Multi => {
            headers.set(Known::XB3TraceId, trace.as_bytes());
            headers.set(Known::XB3SpanId, span.as_bytes());
            match parent {
                Some(parent) => headers.set(Known::XB3ParentSpanId, parent.as_bytes()),
                None => headers.remove(Known::XB3ParentSpanId),
            };
            headers.set(Known::XB3Sampled, sampled.as_bytes());
        }
    }
}
