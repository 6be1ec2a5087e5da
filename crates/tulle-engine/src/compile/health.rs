//! Active health checks.

use std::time::Duration;

use tulle_proto::envoy::core::{self, health_check as pb};
use tulle_proto::envoy::{google, kind};

use super::context::{At, Context, NO_HTTP3, UNSUPPORTED};
use super::headers;
use super::value::{flag, text};
use crate::runtime::headers::{HeaderAdd, Template};
use crate::runtime::health::{GrpcCheck, HealthCheck, HealthCheckKind, HttpCheck, Intervals, TcpCheck};

/// Most bytes that a check sends, or waits for.
const MAX_PAYLOAD: usize = 64 * 1024;

/// The health check of a cluster; `None` for none, or where there is a problem.
pub(super) fn health_checks(
    cx: &mut Context<'_>,
    at: &At<'_>,
    list: &[core::HealthCheck],
) -> Option<HealthCheck> {
    match list {
        [] => None,
        [one] => health_check(cx, &at.index(0), one),
        [_, ..] => {
            cx.refuse(at, "one health check for a cluster is supported; remove the others");
            None
        }
    }
}

fn health_check(cx: &mut Context<'_>, at: &At<'_>, message: &core::HealthCheck) -> Option<HealthCheck> {
    let core::HealthCheck {
        timeout,
        interval,
        initial_jitter,
        interval_jitter,
        interval_jitter_percent,
        unhealthy_threshold,
        healthy_threshold,
        alt_port,
        reuse_connection,
        no_traffic_interval,
        no_traffic_healthy_interval,
        unhealthy_interval,
        unhealthy_edge_interval,
        healthy_edge_interval,
        event_log_path,
        event_logger,
        event_service,
        always_log_health_check_failures,
        always_log_health_check_success,
        tls_options,
        transport_socket_match_criteria,
        health_checker,
    } = message;
    refuse!(cx, at,
        alt_port: UNSUPPORTED,
        tls_options: UNSUPPORTED,
        transport_socket_match_criteria: UNSUPPORTED,
    );
    no_effect!(cx, at,
        event_log_path: "changes of health are logged by the proxy",
        event_logger: "changes of health are logged by the proxy",
        event_service: "changes of health are logged by the proxy",
        always_log_health_check_failures: "changes of health are logged by the proxy",
        always_log_health_check_success: "changes of health are logged by the proxy",
    );
    let mut needed = |name: &str, value: Option<&google::Duration>| {
        let at = at.field(name);
        cx.required(&at, value).and_then(|value| cx.positive(&at, Some(value)))
    };
    let timeout = needed("timeout", timeout.as_ref());
    let healthy = needed("interval", interval.as_ref());
    let mut time = |name: &str, value: Option<&google::Duration>, default: Duration| match value {
        Some(_) => cx.positive(&at.field(name), value),
        None => Some(default),
    };
    let or_healthy = healthy.unwrap_or_default();
    let unhealthy = time("unhealthy_interval", unhealthy_interval.as_ref(), or_healthy);
    let or_unhealthy = unhealthy.unwrap_or(or_healthy);
    let unhealthy_edge = time("unhealthy_edge_interval", unhealthy_edge_interval.as_ref(), or_unhealthy);
    let healthy_edge = time("healthy_edge_interval", healthy_edge_interval.as_ref(), or_healthy);
    let no_traffic = time("no_traffic_interval", no_traffic_interval.as_ref(), Duration::from_secs(60));
    let idle = no_traffic.unwrap_or_default();
    let no_traffic_healthy = time("no_traffic_healthy_interval", no_traffic_healthy_interval.as_ref(), idle);
    let mut jitter = |name: &str, value: Option<&google::Duration>| {
        cx.duration(&at.field(name), value).unwrap_or_default()
    };
    let (initial_jitter, jitter) = (
        jitter("initial_jitter", initial_jitter.as_ref()),
        jitter("interval_jitter", interval_jitter.as_ref()),
    );
    let mut threshold = |name: &str, value: Option<&google::UInt32Value>| {
        let at = at.field(name);
        let value = cx.required(&at, value)?.value;
        cx.between(&at, value, 1, u32::MAX)
    };
    let unhealthy_threshold = threshold("unhealthy_threshold", unhealthy_threshold.as_ref());
    let healthy_threshold = threshold("healthy_threshold", healthy_threshold.as_ref());
    let kind = checker(cx, at, health_checker.as_ref());
    Some(HealthCheck {
        timeout: timeout?,
        intervals: Intervals {
            healthy: healthy?,
            unhealthy: unhealthy?,
            healthy_edge: healthy_edge?,
            unhealthy_edge: unhealthy_edge?,
            no_traffic: no_traffic?,
            no_traffic_healthy: no_traffic_healthy?,
            initial_jitter,
            jitter,
            jitter_percent: *interval_jitter_percent,
        },
        unhealthy_threshold: unhealthy_threshold?,
        healthy_threshold: healthy_threshold?,
        reuse_connection: flag(reuse_connection.as_ref(), true),
        kind: kind?,
    })
}

fn checker(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&pb::HealthChecker>,
) -> Option<HealthCheckKind> {
    match message {
        Some(pb::HealthChecker::HttpHealthCheck(message)) => {
            http(cx, &at.field("http_health_check"), message).map(HealthCheckKind::Http)
        }
        Some(pb::HealthChecker::TcpHealthCheck(message)) => {
            tcp(cx, &at.field("tcp_health_check"), message).map(HealthCheckKind::Tcp)
        }
        Some(pb::HealthChecker::GrpcHealthCheck(message)) => {
            let at = at.field("grpc_health_check");
            let pb::GrpcHealthCheck { service_name, authority, initial_metadata } = message;
            refuse!(cx, at, initial_metadata: UNSUPPORTED);
            let check = GrpcCheck { service: text(service_name), authority: text(authority) };
            Some(HealthCheckKind::Grpc(check))
        }
        Some(pb::HealthChecker::CustomHealthCheck(pb::CustomHealthCheck { name, config_type: _ })) => {
            cx.refuse(&at.field("custom_health_check"), format!("{name:?} is not supported"));
            None
        }
        None => {
            cx.refuse(at, "needs http_health_check, tcp_health_check or grpc_health_check");
            None
        }
    }
}

fn http(cx: &mut Context<'_>, at: &At<'_>, message: &pb::HttpHealthCheck) -> Option<HttpCheck> {
    let pb::HttpHealthCheck {
        host,
        path,
        send,
        receive,
        response_buffer_size,
        request_headers_to_add,
        request_headers_to_remove,
        expected_statuses,
        retriable_statuses,
        codec_client_type,
        service_name_matcher,
        method,
    } = message;
    refuse!(cx, at,
        send: UNSUPPORTED,
        receive: "bodies of answers are not looked at; use expected_statuses",
        service_name_matcher: UNSUPPORTED,
    );
    no_effect!(cx, at, response_buffer_size: "bodies of answers are not looked at");
    if !path.starts_with('/') {
        cx.refuse(&at.field("path"), "must begin with /");
    }
    let http2 = match cx.choice(&at.field("codec_client_type"), *codec_client_type)? {
        kind::CodecClientType::Http1 => false,
        kind::CodecClientType::Http2 => true,
        kind::CodecClientType::Http3 => {
            cx.refuse(&at.field("codec_client_type"), NO_HTTP3);
            return None;
        }
    };
    let method = match cx.choice(&at.field("method"), *method)? {
        core::RequestMethod::MethodUnspecified => "GET",
        core::RequestMethod::Connect => {
            cx.refuse(&at.field("method"), "CONNECT makes no sense here; use GET");
            return None;
        }
        other => other.as_str_name(),
    };
    let headers = headers::ops(
        cx,
        (&at.field("request_headers_to_add"), request_headers_to_add),
        (&at.field("request_headers_to_remove"), request_headers_to_remove),
    );
    let variables = |add: &HeaderAdd| !matches!(add.value, Template::Text(_));
    if let Some(add) = headers.add.iter().find(|add| variables(add)) {
        let why = format!("{}: variables have no value in health checks", add.name.as_str());
        cx.refuse(&at.field("request_headers_to_add"), why);
    }
    let expected = statuses(cx, &at.field("expected_statuses"), expected_statuses);
    Some(HttpCheck {
        host: text(host),
        path: text(path),
        method: text(method),
        http2,
        expected: if expected.is_empty() { vec![(200, 201)] } else { expected },
        retriable: statuses(cx, &at.field("retriable_statuses"), retriable_statuses),
        headers,
    })
}

/// Half-open ranges between 100 and 600.
fn statuses(cx: &mut Context<'_>, at: &At<'_>, list: &[kind::Int64Range]) -> Vec<(u16, u16)> {
    let mut out = Vec::with_capacity(list.len());
    for (i, kind::Int64Range { start, end }) in list.iter().enumerate() {
        match (u16::try_from(*start), u16::try_from(*end)) {
            (Ok(start), Ok(end)) if start >= 100 && start < end && end <= 600 => out.push((start, end)),
            _ => cx.refuse(&at.index(i), format!("[{start}, {end}) is no range within [100, 600)")),
        }
    }
    out
}

fn tcp(cx: &mut Context<'_>, at: &At<'_>, message: &pb::TcpHealthCheck) -> Option<TcpCheck> {
    let pb::TcpHealthCheck { send, receive, proxy_protocol_config } = message;
    refuse!(cx, at, proxy_protocol_config: UNSUPPORTED);
    let send = match send {
        Some(message) => payload(cx, &at.field("send"), message)?,
        None => Vec::new(),
    };
    let list_at = at.field("receive");
    let mut wanted = Vec::with_capacity(receive.len());
    for (i, message) in receive.iter().enumerate() {
        wanted.push(payload(cx, &list_at.index(i), message)?);
    }
    Some(TcpCheck { send, receive: wanted })
}

/// Bytes, or hexadecimal text.
fn payload(cx: &mut Context<'_>, at: &At<'_>, message: &pb::Payload) -> Option<Vec<u8>> {
    let bytes = match &message.payload {
        Some(pb::payload::Payload::Text(text)) => hex(text),
        Some(pb::payload::Payload::Binary(bytes)) => Some(bytes.clone()),
        None => None,
    };
    match bytes {
        Some(bytes) if !bytes.is_empty() && bytes.len() <= MAX_PAYLOAD => Some(bytes),
        Some(_) => {
            cx.refuse(at, format!("must have 1 to {MAX_PAYLOAD} bytes"));
            None
        }
        None => {
            cx.refuse(at, "needs text (pairs of hexadecimal digits) or binary");
            None
        }
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
