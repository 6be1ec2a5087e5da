//! HTTP/2: requests as field blocks, and what they become (RFC 9113 section 8, RFC 7541).

use serde_json::json;
use tulle_http::h2::ErrorCode;

use crate::{
    common::{cluster, http2},
    wire::{Rig, Upstream},
    wire_h2::{DATA, END_HEADERS, END_STREAM, Frames, GET, HEADERS, POST, RST_STREAM, block},
};

fn rig() -> (Upstream, Rig) {
    let app = Upstream::well();
    let rig = Rig::h1(app.at());
    (app, rig)
}

fn with<'a>(fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    GET.iter().chain(fields).copied().collect()
}

/// Each of these heads is reset with PROTOCOL_ERROR, and the connection and its other streams go on.
fn malformed(rig: &Rig, heads: &[Vec<(&str, &str)>]) {
    let mut frames = Frames::connect(rig.at());
    let mut stream = 1;
    for head in heads {
        frames.head(stream, END_STREAM, head);
        eprintln!("{head:?}");
        frames.expect_reset(stream, ErrorCode::PROTOCOL_ERROR);
        stream += 2;
    }
    frames.is_alive(stream);
}

/// RFC 9113 section 8.3: pseudo-header fields: all there, once, in front, none that is unknown or of a response.
#[test]
fn pseudo_fields_are_complete_and_in_front() {
    let (app, rig) = rig();
    malformed(
        &rig,
        &[
            GET[1..].to_vec(),
            vec![GET[0], GET[2], GET[3]],
            vec![GET[0], GET[1], GET[3]],
            GET[..3].to_vec(),
            with(&[GET[0]]),
            with(&[GET[1]]),
            with(&[GET[2]]),
            with(&[GET[3]]),
            vec![GET[0], GET[1], GET[2], ("x", "y"), GET[3]],
            with(&[(":status", "200")]),
            with(&[(":unknown", "x")]),
            with(&[(":protocol", "websocket")]),
            vec![],
        ],
    );
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9113 section 8.3.1: their values: a method, `http` or `https`, a path that is not empty, host and port.
#[test]
fn pseudo_fields_have_valid_values() {
    let (app, rig) = rig();
    let changed = |at: usize, value: &'static str| {
        let mut head = GET.to_vec();
        head[at].1 = value;
        head
    };
    malformed(
        &rig,
        &[
            changed(0, ""),
            changed(0, "G T"),
            changed(0, "GET\r\n"),
            changed(1, ""),
            changed(1, "ftp"),
            changed(2, ""),
            changed(2, "relative"),
            changed(2, "*"),
            changed(2, "http://a/"),
            changed(2, "/a b"),
            changed(2, "/a#b"),
            changed(2, "/ HTTP/1.1\r\nx: y"),
            changed(2, "/\u{e9}"),
            changed(3, ""),
            changed(3, "user@a"),
            changed(3, "a b"),
            changed(3, "a\r\nx: y"),
            changed(3, "a:x"),
        ],
    );
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9113 section 8.3.1: `Host` stands in for `:authority`, and must not differ from it.
#[test]
fn host_agrees_with_the_authority() {
    let (app, rig) = rig();
    malformed(
        &rig,
        &[with(&[("host", "b")]), with(&[("host", "a"), ("host", "b")]), with(&[("host", "a:80")])],
    );
    let mut frames = Frames::connect(rig.at());
    frames.head(1, END_STREAM, &with(&[("host", "A")]));
    assert_eq!(frames.status(1), 200);
    assert_eq!(app.last().to_ascii_lowercase().matches("host:").count(), 1, "{}", app.last());
    frames.head(3, END_STREAM, &[GET[0], GET[1], GET[2], ("host", "only.example")]);
    assert_eq!(frames.status(3), 200);
    assert!(app.last().contains("Host: only.example\r\n"), "{}", app.last());
}

/// RFC 9113 section 8.2.1: names in lower case and of token characters; values without controls, nor white space around them.
#[test]
fn fields_hold_nothing_that_http1_would_read_otherwise() {
    let (app, rig) = rig();
    malformed(
        &rig,
        &[
            with(&[("X-Upper", "y")]),
            with(&[("", "y")]),
            with(&[("x y", "z")]),
            with(&[("x:y", "z")]),
            with(&[("x\r\ny", "z")]),
            with(&[("x\u{0}", "z")]),
            with(&[("x\u{7f}", "z")]),
            with(&[("\u{e9}", "z")]),
            with(&[("x", "a\r\nb: c")]),
            with(&[("x", "a\nb")]),
            with(&[("x", "a\rb")]),
            with(&[("x", "a\u{0}b")]),
            with(&[("x", " a")]),
            with(&[("x", "a\t")]),
        ],
    );
    assert_eq!(app.seen(), Vec::<String>::new());
    let mut frames = Frames::connect(rig.at());
    frames.head(1, END_STREAM, &with(&[("x-empty", ""), ("x-high", "\u{e9}\tz")]));
    assert_eq!(frames.status(1), 200);
}

/// RFC 9113 section 8.2.2: fields of a connection have no place in HTTP/2, `TE` only as `trailers`.
#[test]
fn fields_of_a_connection_are_malformed() {
    let (app, rig) = rig();
    malformed(
        &rig,
        &[
            with(&[("connection", "close")]),
            with(&[("keep-alive", "5")]),
            with(&[("proxy-connection", "close")]),
            with(&[("transfer-encoding", "chunked")]),
            with(&[("upgrade", "websocket")]),
            with(&[("te", "gzip")]),
            with(&[("te", "trailers, gzip")]),
        ],
    );
    assert_eq!(app.seen(), Vec::<String>::new());
    let mut frames = Frames::connect(rig.at());
    frames.head(1, END_STREAM, &with(&[("te", "trailers")]));
    assert_eq!(frames.status(1), 200);
}

/// RFC 9113 section 8.1.1: `content-length` is the length of the body, with and without an end in the head.
#[test]
fn content_length_is_the_length_of_the_body() {
    let (app, rig) = rig();
    malformed(
        &rig,
        &[
            with(&[("content-length", "1")]),
            with(&[("content-length", "x")]),
            with(&[("content-length", "-1")]),
            with(&[("content-length", "")]),
            with(&[("content-length", "0"), ("content-length", "1")]),
        ],
    );
    for (length, body, end) in
        [("3", "abcd", 0), ("3", "ab", END_STREAM), ("0", "a", 0), ("3", "", END_STREAM)]
    {
        let mut frames = Frames::connect(rig.at());
        let head: Vec<_> = POST.iter().copied().chain([("content-length", length)]).collect();
        frames.head(1, 0, &head);
        frames.send(DATA, end, 1, body.as_bytes());
        frames.expect_reset(1, ErrorCode::PROTOCOL_ERROR);
        frames.is_alive(3);
    }
    // A request without a body may have gone before one came all the same.
    let seen: Vec<_> = app.seen().into_iter().filter(|r| !r.contains("content-length: 0\r\n")).collect();
    assert_eq!(seen, Vec::<String>::new(), "none was complete");
    let mut frames = Frames::connect(rig.at());
    let head: Vec<_> = POST.iter().copied().chain([("content-length", "3")]).collect();
    frames.head(1, 0, &head);
    frames.send(DATA, 0, 1, b"ab");
    frames.send(DATA, END_STREAM, 1, b"c");
    assert_eq!(frames.status(1), 200);
    let seen = app.last();
    assert!(seen.contains("content-length: 3\r\n") && seen.ends_with("\r\n\r\nabc"), "{seen}");
}

/// RFC 9113 section 8.1: trailers end the stream and hold no pseudo-header fields; they go on as HTTP/1's.
#[test]
fn trailers_end_the_stream() {
    let (app, rig) = rig();
    let mut stream = 1;
    let mut frames = Frames::connect(rig.at());
    for (fields, flags) in [
        (("x", "y"), 0),
        ((":path", "/"), END_STREAM),
        (("X", "y"), END_STREAM),
        (("connection", "x"), END_STREAM),
    ] {
        frames.head(stream, 0, &POST);
        frames.head(stream, flags, &[fields]);
        frames.expect_reset(stream, ErrorCode::PROTOCOL_ERROR);
        stream += 2;
    }
    frames.head(stream, 0, &POST);
    frames.send(DATA, 0, stream, b"abc");
    frames.head(stream, END_STREAM, &[("x-sum", "3"), ("content-length", "9")]);
    assert_eq!(frames.status(stream), 200);
    assert!(app.last().ends_with("\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 3\r\n\r\n"), "{}", app.last());
}

/// RFC 9113 section 8.2.3: several `cookie` lines are one in HTTP/1.
#[test]
fn cookies_are_joined() {
    let (app, rig) = rig();
    let mut frames = Frames::connect(rig.at());
    frames.head(1, END_STREAM, &with(&[("cookie", "a=b"), ("x", "y"), ("cookie", "c=d")]));
    assert_eq!(frames.status(1), 200);
    assert!(app.last().contains("cookie: a=b; c=d\r\n"), "{}", app.last());
}

/// RFC 9113 section 8.5: CONNECT has an authority with a port, and neither scheme nor path.
#[test]
fn connect_has_its_own_form() {
    let app = Upstream::well();
    let manager = json!({ "http2_protocol_options": { "allow_connect": true }, "upgrade_configs": [{ "upgrade_type": "CONNECT" }] });
    let rig = Rig::with(cluster("app", &[app.at()]), manager);
    let connect = (":method", "CONNECT");
    malformed(
        &rig,
        &[
            vec![connect],
            vec![connect, (":authority", "a")],
            vec![connect, (":authority", "a:")],
            vec![connect, (":scheme", "http"), (":authority", "a:1")],
            vec![connect, (":path", "/"), (":authority", "a:1")],
            vec![GET[0], (":protocol", "websocket"), GET[1], GET[2], GET[3]],
        ],
    );
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9113 section 4.3 and RFC 7541: a block that cannot be decoded ends the connection: its tables are lost.
#[test]
fn blocks_that_cannot_be_decoded_end_the_connection() {
    let (_app, rig) = rig();
    for (what, bytes) in [
        ("index 0", vec![0x80]),
        ("index beyond the tables", vec![0xff, 0x20]),
        ("dynamic entry that is not there", vec![0xbe]),
        ("block that ends in a name", vec![0x40, 0x0a, b'x']),
        ("block that ends before the value", vec![0x40, 0x01, b'x']),
        ("table size over ours", vec![0x3f, 0xe2, 0x1f, 0x82]),
        ("table size behind a field", vec![0x82, 0x20]),
        ("integer without end", vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("Huffman padding of zeros", vec![0x40, 0x81, 0x00, 0x00]),
        ("Huffman padding longer than a byte", vec![0x40, 0x82, 0x1f, 0xff, 0x00]),
        ("Huffman EOS", vec![0x40, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00]),
    ] {
        let mut frames = Frames::connect(rig.at());
        frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &bytes);
        eprintln!("{what}");
        frames.expect_go_away(ErrorCode::COMPRESSION_ERROR);
    }
    // Also on a stream that nobody asks about any more.
    let mut frames = Frames::connect(rig.at());
    frames.head(1, 0, &GET[1..]);
    frames.expect_reset(1, ErrorCode::PROTOCOL_ERROR);
    frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &[0x80]);
    frames.expect_go_away(ErrorCode::COMPRESSION_ERROR);
    rig.neighbours_are_fine();
}

/// RFC 7541 section 2.2 and RFC 9113 section 4.3: blocks of refused requests still change the table that others use.
#[test]
fn refused_heads_keep_the_table_in_step() {
    let (app, rig) = rig();
    let mut frames = Frames::connect(rig.at());
    // A malformed request that puts `x-kept: value` into the table.
    let mut bad = block(&GET[1..]);
    bad.extend(b"\x40\x06x-kept\x05value");
    frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &bad);
    frames.expect_reset(1, ErrorCode::PROTOCOL_ERROR);
    let mut good = block(&GET);
    good.push(0xbe);
    frames.send(HEADERS, END_HEADERS | END_STREAM, 3, &good);
    assert_eq!(frames.status(3), 200);
    assert!(app.last().contains("x-kept: value\r\n"), "{}", app.last());
}

/// RFC 7541 section 7.1.3: a field that no table may remember stays one on the next connection.
#[test]
fn sensitive_fields_stay_sensitive() {
    let (told, seen) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let app = crate::common::Backend::raw(move |stream| {
        let Some(mut peer) = Frames::accept(stream) else { return };
        let head = peer.find(|f| f.kind == HEADERS).unwrap();
        told.lock().unwrap().send(head.payload.clone()).unwrap();
        peer.head(head.stream, END_STREAM, &[(":status", "204")]);
        peer.wait_for_end();
    });
    let rig = Rig::with(http2(cluster("app", &[app.address])), json!({}));
    let mut frames = Frames::connect(rig.at());
    let mut bytes = block(&GET);
    bytes.extend(b"\x10\x08x-secret\x05value");
    frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &bytes);
    assert_eq!(frames.status(1), 204);
    let payload = seen.recv_timeout(crate::wire::PATIENCE).unwrap();
    let at = payload.windows(9).position(|w| w == b"\x08x-secret").expect("the name as a literal");
    assert_eq!(payload[at - 1], 0x10, "never indexed: {payload:x?}");
}

/// RFC 9113 section 8.1 and RFC 9110 section 9.3.2: responses to HEAD, 204 and 304 are a head only.
#[test]
fn responses_without_body_end_with_their_head() {
    for (method, response, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", Some("1000")),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 1000\r\n\r\n", Some("1000")),
        ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Some("0")),
    ] {
        let app = Upstream::saying(response);
        let rig = Rig::h1(app.at());
        let mut frames = Frames::connect(rig.at());
        frames.head(1, END_STREAM, &[(":method", method), GET[1], GET[2], GET[3]]);
        let head = frames.find(|f| f.kind == HEADERS && f.stream == 1).unwrap();
        assert_ne!(head.flags & END_STREAM, 0, "{response}");
        frames.head(3, END_STREAM, &[(":method", method), GET[1], GET[2], GET[3]]);
        let fields = frames.fields(3);
        let said = fields.iter().find(|(name, _)| name == "content-length").map(|(_, v)| v.as_str());
        assert_eq!(said, length, "{fields:?}");
        assert!(!fields.iter().any(|(name, _)| name == "connection" || name == "transfer-encoding"));
        // The exchange is over with it, whatever the client does to the stream then.
        frames.send(RST_STREAM, 0, 3, &[0, 0, 0, 8]);
        rig.settles();
        rig.logged(&["/", "via_upstream", "-"]);
    }
}

/// RFC 9110 section 15.2 and RFC 9113 section 8.1: informational heads come before the final one.
#[test]
fn informational_heads_come_first() {
    let app = Upstream::saying_once(
        "HTTP/1.1 103 Early Hints\r\nlink: x\r\nconnection: close\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    );
    let rig = Rig::h1(app.at());
    let mut frames = Frames::connect(rig.at());
    frames.get(1, "/");
    let first = frames.fields(1);
    assert_eq!(first, [(":status".to_owned(), "103".to_owned()), ("link".to_owned(), "x".to_owned())]);
    assert_eq!(frames.status(1), 200);
    assert_eq!(frames.body(1), b"ok");
    let mut frames = Frames::connect(rig.at());
    let head: Vec<_> = POST.iter().copied().chain([("expect", "100-continue")]).collect();
    frames.head(1, 0, &head);
    assert_eq!(frames.status(1), 100);
    frames.send(DATA, END_STREAM, 1, b"x");
    assert_eq!(frames.status(1), 103);
    assert_eq!(frames.status(1), 200);
}

/// RFC 9113 section 8.1: an answer before the end of the request is whole; then the client is told to stop (NO_ERROR).
#[test]
fn an_early_answer_stops_the_request() {
    let (_app, rig) = rig();
    let mut frames = Frames::connect(rig.at());
    frames.head(1, 0, &[POST[0], POST[1], (":path", "/direct"), POST[3]]);
    assert_eq!(frames.status(1), 200);
    assert_eq!(frames.body(1), b"direct");
    frames.expect_reset(1, ErrorCode::NO_ERROR);
    frames.send(DATA, END_STREAM, 1, b"late");
    frames.is_alive(3);
}
