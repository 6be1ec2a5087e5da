//! One HTTP/1 connection, either end: its socket, its buffers, and the message under way in each direction.

use std::{
    io,
    task::{Context, Poll, ready},
};

use tulle_http::{
    HeaderList, RequestHead, ResponseHead,
    h1::{
        self, BodyDecoder, BodyEncoder, BodyError, BodyLength, Options, Persistence, RequestError,
        RequestParsed, RequestSent, ResponseError, ResponseParsed,
    },
};

use super::side::{Piece, ReadFault};
use crate::net::{buffer::Buffer, outbox::Outbox, stream::Stream};

/// How many bytes may wait to be written before the other side is no longer read.
const HIGH_WATER: usize = 64 * 1024;

/// An HTTP/1 connection.
#[derive(Debug)]
pub(crate) struct H1 {
    pub(crate) stream: Stream,
    inbox: Buffer,
    outbox: Outbox,
    decoder: BodyDecoder,
    encoder: BodyEncoder,
    /// Bytes of body at the front of `inbox`.
    piece: usize,
    trailers: HeaderList,
    options: Options,
    /// The peer has ended its stream.
    eof: bool,
    /// From here on only bytes: the end of our direction is told by closing it.
    tunnel: bool,
    /// Our direction is to be closed once everything is written.
    closing: bool,
    /// The message under way was cut off: the peer is told by a reset.
    aborted: bool,
    /// Bytes of the message that is being read, framing and head included; for telemetry.
    pub(crate) bytes_in: u64,
    /// Bytes of the message that is being written.
    pub(crate) bytes_out: u64,
}

/// Why a head could not be read.
#[derive(Debug)]
pub(crate) enum HeadFault<E> {
    /// The peer closed between messages.
    Closed,
    /// The peer closed in the middle of a head.
    Truncated,
    /// The socket failed.
    Io,
    /// The head breaks the rules.
    Malformed(E),
}

impl H1 {
    /// A connection on which nothing has been said.
    pub(crate) fn new(stream: Stream, options: Options) -> Self {
        Self {
            stream,
            inbox: Buffer::new(),
            outbox: Outbox::default(),
            decoder: BodyDecoder::new(BodyLength::None),
            encoder: BodyEncoder::new(BodyLength::None),
            piece: 0,
            trailers: HeaderList::new(),
            options,
            eof: false,
            tunnel: false,
            closing: false,
            aborted: false,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// Waits for the first byte of a message.
    pub(crate) fn poll_begun<E>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HeadFault<E>>> {
        if self.inbox.is_empty() { self.poll_more(cx) } else { Poll::Ready(Ok(())) }
    }

    /// Reads the head of the next request.
    pub(crate) fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut RequestHead,
    ) -> Poll<Result<RequestParsed, HeadFault<RequestError>>> {
        loop {
            if !self.inbox.is_empty() {
                match h1::parse_request(self.inbox.data(), &self.options, head) {
                    Ok(Some(parsed)) => {
                        self.begin_reading(parsed.len, parsed.body);
                        return Poll::Ready(Ok(parsed));
                    }
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Err(HeadFault::Malformed(error))),
                }
            }
            if let Err(fault) = ready!(self.poll_more(cx)) {
                return Poll::Ready(Err(fault));
            }
        }
    }

    /// Reads the head of a response to the request last written.
    pub(crate) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        request: RequestSent<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<ResponseParsed, HeadFault<ResponseError>>> {
        loop {
            if !self.inbox.is_empty() {
                let request = RequestSent { method: request.method, upgrade: request.upgrade };
                match h1::parse_response(self.inbox.data(), &self.options, request, head) {
                    Ok(Some(parsed)) => {
                        self.begin_reading(parsed.len, parsed.body);
                        return Poll::Ready(Ok(parsed));
                    }
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Err(HeadFault::Malformed(error))),
                }
            }
            if let Err(fault) = ready!(self.poll_more(cx)) {
                return Poll::Ready(Err(fault));
            }
        }
    }

    fn begin_reading(&mut self, head: usize, body: BodyLength) {
        self.inbox.consume(head);
        self.bytes_in += head as u64;
        self.decoder = BodyDecoder::new(body);
        self.piece = 0;
        self.trailers.clear();
    }

    fn poll_more<E>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HeadFault<E>>> {
        Poll::Ready(match ready!(self.stream.poll_read(cx, &mut self.inbox)) {
            Ok(0) => {
                self.eof = true;
                Err(if self.inbox.is_empty() { HeadFault::Closed } else { HeadFault::Truncated })
            }
            Ok(_) => Ok(()),
            Err(_) => Err(HeadFault::Io),
        })
    }

    /// Reads on in the body. After [`Piece::Data`], [`H1::data`] is not empty.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, ReadFault>> {
        loop {
            if self.piece > 0 {
                return Poll::Ready(Ok(Piece::Data));
            }
            let step = self.decoder.step(self.inbox.data(), &self.options.limits, &mut self.trailers)?;
            self.inbox.consume(step.skip);
            self.bytes_in += step.skip as u64;
            self.piece = step.data;
            if step.data > 0 {
                continue;
            }
            if step.end {
                return Poll::Ready(Ok(Piece::End));
            }
            if ready!(self.stream.poll_read(cx, &mut self.inbox))? == 0 {
                self.eof = true;
                self.decoder.on_eof()?;
            }
        }
    }

    /// The piece of body that waits.
    pub(crate) fn data(&self) -> &[u8] {
        &self.inbox.data()[..self.piece]
    }

    /// Drops the first `count` bytes of [`H1::data`].
    pub(crate) fn consume(&mut self, count: usize) {
        let count = count.min(self.piece);
        self.inbox.consume(count);
        self.piece -= count;
        self.bytes_in += count as u64;
    }

    /// The trailers that came behind the body.
    pub(crate) fn trailers(&self) -> &HeaderList {
        &self.trailers
    }

    /// Writes a request head; its body, framed as `body`, follows.
    pub(crate) fn write_request(&mut self, head: &RequestHead, body: BodyLength, persistence: Persistence) {
        let before = self.outbox.len();
        h1::write_request(head, body, persistence, self.outbox.bytes());
        self.encoder = BodyEncoder::new(body);
        self.bytes_out += (self.outbox.len() - before) as u64;
    }

    /// Writes a response head; its body, framed as `body`, follows.
    pub(crate) fn write_response(&mut self, head: &ResponseHead, body: BodyLength, persistence: Persistence) {
        let before = self.outbox.len();
        h1::write_response(head, body, persistence, self.outbox.bytes());
        self.encoder = BodyEncoder::new(body);
        self.bytes_out += (self.outbox.len() - before) as u64;
    }

    /// Writes a 1xx head with its fields; the final head follows later.
    pub(crate) fn write_informational(&mut self, head: &ResponseHead) {
        h1::write_response(head, BodyLength::None, Persistence::KeepAlive, self.outbox.bytes());
    }

    /// How much may be written now.
    pub(crate) fn room(&self) -> usize {
        HIGH_WATER.saturating_sub(self.outbox.len())
    }

    /// Writes a piece of the body.
    ///
    /// # Errors
    /// When the body is longer than announced.
    pub(crate) fn write_data(&mut self, data: &[u8]) -> Result<(), h1::EncodeError> {
        let before = self.outbox.len();
        self.encoder.push(data, self.outbox.bytes())?;
        self.bytes_out += (self.outbox.len() - before) as u64;
        Ok(())
    }

    /// Ends the body.
    ///
    /// # Errors
    /// When the body is shorter than announced.
    pub(crate) fn write_end(&mut self, trailers: &HeaderList) -> Result<(), h1::EncodeError> {
        let before = self.outbox.len();
        if self.tunnel {
            self.closing = true;
            return Ok(());
        }
        self.encoder.finish(trailers, self.outbox.bytes())?;
        self.bytes_out += (self.outbox.len() - before) as u64;
        Ok(())
    }

    /// Writes out what waits. Ready when the kernel has all of it.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stream.poll_send(cx, &mut self.outbox))?;
        if self.closing {
            ready!(self.stream.poll_shutdown(cx))?;
            self.closing = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Turns the connection into a tunnel: from here on both directions are bytes until they end.
    pub(crate) fn become_tunnel(&mut self) {
        self.tunnel = true;
        self.decoder = BodyDecoder::new(BodyLength::UntilClose);
        self.encoder = BodyEncoder::new(BodyLength::UntilClose);
    }

    /// Writes the head that switches protocols, and becomes a tunnel.
    pub(crate) fn write_switch(&mut self, head: &ResponseHead) {
        h1::write_response(head, BodyLength::None, Persistence::Upgrade, self.outbox.bytes());
        self.become_tunnel();
    }

    /// Writes the head that accepts CONNECT, and becomes a tunnel.
    pub(crate) fn write_connected(&mut self, head: &ResponseHead) {
        h1::write_response(head, BodyLength::None, Persistence::KeepAlive, self.outbox.bytes());
        self.become_tunnel();
    }

    /// The message under way cannot be completed: the connection will be reset.
    pub(crate) fn abort(&mut self) {
        self.aborted = true;
    }

    /// Gives back the memory of a connection that waits.
    pub(crate) fn rest(&mut self) {
        self.inbox.release_if_empty();
        self.outbox.release_if_empty();
    }

    /// Watches a peer that is expected to be silent. Ready with `true` when it has closed, with `false` when it has sent
    /// something, which is kept.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.eof {
            return Poll::Ready(true);
        }
        if !self.inbox.is_empty() {
            return Poll::Ready(false);
        }
        match ready!(self.stream.poll_read(cx, &mut self.inbox)) {
            Ok(0) | Err(_) => {
                self.eof = true;
                Poll::Ready(true)
            }
            Ok(_) => Poll::Ready(false),
        }
    }

    /// Whether bytes wait that nobody asked for.
    pub(crate) fn has_unread(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Whether everything written is with the kernel.
    pub(crate) fn is_flushed(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Takes the connection apart to close it: the stream, what was read ahead, what is still to be written, and whether
    /// it is to be reset.
    pub(crate) fn into_parts(self) -> (Stream, Buffer, Outbox, bool) {
        (self.stream, self.inbox, self.outbox, self.aborted)
    }
}

impl From<BodyError> for ReadFault {
    fn from(error: BodyError) -> Self {
        Self::Malformed(error)
    }
}
