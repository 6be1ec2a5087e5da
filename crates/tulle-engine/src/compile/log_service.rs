//! Access logs that are sent to services.

use std::sync::Arc;
use std::time::Duration;

use tulle_proto::envoy::{core, google, grpc_access_log as grpc, otel_access_log as otel, tracing};
use tulle_proto::otlp::{AnyValue, KeyValue, KeyValueList, any_value};
use tulle_telemetry::access_log::{AlsFields, OtlpForm, OtlpFormat};

use super::access_log::formatters;
use super::context::{At, Context, UNSUPPORTED};
use super::matcher::header_name;
use super::tracing::{detectors, http_service, otlp_grpc, tags};
use super::value::{api_version, named, number, text};
use crate::runtime::access_log::{LogService, LogServiceKind, OtlpLog};
use crate::runtime::tracing::{CustomTag, OtlpTarget};

/// Envoy's defaults of `buffer_flush_interval` and `buffer_size_bytes`.
const INTERVAL: Duration = Duration::from_secs(1);
const BATCH: u32 = 16 * 1024;
/// The most bytes that may wait for a report, whatever is written.
const MOST: u32 = 1024 * 1024;
/// Deepest nesting of values.
const DEPTH: usize = 16;
/// Why filter state is not told.
const NO_STATE: &str = "filters of this proxy keep no such objects";

/// `envoy.access_loggers.http_grpc`.
pub(super) fn http_grpc(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &grpc::HttpGrpcAccessLogConfig,
) -> Option<LogService> {
    let grpc::HttpGrpcAccessLogConfig {
        common_config,
        additional_request_headers_to_log: request,
        additional_response_headers_to_log: response,
        additional_response_trailers_to_log: trailers,
    } = message;
    let mut names = |field: &str, list: &[String]| -> Option<Vec<String>> {
        let at = at.field(field);
        let name = |(i, name): (usize, &String)| match name.strip_prefix(':') {
            // Pseudo-headers are told by name, too.
            Some(_) => Some(name.to_ascii_lowercase()),
            None => header_name(cx, &at.index(i), name).map(|n| n.as_str().to_owned()),
        };
        list.iter().enumerate().map(name).collect()
    };
    let fields = AlsFields {
        request: names("additional_request_headers_to_log", request)?,
        response: names("additional_response_headers_to_log", response)?,
        trailers: names("additional_response_trailers_to_log", trailers)?,
    };
    als(cx, &at.field("common_config"), common_config.as_ref(), false, fields)
}

/// `envoy.access_loggers.tcp_grpc`.
pub(super) fn tcp_grpc(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &grpc::TcpGrpcAccessLogConfig,
) -> Option<LogService> {
    let grpc::TcpGrpcAccessLogConfig { common_config } = message;
    als(cx, &at.field("common_config"), common_config.as_ref(), true, AlsFields::default())
}

fn als(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&grpc::CommonGrpcAccessLogConfig>,
    tcp: bool,
    fields: AlsFields,
) -> Option<LogService> {
    let message = cx.required(at, message)?;
    let Common { name, service, interval, bytes, tags } = common(cx, at, message);
    let name = named(cx, &at.field("log_name"), name);
    let tags = self::tags(cx, &at.field("custom_tags"), tags);
    let (interval, batch) = buffer(cx, at, interval, bytes);
    let to = otlp_grpc(cx, &at.field("grpc_service"), service)?;
    Some(LogService { kind: LogServiceKind::Als { to, tcp, fields }, tags: tags?, name, interval, batch })
}

fn buffer(
    cx: &mut Context<'_>,
    at: &At<'_>,
    interval: Option<&google::Duration>,
    bytes: Option<&google::UInt32Value>,
) -> (Duration, usize) {
    let interval = cx.positive(&at.field("buffer_flush_interval"), interval).unwrap_or(INTERVAL);
    (interval, number(bytes, BATCH).min(MOST) as usize)
}

/// What `common_config` says; of OpenTelemetry's log it is an older place for the same things.
struct Common<'a> {
    name: &'a str,
    service: Option<&'a core::GrpcService>,
    interval: Option<&'a google::Duration>,
    bytes: Option<&'a google::UInt32Value>,
    tags: &'a [tracing::CustomTag],
}

fn common<'a>(cx: &mut Context<'_>, at: &At<'_>, message: &'a grpc::CommonGrpcAccessLogConfig) -> Common<'a> {
    let grpc::CommonGrpcAccessLogConfig {
        log_name,
        grpc_service,
        transport_api_version,
        buffer_flush_interval,
        buffer_size_bytes,
        filter_state_objects_to_log,
        grpc_stream_retry_policy,
        custom_tags,
    } = message;
    api_version(cx, &at.field("transport_api_version"), *transport_api_version);
    no_effect!(cx, at, filter_state_objects_to_log: NO_STATE, grpc_stream_retry_policy: "what a service does not take is lost and counted");
    Common {
        name: log_name,
        service: grpc_service.as_ref(),
        interval: buffer_flush_interval.as_ref(),
        bytes: buffer_size_bytes.as_ref(),
        tags: custom_tags,
    }
}

/// `envoy.access_loggers.open_telemetry`.
pub(super) fn open_telemetry(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &otel::OpenTelemetryAccessLogConfig,
) -> Option<LogService> {
    #[allow(deprecated, reason = "it is still sent")]
    let otel::OpenTelemetryAccessLogConfig {
        common_config,
        http_service: http,
        grpc_service: grpc,
        disable_builtin_labels,
        resource_attributes,
        resource_detectors,
        body,
        attributes,
        stat_prefix,
        formatters: written_formatters,
        log_name,
        buffer_flush_interval,
        buffer_size_bytes,
        filter_state_objects_to_log,
        custom_tags,
    } = message;
    no_effect!(cx, at, filter_state_objects_to_log: NO_STATE);
    formatters(cx, &at.field("formatters"), written_formatters);
    let old =
        common_config.as_ref().map(|common_config| common(cx, &at.field("common_config"), common_config));
    let places = [old.is_some(), grpc.is_some(), http.is_some()].into_iter().filter(|is| *is).count();
    if places > 1 {
        cx.refuse(at, "has more than one of common_config, grpc_service and http_service; keep one of them");
    }
    let to = match (http, grpc, old.as_ref().map(|old| old.service)) {
        (Some(http), _, _) => OtlpTarget::Http(http_service(cx, &at.field("http_service"), http)?),
        (None, Some(grpc), _) => OtlpTarget::Grpc(otlp_grpc(cx, &at.field("grpc_service"), Some(grpc))?),
        (None, None, Some(service)) => {
            OtlpTarget::Grpc(otlp_grpc(cx, &at.field("common_config").field("grpc_service"), service)?)
        }
        (None, None, None) => {
            cx.refuse(at, "needs grpc_service or http_service");
            return None;
        }
    };
    let (detected, environment) = detectors(cx, &at.field("resource_detectors"), resource_detectors)?;
    let body_at = at.field("body");
    let body = match body.as_ref().filter(|body| body.value.is_some()) {
        Some(body) => Some(form(cx, &body_at, Some(body), DEPTH)?),
        None => None,
    };
    let attributes = forms(cx, &at.field("attributes").field("values"), attributes.as_ref(), DEPTH)?;
    if let Err(error) = OtlpFormat::new(body.as_ref(), &attributes) {
        cx.refuse(at, error.to_string());
    }
    let (interval, batch) = match (&old, buffer_flush_interval, buffer_size_bytes) {
        (Some(old), None, None) => buffer(cx, &at.field("common_config"), old.interval, old.bytes),
        _ => buffer(cx, at, buffer_flush_interval.as_ref(), buffer_size_bytes.as_ref()),
    };
    let tags: Arc<[CustomTag]> = match &old {
        Some(old) if custom_tags.is_empty() => {
            self::tags(cx, &at.field("common_config").field("custom_tags"), old.tags)?
        }
        _ => self::tags(cx, &at.field("custom_tags"), custom_tags)?,
    };
    let name = old.filter(|_| log_name.is_empty()).map_or(log_name.as_str(), |old| old.name);
    Some(LogService {
        kind: LogServiceKind::Otlp(Box::new(OtlpLog {
            to,
            labels: !disable_builtin_labels,
            detected,
            environment,
            resource: resource_attributes.as_ref().map(|list| list.values.clone()).unwrap_or_default(),
            body,
            attributes,
            stat_prefix: text(stat_prefix),
        })),
        tags,
        name: text(name),
        interval,
        batch,
    })
}

fn forms(
    cx: &mut Context<'_>,
    at: &At<'_>,
    list: Option<&KeyValueList>,
    depth: usize,
) -> Option<Vec<(String, OtlpForm)>> {
    let mut out = Vec::new();
    for (i, entry) in list.into_iter().flat_map(|l| &l.values).enumerate() {
        let KeyValue { key, value, .. } = entry;
        out.push((key.clone(), form(cx, &at.index(i).field("value"), value.as_ref(), depth)?));
    }
    Some(out)
}

/// Texts, lists and maps of such; anything else is no format.
fn form(cx: &mut Context<'_>, at: &At<'_>, value: Option<&AnyValue>, depth: usize) -> Option<OtlpForm> {
    use any_value::Value;
    let Some(depth) = depth.checked_sub(1) else {
        cx.refuse(at, format!("is nested deeper than {DEPTH} levels"));
        return None;
    };
    match value.and_then(|v| v.value.as_ref()) {
        Some(Value::StringValue(text)) => Some(OtlpForm::Text(text.clone())),
        Some(Value::ArrayValue(list)) => {
            let at = at.field("array_value");
            let at = at.field("values");
            let items = list.values.iter().enumerate();
            let items: Option<_> = items.map(|(i, v)| form(cx, &at.index(i), Some(v), depth)).collect();
            Some(OtlpForm::List(items?))
        }
        Some(Value::KvlistValue(list)) => {
            let at = at.field("kvlist_value");
            forms(cx, &at.field("values"), Some(list), depth).map(OtlpForm::Map)
        }
        _ => {
            cx.refuse(at, format!("{UNSUPPORTED}: use string_value, array_value or kvlist_value"));
            None
        }
    }
}
