//! Telemetry: what proxies count, trace and log.
//!
//! What is in force for a workload is said by up to three documents, from the weakest on: the root namespace's, its namespace's, and
//! one that selects it. [`crate::Snapshot::telemetry_of`] finds them; how each part is merged over them is that part's own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tulle_base::Labels;

use crate::meta::Meta;
use crate::policy::Target;

/// A Telemetry.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// The document behind it.
    pub meta: Meta,
    /// Which workloads it is for.
    pub target: Target,
    /// Traces. Only the first is used, as in Istio.
    pub tracing: Vec<Tracing>,
    /// Metrics, applied in order.
    pub metrics: Vec<Metrics>,
    /// Access logs, applied in order.
    pub access_logging: Vec<AccessLogging>,
}

impl Telemetry {
    /// Whether it is for all workloads of its namespace (of every namespace, from the root).
    pub fn is_for_all(&self) -> bool {
        matches!(&self.target, Target::Selector(selector) if selector.is_empty())
    }
}

/// At which end of a request something is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// At both.
    #[default]
    Both,
    /// At the client: in sidecars for what goes out, and in gateways.
    Client,
    /// At the server: in sidecars for what comes in.
    Server,
}

impl Mode {
    /// Whether the end `end` is meant, which is one of the two.
    pub fn includes(self, end: Self) -> bool {
        self == Self::Both || self == end
    }
}

/// Traces. What is `None` is inherited from a weaker document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tracing {
    /// Where they are made.
    pub mode: Mode,
    /// Names of the providers that they are sent to; the first is used. Empty is inherited.
    pub providers: Vec<String>,
    /// Share of requests that are traced, in percent.
    pub sampling: Option<f64>,
    /// Whether no spans are sent.
    pub disabled: Option<bool>,
    /// Tags to add to spans, in place of all that are inherited.
    pub tags: Option<BTreeMap<String, CustomTag>>,
    /// Whether the request id decides on sampling; true by default.
    pub sampled_by_request_id: Option<bool>,
    /// Whether Istio's own tags are added; true by default.
    pub istio_tags: Option<bool>,
    /// Whether the trace context is not passed on; false by default.
    pub not_passed_on: Option<bool>,
}

/// Where the value of a tag comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CustomTag {
    /// It is fixed.
    Literal(String),
    /// An environment variable of the proxy.
    Environment {
        /// Its name.
        name: String,
        /// What is used where it is not set; empty for no tag.
        default: String,
    },
    /// A request header.
    Header {
        /// Its name, in lower case.
        name: String,
        /// What is used where it is not there; empty for no tag.
        default: String,
    },
    /// A format of access logs.
    Formatter(String),
}

/// Metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Names of the providers that this is for; empty is inherited.
    pub providers: Vec<String>,
    /// Changes, applied in order.
    pub overrides: Vec<MetricOverride>,
    /// Time between reports of open TCP connections; 5 s by default.
    pub reporting_interval: Option<Duration>,
}

/// A change to metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricOverride {
    /// At which end.
    pub mode: Mode,
    /// Which metrics.
    pub metric: MetricMatch,
    /// Turns them off or on.
    pub disabled: Option<bool>,
    /// Changes of labels, by name.
    pub tags: BTreeMap<String, TagOverride>,
}

/// Which metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricMatch {
    /// All of Istio's. `named` tells whether they were named (`ALL_METRICS`) rather than nothing: disabled by name, the whole provider
    /// is off.
    All {
        /// Whether `ALL_METRICS` is written.
        named: bool,
    },
    /// One of Istio's.
    Istio(IstioMetric),
    /// Another one, by its name without `istio_`.
    Custom(String),
}

/// Istio's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IstioMetric {
    /// `istio_requests_total`.
    RequestCount,
    /// `istio_request_duration_milliseconds`.
    RequestDuration,
    /// `istio_request_bytes`.
    RequestSize,
    /// `istio_response_bytes`.
    ResponseSize,
    /// `istio_tcp_connections_opened_total`.
    TcpOpenedConnections,
    /// `istio_tcp_connections_closed_total`.
    TcpClosedConnections,
    /// `istio_tcp_sent_bytes_total`.
    TcpSentBytes,
    /// `istio_tcp_received_bytes_total`.
    TcpReceivedBytes,
    /// `istio_request_messages_total`.
    GrpcRequestMessages,
    /// `istio_response_messages_total`.
    GrpcResponseMessages,
}

impl IstioMetric {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::RequestCount,
        Self::RequestDuration,
        Self::RequestSize,
        Self::ResponseSize,
        Self::TcpOpenedConnections,
        Self::TcpClosedConnections,
        Self::TcpSentBytes,
        Self::TcpReceivedBytes,
        Self::GrpcRequestMessages,
        Self::GrpcResponseMessages,
    ];

    /// The name that Prometheus sees, without `istio_`.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestCount => "requests_total",
            Self::RequestDuration => "request_duration_milliseconds",
            Self::RequestSize => "request_bytes",
            Self::ResponseSize => "response_bytes",
            Self::TcpOpenedConnections => "tcp_connections_opened_total",
            Self::TcpClosedConnections => "tcp_connections_closed_total",
            Self::TcpSentBytes => "tcp_sent_bytes_total",
            Self::TcpReceivedBytes => "tcp_received_bytes_total",
            Self::GrpcRequestMessages => "request_messages_total",
            Self::GrpcResponseMessages => "response_messages_total",
        }
    }
}

/// A change of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagOverride {
    /// It is what this CEL expression says.
    Set(String),
    /// It is left out.
    Remove,
}

/// Access logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLogging {
    /// Where they are written.
    pub mode: Mode,
    /// Names of the providers that they are sent to; empty is inherited.
    pub providers: Vec<String>,
    /// Turns them off or on.
    pub disabled: Option<bool>,
    /// Which requests are logged: a CEL expression.
    pub filter: Option<String>,
}

/// The documents for a workload of `namespace` with `labels`, from the weakest on: at most one each of the root namespace, of its own
/// namespace and of those that select it. At each, the oldest is in force. A selector in the root namespace selects there alone.
pub(crate) fn applicable<'a>(
    root: &'a [Arc<Telemetry>],
    own: &'a [Arc<Telemetry>],
    labels: &Labels,
) -> Vec<&'a Arc<Telemetry>> {
    let for_all = |all: &'a [Arc<Telemetry>]| all.iter().find(|t| t.is_for_all());
    let selected = own.iter().find(|t| !t.is_for_all() && t.target.selects(labels, true));
    [for_all(root), for_all(own), selected].into_iter().flatten().collect()
}
