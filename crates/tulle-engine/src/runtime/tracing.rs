//! Traces of requests: which are sampled, what their spans say, and who gets them.

use std::sync::Arc;
use std::time::Duration;

use super::grpc_service::GrpcService;
use super::matcher::{Fraction, HeaderName};

/// Tracing by a connection manager.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// Of requests that a client wants traced (`x-client-trace-id`), how many are.
    pub client: Fraction,
    /// Of all others, how many are.
    pub random: Fraction,
    /// Of those chosen, how many are after all.
    pub overall: Fraction,
    /// Most bytes of the path in the tag `http.url`; 256 by default.
    pub max_path: usize,
    /// Further tags.
    pub tags: Arc<[CustomTag]>,
    /// Who gets spans; with nobody, `x-request-id` alone tells what is sampled.
    pub tracer: Option<Arc<Tracer>>,
    /// Whether each try gets a span of its own below that of the request.
    pub spawn_upstream: bool,
    /// Whether headers of traces are left as they came.
    pub no_propagation: bool,
    /// Format of spans' names; empty for the default.
    pub operation: Arc<str>,
    /// Format of the names of tries' spans; empty for the default.
    pub upstream_operation: Arc<str>,
}

/// What a route has otherwise.
#[derive(Clone, Debug)]
pub struct RouteTracing {
    /// Of requests that a client wants traced, how many are.
    pub client: Fraction,
    /// Of all others, how many are.
    pub random: Fraction,
    /// Of those chosen, how many are after all.
    pub overall: Fraction,
    /// Further tags; those of the same name win over the manager's.
    pub tags: Arc<[CustomTag]>,
}

/// A tag of spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomTag {
    /// Its name.
    pub name: Arc<str>,
    /// Where its value comes from.
    pub value: TagValue,
}

/// Where the value of a tag comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagValue {
    /// Fixed.
    Literal(Arc<str>),
    /// A variable of the proxy's environment, or else this; the tag is left out if both are empty.
    Environment(Arc<str>, Arc<str>),
    /// An access log format, or else this; the tag is left out if both are empty.
    Format(Arc<str>, Arc<str>),
}

/// Who gets spans, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracer {
    /// The form.
    pub kind: TracerKind,
    /// Name of our service as spans tell it; empty for none.
    pub service: Arc<str>,
    /// Spans that wait at most; more are lost.
    pub most: usize,
}

/// The form in which spans are sent.
#[derive(Clone, Debug, PartialEq)]
pub enum TracerKind {
    /// OpenTelemetry.
    Otlp {
        /// Where to.
        to: OtlpTarget,
        /// Further attributes of the resource.
        resource: Vec<(Arc<str>, Arc<str>)>,
        /// Whether attributes come from `OTEL_RESOURCE_ATTRIBUTES`.
        environment: bool,
        /// Whether the SDK is told (`telemetry.sdk.*`).
        sdk: bool,
        /// Whether the scope is told.
        scope: bool,
        /// Whether every request without a parent is sampled, whatever else is decided.
        always: bool,
    },
    /// Zipkin.
    Zipkin {
        /// Where to.
        to: HttpTarget,
        /// Whether new traces get 128 bits.
        long: bool,
        /// Whether a server's span is that of its client.
        shared: bool,
        /// Whether W3C headers are read and written beside B3.
        w3c: bool,
    },
}

/// An OpenTelemetry collector.
#[derive(Clone, Debug, PartialEq)]
pub enum OtlpTarget {
    /// Nobody: contexts travel, and spans stay in the mesh.
    Nobody,
    /// Over gRPC.
    Grpc(GrpcService),
    /// Over HTTP.
    Http(HttpTarget),
}

/// A place behind a cluster that takes POST requests.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpTarget {
    /// The cluster.
    pub cluster: Arc<str>,
    /// `host`.
    pub authority: Arc<str>,
    /// Path and query.
    pub path: Arc<str>,
    /// How long a request may take.
    pub timeout: Duration,
    /// Further fields.
    pub headers: Vec<(HeaderName, Arc<str>)>,
}
