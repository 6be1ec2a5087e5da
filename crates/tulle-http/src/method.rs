//! Request methods (RFC 9110 section 9).

use std::fmt;

/// A request method: one of RFC 9110 and RFC 5789, or any other token of up to [`ExtensionMethod::MAX`] bytes.
///
/// Methods are case-sensitive: `get` is an extension method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants are the methods of RFC 9110")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other token.
    Extension(ExtensionMethod),
}

impl Method {
    /// The method written `text`; `None` when it is no token (RFC 9110 section 5.6.2) or longer than
    /// [`ExtensionMethod::MAX`].
    #[must_use]
    pub fn from_bytes(text: &[u8]) -> Option<Self> {
        Some(match text {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Extension(ExtensionMethod::new(text)?),
        })
    }

    /// As written on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Extension(text) => text.as_str(),
        }
    }

    /// Safe by definition (RFC 9110 section 9.2.1): GET, HEAD, OPTIONS, TRACE.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }

    /// Idempotent by definition (RFC 9110 section 9.2.2): the safe ones, PUT and DELETE.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.is_safe() || matches!(self, Self::Put | Self::Delete)
    }

    /// An extension method found in the IANA registry or in wide use: the set that Envoy's HTTP/1 parser accepts
    /// unless `allow_custom_methods` is set. `true` for all methods that are no extension.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        const REGISTERED: [&str; 26] = [
            "ACL",
            "BIND",
            "CHECKOUT",
            "COPY",
            "LINK",
            "LOCK",
            "M-SEARCH",
            "MERGE",
            "MKACTIVITY",
            "MKCALENDAR",
            "MKCOL",
            "MOVE",
            "NOTIFY",
            "PROPFIND",
            "PROPPATCH",
            "PURGE",
            "QUERY",
            "REBIND",
            "REPORT",
            "SEARCH",
            "SOURCE",
            "SUBSCRIBE",
            "UNBIND",
            "UNLINK",
            "UNLOCK",
            "UNSUBSCRIBE",
        ];
        match self {
            Self::Extension(text) => REGISTERED.contains(&text.as_str()),
            _ => true,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a method that has no variant of its own, held inline.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExtensionMethod {
    text: [u8; Self::MAX],
    len: u8,
}

impl ExtensionMethod {
    /// Longest extension method in bytes.
    pub const MAX: usize = 23;

    fn new(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > Self::MAX || !crate::headers::is_token(text) {
            return None;
        }
        let mut held = [0; Self::MAX];
        held[..text.len()].copy_from_slice(text);
        Some(Self { text: held, len: text.len() as u8 })
    }

    /// The method's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Debug for ExtensionMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_extension_methods_round_trip() {
        for text in
            ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PURGE", "get"]
        {
            assert_eq!(
                Method::from_bytes(text.as_bytes()).map(|m| m.as_str().to_owned()).as_deref(),
                Some(text)
            );
        }
        assert!(matches!(Method::from_bytes(b"get"), Some(Method::Extension(_))));
    }

    #[test]
    fn what_is_no_short_token_is_no_method() {
        for text in [&b""[..], b"GE T", b"G\x80T", b"AAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(Method::from_bytes(text), None);
        }
    }

    #[test]
    fn registered_methods_are_those_envoy_takes() {
        assert!(Method::from_bytes(b"PROPFIND").is_some_and(|m| m.is_registered()));
        assert!(!Method::from_bytes(b"BREW").is_some_and(|m| m.is_registered()));
    }
}
