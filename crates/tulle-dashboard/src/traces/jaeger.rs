//! A trace as Jaeger's query service says it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tulle_proto::otlp::{KeyValue, text_of};

use super::Trace;
use super::view::{hex, waterfall};

/// The body of `/api/traces/ID`.
pub(crate) fn whole(id: &[u8; 16], trace: &Trace) -> Value {
    let trace_id = hex(id);
    let placed = waterfall(trace);
    let mut processes: BTreeMap<String, (String, Value)> = BTreeMap::new();
    for p in &placed {
        let source = &p.stored.source;
        let number = processes.len() + 1;
        processes.entry(format!("{}/{}", source.service, source.pod)).or_insert_with(|| {
            let tags = json!([tag("pod", &source.pod), tag("namespace", &source.namespace)]);
            (format!("p{number}"), json!({"serviceName": source.service, "tags": tags}))
        });
    }
    let spans: Vec<Value> = placed
        .iter()
        .map(|p| {
            let (span, source) = (&p.stored.span, &p.stored.source);
            let process = &processes[&format!("{}/{}", source.service, source.pod)].0;
            let references: Vec<Value> = (p.parent.iter())
                .map(|at| {
                    let parent = hex(&placed[*at].stored.span.span_id);
                    json!({"refType": "CHILD_OF", "traceID": trace_id, "spanID": parent})
                })
                .collect();
            let mut tags = tags(&span.attributes);
            tags.push(tag("span.kind", if span.kind == 3 { "client" } else { "server" }));
            let logs: Vec<Value> = (span.events.iter())
                .map(|event| {
                    let mut fields = self::tags(&event.attributes);
                    fields.insert(0, tag("event", &event.name));
                    json!({"timestamp": event.time_unix_nano / 1_000, "fields": fields})
                })
                .collect();
            json!({
                "traceID": trace_id, "spanID": hex(&span.span_id), "operationName": span.name, "references": references,
                "startTime": span.start_time_unix_nano / 1_000,
                "duration": span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano) / 1_000,
                "tags": tags, "logs": logs, "processID": process, "warnings": null,
            })
        })
        .collect();
    let processes: serde_json::Map<String, Value> = processes.into_values().collect();
    json!({
        "data": [{"traceID": trace_id, "spans": spans, "processes": processes, "warnings": null}],
        "total": 0, "limit": 0, "offset": 0, "errors": null,
    })
}

fn tag(key: &str, value: &str) -> Value {
    json!({"key": key, "type": "string", "value": value})
}

fn tags(list: &[KeyValue]) -> Vec<Value> {
    list.iter().map(|kv| tag(&kv.key, text_of(kv.value.as_ref()))).collect()
}
