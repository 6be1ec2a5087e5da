//! Either end of an exchange, whatever version of HTTP it speaks, and the body that flows between two of them.

use std::{
    io,
    task::{Context, Poll, ready},
};

use tulle_http::{
    HeaderList, Method, RequestHead, ResponseHead, Version,
    h1::{self, BodyError, BodyLength, EncodeError, Persistence, RequestSent},
    h2::ErrorCode,
};

use super::{
    attempt::{Answer, UpstreamFault},
    h1::H1,
    h2::{H2Stream, Lost},
    tunnel,
};

/// What reading on in a body brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Bytes wait.
    Data,
    /// The body is complete; trailers, if any, are there.
    End,
}

/// Why a body cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadFault {
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The framing is broken, or the connection ended too early.
    #[error(transparent)]
    Malformed(BodyError),
    /// What is compressed in it cannot be read, or becomes too long.
    #[error("content encoding: {0}")]
    Encoding(io::Error),
    /// The stream was lost.
    #[error("stream lost: {0:?}")]
    Lost(Lost),
}

/// Why a message cannot be written on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteFault {
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The body does not fit what was announced.
    #[error(transparent)]
    Length(#[from] EncodeError),
}

/// How long a body is, as far as its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// There is none.
    None,
    /// So many bytes.
    Known(u64),
    /// Until it ends.
    Unknown,
}

impl From<BodyLength> for Length {
    fn from(length: BodyLength) -> Self {
        match length {
            BodyLength::None => Self::None,
            BodyLength::Length(n) => Self::Known(n),
            BodyLength::Chunked | BodyLength::UntilClose => Self::Unknown,
        }
    }
}

impl Length {
    /// Whether no byte of body follows.
    pub(crate) fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Known(0))
    }
}

/// One end of an exchange.
#[derive(Debug)]
pub(crate) enum Side {
    /// An HTTP/1 connection.
    H1(Box<H1>),
    /// A stream of an HTTP/2 connection.
    H2(Box<H2Stream>),
}

impl Side {
    /// What it speaks.
    pub(crate) fn version(&self) -> Version {
        match self {
            Self::H1(_) => Version::Http11,
            Self::H2(_) => Version::Http2,
        }
    }

    /// Reads on in the body. After [`Piece::Data`], [`Side::data`] is not empty.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, ReadFault>> {
        match self {
            Self::H1(h1) => h1.poll_piece(cx),
            Self::H2(h2) => Poll::Ready(match ready!(h2.poll_piece(cx)) {
                Ok(true) => Ok(Piece::Data),
                Ok(false) => Ok(Piece::End),
                Err(lost) => Err(ReadFault::Lost(lost)),
            }),
        }
    }

    /// The piece of body that waits.
    pub(crate) fn data(&self) -> &[u8] {
        match self {
            Self::H1(h1) => h1.data(),
            Self::H2(h2) => h2.data(),
        }
    }

    /// Drops the first `count` bytes of [`Side::data`].
    pub(crate) fn consume(&mut self, count: usize) {
        match self {
            Self::H1(h1) => h1.consume(count),
            Self::H2(h2) => h2.consume(count),
        }
    }

    /// The trailers that came behind the body.
    pub(crate) fn trailers(&self) -> &HeaderList {
        match self {
            Self::H1(h1) => h1.trailers(),
            Self::H2(h2) => h2.trailers(),
        }
    }

    /// How much body may be written now; waits until it is at least one byte.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, WriteFault>> {
        match self {
            Self::H2(h2) => h2.poll_room(cx).map(Ok),
            Self::H1(h1) => {
                if h1.room() == 0 {
                    // Some of it may go even if not all does.
                    if let Poll::Ready(Err(error)) = h1.poll_flush(cx) {
                        return Poll::Ready(Err(error.into()));
                    }
                }
                match h1.room() {
                    0 => Poll::Pending,
                    room => Poll::Ready(Ok(room)),
                }
            }
        }
    }

    /// Writes a piece of the body.
    pub(crate) fn write_data(&mut self, data: &[u8]) -> Result<(), WriteFault> {
        match self {
            Self::H1(h1) => Ok(h1.write_data(data)?),
            Self::H2(h2) => {
                h2.write_data(data);
                Ok(())
            }
        }
    }

    /// Ends the body.
    pub(crate) fn write_end(&mut self, trailers: &HeaderList) -> Result<(), WriteFault> {
        match self {
            Self::H1(h1) => Ok(h1.write_end(trailers)?),
            Self::H2(h2) => {
                h2.write_end(trailers);
                Ok(())
            }
        }
    }

    /// Writes out what waits. Ready when it is with the kernel (HTTP/2: with the connection, which flushes by itself).
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::H1(h1) => h1.poll_flush(cx),
            Self::H2(_) => Poll::Ready(Ok(())),
        }
    }

    /// Watches a peer that has nothing more to say. Ready when it is gone.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::H2(h2) => h2.poll_gone(cx),
            Self::H1(h1) => match ready!(h1.poll_gone(cx)) {
                true => Poll::Ready(()),
                // Pipelined requests wait for their turn; the peer is not watched meanwhile.
                false => Poll::Pending,
            },
        }
    }

    /// Watches a peer that may have more to say, but is not being read. Ready when its stream is lost; HTTP/1 tells that only
    /// to those who read.
    pub(crate) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::H2(h2) => h2.poll_gone(cx),
            Self::H1(_) => Poll::Pending,
        }
    }

    /// Writes a request head upstream.
    pub(crate) fn write_request(&mut self, head: &RequestHead, length: Length, persistence: Persistence) {
        match self {
            Self::H2(h2) => {
                if persistence == Persistence::Upgrade && head.protocol.is_empty() {
                    h2.write_request(&tunnel::to_connect(head), false);
                } else {
                    let tunnel = persistence == Persistence::Upgrade || head.is_connect();
                    h2.write_request(head, length.is_empty() && !tunnel);
                }
            }
            Self::H1(h1) if !head.protocol.is_empty() => {
                h1.write_request(&tunnel::to_upgrade(head), BodyLength::None, Persistence::Upgrade);
            }
            Self::H1(h1) => {
                let body = match length {
                    _ if head.is_connect() => BodyLength::None,
                    Length::None if persistence == Persistence::KeepAlive && !is_bodiless(&head.method) => {
                        BodyLength::Length(0)
                    }
                    Length::None => BodyLength::None,
                    Length::Known(n) => BodyLength::Length(n),
                    Length::Unknown => BodyLength::Chunked,
                };
                h1.write_request(head, body, persistence);
            }
        }
    }

    /// Writes a response head downstream. `request` is the one it answers; `keep` says whether the connection may live on.
    /// Returns whether it will.
    pub(crate) fn write_response(
        &mut self,
        head: &ResponseHead,
        length: Length,
        request: (&Method, Version),
        keep: bool,
    ) -> bool {
        match self {
            Self::H2(h2) => {
                let silent = *request.0 == Method::Head || matches!(head.status, 204 | 304);
                h2.write_response(head, silent || length.is_empty());
                keep
            }
            Self::H1(h1) => {
                let known = match length {
                    Length::None => Some(0),
                    Length::Known(n) => Some(n),
                    Length::Unknown => None,
                };
                let body = h1::response_length(request.0, request.1, head.status, known);
                let keep = keep && body != BodyLength::UntilClose;
                let persistence = match (keep, request.1) {
                    (false, _) if head.status == 426 => Persistence::CloseOffering,
                    (false, _) => Persistence::Close,
                    (true, Version::Http10) => Persistence::KeepAliveSaid,
                    (true, _) => Persistence::KeepAlive,
                };
                h1.write_response(head, body, persistence);
                keep
            }
        }
    }

    /// Reads the head of a response.
    pub(crate) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        request: RequestSent<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<Answer, UpstreamFault>> {
        match self {
            Self::H2(h2) => {
                let end = ready!(h2.poll_response(cx, head))?;
                let asked = request.upgrade || *request.method == Method::Connect;
                let tunnel = asked && (200..300).contains(&head.status);
                let length = match head.headers.get_str(tulle_http::Known::ContentLength) {
                    _ if end => Length::None,
                    Some(text) => text.parse().map_or(Length::Unknown, Length::Known),
                    None => Length::Unknown,
                };
                Poll::Ready(Ok(Answer { length, keep_alive: true, tunnel }))
            }
            Self::H1(h1) => {
                let parsed = ready!(h1.poll_response(cx, request, head))?;
                Poll::Ready(Ok(Answer {
                    length: parsed.body.into(),
                    keep_alive: parsed.keep_alive,
                    tunnel: parsed.tunnel,
                }))
            }
        }
    }

    /// Turns an upstream connection (or stream) into a tunnel.
    pub(crate) fn become_tunnel(&mut self) {
        match self {
            Self::H1(h1) => h1.become_tunnel(),
            Self::H2(_) => {}
        }
    }

    /// Writes the head that lets the client go on as a tunnel of that kind, such as `websocket`; an empty one accepts CONNECT.
    pub(crate) fn write_tunnel(&mut self, head: &ResponseHead, kind: &str) {
        match self {
            Self::H1(h1) if kind.is_empty() => h1.write_connected(head),
            Self::H1(h1) => h1.write_switch(&tunnel::switched(head, kind)),
            Self::H2(h2) => h2.write_response(&tunnel::accepted(head), false),
        }
    }

    /// Cuts the message under way off: the peer is told by a reset.
    pub(crate) fn abort(&mut self) {
        match self {
            Self::H1(h1) => h1.abort(),
            Self::H2(h2) => h2.reset(ErrorCode::INTERNAL_ERROR),
        }
    }

    /// Writes a 1xx head downstream.
    pub(crate) fn write_informational(&mut self, head: &ResponseHead) {
        match self {
            Self::H1(h1) => h1.write_informational(head),
            Self::H2(h2) => h2.write_response(head, false),
        }
    }

    /// Bytes read and written for the message under way, heads and framing included.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        match self {
            Self::H1(h1) => (h1.bytes_in, h1.bytes_out),
            Self::H2(h2) => h2.bytes,
        }
    }
}

/// Whether nobody expects a body with this method: with the others its absence is said (`content-length: 0`, RFC 9110 section
/// 8.6), as Envoy does.
fn is_bodiless(method: &Method) -> bool {
    matches!(method, Method::Get | Method::Head | Method::Delete | Method::Trace | Method::Connect)
}
