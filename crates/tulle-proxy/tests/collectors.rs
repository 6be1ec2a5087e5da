//! Collectors of spans and access logs: good ones get everything; no request waits for one that is down, slow or lies, what is lost is
//! counted, and nothing grows.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use common::{
    Backend, Client, Proxy, any_host, cluster, eventually, h2::backend, http, http2, listener, router, tcp,
};
use prost::Message as _;
use serde_json::{Value, json};
use tulle_http::{
    HeaderList, Known, ResponseHead,
    h2::{Config, Connection, ErrorCode, Event, Role},
};
use tulle_proto::{
    envoy::access_log_service::{StreamAccessLogsMessage, stream_access_logs_message::LogEntries},
    otlp::{ExportLogsServiceRequest, ExportLogsServiceResponse, Partial},
};
use tulle_proxy::worker::Settings;

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Als,
    OtlpLogs,
    OtlpLogsHttp,
    Spans,
    Zipkin,
}

const ALL: [What; 5] = [What::Als, What::OtlpLogs, What::OtlpLogsHttp, What::Spans, What::Zipkin];

impl What {
    /// Prefix of its statistics, and the names of those that count what came and what was lost.
    fn stats(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Als => ("access_logs.grpc_access_log", "logs_written", "logs_dropped"),
            Self::OtlpLogs | Self::OtlpLogsHttp => {
                ("access_logs.open_telemetry_access_log", "logs_written", "logs_dropped")
            }
            Self::Spans => ("tracing.opentelemetry", "spans_sent", "spans_lost"),
            Self::Zipkin => ("tracing.zipkin", "spans_sent", "spans_lost"),
        }
    }

    fn is_h2(self) -> bool {
        !matches!(self, Self::OtlpLogsHttp | Self::Zipkin)
    }

    /// What of a connection manager makes it.
    fn manager(self, timeout: &str) -> Value {
        let grpc = json!({ "envoy_grpc": { "cluster_name": "collector" }, "timeout": timeout });
        let uri = json!({ "uri": "http://collector/in", "cluster": "collector", "timeout": timeout });
        let typed = |kind: &str, mut config: Value| {
            config["@type"] = json!(format!("type.googleapis.com/envoy.{kind}"));
            config
        };
        let log = |kind: &str, config: Value| {
            let kind = format!("extensions.access_loggers.{kind}");
            json!({ "access_log": [{ "name": "log", "typed_config": typed(&kind, config) }] })
        };
        let tracer = |kind: &str, config: Value| json!({ "tracing": { "provider": { "name": "tracer", "typed_config": typed(&format!("config.trace.v3.{kind}"), config) } } });
        match self {
            Self::Als => log(
                "grpc.v3.HttpGrpcAccessLogConfig",
                json!({ "common_config": { "log_name": "requests", "transport_api_version": "V3", "buffer_flush_interval": "0.02s", "grpc_service": grpc } }),
            ),
            Self::OtlpLogs => log(
                "open_telemetry.v3.OpenTelemetryAccessLogConfig",
                json!({ "grpc_service": grpc, "buffer_flush_interval": "0.02s", "body": { "string_value": "%REQ(:PATH)%" } }),
            ),
            Self::OtlpLogsHttp => log(
                "open_telemetry.v3.OpenTelemetryAccessLogConfig",
                json!({ "http_service": { "http_uri": uri }, "buffer_flush_interval": "0.02s", "body": { "string_value": "%REQ(:PATH)%" } }),
            ),
            Self::Spans => tracer("OpenTelemetryConfig", json!({ "grpc_service": grpc })),
            Self::Zipkin => tracer(
                "ZipkinConfig",
                json!({ "collector_service": { "http_uri": uri }, "collector_endpoint_version": "HTTP_JSON" }),
            ),
        }
    }
}

/// A proxy before an application, which exports to the collector.
fn proxy(what: What, app: &Backend, collector: SocketAddr) -> Proxy {
    patient(what, app, collector, "0.3s")
}

/// The same with that much patience.
fn patient(what: What, app: &Backend, collector: SocketAddr, timeout: &str) -> Proxy {
    let mut to = cluster("collector", &[collector]);
    to["connect_timeout"] = json!("0.3s");
    let to = if what.is_h2() { http2(to) } else { to };
    let routes = any_host(json!([{ "match": { "prefix": "/" }, "route": { "cluster": "app" } }]));
    let mut extra = what.manager(timeout);
    extra["http_filters"] = json!([router()]);
    let settings = Settings { report_delay: Duration::from_millis(20), ..Settings::default() };
    Proxy::with(
        json!({ "listeners": [listener("in", http(routes, extra))], "clusters": [cluster("app", &[app.address]), to] }),
        settings,
    )
}

fn stat(proxy: &Proxy, what: What, name: &str) -> u64 {
    proxy.stat(&format!("{}.{name}", what.stats().0))
}

fn grpc_ok() -> HeaderList {
    let mut list = HeaderList::new();
    list.append(Known::GrpcStatus, b"0");
    list
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat()
}

type Bodies = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A collector over gRPC that takes everything and keeps it.
fn good(answer: Vec<u8>) -> (Backend, Bodies) {
    let kept = Bodies::default();
    let bodies = Arc::clone(&kept);
    let server = backend(move |head, body| {
        bodies.lock().unwrap().push((head.path.clone(), body.to_vec()));
        (ResponseHead::new(200), framed(&answer), grpc_ok())
    });
    (server, kept)
}

#[test]
fn envoys_service_gets_every_request_with_who_sends_it() {
    let (app, (collector, kept)) = (Backend::text("hello"), good(Vec::new()));
    let proxy = proxy(What::Als, &app, collector.address);
    let mut client = Client::connect(proxy.address("in"));
    (0..300).for_each(|i| assert_eq!(client.get(&format!("/{i}")).status, 200));
    eventually("entries are there", || stat(&proxy, What::Als, "logs_written") == 300);
    let mut paths = Vec::new();
    for (path, body) in kept.lock().unwrap().iter() {
        assert_eq!(path, "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs");
        let message = StreamAccessLogsMessage::decode(&body[5..]).unwrap();
        assert_eq!(message.identifier.unwrap().log_name, "requests");
        let Some(LogEntries::HttpLogs(list)) = message.log_entries else { panic!("no entries") };
        paths.extend(list.log_entry.into_iter().map(|entry| entry.request.unwrap().path));
    }
    assert_eq!(paths, (0..300).map(|i| format!("/{i}")).collect::<Vec<_>>());
    assert_eq!(stat(&proxy, What::Als, "logs_dropped"), 0);
}

#[test]
fn what_an_opentelemetry_collector_refuses_is_counted() {
    let partial = Partial { rejected: 1, error_message: "no".to_owned() };
    let answer = ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let (app, (collector, kept)) = (Backend::text("hello"), good(answer));
    let proxy = proxy(What::OtlpLogs, &app, collector.address);
    assert_eq!(common::get(proxy.address("in"), "/one").status, 200);
    eventually("the record is refused", || stat(&proxy, What::OtlpLogs, "logs_refused") == 1);
    assert_eq!(stat(&proxy, What::OtlpLogs, "logs_written"), 0);
    let (path, body) = kept.lock().unwrap()[0].clone();
    assert_eq!(path, "/opentelemetry.proto.collector.logs.v1.LogsService/Export");
    let message = ExportLogsServiceRequest::decode(&body[5..]).unwrap();
    let record = &message.resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!(tulle_proto::otlp::text_of(record.body.as_ref()), "/one");
}

#[test]
fn a_connection_is_an_entry_too() {
    let (app, (collector, kept)) = (Backend::text("hello"), good(Vec::new()));
    let mut filters = tcp("app");
    filters[0]["typed_config"]["access_log"] = json!([{ "name": "log", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig",
        "common_config": { "log_name": "connections", "transport_api_version": "V3", "buffer_flush_interval": "0.02s",
            "grpc_service": { "envoy_grpc": { "cluster_name": "collector" } } } } }]);
    let clusters = json!([cluster("app", &[app.address]), http2(cluster("collector", &[collector.address]))]);
    let proxy = Proxy::start(json!({ "listeners": [listener("in", filters)], "clusters": clusters }));
    assert_eq!(common::get(proxy.address("in"), "/").status, 200);
    eventually("the entry is there", || kept.lock().unwrap().len() == 1);
    let message = StreamAccessLogsMessage::decode(&kept.lock().unwrap()[0].1[5..]).unwrap();
    let Some(LogEntries::TcpLogs(list)) = message.log_entries else { panic!("no entries") };
    let bytes = list.log_entry[0].connection_properties.unwrap();
    assert!(bytes.received_bytes > 0 && bytes.sent_bytes > bytes.received_bytes.min(40), "{bytes:?}");
    assert_eq!(list.log_entry[0].common_properties.as_ref().unwrap().upstream_cluster, "app");
}

/// How a collector is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    /// Nobody listens.
    Down,
    /// It takes connections and never reads.
    NeverReads,
    /// It reads and never answers.
    NeverAnswers,
    /// It answers with something that is no HTTP.
    Garbage,
    /// A page in place of an answer.
    Page,
    /// It resets every stream.
    Resets,
    /// An error in the head of the answer, which is its end.
    TrailersOnly,
}

const BAD: [Bad; 7] =
    [Bad::Down, Bad::NeverReads, Bad::NeverAnswers, Bad::Garbage, Bad::Page, Bad::Resets, Bad::TrailersOnly];

fn bad(how: Bad, over_h2: bool) -> Backend {
    match how {
        Bad::Down => {
            let mut gone = Backend::raw(|_| {});
            // A port that was somebody's.
            gone.address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            gone
        }
        Bad::NeverReads => Backend::raw(|_| std::thread::sleep(Duration::from_secs(20))),
        Bad::NeverAnswers => Backend::raw(|stream| {
            let mut bytes = [0; 4096];
            while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
        }),
        Bad::Garbage => Backend::raw(|stream| {
            let _ = stream.write_all(b"\x00\x01\x02 this is no protocol that anybody speaks\r\n\r\n");
            let mut bytes = [0; 4096];
            while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
        }),
        _ if !over_h2 => Backend::http(move |_| match how {
            Bad::Page => common::status(404, "<html>no</html>"),
            Bad::TrailersOnly => common::status(503, ""),
            _ => Vec::new(),
        }),
        Bad::Resets => Backend::raw(resets),
        Bad::Page => backend(|_, _| {
            let mut head = ResponseHead::new(200);
            head.headers.append(Known::ContentType, b"text/html");
            (head, b"<html>hello</html>".to_vec(), HeaderList::new())
        }),
        Bad::TrailersOnly => backend(|_, _| {
            let mut head = ResponseHead::new(200);
            head.headers.append(Known::ContentType, b"application/grpc");
            head.headers.append(Known::GrpcStatus, b"14");
            (head, Vec::new(), HeaderList::new())
        }),
    }
}

fn resets(stream: &mut std::net::TcpStream) {
    let mut codec = Connection::new(Role::Server, Config::default());
    let mut inbox = bytes::BytesMut::new();
    loop {
        while let Ok(Some(event)) = codec.recv(&mut inbox) {
            if let Event::Request { stream, .. } = event {
                codec.reset(stream, ErrorCode::INTERNAL_ERROR);
            }
        }
        codec.flush();
        while !codec.output().is_empty() {
            let Ok(count) = stream.write(bytes::Buf::chunk(codec.output())) else { return };
            bytes::Buf::advance(codec.output(), count);
            codec.flush();
        }
        let mut some = [0; 16 * 1024];
        match stream.read(&mut some) {
            Ok(0) | Err(_) => return,
            Ok(count) => inbox.extend_from_slice(&some[..count]),
        }
    }
}

#[test]
fn no_request_waits_for_a_collector_and_what_is_lost_is_counted() {
    std::thread::scope(|scope| {
        for what in ALL {
            scope.spawn(move || BAD.into_iter().for_each(|how| survives(what, how)));
        }
    });
}

fn survives(what: What, how: Bad) {
    let app = Backend::text("hello");
    let collector = bad(how, what.is_h2());
    let proxy = proxy(what, &app, collector.address);
    let mut client = Client::connect(proxy.address("in"));
    let begin = Instant::now();
    (0..50).for_each(|_| assert_eq!(client.get("/").status, 200, "{what:?} {how:?}"));
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(4), "{what:?} {how:?}: 50 requests took {took:?}");
    let (_, came, lost) = what.stats();
    eventually(&format!("{what:?} {how:?}: all is lost"), || stat(&proxy, what, lost) == 50);
    assert_eq!(stat(&proxy, what, came), 0, "{what:?} {how:?}");
    assert!(stat(&proxy, what, "reports_failed") > 0, "{what:?} {how:?}");
    // It is still there for requests.
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn a_buffer_has_an_end() {
    let app = Backend::text("hello");
    let collector = bad(Bad::NeverReads, true);
    let proxy = patient(What::Als, &app, collector.address, "60s");
    let mut client = Client::connect(proxy.address("in"));
    let agent = "a".repeat(40_000);
    for _ in 0..200 {
        client.send(format!("GET / HTTP/1.1\r\nhost: x\r\nuser-agent: {agent}\r\n\r\n"));
        assert_eq!(client.receive().unwrap().status, 200);
    }
    // 1 MiB waits, and 256 KiB are under way.
    assert_eq!(stat(&proxy, What::Als, "reports_failed"), 0);
    let kept = 200 - stat(&proxy, What::Als, "logs_dropped");
    assert!((20..=36).contains(&kept), "{kept} of 200 entries are kept");
}
