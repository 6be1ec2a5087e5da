//! `Telemetry` (`telemetry.istio.io`): traces, metrics and access logs.

use std::collections::BTreeMap;

use super::common::{PolicyTargetReference, WorkloadSelector};
use crate::schema::{enumeration, oneof, record};
use crate::value::WrittenDuration;

record! {
    /// Traces, metrics and access logs of workloads.
    pub struct Telemetry {
        /// Workloads; the whole namespace by default, the whole mesh in the root namespace.
        pub selector: Option<WorkloadSelector> = "selector",
        /// A Gateway or waypoint that this is for.
        pub target_ref: Option<PolicyTargetReference> = "targetRef",
        /// Gateways, waypoints or services that this is for; excludes `selector`.
        pub target_refs: Vec<PolicyTargetReference> = "targetRefs",
        /// Traces.
        pub tracing: Vec<Tracing> = "tracing",
        /// Metrics.
        pub metrics: Vec<Metrics> = "metrics",
        /// Access logs.
        pub access_logging: Vec<AccessLogging> = "accessLogging",
    }
}

enumeration! {
    /// At which end of a request something is recorded.
    pub enum WorkloadMode {
        /// At both.
        ClientAndServer = "CLIENT_AND_SERVER",
        /// At the client.
        Client = "CLIENT",
        /// At the server.
        Server = "SERVER",
    }
}

record! {
    /// A provider of the mesh configuration.
    pub struct ProviderRef {
        /// Its name.
        pub name: String = "name" => required,
    }
}

record! {
    /// Traces.
    pub struct Tracing {
        /// Where they are made; at both ends by default.
        pub matches: Option<TracingSelector> = "match",
        /// Where they are sent; one only.
        pub providers: Vec<ProviderRef> = "providers",
        /// Share of requests that are traced, in percent; inherits by default.
        pub random_sampling_percentage: Option<f64> = "randomSamplingPercentage",
        /// Whether no spans are sent.
        pub disable_span_reporting: Option<bool> = "disableSpanReporting",
        /// Tags to add to spans.
        pub custom_tags: BTreeMap<String, CustomTag> = "customTags",
        /// Whether the request id decides on sampling; true by default.
        pub use_request_id_for_trace_sampling: Option<bool> = "useRequestIdForTraceSampling",
        /// Whether Istio's own tags are added; true by default.
        pub enable_istio_tags: Option<bool> = "enableIstioTags",
        /// Whether the trace context is not passed on; false by default.
        pub disable_context_propagation: Option<bool> = "disableContextPropagation",
    }
}

record! {
    /// Where traces are made.
    pub struct TracingSelector {
        /// The end.
        pub mode: Option<WorkloadMode> = "mode",
    }
}

oneof! {
    /// Where the value of a tag comes from.
    pub enum CustomTag {
        /// A fixed text.
        Literal(TagLiteral) = "literal",
        /// An environment variable of the proxy.
        Environment(TagSource) = "environment",
        /// A request header.
        Header(TagSource) = "header",
        /// An access log format.
        Formatter(TagLiteral) = "formatter",
    }
    empty {
        /// Nothing.
        Unset
    }
}

record! {
    /// A fixed text.
    pub struct TagLiteral {
        /// The text.
        pub value: String = "value" => required,
    }
}

record! {
    /// A variable or header.
    pub struct TagSource {
        /// Its name.
        pub name: String = "name" => required,
        /// What to use when it is not there.
        pub default_value: String = "defaultValue",
    }
}

record! {
    /// Metrics.
    pub struct Metrics {
        /// Where they are sent.
        pub providers: Vec<ProviderRef> = "providers",
        /// Changes, applied in order.
        pub overrides: Vec<MetricsOverrides> = "overrides",
        /// Time between reports of open TCP connections; 5s by default.
        pub reporting_interval: Option<WrittenDuration> = "reportingInterval",
    }
}

record! {
    /// A change to metrics.
    pub struct MetricsOverrides {
        /// Which metrics; all by default.
        pub matches: Option<MetricSelector> = "match",
        /// Turns them off or on.
        pub disabled: Option<bool> = "disabled",
        /// Changes to their labels.
        pub tag_overrides: BTreeMap<String, TagOverride> = "tagOverrides",
    }
}

record! {
    /// Which metrics.
    pub struct MetricSelector {
        /// At which end.
        pub mode: Option<WorkloadMode> = "mode",
    }
    oneof {
        /// Their name.
        pub metric_match: MetricMatch,
    }
}

oneof! {
    /// The name of a metric.
    pub enum MetricMatch {
        /// One of Istio's.
        Metric(IstioMetric) = "metric",
        /// Another one.
        CustomMetric(String) = "customMetric",
    }
}

enumeration! {
    /// Istio's metrics.
    pub enum IstioMetric {
        /// All of them.
        AllMetrics = "ALL_METRICS",
        /// `istio_requests_total`.
        RequestCount = "REQUEST_COUNT",
        /// `istio_request_duration_milliseconds`.
        RequestDuration = "REQUEST_DURATION",
        /// `istio_request_bytes`.
        RequestSize = "REQUEST_SIZE",
        /// `istio_response_bytes`.
        ResponseSize = "RESPONSE_SIZE",
        /// `istio_tcp_connections_opened_total`.
        TcpOpenedConnections = "TCP_OPENED_CONNECTIONS",
        /// `istio_tcp_connections_closed_total`.
        TcpClosedConnections = "TCP_CLOSED_CONNECTIONS",
        /// `istio_tcp_sent_bytes_total`.
        TcpSentBytes = "TCP_SENT_BYTES",
        /// `istio_tcp_received_bytes_total`.
        TcpReceivedBytes = "TCP_RECEIVED_BYTES",
        /// `istio_request_messages_total`.
        GrpcRequestMessages = "GRPC_REQUEST_MESSAGES",
        /// `istio_response_messages_total`.
        GrpcResponseMessages = "GRPC_RESPONSE_MESSAGES",
    }
}

record! {
    /// A change to a label.
    pub struct TagOverride {
        /// Whether it is set or removed; UPSERT by default.
        pub operation: Option<TagOperation> = "operation",
        /// A CEL expression; for UPSERT.
        pub value: String = "value",
    }
}

enumeration! {
    /// Whether a label is set or removed.
    pub enum TagOperation {
        /// Set.
        Upsert = "UPSERT",
        /// Removed.
        Remove = "REMOVE",
    }
}

record! {
    /// Access logs.
    pub struct AccessLogging {
        /// Where they are written; at both ends by default.
        pub matches: Option<LogSelector> = "match",
        /// Where they are sent.
        pub providers: Vec<ProviderRef> = "providers",
        /// Turns them off or on.
        pub disabled: Option<bool> = "disabled",
        /// Which requests are logged.
        pub filter: Option<LogFilter> = "filter",
    }
}

record! {
    /// Where access logs are written.
    pub struct LogSelector {
        /// The end.
        pub mode: Option<WorkloadMode> = "mode",
    }
}

record! {
    /// Which requests are logged.
    pub struct LogFilter {
        /// A CEL expression.
        pub expression: String = "expression",
    }
}
