//! Times: what waits for ever is ended, and what moves is not.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tulle_http::h2::ErrorCode;

use crate::{
    common::{Backend, cluster, eventually},
    wire::{Rig, Upstream},
    wire_h2::{CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GET, GOAWAY, HEADERS, PING, POST, block},
};

fn rig(app: &Upstream, manager: Value) -> Rig {
    Rig::with(cluster("app", &[app.at()]), manager)
}

/// RFC 9112 section 9.5 and RFC 9113 section 6.8: idle connections are closed, HTTP/2 with GOAWAY, even if the client never
/// answers the farewell.
#[test]
fn idle_connections_are_closed() {
    let app = Upstream::well();
    let rig = rig(
        &app,
        json!({ "common_http_protocol_options": { "idle_timeout": "0.3s" }, "drain_timeout": "0.1s" }),
    );
    let mut client = rig.client();
    assert_eq!(client.get("/").status, 200);
    assert!(client.rest().is_empty());
    let mut silent = rig.client();
    assert!(silent.rest().is_empty(), "also one that has said nothing");
    for polite in [true, false] {
        let mut frames = Frames::connect(rig.at());
        frames.polite = polite;
        frames.get(1, "/");
        assert_eq!(frames.status(1), 200);
        let first = frames.find(|f| f.kind == GOAWAY).expect("a farewell");
        assert_eq!(ErrorCode(first.number(4)), ErrorCode::NO_ERROR);
        assert_eq!(frames.find(|_| false), None, "and the end, polite: {polite}");
    }
    eventually("all closed", || rig.proxy.vitals().downstream_connections == 0);
}

/// A head that does not come to its end: 408 in HTTP/1, the end of the connection in HTTP/2, where nothing else could be read.
#[test]
fn heads_come_in_time() {
    let app = Upstream::well();
    let rig = rig(&app, json!({ "request_headers_timeout": "0.2s" }));
    let (response, rest) = rig.ask("GET / HTTP/1.1\r\nhost: a\r\n");
    assert_eq!((response.status, rest.as_str()), (408, ""));
    let mut frames = Frames::connect(rig.at());
    let bytes = block(&GET);
    frames.send(HEADERS, END_STREAM, 1, &bytes[..5]);
    frames.send(CONTINUATION, 0, 1, &bytes[5..9]);
    frames.expect_go_away(ErrorCode::ENHANCE_YOUR_CALM);
    eventually("counted", || rig.proxy.stat("http.test.downstream_rq_header_timeout") == 2);
    let mut frames = Frames::connect(rig.at());
    frames.send(HEADERS, END_STREAM, 1, &bytes[..5]);
    frames.send(CONTINUATION, END_HEADERS, 1, &bytes[5..]);
    assert_eq!(frames.status(1), 200, "one that is only continued is fine");
}

/// `request_timeout`: the whole request, 408.
#[test]
fn requests_come_in_time() {
    let app = Upstream::well();
    let rig = rig(&app, json!({ "request_timeout": "0.2s" }));
    let (response, _) = rig.ask("POST /slow HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello");
    assert_eq!(response.status, 408);
    let mut frames = Frames::connect(rig.at());
    frames.head(1, 0, &POST);
    frames.send(DATA, 0, 1, b"hello");
    assert_eq!(frames.status(1), 408);
    rig.neighbours_are_fine();
}

/// `max_connection_duration`: HTTP/1 connections end with the request under way or at once, HTTP/2 with GOAWAY.
#[test]
fn connections_have_a_life() {
    let app = Upstream::well();
    let rig = rig(
        &app,
        json!({ "common_http_protocol_options": { "max_connection_duration": "0.3s" }, "drain_timeout": "0.1s" }),
    );
    let mut idle = rig.client();
    assert_eq!(idle.get("/").status, 200);
    assert!(idle.rest().is_empty());
    let mut frames = Frames::connect(rig.at());
    frames.get(1, "/");
    assert_eq!(frames.status(1), 200);
    frames.find(|f| f.kind == GOAWAY).expect("a farewell");
    assert_eq!(frames.find(|_| false), None);
    eventually("counted", || rig.proxy.stat("http.test.downstream_cx_max_duration_reached") >= 2);
}

/// `max_requests_per_connection`: the last answer says `close`; HTTP/2 gets GOAWAY.
#[test]
fn connections_carry_so_many_requests() {
    let app = Upstream::well();
    let rig = rig(&app, json!({ "common_http_protocol_options": { "max_requests_per_connection": 2 } }));
    let mut client = rig.client();
    assert!(!client.get("/").headers.contains_key("connection"));
    assert_eq!(client.get("/").headers["connection"], "close");
    let mut frames = Frames::connect(rig.at());
    frames.get(1, "/");
    assert_eq!(frames.status(1), 200);
    frames.get(3, "/");
    assert_eq!(frames.status(3), 200);
    assert_eq!(frames.body(3), b"well");
    frames.find(|f| f.kind == GOAWAY).expect("a farewell");
}

/// `stream_idle_timeout` ends a stream on which nothing moves: 504 where the request is complete.
#[test]
fn silent_streams_end() {
    let app = Upstream::new(|peer| {
        peer.request();
        peer.wait_for_end();
    });
    let rig = rig(&app, json!({ "stream_idle_timeout": "0.3s" }));
    let mut client = rig.client();
    assert_eq!(client.get("/silent").status, 504);
    rig.logged(&["/silent", "504", "SI"]);
    let mut frames = Frames::connect(rig.at());
    frames.get(1, "/silent");
    assert_eq!(frames.status(1), 504);
    rig.neighbours_are_fine();
}

/// The same does not touch a stream that moves, in either direction, however long it lives; nor do the other times.
#[test]
fn streams_that_move_live_on() {
    let app = crate::common::Backend::raw(|stream| {
        let Some(mut peer) = Frames::accept(stream) else { return };
        let (id, _) = peer.request();
        peer.head(id, 0, &[(":status", "200"), ("content-type", "application/grpc")]);
        // Two seconds of answers, then two of questions.
        for _ in 0..20 {
            peer.send(DATA, 0, id, b"\0\0\0\0\x01x");
            thread::sleep(Duration::from_millis(100));
        }
        let mut sum = 0;
        while sum < 20 * 6 {
            sum += peer.find(|f| f.kind == DATA && f.stream == id).unwrap().payload.len();
        }
        peer.head(id, END_STREAM, &[("grpc-status", "0")]);
        peer.wait_for_end();
    });
    let rig = Rig::with(
        crate::common::http2(cluster("app", &[app.address])),
        json!({
            "stream_idle_timeout": "1s", "request_headers_timeout": "0.5s", "drain_timeout": "0.2s",
            "common_http_protocol_options": { "idle_timeout": "0.7s", "max_connection_duration": "1.5s" },
        }),
    );
    let mut frames = Frames::connect(rig.at());
    let head: Vec<_> =
        POST.iter().copied().chain([("content-type", "application/grpc"), ("te", "trailers")]).collect();
    frames.head(1, 0, &head);
    assert_eq!(frames.status(1), 200);
    let began = Instant::now();
    let mut sum = 0;
    while sum < 20 * 6 {
        sum += frames.find(|f| f.kind == DATA).unwrap().payload.len();
    }
    for _ in 0..20 {
        frames.send(DATA, 0, 1, b"\0\0\0\0\x01y");
        thread::sleep(Duration::from_millis(100));
    }
    let trailers = frames.fields(1);
    assert_eq!(trailers, [("grpc-status".to_owned(), "0".to_owned())]);
    assert!(began.elapsed() > Duration::from_secs(3), "it has outlived every one of these times");
}

/// `max_stream_duration` ends even a stream that moves.
#[test]
fn streams_have_a_life_where_configured() {
    let app = Backend::raw(|stream| {
        use std::io::{Read as _, Write as _};
        let mut bytes = [0; 1000];
        let _ = stream.read(&mut bytes);
        thread::sleep(Duration::from_secs(3));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    let rig = Rig::with(
        cluster("app", &[app.address]),
        json!({ "common_http_protocol_options": { "max_stream_duration": "0.3s" } }),
    );
    let mut client = rig.client();
    assert_eq!(client.get("/long").status, 504);
    rig.logged(&["/long", "504", "max_duration_timeout"]);
    // In gRPC's words a deadline.
    let mut frames = Frames::connect(rig.at());
    let head: Vec<_> =
        POST.iter().copied().chain([("content-type", "application/grpc"), ("te", "trailers")]).collect();
    frames.head(1, END_STREAM, &head);
    let fields = frames.fields(1);
    assert!(fields.contains(&("grpc-status".to_owned(), "4".to_owned())), "{fields:?}");
}

/// `connection_keepalive`: a client that answers no ping is gone; one that does, and has nothing else to say, stays.
#[test]
fn clients_that_answer_no_ping_are_given_up() {
    let app = Upstream::well();
    let keepalive = json!({ "interval": "0.2s", "timeout": "0.6s" });
    let rig = rig(&app, json!({ "http2_protocol_options": { "connection_keepalive": keepalive } }));
    let mut silent = Frames::connect(rig.at());
    silent.polite = false;
    silent.wait_for_end();
    let mut polite = Frames::connect(rig.at());
    for _ in 0..3 {
        polite.find(|f| f.kind == PING && f.flags == 0).expect("a ping");
    }
    polite.is_alive(1);
}

/// The same of upstreams: requests on a connection whose other end has gone without a word get an answer; also where only a
/// connection that was silent for long is asked.
#[test]
fn upstreams_that_answer_no_ping_are_given_up() {
    for (keepalive, silence) in [
        (json!({ "interval": "0.2s", "timeout": "0.6s" }), 0),
        (json!({ "connection_idle_interval": "0.1s", "timeout": "0.6s" }), 300),
    ] {
        let app = Backend::raw(|stream| {
            let Some(mut peer) = Frames::accept(stream) else { return };
            let (id, _) = peer.request();
            peer.head(id, END_STREAM, &[(":status", "204")]);
            peer.polite = false;
            peer.wait_for_end();
        });
        let mut cluster = crate::common::http2(cluster("app", &[app.address]));
        cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
            ["explicit_http_config"]["http2_protocol_options"] = json!({ "connection_keepalive": keepalive });
        let rig = Rig::with(cluster, json!({}));
        let mut client = rig.client();
        assert_eq!(client.get("/first").status, 204);
        thread::sleep(Duration::from_millis(silence));
        client.send("POST /second HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(client.receive().unwrap().status, 503);
        rig.logged(&["/second", "503", "UC"]);
        rig.settles();
    }
}
