//! The connection: what both directions share.

use super::error::{ConnError, ErrorCode, Refusal, SendError};
use super::frame::{self, kind};
use super::guard::Guard;
use super::output::Output;
use super::settings::{self, DEFAULT_WINDOW, Peer};
use super::stream::{Half, Recent, Streams};
use super::{Config, PREFACE, Role, StreamId};
use crate::hpack::{Decoder, Encoder};
use crate::{HeaderList, RequestHead, ResponseHead};
use bytes::Bytes;
use std::collections::VecDeque;

/// One end of an HTTP/2 connection. See the [module's page](super) for a turn of the loop around it.
#[derive(Debug)]
pub struct Connection {
    pub(super) role: Role,
    pub(super) config: Config,
    pub(super) peer: Peer,
    pub(super) streams: Streams,
    pub(super) recent: Recent,
    pub(super) output: Output,
    pub(super) guard: Guard,

    // Receiving.
    pub(super) decoder: Decoder,
    /// Bytes of the client's preface that have come (server).
    pub(super) preface: usize,
    pub(super) settings_seen: bool,
    /// A head whose CONTINUATION is to come: stream and END_STREAM.
    pub(super) continued: Option<(u32, bool)>,
    pub(super) block: Vec<u8>,
    pub(super) request: RequestHead,
    pub(super) response: ResponseHead,
    pub(super) trailers: HeaderList,
    pub(super) events: VecDeque<Event>,
    /// Bytes that the peer may still send, released and not announced.
    pub(super) recv_window: i64,
    pub(super) released: u32,
    /// Bytes of all streams handed out and not released.
    pub(super) held: u64,
    /// Those of them that the connection's window has not been opened for.
    pub(super) deferred: u32,
    /// The highest stream that the peer has opened.
    pub(super) last_peer: u32,

    // Sending.
    pub(super) encoder: Encoder,
    pub(super) send_window: i64,
    pub(super) next_local: u32,
    pub(super) ready: VecDeque<u32>,
    pub(super) writable: VecDeque<StreamId>,

    // Ending.
    pub(super) shutdown: Shutdown,
    pub(super) peer_going_away: bool,
    pub(super) failed: Option<ConnError>,
}

/// How far our own GOAWAY is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shutdown {
    No,
    /// GOAWAY with the highest number and a PING are sent; the PING's answer brings the final GOAWAY.
    Announced,
    /// No stream above `last_peer` is taken.
    Final,
}

/// The payload of the PING between the two GOAWAYs of a graceful end.
pub(super) const SHUTDOWN_PING: [u8; 8] = *b"\0goaway\0";

/// Bytes that the streams of a connection may hold together before its window is opened only for what they release: as a
/// server, whose peer may be anybody, and as a client, whose connection many share.
const MOST_HELD: (u64, u64) = (16 * 1024 * 1024, 64 * 1024 * 1024);

/// Largest buffer, in bytes, that an idle connection keeps.
const KEPT: usize = 2048;

/// What [`Connection::recv`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Server: a request began. Take its head with [`Connection::take_request`] before the next `recv`.
    Request {
        /// The stream.
        stream: StreamId,
        /// It has neither body nor trailers.
        end: bool,
    },
    /// Client: a response's head, informational ones included (status below 200; never with `end`). Take it with
    /// [`Connection::take_response`] before the next `recv`.
    Response {
        /// The stream.
        stream: StreamId,
        /// It has neither body nor trailers.
        end: bool,
    },
    /// A piece of body; empty only with `end`. Call [`Connection::release_capacity`] once it has been passed on.
    Data {
        /// The stream.
        stream: StreamId,
        /// A view of the read buffer.
        data: Bytes,
        /// The message is complete.
        end: bool,
    },
    /// Trailers; the message is complete. Take them with [`Connection::take_trailers`] before the next `recv`.
    Trailers {
        /// The stream.
        stream: StreamId,
    },
    /// The stream is over and forgotten; what was queued on it is dropped.
    Reset {
        /// The stream.
        stream: StreamId,
        /// Why.
        code: ErrorCode,
        /// By the peer's frame, or by us because what came on it was malformed (answer 502).
        by_peer: bool,
        /// The peer says that it has not begun to work on the request (REFUSED_STREAM, or beyond its GOAWAY): it may be
        /// sent again, whatever its method.
        unprocessed: bool,
    },
    /// Server: a request that was refused and answered already; for logs and counters.
    Refused {
        /// The stream.
        stream: StreamId,
        /// Why.
        why: Refusal,
    },
    /// The peer takes no new streams. Those beyond its last one come as [`Event::Reset`] next.
    GoAway {
        /// The highest stream that the peer has worked on, or will.
        last: u32,
        /// Why.
        code: ErrorCode,
    },
    /// The answer to [`Connection::ping`].
    Pong {
        /// What was sent.
        payload: [u8; 8],
    },
    /// The peer's settings have come or changed: see [`Connection::capacity_for_streams`].
    Settings,
}

impl Connection {
    /// A connection whose first bytes (preface and SETTINGS) are in the output.
    #[must_use]
    pub fn new(role: Role, config: Config) -> Self {
        let config = settings::bounded(config);
        let mut output = Output::default();
        let out = output.buf();
        if role == Role::Client {
            out.extend_from_slice(PREFACE);
        }
        frame::put_settings(out, &settings::ours(&config, role));
        if config.connection_window > DEFAULT_WINDOW {
            frame::put_window_update(out, 0, config.connection_window - DEFAULT_WINDOW);
        }
        Self {
            role,
            config,
            peer: Peer::default(),
            streams: Streams::default(),
            recent: Recent::default(),
            output,
            guard: Guard::default(),
            decoder: Decoder::new(4096),
            preface: 0,
            settings_seen: false,
            continued: None,
            block: Vec::new(),
            request: RequestHead::default(),
            response: ResponseHead::default(),
            trailers: HeaderList::default(),
            events: VecDeque::new(),
            recv_window: i64::from(config.connection_window),
            released: 0,
            held: 0,
            deferred: 0,
            last_peer: 0,
            encoder: Encoder::new(config.encoder_table_size as usize, config.huffman),
            send_window: i64::from(DEFAULT_WINDOW),
            next_local: 1,
            ready: VecDeque::new(),
            writable: VecDeque::new(),
            shutdown: Shutdown::No,
            peer_going_away: false,
            failed: None,
        }
    }

    /// Streams open in both directions or in one.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Client: how many more requests the peer takes now; 0 once the connection is ending. Before the peer's settings
    /// have come, as if it allowed 100 (RFC 9113 section 6.5.2 recommends no less).
    #[must_use]
    pub fn capacity_for_streams(&self) -> usize {
        if self.is_closing() || self.next_local > settings::MAX_WINDOW {
            return 0;
        }
        (self.peer.max_concurrent_streams as usize).saturating_sub(self.streams.len())
    }

    /// The peer's first SETTINGS have come.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.settings_seen
    }

    /// The peer takes extended CONNECT (RFC 8441).
    #[must_use]
    pub fn peer_takes_extended_connect(&self) -> bool {
        self.peer.connect_protocol
    }

    /// No new stream can begin: GOAWAY was sent or received, or the connection has failed.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.peer_going_away || self.shutdown != Shutdown::No || self.failed.is_some()
    }

    /// The connection is ending and nothing is left to do but to write the output and close.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let ended = self.peer_going_away || self.shutdown == Shutdown::Final;
        self.failed.is_some() || (ended && self.streams.len() == 0)
    }

    /// Swaps the head of the last [`Event::Request`] with `head`, whose memory serves for the next one.
    pub fn take_request(&mut self, head: &mut RequestHead) {
        std::mem::swap(&mut self.request, head);
    }

    /// Swaps the head of the last [`Event::Response`] with `head`.
    pub fn take_response(&mut self, head: &mut ResponseHead) {
        std::mem::swap(&mut self.response, head);
    }

    /// Swaps the list of the last [`Event::Trailers`] with `trailers`.
    pub fn take_trailers(&mut self, trailers: &mut HeaderList) {
        std::mem::swap(&mut self.trailers, trailers);
    }

    /// What waits to be written; call [`Connection::flush`] first.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Streams that [`Connection::send_data`] had called blocked and that have room again since the last flush.
    pub fn take_writable(&mut self) -> Option<StreamId> {
        self.writable.pop_front()
    }

    /// `bytes` of a stream's body have been passed on: the peer may send as many more. Windows are announced once half
    /// of one is released. What a stream still holds when it ends is released by itself, so a late call does nothing.
    ///
    /// The connection's window does not wait for this until all streams together hold 16 MiB (server) or 64 MiB (client): a
    /// few streams whose bodies nobody takes must not stop the others.
    pub fn release_capacity(&mut self, stream: StreamId, bytes: usize) {
        let Some(open) = self.streams.get_mut(stream.get()) else { return };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(open.held);
        open.held -= bytes;
        open.released += bytes;
        if open.recv != Half::Closed && open.released >= self.config.stream_window / 2 {
            open.recv_window += i64::from(open.released);
            frame::put_window_update(self.output.buf(), stream.get(), open.released);
            open.released = 0;
        }
        self.let_go(bytes);
    }

    /// A stream holds `bytes` more.
    pub(super) fn hold(&mut self, bytes: u32) {
        self.held += u64::from(bytes);
        if self.held <= self.most_held() {
            self.release_connection(bytes);
        } else {
            self.deferred += bytes;
        }
    }

    fn most_held(&self) -> u64 {
        match self.role {
            Role::Server => MOST_HELD.0,
            Role::Client => MOST_HELD.1,
        }
    }

    /// A stream holds `bytes` less.
    fn let_go(&mut self, bytes: u32) {
        self.held -= u64::from(bytes);
        if self.deferred > 0 {
            let give = if self.held <= self.most_held() { self.deferred } else { self.deferred.min(bytes) };
            self.deferred -= give;
            self.release_connection(give);
        }
    }

    pub(super) fn release_connection(&mut self, bytes: u32) {
        self.released += bytes;
        if self.released >= self.config.connection_window / 2 {
            self.recv_window += i64::from(self.released);
            frame::put_window_update(self.output.buf(), 0, self.released);
            self.released = 0;
        }
    }

    /// Ends a stream at once (RST_STREAM). NO_ERROR after a complete response tells a client to stop sending its body.
    /// Nothing happens if the stream is over.
    pub fn reset(&mut self, stream: StreamId, code: ErrorCode) {
        if self.streams.contains(stream.get()) {
            frame::put_reset(self.output.buf(), stream.get(), code);
            self.recent.add(stream.get());
            self.forget(stream.get());
        }
    }

    /// Removes a stream and releases what it held.
    pub(super) fn forget(&mut self, stream: u32) {
        if let Some(held) = self.streams.remove(stream) {
            self.let_go(held);
        }
    }

    /// Sends PING; [`Event::Pong`] brings the payload back. For keepalive: the caller owns the clock.
    pub fn ping(&mut self, payload: [u8; 8]) {
        frame::put(self.output.buf(), kind::PING, 0, 0, &payload);
    }

    /// Ends gracefully: the peer is told to open no more streams, those that are on their way are still taken (RFC 9113
    /// section 6.8), open ones finish. Then [`Connection::is_done`].
    pub fn shut_down(&mut self) {
        if self.shutdown != Shutdown::No || self.failed.is_some() {
            return;
        }
        if self.role == Role::Client {
            self.go_away(ErrorCode::NO_ERROR, "");
            return;
        }
        frame::put_go_away(self.output.buf(), settings::MAX_WINDOW, ErrorCode::NO_ERROR, b"");
        self.ping(SHUTDOWN_PING);
        self.shutdown = Shutdown::Announced;
    }

    /// Ends [`Connection::shut_down`] for a peer that does not answer: the final GOAWAY is sent now.
    pub fn finish_shut_down(&mut self) {
        if self.shutdown == Shutdown::Announced {
            self.go_away(ErrorCode::NO_ERROR, "");
        }
    }

    /// A head has begun whose end has not come.
    #[must_use]
    pub fn is_reading_head(&self) -> bool {
        self.continued.is_some()
    }

    /// Ends the connection for a reason of the caller's: GOAWAY with `code` is in the output, and all streams are lost.
    pub fn abort(&mut self, code: ErrorCode, why: &'static str) {
        self.fail(ConnError::new(code, why));
    }

    /// Sends the final GOAWAY: streams that have come are finished, later ones are ignored.
    pub fn go_away(&mut self, code: ErrorCode, debug: &str) {
        let debug = &debug.as_bytes()[..debug.len().min(256)];
        frame::put_go_away(self.output.buf(), self.last_peer, code, debug);
        self.shutdown = Shutdown::Final;
    }

    /// Gives back memory while no stream is open and nothing waits, for a connection that goes idle. What a small request
    /// needs (a few kilobytes) is kept, so that a connection with one request at a time does not ask for it anew each time.
    pub fn shrink(&mut self) {
        if self.streams.len() == 0 {
            self.output.shrink(KEPT);
            self.request.headers.shrink(KEPT);
            self.response.headers.shrink(KEPT);
            self.trailers.shrink(KEPT);
            if self.continued.is_none() && self.block.capacity() > KEPT {
                self.block = Vec::new();
            }
        }
    }

    pub(super) fn fail(&mut self, error: ConnError) {
        if self.failed.is_none() {
            self.go_away(error.code, error.what);
            self.failed = Some(error);
            for id in self.streams.ids().collect::<Vec<_>>() {
                self.streams.remove(id);
            }
        }
    }

    pub(super) fn check_open(&self) -> Result<(), SendError> {
        if self.failed.is_some() { Err(SendError::GoingAway) } else { Ok(()) }
    }
}
