//! Spans for Zipkin (version 2, JSON).

use serde_json::{Map, Value, json};

use super::{Event, Kind, Span};

/// Who made the spans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The service.
    pub service: String,
    /// Its address, if it is known.
    pub address: Option<std::net::IpAddr>,
}

/// A batch of spans as the body of a request.
pub fn batch(endpoint: &Endpoint, spans: &[Span]) -> Vec<u8> {
    Value::Array(spans.iter().map(|span| one(endpoint, span)).collect()).to_string().into_bytes()
}

fn one(endpoint: &Endpoint, span: &Span) -> Value {
    let Span {
        trace,
        id,
        parent,
        state: _,
        name,
        kind,
        shared,
        start,
        duration,
        tags,
        events,
        lost_events: _,
        failed: _,
    } = span;
    let mut out = Map::new();
    let short = trace.0[..8] == [0; 8];
    let trace = trace.to_hex();
    out.insert("traceId".into(), json!(if short { &trace[16..] } else { trace.as_str() }));
    out.insert("id".into(), json!(id.to_hex()));
    if let Some(parent) = parent {
        out.insert("parentId".into(), json!(parent.to_hex()));
    }
    out.insert("name".into(), json!(name));
    out.insert("kind".into(), json!(if *kind == Kind::Server { "SERVER" } else { "CLIENT" }));
    out.insert("timestamp".into(), json!(start / 1_000));
    out.insert("duration".into(), json!((duration / 1_000).max(1)));
    let mut local = Map::new();
    local.insert("serviceName".into(), json!(endpoint.service));
    match endpoint.address {
        Some(ip @ std::net::IpAddr::V4(_)) => drop(local.insert("ipv4".into(), json!(ip.to_string()))),
        Some(ip @ std::net::IpAddr::V6(_)) => drop(local.insert("ipv6".into(), json!(ip.to_string()))),
        None => {}
    }
    out.insert("localEndpoint".into(), Value::Object(local));
    // An empty value says nothing.
    let tags = tags.iter().filter(|(_, v)| !v.is_empty());
    let tags: Map<String, Value> = tags.map(|(k, v)| (k.to_string(), json!(v))).collect();
    out.insert("tags".into(), Value::Object(tags));
    if !events.is_empty() {
        out.insert("annotations".into(), Value::Array(events.iter().map(annotation).collect()));
    }
    if *shared {
        out.insert("shared".into(), json!(true));
    }
    Value::Object(out)
}

/// An event as a text: Zipkin has no attributes for them.
fn annotation(event: &Event) -> Value {
    let Event { at, name, attributes } = event;
    let mut text = (*name).to_owned();
    for (key, value) in attributes {
        text.push_str(&format!(" {key}={value}"));
    }
    json!({ "timestamp": at / 1_000, "value": text })
}

#[cfg(test)]
mod tests {
    use super::super::{SpanId, TraceId};
    use super::*;

    #[test]
    fn a_span_with_an_event() {
        let span = Span {
            trace: TraceId::parse("00f067aa0ba902b7").unwrap(),
            id: SpanId::new(2),
            parent: Some(SpanId::new(1)),
            state: String::new(),
            name: "GET /".to_owned(),
            kind: Kind::Client,
            shared: false,
            start: 5_000_000,
            duration: 7_000,
            tags: vec![("http.method".into(), "GET".to_owned())],
            events: vec![Event {
                at: 6_000_000,
                name: "retry",
                attributes: vec![("attempt", "2".to_owned())],
            }],
            lost_events: 0,
            failed: false,
        };
        let endpoint = Endpoint { service: "a.b".to_owned(), address: Some("10.0.0.1".parse().unwrap()) };
        let read: Value = serde_json::from_slice(&batch(&endpoint, &[span])).unwrap();
        let wanted = json!([{
            "traceId": "00f067aa0ba902b7", "id": "0000000000000002", "parentId": "0000000000000001", "name": "GET /",
            "kind": "CLIENT", "timestamp": 5000, "duration": 7, "localEndpoint": {"serviceName": "a.b", "ipv4": "10.0.0.1"},
            "tags": {"http.method": "GET"}, "annotations": [{"timestamp": 6000, "value": "retry attempt=2"}],
        }]);
        assert_eq!(read, wanted);
    }
}
