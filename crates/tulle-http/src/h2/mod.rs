//! HTTP/2 (RFC 9113): one connection, client or server, without I/O.
//!
//! A [`Connection`] belongs to one thread and does nothing by itself. A turn of the caller's loop is:
//!
//! 1. read from the socket into a buffer, call [`Connection::recv`] until it returns `None`, handle each [`Event`] at
//!    once (heads are swapped out with [`Connection::take_request`] and its sisters, so that no head is allocated);
//! 2. answer with [`Connection::send_response`], [`Connection::send_data`] and so on, as often as there is something;
//! 3. call [`Connection::flush`], write [`Connection::output`] to the socket in one vectored write, and ask
//!    [`Connection::take_writable`] which streams have room again.
//!
//! Control frames and heads are serialised when they arise; DATA waits in its stream until `flush` takes it in turns of
//! one frame for each stream, as windows allow, behind what is already in the output. Bodies are views
//! ([`bytes::Bytes`]) on the way in and, above a few kilobytes, on the way out.
//!
//! What a peer can make us hold is bounded: heads by [`Limits`], bodies by windows (opened again only by
//! [`Connection::release_capacity`]), streams by [`Config::max_concurrent_streams`], answers to control frames by a
//! count of those not yet written; everything else that waits in the output by the caller, who heeds
//! [`Connection::is_congested`]. Floods of resets, empty frames and continuations end the connection with
//! ENHANCE_YOUR_CALM.

mod connection;
mod error;
mod frame;
mod guard;
mod head;
mod output;
mod receive;
mod send;
mod settings;
mod stream;

pub use connection::{Connection, Event};
pub use error::{ConnError, ErrorCode, HeadError, Refusal, SendError};
pub use output::Output;
pub use send::Pressure;

use crate::Limits;
use std::fmt;

/// What a client sends first (RFC 9113 section 3.4); look for it to tell HTTP/2 from HTTP/1.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Which end of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We open streams.
    Client,
    /// The peer opens streams.
    Server,
}

/// The number of a stream: odd, as push is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u32);

impl StreamId {
    pub(crate) const fn new(id: u32) -> Self {
        Self(id)
    }

    /// The number on the wire.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What we announce and how much we hold.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Limits on heads and trailers.
    pub limits: Limits,
    /// Streams that the peer may have open at once. Default 1024, as Envoy's.
    pub max_concurrent_streams: u32,
    /// Bytes of body that the peer may send on a stream before they are released; 65,535 to 2^31-1 (values outside are
    /// moved to the bound). Default 256 KiB.
    pub stream_window: u32,
    /// Bytes of bodies that may be on their way on all streams together; opened again as they come, until streams hold
    /// much ([`Connection::release_capacity`]). Default 1 MiB.
    pub connection_window: u32,
    /// Largest frame that we take: 16,384 to 2^24-1 (moved to the bound). Default 16,384.
    pub max_frame_size: u32,
    /// Most bytes of dynamic table that our encoder uses, 0 to 4096 (moved to the bound). Default 4096.
    pub encoder_table_size: u32,
    /// Shorten literals by the Huffman code: fewer bytes for more CPU at both ends. Default no.
    pub huffman: bool,
    /// Server: take extended CONNECT (RFC 8441; Envoy: `allow_connect`). Default no.
    pub extended_connect: bool,
    /// Bytes queued on one stream from which [`Connection::send_data`] says [`Pressure::Blocked`]. Default 64 KiB.
    pub send_high_water: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            max_concurrent_streams: 1024,
            stream_window: 256 * 1024,
            connection_window: 1024 * 1024,
            max_frame_size: 16 * 1024,
            encoder_table_size: 4096,
            huffman: false,
            extended_connect: false,
            send_high_water: 64 * 1024,
        }
    }
}
