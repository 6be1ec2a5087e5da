//! Responses that the proxy makes itself.

use std::{borrow::Cow, sync::Arc};

use tulle_http::{Known, ResponseHead};
use tulle_telemetry::{ResponseFlag, details as d};

use super::attempt::UpstreamFault;

/// A response of our own.
#[derive(Debug)]
pub(crate) struct Reply {
    /// HTTP status.
    pub(crate) status: u16,
    /// The body; the message for gRPC clients.
    pub(crate) body: Body,
    /// gRPC status for gRPC clients; `None` translates the HTTP status.
    pub(crate) grpc: Option<u32>,
    /// Response flag.
    pub(crate) flag: Option<ResponseFlag>,
    /// Response code details.
    pub(crate) details: Cow<'static, str>,
    /// Fields beside content type and length.
    pub(crate) headers: Option<Box<ResponseHead>>,
    /// Whether the connection cannot be used any more.
    pub(crate) close: bool,
}

/// A body that is at hand.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// Text of ours.
    Text(Cow<'static, str>),
    /// Configured bytes.
    Bytes(Arc<[u8]>),
}

impl Body {
    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl Reply {
    /// A response with a text.
    pub(crate) fn new(
        status: u16,
        body: impl Into<Cow<'static, str>>,
        details: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            body: Body::Text(body.into()),
            grpc: None,
            flag: None,
            details: details.into(),
            headers: None,
            close: false,
        }
    }

    /// The same with a response flag.
    #[must_use]
    pub(crate) fn flag(mut self, flag: ResponseFlag) -> Self {
        self.flag = Some(flag);
        self
    }

    /// The same, closing the connection.
    #[must_use]
    pub(crate) fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// No route.
    pub(crate) fn no_route() -> Self {
        Self::new(404, "", d::ROUTE_NOT_FOUND).flag(ResponseFlag::NoRouteFound)
    }

    /// The route's cluster does not exist.
    pub(crate) fn no_cluster(status: u16) -> Self {
        Self::new(status, "", d::CLUSTER_NOT_FOUND).flag(ResponseFlag::NoClusterFound)
    }

    /// No endpoint.
    pub(crate) fn no_host() -> Self {
        Self::new(503, "no healthy upstream", d::NO_HEALTHY_UPSTREAM).flag(ResponseFlag::NoHealthyUpstream)
    }

    /// Authorization refuses.
    pub(crate) fn denied(policy: Option<&str>) -> Self {
        let mut reply = Self::new(403, "RBAC: access denied", d::rbac_denied(policy));
        reply.grpc = Some(7);
        reply
    }

    /// The upstream has had its time. `quiet`: the client would rather hear nothing than of an error.
    pub(crate) fn too_slow(quiet: bool, details: &'static str) -> Self {
        let (status, body) = if quiet { (204, "") } else { (504, "upstream request timeout") };
        Self::new(status, body, details).flag(ResponseFlag::UpstreamRequestTimeout)
    }

    /// The stream has lived as long as it may; a deadline in gRPC's words.
    pub(crate) fn life_over() -> Self {
        let mut reply = Self::new(504, "downstream duration timeout", d::MAX_DURATION_TIMEOUT);
        reply.grpc = Some(4);
        reply
    }

    /// The upstream failed before it answered. `retried`: there was more than one try. `reason` is the transport's own
    /// ([`ConnectFault::reason`](crate::cluster::connecting::ConnectFault::reason)).
    pub(crate) fn upstream(fault: UpstreamFault, retried: bool, reason: &str) -> Self {
        let (status, flag, words, details) = match fault {
            UpstreamFault::Connect => (
                503,
                ResponseFlag::UpstreamConnectionFailure,
                "remote connection failure",
                "remote_connection_failure",
            ),
            UpstreamFault::Source => (
                503,
                ResponseFlag::UpstreamConnectionFailure,
                "local connection failure",
                "local_connection_failure",
            ),
            UpstreamFault::ConnectTimeout => {
                (503, ResponseFlag::UpstreamConnectionFailure, "connection timeout", "connection_timeout")
            }
            UpstreamFault::Closed => (
                503,
                ResponseFlag::UpstreamConnectionTermination,
                "connection termination",
                "connection_termination",
            ),
            UpstreamFault::Reset => (503, ResponseFlag::UpstreamRemoteReset, "remote reset", "remote_reset"),
            UpstreamFault::Refused | UpstreamFault::GoneAway => (
                503,
                ResponseFlag::UpstreamRemoteReset,
                "remote refused stream reset",
                "remote_refused_stream_reset",
            ),
            UpstreamFault::Malformed => {
                (502, ResponseFlag::UpstreamProtocolError, "protocol error", "protocol_error")
            }
            UpstreamFault::Overflow => (503, ResponseFlag::UpstreamOverflow, "overflow", "overflow"),
        };
        let lead = if retried { "retried and the latest reset reason" } else { "reset reason" };
        let body = format!("upstream connect error or disconnect/reset before headers. {lead}: {words}");
        let mut details = format!("upstream_reset_before_response_started{{{details}");
        if !reason.is_empty() {
            details.push('|');
            details.push_str(&reason.replace(char::is_whitespace, "_"));
        }
        details.push('}');
        let mut reply = Self::new(status, body, details).flag(flag);
        if fault == UpstreamFault::Overflow {
            let mut extra = ResponseHead::new(status);
            extra.headers.set("x-envoy-overloaded", b"true");
            reply.headers = Some(Box::new(extra));
        }
        reply
    }

    /// Writes it into `head`, and says what the body is: nothing for gRPC clients, who get the message as a field (unless their
    /// request is a HEAD).
    pub(crate) fn fill(&self, head: &mut ResponseHead, grpc_client: bool, is_head: bool) -> &[u8] {
        head.clear();
        if let Some(extra) = &self.headers {
            head.headers.extend(&extra.headers);
        }
        let body = self.body.bytes();
        if grpc_client {
            head.status = 200;
            head.headers.set(Known::ContentType, b"application/grpc");
            if !head.headers.contains(Known::GrpcStatus) {
                let status = self.grpc.unwrap_or_else(|| grpc_status_of(self.status).into());
                head.headers.set(Known::GrpcStatus, itoa(status).as_bytes());
            }
            if !body.is_empty() && !is_head {
                head.headers.set(Known::GrpcMessage, percent_encoded(body).as_bytes());
            }
            return &[];
        }
        head.status = self.status;
        if !body.is_empty() && !head.headers.contains(Known::ContentType) {
            head.headers.append(Known::ContentType, b"text/plain");
        }
        body
    }
}

fn itoa(number: u32) -> String {
    number.to_string()
}

/// The gRPC status that stands for an HTTP status (gRPC's "HTTP to gRPC Status Code Mapping", as Envoy applies it).
pub(crate) fn grpc_status_of(status: u16) -> u8 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// `grpc-message` as it travels: everything outside printable ASCII, and `%`, percent-encoded.
pub(crate) fn percent_encoded(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text {
        if (0x20..0x7f).contains(&byte) && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_failures() {
        let reply =
            Reply::upstream(UpstreamFault::Connect, false, "delayed_connect_error:_Connection_refused");
        assert_eq!(
            String::from_utf8_lossy(reply.body.bytes()),
            "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
        );
        assert_eq!(
            reply.details,
            "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"
        );
    }

    #[test]
    fn grpc_clients_get_status_and_message_as_fields() {
        let mut head = ResponseHead::default();
        let reply = Reply::denied(None);
        assert!(reply.fill(&mut head, true, false).is_empty());
        assert_eq!(head.status, 200);
        assert_eq!(head.headers.get(Known::GrpcStatus), Some(&b"7"[..]));
        assert_eq!(head.headers.get(Known::GrpcMessage), Some(&b"RBAC: access denied"[..]));
        assert_eq!(reply.fill(&mut head, false, false), b"RBAC: access denied");
        assert_eq!(head.status, 403);
    }
}
