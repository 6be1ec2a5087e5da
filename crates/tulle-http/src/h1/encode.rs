//! Heads and bodies as they go out.

use super::error::EncodeError;
use super::framing::BodyLength;
use crate::{HeaderList, Known, RequestHead, ResponseHead, reason_phrase};
use bytes::{BufMut, BytesMut};

/// What the head says about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing: HTTP/1.1 connections live on by default.
    KeepAlive,
    /// `connection: keep-alive`, for HTTP/1.0 clients that asked for it.
    KeepAliveSaid,
    /// `connection: close`.
    Close,
    /// `connection: close, upgrade`; the list's `Upgrade` field is written too, and says what to speak instead (426).
    CloseOffering,
    /// `connection: upgrade`; the list's `Upgrade` field is written too.
    Upgrade,
}

/// Writes a request head in HTTP/1.1, `Host` first. `Content-Length`, `Transfer-Encoding` and `Connection` are written
/// from `body` and `persistence`; those in the list are left out.
pub fn write_request(head: &RequestHead, body: BodyLength, persistence: Persistence, out: &mut BytesMut) {
    out.reserve(64 + head.path.len() + head.authority.len() + head.headers.line_bytes());
    out.put_slice(head.method.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(if head.path.is_empty() { head.authority.as_bytes() } else { head.path.as_bytes() });
    out.put_slice(b" HTTP/1.1\r\nHost: ");
    out.put_slice(head.authority.as_bytes());
    out.put_slice(b"\r\n");
    // `TE` is for the next hop only and says so (RFC 9110 section 10.1.4); in a response it means nothing.
    let te = head.headers.contains(Known::Te);
    write_fields(&head.headers, body, false, persistence, out);
    write_connection(persistence, te, out);
}

/// Writes a response head in HTTP/1.1. Framing and connection fields as in [`write_request`]; a `Content-Length` in the
/// list is kept where there is no body to frame (responses to HEAD, 304).
pub fn write_response(head: &ResponseHead, body: BodyLength, persistence: Persistence, out: &mut BytesMut) {
    out.reserve(64 + head.headers.line_bytes());
    status_line(head.status, out);
    let informs = body == BodyLength::None && head.status != 204 && !head.is_informational();
    write_fields(&head.headers, body, informs, persistence, out);
    write_connection(persistence, false, out);
}

/// Writes a whole response that has neither fields nor body: `100 Continue` and its like.
pub fn write_informational(status: u16, out: &mut BytesMut) {
    status_line(status, out);
    out.put_slice(b"\r\n");
}

fn status_line(status: u16, out: &mut BytesMut) {
    if status == 200 {
        out.put_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.put_slice(b"HTTP/1.1 ");
    put_decimal(u64::from(status), out);
    out.put_u8(b' ');
    out.put_slice(reason_phrase(status).as_bytes());
    out.put_slice(b"\r\n");
}

fn write_fields(
    list: &HeaderList,
    body: BodyLength,
    keep_length: bool,
    persistence: Persistence,
    out: &mut BytesMut,
) {
    list.write_lines(out, |known| match known {
        Known::Connection
        | Known::KeepAlive
        | Known::ProxyConnection
        | Known::TransferEncoding
        | Known::Host => true,
        Known::ContentLength => !keep_length,
        Known::Upgrade => !matches!(persistence, Persistence::Upgrade | Persistence::CloseOffering),
        _ => false,
    });
    match body {
        BodyLength::Length(length) => {
            out.put_slice(b"content-length: ");
            put_decimal(length, out);
            out.put_slice(b"\r\n");
        }
        BodyLength::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
        BodyLength::None | BodyLength::UntilClose => {}
    }
}

/// Writes the connection options (RFC 9110 section 7.6.1) and the end of the head.
fn write_connection(persistence: Persistence, te: bool, out: &mut BytesMut) {
    let line: &[u8] = match (persistence, te) {
        (Persistence::KeepAlive, false) => b"",
        (Persistence::KeepAlive, true) => b"connection: te\r\n",
        (Persistence::KeepAliveSaid, false) => b"connection: keep-alive\r\n",
        (Persistence::KeepAliveSaid, true) => b"connection: keep-alive, te\r\n",
        (Persistence::CloseOffering, _) => b"connection: close, upgrade\r\n",
        (Persistence::Close, false) => b"connection: close\r\n",
        (Persistence::Close, true) => b"connection: close, te\r\n",
        (Persistence::Upgrade, false) => b"connection: upgrade\r\n",
        (Persistence::Upgrade, true) => b"connection: upgrade, te\r\n",
    };
    out.put_slice(line);
    out.put_slice(b"\r\n");
}

/// Frames a body as its head announced it.
///
/// [`BodyEncoder::push`] copies a piece; to write a piece without copying, write what [`BodyEncoder::begin`] puts out,
/// then the piece, then what [`BodyEncoder::end`] puts out.
#[derive(Debug)]
pub struct BodyEncoder {
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    Chunked,
    UntilClose,
}

impl BodyEncoder {
    /// An encoder for a body announced so.
    #[must_use]
    pub fn new(length: BodyLength) -> Self {
        let state = match length {
            BodyLength::None => State::Length(0),
            BodyLength::Length(length) => State::Length(length),
            BodyLength::Chunked => State::Chunked,
            BodyLength::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// Appends one framed piece of the body to `out`; nothing if it is empty.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`]; nothing was written.
    pub fn push(&mut self, piece: &[u8], out: &mut BytesMut) -> Result<(), EncodeError> {
        if piece.is_empty() {
            return Ok(());
        }
        self.begin(piece.len(), out)?;
        out.put_slice(piece);
        self.end(out);
        Ok(())
    }

    /// Appends what stands before a piece of `len` bytes (not 0).
    ///
    /// # Errors
    /// [`EncodeError::TooLong`]; nothing was written.
    pub fn begin(&mut self, len: usize, out: &mut BytesMut) -> Result<(), EncodeError> {
        match &mut self.state {
            State::Length(left) => {
                *left = left.checked_sub(len as u64).ok_or(EncodeError::TooLong)?;
            }
            State::Chunked => {
                put_hex(len as u64, out);
                out.put_slice(b"\r\n");
            }
            State::UntilClose => {}
        }
        Ok(())
    }

    /// Appends what stands behind a piece.
    pub fn end(&mut self, out: &mut BytesMut) {
        if self.state == State::Chunked {
            out.put_slice(b"\r\n");
        }
    }

    /// Ends the body. Trailers are written where the framing has room for them (chunked), and dropped elsewhere.
    ///
    /// # Errors
    /// [`EncodeError::TooShort`]; the connection must be closed.
    pub fn finish(&mut self, trailers: &HeaderList, out: &mut BytesMut) -> Result<(), EncodeError> {
        match self.state {
            State::Length(0) | State::UntilClose => Ok(()),
            State::Length(_) => Err(EncodeError::TooShort),
            State::Chunked => {
                out.put_slice(b"0\r\n");
                trailers.write_lines(out, |known| {
                    matches!(
                        known,
                        Known::ContentLength | Known::TransferEncoding | Known::Host | Known::Connection
                    )
                });
                out.put_slice(b"\r\n");
                self.state = State::Length(0);
                Ok(())
            }
        }
    }
}

/// Appends a decimal number.
pub(crate) fn put_decimal(number: u64, out: &mut BytesMut) {
    let (digits, from) = crate::h1::encode::decimal_digits(number);
    out.put_slice(&digits[from..]);
}

/// The decimal digits of a number, from the index given.
pub(crate) fn decimal_digits(mut number: u64) -> ([u8; 20], usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return (digits, at);
        }
    }
}

fn put_hex(mut number: u64, out: &mut BytesMut) {
    let mut digits = [0; 16];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
        if number == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}
