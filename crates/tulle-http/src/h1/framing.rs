//! How long a body is (RFC 9112 section 6).

use super::fields::Seen;
use crate::{HeaderList, Known, Method, Version};

/// How the end of a message's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// No body, whatever the fields say.
    None,
    /// As many bytes as `Content-Length` says.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Until the connection ends: responses only, tunnels included.
    UntilClose,
}

impl BodyLength {
    /// No byte of body will come.
    #[must_use]
    pub fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// The framing to use towards an HTTP/1 client for a response whose body length is `known` (`None`: not known in
/// advance). `UntilClose` means that the connection must be closed after it ([`super::Persistence::Close`]).
#[must_use]
pub fn response_length(method: &Method, client: Version, status: u16, known: Option<u64>) -> BodyLength {
    if *method == Method::Head || has_no_body(status) {
        BodyLength::None
    } else if *method == Method::Connect && (200..300).contains(&status) {
        BodyLength::UntilClose
    } else {
        match known {
            Some(length) => BodyLength::Length(length),
            None if client == Version::Http10 => BodyLength::UntilClose,
            None => BodyLength::Chunked,
        }
    }
}

/// 1xx, 204 and 304 never have a body.
pub(super) fn has_no_body(status: u16) -> bool {
    (100..200).contains(&status) || status == 204 || status == 304
}

/// What the fields say about framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    Nothing,
    Length(u64),
    Chunked,
}

/// Problems common to requests and responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FramingError {
    ContentLength,
    Conflict,
    Both,
    Encoding,
}

/// Reads `Content-Length` and `Transfer-Encoding`. Equal `Content-Length` lines are made one.
pub(super) fn declared(headers: &mut HeaderList, seen: Seen) -> Result<Declared, FramingError> {
    if !seen.has(Known::ContentLength) && !seen.has(Known::TransferEncoding) {
        return Ok(Declared::Nothing);
    }
    let mut length = None;
    let mut lengths = 0;
    for value in headers.get_all(Known::ContentLength) {
        let value = decimal(value).ok_or(FramingError::ContentLength)?;
        if length.is_some_and(|before| before != value) {
            return Err(FramingError::Conflict);
        }
        length = Some(value);
        lengths += 1;
    }
    let mut codings = headers.get_all(Known::TransferEncoding);
    let coding = codings.next();
    let several = codings.next().is_some();
    drop(codings);
    match (length, coding) {
        (Some(_), Some(_)) => Err(FramingError::Both),
        (None, Some(coding)) if several || !coding.eq_ignore_ascii_case(b"chunked") => {
            Err(FramingError::Encoding)
        }
        (None, Some(_)) => Ok(Declared::Chunked),
        (None, None) => Ok(Declared::Nothing),
        (Some(length), None) => {
            if lengths > 1 {
                headers.set(Known::ContentLength, length.to_string().as_bytes());
            }
            Ok(Declared::Length(length))
        }
    }
}

/// A decimal number of 1 to 19 digits and nothing else.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    let mut number = 0u64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"9999999999999999999"), Some(9_999_999_999_999_999_999));
        for bad in [&b""[..], b"+1", b"-1", b" 1", b"1 ", b"0x1", b"1,1", b"10000000000000000000"] {
            assert_eq!(decimal(bad), None);
        }
    }

    #[test]
    fn responses_to_clients() {
        use BodyLength as L;
        let cases = [
            (Method::Get, Version::Http11, 200, None, L::Chunked),
            (Method::Get, Version::Http11, 200, Some(5), L::Length(5)),
            (Method::Get, Version::Http10, 200, None, L::UntilClose),
            (Method::Head, Version::Http11, 200, Some(5), L::None),
            (Method::Get, Version::Http11, 304, Some(5), L::None),
            (Method::Get, Version::Http11, 204, None, L::None),
            (Method::Connect, Version::Http11, 200, None, L::UntilClose),
        ];
        for (method, version, status, known, expected) in cases {
            assert_eq!(response_length(&method, version, status, known), expected, "{method} {status}");
        }
    }
}
