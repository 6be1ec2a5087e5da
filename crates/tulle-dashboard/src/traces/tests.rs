use serde_json::Value;
use tulle_proto::otlp::{Span, SpanEvent, SpanStatus, pair};
use tulle_proto::telemetry::{Pair, Party, Record, Why};

use super::*;
use crate::http::Params;

fn source(service: &str) -> Arc<Source> {
    Arc::new(Source {
        pod: format!("{service}-pod"),
        namespace: "default".into(),
        service: format!("{service}.default"),
    })
}

fn span(trace: u8, id: u8, parent: u8, kind: i32, (start, end): (u64, u64)) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        parent_span_id: if parent == 0 { Vec::new() } else { vec![parent; 8] },
        name: format!("span {id}"),
        kind,
        start_time_unix_nano: start * 1_000_000,
        end_time_unix_nano: end * 1_000_000,
        attributes: vec![pair("http.status_code", "200")],
        ..Span::default()
    }
}

fn ask(traces: &Traces, path: &str, query: &str) -> Value {
    match answer(traces, path, &Params::parse(query)) {
        Some(Answer::Found(value)) => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_trace_is_told_as_a_waterfall_and_as_jaeger_does() {
    let traces = Traces::default();
    let mut failing = span(1, 4, 3, 2, (30, 35));
    failing.attributes = vec![pair("http.status_code", "503"), pair("error", "true")];
    failing.status = Some(SpanStatus { message: String::new(), code: 2 });
    let attributes = vec![pair("attempt", "2")];
    failing.events = vec![SpanEvent { time_unix_nano: 31_000_000, name: "retry".into(), attributes }];
    traces.spans(&source("b"), vec![failing]);
    traces.spans(
        &source("a"),
        vec![span(1, 3, 2, 3, (20, 40)), span(1, 2, 1, 2, (10, 50)), span(1, 5, 2, 3, (41, 45))],
    );
    traces.spans(&source("gateway"), vec![span(1, 1, 0, 2, (0, 60))]);
    let id = "01".repeat(16);
    let whole = ask(&traces, &format!("/api/traces/{id}"), "");
    let spans = whole["spans"].as_array().unwrap();
    let told: Vec<(String, u64, bool)> = spans
        .iter()
        .map(|s| {
            (
                s["name"].as_str().unwrap().to_owned(),
                s["depth"].as_u64().unwrap(),
                s["critical"].as_bool().unwrap(),
            )
        })
        .collect();
    let wanted = [("span 1", 0), ("span 2", 1), ("span 3", 2), ("span 4", 3), ("span 5", 2)];
    assert_eq!(told, wanted.map(|(name, depth)| (name.to_owned(), depth, true)));
    assert_eq!(
        (whole["duration"].as_f64(), spans[3]["events"][0]["name"].as_str()),
        (Some(60.0), Some("retry"))
    );
    assert_eq!(spans[3]["parent_id"], Value::from("03".repeat(8)));
    let list = ask(&traces, "/api/traces", "errors=true&service=b.default");
    let line = &list["traces"][0];
    assert_eq!(
        (line["spans"].as_u64(), line["errors"].as_u64(), line["complete"].as_bool()),
        (Some(5), Some(1), Some(true))
    );
    assert_eq!(line["root"], "gateway.default: span 1");
    assert_eq!(ask(&traces, "/api/traces", "min_duration=61")["traces"].as_array().map(Vec::len), Some(0));
    assert_eq!(ask(&traces, "/api/traces", "services=1")["services"].as_array().map(Vec::len), Some(3));
    let jaeger = ask(&traces, &format!("/jaeger/api/traces/{id}"), "");
    assert_eq!(jaeger["data"][0]["spans"].as_array().map(Vec::len), Some(5));
    assert_eq!(jaeger["data"][0]["spans"][3]["logs"][0]["fields"][0]["value"], "retry");
    assert_eq!(jaeger["data"][0]["processes"].as_object().map(serde_json::Map::len), Some(3));
}

#[test]
fn without_headers_time_tells_who_called_whom() {
    let traces = Traces::default();
    traces.spans(&source("a"), vec![span(2, 1, 0, 2, (0, 60)), span(2, 2, 0, 3, (10, 50))]);
    traces.spans(&source("b"), vec![span(2, 3, 0, 2, (12, 48))]);
    let whole = ask(&traces, &format!("/api/traces/{}", "02".repeat(16)), "");
    let depths: Vec<_> =
        whole["spans"].as_array().unwrap().iter().map(|s| s["depth"].as_u64().unwrap()).collect();
    assert_eq!(depths, [0, 1, 2]);
}

#[test]
fn circles_and_nonsense_are_survived() {
    let traces = Traces::default();
    traces.spans(
        &source("a"),
        vec![span(3, 1, 2, 2, (0, 9)), span(3, 2, 1, 2, (0, 9)), span(3, 3, 3, 2, (0, 9))],
    );
    let mut short = span(3, 4, 0, 2, (0, 9));
    short.trace_id = vec![1];
    let backwards = span(3, 5, 0, 2, (9, 0));
    let mut huge = span(3, 6, 0, 2, (0, 9));
    huge.name = "x".repeat(1 << 20);
    huge.attributes = vec![pair("k".repeat(1 << 20), "v".repeat(1 << 20)); 1_000];
    traces.spans(&source("a"), vec![short, backwards, huge]);
    assert_eq!((traces.losses().0, traces.sizes().1), (2, 4));
    assert_eq!(
        ask(&traces, &format!("/api/traces/{}", "03".repeat(16)), "")["spans"].as_array().map(Vec::len),
        Some(4)
    );
    let wrong = |path: &str, query: &str| {
        matches!(answer(&traces, path, &Params::parse(query)), Some(Answer::Wrong(_)))
    };
    assert!(
        wrong("/api/traces", "limit=0") && wrong("/api/traces", "nonsense=1") && wrong("/api/traces/xyz", "")
    );
    assert!(wrong("/api/requests", "status=9xx") && wrong("/api/requests", "min_duration=soon"));
    assert!(matches!(answer(&traces, "/api/traces/ff", &Params::default()), Some(Answer::Missing(_))));
    assert_eq!(answer(&traces, "/api/graph", &Params::default()), None);
}

#[test]
fn memory_is_bounded_and_what_went_wrong_stays_longest() {
    let traces = Traces::default();
    let a = source("a");
    let id = |n: u32| {
        let mut id = [7; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        id.to_vec()
    };
    for n in 0..10_000_u32 {
        let mut one = span(1, 1, 0, 2, (u64::from(n), u64::from(n) + 1));
        one.trace_id = id(n);
        if n % 100 == 0 {
            one.attributes.push(pair("error", "true"));
        }
        traces.spans(&a, vec![one]);
    }
    let (kept, spans, _) = traces.sizes();
    assert_eq!((kept, spans), (MAX_TRACES, MAX_TRACES));
    let failed = ask(&traces, "/api/traces", "errors=true&limit=1000");
    assert_eq!(failed["found"].as_u64(), Some(100));
    // A flood in one trace.
    for _ in 0..20 {
        traces.spans(&a, (0..100).map(|_| span(9, 1, 0, 2, (1, 2))).collect());
    }
    assert_eq!(traces.losses().0, 1_000);
    let record = || Record { path: "/x".into(), details: "d".repeat(1_000_000), ..Record::default() };
    traces.records(&a, (0..MAX_RECORDS + 10).map(|_| record()).collect());
    let inner = traces.lock();
    assert!(inner.records.len() <= MAX_RECORDS && inner.record_bytes <= MAX_RECORD_BYTES);
}

#[tokio::test]
async fn records_are_filtered_and_told_as_they_come() {
    let traces = Traces::default();
    let params = |text: &str| Filter::read(&Params::parse(text)).unwrap();
    let mut heard = traces.listen(params("status=5xx&destination=reviews.default"));
    let party =
        |name: &str| Some(Party { workload: name.into(), namespace: "default".into(), ..Party::default() });
    let record = |status, to: &str| Record {
        time_us: 1_000_000,
        duration_us: 1_500,
        outbound: true,
        source: party("productpage"),
        destination: party(to),
        service: format!("{to}.default.svc.cluster.local"),
        path: "/x?token=secret".into(),
        status,
        why: if status >= 500 { Why::Error.into() } else { Why::Other.into() },
        headers: vec![Pair { name: "authorization".into(), value: "(redacted)".into() }],
        ..Record::default()
    };
    traces.records(
        &source("productpage"),
        vec![record(200, "reviews"), record(503, "details"), record(503, "reviews")],
    );
    let Some(records::Heard::Record(kept)) = heard.next().await else { panic!("nothing heard") };
    assert_eq!((kept.seq, kept.to_json()["path"].as_str()), (3, Some("/x")));
    let found = |query: &str| ask(&traces, "/api/requests", query)["requests"].as_array().unwrap().len();
    assert_eq!((found(""), found("errors=true"), found("service=reviews"), found("before=3")), (3, 2, 2, 2));
    assert_eq!((found("source=productpage"), found("source=other"), found("min_duration=2")), (3, 0, 0));
    assert_eq!((found("path=/x&namespace=default&reporter=source"), found("reporter=destination")), (3, 0));
    traces.records(&source("a"), (0..2_000).map(|_| record(503, "reviews")).collect());
    assert!(matches!(heard.next().await, Some(records::Heard::Lost(976))));
}
