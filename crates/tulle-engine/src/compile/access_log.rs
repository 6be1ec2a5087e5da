//! Access logs and formats.

use std::collections::BTreeMap;
use std::sync::Arc;

use tulle_proto::envoy::{accesslog, cel_access_log, core, file_access_log, google, kind, stream_access_log};
use tulle_proto::type_url;
use tulle_telemetry::access_log::{AccessLogFormat, JsonFormat};
use tulle_telemetry::cel::Expression;

use super::context::{At, Context, UNSUPPORTED};
use super::log_service;
use super::matcher::header;
use super::value::{RUNTIME_KEY, data, fraction, json, text, texts};
use crate::runtime::access_log::{
    AccessLog, Comparison, ComparisonOp, LogFilter, LogFormat, LogSink, LogTarget,
};

/// The kinds of logs.
const KNOWN: &[&str] = &[
    type_url::FILE_ACCESS_LOG,
    type_url::STDOUT_ACCESS_LOG,
    type_url::STDERR_ACCESS_LOG,
    type_url::OTEL_ACCESS_LOG,
    type_url::HTTP_GRPC_ACCESS_LOG,
    type_url::TCP_GRPC_ACCESS_LOG,
];
/// Deepest nesting of a JSON format.
const JSON_DEPTH: u32 = 16;

pub(super) fn access_logs(
    cx: &mut Context<'_>,
    at: &At<'_>,
    list: &[accesslog::AccessLog],
) -> Vec<AccessLog> {
    list.iter().enumerate().filter_map(|(i, message)| access_log(cx, &at.index(i), message)).collect()
}

fn access_log(cx: &mut Context<'_>, at: &At<'_>, message: &accesslog::AccessLog) -> Option<AccessLog> {
    use accesslog::access_log::ConfigType;
    let accesslog::AccessLog { name: _the_type_decides, filter, config_type } = message;
    let filter = match filter {
        Some(filter) => self::filter(cx, &at.field("filter"), filter)?,
        None => LogFilter::Always,
    };
    let at = at.field("typed_config");
    let Some(ConfigType::TypedConfig(any)) = config_type else {
        cx.refuse(&at, "is required");
        return None;
    };
    let lines = |(sink, format)| LogTarget::Lines { sink, format };
    let target = match any.type_url.as_str() {
        type_url::FILE_ACCESS_LOG => {
            let message: file_access_log::FileAccessLog = cx.unpack(&at, any)?;
            lines(file(cx, &at, &message)?)
        }
        type_url::STDOUT_ACCESS_LOG => {
            use stream_access_log::stdout_access_log::AccessLogFormat as Format;
            let stream_access_log::StdoutAccessLog { access_log_format } = cx.unpack(&at, any)?;
            let format = access_log_format.as_ref().map(|Format::LogFormat(format)| format);
            lines((LogSink::Stdout, stream_format(cx, &at, format)?))
        }
        type_url::STDERR_ACCESS_LOG => {
            use stream_access_log::stderr_access_log::AccessLogFormat as Format;
            let stream_access_log::StderrAccessLog { access_log_format } = cx.unpack(&at, any)?;
            let format = access_log_format.as_ref().map(|Format::LogFormat(format)| format);
            lines((LogSink::Stderr, stream_format(cx, &at, format)?))
        }
        type_url::OTEL_ACCESS_LOG => {
            let message = cx.unpack(&at, any)?;
            LogTarget::Service(Arc::new(log_service::open_telemetry(cx, &at, &message)?))
        }
        type_url::HTTP_GRPC_ACCESS_LOG => {
            let message = cx.unpack(&at, any)?;
            LogTarget::Service(Arc::new(log_service::http_grpc(cx, &at, &message)?))
        }
        type_url::TCP_GRPC_ACCESS_LOG => {
            let message = cx.unpack(&at, any)?;
            LogTarget::Service(Arc::new(log_service::tcp_grpc(cx, &at, &message)?))
        }
        _ => {
            cx.unknown_extension(&at, any, "access log", KNOWN);
            return None;
        }
    };
    Some(AccessLog { target, filter })
}

fn stream_format(
    cx: &mut Context<'_>,
    at: &At<'_>,
    format: Option<&core::SubstitutionFormatString>,
) -> Option<LogFormat> {
    match format {
        None => Some(LogFormat::Default),
        Some(message) => substitution(cx, &at.field("log_format"), message, true).map(|(format, _)| format),
    }
}

fn file(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &file_access_log::FileAccessLog,
) -> Option<(LogSink, LogFormat)> {
    use file_access_log::file_access_log::AccessLogFormat as Format;
    let file_access_log::FileAccessLog { path, access_log_format } = message;
    if path.is_empty() {
        cx.refuse(&at.field("path"), "must not be empty");
    }
    let sink = match path.as_str() {
        "/dev/stdout" => LogSink::Stdout,
        "/dev/stderr" => LogSink::Stderr,
        path => LogSink::File(text(path)),
    };
    let format = match access_log_format {
        None => LogFormat::Default,
        Some(Format::Format(format)) => text_format(cx, &at.field("format"), format)?,
        Some(Format::JsonFormat(format)) => json_format(cx, &at.field("json_format"), format, false)?,
        Some(Format::TypedJsonFormat(format)) => {
            json_format(cx, &at.field("typed_json_format"), format, false)?
        }
        Some(Format::LogFormat(message)) => substitution(cx, &at.field("log_format"), message, true)?.0,
    };
    Some((sink, format))
}

/// A format and its content type (empty if none is given). `log` says whether it is for a log (checked now) or a body.
pub(super) fn substitution(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &core::SubstitutionFormatString,
    log: bool,
) -> Option<(LogFormat, std::sync::Arc<str>)> {
    use core::substitution_format_string::Format;
    let core::SubstitutionFormatString {
        omit_empty_values,
        content_type,
        formatters,
        json_format_options,
        format,
    } = message;
    self::formatters(cx, &at.field("formatters"), formatters);
    if log {
        no_effect!(cx, at, content_type: "a log has no content type");
    }
    let _members_are_sorted_always = json_format_options;
    let format = match format {
        Some(Format::TextFormat(format)) => text_format(cx, &at.field("text_format"), format)?,
        Some(Format::JsonFormat(format)) => {
            json_format(cx, &at.field("json_format"), format, *omit_empty_values)?
        }
        Some(Format::TextFormatSource(source)) => {
            let at = at.field("text_format_source");
            let bytes = data(cx, &at, source)?;
            match std::str::from_utf8(&bytes) {
                Ok(format) => text_format(cx, &at, format)?,
                Err(_) => {
                    cx.refuse(&at, "must be UTF-8");
                    return None;
                }
            }
        }
        None => {
            cx.refuse(at, "needs text_format, text_format_source or json_format");
            return None;
        }
    };
    if *omit_empty_values && matches!(format, LogFormat::Text(_)) {
        cx.note(&at.field("omit_empty_values"), "text formats write - for what is missing");
    }
    Some((format, text(content_type)))
}

/// Formatters that are built in; anything else would be a variable that nobody fills in.
pub(super) fn formatters(cx: &mut Context<'_>, at: &At<'_>, list: &[core::TypedExtensionConfig]) {
    for (i, core::TypedExtensionConfig { name, typed_config: _ }) in list.iter().enumerate() {
        if !["envoy.formatter.req_without_query", "envoy.formatter.metadata"].contains(&name.as_str()) {
            cx.refuse(&at.index(i), format!("formatter {name:?} is not supported"));
        }
    }
}

fn text_format(cx: &mut Context<'_>, at: &At<'_>, format: &str) -> Option<LogFormat> {
    match AccessLogFormat::text(format, false) {
        Ok(_) => Some(LogFormat::Text(text(format))),
        Err(error) => {
            cx.refuse(at, error.to_string());
            None
        }
    }
}

fn json_format(cx: &mut Context<'_>, at: &At<'_>, format: &google::Struct, omit: bool) -> Option<LogFormat> {
    let Some(template) = json(format, JSON_DEPTH) else {
        cx.refuse(at, format!("is nested deeper than {JSON_DEPTH} levels"));
        return None;
    };
    match AccessLogFormat::json(&telemetry_json(&template), omit) {
        Ok(_) => Some(LogFormat::Json { template, omit_empty: omit }),
        Err(error) => {
            cx.refuse(at, error.to_string());
            None
        }
    }
}

fn telemetry_json(value: &serde_json::Value) -> JsonFormat {
    use serde_json::Value;
    match value {
        Value::Null => JsonFormat::Null,
        Value::Bool(b) => JsonFormat::Bool(*b),
        Value::Number(n) => JsonFormat::Number(n.as_f64().unwrap_or_default()),
        Value::String(s) => JsonFormat::Format(s.clone()),
        Value::Array(items) => JsonFormat::List(items.iter().map(telemetry_json).collect()),
        Value::Object(members) => {
            let members: BTreeMap<_, _> =
                members.iter().map(|(name, value)| (name.clone(), telemetry_json(value))).collect();
            JsonFormat::Object(members)
        }
    }
}

pub(super) fn filter(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &accesslog::AccessLogFilter,
) -> Option<LogFilter> {
    use accesslog::access_log_filter::FilterSpecifier as Spec;
    let accesslog::AccessLogFilter { filter_specifier } = message;
    let refused = |cx: &mut Context<'_>, name: &str| {
        cx.refuse(&at.field(name), UNSUPPORTED);
        None
    };
    cx.deeper(at, |cx| match filter_specifier {
        Some(Spec::StatusCodeFilter(accesslog::StatusCodeFilter { comparison: c })) => {
            comparison(cx, &at.field("status_code_filter").field("comparison"), c.as_ref())
                .map(LogFilter::Status)
        }
        Some(Spec::DurationFilter(accesslog::DurationFilter { comparison: c })) => {
            comparison(cx, &at.field("duration_filter").field("comparison"), c.as_ref())
                .map(LogFilter::Duration)
        }
        Some(Spec::NotHealthCheckFilter(accesslog::NotHealthCheckFilter {})) => {
            Some(LogFilter::NotHealthCheck)
        }
        Some(Spec::TraceableFilter(accesslog::TraceableFilter {})) => Some(LogFilter::Traceable),
        Some(Spec::RuntimeFilter(accesslog::RuntimeFilter {
            runtime_key,
            percent_sampled,
            use_independent_randomness: _every_draw_is_independent,
        })) => {
            let at = at.field("runtime_filter");
            no_effect!(cx, at, runtime_key: RUNTIME_KEY);
            let percent = percent_sampled.unwrap_or(kind::FractionalPercent::default());
            Some(LogFilter::Sampled(fraction(cx, &at.field("percent_sampled"), &percent)))
        }
        Some(Spec::AndFilter(accesslog::AndFilter { filters })) => {
            filters_of(cx, &at.field("and_filter").field("filters"), filters).map(LogFilter::And)
        }
        Some(Spec::OrFilter(accesslog::OrFilter { filters })) => {
            filters_of(cx, &at.field("or_filter").field("filters"), filters).map(LogFilter::Or)
        }
        Some(Spec::HeaderFilter(accesslog::HeaderFilter { header: matcher })) => {
            let outer = at.field("header_filter");
            let at = outer.field("header");
            let matcher = cx.required(&at, matcher.as_ref())?;
            header(cx, &at, matcher).map(LogFilter::Header)
        }
        Some(Spec::ResponseFlagFilter(accesslog::ResponseFlagFilter { flags })) => {
            Some(LogFilter::ResponseFlags(texts(flags)))
        }
        Some(Spec::GrpcStatusFilter(accesslog::GrpcStatusFilter { statuses, exclude })) => {
            let statuses = statuses.iter().filter_map(|s| u32::try_from(*s).ok()).collect();
            Some(LogFilter::GrpcStatus { statuses, exclude: *exclude })
        }
        Some(Spec::ExtensionFilter(message)) => expression(cx, &at.field("extension_filter"), message),
        Some(Spec::MetadataFilter(_)) => refused(cx, "metadata_filter"),
        Some(Spec::LogTypeFilter(_)) => refused(cx, "log_type_filter"),
        None => {
            cx.refuse(at, "needs a filter");
            None
        }
    })
}

/// CEL, the only extension.
fn expression(cx: &mut Context<'_>, at: &At<'_>, message: &accesslog::ExtensionFilter) -> Option<LogFilter> {
    use accesslog::extension_filter::ConfigType;
    let accesslog::ExtensionFilter { name: _the_type_decides, config_type } = message;
    let at = at.field("typed_config");
    let Some(ConfigType::TypedConfig(any)) = config_type else {
        cx.refuse(&at, "is required");
        return None;
    };
    if any.type_url != type_url::CEL_ACCESS_LOG_FILTER {
        cx.unknown_extension(&at, any, "access log filter", &[type_url::CEL_ACCESS_LOG_FILTER]);
        return None;
    }
    let cel_access_log::ExpressionFilter { expression, .. } = cx.unpack(&at, any)?;
    match Expression::parse(&expression) {
        Ok(expression) => Some(LogFilter::Expression(Arc::new(expression))),
        Err(error) => {
            cx.refuse(&at.field("expression"), error.to_string());
            None
        }
    }
}

fn filters_of(
    cx: &mut Context<'_>,
    at: &At<'_>,
    list: &[accesslog::AccessLogFilter],
) -> Option<Vec<LogFilter>> {
    list.iter().enumerate().map(|(i, message)| filter(cx, &at.index(i), message)).collect()
}

fn comparison(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: Option<&accesslog::ComparisonFilter>,
) -> Option<Comparison> {
    use accesslog::comparison_filter::Op;
    let accesslog::ComparisonFilter { op, value } = cx.required(at, message)?;
    let op = match cx.choice(&at.field("op"), *op)? {
        Op::Eq => ComparisonOp::Equal,
        Op::Ge => ComparisonOp::AtLeast,
        Op::Le => ComparisonOp::AtMost,
        Op::Ne => ComparisonOp::NotEqual,
    };
    let at = at.field("value");
    let core::RuntimeUInt32 { default_value, runtime_key } = cx.required(&at, value.as_ref())?;
    no_effect!(cx, at, runtime_key: RUNTIME_KEY);
    Some(Comparison { op, value: *default_value })
}
