//! Extension providers of the mesh: services that policies and telemetry name.

use std::collections::BTreeMap;

use serde_json::Value;

use super::tracing::OpenCensusContext;
use crate::schema::{enumeration, oneof, record};
use crate::value::WrittenDuration;

record! {
    /// A service that policies and telemetry name.
    pub struct MeshExtensionProvider {
        /// Its name, unique in the mesh.
        pub name: String = "name" => required,
    }
    oneof {
        /// What it does.
        pub provider: ExtensionProviderKind,
    }
}

oneof! {
    /// What an extension provider does.
    pub enum ExtensionProviderKind {
        /// Authorizes, asked over HTTP.
        EnvoyExtAuthzHttp(ExtAuthzHttpProvider) = "envoyExtAuthzHttp",
        /// Authorizes, asked over gRPC.
        EnvoyExtAuthzGrpc(ExtAuthzGrpcProvider) = "envoyExtAuthzGrpc",
        /// Collects traces as Zipkin does.
        Zipkin(ZipkinProvider) = "zipkin",
        /// Collects traces as Lightstep does.
        Lightstep(LightstepProvider) = "lightstep"
            => planned("telemetry is not configurable"),
        /// Collects traces as Datadog does.
        Datadog(DatadogProvider) = "datadog"
            => planned("telemetry is not configurable"),
        /// Collects traces and logs as Stackdriver does.
        Stackdriver(StackdriverProvider) = "stackdriver"
            => planned("telemetry is not configurable"),
        /// Collects traces as OpenCensus agents do.
        Opencensus(OpencensusProvider) = "opencensus"
            => planned("telemetry is not configurable"),
        /// Collects traces as SkyWalking does.
        Skywalking(SkywalkingProvider) = "skywalking"
            => planned("telemetry is not configurable"),
        /// Collects traces as OpenTelemetry does.
        Opentelemetry(OpentelemetryProvider) = "opentelemetry",
        /// Serves metrics to Prometheus.
        Prometheus(PrometheusProvider) = "prometheus",
        /// Writes access logs to a file.
        EnvoyFileAccessLog(FileAccessLogProvider) = "envoyFileAccessLog",
        /// Takes access logs of HTTP over gRPC.
        EnvoyHttpAls(HttpGrpcLogProvider) = "envoyHttpAls",
        /// Takes access logs of TCP over gRPC.
        EnvoyTcpAls(TcpGrpcLogProvider) = "envoyTcpAls",
        /// Takes access logs as OpenTelemetry does.
        EnvoyOtelAls(OpentelemetryLogProvider) = "envoyOtelAls",
        /// Serves secrets.
        Sds(SdsProvider) = "sds"
            => planned("credentials are read from Secrets"),
    }
}

record! {
    /// An authorization service that is asked over HTTP.
    pub struct ExtAuthzHttpProvider {
        /// The service as `[namespace/]host`.
        pub service: String = "service" => required,
        /// Its port.
        pub port: u32 = "port",
        /// Time for an answer; 600s by default.
        pub timeout: Option<WrittenDuration> = "timeout",
        /// Put before the request's path.
        pub path_prefix: String = "pathPrefix",
        /// Whether requests pass when it does not answer; false by default.
        pub fail_open: Option<bool> = "failOpen",
        /// Whether the route is chosen again after its answer; false by default.
        pub clear_route_cache: Option<bool> = "clearRouteCache",
        /// Status when it does not answer; 403 by default.
        pub status_on_error: String = "statusOnError",
        /// Request headers that are sent along.
        pub include_headers_in_check: Vec<String> = "includeHeadersInCheck"
            => deprecated("write includeRequestHeadersInCheck"),
        /// Request headers that are sent along.
        pub include_request_headers_in_check: Vec<String> = "includeRequestHeadersInCheck",
        /// Fixed headers that are sent along.
        pub include_additional_headers_in_check: BTreeMap<String, String> = "includeAdditionalHeadersInCheck",
        /// How much of the body is sent along.
        pub include_request_body_in_check: Option<ExtAuthzRequestBody> = "includeRequestBodyInCheck",
        /// Headers of a yes that are added to the request.
        pub headers_to_upstream_on_allow: Vec<String> = "headersToUpstreamOnAllow",
        /// Headers of a no that the client gets.
        pub headers_to_downstream_on_deny: Vec<String> = "headersToDownstreamOnDeny",
        /// Headers of a yes that the client gets.
        pub headers_to_downstream_on_allow: Vec<String> = "headersToDownstreamOnAllow",
    }
}

record! {
    /// An authorization service that is asked over gRPC.
    pub struct ExtAuthzGrpcProvider {
        /// The service as `[namespace/]host`.
        pub service: String = "service" => required,
        /// Its port.
        pub port: u32 = "port",
        /// Time for an answer; 600s by default.
        pub timeout: Option<WrittenDuration> = "timeout",
        /// Whether requests pass when it does not answer; false by default.
        pub fail_open: Option<bool> = "failOpen",
        /// Whether the route is chosen again after its answer; false by default.
        pub clear_route_cache: Option<bool> = "clearRouteCache",
        /// Status when it does not answer; 403 by default.
        pub status_on_error: String = "statusOnError",
        /// How much of the body is sent along.
        pub include_request_body_in_check: Option<ExtAuthzRequestBody> = "includeRequestBodyInCheck",
    }
}

record! {
    /// How much of a body is sent along.
    pub struct ExtAuthzRequestBody {
        /// Most bytes; a longer body is answered with 413, or cut.
        pub max_request_bytes: Option<u32> = "maxRequestBytes",
        /// Whether a longer body is cut.
        pub allow_partial_message: Option<bool> = "allowPartialMessage",
        /// Whether it is sent as bytes; for gRPC.
        pub pack_as_bytes: Option<bool> = "packAsBytes",
    }
}

record! {
    /// A collector that speaks Zipkin.
    pub struct ZipkinProvider {
        /// The service as `[namespace/]host`.
        pub service: String = "service" => required,
        /// Its port.
        pub port: u32 = "port",
        /// Longest path in a span.
        pub max_tag_length: Option<u32> = "maxTagLength",
        /// Whether trace ids have 64 bits; 128 by default.
        pub enable64bit_trace_id: Option<bool> = "enable64bitTraceId",
        /// Path; `/api/v2/spans` by default.
        pub path: String = "path",
        /// Forms of trace headers; USE_B3 by default.
        pub trace_context_option: Option<ZipkinTraceContext> = "traceContextOption",
        /// Time for an answer; 5s by default.
        pub timeout: Option<WrittenDuration> = "timeout",
        /// Headers to send.
        pub headers: Vec<ProviderHeader> = "headers",
    }
}

enumeration! {
    /// Forms of trace headers.
    pub enum ZipkinTraceContext {
        /// B3.
        UseB3 = "USE_B3",
        /// B3 and W3C Trace Context.
        UseB3WithW3cPropagation = "USE_B3_WITH_W3C_PROPAGATION",
    }
}

record! {
    /// A header to send.
    pub struct ProviderHeader {
        /// Name.
        pub name: String = "name" => required,
    }
    oneof {
        /// Value.
        pub header_value: ProviderHeaderValue,
    }
}

oneof! {
    /// The value of a header.
    pub enum ProviderHeaderValue {
        /// Written here.
        Value(String) = "value",
        /// An environment variable of the proxy.
        EnvName(String) = "envName"
            => planned("variables of the proxy's environment are not sent as headers"),
    }
}

record! {
    /// A collector that speaks Lightstep.
    pub struct LightstepProvider {
        /// The service as `[namespace/]host`.
        pub service: String = "service" => required,
        /// Its port.
        pub port: u32 = "port",
        /// Token.
        pub access_token: String = "accessToken",
        /// Longest path in a span.
        pub max_tag_length: Option<u32> = "maxTagLength",
    }
}

record! {
    /// A collector that speaks Datadog.
    pub struct DatadogProvider {
        /// The service as `[namespace/]host`.
        pub service: String = "service" => required,
        /// Its port.
        pub port: u32 = "port",
        /// Longest path in a span.
        pub max_tag_length: Option<u32> = "maxTagLength",
    }
}

record! {
    /// Stackdriver as a collector.
    pub struct StackdriverProvider {
        /// Whether traces go to the output.
        pub debug: Option<bool> = "debug",
        /// Most attributes of a span; 200 by default.
        pub max_number_of_attributes: Option<i64> = "maxNumberOfAttributes",
        /// Most annotations of a span; 200 by default.
        pub max_number_of_annotations: Option<i64> = "maxNumberOfAnnotations",
        /// Most message events of a span; 200 by default.
        pub max_number_of_message_events: Option<i64> = "maxNumberOfMessageEvents",
        /// Longest path in a span.
        pub max_tag_length: Option<u32> = "maxTagLength",
        /// Access logs.
        pub logging: Option<StackdriverLogging> = "logging",
    }
}

record! {
    /// Access logs for Stackdriver.
    pub struct StackdriverLogging {
        /// Labels, as CEL expressions.
        pub labels: BTreeMap<String, String> = "labels",
    }
}

record! {
    /// An OpenCensus agent as a collector.
    pub struct OpencensusProvider {
        /// The service as `[namespace/]host`.
        pub service: String = "service" => required,
        /// Its port.
        pub port: u32 = "port",
        /// Forms of trace headers; W3C_TRACE_CONTEXT by default.
        pub context: Vec<OpenCensusContext> = "context",
        /// Longest path in a span.
        pub max_tag_length: Option<u32> = "maxTagLength",
    }
}

record! {
    /// A collector that speaks SkyWalking.
    pub struct SkywalkingProvider {
        /// The service as `[namespace/]host`.
        pub service: String = "service" => required,
        /// Its port.
        pub port: u32 = "port",
        /// Token.
        pub access_token: String = "accessToken",
    }
}

record! {
    /// A collector that speaks OpenTelemetry.
    pub struct OpentelemetryProvider {
        /// The service as `[namespace/]host`.
        pub service: String = "service" => required,
        /// Its port.
        pub port: u32 = "port",
        /// Longest path in a span.
        pub max_tag_length: Option<u32> = "maxTagLength",
        /// Sends over HTTP; over gRPC when unset.
        pub http: Option<ProviderHttpService> = "http",
        /// Details of sending over gRPC.
        pub grpc: Option<ProviderGrpcService> = "grpc",
        /// Where attributes of the resource come from.
        pub resource_detectors: Option<ResourceDetectors> = "resourceDetectors",
        /// Which attributes name the service; ISTIO_CANONICAL by default.
        pub service_attribute_enrichment: Option<ServiceAttributeEnrichment> = "serviceAttributeEnrichment"
            => planned("services are named APP.NAMESPACE, as Istio does by default"),
    }
    oneof {
        /// Who decides which requests are traced.
        pub sampling: OpentelemetrySampling,
    }
}

enumeration! {
    /// Which attributes name the service of a span.
    pub enum ServiceAttributeEnrichment {
        /// Istio's canonical name.
        IstioCanonical = "ISTIO_CANONICAL",
        /// OpenTelemetry's conventions for Kubernetes.
        OtelSemanticConventions = "OTEL_SEMANTIC_CONVENTIONS",
    }
}

oneof! {
    /// Who decides which requests are traced.
    pub enum OpentelemetrySampling {
        /// Dynatrace.
        DynatraceSampler(DynatraceSampler) = "dynatraceSampler"
            => planned("requests are sampled by percentage"),
    }
}

record! {
    /// Dynatrace decides which requests are traced.
    pub struct DynatraceSampler {
        /// Tenant.
        pub tenant: String = "tenant" => required,
        /// Cluster.
        pub cluster_id: i32 = "clusterId",
        /// Traces per minute; 1000 by default.
        pub root_spans_per_minute: Option<u32> = "rootSpansPerMinute",
        /// Where it is asked.
        pub http_service: Option<DynatraceApi> = "httpService",
    }
}

record! {
    /// Where Dynatrace is asked.
    pub struct DynatraceApi {
        /// The service as `[namespace/]host`.
        pub service: String = "service" => required,
        /// Its port.
        pub port: u32 = "port",
        /// The request.
        pub http: Option<ProviderHttpService> = "http" => required,
    }
}

record! {
    /// A request over HTTP.
    pub struct ProviderHttpService {
        /// Path.
        pub path: String = "path" => required,
        /// Time for an answer; 3s by default.
        pub timeout: Option<WrittenDuration> = "timeout",
        /// Headers to send.
        pub headers: Vec<ProviderHeader> = "headers",
    }
}

record! {
    /// A call over gRPC.
    pub struct ProviderGrpcService {
        /// Time for an answer.
        pub timeout: Option<WrittenDuration> = "timeout",
        /// Metadata to send.
        pub initial_metadata: Vec<ProviderHeader> = "initialMetadata",
    }
}

record! {
    /// Where attributes of a resource come from.
    pub struct ResourceDetectors {
        /// The environment variable `OTEL_RESOURCE_ATTRIBUTES`.
        pub environment: Option<EnvironmentDetector> = "environment",
        /// Dynatrace's files.
        pub dynatrace: Option<DynatraceDetector> = "dynatrace"
            => planned("Dynatrace's files are not read"),
    }
}

record! {
    /// Reads attributes from the environment.
    pub struct EnvironmentDetector {
    }
}

record! {
    /// Reads attributes from Dynatrace's files.
    pub struct DynatraceDetector {
    }
}

record! {
    /// Serves metrics to Prometheus.
    pub struct PrometheusProvider {
    }
}

record! {
    /// Writes access logs to a file.
    pub struct FileAccessLogProvider {
        /// The file; /dev/stdout by default.
        pub path: String = "path",
        /// The format; Istio's by default.
        pub log_format: Option<LogFormat> = "logFormat",
        /// Whether values that are not there are left out.
        pub omit_empty_values: Option<bool> = "omitEmptyValues",
    }
}

record! {
    /// A format of access logs.
    pub struct LogFormat {
    }
    oneof {
        /// Its form.
        pub log_format: LogFormatForm,
    }
}

oneof! {
    /// A form of access logs.
    pub enum LogFormatForm {
        /// Lines of text.
        Text(String) = "text",
        /// Lines of JSON.
        Labels(Value) = "labels",
    }
}

record! {
    /// Takes access logs of HTTP over gRPC.
    pub struct HttpGrpcLogProvider {
        /// The service as `[namespace/]host`.
        pub service: String = "service" => required,
        /// Its port.
        pub port: u32 = "port",
        /// Name of the log; http_envoy_accesslog by default.
        pub log_name: String = "logName",
        /// Filter state to send.
        pub filter_state_objects_to_log: Vec<String> = "filterStateObjectsToLog"
            => no_effect("filters of the proxy keep no such objects; entries name both ends by address and certificate"),
        /// Request headers to send.
        pub additional_request_headers_to_log: Vec<String> = "additionalRequestHeadersToLog",
        /// Response headers to send.
        pub additional_response_headers_to_log: Vec<String> = "additionalResponseHeadersToLog",
        /// Response trailers to send.
        pub additional_response_trailers_to_log: Vec<String> = "additionalResponseTrailersToLog",
    }
}

record! {
    /// Takes access logs of TCP over gRPC.
    pub struct TcpGrpcLogProvider {
        /// The service as `[namespace/]host`.
        pub service: String = "service" => required,
        /// Its port.
        pub port: u32 = "port",
        /// Name of the log; tcp_envoy_accesslog by default.
        pub log_name: String = "logName",
        /// Filter state to send.
        pub filter_state_objects_to_log: Vec<String> = "filterStateObjectsToLog"
            => no_effect("filters of the proxy keep no such objects; entries name both ends by address and certificate"),
    }
}

record! {
    /// Takes access logs as OpenTelemetry does.
    pub struct OpentelemetryLogProvider {
        /// The service as `[namespace/]host`.
        pub service: String = "service" => required,
        /// Its port.
        pub port: u32 = "port",
        /// Name of the log; otel_envoy_accesslog by default.
        pub log_name: String = "logName",
        /// The format.
        pub log_format: Option<OpentelemetryLogFormat> = "logFormat",
    }
}

record! {
    /// A format of access logs: text for the body, labels for attributes, both if wanted.
    pub struct OpentelemetryLogFormat {
        /// The body.
        pub text: String = "text",
        /// Attributes.
        pub labels: Option<Value> = "labels",
    }
}

record! {
    /// Serves secrets.
    pub struct SdsProvider {
        /// Name that `sds://NAME` in credential names stands for.
        pub name: String = "name" => required,
        /// The service as `[namespace/]host`.
        pub service: String = "service" => required,
        /// Its port.
        pub port: u32 = "port",
    }
}
