//! Spans as collectors got them, in an order of their own: how they are spread over reports means nothing.

use prost::Message as _;
use serde_json::Value;
use tulle_proto::otlp::{ExportTraceServiceRequest, KeyValue, text_of};

use super::{answer::Seen, logs};

/// Upstreams that get spans: over gRPC, over HTTP, and as Zipkin takes them.
const COLLECTORS: [&str; 3] = ["otlp", "collector", "zipkin"];

/// Whether an upstream is one that gets spans or access logs.
pub fn is_collector(upstream: &str) -> bool {
    COLLECTORS.contains(&upstream) || logs::SERVICES.contains(&upstream)
}

/// How many spans or entries a report has.
pub fn count(report: &Seen) -> usize {
    match report.upstream.as_str() {
        "zipkin" => zipkin(report).len(),
        service if logs::SERVICES.contains(&service) => logs::count(report),
        _ => otlp(report).iter().flat_map(|r| &r.scope_spans).map(|scope| scope.spans.len()).sum(),
    }
}

/// What all reports to a collector say; their lines are those of one request.
pub fn text(upstream: &str, reports: &[&Seen]) -> String {
    if logs::SERVICES.contains(&upstream) {
        return logs::text(upstream, reports);
    }
    let (mut all, mut of): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for report in reports {
        if upstream == "zipkin" {
            all.extend(zipkin(report).iter().map(|span| serde_json::to_string_pretty(span).unwrap()));
            continue;
        }
        for resource in otlp(report) {
            of.push(format!("resource\n{}", pairs(&resource.resource.unwrap_or_default().attributes)));
            for scope in resource.scope_spans {
                all.extend(scope.spans.iter().map(one));
            }
        }
    }
    all.sort_by_key(|span| order(span));
    of.sort();
    of.dedup();
    of.extend(all);
    of.join("\n")
}

/// Spans in an order that ids have no part in: by kind and name, then by which try they are.
fn order(span: &str) -> (String, String) {
    let first = span.lines().next().unwrap_or_default();
    let name: String = first.split(" trace ").next().unwrap_or_default().to_owned();
    let of = |what: &str| span.lines().filter(|line| line.contains(what)).collect::<String>();
    (of("\"kind\"") + &name, of("retry.count"))
}

fn otlp(report: &Seen) -> Vec<tulle_proto::otlp::ResourceSpans> {
    let from = if report.upstream == "otlp" { 5 } else { 0 };
    let message = report.body.get(from..).unwrap_or_default();
    ExportTraceServiceRequest::decode(message).map(|m| m.resource_spans).unwrap_or_default()
}

/// A span without its times and its events, which are ours alone.
fn one(span: &tulle_proto::otlp::Span) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    format!(
        "kind {} {:?} trace {} span {} parent {:?} state {:?} status {:?}\n{}",
        span.kind,
        span.name,
        hex(&span.trace_id),
        hex(&span.span_id),
        hex(&span.parent_span_id),
        span.trace_state,
        // Not said.
        span.status.as_ref().map(|s| s.code).filter(|code| *code != 0),
        pairs(&span.attributes),
    )
}

/// Attributes by name; exporters differ in what they say of themselves.
fn pairs(list: &[KeyValue]) -> String {
    let mut all: Vec<String> = list
        .iter()
        .filter(|kv| !kv.key.starts_with("telemetry.sdk."))
        .map(|kv| format!("  {}={}", kv.key, text_of(kv.value.as_ref())))
        .collect();
    all.sort();
    all.join("\n")
}

/// Spans without their times and events.
fn zipkin(report: &Seen) -> Vec<Value> {
    let mut all: Vec<Value> = serde_json::from_slice(&report.body).unwrap_or_default();
    for span in all.iter_mut().filter_map(Value::as_object_mut) {
        ["timestamp", "duration", "annotations"].iter().for_each(|name| drop(span.remove(*name)));
        // A port of 0 is none.
        if let Some(endpoint) = span.get_mut("localEndpoint").and_then(Value::as_object_mut) {
            endpoint.remove("port");
        }
    }
    all
}
