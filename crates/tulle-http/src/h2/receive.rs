//! What comes: frames to events (RFC 9113 sections 4 to 8).

use super::connection::{Connection, Event, SHUTDOWN_PING, Shutdown};
use super::error::{ConnError, ErrorCode, HeadError, Refusal};
use super::frame::{self, FrameHead, HEAD_LEN, flag, kind};
use super::guard::calm;
use super::settings::MAX_WINDOW;
use super::stream::Half;
use super::{PREFACE, Role, StreamId, head};
use crate::hpack::{Decoded, HpackError};
use bytes::{Buf, Bytes, BytesMut};

/// Whom a head belongs to.
enum Target {
    /// Server: a new request.
    Request,
    /// Server: a request over the limit, or after our final GOAWAY.
    NotTaken,
    /// Client: a response on an open stream.
    Response,
    Trailers,
    /// A stream that is over, by our doing: what comes was on its way.
    Ignored,
}

impl Connection {
    /// Takes frames from the front of `input` until there is something to say, `None` when more bytes are needed. Call
    /// it until then, with whatever has been read; bytes of a frame that is incomplete stay in `input`, at most
    /// [`Config::max_frame_size`](super::Config::max_frame_size) and a little more.
    ///
    /// # Errors
    /// [`ConnError`], now and ever after: write the output, then close.
    pub fn recv(&mut self, input: &mut BytesMut) -> Result<Option<Event>, ConnError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if let Some(error) = self.failed {
                return Err(error);
            }
            match self.step(input) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => self.fail(error),
            }
        }
    }

    /// Handles one frame; `false` when more bytes are needed.
    fn step(&mut self, input: &mut BytesMut) -> Result<bool, ConnError> {
        if self.role == Role::Server && self.preface < PREFACE.len() {
            let rest = &PREFACE[self.preface..];
            let common = rest.len().min(input.len());
            if input[..common] != rest[..common] {
                return Err(ConnError::protocol("no HTTP/2 preface"));
            }
            self.preface += common;
            input.advance(common);
            return Ok(common > 0);
        }
        let Some(head) = FrameHead::parse(input) else { return Ok(false) };
        if head.len > self.config.max_frame_size as usize {
            return Err(ConnError::new(
                ErrorCode::FRAME_SIZE_ERROR,
                "frame larger than SETTINGS_MAX_FRAME_SIZE",
            ));
        }
        if input.len() < HEAD_LEN + head.len {
            return Ok(false);
        }
        if !self.settings_seen && (head.kind != kind::SETTINGS || head.has(flag::ACK)) {
            return Err(ConnError::protocol("first frame is not SETTINGS"));
        }
        if let Some((stream, _)) = self.continued
            && (head.kind != kind::CONTINUATION || head.stream != stream)
        {
            return Err(ConnError::protocol("CONTINUATION expected"));
        }
        if head.kind == kind::DATA {
            input.advance(HEAD_LEN);
            let payload = input.split_to(head.len);
            self.on_data(head, payload)?;
            return Ok(true);
        }
        let result = self.on_frame(head, &input[HEAD_LEN..HEAD_LEN + head.len]);
        input.advance(HEAD_LEN + head.len);
        result.map(|()| true)
    }

    fn on_frame(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnError> {
        match head.kind {
            kind::HEADERS => self.on_headers(head, payload),
            kind::CONTINUATION => self.on_continuation(head, payload),
            kind::PRIORITY => self.on_priority(head),
            kind::RST_STREAM => self.on_reset(head, payload),
            kind::SETTINGS => self.on_settings(head, payload),
            kind::PUSH_PROMISE => Err(ConnError::protocol("PUSH_PROMISE where push is refused")),
            kind::PING => self.on_ping(head, payload),
            kind::GOAWAY => self.on_go_away(head, payload),
            kind::WINDOW_UPDATE => self.on_window_update(head, payload),
            _ => self.guard.empty(),
        }
    }

    fn on_data(&mut self, head: FrameHead, payload: BytesMut) -> Result<(), ConnError> {
        if head.stream == 0 {
            return Err(ConnError::protocol("DATA on stream 0"));
        }
        self.recv_window -= payload.len() as i64;
        if self.recv_window < 0 {
            return Err(ConnError::new(ErrorCode::FLOW_CONTROL_ERROR, "connection window exceeded"));
        }
        let range = frame::unpad(head, &payload).ok_or(ConnError::protocol("padding longer than DATA"))?;
        let (total, len) = (payload.len() as u32, range.len());
        let end = head.has(flag::END_STREAM);
        if len == 0 && !end {
            self.guard.empty()?;
        } else {
            self.guard.useful();
        }
        let Some(stream) = self.streams.get_mut(head.stream) else {
            self.release_connection(total);
            return self.on_closed_stream(head.stream);
        };
        match stream.recv {
            Half::Body => {}
            Half::Head => return self.data_error(head.stream, total, ErrorCode::PROTOCOL_ERROR),
            Half::Closed => return self.data_error(head.stream, total, ErrorCode::STREAM_CLOSED),
        }
        stream.recv_window -= i64::from(total);
        if stream.recv_window < 0 {
            return self.data_error(head.stream, total, ErrorCode::FLOW_CONTROL_ERROR);
        }
        if let Some(expected) = &mut stream.expected {
            match expected.checked_sub(len as u64) {
                Some(left) if left == 0 || !end => *expected = left,
                _ => return self.data_error(head.stream, total, ErrorCode::PROTOCOL_ERROR),
            }
        }
        stream.held += total;
        if end {
            stream.recv = Half::Closed;
        }
        self.hold(total);
        let padding = total as usize - len;
        let id = StreamId::new(head.stream);
        if padding > 0 {
            self.release_capacity(id, padding);
        }
        if len > 0 || end {
            let data = match (len, padding) {
                (0, _) => Bytes::new(),
                (_, 0) => payload.freeze(),
                _ => payload.freeze().slice(range),
            };
            self.events.push_back(Event::Data { stream: id, data, end });
        }
        if end {
            self.forget_if_over(head.stream);
        }
        Ok(())
    }

    /// A stream error on DATA: its bytes never reach the application, so they are released here.
    fn data_error(&mut self, stream: u32, bytes: u32, code: ErrorCode) -> Result<(), ConnError> {
        self.release_connection(bytes);
        self.stream_error(stream, code)
    }

    fn on_headers(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnError> {
        if head.stream == 0 {
            return Err(ConnError::protocol("HEADERS on stream 0"));
        }
        let range = frame::unpad(head, payload).ok_or(ConnError::protocol("padding longer than HEADERS"))?;
        let mut block = &payload[range];
        if head.has(flag::PRIORITY) {
            // Priorities are read over (RFC 9113 section 5.3.2).
            block = block.get(5..).ok_or(ConnError::new(ErrorCode::FRAME_SIZE_ERROR, "HEADERS too short"))?;
        }
        self.guard.head();
        let end = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.on_head(head.stream, end, block);
        }
        self.block.clear();
        self.continued = Some((head.stream, end));
        self.extend_block(block)
    }

    fn on_continuation(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnError> {
        let Some((stream, end)) = self.continued else {
            return Err(ConnError::protocol("CONTINUATION without HEADERS"));
        };
        self.guard.continuation()?;
        self.extend_block(payload)?;
        if head.has(flag::END_HEADERS) {
            self.continued = None;
            let block = std::mem::take(&mut self.block);
            self.on_head(stream, end, &block)?;
            self.block = block;
        }
        Ok(())
    }

    /// A block that is much longer than what it may expand to is not worth reading on.
    fn extend_block(&mut self, piece: &[u8]) -> Result<(), ConnError> {
        if self.block.len() + piece.len() > self.config.limits.head_bytes.saturating_mul(2) {
            return Err(calm("field block too long"));
        }
        self.block.extend_from_slice(piece);
        Ok(())
    }

    /// A whole field block. It is decoded whatever becomes of it: the decoder's state is the connection's.
    fn on_head(&mut self, stream: u32, end: bool, block: &[u8]) -> Result<(), ConnError> {
        let target = self.target(stream)?;
        match target {
            Target::Ignored => self.guard.empty()?,
            _ => self.guard.useful(),
        }
        let limits = self.config.limits;
        let list = match target {
            Target::Request | Target::NotTaken | Target::Ignored => {
                self.request.clear();
                &mut self.request.headers
            }
            Target::Response => {
                self.response.clear();
                &mut self.response.headers
            }
            Target::Trailers => {
                self.trailers.clear();
                &mut self.trailers
            }
        };
        let decoded = self.decoder.decode(block, &limits, list).map_err(|error| match error {
            HpackError::Expansion => calm("field block expands without end"),
            _ => ConnError::new(ErrorCode::COMPRESSION_ERROR, "field block cannot be decoded"),
        })?;
        match target {
            Target::Request => self.on_request(stream, end, decoded),
            Target::NotTaken => self.on_not_taken(stream),
            Target::Response => self.on_response(stream, end, decoded),
            Target::Trailers => self.on_trailers(stream, end, decoded),
            Target::Ignored => Ok(()),
        }
    }

    fn target(&mut self, id: u32) -> Result<Target, ConnError> {
        if let Some(stream) = self.streams.get(id) {
            return match (stream.recv, self.role) {
                (Half::Head, Role::Client) => Ok(Target::Response),
                (Half::Body, _) => Ok(Target::Trailers),
                _ => Err(ConnError::new(ErrorCode::STREAM_CLOSED, "HEADERS behind the end of a stream")),
            };
        }
        match self.role {
            Role::Server if id % 2 == 1 && id > self.last_peer => {
                if self.shutdown == Shutdown::Final {
                    self.recent.add(id);
                    return Ok(Target::Ignored);
                }
                self.last_peer = id;
                self.guard.stream();
                let full = self.streams.len() >= self.config.max_concurrent_streams as usize;
                Ok(if full { Target::NotTaken } else { Target::Request })
            }
            Role::Client if id % 2 == 1 && id < self.next_local => Ok(Target::Ignored),
            _ if self.recent.contains(id) => Ok(Target::Ignored),
            _ => Err(ConnError::protocol("HEADERS on a stream that cannot be opened")),
        }
    }

    fn on_request(&mut self, id: u32, end: bool, decoded: Decoded) -> Result<(), ConnError> {
        let stream = StreamId::new(id);
        if decoded == Decoded::TooLarge {
            self.refuse_with_status(id, 431, end);
            self.events.push_back(Event::Refused { stream, why: Refusal::TooLarge });
            return self.count_reset();
        }
        let expected = head::request(&mut self.request, self.config.extended_connect)
            .and_then(|()| head::content_length(&mut self.request.headers));
        let expected = match expected {
            Ok(Some(length)) if end && length > 0 => Err(HeadError::ContentLength),
            other => other,
        };
        match expected {
            Ok(expected) => {
                let open = self.streams.insert(id, self.peer.initial_window, self.config.stream_window);
                open.recv = if end { Half::Closed } else { Half::Body };
                open.expected = expected;
                self.events.push_back(Event::Request { stream, end });
                Ok(())
            }
            Err(error) => {
                frame::put_reset(self.output.buf(), id, ErrorCode::PROTOCOL_ERROR);
                self.recent.add(id);
                self.events.push_back(Event::Refused { stream, why: Refusal::Malformed(error) });
                self.count_reset()
            }
        }
    }

    fn on_not_taken(&mut self, id: u32) -> Result<(), ConnError> {
        frame::put_reset(self.output.buf(), id, ErrorCode::REFUSED_STREAM);
        self.recent.add(id);
        self.events.push_back(Event::Refused { stream: StreamId::new(id), why: Refusal::TooMany });
        self.count_reset()
    }

    fn on_response(&mut self, id: u32, end: bool, decoded: Decoded) -> Result<(), ConnError> {
        if decoded == Decoded::TooLarge || head::response(&mut self.response).is_err() {
            return self.stream_error(id, ErrorCode::PROTOCOL_ERROR);
        }
        let stream = StreamId::new(id);
        if self.response.is_informational() {
            if end {
                return self.stream_error(id, ErrorCode::PROTOCOL_ERROR);
            }
            self.events.push_back(Event::Response { stream, end: false });
            return Ok(());
        }
        let Ok(length) = head::content_length(&mut self.response.headers) else {
            return self.stream_error(id, ErrorCode::PROTOCOL_ERROR);
        };
        let Some(open) = self.streams.get_mut(id) else { return Ok(()) };
        let bodiless = open.bodiless || matches!(self.response.status, 204 | 304);
        open.expected = if bodiless { Some(0) } else { length };
        open.recv = if end { Half::Closed } else { Half::Body };
        if end && open.expected.is_some_and(|length| length > 0) {
            return self.stream_error(id, ErrorCode::PROTOCOL_ERROR);
        }
        self.events.push_back(Event::Response { stream, end });
        self.forget_if_over(id);
        Ok(())
    }

    fn on_trailers(&mut self, id: u32, end: bool, decoded: Decoded) -> Result<(), ConnError> {
        let complete = self.streams.get(id).is_some_and(|open| open.expected.is_none_or(|left| left == 0));
        let bad = decoded == Decoded::TooLarge || !end || !complete;
        if bad || head::trailers(&mut self.trailers).is_err() {
            return self.stream_error(id, ErrorCode::PROTOCOL_ERROR);
        }
        if let Some(open) = self.streams.get_mut(id) {
            open.recv = Half::Closed;
        }
        self.events.push_back(Event::Trailers { stream: StreamId::new(id) });
        self.forget_if_over(id);
        Ok(())
    }

    fn on_priority(&mut self, head: FrameHead) -> Result<(), ConnError> {
        if head.stream == 0 {
            return Err(ConnError::protocol("PRIORITY on stream 0"));
        }
        if head.len != 5 {
            return Err(ConnError::new(ErrorCode::FRAME_SIZE_ERROR, "PRIORITY of a length other than 5"));
        }
        self.guard.empty()
    }

    fn on_reset(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnError> {
        let code = ErrorCode(u32::from_be_bytes(four(payload, "RST_STREAM of a length other than 4")?));
        if head.stream == 0 || self.is_idle(head.stream) {
            return Err(ConnError::protocol("RST_STREAM on an idle stream"));
        }
        let Some(open) = self.streams.get(head.stream) else { return self.guard.empty() };
        let unanswered = self.role == Role::Server && open.send != Half::Closed;
        self.forget(head.stream);
        let unprocessed = code == ErrorCode::REFUSED_STREAM;
        let stream = StreamId::new(head.stream);
        self.events.push_back(Event::Reset { stream, code, by_peer: true, unprocessed });
        if unanswered { self.guard.reset() } else { Ok(()) }
    }

    fn on_settings(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnError> {
        if head.stream != 0 {
            return Err(ConnError::protocol("SETTINGS on a stream"));
        }
        if head.has(flag::ACK) {
            return if payload.is_empty() {
                Ok(())
            } else {
                Err(ConnError::new(ErrorCode::FRAME_SIZE_ERROR, "SETTINGS acknowledgement with payload"))
            };
        }
        let before = i64::from(self.peer.initial_window);
        let first = !self.settings_seen;
        self.peer.apply(payload, self.role, first)?;
        self.settings_seen = true;
        self.encoder.set_allowed(self.peer.lowest_table_size as usize);
        self.encoder.set_allowed(self.peer.header_table_size as usize);
        let change = i64::from(self.peer.initial_window) - before;
        if change != 0 {
            self.change_windows(change)?;
        }
        self.answer()?;
        frame::put(self.output.buf(), kind::SETTINGS, flag::ACK, 0, &[]);
        self.events.push_back(Event::Settings);
        Ok(())
    }

    /// A new initial window moves the windows of open streams (RFC 9113 section 6.9.2).
    fn change_windows(&mut self, change: i64) -> Result<(), ConnError> {
        for (id, stream) in self.streams.iter_mut() {
            if !stream.grow_send_window(change) {
                return Err(ConnError::new(ErrorCode::FLOW_CONTROL_ERROR, "window over 2^31-1"));
            }
            if !stream.queue.is_empty() && !stream.ready {
                stream.ready = true;
                self.ready.push_back(id);
            }
        }
        Ok(())
    }

    fn on_ping(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnError> {
        if head.stream != 0 {
            return Err(ConnError::protocol("PING on a stream"));
        }
        let Ok(payload) = <[u8; 8]>::try_from(payload) else {
            return Err(ConnError::new(ErrorCode::FRAME_SIZE_ERROR, "PING of a length other than 8"));
        };
        if !head.has(flag::ACK) {
            self.answer()?;
            frame::put(self.output.buf(), kind::PING, flag::ACK, 0, &payload);
        } else if payload == SHUTDOWN_PING && self.shutdown == Shutdown::Announced {
            self.go_away(ErrorCode::NO_ERROR, "");
        } else {
            self.events.push_back(Event::Pong { payload });
        }
        Ok(())
    }

    fn on_go_away(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnError> {
        if head.stream != 0 {
            return Err(ConnError::protocol("GOAWAY on a stream"));
        }
        let [l1, l2, l3, l4, c1, c2, c3, c4, ..] = payload else {
            return Err(ConnError::new(ErrorCode::FRAME_SIZE_ERROR, "GOAWAY shorter than 8"));
        };
        let last = frame::u31([*l1, *l2, *l3, *l4]);
        let code = ErrorCode(u32::from_be_bytes([*c1, *c2, *c3, *c4]));
        self.peer_going_away = true;
        self.events.push_back(Event::GoAway { last, code });
        if self.role == Role::Client {
            let mut lost: Vec<u32> = self.streams.ids().filter(|id| *id > last).collect();
            lost.sort_unstable();
            for id in lost {
                self.forget(id);
                let (stream, code) = (StreamId::new(id), ErrorCode::REFUSED_STREAM);
                self.events.push_back(Event::Reset { stream, code, by_peer: true, unprocessed: true });
            }
        }
        self.guard.empty()
    }

    fn on_window_update(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnError> {
        let increment = frame::u31(four(payload, "WINDOW_UPDATE of a length other than 4")?);
        if head.stream == 0 {
            if increment == 0 {
                return Err(ConnError::protocol("WINDOW_UPDATE of 0"));
            }
            self.send_window += i64::from(increment);
            return if self.send_window > i64::from(MAX_WINDOW) {
                Err(ConnError::new(ErrorCode::FLOW_CONTROL_ERROR, "window over 2^31-1"))
            } else {
                Ok(())
            };
        }
        if self.is_idle(head.stream) {
            return Err(ConnError::protocol("WINDOW_UPDATE on an idle stream"));
        }
        let Some(stream) = self.streams.get_mut(head.stream) else { return self.guard.empty() };
        if increment == 0 {
            return self.stream_error(head.stream, ErrorCode::PROTOCOL_ERROR);
        }
        if !stream.grow_send_window(i64::from(increment)) {
            return self.stream_error(head.stream, ErrorCode::FLOW_CONTROL_ERROR);
        }
        if !stream.queue.is_empty() && !stream.ready {
            stream.ready = true;
            self.ready.push_back(head.stream);
        }
        Ok(())
    }

    /// A frame for a stream that is not open: an error unless we ended it lately.
    fn on_closed_stream(&mut self, stream: u32) -> Result<(), ConnError> {
        if self.is_idle(stream) {
            return Err(ConnError::protocol("frame on an idle stream"));
        }
        if self.recent.contains(stream) {
            return Ok(());
        }
        frame::put_reset(self.output.buf(), stream, ErrorCode::STREAM_CLOSED);
        self.recent.add(stream);
        self.count_reset()
    }

    /// Ends a stream for an error of the peer's (RFC 9113 section 5.4.2).
    fn stream_error(&mut self, stream: u32, code: ErrorCode) -> Result<(), ConnError> {
        frame::put_reset(self.output.buf(), stream, code);
        self.recent.add(stream);
        self.forget(stream);
        let id = StreamId::new(stream);
        self.events.push_back(Event::Reset { stream: id, code, by_peer: false, unprocessed: false });
        self.count_reset()
    }

    fn count_reset(&mut self) -> Result<(), ConnError> {
        self.answer()?;
        if self.role == Role::Server { self.guard.reset() } else { Ok(()) }
    }

    fn answer(&mut self) -> Result<(), ConnError> {
        self.guard.answer(self.output.written(), self.output.len())
    }

    fn is_idle(&self, stream: u32) -> bool {
        match self.role {
            // Behind the final GOAWAY streams still come; they are ignored.
            Role::Server => {
                stream.is_multiple_of(2) || (stream > self.last_peer && self.shutdown != Shutdown::Final)
            }
            Role::Client => stream.is_multiple_of(2) || stream >= self.next_local,
        }
    }

    fn forget_if_over(&mut self, stream: u32) {
        if self.streams.get(stream).is_some_and(super::stream::Stream::is_closed) {
            self.forget(stream);
        }
    }
}

fn four(payload: &[u8], what: &'static str) -> Result<[u8; 4], ConnError> {
    <[u8; 4]>::try_from(payload).map_err(|_| ConnError::new(ErrorCode::FRAME_SIZE_ERROR, what))
}
