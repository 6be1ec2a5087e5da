//! HTTP/2 as a client: what we send to upstreams, and upstreams that speak it badly (RFC 9113).

use std::{
    sync::mpsc,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use tulle_http::h2::ErrorCode;

use crate::{
    common::Backend,
    wire::{PATIENCE, Rig, reset},
    wire_h2::{
        ACK, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS,
        INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, PING, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
        block, frame, settings,
    },
};

const ASK: &str = "GET /bad HTTP/1.1\r\nhost: a\r\n\r\n";
const OK: [(&str, &str); 1] = [(":status", "200")];

/// Does `script` with every connection that the proxy opens.
fn server(script: impl Fn(&mut Frames) + Send + Sync + 'static) -> Backend {
    Backend::raw(move |stream| {
        if let Some(mut peer) = Frames::accept(stream) {
            script(&mut peer);
        }
    })
}

/// Answers whatever comes with 200 `ok`, until the connection ends.
fn serve(peer: &mut Frames) {
    while let Some((id, _)) = peer.try_request() {
        peer.head(id, 0, &OK);
        peer.send(DATA, END_STREAM, id, b"ok");
    }
}

/// RFC 9113 section 3.4, 6.5.2 and 8.4: our preface, our settings without push, and the acknowledgement of theirs.
#[test]
fn our_preface_refuses_push() {
    let (told, seen) = mpsc::channel();
    let told = Mutex::new(told);
    let app = Backend::raw(move |stream| {
        let Some(mut peer) = Frames::accept(stream) else { return };
        let acknowledged = peer.find(|f| f.kind == SETTINGS && f.flags & ACK != 0).is_some();
        let pushes: Vec<u32> =
            peer.peer.iter().filter(|(id, _)| *id == ENABLE_PUSH).map(|(_, v)| *v).collect();
        told.lock().unwrap().send((acknowledged, pushes)).unwrap();
        serve(&mut peer);
    });
    let rig = Rig::h2(app.address);
    assert_eq!(rig.client().get("/").body, "ok");
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), (true, vec![0]));
}

/// RFC 9113 section 8.3.1 and 8.2: our requests: pseudo-header fields first, names in lower case, nothing of a connection.
#[test]
fn our_requests_are_well_formed() {
    let (told, seen) = mpsc::channel();
    let told = Mutex::new(told);
    let app = server(move |peer| {
        let (id, head) = peer.request();
        told.lock().unwrap().send((id, head)).unwrap();
        peer.head(id, END_STREAM, &[(":status", "204")]);
        peer.wait_for_end();
    });
    let rig = Rig::h2(app.address);
    rig.ask(
        "GET /P?q HTTP/1.1\r\nHost: A.example\r\nX-Mixed: Value\r\nconnection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\n\
         te: gzip, trailers\r\ncookie: a=b\r\n\r\n",
    );
    let (id, head) = seen.recv_timeout(PATIENCE).unwrap();
    assert_eq!(id, 1);
    let pairs: Vec<(&str, &str)> = head.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let mut pseudo = pairs[..4].to_vec();
    pseudo.sort_unstable();
    assert_eq!(
        pseudo,
        [(":authority", "A.example"), (":method", "GET"), (":path", "/P?q"), (":scheme", "http")]
    );
    assert!(pairs[4..].iter().all(|(name, _)| !name.starts_with(':') && *name == name.to_ascii_lowercase()));
    assert!(
        pairs.contains(&("x-mixed", "Value"))
            && pairs.contains(&("te", "trailers"))
            && pairs.contains(&("cookie", "a=b"))
    );
    for gone in ["connection", "keep-alive", "host", "x-hop", "transfer-encoding", "upgrade"] {
        assert!(!pairs.iter().any(|(name, _)| *name == gone), "{gone}");
    }
}

/// RFC 9113 section 8.1 and 8.3.2: responses that are malformed are 502 with `UPE`, the stream is reset, others live on.
#[test]
fn malformed_responses_are_502() {
    let long = "y".repeat(10_000);
    let cases: Vec<Vec<(&str, &str)>> = vec![
        vec![],
        vec![("x", "y")],
        vec![(":status", "20")],
        vec![(":status", "2000")],
        vec![(":status", "600")],
        vec![(":status", "101")],
        vec![(":status", "abc")],
        vec![OK[0], OK[0]],
        vec![("x", "y"), OK[0]],
        vec![OK[0], (":path", "/")],
        vec![OK[0], ("X", "y")],
        vec![OK[0], ("x", "a\r\nb: c")],
        vec![OK[0], ("connection", "close")],
        vec![OK[0], ("transfer-encoding", "chunked")],
        vec![OK[0], ("content-length", "x")],
        vec![OK[0], ("content-length", "5")],
        vec![
            OK[0],
            ("x", &long),
            ("x", &long),
            ("x", &long),
            ("x", &long),
            ("x", &long),
            ("x", &long),
            ("x", &long),
        ],
    ];
    let count = cases.len();
    let owned: Vec<Vec<(String, String)>> = cases
        .into_iter()
        .map(|head| head.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect())
        .collect();
    let owned = Arc::new(owned);
    let app = server(move |peer| {
        for head in owned.iter() {
            let (id, _) = peer.request();
            let head: Vec<(&str, &str)> = head.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let bytes = block(&head);
            let (first, rest) = bytes.split_at(bytes.len().min(16_000));
            peer.send(HEADERS, END_STREAM | if rest.is_empty() { END_HEADERS } else { 0 }, id, first);
            let mut pieces = rest.chunks(16_000).peekable();
            while let Some(piece) = pieces.next() {
                peer.send(CONTINUATION, if pieces.peek().is_none() { END_HEADERS } else { 0 }, id, piece);
            }
            peer.expect_reset(id, ErrorCode::PROTOCOL_ERROR);
        }
        serve(peer);
    });
    let rig = Rig::h2(app.address);
    let mut client = rig.client();
    for at in 0..count {
        client.send(ASK);
        let response = client.receive().unwrap();
        assert_eq!(response.status, 502, "case {at}");
    }
    rig.logged(&["/bad", "502", "UPE"]);
    assert_eq!(client.get("/").body, "ok", "the connection and its others are in order");
    assert_eq!(app.connections.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// RFC 9113 section 8.1.1: bodies that are not as long as announced, bodies where there can be none.
#[test]
fn bodies_that_do_not_fit_are_cut_off() {
    let app = server(|peer| {
        for (length, body, end) in [("5", "toolong", 0), ("5", "abc", END_STREAM)] {
            let (id, _) = peer.request();
            peer.head(id, 0, &[OK[0], ("content-length", length)]);
            thread::sleep(Duration::from_millis(50));
            peer.send(DATA, end, id, body.as_bytes());
            peer.expect_reset(id, ErrorCode::PROTOCOL_ERROR);
        }
        // In answer to HEAD.
        let (id, _) = peer.request();
        peer.head(id, 0, &[OK[0], ("content-length", "3")]);
        peer.send(DATA, END_STREAM, id, b"abc");
        peer.expect_reset(id, ErrorCode::PROTOCOL_ERROR);
        // DATA before the head.
        let (id, _) = peer.request();
        peer.send(DATA, END_STREAM, id, b"abc");
        peer.expect_reset(id, ErrorCode::PROTOCOL_ERROR);
        serve(peer);
    });
    let rig = Rig::h2(app.address);
    for _ in 0..2 {
        let text = rig.exchange(ASK);
        assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("content-length: 5"), "{text}");
        assert!(text.split_once("\r\n\r\n").unwrap().1.len() < 5, "{text}");
        rig.logged(&["/bad", "200", "UPE"]);
    }
    let mut client = rig.client();
    client.send("HEAD /head HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.receive_for("HEAD").unwrap().status, 200);
    let mut client = rig.client();
    client.send("GET /before HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.receive().unwrap().status, 502);
    assert_eq!(rig.client().get("/").body, "ok");
}

/// RFC 9113 section 5.4.1: errors of the connection end it with GOAWAY; the request gets 502 or 503 and a flag.
#[test]
fn errors_of_the_connection_end_it() {
    let promise = [&2u32.to_be_bytes()[..], &block(&[(":method", "GET")])].concat();
    let cases = [
        (ErrorCode::PROTOCOL_ERROR, frame(PUSH_PROMISE, END_HEADERS, 1, &promise)),
        (ErrorCode::PROTOCOL_ERROR, frame(SETTINGS, 0, 0, &settings(&[(ENABLE_PUSH, 1)]))),
        (ErrorCode::PROTOCOL_ERROR, frame(HEADERS, END_HEADERS, 2, &block(&OK))),
        (ErrorCode::PROTOCOL_ERROR, frame(HEADERS, END_HEADERS, 99, &block(&OK))),
        (ErrorCode::PROTOCOL_ERROR, frame(DATA, 0, 99, b"x")),
        (ErrorCode::PROTOCOL_ERROR, frame(PING, 0, 1, &[0; 8])),
        (ErrorCode::PROTOCOL_ERROR, frame(CONTINUATION, END_HEADERS, 1, b"")),
        (ErrorCode::FRAME_SIZE_ERROR, frame(DATA, 0, 1, &[0; 16_385])),
        (ErrorCode::COMPRESSION_ERROR, frame(HEADERS, END_HEADERS, 1, &[0x80])),
        (ErrorCode::FLOW_CONTROL_ERROR, frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
        (ErrorCode::ENHANCE_YOUR_CALM, frame(0xbe, 0, 0, b"").repeat(2000)),
    ];
    for (code, bytes) in cases {
        let (told, seen) = mpsc::channel();
        let told = Mutex::new(told);
        let app = server(move |peer| {
            if peer.try_request().is_none() {
                return;
            }
            peer.raw(&bytes);
            let last = peer.find(|f| f.kind == GOAWAY).map(|f| f.number(4));
            let _ = told.lock().unwrap().send(last);
        });
        let rig = Rig::h2(app.address);
        let mut client = rig.client();
        client.send("POST /bad HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
        let status = client.receive().unwrap().status;
        assert!(matches!(status, 502 | 503), "{status}");
        assert_eq!(seen.recv_timeout(PATIENCE).unwrap().map(ErrorCode), Some(code));
        rig.logged(&["/bad", "U"]);
        rig.neighbours_are_fine();
        rig.settles();
    }
}

/// An upstream that is no HTTP/2 server at all.
#[test]
fn what_is_no_http2_server_is_an_error() {
    for said in [
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
        "garbage that is longer than a frame head",
        "",
    ] {
        let app = Backend::raw(move |stream| {
            use std::io::{Read as _, Write as _};
            let mut bytes = [0; 1000];
            let _ = stream.read(&mut bytes);
            let _ = stream.write_all(said.as_bytes());
        });
        let rig = Rig::h2(app.address);
        let (response, _) = rig.ask("GET /bad HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        assert!(matches!(response.status, 502 | 503), "{said:?}: {}", response.status);
        rig.neighbours_are_fine();
    }
}

/// RFC 9113 section 6.4 and 8.7: a reset before the answer is 503; in the middle of the body the client is cut off; behind a
/// whole answer (NO_ERROR) it only stops the request.
#[test]
fn resets_by_the_upstream() {
    let app = server(|peer| {
        let (id, _) = peer.request();
        peer.send(RST_STREAM, 0, id, &ErrorCode::INTERNAL_ERROR.0.to_be_bytes());
        let (id, _) = peer.request();
        peer.head(id, 0, &OK);
        peer.send(DATA, 0, id, b"begun");
        thread::sleep(Duration::from_millis(100));
        peer.send(RST_STREAM, 0, id, &ErrorCode::INTERNAL_ERROR.0.to_be_bytes());
        let (id, _) = peer.request();
        peer.head(id, 0, &[(":status", "413")]);
        peer.send(DATA, END_STREAM, id, b"enough");
        peer.send(RST_STREAM, 0, id, &ErrorCode::NO_ERROR.0.to_be_bytes());
        serve(peer);
    });
    let rig = Rig::h2(app.address);
    let mut client = rig.client();
    client.send(ASK);
    assert_eq!(client.receive().unwrap().status, 503);
    rig.logged(&["/bad", "503", "UR"]);
    let text = rig.exchange("GET /cut HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(text.contains("begun") && !text.ends_with("0\r\n\r\n"), "{text}");
    rig.logged(&["/cut", "200", "UR"]);
    let (response, _) = rig.ask("POST /much HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\nbegun");
    assert_eq!((response.status, response.body.as_str()), (413, "enough"));
    assert_eq!(rig.client().get("/").body, "ok");
}

/// RFC 9113 section 6.8: behind GOAWAY a new connection is used; requests that the old one never saw are sent again, whatever
/// their method.
#[test]
fn requests_that_go_away_unseen_are_sent_again() {
    let app = server(|peer| {
        let (id, _) = peer.request();
        if id == 1 {
            peer.head(id, END_STREAM, &[(":status", "204")]);
            // The second is on its way when we say that we have seen none but the first.
            if peer.try_request().is_some() {
                peer.send(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
                assert_eq!(peer.find(|f| f.kind == HEADERS), None, "no request behind GOAWAY");
            }
        }
    });
    let rig = Rig::h2(app.address);
    let mut client = rig.client();
    for _ in 0..3 {
        client.send("POST / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(client.receive().unwrap().status, 204);
    }
    assert_eq!(app.connections.load(std::sync::atomic::Ordering::Relaxed), 3);
}

/// RFC 9113 section 6.8: streams that the upstream has seen end as they would have.
#[test]
fn requests_that_were_seen_end_behind_go_away() {
    let app = server(|peer| {
        let (id, _) = peer.request();
        peer.send(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
        peer.head(id, 0, &OK);
        thread::sleep(Duration::from_millis(50));
        peer.send(DATA, END_STREAM, id, b"ok");
        assert_eq!(peer.find(|f| f.kind == HEADERS), None, "no request behind GOAWAY");
    });
    let rig = Rig::h2(app.address);
    let mut client = rig.client();
    for _ in 0..2 {
        assert_eq!(client.get("/").body, "ok");
    }
}

/// RFC 9113 section 5.1.2: no more streams than the upstream allows: others get a connection of their own.
#[test]
fn we_keep_to_the_upstreams_limit_on_streams() {
    let app = Backend::raw(|stream| {
        let Some(mut peer) = Frames::accept_with(stream, &[(MAX_CONCURRENT_STREAMS, 1)]) else { return };
        while let Some((id, _)) = peer.try_request() {
            thread::sleep(Duration::from_millis(50));
            peer.head(id, 0, &OK);
            peer.send(DATA, END_STREAM, id, b"ok");
        }
    });
    let rig = Rig::h2(app.address);
    // The limit is known once the first answer is there.
    assert_eq!(rig.client().get("/").body, "ok");
    let at = rig.at();
    let all: Vec<_> = (0..4).map(|_| thread::spawn(move || crate::common::get(at, "/"))).collect();
    for one in all {
        let response = one.join().unwrap();
        assert_eq!((response.status, response.body.as_str()), (200, "ok"));
    }
}

/// RFC 9113 section 5.2: we send no more of a request than the upstream's windows allow.
#[test]
fn we_keep_to_the_upstreams_windows() {
    let (told, seen) = mpsc::channel();
    let told = Mutex::new(told);
    let app = Backend::raw(move |stream| {
        let Some(mut peer) = Frames::accept_with(stream, &[(INITIAL_WINDOW_SIZE, 10)]) else { return };
        // Our settings have arrived before the request that the test sends next.
        peer.find(|f| f.kind == SETTINGS && f.flags & ACK != 0);
        let (id, _) = peer.request();
        peer.head(id, END_STREAM, &[(":status", "204")]);
        let (id, _) = peer.request();
        let mut sums = Vec::new();
        for more in [0u32, 7, 100] {
            if more > 0 {
                peer.send(WINDOW_UPDATE, 0, id, &more.to_be_bytes());
            }
            let mut sum = 0;
            loop {
                peer.send(PING, 0, 0, b"anything");
                let f = peer.find(|f| f.kind == DATA || (f.kind == PING && f.flags & ACK != 0)).unwrap();
                if f.kind == DATA {
                    sum += f.payload.len();
                } else if sum > 0 {
                    break;
                }
            }
            sums.push(sum);
        }
        told.lock().unwrap().send(sums).unwrap();
        peer.head(id, END_STREAM, &[(":status", "204")]);
        peer.wait_for_end();
    });
    let rig = Rig::h2(app.address);
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.receive().unwrap().status, 204);
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\n".to_owned() + &"x".repeat(50));
    assert_eq!(client.receive().unwrap().status, 204);
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), [10, 7, 33]);
}

/// Informational heads without end end with their stream.
#[test]
fn a_storm_of_informational_heads_ends() {
    let app = server(|peer| {
        let (id, _) = peer.request();
        let hints = frame(HEADERS, END_HEADERS, id, &block(&[(":status", "103"), ("link", "x")])).repeat(100);
        while peer.raw(&hints) {
            let mut probe = [0; 1];
            peer.stream().set_nonblocking(true).unwrap();
            let over = peer.stream().peek(&mut probe).is_ok_and(|n| n == 0);
            peer.stream().set_nonblocking(false).unwrap();
            if over {
                return;
            }
        }
    });
    let rig = Rig::h2(app.address);
    let mut client = rig.client();
    client.send(ASK);
    let last = loop {
        let response = client.receive().unwrap();
        if response.status != 103 {
            break response;
        }
    };
    assert_eq!(last.status, 502);
    rig.logged(&["/bad", "502", "UPE"]);
    rig.neighbours_are_fine();
}

/// The end of an upstream's connection: 503 before the answer, cut off in the middle of it; whole answers stay whole.
#[test]
fn the_end_of_the_connection() {
    let app = server(|peer| {
        let (id, head) = peer.request();
        let path = head.iter().find(|(n, _)| n == ":path").unwrap().1.clone();
        match path.as_str() {
            "/cut" => {
                peer.head(id, 0, &OK);
                peer.send(DATA, 0, id, b"begun");
                thread::sleep(Duration::from_millis(100));
            }
            "/whole" => {
                peer.head(id, 0, &OK);
                peer.send(DATA, END_STREAM, id, b"whole");
            }
            _ => reset(peer.stream()),
        }
    });
    let rig = Rig::h2(app.address);
    let (response, _) =
        rig.ask("POST /bad HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(response.status, 503);
    rig.logged(&["/bad", "503", "UC"]);
    let text = rig.exchange("GET /cut HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(text.contains("begun") && !text.ends_with("0\r\n\r\n"), "{text}");
    rig.logged(&["/cut", "200", "UC"]);
    for _ in 0..3 {
        assert_eq!(rig.client().get("/whole").body, "whole");
    }
}
