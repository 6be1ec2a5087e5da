//! HTTP/2: preface, frames, settings, ping, GOAWAY (RFC 9113 sections 3, 4, 5.4, 6.5, 6.7, 6.8).

use tulle_base::drain::DrainState;
use tulle_http::h2::{ErrorCode, PREFACE};

use crate::{
    common::eventually,
    wire::{Rig, Upstream},
    wire_h2::{
        ACK, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, Frames, GET, GOAWAY,
        HEADER_TABLE_SIZE, HEADERS, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE,
        MAX_HEADER_LIST_SIZE, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
        WITH_PRIORITY, block, frame, settings,
    },
};

fn rig() -> (Upstream, Rig) {
    let app = Upstream::well();
    let rig = Rig::h1(app.at());
    (app, rig)
}

/// Every one of these frames, on a connection of its own, ends it with this code.
fn fails(rig: &Rig, code: ErrorCode, cases: &[(&str, Vec<u8>)]) {
    for (what, bytes) in cases {
        let mut frames = Frames::connect(rig.at());
        frames.raw(bytes);
        eprintln!("{what}");
        frames.expect_go_away(code);
    }
    rig.neighbours_are_fine();
}

/// RFC 9113 section 3.4: a preface that is none, behind its first bytes, is a connection error; so is one without SETTINGS.
#[test]
fn the_preface_is_whole_and_followed_by_settings() {
    let (_app, rig) = rig();
    let mut frames = Frames::bare(rig.at());
    frames.raw(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    // What is no preface is HTTP/1, of a version that is not served.
    let mut text = String::new();
    let _ = std::io::Read::read_to_string(frames.stream(), &mut text);
    assert!(text.starts_with("HTTP/1.1 426 ") || text.starts_with("HTTP/1.1 400 "), "{text}");
    for wrong in [
        frame(PING, 0, 0, &[0; 8]),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&GET)),
        frame(SETTINGS, ACK, 0, &[]),
    ] {
        let mut frames = Frames::bare(rig.at());
        frames.raw(PREFACE);
        frames.raw(&wrong);
        frames.expect_go_away(ErrorCode::PROTOCOL_ERROR);
    }
    let mut slow = Frames::bare(rig.at());
    for byte in PREFACE {
        slow.raw(&[*byte]);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    slow.send(SETTINGS, 0, 0, &[]);
    slow.is_alive(1);
}

/// RFC 9113 section 3.4 and 6.5: our own preface is SETTINGS, at once and with what we hold to; theirs is acknowledged.
#[test]
fn our_settings_come_first_and_theirs_are_acknowledged() {
    let (_app, rig) = rig();
    let mut frames = Frames::connect(rig.at());
    frames.find(|f| f.kind == SETTINGS && f.flags & ACK != 0).expect("the acknowledgement");
    let of = |id| frames.peer.iter().find(|(i, _)| *i == id).map(|(_, value)| *value);
    assert_eq!(of(MAX_HEADER_LIST_SIZE), Some(60 * 1024));
    assert!(of(MAX_CONCURRENT_STREAMS).is_some_and(|most| most >= 100));
    assert_eq!(of(ENABLE_PUSH), None, "a server does not say so");
    for (id, _) in &frames.peer {
        assert!(*id != 0 && frames.peer.iter().filter(|(i, _)| i == id).count() == 1);
    }
}

/// RFC 9113 section 4.2: frames over our SETTINGS_MAX_FRAME_SIZE, or of a size that their type does not have.
#[test]
fn frames_have_their_size() {
    let (_app, rig) = rig();
    fails(
        &rig,
        ErrorCode::FRAME_SIZE_ERROR,
        &[
            ("DATA too large", frame(DATA, 0, 1, &[0; 16_385])),
            ("HEADERS too large", frame(HEADERS, END_HEADERS, 1, &[0; 16_385])),
            ("unknown type too large", frame(0xbe, 0, 0, &[0; 16_385])),
            ("SETTINGS of 5", frame(SETTINGS, 0, 0, &[0; 5])),
            ("SETTINGS acknowledgement with payload", frame(SETTINGS, ACK, 0, &[0; 6])),
            ("PING of 7", frame(PING, 0, 0, &[0; 7])),
            ("PING of 9", frame(PING, 0, 0, &[0; 9])),
            ("GOAWAY of 7", frame(GOAWAY, 0, 0, &[0; 7])),
            ("WINDOW_UPDATE of 3", frame(WINDOW_UPDATE, 0, 0, &[0; 3])),
            ("RST_STREAM of 5", frame(RST_STREAM, 0, 1, &[0; 5])),
            ("PRIORITY of 4", frame(PRIORITY, 0, 1, &[0; 4])),
            ("HEADERS of 4 with priority", frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, &[0; 4])),
        ],
    );
}

/// RFC 9113 section 6: frames that belong to the connection on a stream, and the other way round.
#[test]
fn frames_are_on_the_stream_where_they_belong() {
    let (_app, rig) = rig();
    fails(
        &rig,
        ErrorCode::PROTOCOL_ERROR,
        &[
            ("SETTINGS on a stream", frame(SETTINGS, 0, 1, &[])),
            ("PING on a stream", frame(PING, 0, 1, &[0; 8])),
            ("GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8])),
            ("DATA on 0", frame(DATA, 0, 0, b"x")),
            ("HEADERS on 0", frame(HEADERS, END_HEADERS, 0, &block(&GET))),
            ("PRIORITY on 0", frame(PRIORITY, 0, 0, &[0; 5])),
            ("RST_STREAM on 0", frame(RST_STREAM, 0, 0, &[0; 4])),
            ("CONTINUATION on 0", frame(CONTINUATION, END_HEADERS, 0, &[])),
        ],
    );
}

/// RFC 9113 section 5.5 and 4.1: unknown types, flags and settings are ignored, and reserved bits.
#[test]
fn what_is_unknown_is_ignored() {
    let (_app, rig) = rig();
    let mut frames = Frames::connect(rig.at());
    frames.send(0xbe, 0xff, 0, b"grease");
    frames.send(0xbe, 0xff, 9, b"grease");
    frames.send(SETTINGS, 0, 0, &settings(&[(0xfff, 7), (0, 1)]));
    frames.send(PING, 0xfe, 0, &[0; 8]);
    frames.raw(&frame(WINDOW_UPDATE, 0xff, 0x8000_0000, &[0x80, 0, 0, 1]));
    frames.raw(&frame(HEADERS, END_HEADERS | END_STREAM | 0x40, 0x8000_0001, &block(&GET)));
    assert_eq!(frames.status(1), 200);
    frames.is_alive(3);
}

/// RFC 9113 section 6.5.2: settings out of range.
#[test]
fn settings_have_their_range() {
    let (_app, rig) = rig();
    let one = |id, value| frame(SETTINGS, 0, 0, &settings(&[(id, value)]));
    fails(
        &rig,
        ErrorCode::PROTOCOL_ERROR,
        &[
            ("ENABLE_PUSH 2", one(ENABLE_PUSH, 2)),
            ("MAX_FRAME_SIZE 16383", one(MAX_FRAME_SIZE, 16_383)),
            ("MAX_FRAME_SIZE 2^24", one(MAX_FRAME_SIZE, 1 << 24)),
        ],
    );
    fails(
        &rig,
        ErrorCode::FLOW_CONTROL_ERROR,
        &[("INITIAL_WINDOW_SIZE 2^31", one(INITIAL_WINDOW_SIZE, 1 << 31))],
    );
    let edges = [
        (ENABLE_PUSH, 1),
        (ENABLE_PUSH, 0),
        (MAX_FRAME_SIZE, 16_384),
        (MAX_FRAME_SIZE, (1 << 24) - 1),
        (INITIAL_WINDOW_SIZE, (1 << 31) - 1),
        (HEADER_TABLE_SIZE, u32::MAX),
        (MAX_CONCURRENT_STREAMS, 0),
        (MAX_HEADER_LIST_SIZE, 0),
    ];
    Frames::with(rig.at(), &edges).is_alive(1);
}

/// RFC 9113 section 4.3.1 and RFC 7541 section 4.2: a smaller table is announced by our encoder before it counts on it.
#[test]
fn a_smaller_header_table_is_heeded() {
    let (_app, rig) = rig();
    let mut frames = Frames::connect(rig.at());
    for (turn, size) in [4096, 0, 100, 4096, 0].into_iter().enumerate() {
        frames.send(SETTINGS, 0, 0, &settings(&[(HEADER_TABLE_SIZE, 0), (HEADER_TABLE_SIZE, size)]));
        let id = 2 * turn as u32 + 1;
        frames.get(id, "/");
        let head = frames.find(|f| f.kind == HEADERS && f.stream == id).unwrap();
        assert_eq!(head.payload[0] & 0xe0, 0x20, "the block begins with a size: {:x?}", head.payload);
        // The decoder of this side would refuse a size beyond its own.
        let waits = frames.find(|f| f.kind == DATA && f.stream == id).unwrap();
        assert_eq!(waits.payload, b"well");
    }
}

/// RFC 9113 section 6.5.2: SETTINGS_MAX_FRAME_SIZE of the peer bounds what we send; a longer head is continued.
#[test]
fn our_frames_keep_to_the_peers_size() {
    let long = "y".repeat(40_000);
    let app = Upstream::saying(format!(
        "HTTP/1.1 200 OK\r\nx-long: {long}\r\ncontent-length: 50000\r\n\r\n{}",
        "z".repeat(50_000)
    ));
    let rig = Rig::h1(app.at());
    let mut frames = Frames::connect(rig.at());
    frames.get(1, "/");
    let fields = frames.fields(1);
    assert!(fields.iter().any(|(name, value)| name == "x-long" && *value == long));
    assert_eq!(frames.body(1).len(), 50_000);
    let mut large = Frames::with(rig.at(), &[(MAX_FRAME_SIZE, 1 << 20)]);
    large.get(1, "/");
    let head = large.find(|f| f.kind == HEADERS).unwrap();
    assert!(head.flags & END_HEADERS != 0 && head.payload.len() > 16_384);
    let mut small = Frames::connect(rig.at());
    small.get(1, "/");
    while let Some(f) = small.find(|f| f.stream == 1) {
        assert!(f.payload.len() <= 16_384);
        if f.flags & END_STREAM != 0 && f.kind == DATA {
            break;
        }
    }
}

/// RFC 9113 section 6.7: PING comes back the same, an answer to none is no matter.
#[test]
fn pings_are_answered() {
    let (_app, rig) = rig();
    let mut frames = Frames::connect(rig.at());
    frames.send(PING, 0, 0, b"12345678");
    let pong = frames.find(|f| f.kind == PING).unwrap();
    assert_eq!((pong.flags, pong.stream, pong.payload.as_slice()), (ACK, 0, &b"12345678"[..]));
    frames.send(PING, ACK, 0, b"unasked!");
    frames.is_alive(1);
}

/// RFC 9113 section 8.4 and 6.6: PUSH_PROMISE is not for clients to send.
#[test]
fn push_promise_from_a_client_is_an_error() {
    let (_app, rig) = rig();
    let mut push = 2u32.to_be_bytes().to_vec();
    push.extend(block(&GET));
    fails(&rig, ErrorCode::PROTOCOL_ERROR, &[("PUSH_PROMISE", frame(PUSH_PROMISE, END_HEADERS, 1, &push))]);
}

/// RFC 9113 section 6.8: a client's GOAWAY lets what it has begun end, and the connection then.
#[test]
fn go_away_from_a_client_ends_the_connection_behind_what_was_begun() {
    let app = Upstream::new(|peer| {
        peer.request();
        std::thread::sleep(std::time::Duration::from_millis(150));
        peer.say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow");
    });
    let rig = Rig::h1(app.at());
    let mut frames = Frames::connect(rig.at());
    frames.get(1, "/");
    frames.send(GOAWAY, 0, 0, &[0; 8]);
    assert_eq!(frames.status(1), 200);
    assert_eq!(frames.body(1), b"slow");
    assert_eq!(frames.find(|f| f.kind == DATA), None, "the connection ends");
}

/// RFC 9113 section 6.8: our graceful end: GOAWAY for any number, then, once the client has answered, for those that came;
/// every request that came until then is served.
#[test]
fn our_own_end_loses_no_request() {
    let app = Upstream::well();
    let mut rig = Rig::h1(app.at());
    let mut frames = Frames::connect(rig.at());
    frames.get(1, "/");
    assert_eq!(frames.status(1), 200);
    frames.polite = false;
    rig.proxy.fleet().drain(DrainState::Draining);
    let first = frames.find(|f| f.kind == GOAWAY).unwrap();
    assert_eq!((first.number(0), ErrorCode(first.number(4))), (0x7fff_ffff, ErrorCode::NO_ERROR));
    // A request that was on its way is served.
    frames.get(3, "/");
    assert_eq!(frames.status(3), 200);
    assert_eq!(frames.body(3), b"well");
    let ping = frames.find(|f| f.kind == PING).unwrap();
    frames.send(PING, ACK, 0, &ping.payload);
    let last = frames.find(|f| f.kind == GOAWAY).unwrap();
    assert_eq!((last.number(0), ErrorCode(last.number(4))), (3, ErrorCode::NO_ERROR));
    assert_eq!(frames.find(|f| f.kind == GOAWAY), None, "the connection ends");
    eventually("closed", || rig.proxy.vitals().downstream_connections == 0);
}

/// RFC 9113 section 5.4.1: other connections know nothing of an error on one, and its GOAWAY says how far it came.
#[test]
fn an_error_says_how_far_the_connection_came() {
    let (_app, rig) = rig();
    let mut other = Frames::connect(rig.at());
    let mut frames = Frames::connect(rig.at());
    frames.get(1, "/");
    assert_eq!(frames.status(1), 200);
    frames.get(7, "/");
    assert_eq!(frames.status(7), 200);
    frames.send(PING, 0, 1, &[0; 8]);
    let last = frames.find(|f| f.kind == GOAWAY).unwrap();
    assert_eq!((last.number(0), ErrorCode(last.number(4))), (7, ErrorCode::PROTOCOL_ERROR));
    other.is_alive(1);
    rig.settles();
}
