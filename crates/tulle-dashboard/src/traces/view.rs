//! A trace of its spans.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use super::{Stored, Trace, attribute};

/// A span in its place.
pub(crate) struct Placed<'t> {
    pub(crate) stored: &'t Stored,
    pub(crate) parent: Option<usize>,
    pub(crate) depth: usize,
    pub(crate) critical: bool,
}

/// A trace in the order of a waterfall: parents before children, siblings by their begin.
pub(crate) fn waterfall(trace: &Trace) -> Vec<Placed<'_>> {
    let mut spans: Vec<&Stored> = trace.spans.iter().collect();
    spans.sort_by_key(|s| (s.span.start_time_unix_nano, std::cmp::Reverse(s.span.end_time_unix_nano)));
    let parents = parents(&spans);
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    let mut roots = Vec::new();
    for (at, parent) in parents.iter().enumerate() {
        match parent {
            Some(parent) => children[*parent].push(at),
            None => roots.push(at),
        }
    }
    let mut critical = vec![false; spans.len()];
    if let Some(root) = roots.iter().copied().max_by_key(|at| duration(spans[*at])) {
        mark(root, &spans, &children, &mut critical);
    }
    let mut out: Vec<Placed<'_>> = Vec::with_capacity(spans.len());
    let mut place = vec![usize::MAX; spans.len()];
    let mut todo: Vec<(usize, usize)> = roots.into_iter().rev().map(|at| (at, 0)).collect();
    while let Some((at, depth)) = todo.pop() {
        place[at] = out.len();
        let parent = parents[at].map(|p| place[p]);
        out.push(Placed { stored: spans[at], parent, depth, critical: critical[at] });
        todo.extend(children[at].iter().rev().map(|child| (*child, depth + 1)));
    }
    out
}

fn duration(stored: &Stored) -> u64 {
    stored.span.end_time_unix_nano.saturating_sub(stored.span.start_time_unix_nano)
}

/// The parent of each span, by its place; what would close a circle is none.
fn parents(spans: &[&Stored]) -> Vec<Option<usize>> {
    let mut by_id: HashMap<&[u8], usize> = HashMap::new();
    for (at, stored) in spans.iter().enumerate() {
        by_id.entry(&stored.span.span_id).or_insert(at);
    }
    let mut parents: Vec<Option<usize>> = vec![None; spans.len()];
    for (at, stored) in spans.iter().enumerate() {
        let named = by_id.get(stored.span.parent_span_id.as_slice()).copied();
        let wanted = if stored.span.parent_span_id.is_empty() { around(spans, at) } else { named };
        if let Some(parent) = wanted.filter(|p| *p != at && !leads_to(&parents, *p, at)) {
            parents[at] = Some(parent);
        }
    }
    parents
}

fn leads_to(parents: &[Option<usize>], mut from: usize, to: usize) -> bool {
    while let Some(next) = parents[from] {
        if next == to {
            return true;
        }
        from = next;
    }
    false
}

/// Where no headers told the parent: the shortest span of another pod, or of the same one, that began before and ended after.
fn around(spans: &[&Stored], at: usize) -> Option<usize> {
    let own = &spans[at].span;
    // Only where nobody named a parent: a trace that came with headers has one root.
    if spans.iter().any(|s| !s.span.parent_span_id.is_empty()) {
        return None;
    }
    (0..spans.len())
        .filter(|other| *other != at)
        .filter(|other| {
            let other = &spans[*other].span;
            other.start_time_unix_nano <= own.start_time_unix_nano
                && other.end_time_unix_nano >= own.end_time_unix_nano
                && other.kind != own.kind
        })
        .min_by_key(|other| duration(spans[*other]))
}

/// Marks what the end of a span waited for, the last first.
fn mark(root: usize, spans: &[&Stored], children: &[Vec<usize>], critical: &mut [bool]) {
    let mut todo = vec![root];
    while let Some(at) = todo.pop() {
        critical[at] = true;
        let mut until = spans[at].span.end_time_unix_nano;
        let mut below = children[at].clone();
        below.sort_by_key(|child| std::cmp::Reverse(spans[*child].span.end_time_unix_nano));
        for child in below {
            let span = &spans[child].span;
            if span.end_time_unix_nano <= until {
                until = span.start_time_unix_nano;
                todo.push(child);
            }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds with three digits behind the point")]
pub(crate) fn millis(nanos: u64) -> f64 {
    (nanos / 1_000) as f64 / 1_000.0
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Begin and end of all spans.
pub(crate) fn extent(trace: &Trace) -> (u64, u64) {
    let begin = trace.spans.iter().map(|s| s.span.start_time_unix_nano).min().unwrap_or(0);
    let end = trace.spans.iter().map(|s| s.span.end_time_unix_nano).max().unwrap_or(0);
    (begin, end)
}

pub(crate) fn is_error(stored: &Stored) -> bool {
    attribute(&stored.span, "error") == "true" || stored.span.status.as_ref().is_some_and(|s| s.code == 2)
}

fn status(stored: &Stored) -> u64 {
    attribute(&stored.span, "http.status_code").parse().unwrap_or(0)
}

/// One line of a list.
pub(crate) fn summary(id: &[u8; 16], trace: &Trace) -> Value {
    let placed = waterfall(trace);
    let (begin, end) = extent(trace);
    let root = placed.first().map(|p| p.stored);
    let mut services: Vec<(&str, u64, u64)> = Vec::new();
    for stored in &trace.spans {
        let name = stored.source.service.as_str();
        let at = services.iter().position(|(n, _, _)| *n == name).unwrap_or_else(|| {
            services.push((name, 0, 0));
            services.len() - 1
        });
        services[at].1 += 1;
        services[at].2 += u64::from(is_error(stored));
    }
    services.sort_unstable();
    let roots = placed.iter().filter(|p| p.parent.is_none()).count();
    json!({
        "trace_id": hex(id),
        "root": root.map_or_else(String::new, |r| format!("{}: {}", r.source.service, r.span.name)),
        "service": root.map_or("", |r| &r.source.service),
        "name": root.map_or("", |r| &r.span.name),
        "start": millis(begin),
        "duration": millis(end.saturating_sub(begin)),
        "spans": trace.spans.len(),
        "errors": trace.spans.iter().filter(|s| is_error(s)).count(),
        "status": root.map_or(0, status),
        "events": trace.spans.iter().map(|s| s.span.events.len()).sum::<usize>(),
        "services": services.iter().map(|(name, spans, errors)| json!({"name": name, "spans": spans, "errors": errors})).collect::<Vec<_>>(),
        "complete": roots == 1 && trace.lost == 0,
    })
}

/// A whole trace.
pub(crate) fn whole(id: &[u8; 16], trace: &Trace) -> Value {
    let (begin, end) = extent(trace);
    let services: BTreeSet<&str> = trace.spans.iter().map(|s| s.source.service.as_str()).collect();
    let placed = waterfall(trace);
    let ids: Vec<String> = placed.iter().map(|p| hex(&p.stored.span.span_id)).collect();
    json!({
        "trace_id": hex(id),
        "start": millis(begin),
        "duration": millis(end.saturating_sub(begin)),
        "spans": placed.iter().map(|p| one(p, &ids)).collect::<Vec<_>>(),
        "services": services,
        "lost": trace.lost,
    })
}

fn one(placed: &Placed<'_>, ids: &[String]) -> Value {
    let Placed { stored, parent, depth, critical } = placed;
    let span = &stored.span;
    let tags: serde_json::Map<String, Value> = (span.attributes.iter())
        .map(|kv| (kv.key.clone(), json!(tulle_proto::otlp::text_of(kv.value.as_ref()))))
        .collect();
    let events: Vec<Value> = (span.events.iter())
        .map(|event| {
            let attributes: serde_json::Map<String, Value> = (event.attributes.iter())
                .map(|kv| (kv.key.clone(), json!(tulle_proto::otlp::text_of(kv.value.as_ref()))))
                .collect();
            json!({"time": millis(event.time_unix_nano), "name": event.name, "attributes": attributes})
        })
        .collect();
    json!({
        "span_id": hex(&span.span_id),
        "parent_id": parent.map_or("", |at| &ids[at]),
        "service": stored.source.service,
        "pod": stored.source.pod,
        "namespace": stored.source.namespace,
        "name": span.name,
        "kind": if span.kind == 3 { "client" } else { "server" },
        "start": millis(span.start_time_unix_nano),
        "duration": millis(duration(stored)),
        "depth": depth,
        "critical": critical,
        "error": is_error(stored),
        "status": status(stored),
        "flags": attribute(span, "response_flags"),
        "tags": tags,
        "events": events,
    })
}
