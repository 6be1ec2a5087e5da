//! Upstreams that speak HTTP/1 badly: every one gets its flag, its client an answer that cannot be mistaken for a whole one, and
//! its neighbours notice nothing.

use std::{
    io::Write as _,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::{
    common::eventually,
    wire::{Rig, Upstream, reset},
};

const ASK: &str = "GET /bad HTTP/1.1\r\nhost: a\r\n\r\n";

/// RFC 9112 sections 2, 4, 5 and 6: heads that are none are 502 with the flag `UPE`.
#[test]
fn malformed_heads_are_502() {
    let long = "y".repeat(70_000);
    let cases = [
        "garbage\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{0}\u{1}\r\n\r\n".into(),
        "<html>HTTP/0.9</html>".into(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
        "HTTP/2.0 200 OK\r\n\r\n".into(),
        "HTTP/1.2 200 OK\r\n\r\n".into(),
        "HTTP/1.1 20 OK\r\n\r\n".into(),
        "HTTP/1.1 2000 OK\r\n\r\n".into(),
        "HTTP/1.1 600 OK\r\n\r\n".into(),
        "HTTP/1.1 099 OK\r\n\r\n".into(),
        "HTTP/1.1 abc OK\r\n\r\n".into(),
        "HTTP/1.1  200 OK\r\n\r\n".into(),
        "HTTP/1.1 200 O\u{0}K\r\n\r\n".into(),
        "HTTP/1.1 200 OK\ncontent-length: 0\n\n".into(),
        "HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\nx: a\r\n folded\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\n folded: a\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\nx: \u{0}\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello".into(),
        "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello".into(),
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n".into(),
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        "HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n".into(),
        format!("HTTP/1.1 200 OK\r\nx: {long}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(101)),
    ];
    let count = cases.len();
    let app = Upstream::new(move |peer| {
        // The path says which.
        let Some(request) = peer.request() else { return };
        let number =
            request.split(' ').nth(1).and_then(|path| path.strip_prefix("/bad/")?.parse::<usize>().ok());
        peer.say(&cases[number.unwrap()]);
    });
    let rig = Rig::h1(app.at());
    let mut client = rig.client();
    for at in 0..count {
        client.send(format!("GET /bad/{at} HTTP/1.1\r\nhost: a\r\n\r\n"));
        assert_eq!(client.receive().unwrap().status, 502, "case {at}");
    }
    for at in 0..count {
        rig.logged(&[&format!("/bad/{at}"), "502", "UPE"]);
    }
    // The client's own connection is none of the upstream's business.
    client.send("GET /fine HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.receive().unwrap().body, "fine");
}

/// RFC 9112 section 5.1: white space before a colon is taken out of responses.
#[test]
fn white_space_before_a_colon_is_taken_out() {
    let app = Upstream::saying("HTTP/1.1 200 OK\r\nx-a \t: b\r\ncontent-length: 2\r\n\r\nok");
    let rig = Rig::h1(app.at());
    let text = rig.exchange("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert!(text.contains("\r\nx-a: b\r\n"), "{text}");
}

/// An upstream that closes, or resets, before it has answered: 503 with `UC`.
#[test]
fn an_end_before_the_answer_is_503() {
    for (said, hard) in
        [("", false), ("", true), ("HTTP/1.1 200 OK\r\nx: y", false), ("HTTP/1.1 103 Hint\r\n\r\n", false)]
    {
        let app = Upstream::new(move |peer| {
            peer.request();
            peer.say(said);
            if hard {
                reset(peer.stream);
            }
        });
        let rig = Rig::h1(app.at());
        let mut client = rig.client();
        client.send(ASK);
        let mut response = client.receive().unwrap();
        if response.status == 103 {
            response = client.receive().unwrap();
        }
        assert_eq!(response.status, 503, "{said:?} {hard}");
        rig.logged(&["/bad", "503", "UC"]);
        rig.neighbours_are_fine();
    }
}

/// RFC 9112 section 8: a body that is cut off, or broken, is cut off for the client as well: never complete by its framing.
#[test]
fn a_broken_body_never_looks_whole() {
    let cases: [(&str, bool, &str); 8] = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhello", false, "UPE"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhello", true, "UC"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", false, "UPE"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", true, "UC"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n", false, "UPE"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloooo\r\n0\r\n\r\n", false, "UPE"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
            false,
            "UPE",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nfffffffffffffffff\r\n",
            false,
            "UPE",
        ),
    ];
    for (said, hard, flag) in cases {
        let app = Upstream::new(move |peer| {
            peer.request();
            peer.say(said);
            // The beginning is with the client before the end comes.
            thread::sleep(Duration::from_millis(100));
            if hard {
                reset(peer.stream);
            }
        });
        let rig = Rig::h1(app.at());
        let text = rig.exchange(ASK);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{said:?}: {text}");
        assert!(text.contains("hello"), "{said:?}: what came is passed on: {text}");
        assert!(!text.ends_with("0\r\n\r\n"), "{said:?}: {text}");
        rig.logged(&["/bad", "200", flag]);
        rig.neighbours_are_fine();
        rig.settles();
    }
}

/// A header of a gigabyte, and trailers without end, are refused long before.
#[test]
fn endless_heads_and_trailers_are_cut() {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    for start in [
        "HTTP/1.1 200 OK\r\nx: ",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: y\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: ",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;",
    ] {
        TAKEN.store(0, Ordering::Relaxed);
        let lines = start.ends_with('\n');
        let app = Upstream::new(move |peer| {
            peer.request();
            peer.say(start);
            let piece = if lines { "x-more: of the same\r\n".repeat(800) } else { "y".repeat(16_000) };
            for _ in 0..(1 << 30) / piece.len() {
                if peer.stream.write_all(piece.as_bytes()).is_err() {
                    return;
                }
                TAKEN.fetch_add(piece.len(), Ordering::Relaxed);
            }
        });
        let rig = Rig::h1(app.at());
        let text = rig.exchange("GET /bad HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let head = text.starts_with("HTTP/1.1 502 ");
        assert!(head || (text.starts_with("HTTP/1.1 200 ") && !text.ends_with("0\r\n\r\n")), "{text}");
        rig.logged(&["/bad", "UPE"]);
        eventually("the upstream is told", || {
            let before = TAKEN.load(Ordering::Relaxed);
            thread::sleep(Duration::from_millis(50));
            before == TAKEN.load(Ordering::Relaxed)
        });
        // What sockets hold, not what was sent.
        assert!(TAKEN.load(Ordering::Relaxed) < 64 << 20, "{start:?}");
        rig.neighbours_are_fine();
    }
}

/// Informational responses without end: the client hears the first of them, then the upstream is given up.
#[test]
fn a_storm_of_informational_responses_ends() {
    let app = Upstream::new(|peer| {
        peer.request();
        while peer.say("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".repeat(100)) {}
    });
    let rig = Rig::h1(app.at());
    let mut client = rig.client();
    client.send(ASK);
    let mut hints = 0;
    let last = loop {
        let response = client.receive().unwrap();
        if response.status != 103 {
            break response;
        }
        hints += 1;
    };
    assert_eq!((last.status, hints), (502, 1000));
    rig.logged(&["/bad", "502", "UPE"]);
    rig.neighbours_are_fine();
}

/// RFC 9112 section 6.3: what comes behind a response, or on a connection that asks for nothing, is nobody's response.
#[test]
fn bytes_behind_a_response_are_not_the_next_one() {
    let extra = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
    for said in [
        format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{extra}"),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{extra}"),
        format!("HTTP/1.1 204 No Content\r\n\r\n{extra}"),
        format!("HTTP/1.1 204 No Content\r\ncontent-length: 44\r\n\r\n{extra}"),
        format!("HTTP/1.1 304 Not Modified\r\ncontent-length: 44\r\n\r\n{extra}"),
    ] {
        let app = Upstream::saying(said.clone());
        let rig = Rig::h1(app.at());
        let mut client = rig.client();
        for turn in 1..=3 {
            client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
            let bodiless = said.contains("1.1 204") || said.contains("1.1 304");
            let response = client.receive_for(if bodiless { "HEAD" } else { "GET" }).unwrap();
            assert_ne!(response.body, "poison", "{said:?}");
            assert_eq!(app.connections(), turn, "{said:?}: a new connection each time");
        }
    }
    // A body in answer to HEAD.
    let app = Upstream::saying("HTTP/1.1 200 OK\r\ncontent-length: 44\r\n\r\n".to_owned() + extra);
    let rig = Rig::h1(app.at());
    let mut client = rig.client();
    client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.receive_for("HEAD").unwrap().status, 200);
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_ne!(client.receive().unwrap().body, "poison");
}

/// The same when the bytes come later, while the connection waits in the pool.
#[test]
fn bytes_on_an_idle_connection_end_it() {
    let app = Upstream::new(|peer| {
        while peer.request().is_some() {
            peer.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            thread::sleep(Duration::from_millis(50));
            peer.say("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison");
        }
    });
    let rig = Rig::h1(app.at());
    let mut client = rig.client();
    for turn in 1..=3 {
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(client.receive().unwrap().body, "ok");
        assert_eq!(app.connections(), turn);
        thread::sleep(Duration::from_millis(200));
    }
}

/// An upstream that answers and never reads: the answer is passed on, and the request's end is not waited for.
#[test]
fn an_answer_without_reading_is_passed_on() {
    let app = Upstream::new(|peer| {
        peer.say("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly");
        thread::sleep(Duration::from_millis(500));
    });
    let rig = Rig::h1(app.at());
    let (response, _) = rig.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5000000\r\n\r\nbegun");
    assert_eq!((response.status, response.body.as_str()), (200, "early"));
}
