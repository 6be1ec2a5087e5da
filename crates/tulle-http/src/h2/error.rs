//! Error codes, and who is at fault.

use std::fmt;

/// An error code of RFC 9113 section 7, or any other number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

#[allow(missing_docs, reason = "the names of RFC 9113 section 7")]
impl ErrorCode {
    pub const NO_ERROR: Self = Self(0x0);
    pub const PROTOCOL_ERROR: Self = Self(0x1);
    pub const INTERNAL_ERROR: Self = Self(0x2);
    pub const FLOW_CONTROL_ERROR: Self = Self(0x3);
    pub const SETTINGS_TIMEOUT: Self = Self(0x4);
    pub const STREAM_CLOSED: Self = Self(0x5);
    pub const FRAME_SIZE_ERROR: Self = Self(0x6);
    pub const REFUSED_STREAM: Self = Self(0x7);
    pub const CANCEL: Self = Self(0x8);
    pub const COMPRESSION_ERROR: Self = Self(0x9);
    pub const CONNECT_ERROR: Self = Self(0xa);
    pub const ENHANCE_YOUR_CALM: Self = Self(0xb);
    pub const INADEQUATE_SECURITY: Self = Self(0xc);
    pub const HTTP_1_1_REQUIRED: Self = Self(0xd);

    /// The name of the RFC; `UNKNOWN` for other numbers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        const NAMES: [&str; 14] = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
        ];
        NAMES.get(self.0 as usize).copied().unwrap_or("UNKNOWN")
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The peer broke the connection: GOAWAY is in the output; write it and close. Open streams are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {what}")]
pub struct ConnError {
    /// Sent in GOAWAY.
    pub code: ErrorCode,
    /// What the peer did.
    pub what: &'static str,
}

impl ConnError {
    pub(super) const fn new(code: ErrorCode, what: &'static str) -> Self {
        Self { code, what }
    }

    pub(super) const fn protocol(what: &'static str) -> Self {
        Self::new(ErrorCode::PROTOCOL_ERROR, what)
    }
}

/// Why something was not sent. Nothing is in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The stream is unknown, reset or already ended on our side.
    #[error("stream is closed")]
    Closed,
    /// The peer's limit on concurrent streams is reached: use another connection, or wait.
    #[error("as many streams as the peer allows are open")]
    TooManyStreams,
    /// GOAWAY was sent or received, the connection has failed, or stream numbers ran out: use another connection.
    #[error("connection takes no new streams")]
    GoingAway,
    /// A second head, or a body before the head.
    #[error("out of order")]
    Order,
}

/// Why a head is malformed (RFC 9113 section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// A pseudo-header field that is unknown, repeated, behind others or out of place.
    #[error("invalid pseudo-header field")]
    Pseudo,
    /// `:method`, `:scheme`, `:path`, `:authority` or `:status` is missing.
    #[error("missing pseudo-header field")]
    MissingPseudo,
    /// `:method` is no method.
    #[error("invalid :method")]
    Method,
    /// `:scheme` is neither `http` nor `https`.
    #[error("invalid :scheme")]
    Scheme,
    /// `:path` is no path.
    #[error("invalid :path")]
    Path,
    /// `:authority` or `Host` is no host and port, or they differ.
    #[error("invalid :authority")]
    Authority,
    /// `:status` is not 100 to 599, or 101.
    #[error("invalid :status")]
    Status,
    /// A name with upper case or bytes that are no token.
    #[error("invalid field name")]
    Name,
    /// A value with control characters or surrounding white space.
    #[error("invalid field value")]
    Value,
    /// `Connection` and its like, or `TE` other than `trailers`.
    #[error("connection-specific field")]
    ConnectionSpecific,
    /// `Content-Length` is no number, or is not the length of the body.
    #[error("content-length does not match")]
    ContentLength,
    /// Trailers that do not end the stream, or a body where there can be none.
    #[error("message out of order")]
    Order,
}

/// Why a request was answered by the codec and never became an [`Event::Request`](super::Event::Request).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Reset with PROTOCOL_ERROR (RFC 9113 section 8.1.1).
    Malformed(HeadError),
    /// Answered with status 431: over [`Limits`](crate::Limits).
    TooLarge,
    /// Reset with REFUSED_STREAM: over [`Config::max_concurrent_streams`](super::Config::max_concurrent_streams).
    TooMany,
}
