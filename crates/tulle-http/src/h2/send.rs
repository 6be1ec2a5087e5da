//! What we send: heads at once, bodies as windows allow.

use super::connection::Connection;
use super::error::{ErrorCode, SendError};
use super::frame::{FrameHead, HEAD_LEN, flag, kind};
use super::stream::Half;
use super::{Role, StreamId, head};
use crate::{HeaderList, Method, RequestHead, ResponseHead};
use bytes::Bytes;

/// Whether a stream takes more body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// There is room.
    Open,
    /// Everything given was taken; give no more until [`Connection::take_writable`] names the stream.
    Blocked,
}

/// Bodies up to this size are copied behind their frame's head; larger ones are written from where they are.
const COPY: usize = 4096;
/// `flush` stops once so much waits: the rest is for the next turn, so that control frames do not wait behind it.
const OUTPUT_TARGET: usize = 256 * 1024;
/// Output from which a connection is congested: its peer does not read what it asks for.
const CONGESTED: usize = 1024 * 1024;
/// Most pieces that wait on one stream, so that many small ones cost no more memory than a few large ones.
const MOST_PIECES: usize = 1024;

impl Connection {
    /// Client: opens a stream with a request. `end`: neither body nor trailers follow. Hop-by-hop fields of the list are
    /// left out, names are written in lower case.
    ///
    /// # Errors
    /// [`SendError::TooManyStreams`] and [`SendError::GoingAway`]: try another connection.
    pub fn send_request(&mut self, request: &RequestHead, end: bool) -> Result<StreamId, SendError> {
        debug_assert_eq!(self.role, Role::Client);
        if self.is_closing() || self.next_local > super::settings::MAX_WINDOW {
            return Err(SendError::GoingAway);
        }
        if self.capacity_for_streams() == 0 {
            return Err(SendError::TooManyStreams);
        }
        let id = self.next_local;
        self.next_local += 2;
        let stream = self.streams.insert(id, self.peer.initial_window, self.config.stream_window);
        stream.send = if end { Half::Closed } else { Half::Body };
        stream.bodiless = request.method == Method::Head;
        self.put_head(id, end, |encoder, out| head::encode_request(request, encoder, out));
        Ok(StreamId::new(id))
    }

    /// Server: answers. A status below 200 is informational and may be followed by others; `end` is ignored for it.
    ///
    /// # Errors
    /// [`SendError::Closed`] when the client has reset the stream, [`SendError::Order`] after the final head.
    pub fn send_response(
        &mut self,
        stream: StreamId,
        response: &ResponseHead,
        end: bool,
    ) -> Result<(), SendError> {
        self.check_open()?;
        let end = end && !response.is_informational();
        let open = self.streams.get_mut(stream.get()).ok_or(SendError::Closed)?;
        if open.send != Half::Head {
            return Err(SendError::Order);
        }
        if !response.is_informational() {
            open.send = if end { Half::Closed } else { Half::Body };
        }
        self.put_head(stream.get(), end, |encoder, out| head::encode_response(response, encoder, out));
        self.forget_if_closed(stream.get());
        Ok(())
    }

    /// Sends a piece of body, or queues it while windows are closed. `end`: nothing follows.
    ///
    /// # Errors
    /// [`SendError::Closed`] or [`SendError::Order`]; the piece is dropped.
    pub fn send_data(&mut self, stream: StreamId, data: Bytes, end: bool) -> Result<Pressure, SendError> {
        if self.try_copy(stream, &data, end)? {
            return Ok(Pressure::Open);
        }
        let high_water = self.config.send_high_water;
        let open = self.sendable(stream)?;
        open.queued += data.len();
        // An empty piece (only the end, behind others) needs no frame of its own.
        if !data.is_empty() || open.queue.is_empty() {
            open.queue.push_back(data);
        }
        open.end_queued = end;
        let blocked = open.queued >= high_water || open.queue.len() >= MOST_PIECES;
        open.blocked |= blocked;
        if !open.ready {
            open.ready = true;
            self.ready.push_back(stream.get());
        }
        Ok(if blocked { Pressure::Blocked } else { Pressure::Open })
    }

    /// [`Connection::send_data`] for bytes that the caller does not own: small pieces go straight to the output.
    ///
    /// # Errors
    /// As [`Connection::send_data`].
    pub fn send_slice(&mut self, stream: StreamId, data: &[u8], end: bool) -> Result<Pressure, SendError> {
        if self.try_copy(stream, data, end)? {
            return Ok(Pressure::Open);
        }
        self.send_data(stream, Bytes::copy_from_slice(data), end)
    }

    /// Ends the message with trailers, behind all of its body.
    ///
    /// # Errors
    /// [`SendError::Closed`] or [`SendError::Order`].
    pub fn send_trailers(&mut self, stream: StreamId, trailers: &HeaderList) -> Result<(), SendError> {
        let open = self.sendable(stream)?;
        if open.queue.is_empty() {
            open.send = Half::Closed;
            self.put_head(stream.get(), true, |encoder, out| head::encode_trailers(trailers, encoder, out));
            self.forget_if_closed(stream.get());
        } else {
            open.end_queued = true;
            open.trailers = Some(Box::new(trailers.clone()));
        }
        Ok(())
    }

    /// Bytes that may be given to [`Connection::send_data`] before it says [`Pressure::Blocked`]; 0 for a stream that is
    /// over.
    #[must_use]
    pub fn capacity(&self, stream: StreamId) -> usize {
        match self.streams.get(stream.get()) {
            Some(open) if open.queue.len() >= MOST_PIECES => {
                debug_assert!(open.blocked || open.end_queued);
                0
            }
            Some(open) if open.send != Half::Closed && !open.end_queued => {
                self.config.send_high_water.saturating_sub(open.queued)
            }
            _ => 0,
        }
    }

    /// So much waits to be written that nothing more should be begun: a server stops reading, a client opens no streams
    /// here, until the peer has read some of it. Bodies alone never come to this.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.output.len() > CONGESTED
    }

    /// Moves queued bodies to the output: one frame for each stream in turn, while windows allow and until there is
    /// enough for a few writes. Call it once for each turn of the loop, and again when the output has been written.
    pub fn flush(&mut self) {
        while self.output.len() < OUTPUT_TARGET && self.send_window > 0 {
            let Some(id) = self.ready.pop_front() else { break };
            let Some(stream) = self.streams.get_mut(id) else { continue };
            let largest = i64::from(self.peer.max_frame_size.min(64 * 1024));
            let allowed = stream.send_window.min(self.send_window).min(largest);
            let Some(front) = stream.queue.front_mut() else {
                stream.ready = false;
                continue;
            };
            if allowed <= 0 && !front.is_empty() {
                // WINDOW_UPDATE brings it back.
                stream.ready = false;
                continue;
            }
            let data = front.split_to(front.len().min(allowed.max(0) as usize));
            if front.is_empty() {
                stream.queue.pop_front();
            }
            let len = data.len();
            stream.queued -= len;
            stream.send_window -= len as i64;
            self.send_window -= len as i64;
            let last = stream.queue.is_empty();
            let trailers = if last { stream.trailers.take() } else { None };
            let end = last && stream.end_queued;
            if end {
                stream.send = Half::Closed;
            }
            if last {
                stream.ready = false;
            } else {
                self.ready.push_back(id);
            }
            let room =
                stream.queued <= self.config.send_high_water / 2 && stream.queue.len() <= MOST_PIECES / 2;
            if stream.blocked && room && !stream.end_queued {
                stream.blocked = false;
                self.writable.push_back(StreamId::new(id));
            }
            self.put_data(id, data, end && trailers.is_none());
            if let Some(trailers) = trailers {
                self.put_head(id, true, |encoder, out| head::encode_trailers(&trailers, encoder, out));
            }
            if end {
                self.forget_if_closed(id);
            }
        }
    }

    /// Writes a small piece at once if nothing of its stream waits and windows allow.
    fn try_copy(&mut self, stream: StreamId, data: &[u8], end: bool) -> Result<bool, SendError> {
        let send_window = self.send_window;
        let full = self.output.len() >= OUTPUT_TARGET && !data.is_empty();
        let open = self.sendable(stream)?;
        let len = data.len() as i64;
        let fits = data.is_empty() || (len <= open.send_window && len <= send_window);
        if data.len() > COPY || !fits || full || !open.queue.is_empty() {
            return Ok(false);
        }
        if data.is_empty() && !end {
            return Ok(true);
        }
        open.send_window -= len;
        if end {
            open.send = Half::Closed;
        }
        self.send_window -= len;
        self.put_data_head(stream.get(), data.len(), end);
        self.output.buf().extend_from_slice(data);
        if end {
            self.forget_if_closed(stream.get());
        }
        Ok(true)
    }

    fn sendable(&mut self, stream: StreamId) -> Result<&mut super::stream::Stream, SendError> {
        self.check_open()?;
        let open = self.streams.get_mut(stream.get()).ok_or(SendError::Closed)?;
        match open.send {
            Half::Head => Err(SendError::Order),
            Half::Body if open.end_queued => Err(SendError::Closed),
            Half::Body => Ok(open),
            Half::Closed => Err(SendError::Closed),
        }
    }

    fn put_data_head(&mut self, stream: u32, len: usize, end: bool) {
        self.guard.useful();
        let flags = if end { flag::END_STREAM } else { 0 };
        self.output.buf().extend_from_slice(&FrameHead { len, kind: kind::DATA, flags, stream }.bytes());
    }

    fn put_data(&mut self, stream: u32, data: Bytes, end: bool) {
        self.put_data_head(stream, data.len(), end);
        if data.len() > COPY {
            self.output.push_view(data);
        } else {
            self.output.buf().extend_from_slice(&data);
        }
    }

    /// Writes a field block as HEADERS and, where it is longer than a frame, CONTINUATION.
    fn put_head(
        &mut self,
        stream: u32,
        end: bool,
        encode: impl FnOnce(&mut crate::hpack::Encoder, &mut Vec<u8>),
    ) {
        let out = self.output.buf();
        let start = out.len();
        out.extend_from_slice(&[0; HEAD_LEN]);
        encode(&mut self.encoder, out);
        let len = out.len() - start - HEAD_LEN;
        let largest = self.peer.max_frame_size as usize;
        let end_stream = if end { flag::END_STREAM } else { 0 };
        if len <= largest {
            let head = FrameHead { len, kind: kind::HEADERS, flags: end_stream | flag::END_HEADERS, stream };
            out[start..start + HEAD_LEN].copy_from_slice(&head.bytes());
            return;
        }
        let block = out.split_off(start + HEAD_LEN);
        out.truncate(start);
        let mut pieces = block.chunks(largest).peekable();
        let (mut kind, mut flags) = (kind::HEADERS, end_stream);
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                flags |= flag::END_HEADERS;
            }
            super::frame::put(out, kind, flags, stream, piece);
            (kind, flags) = (super::frame::kind::CONTINUATION, 0);
        }
    }

    /// Server: the answer is complete while the request is not: the stream stays until the client ends it, or until
    /// [`Connection::reset`] with [`ErrorCode::NO_ERROR`].
    fn forget_if_closed(&mut self, stream: u32) {
        if self.streams.get(stream).is_some_and(super::stream::Stream::is_closed) {
            self.forget(stream);
        }
    }

    /// Server: answers a request that the codec refuses with a status of its own, and ends the stream.
    pub(super) fn refuse_with_status(&mut self, stream: u32, status: u16, request_ended: bool) {
        let response = ResponseHead::new(status);
        self.put_head(stream, true, |encoder, out| head::encode_response(&response, encoder, out));
        if !request_ended {
            super::frame::put_reset(self.output.buf(), stream, ErrorCode::NO_ERROR);
            self.recent.add(stream);
        }
    }
}
