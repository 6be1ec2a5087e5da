//! Extension providers: services that policies name (`extensionProviders` of the mesh's settings).

use std::time::Duration;

use tulle_base::Host;

/// A service that policies, or traces and logs, name. Other providers of telemetry are kept by name alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionProvider {
    /// Its name, unique in the mesh.
    pub name: String,
    /// What it does.
    pub kind: ProviderKind,
}

impl ExtensionProvider {
    /// The host of the service that it is, if it is one of the mesh's.
    pub fn asked(&self) -> Option<&Host> {
        match &self.kind {
            ProviderKind::ExtAuthz(authz) => Some(&authz.host),
            ProviderKind::OpenTelemetry(collector) => Some(&collector.at.host),
            ProviderKind::Zipkin(collector) => Some(&collector.at.host),
            ProviderKind::GrpcLog(log) => Some(&log.at.host),
            ProviderKind::OpenTelemetryLog(log) => Some(&log.at.host),
            ProviderKind::FileLog(_) | ProviderKind::Prometheus | ProviderKind::Other(_) => None,
        }
    }
}

impl ProviderKind {
    /// The name of the field that says what it is.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ExtAuthz(authz) => match authz.protocol {
                ExtAuthzProtocol::Grpc => "envoyExtAuthzGrpc",
                ExtAuthzProtocol::Http { .. } => "envoyExtAuthzHttp",
            },
            Self::Prometheus => "prometheus",
            Self::OpenTelemetry(_) => "opentelemetry",
            Self::Zipkin(_) => "zipkin",
            Self::FileLog(_) => "envoyFileAccessLog",
            Self::GrpcLog(log) if log.http => "envoyHttpAls",
            Self::GrpcLog(_) => "envoyTcpAls",
            Self::OpenTelemetryLog(_) => "envoyOtelAls",
            Self::Other(name) => name,
        }
    }
}

/// What a provider does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// It says whether requests may pass.
    ExtAuthz(Box<ExtAuthz>),
    /// Metrics are served to whoever scrapes.
    Prometheus,
    /// It takes spans as OpenTelemetry's collectors do.
    OpenTelemetry(Box<OpenTelemetry>),
    /// It takes spans as Zipkin does.
    Zipkin(Box<Zipkin>),
    /// A file for access logs.
    FileLog(Box<FileLog>),
    /// It takes access logs over Envoy's gRPC service.
    GrpcLog(Box<GrpcLog>),
    /// It takes access logs as OpenTelemetry's collectors do.
    OpenTelemetryLog(Box<OpenTelemetryLog>),
    /// Something that is not built: the name of the field that says what.
    Other(&'static str),
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct At {
    /// Namespace that the service is looked for in; empty for any.
    pub namespace: String,
    /// Its host, fully qualified.
    pub host: Host,
    /// Its port.
    pub port: u16,
}

/// An OpenTelemetry collector of spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTelemetry {
    /// Where it is.
    pub at: At,
    /// Most bytes of a path in a span.
    pub max_tag: Option<u32>,
    /// Path, if spans are sent over HTTP.
    pub http: Option<String>,
    /// How long it may take; Istio's defaults are 3 s over HTTP and 0.5 s over gRPC.
    pub timeout: Duration,
    /// Headers that are sent along.
    pub headers: Vec<(String, String)>,
    /// Whether attributes come from `OTEL_RESOURCE_ATTRIBUTES` of the proxy.
    pub environment: bool,
}

/// A Zipkin collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zipkin {
    /// Where it is.
    pub at: At,
    /// Most bytes of a path in a span.
    pub max_tag: Option<u32>,
    /// Whether ids of new traces have 128 bits.
    pub long: bool,
    /// Path.
    pub path: String,
    /// Whether W3C headers are read and written beside B3.
    pub w3c: bool,
    /// How long it may take; 5 s by default.
    pub timeout: Duration,
    /// Headers that are sent along.
    pub headers: Vec<(String, String)>,
}

/// A format of access logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogForm {
    /// Istio's text format.
    Default,
    /// Lines of text.
    Text(String),
    /// Lines of JSON: an object with strings as formats.
    Json(serde_json::Value),
}

/// A file for access logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLog {
    /// The file.
    pub path: String,
    /// The format.
    pub form: LogForm,
    /// Whether values that are not there are left out.
    pub omit_empty: bool,
}

/// A service that takes access logs over Envoy's gRPC service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcLog {
    /// Where it is.
    pub at: At,
    /// Name of the log.
    pub name: String,
    /// Whether it is for HTTP; otherwise for TCP.
    pub http: bool,
    /// Request headers that are sent.
    pub request_headers: Vec<String>,
    /// Response headers that are sent.
    pub response_headers: Vec<String>,
    /// Response trailers that are sent.
    pub response_trailers: Vec<String>,
}

/// An OpenTelemetry collector of access logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTelemetryLog {
    /// Where it is.
    pub at: At,
    /// Name of the log.
    pub name: String,
    /// The body; empty for Istio's text format, unless there are attributes.
    pub text: String,
    /// Attributes: an object with strings as formats.
    pub labels: Option<serde_json::Value>,
}

/// A service that says whether requests may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtAuthz {
    /// Namespace that the service is looked for in; empty for any.
    pub namespace: String,
    /// Its host, fully qualified.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// Time for an answer; 600 s by default.
    pub timeout: Duration,
    /// Whether requests pass when it does not answer.
    pub fail_open: bool,
    /// Status of requests that are denied because it does not answer; 403 by default.
    pub status_on_error: u16,
    /// Whether the route is chosen again after its answer.
    pub clear_route_cache: bool,
    /// How much of the body is sent along; nothing by default.
    pub body: Option<CheckedBody>,
    /// How it is asked.
    pub protocol: ExtAuthzProtocol,
}

/// How much of a body is sent along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedBody {
    /// Most bytes.
    pub max_bytes: u32,
    /// Whether a longer body is cut; else it is answered with 413.
    pub allow_partial: bool,
    /// Whether it is sent as bytes, for gRPC.
    pub as_bytes: bool,
}

/// How an authorization service is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtAuthzProtocol {
    /// Envoy's `Authorization` service.
    Grpc,
    /// HTTP requests with the path and the method of the one that is asked about. Names of headers are exact, or have a `*` at
    /// one end.
    Http {
        /// Put before the path.
        path_prefix: String,
        /// Request headers that are sent along.
        request_headers: Vec<String>,
        /// Fixed headers that are sent along.
        additional_headers: Vec<(String, String)>,
        /// Headers of a yes that are added to the request.
        upstream_on_allow: Vec<String>,
        /// Headers of a no that the client gets; empty for all.
        downstream_on_deny: Vec<String>,
        /// Headers of a yes that the client gets.
        downstream_on_allow: Vec<String>,
    },
}
