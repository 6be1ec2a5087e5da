//! What can go wrong at the edge: each event with its counter, its access log words and the status that answers it.
//!
//! Code that meets one of these says *what happened*; the name of the counter, the flag, the details and the status follow from here.

use crate::flags::{ResponseFlag, ResponseFlags};
use crate::metrics::proxy::{HttpStats, ListenerStats};

/// Something that a client did wrong, or that we refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DownstreamEvent {
    /// Bytes that are no HTTP.
    MalformedRequest,
    /// A head larger than allowed.
    HeadersTooLarge,
    /// A head that took too long.
    SlowHeaders,
    /// A whole request that took too long.
    SlowRequest,
    /// An HTTP version that is not served.
    VersionNotServed,
    /// HTTP/1.1 without exactly one valid host.
    BadHost,
    /// A path that cannot be normalised.
    BadPath,
    /// A TLS handshake that failed.
    TlsHandshakeFailed,
    /// A TLS handshake that took too long.
    TlsHandshakeTimeout,
    /// A load balancer's word on whose connection it is (PROXY protocol) that is broken or missing.
    ProxyProtocol,
    /// No filter chain for the connection.
    NoFilterChain,
    /// More connections than allowed.
    TooManyConnections,
    /// A flood of frames that make work and carry nothing (resets, pings, settings, empty data).
    FrameFlood,
}

impl DownstreamEvent {
    /// The word for it in logs and stats.
    pub fn name(self) -> &'static str {
        match self {
            Self::MalformedRequest => "malformed_request",
            Self::HeadersTooLarge => "headers_too_large",
            Self::SlowHeaders => "slow_headers",
            Self::SlowRequest => "slow_request",
            Self::VersionNotServed => "version_not_served",
            Self::BadHost => "bad_host",
            Self::BadPath => "bad_path",
            Self::TlsHandshakeFailed => "tls_handshake_failed",
            Self::TlsHandshakeTimeout => "tls_handshake_timeout",
            Self::ProxyProtocol => "proxy_protocol",
            Self::NoFilterChain => "no_filter_chain",
            Self::TooManyConnections => "too_many_connections",
            Self::FrameFlood => "frame_flood",
        }
    }

    /// The status that answers it; `None` where the connection is closed without an answer.
    pub fn status(self) -> Option<u16> {
        match self {
            Self::MalformedRequest | Self::BadHost | Self::BadPath => Some(400),
            Self::HeadersTooLarge => Some(431),
            Self::SlowHeaders | Self::SlowRequest => Some(408),
            Self::VersionNotServed => Some(426),
            Self::TlsHandshakeFailed
            | Self::TlsHandshakeTimeout
            | Self::ProxyProtocol
            | Self::NoFilterChain
            | Self::TooManyConnections
            | Self::FrameFlood => None,
        }
    }

    /// The response flags of its access log line.
    pub fn flags(self) -> ResponseFlags {
        match self {
            Self::MalformedRequest
            | Self::HeadersTooLarge
            | Self::VersionNotServed
            | Self::BadHost
            | Self::BadPath
            | Self::FrameFlood => ResponseFlag::DownstreamProtocolError.into(),
            Self::NoFilterChain => ResponseFlag::NoRouteFound.into(),
            Self::TooManyConnections => ResponseFlag::OverloadManager.into(),
            Self::SlowHeaders
            | Self::SlowRequest
            | Self::TlsHandshakeFailed
            | Self::TlsHandshakeTimeout
            | Self::ProxyProtocol => ResponseFlags::NONE,
        }
    }

    /// The response code details of its access log line; for connections, the termination details.
    pub fn details(self) -> &'static str {
        use crate::details as d;
        match self {
            Self::MalformedRequest => "http1.codec_error",
            Self::HeadersTooLarge => d::REQUEST_HEADERS_TOO_LARGE,
            Self::SlowHeaders => d::REQUEST_HEADER_TIMEOUT,
            Self::SlowRequest => d::REQUEST_TIMEOUT,
            Self::VersionNotServed => d::LOW_VERSION,
            Self::BadHost => d::MISSING_HOST,
            Self::BadPath => d::PATH_NORMALIZATION_FAILED,
            Self::TlsHandshakeFailed => "tls_handshake_failed",
            Self::TlsHandshakeTimeout => "transport_socket_connect_timeout",
            Self::ProxyProtocol => "proxy_protocol_error",
            Self::NoFilterChain => "filter_chain_not_found",
            Self::TooManyConnections => "downstream_cx_overflow",
            Self::FrameFlood => "http2.frame_flood",
        }
    }

    /// Counts it in the statistics of the connection manager.
    pub fn count_http(self, stats: &HttpStats) {
        match self {
            Self::MalformedRequest | Self::VersionNotServed | Self::BadHost | Self::BadPath => {
                stats.downstream_cx_protocol_error.inc();
            }
            Self::HeadersTooLarge => {
                stats.downstream_rq_too_large.inc();
                stats.downstream_cx_protocol_error.inc();
            }
            Self::SlowHeaders => stats.downstream_rq_header_timeout.inc(),
            Self::SlowRequest => stats.downstream_rq_timeout.inc(),
            Self::FrameFlood => stats.downstream_cx_flood.inc(),
            Self::TlsHandshakeFailed
            | Self::TlsHandshakeTimeout
            | Self::ProxyProtocol
            | Self::NoFilterChain
            | Self::TooManyConnections => {}
        }
    }

    /// Counts it in the statistics of the listener.
    pub fn count_listener(self, stats: &ListenerStats) {
        match self {
            Self::TlsHandshakeFailed => stats.ssl_connection_error.inc(),
            Self::TlsHandshakeTimeout => stats.downstream_cx_transport_socket_connect_timeout.inc(),
            Self::ProxyProtocol => stats.downstream_cx_proxy_proto_error.inc(),
            Self::NoFilterChain => stats.no_filter_chain_match.inc(),
            Self::TooManyConnections => stats.downstream_cx_overflow.inc(),
            _ => {}
        }
    }
}
