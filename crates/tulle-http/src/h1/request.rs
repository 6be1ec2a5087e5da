//! Request heads (RFC 9112 sections 2 to 6).

use super::Options;
use super::error::RequestError;
use super::fields::{self, From, Seen};
use super::framing::{BodyLength, Declared, FramingError, declared};
use crate::{HeaderList, Known, Method, RequestHead, Scheme, Version, uri};

/// A complete request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestParsed {
    /// Bytes of input that the head took.
    pub len: usize,
    /// How the body is framed; never [`BodyLength::UntilClose`].
    pub body: BodyLength,
    /// The client lets the connection live on after the response (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// `Connection: upgrade` with an `Upgrade` field. The client goes on in HTTP/1.1 unless it gets 101.
    pub upgrade: bool,
    /// The client waits for 100 before it sends the body (RFC 9110 section 10.1.1).
    pub expect_continue: bool,
}

/// Most empty lines before a request line; some clients send one behind a body.
const MAX_EMPTY_LINES: usize = 8;

/// Reads a request head from the front of `input` into `head`, which is cleared first. `None`: more bytes are needed;
/// call again with everything so far.
///
/// A few empty lines before the request line are skipped (RFC 9112 section 2.2). `Host` moves from the fields to
/// [`RequestHead::authority`]; a target in absolute form wins over it (RFC 9112 section 3.2.2).
///
/// # Errors
/// [`RequestError`]; respond with its status, then close.
pub fn parse_request(
    input: &[u8],
    options: &Options,
    head: &mut RequestHead,
) -> Result<Option<RequestParsed>, RequestError> {
    head.clear();
    let skipped = empty_lines(input);
    if skipped > 2 * MAX_EMPTY_LINES {
        return Err(RequestError::RequestLine);
    }
    let text = &input[skipped..];
    let Some(end) = fields::find_end(text) else {
        check_partial(text, options)?;
        return Ok(None);
    };
    let line_end = memchr::memchr(b'\r', text).unwrap_or(end - 2);
    if end > options.limits.head_bytes {
        let long = line_end > options.limits.target_bytes;
        return Err(if long { RequestError::TargetTooLong } else { RequestError::TooLarge });
    }
    if text.get(line_end + 1) != Some(&b'\n') {
        return Err(RequestError::RequestLine);
    }
    let target = request_line(&text[..line_end], options, head)?;
    let block = &text[line_end + 2..end - 2];
    let seen = fields::parse(block, &mut head.headers, options.limits.headers, From::Client)?;
    host(head, seen)?;
    set_target(target, head)?;
    let body = body_length(head, seen)?;
    let connection = connection(&head.headers, seen, head.version);
    let expect_continue = seen.has(Known::Expect)
        && head.version == Version::Http11
        && !body.is_empty()
        && head.headers.lists(Known::Expect, "100-continue");
    let upgrade = connection.upgrade && seen.has(Known::Upgrade) && head.version == Version::Http11;
    let keep_alive = connection.keep_alive;
    Ok(Some(RequestParsed { len: skipped + end, body, keep_alive, upgrade, expect_continue }))
}

/// What `Connection` says.
pub(super) struct Connection {
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
}

pub(super) fn connection(headers: &HeaderList, seen: Seen, version: Version) -> Connection {
    if !seen.has(Known::Connection) {
        return Connection { keep_alive: version != Version::Http10, upgrade: false };
    }
    let close = headers.lists(Known::Connection, "close");
    let keep = version != Version::Http10 || headers.lists(Known::Connection, "keep-alive");
    Connection { keep_alive: keep && !close, upgrade: headers.lists(Known::Connection, "upgrade") }
}

fn empty_lines(input: &[u8]) -> usize {
    input.chunks_exact(2).take_while(|pair| *pair == b"\r\n").count() * 2
}

/// Refuses early what can never become a request, so that garbage does not wait for a timeout.
fn check_partial(text: &[u8], options: &Options) -> Result<(), RequestError> {
    const LONGEST_METHOD: usize = 23;
    let method_end = text.iter().position(|b| *b == b' ');
    let method = &text[..method_end.unwrap_or(text.len())];
    let token = method.is_empty() || crate::headers::is_token(method);
    let cr = method_end.is_none() && text == b"\r";
    if !(token || cr) || method.len() > LONGEST_METHOD || method_end == Some(0) {
        return Err(RequestError::RequestLine);
    }
    let line = memchr::memchr(b'\r', text);
    if line.unwrap_or(text.len()) > options.limits.target_bytes.saturating_add(LONGEST_METHOD + 11) {
        return Err(RequestError::TargetTooLong);
    }
    if text.len() >= options.limits.head_bytes {
        return Err(if line.is_none() { RequestError::TargetTooLong } else { RequestError::TooLarge });
    }
    fields::check_line_ends(text)?;
    Ok(())
}

/// Splits the request line, sets method and version, returns the target.
fn request_line<'a>(
    line: &'a [u8],
    options: &Options,
    head: &mut RequestHead,
) -> Result<&'a [u8], RequestError> {
    let method_end = memchr::memchr(b' ', line).ok_or(RequestError::RequestLine)?;
    let rest = &line[method_end + 1..];
    let target_end = memchr::memchr(b' ', rest).ok_or(RequestError::RequestLine)?;
    let (target, version) = (&rest[..target_end], &rest[target_end + 1..]);
    if !crate::headers::is_token(&line[..method_end]) {
        return Err(RequestError::RequestLine);
    }
    head.version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" if options.accept_http_10 => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(RequestError::Version);
        }
        _ => return Err(RequestError::RequestLine),
    };
    head.method = Method::from_bytes(&line[..method_end]).ok_or(RequestError::Method)?;
    if !options.allow_custom_methods && !head.method.is_registered() {
        return Err(RequestError::Method);
    }
    if target.len() > options.limits.target_bytes {
        return Err(RequestError::TargetTooLong);
    }
    Ok(target)
}

/// Moves `Host` to the authority.
fn host(head: &mut RequestHead, seen: Seen) -> Result<(), RequestError> {
    if !seen.has(Known::Host) {
        return if head.version == Version::Http10 { Ok(()) } else { Err(RequestError::NoHost) };
    }
    let mut hosts = head.headers.get_all(Known::Host);
    let host = hosts.next().ok_or(RequestError::NoHost)?;
    if hosts.next().is_some() {
        return Err(RequestError::SeveralHosts);
    }
    if !uri::is_authority(host) {
        return Err(RequestError::Host);
    }
    head.authority.push_str(ascii(host).ok_or(RequestError::Host)?);
    drop(hosts);
    head.headers.remove(Known::Host);
    Ok(())
}

/// The four forms of RFC 9112 section 3.2.
fn set_target(target: &[u8], head: &mut RequestHead) -> Result<(), RequestError> {
    let bad = RequestError::Target;
    if uri::is_path(target) && head.method != Method::Connect {
        head.path.push_str(std::str::from_utf8(target).map_err(|_| bad)?);
        return Ok(());
    }
    let text = ascii(target).ok_or(bad)?;
    if head.method == Method::Connect {
        let (_, port) = uri::split_port(text);
        if !uri::is_authority(target) || port.is_none() {
            return Err(bad);
        }
        head.authority.clear();
        head.authority.push_str(text);
        return Ok(());
    }
    if target == b"*" && head.method == Method::Options {
        head.path.push_str(text);
        return Ok(());
    }
    let (scheme, rest) = text.split_once("://").ok_or(bad)?;
    head.scheme = Scheme::from_bytes(scheme.as_bytes()).ok_or(bad)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !uri::is_authority(authority.as_bytes()) {
        return Err(bad);
    }
    head.authority.clear();
    head.authority.push_str(authority);
    if path.is_empty() && head.method == Method::Options {
        head.path.push('*');
    } else {
        if !path.starts_with('/') {
            head.path.push('/');
        }
        head.path.push_str(path);
        if !uri::is_path(head.path.as_bytes()) {
            return Err(bad);
        }
    }
    Ok(())
}

fn body_length(head: &mut RequestHead, seen: Seen) -> Result<BodyLength, RequestError> {
    match declared(&mut head.headers, seen) {
        Ok(Declared::Nothing) => Ok(BodyLength::None),
        Ok(Declared::Length(length)) => Ok(BodyLength::Length(length)),
        Ok(Declared::Chunked) if head.version == Version::Http10 => Err(RequestError::EncodingInHttp10),
        Ok(Declared::Chunked) => Ok(BodyLength::Chunked),
        Err(FramingError::ContentLength) => Err(RequestError::ContentLength),
        Err(FramingError::Conflict) => Err(RequestError::ContentLengthConflict),
        Err(FramingError::Both) => Err(RequestError::LengthAndEncoding),
        Err(FramingError::Encoding) if head.version == Version::Http10 => Err(RequestError::EncodingInHttp10),
        Err(FramingError::Encoding) => Err(RequestError::TransferEncoding),
    }
}

fn ascii(text: &[u8]) -> Option<&str> {
    if text.is_ascii() { std::str::from_utf8(text).ok() } else { None }
}
