//! HTTP/1: connections, pipelining, persistence, 1xx and `Expect` (RFC 9112 section 9, RFC 9110 sections 10.1.1 and 15.2).

use std::{thread, time::Duration};

use serde_json::json;

use crate::{
    common::{cluster, eventually},
    wire::{Rig, Upstream},
};

const CLOSE: &str = "connection: close\r\n";

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\n{fields}\r\n")
}

/// RFC 9112 section 9.3.2: answers to pipelined requests come in the order of the requests.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let app = Upstream::new(|peer| {
        while let Some(request) = peer.request() {
            let path = request.split(' ').nth(1).unwrap().to_owned();
            if path == "/0" {
                thread::sleep(Duration::from_millis(100));
            }
            peer.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len()));
        }
    });
    let rig = Rig::h1(app.at());
    let mut client = rig.client();
    let requests: String = (0..20).map(|i| get(&format!("/{i}"), "")).collect();
    client.send(requests);
    for i in 0..20 {
        assert_eq!(client.receive().unwrap().body, format!("/{i}"));
    }
}

/// RFC 9112 section 9.3: HTTP/1.1 lives on without a word, HTTP/1.0 when it asks and is told so.
#[test]
fn connections_live_on_as_their_version_says() {
    let app = Upstream::well();
    let manager = json!({ "http_protocol_options": { "accept_http_10": true } });
    let rig = Rig::with(cluster("app", &[app.at()]), manager);
    let mut client = rig.client();
    for _ in 0..3 {
        client.send(get("/", ""));
        let response = client.receive().unwrap();
        assert!(response.status == 200 && !response.headers.contains_key("connection"));
    }
    let mut client = rig.client();
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nhost: a\r\nConnection: Keep-Alive\r\n\r\n");
        assert_eq!(client.receive().unwrap().headers["connection"], "keep-alive");
    }
    client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    assert_eq!(client.receive().unwrap().headers["connection"], "close");
    assert!(client.rest().is_empty());
}

/// RFC 9112 section 9.6: behind `close` nothing is read, the answer says so too, and the connection ends.
#[test]
fn nothing_is_processed_behind_close() {
    let app = Upstream::well();
    let rig = Rig::h1(app.at());
    let (response, rest) = rig.ask(get("/1", "Connection: foo, CLOSE\r\n") + &get("/2", ""));
    assert_eq!(response.headers["connection"], "close");
    assert_eq!(rest, "");
    assert_eq!(app.seen().len(), 1);
}

/// RFC 9112 section 9.6: an upstream's `close` is heeded, and is no affair of the client's.
#[test]
fn an_upstream_that_closes_is_not_used_again() {
    let app = Upstream::saying(
        "HTTP/1.1 200 OK\r\nconnection: close\r\nkeep-alive: timeout=5\r\ncontent-length: 2\r\n\r\nok",
    );
    let rig = Rig::h1(app.at());
    let mut client = rig.client();
    for _ in 0..3 {
        client.send(get("/", ""));
        let response = client.receive().unwrap();
        assert_eq!(response.body, "ok");
        assert!(!response.headers.contains_key("connection") && !response.headers.contains_key("keep-alive"));
    }
    assert_eq!(app.connections(), 3);
}

/// RFC 9112 section 9.3: an HTTP/1.0 upstream is used again only if it says so.
#[test]
fn http_10_upstreams_are_used_again_when_they_say_so() {
    for (field, connections) in [("", 2), ("connection: keep-alive\r\n", 1)] {
        let app = Upstream::saying(format!("HTTP/1.0 200 OK\r\n{field}content-length: 2\r\n\r\nok"));
        let rig = Rig::h1(app.at());
        let mut client = rig.client();
        for _ in 0..2 {
            client.send(get("/", ""));
            assert_eq!(client.receive().unwrap().body, "ok");
        }
        assert_eq!(app.connections(), connections, "{field:?}");
    }
}

/// RFC 9110 section 7.6.1: fields that a response's `Connection` names do not reach the client.
#[test]
fn fields_of_the_upstream_connection_end_here() {
    let app = Upstream::saying(
        "HTTP/1.1 200 OK\r\nconnection: x-hop, keep-alive\r\nx-hop: 1\r\nproxy-connection: x\r\nupgrade: foo\r\nx-stays: 2\r\n\
         content-length: 0\r\n\r\n",
    );
    let rig = Rig::h1(app.at());
    let (response, _) = rig.ask(get("/", CLOSE));
    for gone in ["x-hop", "proxy-connection", "upgrade", "keep-alive"] {
        assert!(!response.headers.contains_key(gone), "{gone}");
    }
    assert_eq!(response.headers["x-stays"], "2");
}

/// RFC 9112 section 9.3.1: a proxy repeats by itself only what may be repeated: a GET on a connection that turns out to be
/// closed, not a POST.
#[test]
fn only_idempotent_requests_are_repeated_on_a_stale_connection() {
    let app = Upstream::new(|peer| {
        // One answer for each connection; the second request on it meets its end.
        peer.request();
        peer.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        peer.request();
    });
    let rig = Rig::h1(app.at());
    let mut client = rig.client();
    client.send(get("/", ""));
    assert_eq!(client.receive().unwrap().status, 200);
    client.send(get("/", ""));
    assert_eq!(client.receive().unwrap().status, 200, "repeated on a new connection");
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
    assert_eq!(client.receive().unwrap().status, 503);
    let posts = app.seen().iter().filter(|r| r.starts_with("POST")).count();
    assert_eq!(posts, 1);
    rig.logged(&["503", "UC"]);
}

/// RFC 9110 section 10.1.1: a client that waits gets 100 before the final response, and the expectation is met here.
#[test]
fn expect_100_continue_is_answered() {
    let app = Upstream::well();
    let rig = Rig::h1(app.at());
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-Continue\r\ncontent-length: 5\r\n\r\n");
    assert_eq!(client.receive().unwrap().status, 100);
    client.send("hello");
    assert_eq!(client.receive().unwrap().body, "well");
    assert!(!app.last().to_ascii_lowercase().contains("expect"), "{}", app.last());
}

/// RFC 9110 section 10.1.1: no 100 where there is no body to wait for, nor to HTTP/1.0, nor behind a final answer.
#[test]
fn expect_100_continue_is_ignored_where_it_means_nothing() {
    let app = Upstream::well();
    let manager = json!({ "http_protocol_options": { "accept_http_10": true } });
    let rig = Rig::with(cluster("app", &[app.at()]), manager);
    let expect = "expect: 100-continue\r\n";
    assert_eq!(rig.ask(get("/", &format!("{CLOSE}{expect}"))).0.status, 200);
    let old = format!("POST / HTTP/1.0\r\nhost: a\r\n{expect}content-length: 2\r\n\r\nhi");
    assert_eq!(rig.ask(old).0.status, 200);
    let unrouted = format!(
        "POST / HTTP/1.1\r\nhost: a\r\n{expect}upgrade: x\r\nconnection: upgrade\r\ncontent-length: 2\r\n\r\n"
    );
    let (response, rest) = rig.ask(unrouted);
    assert_eq!((response.status, rest.as_str()), (403, ""), "refused without asking for the body");
}

/// RFC 9110 section 15.2: informational responses go on to who can read them, without fields of the connection.
#[test]
fn informational_responses_go_on() {
    let app = Upstream::saying_once(
        "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n\
         HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    );
    let manager = json!({ "http_protocol_options": { "accept_http_10": true } });
    let rig = Rig::with(cluster("app", &[app.at()]), manager);
    let text = rig.exchange(get("/", CLOSE));
    assert!(
        text.starts_with("HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\nHTTP/1.1 102 "),
        "{text}"
    );
    assert!(text.ends_with("\r\n\r\nok"), "{text}");
    let text = rig.exchange("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "none to HTTP/1.0: {text}");
}

/// RFC 9112 section 9.6: a refusal reaches a client that is still sending: our direction closes first, and what comes is
/// read away for a while.
#[test]
fn a_refusal_is_not_lost_to_a_reset() {
    let app = Upstream::well();
    let rig = Rig::h1(app.at());
    for _ in 0..20 {
        let mut client = rig.client();
        client.send("GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n");
        for _ in 0..50 {
            use std::io::Write as _;
            let _ = client.stream.write_all(&[b'x'; 1000]);
        }
        assert_eq!(client.receive().map(|r| r.status), Some(400));
    }
}

/// RFC 9112 section 9.5: a client that goes away takes its request along.
#[test]
fn a_client_that_goes_away_ends_its_request() {
    let (ended, told) = std::sync::mpsc::channel();
    let ended = std::sync::Mutex::new(ended);
    let app = Upstream::new(move |peer| {
        peer.request();
        peer.wait_for_end();
        ended.lock().unwrap().send(()).unwrap();
    });
    let rig = Rig::h1(app.at());
    let mut client = rig.client();
    client.send(get("/", ""));
    eventually("the request is upstream", || !app.seen().is_empty());
    drop(client);
    told.recv_timeout(crate::wire::PATIENCE).unwrap();
    rig.logged(&["/", "DC"]);
    rig.settles();
}

/// RFC 9110 section 7.5 and RFC 9112 section 9.3: an answer before the end of the request is passed on, and the connection is
/// not used for another.
#[test]
fn an_early_answer_is_passed_on() {
    let app = Upstream::new(|peer| {
        // The head alone; the body never gets an end.
        let mut bytes = [0; 1000];
        let _ = std::io::Read::read(peer.stream, &mut bytes);
        peer.say("HTTP/1.1 413 Too Much\r\ncontent-length: 3\r\n\r\nbig");
        peer.wait_for_end();
    });
    let rig = Rig::h1(app.at());
    let (response, rest) = rig.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nhello");
    assert_eq!((response.status, response.body.as_str(), rest.as_str()), (413, "big", ""));
    rig.settles();
}
