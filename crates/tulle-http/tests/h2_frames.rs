//! HTTP/2 frame by frame: each clause of RFC 9113 that says what an endpoint must do about a bad one.

use bytes::{Buf, Bytes, BytesMut};
use tulle_http::h2::{
    Config, ConnError, Connection, ErrorCode, Event, HeadError, PREFACE, Pressure, Refusal, Role, StreamId,
};
use tulle_http::hpack::{Decoder, Encoder};
use tulle_http::{HeaderList, Limits, RequestHead, ResponseHead};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// One of our connections and a peer that writes frames by hand.
struct Wire {
    conn: Connection,
    encoder: Encoder,
    decoder: Decoder,
    input: BytesMut,
}

impl Wire {
    fn new(role: Role, config: Config) -> Self {
        let mut conn = Connection::new(role, config);
        let start = conn.output().remaining();
        conn.output().advance(start);
        let mut wire = Self {
            conn,
            encoder: Encoder::new(4096, false),
            decoder: Decoder::new(4096),
            input: BytesMut::new(),
        };
        if role == Role::Server {
            wire.input.extend_from_slice(PREFACE);
        }
        assert_eq!(wire.send(frame(SETTINGS, 0, 0, &[])), Ok(vec![Event::Settings]));
        assert_eq!(wire.sent(), ["SETTINGS ack"]);
        wire
    }

    fn server() -> Self {
        Self::new(Role::Server, Config::default())
    }

    /// A client with a request open on stream 1.
    fn client() -> Self {
        let mut wire = Self::new(Role::Client, Config::default());
        let head = RequestHead { authority: "a".into(), path: "/".into(), ..Default::default() };
        wire.conn.send_request(&head, true).expect("open");
        assert_eq!(wire.sent(), ["HEADERS 1 end :method=GET :scheme=http :path=/ :authority=a"]);
        wire
    }

    fn send(&mut self, bytes: Vec<u8>) -> Result<Vec<Event>, ConnError> {
        self.input.extend_from_slice(&bytes);
        let mut events = Vec::new();
        while let Some(event) = self.conn.recv(&mut self.input)? {
            events.push(event);
        }
        Ok(events)
    }

    /// The code of the connection error that the bytes cause.
    fn fails(&mut self, bytes: Vec<u8>) -> ErrorCode {
        let error = self.send(bytes).expect_err("a connection error");
        assert!(self.sent().last().is_some_and(|last| last.starts_with("GOAWAY")));
        assert_eq!(self.conn.recv(&mut BytesMut::new()), Err(error));
        error.code
    }

    fn block(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        // Names that the list refuses are written as literals by hand.
        let mut out = Vec::new();
        self.encoder.begin(&mut out);
        for (name, value) in fields {
            out.extend([0, name.len() as u8]);
            out.extend_from_slice(name.as_bytes());
            assert!(value.len() < 127);
            out.push(value.len() as u8);
            out.extend_from_slice(value.as_bytes());
        }
        out
    }

    fn head(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
        let block = self.block(fields);
        frame(HEADERS, flags | END_HEADERS, stream, &block)
    }

    fn get(&mut self, stream: u32, flags: u8) -> Vec<u8> {
        self.head(stream, flags, &GET)
    }

    /// What our side has written, a line for each frame.
    fn sent(&mut self) -> Vec<String> {
        self.conn.flush();
        let mut bytes = BytesMut::new();
        while !self.conn.output().is_empty() {
            let chunk = self.conn.output().chunk().to_vec();
            self.conn.output().advance(chunk.len());
            bytes.extend_from_slice(&chunk);
        }
        let mut lines = Vec::new();
        while !bytes.is_empty() {
            let len = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
            let (kind, flags) = (bytes[3], bytes[4]);
            let stream = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
            bytes.advance(9);
            lines.push(self.line(kind, flags, stream, &bytes.split_to(len)));
        }
        lines
    }

    fn line(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> String {
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("four"));
        let end = if flags & END_STREAM != 0 { " end" } else { "" };
        match kind {
            DATA => format!("DATA {stream}{end} {}", payload.len()),
            HEADERS => {
                let mut list = HeaderList::new();
                self.decoder.decode(payload, &Limits::default(), &mut list).expect("our block");
                let fields: String = list
                    .iter()
                    .map(|h| format!(" {}={}", h.name_str(), h.value_str().expect("text")))
                    .collect();
                format!("HEADERS {stream}{end}{fields}")
            }
            RST_STREAM => format!("RST_STREAM {stream} {}", ErrorCode(number(0))),
            SETTINGS => "SETTINGS ack".to_owned(),
            PING => format!("PING {} {}", if flags & ACK != 0 { "ack" } else { "" }, payload.escape_ascii()),
            GOAWAY => format!("GOAWAY {} {}", number(0), ErrorCode(number(4))),
            WINDOW_UPDATE => format!("WINDOW_UPDATE {stream} {}", number(0)),
            other => format!("frame {other}"),
        }
    }
}

const GET: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

fn first() -> StreamId {
    let mut conn = Connection::new(Role::Client, Config::default());
    conn.send_request(&RequestHead { authority: "a".into(), path: "/".into(), ..Default::default() }, true)
        .expect("open")
}

fn data(text: &'static str, end: bool) -> Event {
    Event::Data { stream: first(), data: Bytes::from_static(text.as_bytes()), end }
}

#[test]
fn s3_4_preface_and_first_settings() {
    let mut conn = Connection::new(Role::Server, Config::default());
    assert!(conn.recv(&mut BytesMut::from(&b"GET / HTTP/1.1\r\n"[..])).is_err());
    let mut conn = Connection::new(Role::Server, Config::default());
    for byte in PREFACE {
        assert_eq!(conn.recv(&mut BytesMut::from(&[*byte][..])), Ok(None));
    }
    let error =
        conn.recv(&mut BytesMut::from(frame(PING, 0, 0, &[0; 8]).as_slice())).expect_err("SETTINGS first");
    assert_eq!(error.code, ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn s4_2_frame_sizes() {
    assert_eq!(Wire::server().fails(frame(DATA, 0, 1, &[0; 16_385])), ErrorCode::FRAME_SIZE_ERROR);
    for bytes in [
        frame(SETTINGS, 0, 0, &[0; 5]),
        frame(SETTINGS, ACK, 0, &[0; 6]),
        frame(PING, 0, 0, &[0; 7]),
        frame(GOAWAY, 0, 0, &[0; 7]),
        frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
        frame(RST_STREAM, 0, 1, &[0; 5]),
        frame(PRIORITY, 0, 1, &[0; 4]),
    ] {
        assert_eq!(Wire::server().fails(bytes), ErrorCode::FRAME_SIZE_ERROR);
    }
}

#[test]
fn s5_1_states() {
    for bytes in [
        frame(DATA, 0, 1, b"x"),
        frame(DATA, 0, 0, b"x"),
        frame(HEADERS, END_HEADERS, 0, b""),
        frame(RST_STREAM, 0, 1, &[0; 4]),
        frame(RST_STREAM, 0, 0, &[0; 4]),
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        frame(PRIORITY, 0, 0, &[0; 5]),
        frame(SETTINGS, 0, 1, &[]),
        frame(PING, 0, 1, &[0; 8]),
        frame(GOAWAY, 0, 1, &[0; 8]),
        frame(CONTINUATION, END_HEADERS, 1, b""),
        frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]),
    ] {
        assert_eq!(Wire::server().fails(bytes), ErrorCode::PROTOCOL_ERROR);
    }
    // Half-closed (remote): DATA is a stream error, HEADERS a connection error.
    let mut wire = Wire::server();
    let get = wire.get(1, END_STREAM);
    assert_eq!(wire.send(get), Ok(vec![Event::Request { stream: first(), end: true }]));
    let reset =
        Event::Reset { stream: first(), code: ErrorCode::STREAM_CLOSED, by_peer: false, unprocessed: false };
    assert_eq!(wire.send(frame(DATA, 0, 1, b"x")), Ok(vec![reset]));
    assert_eq!(wire.sent(), ["RST_STREAM 1 STREAM_CLOSED"]);
    let mut wire = Wire::server();
    let twice = [wire.get(1, END_STREAM), wire.get(1, END_STREAM)].concat();
    assert_eq!(wire.fails(twice), ErrorCode::STREAM_CLOSED);
}

#[test]
fn s5_1_1_stream_numbers() {
    let mut wire = Wire::server();
    let even = wire.get(2, END_STREAM);
    assert_eq!(wire.fails(even), ErrorCode::PROTOCOL_ERROR);
    let mut wire = Wire::server();
    let backwards = [wire.get(5, END_STREAM), wire.get(3, END_STREAM)].concat();
    assert_eq!(wire.fails(backwards), ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn s5_1_2_concurrency() {
    let mut wire = Wire::new(Role::Server, Config { max_concurrent_streams: 1, ..Config::default() });
    let two = [wire.get(1, END_STREAM), wire.get(3, END_STREAM)].concat();
    let events = wire.send(two).expect("no connection error");
    assert!(matches!(events[1], Event::Refused { why: Refusal::TooMany, .. }), "{events:?}");
    assert_eq!(wire.sent(), ["RST_STREAM 3 REFUSED_STREAM"]);
    wire.conn.send_response(first(), &ResponseHead::new(204), true).expect("open");
    let third = wire.get(5, END_STREAM);
    assert!(matches!(wire.send(third).expect("fine")[..], [Event::Request { .. }]));
}

#[test]
fn s5_5_unknown_frames_are_ignored() {
    assert_eq!(Wire::server().send(frame(0xbe, 0xff, 7, b"grease")), Ok(vec![]));
}

#[test]
fn s6_1_data_and_padding() {
    let mut wire = Wire::server();
    let get = wire.get(1, 0);
    let request = Event::Request { stream: first(), end: false };
    assert_eq!(wire.send(get), Ok(vec![request]));
    assert_eq!(wire.send(frame(DATA, PADDED, 1, b"\x03abc\0\0\0")), Ok(vec![data("abc", false)]));
    assert_eq!(wire.send(frame(DATA, END_STREAM | PADDED, 1, b"\x01\0")), Ok(vec![data("", true)]));
    let mut wire = Wire::server();
    let bad = [wire.get(1, 0), frame(DATA, PADDED, 1, b"\x04abc")].concat();
    assert_eq!(wire.fails(bad), ErrorCode::PROTOCOL_ERROR);
    let mut wire = Wire::server();
    let bad = frame(HEADERS, PADDED | END_HEADERS, 1, b"\x01");
    assert_eq!(wire.fails(bad), ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn s6_4_resets() {
    let mut wire = Wire::server();
    let get = wire.get(1, 0);
    wire.send(get).expect("fine");
    let reset = Event::Reset { stream: first(), code: ErrorCode::CANCEL, by_peer: true, unprocessed: false };
    assert_eq!(wire.send(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])), Ok(vec![reset]));
    assert!(wire.conn.send_response(first(), &ResponseHead::new(200), true).is_err());
    assert_eq!(wire.conn.open_streams(), 0);
}

#[test]
fn s6_5_settings() {
    let setting =
        |id: u16, value: u32| frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    assert_eq!(Wire::server().fails(setting(2, 2)), ErrorCode::PROTOCOL_ERROR);
    assert_eq!(Wire::client().fails(setting(2, 1)), ErrorCode::PROTOCOL_ERROR);
    assert_eq!(Wire::server().fails(setting(4, 1 << 31)), ErrorCode::FLOW_CONTROL_ERROR);
    assert_eq!(Wire::server().fails(setting(5, 16_383)), ErrorCode::PROTOCOL_ERROR);
    assert_eq!(Wire::server().fails(setting(5, 1 << 24)), ErrorCode::PROTOCOL_ERROR);
    assert_eq!(Wire::server().send(setting(0xfff, 1)), Ok(vec![Event::Settings]));
    let mut wire = Wire::client();
    wire.send(setting(3, 1)).expect("fine");
    assert_eq!(wire.conn.capacity_for_streams(), 0);
}

#[test]
fn s6_7_ping() {
    let mut wire = Wire::server();
    assert_eq!(wire.send(frame(PING, 0, 0, b"12345678")), Ok(vec![]));
    assert_eq!(wire.sent(), ["PING ack 12345678"]);
    wire.conn.ping(*b"abcdefgh");
    assert_eq!(wire.send(frame(PING, ACK, 0, b"abcdefgh")), Ok(vec![Event::Pong { payload: *b"abcdefgh" }]));
}

#[test]
fn s6_8_goaway_from_the_server() {
    let mut wire = Wire::client();
    let head = RequestHead { authority: "a".into(), path: "/".into(), ..Default::default() };
    let second = wire.conn.send_request(&head, true).expect("open");
    let events = wire.send(frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])).expect("fine");
    assert_eq!(
        events,
        [
            Event::GoAway { last: 1, code: ErrorCode::NO_ERROR },
            Event::Reset {
                stream: second,
                code: ErrorCode::REFUSED_STREAM,
                by_peer: true,
                unprocessed: true
            },
        ]
    );
    assert!(wire.conn.send_request(&head, true).is_err() && !wire.conn.is_done());
    let answer = wire.head(1, END_STREAM, &[(":status", "200")]);
    assert_eq!(wire.send(answer), Ok(vec![Event::Response { stream: first(), end: true }]));
    assert!(wire.conn.is_done());
}

#[test]
fn s6_8_graceful_goaway_takes_what_is_on_its_way() {
    let mut wire = Wire::server();
    wire.conn.shut_down();
    assert_eq!(
        wire.sent(),
        [format!("GOAWAY {} NO_ERROR", (1u32 << 31) - 1), "PING  \\x00goaway\\x00".to_owned()]
    );
    let late = wire.get(1, END_STREAM);
    assert_eq!(wire.send(late), Ok(vec![Event::Request { stream: first(), end: true }]));
    assert_eq!(wire.send(frame(PING, ACK, 0, b"\0goaway\0")), Ok(vec![]));
    assert_eq!(wire.sent(), ["GOAWAY 1 NO_ERROR"]);
    let too_late = [wire.get(3, 0), frame(DATA, END_STREAM, 3, b"x")].concat();
    assert_eq!(wire.send(too_late), Ok(vec![]));
    assert!(!wire.conn.is_done());
    wire.conn.send_response(first(), &ResponseHead::new(200), true).expect("open");
    assert!(wire.conn.is_done());
}

#[test]
fn s6_9_windows_of_the_peer() {
    let mut wire = Wire::server();
    let request = wire.get(1, END_STREAM);
    wire.send(request).expect("fine");
    wire.conn.send_response(first(), &ResponseHead::new(200), false).expect("open");
    let pressure = wire.conn.send_data(first(), Bytes::from(vec![b'x'; 100_000]), true).expect("open");
    assert_eq!(pressure, Pressure::Blocked);
    assert_eq!(
        wire.sent(),
        ["HEADERS 1 :status=200", "DATA 1 16384", "DATA 1 16384", "DATA 1 16384", "DATA 1 16383"],
        "65,535 bytes"
    );
    wire.send(frame(WINDOW_UPDATE, 0, 1, &[0, 1, 0, 0])).expect("fine");
    assert!(wire.sent().is_empty(), "the connection's window is closed");
    wire.send(frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 10])).expect("fine");
    assert_eq!(wire.sent(), ["DATA 1 10"]);
    wire.send(frame(WINDOW_UPDATE, 0, 0, &[0, 1, 0, 0])).expect("fine");
    assert_eq!(wire.sent(), ["DATA 1 16384", "DATA 1 16384", "DATA 1 end 1687"]);
    assert_eq!(wire.conn.open_streams(), 0);
}

#[test]
fn s6_9_bad_window_updates() {
    assert_eq!(Wire::server().fails(frame(WINDOW_UPDATE, 0, 0, &[0; 4])), ErrorCode::PROTOCOL_ERROR);
    let most = [0x7f, 0xff, 0xff, 0xff];
    assert_eq!(Wire::server().fails(frame(WINDOW_UPDATE, 0, 0, &most)), ErrorCode::FLOW_CONTROL_ERROR);
    for (payload, code) in [([0; 4], "PROTOCOL_ERROR"), (most, "FLOW_CONTROL_ERROR")] {
        let mut wire = Wire::server();
        let get = wire.get(1, 0);
        wire.send(get).expect("fine");
        wire.send(frame(WINDOW_UPDATE, 0, 1, &payload)).expect("a stream error only");
        assert_eq!(wire.sent(), [format!("RST_STREAM 1 {code}")]);
    }
}

#[test]
fn s6_9_our_windows_of_streams() {
    let config = Config { stream_window: 65_535, connection_window: 1 << 20, ..Config::default() };
    let mut wire = Wire::new(Role::Server, config);
    let get = wire.get(1, 0);
    wire.send(get).expect("fine");
    for _ in 0..3 {
        wire.send(frame(DATA, 0, 1, &[0; 16_384])).expect("within the window");
    }
    wire.conn.release_capacity(first(), 30_000);
    assert!(wire.sent().is_empty(), "announced lazily");
    wire.conn.release_capacity(first(), 10_000);
    assert_eq!(wire.sent(), ["WINDOW_UPDATE 1 40000"]);
    wire.conn.release_capacity(first(), 10_000);
    assert_eq!(wire.sent(), Vec::<String>::new());
    for _ in 0..3 {
        wire.send(frame(DATA, 0, 1, &[0; 16_384])).expect("within the window");
    }
    wire.send(frame(DATA, 0, 1, &[0; 16_384])).expect("a stream error only");
    assert_eq!(wire.sent(), ["RST_STREAM 1 FLOW_CONTROL_ERROR"]);
}

#[test]
fn s6_9_the_connections_window_opens_until_streams_hold_16_mib() {
    let config = Config { stream_window: 65_535, connection_window: 100_000, ..Config::default() };
    let mut wire = Wire::new(Role::Server, config);
    let (mut id, mut held, mut opened) = (1, 0u64, 100_000u64);
    let mut ids = Vec::new();
    // Nobody takes these bodies, and yet the connection goes on.
    while held + 16_384 <= opened {
        if held % (3 * 16_384) == 0 {
            let post = wire.get(id, 0);
            let events = wire.send(post).expect("fine");
            let [Event::Request { stream, .. }] = events[..] else { panic!("{events:?}") };
            ids.push(stream);
            id += 2;
        }
        wire.send(frame(DATA, 0, id - 2, &[0; 16_384])).expect("within the window");
        held += 16_384;
        for line in wire.sent() {
            let more: u64 =
                line.strip_prefix("WINDOW_UPDATE 0 ").expect("nothing else").parse().expect("number");
            opened += more;
        }
    }
    assert!((16 << 20..(16 << 20) + 200_000).contains(&held), "{held}");
    for stream in &ids[..4] {
        wire.conn.release_capacity(*stream, 3 * 16_384);
    }
    let lines = wire.sent();
    assert!(lines.iter().any(|line| line.starts_with("WINDOW_UPDATE 0 ")), "{lines:?}");
    let (mut more, mut stream) = (0, id);
    loop {
        let next = [wire.get(stream, 0), frame(DATA, 0, stream, &[0; 16_384])].concat();
        if let Err(error) = wire.send(next) {
            assert_eq!(error.code, ErrorCode::FLOW_CONTROL_ERROR);
            break;
        }
        (more, stream) = (more + 16_384, stream + 2);
        assert!(more < 1 << 20, "the window has an end");
    }
    assert!(more > 0);
}

#[test]
fn s6_9_2_initial_window_changes_open_streams() {
    let mut wire = Wire::server();
    let request = wire.get(1, END_STREAM);
    wire.send(request).expect("fine");
    wire.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 5])).expect("fine");
    wire.conn.send_response(first(), &ResponseHead::new(200), false).expect("open");
    wire.conn.send_slice(first(), b"123456789", true).expect("open");
    assert_eq!(wire.sent()[2..], ["DATA 1 5"]);
    wire.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 3])).expect("fine");
    assert_eq!(wire.sent(), ["SETTINGS ack"], "the window is below 0 now");
    wire.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 9])).expect("fine");
    assert_eq!(wire.sent(), ["SETTINGS ack", "DATA 1 end 4"]);
}

#[test]
fn s6_10_continuation() {
    let mut wire = Wire::server();
    let block = wire.block(&GET);
    let (a, b) = block.split_at(7);
    let whole = [frame(HEADERS, END_STREAM, 1, a), frame(CONTINUATION, END_HEADERS, 1, b)].concat();
    assert_eq!(wire.send(whole), Ok(vec![Event::Request { stream: first(), end: true }]));
    for wrong in [frame(CONTINUATION, END_HEADERS, 3, b), frame(PING, 0, 0, &[0; 8]), frame(0xbe, 0, 1, b"")]
    {
        assert_eq!(
            Wire::server().fails([frame(HEADERS, 0, 1, a), wrong].concat()),
            ErrorCode::PROTOCOL_ERROR
        );
    }
}

#[test]
fn s8_1_trailers_and_content_length() {
    let post = |wire: &mut Wire, length: &str| {
        let fields = [GET[0], GET[1], GET[2], GET[3], ("content-length", length)];
        wire.head(1, 0, &fields)
    };
    let mut wire = Wire::server();
    let mut bytes = [post(&mut wire, "3"), frame(DATA, 0, 1, b"abc")].concat();
    bytes.extend(wire.head(1, END_STREAM, &[("grpc-status", "0"), ("content-type", "x")]));
    let events = wire.send(bytes).expect("fine");
    assert_eq!(events[2], Event::Trailers { stream: first() });
    let mut trailers = HeaderList::new();
    wire.conn.take_trailers(&mut trailers);
    assert_eq!(format!("{trailers:?}"), "[grpc-status: 0]");

    let reset = |wire: &mut Wire, bytes: Vec<u8>| {
        wire.send(bytes).expect("a stream error only");
        assert_eq!(wire.sent(), ["RST_STREAM 1 PROTOCOL_ERROR"]);
    };
    for (length, body, flags) in [("3", "abcd", 0), ("3", "ab", END_STREAM), ("0", "a", 0)] {
        let mut wire = Wire::server();
        let bytes = [post(&mut wire, length), frame(DATA, flags, 1, body.as_bytes())].concat();
        reset(&mut wire, bytes);
    }
    for trailers in [&[("a", "b")][..], &[(":path", "/")], &[("A", "b")]] {
        let mut wire = Wire::server();
        let flags = if trailers[0].0 == "a" { 0 } else { END_STREAM };
        let bytes = [wire.get(1, 0), wire.head(1, flags, trailers)].concat();
        reset(&mut wire, bytes);
    }
}

#[test]
fn s8_2_and_8_3_malformed_requests() {
    let cases: [(&[(&str, &str)], HeadError); 23] = [
        (&GET[1..], HeadError::MissingPseudo),
        (&[GET[0], GET[1], GET[3]], HeadError::MissingPseudo),
        (&[GET[0], GET[2], GET[3]], HeadError::MissingPseudo),
        (&GET[..3], HeadError::MissingPseudo),
        (&[GET[0], GET[0], GET[1], GET[2], GET[3]], HeadError::Pseudo),
        (&[GET[0], GET[1], GET[2], GET[2], GET[3]], HeadError::Pseudo),
        (&[GET[0], GET[1], GET[2], ("x", "y"), GET[3]], HeadError::Pseudo),
        (&[GET[0], GET[1], GET[2], GET[3], (":status", "200")], HeadError::Pseudo),
        (&[GET[0], GET[1], GET[2], GET[3], (":protocol", "websocket")], HeadError::Pseudo),
        (&[(":method", "CONNECT"), GET[1], GET[2], GET[3]], HeadError::Pseudo),
        (&[(":method", "G T"), GET[1], GET[2], GET[3]], HeadError::Method),
        (&[GET[0], (":scheme", "ftp"), GET[2], GET[3]], HeadError::Scheme),
        (&[GET[0], GET[1], (":path", "x"), GET[3]], HeadError::Path),
        (&[GET[0], GET[1], (":path", "/#x"), GET[3]], HeadError::Path),
        (&[GET[0], GET[1], (":path", "*"), GET[3]], HeadError::Path),
        (&[GET[0], GET[1], GET[2], (":authority", "u@a")], HeadError::Authority),
        (&[GET[0], GET[1], GET[2], GET[3], ("host", "b")], HeadError::Authority),
        (&[GET[0], GET[1], GET[2], GET[3], ("X", "y")], HeadError::Name),
        (&[GET[0], GET[1], GET[2], GET[3], ("x y", "z")], HeadError::Name),
        (&[GET[0], GET[1], GET[2], GET[3], ("x", " y")], HeadError::Value),
        (&[GET[0], GET[1], GET[2], GET[3], ("x", "a\r\nb")], HeadError::Value),
        (&[GET[0], GET[1], GET[2], GET[3], ("connection", "close")], HeadError::ConnectionSpecific),
        (&[GET[0], GET[1], GET[2], GET[3], ("te", "gzip")], HeadError::ConnectionSpecific),
    ];
    for (fields, error) in cases {
        let mut wire = Wire::server();
        let head = wire.head(1, END_STREAM, fields);
        let refused = Event::Refused { stream: first(), why: Refusal::Malformed(error) };
        assert_eq!(wire.send(head), Ok(vec![refused]), "{fields:?}");
        assert_eq!(wire.sent(), ["RST_STREAM 1 PROTOCOL_ERROR"]);
    }
}

#[test]
fn s8_3_requests_become_heads() {
    let mut wire = Wire::server();
    let fields = [
        GET[0],
        (":scheme", "https"),
        (":path", "/p?q"),
        ("host", "B:1"),
        ("cookie", "a=1"),
        ("x", "y"),
        ("cookie", "b=2"),
        ("te", "trailers"),
    ];
    let bytes = wire.head(1, END_STREAM, &fields);
    wire.send(bytes).expect("fine");
    let mut head = RequestHead::default();
    wire.conn.take_request(&mut head);
    assert_eq!((head.authority.as_str(), head.path.as_str(), head.scheme.as_str()), ("B:1", "/p?q", "https"));
    assert_eq!(head.headers.get("cookie"), Some(&b"a=1; b=2"[..]));
    let names: Vec<_> = head.headers.iter().map(|h| h.name_str().to_owned()).collect();
    assert_eq!(names, ["cookie", "x", "te"]);
}

#[test]
fn extended_connect_rfc8441() {
    let fields = [(":method", "CONNECT"), (":protocol", "websocket"), GET[1], GET[2], GET[3]];
    let mut wire = Wire::new(Role::Server, Config { extended_connect: true, ..Config::default() });
    let bytes = wire.head(1, 0, &fields);
    assert_eq!(wire.send(bytes), Ok(vec![Event::Request { stream: first(), end: false }]));
    let mut head = RequestHead::default();
    wire.conn.take_request(&mut head);
    assert_eq!(head.protocol, "websocket");
}

#[test]
fn malformed_responses_reset_the_stream() {
    let cases: [&[(&str, &str)]; 8] = [
        &[],
        &[(":status", "20")],
        &[(":status", "600")],
        &[(":status", "101")],
        &[(":status", "200"), (":status", "200")],
        &[("x", "y"), (":status", "200")],
        &[(":status", "200"), (":path", "/")],
        &[(":status", "200"), ("content-length", "x")],
    ];
    for fields in cases {
        let mut wire = Wire::client();
        let bytes = wire.head(1, END_STREAM, fields);
        let reset = Event::Reset {
            stream: first(),
            code: ErrorCode::PROTOCOL_ERROR,
            by_peer: false,
            unprocessed: false,
        };
        assert_eq!(wire.send(bytes), Ok(vec![reset]), "{fields:?}");
    }
}

#[test]
fn informational_responses_come_first() {
    let mut wire = Wire::client();
    let bytes = [
        wire.head(1, 0, &[(":status", "103"), ("link", "x")]),
        wire.head(1, END_STREAM, &[(":status", "200")]),
    ]
    .concat();
    let events = wire.send(bytes).expect("fine");
    let response = |end| Event::Response { stream: first(), end };
    assert_eq!(events, [response(false), response(true)]);
}

#[test]
fn heads_over_the_limit_get_431() {
    let limits = Limits { head_bytes: 500, headers: 10, ..Limits::default() };
    let mut wire = Wire::new(Role::Server, Config { limits, ..Config::default() });
    let long = "x".repeat(100);
    let fields: Vec<(&str, &str)> = GET.into_iter().chain([("a", long.as_str()); 4]).collect();
    let bytes = wire.head(1, END_STREAM, &fields);
    assert_eq!(wire.send(bytes), Ok(vec![Event::Refused { stream: first(), why: Refusal::TooLarge }]));
    assert_eq!(wire.sent(), ["HEADERS 1 end :status=431"]);
    let fields: Vec<(&str, &str)> = GET.into_iter().chain([("a", "b"); 7]).collect();
    let bytes = wire.head(3, 0, &fields);
    wire.send(bytes).expect("a stream error only");
    assert_eq!(wire.sent(), ["HEADERS 3 end :status=431", "RST_STREAM 3 NO_ERROR"]);
}

#[test]
fn floods_end_the_connection() {
    let calm = ErrorCode::ENHANCE_YOUR_CALM;
    let mut wire = Wire::server();
    let resets: Vec<u8> = (0..300)
        .flat_map(|at| [wire.get(2 * at + 1, 0), frame(RST_STREAM, 0, 2 * at + 1, &[0, 0, 0, 8])].concat())
        .collect();
    assert_eq!(wire.fails(resets), calm, "rapid reset");
    assert_eq!(Wire::server().fails(frame(PING, 0, 0, &[0; 8]).repeat(2000)), calm, "ping");
    assert_eq!(Wire::server().fails(frame(SETTINGS, 0, 0, &[]).repeat(2000)), calm, "settings");
    let mut wire = Wire::server();
    let empty = [wire.get(1, 0), frame(DATA, 0, 1, b"").repeat(2000)].concat();
    assert_eq!(wire.fails(empty), calm, "empty data");
    assert_eq!(Wire::server().fails(frame(PRIORITY, 0, 1, &[0; 5]).repeat(2000)), calm, "priority");
    let endless = [frame(HEADERS, 0, 1, b"\x82"), frame(CONTINUATION, 0, 1, b"").repeat(100)].concat();
    assert_eq!(Wire::server().fails(endless), calm, "empty continuation");
    let endless =
        [frame(HEADERS, 0, 1, b"\x82"), frame(CONTINUATION, 0, 1, &[0x82; 16_000]).repeat(20)].concat();
    assert_eq!(Wire::server().fails(endless), calm, "long continuation");
    let mut wire = Wire::server();
    let malformed: Vec<u8> = (0..300).flat_map(|at| wire.head(2 * at + 1, END_STREAM, &GET[1..])).collect();
    assert_eq!(wire.fails(malformed), calm, "malformed requests");
}

#[test]
fn pings_are_answered_as_long_as_answers_are_read() {
    let mut wire = Wire::server();
    for _ in 0..10_000 {
        assert_eq!(wire.send(frame(PING, 0, 0, &[0; 8])), Ok(vec![]));
        assert_eq!(wire.sent().len(), 1);
    }
}

#[test]
fn hpack_errors_end_the_connection() {
    assert_eq!(Wire::server().fails(frame(HEADERS, END_HEADERS, 1, &[0x80])), ErrorCode::COMPRESSION_ERROR);
}

#[test]
fn streams_take_turns() {
    let mut wire = Wire::server();
    let two = [wire.get(1, END_STREAM), wire.get(3, END_STREAM)].concat();
    let events = wire.send(two).expect("fine");
    for event in events {
        let Event::Request { stream, .. } = event else { panic!("{event:?}") };
        wire.conn.send_response(stream, &ResponseHead::new(200), false).expect("open");
        wire.conn.send_data(stream, Bytes::from(vec![0; 30_000]), true).expect("open");
    }
    let sent = wire.sent();
    assert_eq!(sent[2..], ["DATA 1 16384", "DATA 3 16384", "DATA 1 end 13616", "DATA 3 end 13616"]);
}

#[test]
fn trailers_wait_for_the_body() {
    let mut wire = Wire::server();
    let request = wire.get(1, END_STREAM);
    wire.send(request).expect("fine");
    wire.conn.send_response(first(), &ResponseHead::new(200), false).expect("open");
    wire.conn.send_data(first(), Bytes::from(vec![0; 65_536]), false).expect("open");
    wire.conn.send_trailers(first(), &[("grpc-status", "0")].into_iter().collect()).expect("open");
    assert_eq!(wire.sent().len(), 5);
    wire.send(
        [frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 9]), frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9])].concat(),
    )
    .expect("fine");
    assert_eq!(wire.sent(), ["DATA 1 1", "HEADERS 1 end grpc-status=0"]);
    assert_eq!(wire.conn.open_streams(), 0);
}

#[test]
fn long_heads_are_continued() {
    let mut wire = Wire::server();
    let request = wire.get(1, END_STREAM);
    wire.send(request).expect("fine");
    let mut head = ResponseHead::new(200);
    head.headers.append("x", &[b'y'; 40_000]);
    wire.conn.send_response(first(), &head, true).expect("open");
    let mut kinds = Vec::new();
    while !wire.conn.output().is_empty() {
        let chunk = wire.conn.output().chunk().to_vec();
        kinds.push((chunk[3], chunk[4]));
        let len = u32::from_be_bytes([0, chunk[0], chunk[1], chunk[2]]) as usize + 9;
        wire.conn.output().advance(len);
    }
    assert_eq!(kinds, [(HEADERS, END_STREAM), (CONTINUATION, 0), (CONTINUATION, END_HEADERS)]);
}
