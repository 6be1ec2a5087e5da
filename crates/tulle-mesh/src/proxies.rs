//! Settings of proxies that the control plane applies (`defaultConfig` of the mesh, and the annotation of single pods).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::headers::ProxyHeaders;
use crate::provider::At;
use crate::telemetry::CustomTag;

/// What HTTP of a proxy is like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProxySettings {
    /// Headers that it adds.
    pub headers: ProxyHeaders,
    /// How it deals with connections.
    pub connections: ConnectionSettings,
    /// What it traces where no Telemetry says anything.
    pub tracing: ProxyTracing,
    /// The service that takes access logs, where the mesh's settings have them sent.
    pub log_service: Option<Box<At>>,
}

/// What a proxy traces (`tracing`). `None` is not written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProxyTracing {
    /// Share of requests, in hundredths of a percent; 1 % by default.
    pub share: Option<u32>,
    /// Most bytes of a path in a span; 256 by default.
    pub max_path: Option<u32>,
    /// Tags to add to spans.
    pub tags: Option<BTreeMap<String, CustomTag>>,
    /// Whether Istio's own tags are added; yes by default.
    pub istio_tags: Option<bool>,
    /// The Zipkin collector.
    pub zipkin: Option<At>,
}

impl ProxyTracing {
    fn or(&self, weaker: &Self) -> Self {
        Self {
            share: self.share.or(weaker.share),
            max_path: self.max_path.or(weaker.max_path),
            tags: self.tags.clone().or_else(|| weaker.tags.clone()),
            istio_tags: self.istio_tags.or(weaker.istio_tags),
            zipkin: self.zipkin.clone().or_else(|| weaker.zipkin.clone()),
        }
    }
}

impl ProxySettings {
    /// What is written here, else there.
    #[must_use]
    pub fn or(&self, weaker: &Self) -> Self {
        Self {
            headers: self.headers.or(&weaker.headers),
            connections: self.connections.or(&weaker.connections),
            tracing: self.tracing.or(&weaker.tracing),
            log_service: self.log_service.clone().or_else(|| weaker.log_service.clone()),
        }
    }
}

/// How a proxy deals with connections (`connectionSettings`). `None` is not written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnectionSettings {
    /// Whether a gateway has the defaults of [`ConnectionSettings::EDGE`]; no by default.
    pub edge: Option<bool>,
    /// Bytes that are kept for a client.
    pub downstream_buffer: Option<u32>,
    /// Bytes that are kept for an endpoint.
    pub upstream_buffer: Option<u32>,
    /// Ends connections without requests.
    pub idle_timeout: Option<Duration>,
    /// Longest life of a connection.
    pub max_connection: Option<Duration>,
    /// Between the notice that a connection ends and its end.
    pub drain_timeout: Option<Duration>,
    /// For a whole request.
    pub request_timeout: Option<Duration>,
    /// For the head of a request.
    pub head_timeout: Option<Duration>,
    /// Ends requests on which nothing moves.
    pub stream_idle_timeout: Option<Duration>,
    /// Longest life of a request.
    pub max_stream: Option<Duration>,
    /// Requests at a time on a connection of HTTP/2.
    pub max_streams: Option<u32>,
    /// HTTP/2's window of a stream, in bytes.
    pub stream_window: Option<u32>,
    /// HTTP/2's window of a connection, in bytes.
    pub connection_window: Option<u32>,
    /// What becomes of headers with underscores.
    pub underscores: Option<Underscores>,
    /// Whether several slashes of a path become one.
    pub merge_slashes: Option<bool>,
    /// What becomes of encoded slashes of a path.
    pub escaped_slashes: Option<EscapedSlashes>,
}

/// What becomes of headers with underscores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Underscores {
    /// They pass.
    Allow,
    /// The request is refused.
    Reject,
    /// They are left out.
    Drop,
}

/// What becomes of encoded slashes of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EscapedSlashes {
    /// They stay.
    Keep,
    /// The request is refused.
    Reject,
    /// The client is sent to the decoded path.
    Redirect,
    /// They are decoded.
    Decode,
}

impl ConnectionSettings {
    /// Istio's profile `EDGE`: what Envoy's guide recommends for gateways that take traffic from anywhere.
    pub const EDGE: Self = Self {
        edge: Some(true),
        downstream_buffer: Some(32 * 1024),
        upstream_buffer: Some(32 * 1024),
        idle_timeout: Some(Duration::from_secs(3600)),
        max_connection: None,
        drain_timeout: None,
        request_timeout: Some(Duration::from_secs(300)),
        head_timeout: Some(Duration::from_secs(60)),
        stream_idle_timeout: Some(Duration::from_secs(300)),
        max_stream: None,
        max_streams: Some(100),
        stream_window: Some(64 * 1024),
        connection_window: Some(1024 * 1024),
        underscores: Some(Underscores::Reject),
        merge_slashes: Some(true),
        escaped_slashes: Some(EscapedSlashes::Redirect),
    };

    /// What is written here, else there.
    #[must_use]
    pub fn or(&self, weaker: &Self) -> Self {
        Self {
            edge: self.edge.or(weaker.edge),
            downstream_buffer: self.downstream_buffer.or(weaker.downstream_buffer),
            upstream_buffer: self.upstream_buffer.or(weaker.upstream_buffer),
            idle_timeout: self.idle_timeout.or(weaker.idle_timeout),
            max_connection: self.max_connection.or(weaker.max_connection),
            drain_timeout: self.drain_timeout.or(weaker.drain_timeout),
            request_timeout: self.request_timeout.or(weaker.request_timeout),
            head_timeout: self.head_timeout.or(weaker.head_timeout),
            stream_idle_timeout: self.stream_idle_timeout.or(weaker.stream_idle_timeout),
            max_stream: self.max_stream.or(weaker.max_stream),
            max_streams: self.max_streams.or(weaker.max_streams),
            stream_window: self.stream_window.or(weaker.stream_window),
            connection_window: self.connection_window.or(weaker.connection_window),
            underscores: self.underscores.or(weaker.underscores),
            merge_slashes: self.merge_slashes.or(weaker.merge_slashes),
            escaped_slashes: self.escaped_slashes.or(weaker.escaped_slashes),
        }
    }

    /// As they hold for a gateway: with the defaults of the profile, if that is chosen.
    #[must_use]
    pub fn of_gateway(&self) -> Self {
        if self.edge == Some(true) { self.or(&Self::EDGE) } else { self.clone() }
    }
}
