//! Entries of access logs as services got them, in an order of their own: how they are spread over reports means nothing.

use std::collections::BTreeMap;

use prost::Message as _;
use tulle_proto::{
    envoy::{
        access_log_data::{AccessLogCommon, HttpAccessLogEntry, TcpAccessLogEntry},
        access_log_service::{StreamAccessLogsMessage, stream_access_logs_message::LogEntries},
        google::Duration,
    },
    otlp::{ExportLogsServiceRequest, KeyValue, LogRecord},
};

use super::answer::Seen;

/// Upstreams that get access logs: as Envoy's service, as OpenTelemetry's collectors over gRPC and over HTTP.
pub const SERVICES: [&str; 3] = ["als", "grpclogs", "httplogs"];

/// How many entries a report has.
pub fn count(report: &Seen) -> usize {
    match report.upstream.as_str() {
        "als" => match stream(report).log_entries {
            Some(LogEntries::HttpLogs(list)) => list.log_entry.len(),
            Some(LogEntries::TcpLogs(list)) => list.log_entry.len(),
            None => 0,
        },
        _ => records(report).1.len(),
    }
}

/// What all reports to a service say; their lines are those of one request.
pub fn text(upstream: &str, reports: &[&Seen]) -> String {
    let (mut of, mut all): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for report in reports {
        if upstream == "als" {
            let message = stream(report);
            // The first of a stream alone tells it.
            if let Some(identifier) = message.identifier {
                let node = identifier.node.unwrap_or_default();
                of.push(format!("log {} node {} cluster {}", identifier.log_name, node.id, node.cluster));
            }
            match message.log_entries {
                Some(LogEntries::HttpLogs(list)) => all.extend(list.log_entry.into_iter().map(http)),
                Some(LogEntries::TcpLogs(list)) => all.extend(list.log_entry.into_iter().map(tcp)),
                None => {}
            }
            continue;
        }
        let (resource, list) = records(report);
        of.push(format!("resource {resource}"));
        all.extend(list.iter().map(record));
    }
    all.sort();
    of.sort();
    of.dedup();
    // Envoy tells who it is once for a stream, which lives longer than a case.
    if upstream == "als" {
        of.clear();
    }
    of.extend(all);
    of.join("\n")
}

fn stream(report: &Seen) -> StreamAccessLogsMessage {
    StreamAccessLogsMessage::decode(report.body.get(5..).unwrap_or_default()).unwrap_or_default()
}

fn records(report: &Seen) -> (String, Vec<LogRecord>) {
    let from = if report.upstream == "grpclogs" { 5 } else { 0 };
    let message = report.body.get(from..).unwrap_or_default();
    let message = ExportLogsServiceRequest::decode(message).unwrap_or_default();
    let mut resource = String::new();
    let mut all = Vec::new();
    for of in message.resource_logs {
        resource.push_str(&pairs(&of.resource.unwrap_or_default().attributes));
        all.extend(of.scope_logs.into_iter().flat_map(|scope| scope.log_records));
    }
    (resource, all)
}

fn pairs(list: &[KeyValue]) -> String {
    list.iter().map(|kv| format!("\n  {}={:?}", kv.key, kv.value)).collect()
}

fn record(record: &LogRecord) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    format!(
        "record time {} trace {} span {} body {:?}{}",
        record.time_unix_nano != 0,
        hex(&record.trace_id),
        hex(&record.span_id),
        record.body,
        pairs(&record.attributes)
    )
}

fn http(mut entry: HttpAccessLogEntry) -> String {
    let mut maps = BTreeMap::new();
    if let Some(request) = &mut entry.request {
        maps.extend(
            std::mem::take(&mut request.request_headers).into_iter().map(|(k, v)| (("request", k), v)),
        );
        // Of the wire, which differs with how messages are framed.
        (request.upstream_header_bytes_sent, request.downstream_header_bytes_received) = (0, 0);
    }
    if let Some(response) = &mut entry.response {
        maps.extend(
            std::mem::take(&mut response.response_headers).into_iter().map(|(k, v)| (("response", k), v)),
        );
        maps.extend(
            std::mem::take(&mut response.response_trailers).into_iter().map(|(k, v)| (("trailer", k), v)),
        );
        (response.upstream_header_bytes_received, response.downstream_header_bytes_sent) = (0, 0);
        // How long the upstream took is one of them, in one digit or two.
        response.response_headers_bytes = u64::from(response.response_headers_bytes > 0);
    }
    let tags = entry.common_properties.as_mut().map(common).unwrap_or_default();
    format!("{entry:#?}\n{maps:#?}\n{tags}")
}

fn tcp(mut entry: TcpAccessLogEntry) -> String {
    let tags = entry.common_properties.as_mut().map(common).unwrap_or_default();
    format!("{entry:#?}\n{tags}")
}

/// Takes away what differs between two runs; what maps say is returned.
fn common(of: &mut AccessLogCommon) -> String {
    let known = |time: &mut Option<Duration>| *time = time.map(|_| Duration::default());
    of.start_time = of.start_time.map(|_| Default::default());
    known(&mut of.duration);
    known(&mut of.time_to_first_upstream_rx_byte);
    // Ours keeps no such times and counts.
    (of.time_to_last_rx_byte, of.time_to_first_upstream_tx_byte, of.time_to_last_upstream_tx_byte) =
        (None, None, None);
    (
        of.time_to_last_upstream_rx_byte,
        of.time_to_first_downstream_tx_byte,
        of.time_to_last_downstream_tx_byte,
    ) = (None, None, None);
    (of.downstream_wire_bytes_sent, of.downstream_wire_bytes_received) = (0, 0);
    (of.upstream_wire_bytes_sent, of.upstream_wire_bytes_received) = (0, 0);
    let tags: BTreeMap<_, _> = std::mem::take(&mut of.custom_tags).into_iter().collect();
    let mut out = format!("tags {tags:?}");
    let metadata: BTreeMap<_, _> =
        of.metadata.take().unwrap_or_default().filter_metadata.into_iter().collect();
    if !metadata.is_empty() {
        out.push_str(&format!("\nmetadata {metadata:?}"));
    }
    out
}
