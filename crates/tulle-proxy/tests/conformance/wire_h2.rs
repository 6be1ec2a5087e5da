//! HTTP/2 frame by frame, from either end.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use tulle_http::{
    HeaderList, Limits,
    h2::{ErrorCode, PREFACE},
    hpack::{Decoded, Decoder},
};

use crate::wire::PATIENCE;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WITH_PRIORITY: u8 = 0x20;

/// Settings by number (RFC 9113 section 6.5.2).
pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
pub(crate) const ENABLE_PUSH: u16 = 2;
pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(crate) const MAX_FRAME_SIZE: u16 = 5;
pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;

pub(crate) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
pub(crate) const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Four bytes of the payload as a number.
    pub(crate) fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// The payload of a SETTINGS frame.
pub(crate) fn settings(list: &[(u16, u32)]) -> Vec<u8> {
    list.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect()
}

/// A field block of literals that no table remembers, so that any name and value can be written.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            integer(text.len(), &mut out);
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// The length of a string without Huffman code (RFC 7541 section 5.1).
fn integer(value: usize, out: &mut Vec<u8>) {
    if value < 127 {
        out.push(value as u8);
        return;
    }
    out.push(127);
    let mut rest = value - 127;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

/// One end of a connection, written by hand. SETTINGS and PING of the other end are answered while reading.
pub(crate) struct Frames {
    stream: TcpStream,
    decoder: Decoder,
    inbox: Vec<u8>,
    /// Frames that were read while others were looked for.
    waiting: VecDeque<Frame>,
    /// What the other end has announced.
    pub(crate) peer: Vec<(u16, u32)>,
    /// Whether PING is answered.
    pub(crate) polite: bool,
}

impl Frames {
    /// A connection on which nothing has been said.
    pub(crate) fn silent(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            decoder: Decoder::new(4096),
            inbox: Vec::new(),
            waiting: VecDeque::new(),
            peer: Vec::new(),
            polite: true,
        }
    }

    /// A client that has said nothing yet.
    pub(crate) fn bare(at: SocketAddr) -> Self {
        Self::silent(TcpStream::connect(at).unwrap())
    }

    /// A client whose preface is through, with these settings.
    pub(crate) fn with(at: SocketAddr, list: &[(u16, u32)]) -> Self {
        let mut frames = Self::bare(at);
        frames.raw(PREFACE);
        frames.send(SETTINGS, 0, 0, &settings(list));
        frames.await_settings();
        frames
    }

    /// A client whose preface is through.
    pub(crate) fn connect(at: SocketAddr) -> Self {
        Self::with(at, &[])
    }

    /// A server's end of a connection; `None` where no client came.
    pub(crate) fn accept(stream: &TcpStream) -> Option<Self> {
        Self::accept_with(stream, &[])
    }

    /// The same with these settings.
    pub(crate) fn accept_with(stream: &TcpStream, list: &[(u16, u32)]) -> Option<Self> {
        let mut frames = Self::silent(stream.try_clone().ok()?);
        let mut preface = [0; 24];
        frames.stream.read_exact(&mut preface).ok()?;
        assert_eq!(&preface, PREFACE);
        frames.send(SETTINGS, 0, 0, &settings(list));
        frames.await_settings();
        Some(frames)
    }

    fn await_settings(&mut self) {
        let first = self.read().unwrap();
        assert_eq!((first.kind, first.flags), (SETTINGS, 0), "the first frame is SETTINGS");
    }

    /// The socket.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Writes bytes; whether the other end takes them.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Writes a frame.
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.raw(&frame(kind, flags, stream, payload))
    }

    /// Writes a head in one frame.
    pub(crate) fn head(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) -> bool {
        self.send(HEADERS, flags | END_HEADERS, stream, &block(fields))
    }

    /// A GET for this path.
    pub(crate) fn get(&mut self, stream: u32, path: &str) {
        let mut fields = GET;
        fields[2].1 = path;
        self.head(stream, END_STREAM, &fields);
    }

    /// The next frame; `None` at the end of the connection.
    fn read(&mut self) -> Option<Frame> {
        loop {
            if self.inbox.len() >= 9 {
                let len = u32::from_be_bytes([0, self.inbox[0], self.inbox[1], self.inbox[2]]) as usize;
                if self.inbox.len() >= 9 + len {
                    let head: Vec<u8> = self.inbox.drain(..9 + len).collect();
                    let frame = Frame {
                        kind: head[3],
                        flags: head[4],
                        stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
                        payload: head[9..].to_vec(),
                    };
                    self.answer(&frame);
                    return Some(frame);
                }
            }
            let mut bytes = [0; 32 * 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.inbox.extend_from_slice(&bytes[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("nothing comes, and the connection does not end")
                }
                // A reset is an end.
                Err(_) => return None,
            }
        }
    }

    fn answer(&mut self, frame: &Frame) {
        match (frame.kind, frame.flags & ACK) {
            (SETTINGS, 0) => {
                self.peer.extend(frame.payload.chunks(6).map(|s| {
                    (u16::from_be_bytes([s[0], s[1]]), u32::from_be_bytes([s[2], s[3], s[4], s[5]]))
                }));
                self.send(SETTINGS, ACK, 0, &[]);
            }
            (PING, 0) if self.polite => {
                self.send(PING, ACK, 0, &frame.payload);
            }
            _ => {}
        }
    }

    /// The next frame that `wanted` says yes to; others are kept. `None` at the end of the connection.
    pub(crate) fn find(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        if let Some(at) = self.waiting.iter().position(&wanted) {
            return self.waiting.remove(at);
        }
        loop {
            let frame = self.read()?;
            if wanted(&frame) {
                return Some(frame);
            }
            self.waiting.push_back(frame);
        }
    }

    /// The head of a message on this stream.
    pub(crate) fn fields(&mut self, stream: u32) -> Vec<(String, String)> {
        let head = self.find(|f| f.kind == HEADERS && f.stream == stream).expect("a head");
        let mut bytes = head.payload;
        let mut flags = head.flags;
        while flags & END_HEADERS == 0 {
            let more = self.find(|f| f.kind == CONTINUATION && f.stream == stream).expect("its continuation");
            bytes.extend_from_slice(&more.payload);
            flags = more.flags;
        }
        let mut list = HeaderList::new();
        let limits = Limits { head_bytes: 1 << 20, headers: 10_000, ..Limits::default() };
        assert_eq!(self.decoder.decode(&bytes, &limits, &mut list), Ok(Decoded::Complete));
        list.iter()
            .map(|f| (f.name_str().to_owned(), String::from_utf8_lossy(f.value).into_owned()))
            .collect()
    }

    /// The status of the response on this stream.
    pub(crate) fn status(&mut self, stream: u32) -> u16 {
        let fields = self.fields(stream);
        assert_eq!(fields[0].0, ":status");
        fields[0].1.parse().unwrap()
    }

    /// The body on this stream up to its end; windows are opened again for what came.
    pub(crate) fn body(&mut self, stream: u32) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let data = self
                .find(|f| f.stream == stream && matches!(f.kind, DATA | RST_STREAM | HEADERS))
                .expect("more of the body");
            match data.kind {
                DATA => body.extend_from_slice(&data.payload),
                // Trailers.
                HEADERS => return body,
                _ => panic!("reset in the middle of a body: {data:?}"),
            }
            if data.flags & END_STREAM != 0 {
                return body;
            }
            if !data.payload.is_empty() {
                let count = (data.payload.len() as u32).to_be_bytes();
                self.send(WINDOW_UPDATE, 0, 0, &count);
                self.send(WINDOW_UPDATE, 0, stream, &count);
            }
        }
    }

    /// A server's next request: its stream and head.
    pub(crate) fn request(&mut self) -> (u32, Vec<(String, String)>) {
        self.try_request().expect("a request")
    }

    /// The same; `None` at the end of the connection.
    pub(crate) fn try_request(&mut self) -> Option<(u32, Vec<(String, String)>)> {
        let head = self.find(|f| f.kind == HEADERS)?;
        let id = head.stream;
        self.waiting.push_front(head);
        Some((id, self.fields(id)))
    }

    /// The stream is reset with this code, and the connection lives on.
    pub(crate) fn expect_reset(&mut self, stream: u32, code: ErrorCode) {
        let frame = self
            .find(|f| (f.kind == RST_STREAM && f.stream == stream) || f.kind == GOAWAY)
            .unwrap_or_else(|| panic!("the connection ended; wanted {code} on stream {stream}"));
        assert_eq!(
            (frame.kind, ErrorCode(frame.number(if frame.kind == GOAWAY { 4 } else { 0 }))),
            (RST_STREAM, code)
        );
    }

    /// GOAWAY with this code comes, then the end of the connection.
    pub(crate) fn expect_go_away(&mut self, code: ErrorCode) {
        let frame = self
            .find(|f| f.kind == GOAWAY)
            .unwrap_or_else(|| panic!("the connection ended without GOAWAY; wanted {code}"));
        assert_eq!(ErrorCode(frame.number(4)), code);
        assert_eq!(self.find(|_| false), None, "the connection ends");
    }

    /// The connection is in order: PING is answered, and a request.
    pub(crate) fn is_alive(&mut self, stream: u32) {
        self.send(PING, 0, 0, b"ping-pon");
        self.find(|f| f.kind == PING && f.flags & ACK != 0).expect("the answer to PING");
        self.get(stream, "/fine");
        assert_eq!(self.status(stream), 200);
        assert_eq!(self.body(stream), b"fine");
    }

    /// Waits until the other end has closed.
    pub(crate) fn wait_for_end(&mut self) {
        while self.read().is_some() {}
    }
}
