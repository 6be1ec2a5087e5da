//! Traces in the settings of proxies.

use std::collections::BTreeMap;

use crate::istio::ClientTlsSettings;
use crate::schema::{enumeration, oneof, record};

record! {
    /// Traces.
    pub struct MeshTracing {
        /// Tags to add to spans.
        pub custom_tags: BTreeMap<String, MeshCustomTag> = "customTags",
        /// Longest path in a span; 256 by default.
        pub max_path_tag_length: Option<u32> = "maxPathTagLength",
        /// Share of requests that are traced, in percent; 1 by default.
        pub sampling: Option<f64> = "sampling",
        /// TLS towards the collector.
        pub tls_settings: Option<ClientTlsSettings> = "tlsSettings"
            => planned("a DestinationRule for the collector says how TLS is spoken with it"),
        /// Whether Istio's own tags are added; true by default.
        pub enable_istio_tags: Option<bool> = "enableIstioTags",
    }
    oneof {
        /// The collector.
        pub tracer: MeshTracer,
    }
}

oneof! {
    /// A collector of traces.
    pub enum MeshTracer {
        /// Zipkin.
        Zipkin(TracerAddress) = "zipkin",
        /// Lightstep.
        Lightstep(LightstepTracer) = "lightstep"
            => planned("send traces to OpenTelemetry or Zipkin"),
        /// Datadog.
        Datadog(TracerAddress) = "datadog"
            => planned("send traces to OpenTelemetry or Zipkin"),
        /// Stackdriver.
        Stackdriver(StackdriverTracer) = "stackdriver"
            => planned("send traces to OpenTelemetry or Zipkin"),
        /// An OpenCensus agent.
        OpenCensusAgent(OpenCensusTracer) = "openCensusAgent"
            => planned("send traces to OpenTelemetry or Zipkin"),
    }
}

record! {
    /// The address of a collector.
    pub struct TracerAddress {
        /// Host and port.
        pub address: String = "address",
    }
}

record! {
    /// A Lightstep collector.
    pub struct LightstepTracer {
        /// Host and port.
        pub address: String = "address",
        /// Token.
        pub access_token: String = "accessToken",
    }
}

record! {
    /// Stackdriver as a collector.
    pub struct StackdriverTracer {
        /// Whether traces go to the output.
        pub debug: Option<bool> = "debug",
        /// Most attributes of a span; 200 by default.
        pub max_number_of_attributes: Option<i64> = "maxNumberOfAttributes",
        /// Most annotations of a span; 200 by default.
        pub max_number_of_annotations: Option<i64> = "maxNumberOfAnnotations",
        /// Most message events of a span; 200 by default.
        pub max_number_of_message_events: Option<i64> = "maxNumberOfMessageEvents",
    }
}

record! {
    /// An OpenCensus agent as a collector.
    pub struct OpenCensusTracer {
        /// Host and port.
        pub address: String = "address",
        /// Forms of trace headers; W3C_TRACE_CONTEXT by default.
        pub context: Vec<OpenCensusContext> = "context",
    }
}

enumeration! {
    /// Forms of trace headers.
    pub enum OpenCensusContext {
        /// None.
        Unspecified = "UNSPECIFIED",
        /// W3C Trace Context.
        W3cTraceContext = "W3C_TRACE_CONTEXT",
        /// gRPC's binary form.
        GrpcBin = "GRPC_BIN",
        /// Google's.
        CloudTraceContext = "CLOUD_TRACE_CONTEXT",
        /// B3.
        B3 = "B3",
    }
}

oneof! {
    /// Where the value of a tag comes from.
    pub enum MeshCustomTag {
        /// A fixed text.
        Literal(MeshTagLiteral) = "literal",
        /// An environment variable of the proxy.
        Environment(MeshTagSource) = "environment",
        /// A request header.
        Header(MeshTagSource) = "header",
    }
    empty {
        /// Nothing.
        Unset
    }
}

record! {
    /// A fixed text.
    pub struct MeshTagLiteral {
        /// The text.
        pub value: String = "value",
    }
}

record! {
    /// A variable or header.
    pub struct MeshTagSource {
        /// Its name.
        pub name: String = "name",
        /// What to use when it is not there.
        pub default_value: String = "defaultValue",
    }
}
