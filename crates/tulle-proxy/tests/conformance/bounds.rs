//! What a peer can make the proxy hold. Measured by what the proxy takes: a writer whom nobody reads is stuck soon, and bytes
//! that are stuck are in sockets but for a bounded few.

use std::{
    io::{Read as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tulle_http::h2::ErrorCode;

use crate::{
    common::{Backend, Client, cluster, http2},
    wire::{PATIENCE, Rig, Upstream, push_until_stuck},
    wire_h2::{
        DATA, END_HEADERS, END_STREAM, Frames, GET, HEADERS, INITIAL_WINDOW_SIZE, POST, RST_STREAM,
        WINDOW_UPDATE, block, frame,
    },
};

/// More than the sockets of two hops ever hold, with room for the proxy's own buffers, and far below what is offered.
const MOST: usize = 64 << 20;
/// What a writer offers.
const OFFERED: usize = 1 << 30;

/// An upstream that answers with a body of `OFFERED` bytes in pieces of `size`, and counts what is taken.
fn endless(chunked: bool, size: usize) -> (Backend, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let app = Backend::raw(move |stream| {
        let mut bytes = [0; 4096];
        let _ = stream.read(&mut bytes);
        let piece = if chunked {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            // Many chunks in each write, each a piece of its own.
            format!("{size:x}\r\n{}\r\n", "x".repeat(size)).repeat(60_000 / (size + 6) + 1)
        } else {
            let _ =
                stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {OFFERED}\r\n\r\n").as_bytes());
            "x".repeat(size)
        };
        for _ in 0..OFFERED / piece.len() {
            let Ok(count) = stream.write(piece.as_bytes()) else { return };
            counter.fetch_add(count, Ordering::Relaxed);
            if count < piece.len() && stream.write_all(&piece.as_bytes()[count..]).is_err() {
                return;
            }
        }
    });
    (app, taken)
}

/// Waits until `counter` stands still, and gives it.
fn settled(counter: &AtomicUsize) -> usize {
    let end = Instant::now() + PATIENCE;
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let now = counter.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        if now > 0 && since.elapsed() > Duration::from_millis(700) {
            return now;
        }
        assert!(Instant::now() < end, "{now} bytes and no end");
        thread::sleep(Duration::from_millis(20));
    }
}

/// An HTTP/1 client that does not read stops the upstream.
#[test]
fn an_http1_client_that_does_not_read_stops_the_upstream() {
    for (chunked, size) in [(false, 60_000), (true, 1000)] {
        let (app, taken) = endless(chunked, size);
        let rig = Rig::h1(app.address);
        let mut client = rig.client();
        client.send("GET /stuck HTTP/1.1\r\nhost: a\r\n\r\n");
        assert!(settled(&taken) < MOST, "chunked: {chunked}");
        rig.neighbours_are_fine();
        drop(client);
        rig.settles();
        rig.logged(&["/stuck", "200", "DC"]);
    }
}

/// An HTTP/2 client with windows as wide as can be that does not read its socket stops the upstream, even when the body comes in
/// small pieces; one that opens no window stops its own stream only.
#[test]
fn an_http2_client_that_does_not_read_stops_the_upstream() {
    for size in [10, 1000, 30_000] {
        let (app, taken) = endless(true, size);
        let rig = Rig::h1(app.address);
        let mut frames = Frames::with(rig.at(), &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]);
        frames.send(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]);
        frames.get(1, "/stuck");
        assert!(settled(&taken) < MOST, "pieces of {size}");
        rig.neighbours_are_fine();
        drop(frames);
        rig.settles();
    }
    let (app, taken) = endless(true, 1000);
    let rig = Rig::h1(app.address);
    let mut frames = Frames::with(rig.at(), &[(INITIAL_WINDOW_SIZE, 0)]);
    frames.get(1, "/stuck");
    assert_eq!(frames.status(1), 200);
    assert!(settled(&taken) < MOST);
    frames.get(3, "/fine");
    assert_eq!(frames.status(3), 200);
    frames.send(WINDOW_UPDATE, 0, 3, &[0, 0, 1, 0]);
    assert_eq!(frames.body(3), b"fine", "the connection's window is open");
    frames.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    rig.settles();
}

/// An HTTP/2 client that asks and asks and reads no answer is not read from any more.
#[test]
fn an_http2_client_that_only_asks_is_not_read_from() {
    let app = Upstream::well();
    let rig = Rig::h1(app.at());
    let mut frames = Frames::with(rig.at(), &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]);
    frames.send(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]);
    let mut head = GET;
    head[2].1 = "/direct";
    let head = block(&head);
    let mut id = 1;
    frames.stream().set_write_timeout(Some(Duration::from_millis(700))).unwrap();
    let mut asked = 0;
    loop {
        // A few at a time, so that they are not over the limit of streams.
        let batch: Vec<u8> = (0..50)
            .flat_map(|_| {
                id += 2;
                frame(HEADERS, END_HEADERS | END_STREAM, id - 2, &head)
            })
            .collect();
        if !frames.raw(&batch) {
            break;
        }
        asked += batch.len();
        assert!(asked < MOST, "{asked} bytes of requests and no end");
    }
    rig.neighbours_are_fine();
}

/// The same in HTTP/1: pipelined requests whose answers nobody reads.
#[test]
fn an_http1_client_that_only_asks_is_not_read_from() {
    let app = Upstream::well();
    let rig = Rig::h1(app.at());
    let mut client = rig.client();
    let batch = "GET /direct HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1000);
    push_until_stuck(&mut client.stream, batch.as_bytes(), MOST);
    rig.neighbours_are_fine();
}

/// An HTTP/1 upstream that does not read stops the client, HTTP/1 or HTTP/2.
#[test]
fn an_http1_upstream_that_does_not_read_stops_the_client() {
    let app = Backend::raw(|_| thread::sleep(PATIENCE));
    let rig = Rig::h1(app.address);
    let mut client = rig.client();
    client.send("POST /stuck HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000000\r\n\r\n");
    assert!(push_until_stuck(&mut client.stream, &[b'x'; 60_000], MOST) > 0);
    let mut chunked = rig.client();
    chunked.send("POST /stuck HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    push_until_stuck(&mut chunked.stream, "1\r\nx\r\n".repeat(5000).as_bytes(), MOST);
    rig.neighbours_are_fine();
    drop((client, chunked));
}

/// A client's stream whose body an upstream does not take ends when the client resets it.
#[test]
fn a_reset_is_heard_while_the_upstream_does_not_read() {
    let app = Backend::raw(|_| thread::sleep(PATIENCE));
    let rig = Rig::h1(app.address);
    let mut frames = Frames::connect(rig.at());
    let window = frames.peer.iter().find(|(id, _)| *id == INITIAL_WINDOW_SIZE).unwrap().1;
    frames.head(1, 0, &POST);
    // As much as goes: the sockets upstream fill while windows open, then the stream's own window.
    let mut room = i64::from(window);
    let piece = vec![0; 16_384];
    while room >= 16_384 {
        frames.send(DATA, 0, 1, &piece);
        room -= 16_384;
    }
    crate::common::eventually("under way", || rig.proxy.vitals().active_requests == 1);
    frames.send(RST_STREAM, 0, 1, &ErrorCode::CANCEL.0.to_be_bytes());
    rig.settles();
    frames.is_alive(3);
}

/// An HTTP/2 upstream that opens no window stops the client.
#[test]
fn an_http2_upstream_that_opens_no_window_stops_the_client() {
    let app = Backend::raw(|stream| {
        if let Some(mut peer) = Frames::accept(stream) {
            peer.wait_for_end();
        }
    });
    let rig = Rig::h2(app.address);
    let mut client = rig.client();
    client.send("POST /stuck HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000000\r\n\r\n");
    push_until_stuck(&mut client.stream, &[b'x'; 60_000], MOST);
    rig.neighbours_are_fine();
}

/// Clients that do not read share an upstream's connection with one that does: it is served all the same.
#[test]
fn stuck_clients_do_not_stop_others_on_the_same_upstream_connection() {
    let app = crate::common::h2::backend(|request, _| {
        let body = if request.path == "/big" { vec![b'x'; 20_000_000] } else { b"small".to_vec() };
        (tulle_http::ResponseHead::new(200), body, tulle_http::HeaderList::new())
    });
    let rig = Rig::with(http2(cluster("app", &[app.address])), json!({}));
    assert_eq!(rig.client().get("/").body, "small");
    let stuck: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = rig.client();
            client.send("GET /big HTTP/1.1\r\nhost: a\r\n\r\n");
            client
        })
        .collect();
    crate::common::eventually("under way", || rig.proxy.vitals().active_requests == 20);
    // Everything that will move has moved.
    thread::sleep(Duration::from_millis(500));
    for _ in 0..20 {
        assert_eq!(rig.client().get("/").body, "small");
    }
    assert_eq!(app.connections.load(Ordering::Relaxed), 1, "all on one connection");
    drop(stuck);
    rig.settles();
}

/// The same on a client's connection: uploads that nobody takes do not stop other requests.
#[test]
fn stuck_uploads_do_not_stop_other_requests_of_a_connection() {
    let app = Backend::raw(|_| thread::sleep(PATIENCE));
    let rig = Rig::h1(app.address);
    let mut frames = Frames::connect(rig.at());
    let window = frames.peer.iter().find(|(id, _)| *id == INITIAL_WINDOW_SIZE).unwrap().1 as usize;
    let mut connection = 65_535i64;
    let piece = vec![0; 16_384];
    let streams: Vec<u32> = (0..12).map(|i| 2 * i + 1).collect();
    for id in &streams {
        frames.head(*id, 0, &POST);
        for _ in 0..window / piece.len() {
            while connection < 16_384 {
                connection +=
                    i64::from(frames.find(|f| f.kind == WINDOW_UPDATE && f.stream == 0).unwrap().number(0));
            }
            connection -= 16_384;
            frames.send(DATA, 0, *id, &piece);
        }
    }
    let last = 2 * streams.len() as u32 + 1;
    frames.head(last, 0, &[POST[0], POST[1], (":path", "/fine"), POST[3]]);
    while connection < 5 {
        connection += i64::from(frames.find(|f| f.kind == WINDOW_UPDATE && f.stream == 0).unwrap().number(0));
    }
    frames.send(DATA, END_STREAM, last, b"hello");
    assert_eq!(frames.status(last), 200);
    assert_eq!(frames.body(last), b"fine");
}
