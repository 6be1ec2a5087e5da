//! Response heads (RFC 9112 sections 4 and 6).

use super::Options;
use super::error::ResponseError;
use super::fields::{self, From, Seen};
use super::framing::{BodyLength, Declared, FramingError, declared, has_no_body};
use super::request::connection;
use crate::{Known, Method, ResponseHead, Version};

/// What must be known of the request to understand its response.
#[derive(Clone, Copy, Debug)]
pub struct RequestSent<'a> {
    /// The method: HEAD has no response body, CONNECT turns the connection into a tunnel.
    pub method: &'a Method,
    /// The request asked to upgrade; otherwise 101 is an error.
    pub upgrade: bool,
}

/// A complete response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseParsed {
    /// Bytes of input that the head took.
    pub len: usize,
    /// How the body is framed. [`BodyLength::None`] with an informational status: another head follows.
    pub body: BodyLength,
    /// The connection may carry another request after this response.
    pub keep_alive: bool,
    /// From here on the connection is a tunnel: 101, or 2xx to CONNECT.
    pub tunnel: bool,
}

/// Reads a response head from the front of `input` into `head`, which is cleared first. `None`: more bytes are needed;
/// call again with everything so far.
///
/// # Errors
/// [`ResponseError`]; the client gets 502, and the upstream connection is closed.
pub fn parse_response(
    input: &[u8],
    options: &Options,
    request: RequestSent<'_>,
    head: &mut ResponseHead,
) -> Result<Option<ResponseParsed>, ResponseError> {
    head.clear();
    let Some(end) = fields::find_end(input) else {
        check_partial(input, options)?;
        return Ok(None);
    };
    if end > options.limits.head_bytes {
        return Err(ResponseError::TooLarge);
    }
    let line_end = memchr::memchr(b'\r', input).unwrap_or(end - 2);
    if input.get(line_end + 1) != Some(&b'\n') {
        return Err(ResponseError::StatusLine);
    }
    status_line(&input[..line_end], head)?;
    let block = &input[line_end + 2..end - 2];
    let seen = fields::parse(block, &mut head.headers, options.limits.headers, From::Server)?;
    if head.status == 101 && !request.upgrade {
        return Err(ResponseError::UnwantedUpgrade);
    }
    let tunnel =
        head.status == 101 || (*request.method == Method::Connect && (200..300).contains(&head.status));
    let (body, clean) = body_length(head, seen, request.method, tunnel)?;
    let keep_alive = clean
        && !tunnel
        && body != BodyLength::UntilClose
        && connection(&head.headers, seen, head.version).keep_alive;
    Ok(Some(ResponseParsed { len: end, body, keep_alive, tunnel }))
}

fn check_partial(text: &[u8], options: &Options) -> Result<(), ResponseError> {
    const START: &[u8] = b"HTTP/1.";
    let common = text.len().min(START.len());
    if text[..common] != START[..common] {
        return Err(ResponseError::StatusLine);
    }
    if text.len() >= options.limits.head_bytes {
        return Err(ResponseError::TooLarge);
    }
    fields::check_line_ends(text)?;
    Ok(())
}

fn status_line(line: &[u8], head: &mut ResponseHead) -> Result<(), ResponseError> {
    let (version, rest) = match line {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b' ', rest @ ..] => (Version::Http11, rest),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', b' ', rest @ ..] => (Version::Http10, rest),
        _ => return Err(ResponseError::StatusLine),
    };
    let ([a, b, c] | [a, b, c, b' ', ..]) = rest else { return Err(ResponseError::StatusLine) };
    if !(a.is_ascii_digit() && b.is_ascii_digit() && c.is_ascii_digit()) {
        return Err(ResponseError::StatusLine);
    }
    if !crate::headers::is_value(&rest[3..]) {
        return Err(ResponseError::StatusLine);
    }
    head.version = version;
    head.status = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
    if (100..600).contains(&head.status) { Ok(()) } else { Err(ResponseError::Status) }
}

/// The body's framing, and whether the head was free of fields that contradict it.
fn body_length(
    head: &mut ResponseHead,
    seen: Seen,
    method: &Method,
    tunnel: bool,
) -> Result<(BodyLength, bool), ResponseError> {
    if tunnel {
        // Framing fields mean nothing in a tunnel and are ignored, whatever they say (RFC 9110 section 9.3.6).
        head.headers.remove(Known::ContentLength);
        head.headers.remove(Known::TransferEncoding);
        return Ok((BodyLength::UntilClose, true));
    }
    let says = match declared(&mut head.headers, seen) {
        Ok(Declared::Chunked) if head.version == Version::Http10 => {
            return Err(ResponseError::TransferEncoding);
        }
        Ok(says) => says,
        Err(FramingError::ContentLength) => return Err(ResponseError::ContentLength),
        Err(FramingError::Conflict) => return Err(ResponseError::ContentLengthConflict),
        Err(FramingError::Both) => return Err(ResponseError::LengthAndEncoding),
        Err(FramingError::Encoding) => return Err(ResponseError::TransferEncoding),
    };
    if *method == Method::Head || head.status == 304 {
        return Ok((BodyLength::None, true));
    }
    if has_no_body(head.status) {
        // A server that announces a body here may send one: do not wait for it, do not use the connection again.
        let clean = matches!(says, Declared::Nothing | Declared::Length(0));
        head.headers.remove(Known::ContentLength);
        head.headers.remove(Known::TransferEncoding);
        return Ok((BodyLength::None, clean || head.is_informational()));
    }
    Ok(match says {
        Declared::Nothing => (BodyLength::UntilClose, true),
        Declared::Length(length) => (BodyLength::Length(length), true),
        Declared::Chunked => (BodyLength::Chunked, true),
    })
}
