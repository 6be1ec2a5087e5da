//! Access logs: files in Istio's default formats, and services.

use std::collections::BTreeMap;

use tulle_mesh::Snapshot;
use tulle_mesh::config::{AccessLogEncoding, MeshConfig};
use tulle_mesh::provider::{FileLog, LogForm, ProviderKind};
use tulle_mesh::proxies::ProxySettings;
use tulle_mesh::telemetry::{AccessLogging, Mode};
use tulle_proto::envoy::accesslog::{
    AccessLog, AccessLogFilter, AndFilter, ExtensionFilter, ResponseFlagFilter, access_log,
    access_log_filter::FilterSpecifier, extension_filter,
};
use tulle_proto::envoy::cel_access_log::ExpressionFilter;
use tulle_proto::envoy::core::{SubstitutionFormatString, substitution_format_string::Format};
use tulle_proto::envoy::file_access_log::{FileAccessLog, file_access_log::AccessLogFormat};
use tulle_proto::envoy::google::{ListValue, Struct, Value, value::Kind};

use crate::pb::{inline, pack, text};
use crate::proxy::Proxy;
use crate::tracing::cluster_of;

mod service;

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

/// The access logs of one end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs {
    /// Of requests.
    pub(crate) http: Vec<AccessLog>,
    /// Of connections.
    pub(crate) tcp: Vec<AccessLog>,
    /// Of connections that no filter chain took.
    pub(crate) listener: Vec<AccessLog>,
}

/// Logs at one end: what Telemetry says, if it says anything, else the mesh's settings.
pub(crate) fn of(snapshot: &Snapshot, proxy: &Proxy, settings: &ProxySettings, end: Mode) -> Logs {
    let mesh = snapshot.mesh();
    let mut logs = match by_telemetry(snapshot, proxy, end) {
        Some(all) => {
            let listener =
                all.iter().cloned().map(|log| AccessLog { filter: and(no_route(), log.filter), ..log });
            Logs { listener: listener.collect(), tcp: all.clone(), http: all }
        }
        None => by_settings(snapshot, proxy, settings),
    };
    if !mesh.listener_log {
        logs.listener.clear();
    }
    logs
}

fn by_settings(snapshot: &Snapshot, proxy: &Proxy, settings: &ProxySettings) -> Logs {
    let mesh = snapshot.mesh();
    let mut logs = Logs::default();
    if !mesh.access_log_file.is_empty() {
        logs.http.push(log(mesh, None));
        logs.tcp.push(log(mesh, None));
        logs.listener.push(log(mesh, Some(no_route())));
    }
    let service = settings.log_service.as_ref().filter(|_| mesh.log_service);
    if let Some(cluster) = service.and_then(|at| cluster_of(snapshot, proxy, at)) {
        logs.http.push(service::http(cluster.clone(), "http_envoy_accesslog"));
        logs.tcp.push(service::tcp(cluster.clone(), "tcp_envoy_accesslog"));
        let unrouted = service::tcp(cluster, "listener_envoy_accesslog");
        logs.listener.push(AccessLog { filter: Some(no_route()), ..unrouted });
    }
    logs
}

/// `None` leaves it to the mesh's settings.
fn by_telemetry(snapshot: &Snapshot, proxy: &Proxy, end: Mode) -> Option<Vec<AccessLog>> {
    let mesh = snapshot.mesh();
    let documents = snapshot.telemetry_of(proxy.namespace(), &proxy.labels);
    let written = || documents.iter().flat_map(|t| &t.access_logging).filter(|l| l.mode.includes(end));
    if written().next().is_none() && mesh.default_logging.is_empty() {
        return None;
    }
    let mut parent: Vec<String> = mesh.default_logging.clone();
    if parent.is_empty() && !mesh.access_log_file.is_empty() {
        parent.push(BUILT_IN.to_owned());
    }
    let mut wanted: BTreeMap<String, Option<String>> = parent.iter().map(|p| (p.clone(), None)).collect();
    for document in documents {
        let own: Vec<&AccessLogging> =
            document.access_logging.iter().filter(|l| l.mode.includes(end)).collect();
        if own.iter().any(|l| !l.providers.is_empty()) {
            wanted.clear();
        }
        for AccessLogging { mode: _, providers, disabled, filter } in own {
            let names = if providers.is_empty() { &parent } else { providers };
            for name in names {
                match disabled {
                    Some(true) => drop(wanted.remove(name)),
                    _ => drop(wanted.insert(name.clone(), filter.clone())),
                }
            }
        }
    }
    Some(
        wanted
            .iter()
            .filter_map(|(name, filter)| by_provider(snapshot, proxy, name, filter.as_deref()))
            .collect(),
    )
}

fn by_provider(snapshot: &Snapshot, proxy: &Proxy, name: &str, filter: Option<&str>) -> Option<AccessLog> {
    let mesh = snapshot.mesh();
    let filter = filter.map(expression);
    match snapshot.extension_provider(name).map(|p| &p.kind) {
        Some(ProviderKind::FileLog(file)) => Some(to_file(mesh, file, filter)),
        Some(ProviderKind::GrpcLog(to)) => {
            let log = service::provider(to, cluster_of(snapshot, proxy, &to.at)?);
            Some(AccessLog { filter, ..log })
        }
        Some(ProviderKind::OpenTelemetryLog(to)) => {
            let log = service::open_telemetry(to, cluster_of(snapshot, proxy, &to.at)?);
            Some(AccessLog { filter, ..log })
        }
        // Istio's own provider: the standard output, in the mesh's format.
        None if name == BUILT_IN => {
            let path = if mesh.access_log_file.is_empty() { "/dev/stdout" } else { &mesh.access_log_file };
            let file = FileLog { path: path.to_owned(), form: LogForm::Default, omit_empty: false };
            Some(to_file(mesh, &file, filter))
        }
        _ => None,
    }
}

/// The name of the provider that Istio always has.
const BUILT_IN: &str = "envoy";

fn expression(text: &str) -> AccessLogFilter {
    let filter = ExpressionFilter { expression: text.to_owned(), ..ExpressionFilter::default() };
    AccessLogFilter {
        filter_specifier: Some(FilterSpecifier::ExtensionFilter(ExtensionFilter {
            name: "envoy.access_loggers.extension_filters.cel".to_owned(),
            config_type: Some(extension_filter::ConfigType::TypedConfig(pack(&filter))),
        })),
    }
}

fn to_file(mesh: &MeshConfig, file: &FileLog, filter: Option<AccessLogFilter>) -> AccessLog {
    let FileLog { path, form, omit_empty } = file;
    let format = match form {
        LogForm::Default => return AccessLog { filter, ..at(mesh, path) },
        LogForm::Text(text) if text.is_empty() => return AccessLog { filter, ..at(mesh, path) },
        LogForm::Text(text) => Format::TextFormatSource(inline(line(text))),
        LogForm::Json(labels) => Format::JsonFormat(
            json_of(&labels.to_string()).filter(|s| !s.fields.is_empty()).unwrap_or_else(istio_json),
        ),
    };
    written(path, format, *omit_empty, filter)
}

/// A file in the mesh's format.
fn at(mesh: &MeshConfig, path: &str) -> AccessLog {
    let mesh = MeshConfig { access_log_file: path.to_owned(), ..mesh.clone() };
    log(&mesh, None)
}

fn istio_json() -> Struct {
    Struct { fields: JSON.iter().map(|(k, v)| ((*k).to_owned(), text(*v))).collect() }
}

/// Connections that no filter chain took.
fn no_route() -> AccessLogFilter {
    let flags = ResponseFlagFilter { flags: vec!["NR".into()] };
    AccessLogFilter { filter_specifier: Some(FilterSpecifier::ResponseFlagFilter(flags)) }
}

fn and(one: AccessLogFilter, other: Option<AccessLogFilter>) -> Option<AccessLogFilter> {
    let Some(other) = other else { return Some(one) };
    let both = FilterSpecifier::AndFilter(AndFilter { filters: vec![one, other] });
    Some(AccessLogFilter { filter_specifier: Some(both) })
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
            Format::JsonFormat(json_of(&mesh.access_log_format).unwrap_or_else(istio_json))
        }
    };
    written(&mesh.access_log_file, format, false, filter)
}

fn written(
    path: &str,
    format: Format,
    omit_empty_values: bool,
    filter: Option<AccessLogFilter>,
) -> AccessLog {
    let file = FileAccessLog {
        path: path.to_owned(),
        access_log_format: Some(AccessLogFormat::LogFormat(SubstitutionFormatString {
            format: Some(format),
            omit_empty_values,
            ..SubstitutionFormatString::default()
        })),
    };
    AccessLog {
        name: "envoy.access_loggers.file".into(),
        filter,
        config_type: Some(access_log::ConfigType::TypedConfig(pack(&file))),
    }
}
