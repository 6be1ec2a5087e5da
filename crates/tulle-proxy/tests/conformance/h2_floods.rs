//! HTTP/2: peers that make work for nothing (RFC 9113 section 10.5). Each flood ends its own connection and nobody else's.

use tulle_http::h2::ErrorCode;

use crate::{
    common::{Backend, eventually},
    wire::{Rig, Upstream},
    wire_h2::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GET, HEADERS, PING, POST, PRIORITY, RST_STREAM,
        SETTINGS, WINDOW_UPDATE, block, frame,
    },
};

/// Sends it all without reading, and is told to calm down.
fn calms(rig: &Rig, what: &str, bytes: &[u8]) {
    let mut frames = Frames::connect(rig.at());
    // The other end may have enough before all of it is written.
    frames.raw(bytes);
    eprintln!("{what}");
    frames.expect_go_away(ErrorCode::ENHANCE_YOUR_CALM);
    rig.neighbours_are_fine();
}

/// Section 10.5: streams opened only to be reset (CVE-2023-44487).
#[test]
fn rapid_resets_end_the_connection() {
    let app = Upstream::new(|peer| peer.wait_for_end());
    let rig = Rig::h1(app.at());
    let head = block(&GET);
    let bytes: Vec<u8> = (0..600u32)
        .flat_map(|i| {
            let id = 2 * i + 1;
            [frame(HEADERS, END_HEADERS | END_STREAM, id, &head), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])]
                .concat()
        })
        .collect();
    calms(&rig, "rapid reset", &bytes);
    rig.settles();
    assert_eq!(rig.proxy.stat("http.test.downstream_cx_flood"), 1);
}

/// Section 10.5: streams that make us reset them: malformed heads, windows that cannot be.
#[test]
fn resets_that_are_provoked_end_the_connection() {
    let app = Upstream::new(|peer| peer.wait_for_end());
    let rig = Rig::h1(app.at());
    let (bad, head) = (block(&GET[1..]), block(&POST));
    let malformed: Vec<u8> =
        (0..600).flat_map(|i| frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, &bad)).collect();
    calms(&rig, "malformed heads", &malformed);
    let windows: Vec<u8> = (0..600)
        .flat_map(|i| {
            [frame(HEADERS, END_HEADERS, 2 * i + 1, &head), frame(WINDOW_UPDATE, 0, 2 * i + 1, &[0; 4])]
                .concat()
        })
        .collect();
    calms(&rig, "window updates of 0", &windows);
    let late: Vec<u8> = (0..600)
        .flat_map(|i| {
            let id = 2 * i + 1;
            [frame(HEADERS, END_HEADERS | END_STREAM, id, &head), frame(DATA, 0, id, b"x")].concat()
        })
        .collect();
    calms(&rig, "data behind the end", &late);
    rig.settles();
}

/// Section 10.5: control frames that want answers which nobody reads, frames that carry nothing.
#[test]
fn empty_work_ends_the_connection() {
    let app = Upstream::new(|peer| peer.wait_for_end());
    let rig = Rig::h1(app.at());
    // Answers pile up only once the socket takes no more of them: far more than its buffers hold. GOAWAY waits behind them, so
    // that such a client sees no more than the end.
    for flood in [frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]), frame(PING, 0, 0, &[0; 8])] {
        let mut frames = Frames::connect(rig.at());
        assert!(!frames.raw(&flood.repeat(4_000_000)), "the connection ends before all of it is taken");
        rig.neighbours_are_fine();
    }
    calms(&rig, "PRIORITY", &frame(PRIORITY, 0, 1, &[0; 5]).repeat(2000));
    calms(&rig, "unknown frames", &frame(0xbe, 0, 0, b"x").repeat(2000));
    let open = frame(HEADERS, END_HEADERS, 1, &block(&POST));
    calms(&rig, "empty DATA", &[open.clone(), frame(DATA, 0, 1, b"").repeat(2000)].concat());
    calms(&rig, "DATA of padding", &[open, frame(DATA, 8, 1, &[1, 0]).repeat(2000)].concat());
}

/// Section 10.5.1: heads without end (CVE-2024-27316).
#[test]
fn endless_heads_end_the_connection() {
    let app = Upstream::well();
    let rig = Rig::h1(app.at());
    let first = frame(HEADERS, END_STREAM, 1, &block(&GET));
    let empty = [first.clone(), frame(CONTINUATION, 0, 1, b"").repeat(500)].concat();
    calms(&rig, "empty CONTINUATION", &empty);
    let full =
        [first.clone(), frame(CONTINUATION, 0, 1, &block(&[("x", &"y".repeat(16_000))])).repeat(30)].concat();
    calms(&rig, "full CONTINUATION", &full);
    // One entry of 4 kB in the table, named 15,000 times in 15 kB.
    let mut bomb = block(&GET);
    bomb.extend(b"\x40\x01x\x7f\xa1\x1e");
    bomb.extend([b'z'; 4000]);
    let mut second = block(&GET);
    second.extend([0xbe; 15_000]);
    let bytes = [
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb),
        frame(HEADERS, END_HEADERS | END_STREAM, 3, &second),
    ]
    .concat();
    let mut frames = Frames::connect(rig.at());
    frames.raw(&bytes);
    frames.expect_go_away(ErrorCode::ENHANCE_YOUR_CALM);
    rig.neighbours_are_fine();
}

/// RFC 6585: a head that is only too large is answered with 431, and the connection goes on.
#[test]
fn a_head_over_the_limit_gets_431() {
    let app = Upstream::well();
    let rig = Rig::h1(app.at());
    let mut frames = Frames::connect(rig.at());
    let value = "y".repeat(16_000);
    let piece = block(&[("x", &value)]);
    frames.send(HEADERS, END_STREAM, 1, &block(&GET));
    for _ in 0..4 {
        frames.send(CONTINUATION, 0, 1, &piece);
    }
    frames.send(CONTINUATION, END_HEADERS, 1, &[]);
    assert_eq!(frames.status(1), 431);
    let many: Vec<_> = GET.iter().copied().chain([("x", "y"); 100]).collect();
    frames.head(3, END_STREAM, &many);
    assert_eq!(frames.status(3), 431);
    frames.is_alive(5);
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// A busy client may ping as often as it likes while it reads: also when a body always waits in front of the answers.
#[test]
fn pings_between_a_long_body_are_no_flood() {
    let app = Backend::raw(|stream| {
        use std::io::{Read as _, Write as _};
        let mut bytes = [0; 1000];
        let _ = stream.read(&mut bytes);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 60000000\r\n\r\n");
        let piece = vec![b'x'; 60_000];
        for _ in 0..1000 {
            if stream.write_all(&piece).is_err() {
                return;
            }
        }
    });
    let rig = Rig::h1(app.address);
    let mut frames = Frames::with(rig.at(), &[(crate::wire_h2::INITIAL_WINDOW_SIZE, 0x7fff_ffff)]);
    frames.send(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]);
    frames.get(1, "/");
    let mut sum = 0;
    while sum < 60_000_000 {
        let data = frames.find(|f| f.kind == DATA || f.kind == crate::wire_h2::GOAWAY).expect("more");
        assert_eq!(data.kind, DATA, "after {sum} bytes");
        sum += data.payload.len();
        frames.send(PING, 0, 0, &[1; 8]);
    }
    eventually("the connection is idle", || rig.proxy.vitals().active_requests == 0);
}
