//! The access log, in Istio's default formats.

use tulle_mesh::config::{AccessLogEncoding, MeshConfig};
use tulle_proto::envoy::accesslog::{
    AccessLog, AccessLogFilter, ResponseFlagFilter, access_log, access_log_filter::FilterSpecifier,
};
use tulle_proto::envoy::core::{SubstitutionFormatString, substitution_format_string::Format};
use tulle_proto::envoy::file_access_log::{FileAccessLog, file_access_log::AccessLogFormat};
use tulle_proto::envoy::google::{ListValue, Struct, Value, value::Kind};

use crate::pb::{inline, pack, text};

/// Istio's text format.
const TEXT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% \
%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" \
%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \
\"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% \
%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% \
%ROUTE_NAME%\n";

/// The fields of Istio's JSON format.
const JSON: &[(&str, &str)] = &[
    ("authority", "%REQ(:AUTHORITY)%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("duration", "%DURATION%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("route_name", "%ROUTE_NAME%"),
    ("start_time", "%START_TIME%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"),
    ("upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
];

/// The log of requests and connections; none when the mesh has no file for it.
pub(crate) fn of_requests(mesh: &MeshConfig) -> Vec<AccessLog> {
    if mesh.access_log_file.is_empty() { Vec::new() } else { vec![log(mesh, None)] }
}

/// The log of a listener: connections that no filter chain took.
pub(crate) fn of_listener(mesh: &MeshConfig) -> Vec<AccessLog> {
    if mesh.access_log_file.is_empty() || !mesh.listener_log {
        return Vec::new();
    }
    let no_route = FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter { flags: vec!["NR".into()] });
    vec![log(mesh, Some(AccessLogFilter { filter_specifier: Some(no_route) }))]
}

/// A format as a line of its own, as Istio completes it.
fn line(format: &str) -> String {
    if format.ends_with('\n') { format.to_owned() } else { format!("{format}\n") }
}

/// A format that is a JSON object; `None` for none, and for what is something else (which the reader refuses).
fn json_of(format: &str) -> Option<Struct> {
    let value: serde_json::Value = serde_json::from_str(format).ok()?;
    Some(Struct { fields: value.as_object()?.iter().map(|(k, v)| (k.clone(), value_of(v))).collect() })
}

fn value_of(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(b) => Kind::BoolValue(*b),
        Json::Number(n) => Kind::NumberValue(n.as_f64().unwrap_or_default()),
        Json::String(s) => Kind::StringValue(s.clone()),
        Json::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(value_of).collect() }),
        Json::Object(map) => {
            Kind::StructValue(Struct { fields: map.iter().map(|(k, v)| (k.clone(), value_of(v))).collect() })
        }
    };
    Value { kind: Some(kind) }
}

fn log(mesh: &MeshConfig, filter: Option<AccessLogFilter>) -> AccessLog {
    let format = match mesh.access_log_encoding {
        AccessLogEncoding::Text if mesh.access_log_format.is_empty() => {
            Format::TextFormatSource(inline(TEXT))
        }
        AccessLogEncoding::Text => Format::TextFormatSource(inline(line(&mesh.access_log_format))),
        AccessLogEncoding::Json => {
            Format::JsonFormat(json_of(&mesh.access_log_format).unwrap_or_else(|| Struct {
                fields: JSON.iter().map(|(k, v)| ((*k).to_owned(), text(*v))).collect(),
            }))
        }
    };
    let file = FileAccessLog {
        path: mesh.access_log_file.clone(),
        access_log_format: Some(AccessLogFormat::LogFormat(SubstitutionFormatString {
            format: Some(format),
            ..SubstitutionFormatString::default()
        })),
    };
    AccessLog {
        name: "envoy.access_loggers.file".into(),
        filter,
        config_type: Some(access_log::ConfigType::TypedConfig(pack(&file))),
    }
}
