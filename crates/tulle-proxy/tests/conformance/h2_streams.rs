//! HTTP/2: states of streams, and flow control (RFC 9113 sections 5.1, 5.2, 6.1, 6.4, 6.9, 6.10).

use std::io::Read as _;

use tulle_http::h2::ErrorCode;

use crate::{
    common::{Backend, cluster, eventually},
    wire::{Rig, Upstream},
    wire_h2::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GET, HEADERS, INITIAL_WINDOW_SIZE,
        MAX_CONCURRENT_STREAMS, PADDED, PING, POST, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
        WITH_PRIORITY, block, frame, settings,
    },
};

fn rig() -> (Upstream, Rig) {
    let app = Upstream::well();
    let rig = Rig::h1(app.at());
    (app, rig)
}

/// An application that answers when a request is complete, and keeps it waiting until then.
fn open(rig: &Rig) -> Frames {
    let mut frames = Frames::connect(rig.at());
    frames.head(1, 0, &POST);
    frames
}

/// RFC 9113 section 5.1: on an idle stream only HEADERS and PRIORITY may come.
#[test]
fn idle_streams_take_heads_only() {
    let (_app, rig) = rig();
    for (what, bytes) in [
        ("DATA", frame(DATA, END_STREAM, 1, b"x")),
        ("RST_STREAM", frame(RST_STREAM, 0, 1, &[0; 4])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        ("CONTINUATION", frame(CONTINUATION, END_HEADERS, 1, &block(&GET))),
        ("DATA on an even stream", frame(DATA, END_STREAM, 2, b"x")),
    ] {
        let mut frames = Frames::connect(rig.at());
        frames.raw(&bytes);
        eprintln!("{what}");
        frames.expect_go_away(ErrorCode::PROTOCOL_ERROR);
    }
    let mut frames = Frames::connect(rig.at());
    frames.send(PRIORITY, 0, 1, &[0, 0, 0, 0, 16]);
    frames.send(PRIORITY, 0, 99, &[0, 0, 0, 99, 16]);
    frames.is_alive(1);
}

/// RFC 9113 section 5.1: behind END_STREAM no DATA (an error of the stream) and no HEADERS (of the connection) come.
#[test]
fn half_closed_streams_take_nothing_more() {
    let app = Upstream::new(|peer| peer.wait_for_end());
    let rig = Rig::h1(app.at());
    let mut frames = open(&rig);
    frames.send(DATA, END_STREAM, 1, b"x");
    frames.send(DATA, 0, 1, b"y");
    frames.expect_reset(1, ErrorCode::STREAM_CLOSED);
    frames.is_alive(3);
    let mut frames = open(&rig);
    frames.send(DATA, END_STREAM, 1, b"x");
    frames.head(1, END_STREAM, &[("x", "y")]);
    frames.expect_go_away(ErrorCode::STREAM_CLOSED);
    rig.neighbours_are_fine();
}

/// RFC 9113 section 5.1: on a stream that has ended, frames that were on their way do no harm; others are errors.
#[test]
fn closed_streams_take_what_was_on_its_way() {
    let (_app, rig) = rig();
    let mut frames = Frames::connect(rig.at());
    frames.get(1, "/");
    assert_eq!(frames.status(1), 200);
    frames.body(1);
    frames.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    frames.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    frames.send(PRIORITY, 0, 1, &[0, 0, 0, 0, 16]);
    frames.is_alive(3);
    frames.send(DATA, END_STREAM, 1, b"x");
    frames.expect_reset(1, ErrorCode::STREAM_CLOSED);
    frames.is_alive(5);
    // One that we have reset: what the client sent before it knew is ignored.
    frames.head(7, 0, &GET[1..]);
    frames.expect_reset(7, ErrorCode::PROTOCOL_ERROR);
    frames.send(DATA, 0, 7, b"x");
    frames.head(7, END_STREAM, &[("x", "y")]);
    frames.is_alive(9);
}

/// RFC 9113 section 5.1.1: numbers are odd and only go up.
#[test]
fn stream_numbers_go_up() {
    let (_app, rig) = rig();
    let mut even = Frames::connect(rig.at());
    even.get(2, "/");
    even.expect_go_away(ErrorCode::PROTOCOL_ERROR);
    let mut back = Frames::connect(rig.at());
    back.get(5, "/");
    assert_eq!(back.status(5), 200);
    back.get(3, "/");
    back.expect_go_away(ErrorCode::PROTOCOL_ERROR);
}

/// RFC 9113 section 5.1.2: streams over our limit are refused, so that they may be tried again, and the others go on.
#[test]
fn streams_over_the_limit_are_refused() {
    let app = Upstream::new(|peer| peer.wait_for_end());
    let rig = Rig::with(
        cluster("app", &[app.at()]),
        serde_json::json!({ "http2_protocol_options": { "max_concurrent_streams": 2 } }),
    );
    let mut frames = Frames::connect(rig.at());
    assert!(frames.peer.contains(&(MAX_CONCURRENT_STREAMS, 2)));
    frames.get(1, "/");
    frames.get(3, "/");
    frames.get(5, "/");
    frames.expect_reset(5, ErrorCode::REFUSED_STREAM);
    frames.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    frames.is_alive(7);
}

/// RFC 9113 section 5.4.2 and 6.4: a client's reset ends the request upstream, and only that one.
#[test]
fn a_reset_ends_the_request() {
    let app = Backend::raw(|stream| {
        let mut bytes = [0; 1000];
        while stream.read(&mut bytes).is_ok_and(|c| c > 0) {}
    });
    let rig = Rig::h1(app.address);
    let mut frames = Frames::connect(rig.at());
    frames.get(1, "/");
    eventually("under way", || rig.proxy.vitals().active_requests == 1);
    // With a code that nobody knows (section 7).
    frames.send(RST_STREAM, 0, 1, &[0xde, 0xad, 0xbe, 0xef]);
    rig.settles();
    rig.logged(&["DC"]);
    frames.is_alive(3);
}

/// RFC 9113 section 6.1 and 6.2: padding is no part of a message, counts for windows, and is no longer than its frame.
#[test]
fn padding_is_taken_off() {
    let (app, rig) = rig();
    let mut frames = Frames::connect(rig.at());
    let mut padded = vec![3];
    padded.extend(block(&POST));
    padded.extend([0; 3]);
    frames.send(HEADERS, END_HEADERS | PADDED, 1, &padded);
    frames.send(DATA, PADDED, 1, b"\x04hello\0\0\0\0");
    frames.send(DATA, PADDED | END_STREAM, 1, b"\xff\0\0\0\0\0\0\0\0".repeat(30)[..256].as_ref());
    assert_eq!(frames.status(1), 200);
    assert!(app.last().contains("\r\n5\r\nhello\r\n0\r\n"), "{}", app.last());
    for bytes in [frame(DATA, PADDED, 1, b"\x05hell"), frame(DATA, PADDED, 1, b"")] {
        let mut frames = open(&rig);
        frames.raw(&bytes);
        frames.expect_go_away(ErrorCode::PROTOCOL_ERROR);
    }
    let mut frames = Frames::connect(rig.at());
    frames.send(HEADERS, PADDED | END_HEADERS, 1, b"\x05abc");
    frames.expect_go_away(ErrorCode::PROTOCOL_ERROR);
}

/// RFC 9113 section 5.3.2: priorities are read over, in PRIORITY and in HEADERS.
#[test]
fn priorities_are_read_over() {
    let (_app, rig) = rig();
    let mut frames = Frames::connect(rig.at());
    let mut payload = vec![0x80, 0, 0, 9, 200];
    payload.extend(block(&GET));
    frames.send(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, &payload);
    assert_eq!(frames.status(1), 200);
    // RFC 9113 has done away with the error for a stream that depends on itself.
    frames.send(PRIORITY, 0, 3, &[0, 0, 0, 3, 1]);
    frames.is_alive(3);
}

/// RFC 9113 section 6.10 and 4.3: a head may be continued, by nothing else in between.
#[test]
fn heads_are_continued_without_a_break() {
    let (app, rig) = rig();
    let bytes = block(&GET);
    let (a, b) = bytes.split_at(9);
    let mut frames = Frames::connect(rig.at());
    frames.send(HEADERS, END_STREAM, 1, a);
    frames.send(CONTINUATION, 0, 1, &b[..3]);
    frames.send(CONTINUATION, 0, 1, &[]);
    frames.send(CONTINUATION, END_HEADERS, 1, &b[3..]);
    assert_eq!(frames.status(1), 200);
    // A long one that takes its time, with nothing else open.
    let value = "y".repeat(20_000);
    let long = block(&[GET[0], GET[1], GET[2], GET[3], ("x-long", &value)]);
    let (first, rest) = long.split_at(16_000);
    frames.send(HEADERS, END_STREAM, 3, first);
    std::thread::sleep(std::time::Duration::from_millis(100));
    frames.send(CONTINUATION, END_HEADERS, 3, rest);
    assert_eq!(frames.status(3), 200);
    assert!(app.last().contains(&value));
    for wrong in [
        frame(CONTINUATION, END_HEADERS, 3, b),
        frame(PING, 0, 0, &[0; 8]),
        frame(SETTINGS, 0, 0, &[]),
        frame(DATA, END_STREAM, 1, b"x"),
        frame(HEADERS, END_HEADERS, 3, &bytes),
        frame(0xbe, 0, 1, b""),
    ] {
        let mut frames = Frames::connect(rig.at());
        frames.raw(&[frame(HEADERS, 0, 1, a), wrong].concat());
        frames.expect_go_away(ErrorCode::PROTOCOL_ERROR);
    }
    let mut frames = Frames::connect(rig.at());
    frames.raw(
        &[frame(HEADERS, END_HEADERS | END_STREAM, 1, &bytes), frame(CONTINUATION, END_HEADERS, 1, b"")]
            .concat(),
    );
    frames.expect_go_away(ErrorCode::PROTOCOL_ERROR);
}

/// RFC 9113 section 6.9: increments of 0, and windows over 2^31-1: of a stream, of the connection.
#[test]
fn windows_have_their_bounds() {
    let app = Upstream::new(|peer| peer.wait_for_end());
    let rig = Rig::h1(app.at());
    let most = [0x7f, 0xff, 0xff, 0xff];
    for (payload, code) in [([0; 4], ErrorCode::PROTOCOL_ERROR), (most, ErrorCode::FLOW_CONTROL_ERROR)] {
        let mut frames = open(&rig);
        frames.send(WINDOW_UPDATE, 0, 1, &payload);
        frames.expect_reset(1, code);
        frames.is_alive(3);
        frames.send(WINDOW_UPDATE, 0, 0, &payload);
        frames.expect_go_away(code);
    }
    let mut frames = open(&rig);
    frames.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    frames.send(SETTINGS, 0, 0, &settings(&[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]));
    frames.expect_go_away(ErrorCode::FLOW_CONTROL_ERROR);
}

/// RFC 9113 sections 5.2 and 6.9: we send no more than windows allow, of the stream and of the connection; a smaller initial
/// window makes them negative.
#[test]
fn we_keep_to_the_clients_windows() {
    let app =
        Upstream::saying(format!("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{}", "z".repeat(100_000)));
    let rig = Rig::h1(app.at());
    let mut frames = Frames::with(rig.at(), &[(INITIAL_WINDOW_SIZE, 10)]);
    let take = |frames: &mut Frames, stream: u32, count: usize| {
        let mut sum = 0;
        while sum < count {
            sum += frames.find(|f| f.kind == DATA && f.stream == stream).unwrap().payload.len();
        }
        assert_eq!(sum, count);
    };
    // Nothing more than this is on its way if PING overtakes nothing.
    let silent = |frames: &mut Frames| {
        frames.send(PING, 0, 0, b"anything");
        let next = frames.find(|f| f.kind == DATA || (f.kind == PING && f.flags == 1)).unwrap();
        assert_eq!(next.kind, PING);
    };
    frames.get(1, "/");
    assert_eq!(frames.status(1), 200);
    take(&mut frames, 1, 10);
    silent(&mut frames);
    frames.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 5]);
    take(&mut frames, 1, 5);
    frames.send(SETTINGS, 0, 0, &settings(&[(INITIAL_WINDOW_SIZE, 4)]));
    frames.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 6]);
    silent(&mut frames);
    frames.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 3]);
    take(&mut frames, 1, 3);
    frames.send(SETTINGS, 0, 0, &settings(&[(INITIAL_WINDOW_SIZE, 1_000_000)]));
    take(&mut frames, 1, 65_535 - 18);
    silent(&mut frames);
    frames.get(3, "/direct");
    assert_eq!(frames.status(3), 200, "heads need no window");
    silent(&mut frames);
    // Streams take turns of a frame each.
    frames.send(WINDOW_UPDATE, 0, 0, &(16_384u32 + 6).to_be_bytes());
    take(&mut frames, 1, 16_384);
    assert_eq!(frames.body(3), b"direct");
    frames.send(WINDOW_UPDATE, 0, 0, &[0, 1, 0, 0]);
    take(&mut frames, 1, 100_000 - 65_535 - 16_384);
}

/// RFC 9113 section 6.9.1: a client that sends more than our windows allow.
#[test]
fn clients_keep_to_our_windows() {
    // An upstream that reads nothing at all.
    let stuck = Backend::raw(|_| std::thread::sleep(std::time::Duration::from_secs(5)));
    let rig = Rig::h1(stuck.address);
    let mut frames = Frames::connect(rig.at());
    let window = frames.peer.iter().find(|(id, _)| *id == INITIAL_WINDOW_SIZE).unwrap().1;
    frames.head(1, 0, &POST);
    // Far beyond what sockets and buffers on the way can take.
    let piece = frame(DATA, 0, 1, &[0; 16_384]);
    for _ in 0..(64 << 20) / 16_384 {
        if !frames.raw(&piece) {
            break;
        }
    }
    assert!(window < 64 << 20);
    let error = frames.find(|f| matches!(f.kind, RST_STREAM | crate::wire_h2::GOAWAY)).unwrap();
    let at = if error.kind == RST_STREAM { 0 } else { 4 };
    assert_eq!(ErrorCode(error.number(at)), ErrorCode::FLOW_CONTROL_ERROR);
    rig.neighbours_are_fine();
}

/// RFC 9113 section 5.2.2 and 6.9: what was passed on opens windows again, so that a body of any length passes.
#[test]
fn windows_open_again() {
    let app = Upstream::new(|peer| {
        let mut bytes = [0; 64 * 1024];
        let mut sum = 0;
        while sum < 3_000_000 {
            sum += peer.stream.read(&mut bytes).unwrap();
        }
        peer.say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone");
    });
    let rig = Rig::h1(app.at());
    let mut frames = Frames::connect(rig.at());
    frames.head(1, 0, &POST);
    let stream = frames.peer.iter().find(|(id, _)| *id == INITIAL_WINDOW_SIZE).unwrap().1;
    let mut windows = [65_535i64, i64::from(stream)];
    let mut left = 3_000_000i64;
    while left > 0 {
        let now = left.min(16_384).min(windows[0]).min(windows[1]);
        if now > 0 {
            frames.send(DATA, if now == left { END_STREAM } else { 0 }, 1, &vec![7; now as usize]);
            left -= now;
            windows[0] -= now;
            windows[1] -= now;
        }
        while windows.iter().any(|w| *w < 16_384) && left > 0 {
            let update = frames.find(|f| f.kind == WINDOW_UPDATE).unwrap();
            assert_ne!(update.number(0), 0);
            windows[usize::from(update.stream != 0)] += i64::from(update.number(0));
        }
    }
    assert_eq!(frames.status(1), 200);
}
