//! The heads of requests and responses, the same whatever version of HTTP carried them.

use crate::{HeaderList, Method, uri};

/// The version of HTTP that carried a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// As access logs write it: `HTTP/1.0`, `HTTP/1.1`, `HTTP/2`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// The scheme of a request: other schemes than these two are refused by the codecs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`
    #[default]
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that the scheme stands for: 80 or 443.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// The scheme written `text`, in any case.
    #[must_use]
    pub fn from_bytes(text: &[u8]) -> Option<Self> {
        if text.eq_ignore_ascii_case(b"http") {
            Some(Self::Http)
        } else if text.eq_ignore_ascii_case(b"https") {
            Some(Self::Https)
        } else {
            None
        }
    }
}

/// The head of a request, made to be used again for the next one ([`RequestHead::clear`]).
///
/// The `Host` field is not among `headers`: it is `authority`, as in HTTP/2, and is written from there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// `:scheme`, the scheme of an absolute-form target, or else `http` on HTTP/1; whoever terminates TLS sets `https`.
    pub scheme: Scheme,
    /// `Host` or `:authority`: host and optional port, no user information, as it came (case kept). Empty only in
    /// HTTP/1.0 requests without `Host`.
    pub authority: String,
    /// Path and query, starting with `/`; `*` for `OPTIONS *`; empty for CONNECT without `:protocol`. ASCII only.
    pub path: String,
    /// Every other field.
    pub headers: HeaderList,
    /// What carried it.
    pub version: Version,
    /// `:protocol` of an extended CONNECT (RFC 8441), such as `websocket`; empty otherwise.
    pub protocol: String,
}

impl RequestHead {
    /// Makes the head empty (GET, `http`, HTTP/1.1, no fields) and keeps its memory.
    pub fn clear(&mut self) {
        let Self { method, scheme, authority, path, headers, version, protocol } = self;
        *method = Method::Get;
        *scheme = Scheme::Http;
        authority.clear();
        path.clear();
        headers.clear();
        *version = Version::Http11;
        protocol.clear();
    }

    /// CONNECT in its plain form, which asks for a tunnel to the authority (RFC 9110 section 9.3.6); not the extended one
    /// of RFC 8441.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.method == Method::Connect && self.protocol.is_empty()
    }

    /// The path without query.
    #[must_use]
    pub fn path_only(&self) -> &str {
        match memchr::memchr(b'?', self.path.as_bytes()) {
            Some(at) => &self.path[..at],
            None => &self.path,
        }
    }

    /// The query without its question mark; `None` when there is no question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        memchr::memchr(b'?', self.path.as_bytes()).map(|at| &self.path[at + 1..])
    }

    /// The authority's host without port; IPv6 literals keep their brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        uri::split_port(&self.authority).0
    }

    /// The authority's port, if it names one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        uri::split_port(&self.authority).1
    }
}

/// The head of a response, made to be used again for the next one ([`ResponseHead::clear`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Status code, 100 to 599. Reason phrases are not kept; [`reason_phrase`] is written instead.
    pub status: u16,
    /// All fields.
    pub headers: HeaderList,
    /// What carried it.
    pub version: Version,
}

impl Default for ResponseHead {
    fn default() -> Self {
        Self { status: 200, headers: HeaderList::default(), version: Version::default() }
    }
}

impl ResponseHead {
    /// A response without fields.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Makes the head empty (200, HTTP/1.1, no fields) and keeps its memory.
    pub fn clear(&mut self) {
        let Self { status, headers, version } = self;
        *status = 200;
        headers.clear();
        *version = Version::Http11;
    }

    /// 1xx: another head follows, except after 101 (RFC 9110 section 15.2).
    #[must_use]
    pub fn is_informational(&self) -> bool {
        (100..200).contains(&self.status)
    }
}

/// The reason phrase of a status code (RFC 9110 section 15 and the IANA registry); `Unknown` for other codes.
#[must_use]
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Entity",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_authority_split() {
        let mut head =
            RequestHead { path: "/a/b?c=d?e".into(), authority: "[::1]:8080".into(), ..Default::default() };
        assert_eq!((head.path_only(), head.query()), ("/a/b", Some("c=d?e")));
        assert_eq!((head.host(), head.port()), ("[::1]", Some(8080)));
        head.path = "/".into();
        head.authority = "reviews".into();
        assert_eq!((head.path_only(), head.query(), head.host(), head.port()), ("/", None, "reviews", None));
    }

    #[test]
    fn clear_keeps_memory() {
        let mut head = RequestHead { path: "/some/path".into(), ..Default::default() };
        head.headers.append("a", b"b");
        let capacity = head.path.capacity();
        head.clear();
        assert_eq!(head, RequestHead::default());
        assert_eq!(head.path.capacity(), capacity);
    }
}
