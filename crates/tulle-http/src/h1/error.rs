//! What can be wrong with a message, and what follows from it.

/// A field line that is none (RFC 9112 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// No colon in the line.
    #[error("field line without colon")]
    NoColon,
    /// Empty name or one that holds other bytes than token characters.
    #[error("invalid character in a field name")]
    Name,
    /// White space between name and colon (RFC 9112 section 5.1).
    #[error("white space before the colon of a field line")]
    SpaceBeforeColon,
    /// A line that begins with white space (RFC 9112 section 5.2).
    #[error("folded field line")]
    Folded,
    /// A control character in a value.
    #[error("invalid character in a field value")]
    Value,
    /// CR without LF or LF without CR.
    #[error("line not ended by CR LF")]
    LineEnd,
    /// More lines than [`Limits::headers`](crate::Limits::headers).
    #[error("too many field lines")]
    TooMany,
}

/// Why a request head is refused. After each of these the framing of what follows is unknown or not to be trusted: the
/// connection is closed once the response ([`RequestError::status`]) is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// 400: not `method SP target SP version`.
    #[error("malformed request line")]
    RequestLine,
    /// 400: a method that is not registered, see [`Options::allow_custom_methods`](super::Options).
    #[error("unknown method")]
    Method,
    /// 400: a target in no form of RFC 9112 section 3.2, with a fragment, user information or bytes outside ASCII.
    #[error("invalid request target")]
    Target,
    /// 414
    #[error("request target too long")]
    TargetTooLong,
    /// 426: HTTP/1.0 (unless it is taken) or a version that is not HTTP/1.1.
    #[error("unsupported HTTP version")]
    Version,
    /// 431: over [`Limits::head_bytes`](crate::Limits::head_bytes).
    #[error("request head too large")]
    TooLarge,
    /// 400, or 431 for [`FieldError::TooMany`].
    #[error(transparent)]
    Field(#[from] FieldError),
    /// 400: HTTP/1.1 without `Host` (RFC 9112 section 3.2).
    #[error("no Host field")]
    NoHost,
    /// 400: more than one `Host` line.
    #[error("more than one Host field")]
    SeveralHosts,
    /// 400: a `Host` that is not host and optional port.
    #[error("invalid Host field")]
    Host,
    /// 400: `Content-Length` is not one decimal number.
    #[error("invalid Content-Length")]
    ContentLength,
    /// 400: lines of `Content-Length` with different values.
    #[error("conflicting Content-Length fields")]
    ContentLengthConflict,
    /// 400: both `Content-Length` and `Transfer-Encoding` (RFC 9112 section 6.1: request smuggling).
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    /// 501: any transfer coding but one `chunked`.
    #[error("unsupported Transfer-Encoding")]
    TransferEncoding,
    /// 400: `Transfer-Encoding` in HTTP/1.0.
    #[error("Transfer-Encoding in HTTP/1.0")]
    EncodingInHttp10,
}

impl RequestError {
    /// The status of the response that follows.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::RequestLine
            | Self::Method
            | Self::Target
            | Self::NoHost
            | Self::SeveralHosts
            | Self::Host
            | Self::ContentLength
            | Self::ContentLengthConflict
            | Self::LengthAndEncoding
            | Self::EncodingInHttp10 => 400,
            Self::Field(FieldError::TooMany) | Self::TooLarge => 431,
            Self::Field(_) => 400,
            Self::TargetTooLong => 414,
            Self::Version => 426,
            Self::TransferEncoding => 501,
        }
    }

    /// Envoy's response code details for access logs.
    #[must_use]
    pub fn details(&self) -> &'static str {
        match self {
            Self::TooLarge => "http1.headers_too_large",
            Self::Field(FieldError::TooMany) => "http1.too_many_headers",
            Self::Target => "http1.invalid_url",
            Self::TransferEncoding => "http1.invalid_transfer_encoding",
            Self::LengthAndEncoding => "http1.content_length_and_chunked_not_allowed",
            Self::Version => "low_version",
            Self::NoHost => "missing_host_header",
            _ => "http1.codec_error",
        }
    }
}

/// Why a response head from upstream is refused: the client gets 502 with the response flag `UPE`, and the upstream
/// connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Not `version SP status [SP reason]`, or not HTTP/1.0 or 1.1.
    #[error("malformed status line")]
    StatusLine,
    /// A status outside 100 to 599.
    #[error("invalid status code")]
    Status,
    /// Over [`Limits::head_bytes`](crate::Limits::head_bytes).
    #[error("response head too large")]
    TooLarge,
    /// A bad field line.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// `Content-Length` is not one decimal number.
    #[error("invalid Content-Length")]
    ContentLength,
    /// Lines of `Content-Length` with different values.
    #[error("conflicting Content-Length fields")]
    ContentLengthConflict,
    /// Both `Content-Length` and `Transfer-Encoding`.
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    /// Any transfer coding but one `chunked`, or one in HTTP/1.0.
    #[error("unsupported Transfer-Encoding")]
    TransferEncoding,
    /// 101 without a request to upgrade.
    #[error("switched protocols without being asked")]
    UnwantedUpgrade,
}

/// Why a body cannot be read on. A request that has no response yet gets 400; in all cases the connection is closed, and
/// the other side is reset, so that a cut message never looks complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// A chunk size that is no hexadecimal number, or over [`BodyDecoder::MAX_CHUNK`](super::BodyDecoder::MAX_CHUNK).
    #[error("invalid chunk size")]
    ChunkSize,
    /// A chunk extension with control characters, or too many bytes of extensions.
    #[error("invalid chunk extension")]
    ChunkExtension,
    /// Chunk data not followed by CR LF.
    #[error("chunk not ended by CR LF")]
    ChunkEnd,
    /// A bad trailer field.
    #[error("trailer: {0}")]
    Trailer(#[from] FieldError),
    /// Trailers over [`Limits::head_bytes`](crate::Limits::head_bytes).
    #[error("trailers too large")]
    TrailersTooLarge,
    /// The connection ended before the message did.
    #[error("connection closed in the middle of a body")]
    Truncated,
}

/// The body given does not fit the length announced; the message cannot be completed and the connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// More bytes than announced.
    #[error("body longer than its Content-Length")]
    TooLong,
    /// Fewer bytes than announced.
    #[error("body shorter than its Content-Length")]
    TooShort,
}
