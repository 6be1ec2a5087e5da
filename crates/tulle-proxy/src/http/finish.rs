//! The end of a request: metrics and log lines.

use std::time::{Duration, SystemTime};

use tulle_engine::{decide::route, runtime::route::Route};
use tulle_http::{Known, Version};
use tulle_telemetry::{
    access_log::RequestRecord,
    metrics::{Reporter, TagsId, TraceHeader, TraceId},
};

use super::{exchange::Exchange, reply::grpc_status_of, side::Side};
use crate::{
    telemetry::{
        access_log::{Ended, Fields, Written},
        audit,
        istio::{Ending, Parties},
    },
    trace,
};

/// Counts and logs a request that has ended.
pub(crate) fn finish(x: &mut Exchange<'_>) {
    x.record.body = (x.flow.bytes, x.record.body.1.max(x.back.passed()));
    let duration = x.record.start.elapsed();
    if x.record.status != 0 {
        x.manager.stats.count_status(x.record.status);
    }
    let wire = x.down.bytes();
    if let Some(stats) = &x.manager.istio {
        let telemetry = &x.conn.worker.telemetry;
        let tags = match stats.changes_labels() {
            true => with_line(x, Some(duration), b"", |line| stats.tags(telemetry, line)),
            false => TagsId::default(),
        };
        let parties = Parties {
            reporter: stats.reporter,
            conn: x.conn,
            cluster: x.record.cluster.as_ref(),
            host: x.record.host.as_ref(),
            upstream: x.record.upstream.as_deref(),
            told: x.record.peer,
            authority: stats.host_counts.then_some(x.s.request.authority.as_str()),
            tags,
        };
        let ending = Ending {
            grpc: x.record.grpc,
            status: x.record.status,
            grpc_status: x.record.grpc_status.and_then(|status| status.try_into().ok()),
            flags: x.record.flags,
            duration: x.record.completed.then_some(duration),
            bytes: wire,
            now: x.conn.worker.seconds(x.record.start + duration),
            wall: milliseconds(x.record.wall, duration),
            // The server's side has the routes of its own, which no resource makes.
            made_by: x
                .found
                .filter(|_| stats.reporter != Reporter::Destination)
                .and_then(|found| found.route.provenance.as_ref()),
        };
        let headers = &x.s.request.headers;
        telemetry.request(&parties, &ending, || TraceId::of_headers(|header| headers.get(known(header))));
        if let (Some(sent), Some(received)) = (x.flow.messages, x.back.messages) {
            telemetry.messages(&parties, sent.count, received.count, ending.now);
        }
    }
    let subject = || {
        // Without the query, which may hold a token.
        let head = &x.s.request;
        let path = head.path.split('?').next().unwrap_or_default();
        format!("{} {}{path}", head.method.as_str(), head.authority)
    };
    if !audit::denied(x.conn, &x.record.details, subject)
        && let Some(policy) = &x.record.audited
    {
        audit::audited(x.conn, policy, x.record.status, subject);
    }
    let traced = trace::finish(x, duration);
    trace::kept::record(x, duration, traced);
    let ended = Ended { status: x.record.status, flags: x.record.flags, duration };
    if x.manager.logs.iter().any(|log| log.may_want(&ended)) {
        with_line(x, Some(duration), b"", |line| {
            for log in &x.manager.logs {
                if !(x.health_check && log.passes_over_health_checks()) {
                    log.write(&x.conn.worker, line, Some(&x.s.request), x.record.random);
                }
            }
        });
    }
}

/// The moment `after` another one, in milliseconds after 1970.
fn milliseconds(start: SystemTime, after: Duration) -> u64 {
    let since = start.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + after;
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn known(header: TraceHeader) -> Known {
    match header {
        TraceHeader::Traceparent => Known::Traceparent,
        TraceHeader::B3 => Known::B3,
        TraceHeader::B3TraceId => Known::XB3TraceId,
        TraceHeader::B3Sampled => Known::XB3Sampled,
    }
}

/// Does something with what a log line or a body may say of a request. `duration` is none as long as it is under way;
/// `reply` is the body of a response of our own that is being made.
pub(crate) fn with_line<T>(
    x: &Exchange<'_>,
    duration: Option<Duration>,
    reply: &[u8],
    use_it: impl FnOnce(&RequestRecord<'_>) -> T,
) -> T {
    let route: Option<&Route> = x.found.map(|found| &**found.route);
    let record = &x.record;
    let request = &x.s.request;
    let (request_fields, response_fields) = (Fields(&request.headers), Fields(&x.s.response.headers));
    let trailer_fields = Fields(&x.s.trailers);
    let cluster = record.cluster.as_ref().map(|c| &c.config);
    let tls = x.conn.tls.as_ref();
    let endpoint = record.host.as_ref().map(|host| host.endpoint.borrow());
    let metadata = Written {
        dynamic: x.metadata.as_deref(),
        route: route.and_then(|r| r.metadata.as_deref()),
        cluster: cluster.and_then(|c| c.metadata.as_deref()),
        endpoint: endpoint.as_ref().map(|e| &*e.metadata),
    };
    let line = RequestRecord {
        start: record.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
        duration: duration.or_else(|| Some(record.start.elapsed())),
        request_duration: None,
        response_duration: record.answered,
        protocol: request.version.as_str(),
        upstream_protocol: match (&record.upstream, record.upstream_h2) {
            (None, _) => "",
            (Some(_), true) => Version::Http2.as_str(),
            (Some(_), false) => Version::Http11.as_str(),
        },
        method: if record.headless { b"" } else { request.method.as_str().as_bytes() },
        path: request.path.as_bytes(),
        authority: request.authority.as_bytes(),
        scheme: if record.headless { b"" } else { request.scheme.as_str().as_bytes() },
        request_headers: &request_fields,
        response_headers: &response_fields,
        response_trailers: &trailer_fields,
        response_code: record.status,
        response_code_details: &record.details,
        response_flags: record.flags,
        bytes_received: record.body.0,
        bytes_sent: record.body.1,
        grpc_status: grpc_status(x),
        attempts: record.attempts,
        upstream_host: record.host.as_ref().map(|h| h.address),
        upstream_remote_address: record.upstream.as_ref().and_then(|u| u.remote),
        upstream_local_address: record.upstream.as_ref().and_then(|u| u.local),
        upstream_cluster: cluster.map_or("", |c| &c.stat_name),
        upstream_cluster_raw: cluster.map_or("", |c| &c.name),
        upstream_transport_failure_reason: &record.transport_failure,
        downstream_local_address: Some(x.conn.arrival.destination),
        downstream_remote_address: Some(record.remote),
        downstream_direct_remote_address: Some(x.conn.arrival.direct_peer),
        requested_server_name: &x.conn.arrival.server_name,
        route_name: route.map_or("", |r| &r.name),
        filter_chain_name: &x.conn.chain.config.name,
        downstream_peer_uri_san: x.conn.identity().and_then(|p| p.principal()).map_or("", |p| p),
        downstream_local_uri_san: tls.map_or("", |t| &t.local_uri_san),
        upstream_peer_uri_san: record.upstream.as_ref().map_or("", |u| &u.principal),
        downstream_tls_version: tls.map_or("", |t| t.version),
        connection_id: x.conn.id,
        trace: record.ids,
        local_reply_body: reply,
        metadata: &metadata,
        ..RequestRecord::default()
    };
    use_it(&line)
}

/// The status of a gRPC call: one whose answer names none ends as its HTTP status says.
fn grpc_status(x: &Exchange<'_>) -> Option<i32> {
    let named =
        x.record.grpc_status.or_else(|| x.record.grpc.then(|| grpc_status_of(x.record.status).into()));
    // As the request went on: that of gRPC-Web has become one of gRPC.
    named.filter(|_| route::is_grpc(&x.s.request))
}

impl Side {
    /// Forgets the byte counts of the message before.
    pub(crate) fn reset_bytes(&mut self) {
        match self {
            Self::H1(h1) => {
                h1.bytes_in = 0;
                h1.bytes_out = 0;
            }
            Self::H2(h2) => h2.bytes = (0, 0),
        }
    }
}
