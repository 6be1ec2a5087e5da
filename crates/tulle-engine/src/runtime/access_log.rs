//! Where and when a request or connection is logged.

use std::sync::Arc;
use std::time::Duration;

use tulle_proto::otlp::KeyValue;
use tulle_telemetry::access_log::{AlsFields, OtlpForm};
use tulle_telemetry::cel::Expression;

use super::grpc_service::GrpcService;
use super::matcher::{Fraction, HeaderMatcher};
use super::tracing::{CustomTag, OtlpTarget};

/// One access log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// Who gets it.
    pub target: LogTarget,
    /// Which requests are logged.
    pub filter: LogFilter,
}

/// Who gets an access log.
#[derive(Clone, Debug)]
pub enum LogTarget {
    /// Lines.
    Lines {
        /// Where they go.
        sink: LogSink,
        /// How a line looks.
        format: LogFormat,
    },
    /// A service.
    Service(Arc<LogService>),
}

/// A service that takes access logs.
#[derive(Clone, Debug, PartialEq)]
pub struct LogService {
    /// The form.
    pub kind: LogServiceKind,
    /// Further attributes of each entry.
    pub tags: Arc<[CustomTag]>,
    /// Name of the log.
    pub name: Arc<str>,
    /// How long entries wait for others at most.
    pub interval: Duration,
    /// So many bytes do not wait.
    pub batch: usize,
}

/// The form in which a service takes access logs.
#[derive(Clone, Debug, PartialEq)]
pub enum LogServiceKind {
    /// Envoy's access log service.
    Als {
        /// The service.
        to: GrpcService,
        /// Whether its entries are of connections rather than of requests.
        tcp: bool,
        /// Header fields that entries tell.
        fields: AlsFields,
    },
    /// OpenTelemetry.
    Otlp(Box<OtlpLog>),
}

/// Log records for an OpenTelemetry collector.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpLog {
    /// The collector.
    pub to: OtlpTarget,
    /// Whether the resource tells the log's name and ours (`log_name`, `zone_name`, `cluster_name`, `node_name`).
    pub labels: bool,
    /// Attributes of the resource that detectors find.
    pub detected: Vec<(Arc<str>, Arc<str>)>,
    /// Whether attributes come from `OTEL_RESOURCE_ATTRIBUTES`.
    pub environment: bool,
    /// Attributes of the resource; they win over all others.
    pub resource: Vec<KeyValue>,
    /// The body of a record.
    pub body: Option<OtlpForm>,
    /// Attributes of a record.
    pub attributes: Vec<(String, OtlpForm)>,
    /// What is put before the names of its statistics.
    pub stat_prefix: Arc<str>,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogSink {
    /// A file, appended to.
    File(Arc<str>),
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a line looks, before `tulle-telemetry` compiles it.
#[derive(Clone, Debug, PartialEq)]
pub enum LogFormat {
    /// Envoy's default text format.
    Default,
    /// A text with `%OPERATORS%`.
    Text(Arc<str>),
    /// A JSON object whose strings hold `%OPERATORS%`.
    Json {
        /// The object.
        template: serde_json::Value,
        /// Whether values that are not there are left out instead of written as `null`.
        omit_empty: bool,
    },
}

/// Which requests are logged.
#[derive(Clone, Debug)]
pub enum LogFilter {
    /// All.
    Always,
    /// By status code.
    Status(Comparison),
    /// By duration in milliseconds.
    Duration(Comparison),
    /// All but health checks.
    NotHealthCheck,
    /// A part of them.
    Sampled(Fraction),
    /// By a request header.
    Header(HeaderMatcher),
    /// With one of these response flags (such as `UF`); with none named, with any flag.
    ResponseFlags(Vec<Arc<str>>),
    /// By gRPC status.
    GrpcStatus {
        /// The statuses.
        statuses: Vec<u32>,
        /// Whether these are the ones left out.
        exclude: bool,
    },
    /// Requests that are traced.
    Traceable,
    /// If an expression holds.
    Expression(Arc<Expression>),
    /// If all agree.
    And(Vec<LogFilter>),
    /// If one agrees.
    Or(Vec<LogFilter>),
}

/// A comparison with a fixed number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// How.
    pub op: ComparisonOp,
    /// With what.
    pub value: u32,
}

/// How numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComparisonOp {
    /// Equal.
    Equal,
    /// At least.
    AtLeast,
    /// At most.
    AtMost,
    /// Not equal.
    NotEqual,
}
