//! What expressions can read.

use std::borrow::Cow;

use super::CelError;
use super::evaluate::Value;

/// Something that an expression reads. Names are Envoy's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// `request.path`: with the query.
    RequestPath,
    /// `request.url_path`: without.
    RequestUrlPath,
    /// `request.query`
    RequestQuery,
    /// `request.host`
    RequestHost,
    /// `request.scheme`
    RequestScheme,
    /// `request.method`
    RequestMethod,
    /// `request.protocol`: `HTTP/1.1` and so on.
    RequestProtocol,
    /// `request.id`: `x-request-id`.
    RequestId,
    /// `request.referer`
    RequestReferer,
    /// `request.useragent`
    RequestUserAgent,
    /// `request.size`: bytes of the body.
    RequestSize,
    /// `request.duration`, as a number of milliseconds (in Envoy a duration).
    RequestDuration,
    /// `request.headers['name']`, in lower case.
    RequestHeader(String),
    /// `response.code`; 0 where none was sent.
    ResponseCode,
    /// `response.code_details`
    ResponseCodeDetails,
    /// `response.flags`: Envoy's bits.
    ResponseFlags,
    /// `response.grpc_status`
    ResponseGrpcStatus,
    /// `response.size`: bytes of the body.
    ResponseSize,
    /// `response.headers['name']`, in lower case.
    ResponseHeader(String),
    /// `response.trailers['name']`, in lower case.
    ResponseTrailer(String),
    /// `source.address`, with the port.
    SourceAddress,
    /// `source.port`
    SourcePort,
    /// `destination.address`, with the port.
    DestinationAddress,
    /// `destination.port`
    DestinationPort,
    /// `connection.id`
    ConnectionId,
    /// `connection.mtls`
    ConnectionMtls,
    /// `connection.requested_server_name`
    ConnectionServerName,
    /// `connection.tls_version`
    ConnectionTlsVersion,
    /// `connection.uri_san_peer_certificate`
    ConnectionPeerUriSan,
    /// `connection.uri_san_local_certificate`
    ConnectionLocalUriSan,
    /// `connection.termination_details`
    ConnectionTerminationDetails,
    /// `upstream.address`, with the port.
    UpstreamAddress,
    /// `upstream.port`
    UpstreamPort,
    /// `upstream.local_address`
    UpstreamLocalAddress,
    /// `upstream.uri_san_peer_certificate`
    UpstreamPeerUriSan,
    /// `upstream.transport_failure_reason`
    UpstreamTransportFailure,
    /// `upstream.request_attempt_count`
    UpstreamAttempts,
    /// `xds.cluster_name`
    ClusterName,
    /// `xds.route_name`
    RouteName,
    /// `xds.filter_chain_name`
    FilterChainName,
    /// `metadata['filter']['key']...`: what filters have written about the request.
    Metadata(Vec<String>),
}

/// The names without parts of their own.
const PLAIN: &[(&str, Attribute)] = &[
    ("request.path", Attribute::RequestPath),
    ("request.url_path", Attribute::RequestUrlPath),
    ("request.query", Attribute::RequestQuery),
    ("request.host", Attribute::RequestHost),
    ("request.scheme", Attribute::RequestScheme),
    ("request.method", Attribute::RequestMethod),
    ("request.protocol", Attribute::RequestProtocol),
    ("request.id", Attribute::RequestId),
    ("request.referer", Attribute::RequestReferer),
    ("request.useragent", Attribute::RequestUserAgent),
    ("request.size", Attribute::RequestSize),
    ("request.duration", Attribute::RequestDuration),
    ("response.code", Attribute::ResponseCode),
    ("response.code_details", Attribute::ResponseCodeDetails),
    ("response.flags", Attribute::ResponseFlags),
    ("response.grpc_status", Attribute::ResponseGrpcStatus),
    ("response.size", Attribute::ResponseSize),
    ("source.address", Attribute::SourceAddress),
    ("source.port", Attribute::SourcePort),
    ("destination.address", Attribute::DestinationAddress),
    ("destination.port", Attribute::DestinationPort),
    ("connection.id", Attribute::ConnectionId),
    ("connection.mtls", Attribute::ConnectionMtls),
    ("connection.requested_server_name", Attribute::ConnectionServerName),
    ("connection.tls_version", Attribute::ConnectionTlsVersion),
    ("connection.uri_san_peer_certificate", Attribute::ConnectionPeerUriSan),
    ("connection.uri_san_local_certificate", Attribute::ConnectionLocalUriSan),
    ("connection.termination_details", Attribute::ConnectionTerminationDetails),
    ("upstream.address", Attribute::UpstreamAddress),
    ("upstream.port", Attribute::UpstreamPort),
    ("upstream.local_address", Attribute::UpstreamLocalAddress),
    ("upstream.uri_san_peer_certificate", Attribute::UpstreamPeerUriSan),
    ("upstream.transport_failure_reason", Attribute::UpstreamTransportFailure),
    ("upstream.request_attempt_count", Attribute::UpstreamAttempts),
    ("xds.cluster_name", Attribute::ClusterName),
    ("xds.route_name", Attribute::RouteName),
    ("xds.filter_chain_name", Attribute::FilterChainName),
];

/// What Envoy or Istio have and this mesh does not.
const ELSEWHERE: &[&str] = &[
    "request.time",
    "request.total_size",
    "response.total_size",
    "node",
    "response.backend_latency",
    "connection.dns_san_local_certificate",
    "connection.dns_san_peer_certificate",
    "connection.subject_local_certificate",
    "connection.subject_peer_certificate",
    "connection.sha256_peer_certificate_digest",
    "connection.transport_failure_reason",
    "upstream.tls_version",
    "upstream.subject_local_certificate",
    "upstream.subject_peer_certificate",
    "upstream.dns_san_local_certificate",
    "upstream.dns_san_peer_certificate",
    "upstream.uri_san_local_certificate",
    "upstream.sha256_peer_certificate_digest",
    "upstream.cx_pool_ready_duration",
    "upstream.locality",
    "xds.node",
    "xds.cluster_metadata",
    "xds.listener_metadata",
    "xds.route_metadata",
    "xds.virtual_host_name",
    "xds.virtual_host_metadata",
    "xds.upstream_host_metadata",
    "xds.upstream_host_locality_metadata",
    "xds.listener_direction",
    "filter_state",
    "upstream_filter_state",
    "upstream_peer",
    "downstream_peer",
    "istio_operationId",
    "plugin_name",
    "plugin_root_id",
    "plugin_vm_id",
    "cluster_name",
    "cluster_metadata",
    "listener_direction",
    "listener_metadata",
    "route_name",
    "route_metadata",
    "upstream_host_metadata",
];

impl Attribute {
    /// The attribute of a name and what follows it: `request`, `headers`, `x-a`.
    pub(super) fn named(path: &[String]) -> Result<Self, CelError> {
        let texts: Vec<&str> = path.iter().map(String::as_str).collect();
        let lower = |name: &str| name.to_ascii_lowercase();
        match texts[..] {
            ["request", "headers", name] => return Ok(Self::RequestHeader(lower(name))),
            ["response", "headers", name] => return Ok(Self::ResponseHeader(lower(name))),
            ["response", "trailers", name] => return Ok(Self::ResponseTrailer(lower(name))),
            ["metadata", "filter_metadata", _, _, ..] => return Ok(Self::Metadata(path[2..].to_vec())),
            ["metadata", _, _, ..] => return Ok(Self::Metadata(path[1..].to_vec())),
            _ => {}
        }
        let name = path.join(".");
        if let Some((_, attribute)) = PLAIN.iter().find(|(known, _)| *known == name) {
            return Ok(attribute.clone());
        }
        let elsewhere = |known: &&&str| name == ***known || name.starts_with(&format!("{known}."));
        if ELSEWHERE.iter().any(|known| elsewhere(&known)) {
            return Err(CelError::Unavailable(name));
        }
        let near = tulle_base::nearest::nearest(&name, PLAIN.iter().map(|(known, _)| *known));
        let near = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
        Err(CelError::Unknown { name, near })
    }

    /// Whether it is of requests: on a connection that carries none it is never there.
    pub fn is_of_requests(&self) -> bool {
        matches!(
            self,
            Self::RequestPath
                | Self::RequestUrlPath
                | Self::RequestQuery
                | Self::RequestHost
                | Self::RequestScheme
                | Self::RequestMethod
                | Self::RequestProtocol
                | Self::RequestId
                | Self::RequestReferer
                | Self::RequestUserAgent
                | Self::RequestSize
                | Self::RequestDuration
                | Self::RequestHeader(_)
                | Self::ResponseCode
                | Self::ResponseCodeDetails
                | Self::ResponseGrpcStatus
                | Self::ResponseSize
                | Self::ResponseHeader(_)
                | Self::ResponseTrailer(_)
        )
    }
}

/// A request or connection, as expressions read it.
pub trait Attributes {
    /// The value of an attribute; [`Value::Missing`] where there is none.
    fn get<'a>(&'a self, attribute: &'a Attribute) -> Value<'a>;
}

/// Nothing is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Attributes for Nothing {
    fn get<'a>(&'a self, _attribute: &'a Attribute) -> Value<'a> {
        Value::Missing
    }
}

impl<'a> Value<'a> {
    /// A text; nothing where it is empty.
    pub fn text(text: &'a str) -> Self {
        if text.is_empty() { Self::Missing } else { Self::Text(Cow::Borrowed(text)) }
    }

    /// A text that may be anything; bytes that are no UTF-8 are replaced.
    pub fn bytes(bytes: Option<&'a [u8]>) -> Self {
        bytes.map_or(Self::Missing, |bytes| Self::Text(String::from_utf8_lossy(bytes)))
    }

    /// A number.
    pub fn number(number: impl TryInto<i64>) -> Self {
        Self::Int(number.try_into().unwrap_or(i64::MAX))
    }
}
