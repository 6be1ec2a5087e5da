//! What is known of a request or connection when its line is written.

use std::net::SocketAddr;
use std::time::Duration;

use tulle_proto::envoy::core::Metadata;

use crate::access_log::operator::MetadataSource;
use crate::flags::ResponseFlags;
use crate::trace::{SpanId, TraceId};

/// Headers by name. The access log does not know how they are kept.
pub trait HeaderLookup {
    /// The value of the header `name` (lower case); of several lines, the first, or all of them joined by commas.
    fn header(&self, name: &str) -> Option<&[u8]>;

    /// Bytes of all names and values.
    fn bytes(&self) -> u64 {
        0
    }
}

/// A borrowed set of headers.
pub type Headers<'a> = &'a dyn HeaderLookup;

/// No headers at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHeaders;

impl HeaderLookup for NoHeaders {
    fn header(&self, _name: &str) -> Option<&[u8]> {
        None
    }
}

/// Metadata by namespace and path.
pub trait MetadataLookup {
    /// Appends the value at `path` in `namespace`; `None` and nothing if there is none.
    fn write(
        &self,
        source: MetadataSource,
        namespace: &str,
        path: &[String],
        out: &mut Vec<u8>,
    ) -> Option<MetadataForm>;

    /// All that filters left; `None` if that is nothing.
    fn all(&self) -> Option<Metadata> {
        None
    }
}

/// As what a value of metadata was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataForm {
    /// A string, as it is: in JSON it is still to be quoted.
    Text,
    /// Any other value, as JSON.
    Json,
}

/// No metadata at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMetadata;

impl MetadataLookup for NoMetadata {
    fn write(&self, _: MetadataSource, _: &str, _: &[String], _: &mut Vec<u8>) -> Option<MetadataForm> {
        None
    }
}

/// A finished request (or TCP connection) with everything that operators can ask for. Empty text and `None` mean: not known.
///
/// Start from [`RequestRecord::default`] and fill in what there is.
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations, reason = "borrows trait objects; made for one line and dropped")]
pub struct RequestRecord<'a> {
    /// When the first byte came, since the epoch.
    pub start: Duration,
    /// From there to the last byte sent.
    pub duration: Option<Duration>,
    /// From there to the last byte of the request.
    pub request_duration: Option<Duration>,
    /// From there to the first byte of the endpoint's answer.
    pub response_duration: Option<Duration>,
    /// `HTTP/1.1`, `HTTP/2`; empty for TCP.
    pub protocol: &'a str,
    /// The same of the connection to the endpoint.
    pub upstream_protocol: &'a str,
    /// Method as it came.
    pub method: &'a [u8],
    /// Path with query as it was sent on (rewritten); `x-envoy-original-path` is a header.
    pub path: &'a [u8],
    /// Authority or host.
    pub authority: &'a [u8],
    /// `http` or `https`.
    pub scheme: &'a [u8],
    /// Request headers.
    pub request_headers: Headers<'a>,
    /// Response headers.
    pub response_headers: Headers<'a>,
    /// Response trailers.
    pub response_trailers: Headers<'a>,
    /// Status sent; 0: none.
    pub response_code: u16,
    /// Why that status.
    pub response_code_details: &'a str,
    /// Why the connection ended.
    pub connection_termination_details: &'a str,
    /// Response flags.
    pub response_flags: ResponseFlags,
    /// Body bytes received (TCP: all bytes).
    pub bytes_received: u64,
    /// Body bytes sent (TCP: all bytes).
    pub bytes_sent: u64,
    /// gRPC status; -1 if what was said is none; `None` if it was no gRPC.
    pub grpc_status: Option<i32>,
    /// Attempts made.
    pub attempts: u32,
    /// The endpoint.
    pub upstream_host: Option<SocketAddr>,
    /// The other end of the connection to it; `None` if there was none.
    pub upstream_remote_address: Option<SocketAddr>,
    /// Our address towards it.
    pub upstream_local_address: Option<SocketAddr>,
    /// The cluster, by its alternative statistics name if it has one.
    pub upstream_cluster: &'a str,
    /// The cluster, by its own name.
    pub upstream_cluster_raw: &'a str,
    /// Why the transport to the endpoint failed.
    pub upstream_transport_failure_reason: &'a str,
    /// The address that the client connected to (the original destination).
    pub downstream_local_address: Option<SocketAddr>,
    /// The client, as far as trusted headers tell.
    pub downstream_remote_address: Option<SocketAddr>,
    /// The other end of the socket.
    pub downstream_direct_remote_address: Option<SocketAddr>,
    /// Server name of the TLS hello.
    pub requested_server_name: &'a str,
    /// Route.
    pub route_name: &'a str,
    /// Virtual host.
    pub virtual_host_name: &'a str,
    /// Filter chain.
    pub filter_chain_name: &'a str,
    /// First URI SAN of the client's certificate.
    pub downstream_peer_uri_san: &'a str,
    /// First URI SAN of our certificate towards the client.
    pub downstream_local_uri_san: &'a str,
    /// First URI SAN of the endpoint's certificate.
    pub upstream_peer_uri_san: &'a str,
    /// `TLSv1.3` or nothing.
    pub downstream_tls_version: &'a str,
    /// Cipher suite towards the client.
    pub downstream_tls_cipher: &'a str,
    /// Number of the client's connection.
    pub connection_id: u64,
    /// Its trace and its own span, if it has one.
    pub trace: Option<(TraceId, SpanId)>,
    /// Body of a response of our own that is being made.
    pub local_reply_body: &'a [u8],
    /// Metadata: provenance of the route, of the cluster, and what filters left.
    pub metadata: &'a dyn MetadataLookup,
}

impl Default for RequestRecord<'_> {
    fn default() -> Self {
        Self {
            start: Duration::ZERO,
            duration: None,
            request_duration: None,
            response_duration: None,
            protocol: "",
            upstream_protocol: "",
            method: b"",
            path: b"",
            authority: b"",
            scheme: b"",
            request_headers: &NoHeaders,
            response_headers: &NoHeaders,
            response_trailers: &NoHeaders,
            response_code: 0,
            response_code_details: "",
            connection_termination_details: "",
            response_flags: ResponseFlags::NONE,
            bytes_received: 0,
            bytes_sent: 0,
            grpc_status: None,
            attempts: 0,
            upstream_host: None,
            upstream_remote_address: None,
            upstream_local_address: None,
            upstream_cluster: "",
            upstream_cluster_raw: "",
            upstream_transport_failure_reason: "",
            downstream_local_address: None,
            downstream_remote_address: None,
            downstream_direct_remote_address: None,
            requested_server_name: "",
            route_name: "",
            virtual_host_name: "",
            filter_chain_name: "",
            downstream_peer_uri_san: "",
            downstream_local_uri_san: "",
            upstream_peer_uri_san: "",
            downstream_tls_version: "",
            downstream_tls_cipher: "",
            connection_id: 0,
            trace: None,
            local_reply_body: b"",
            metadata: &NoMetadata,
        }
    }
}
