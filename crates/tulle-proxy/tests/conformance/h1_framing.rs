//! HTTP/1: where messages end (RFC 9112 sections 6 and 7). Whatever leaves room for two readings is refused.

use std::io::Write as _;

use serde_json::json;

use crate::{
    common::cluster,
    wire::{Rig, Upstream},
};

fn rig() -> (Upstream, Rig) {
    let app = Upstream::well();
    let rig = Rig::h1(app.at());
    (app, rig)
}

fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n{body}")
}

/// RFC 9112 section 6.3 (3): a request with both is what smuggling is made of: refused, and the connection closed.
#[test]
fn content_length_beside_transfer_encoding_is_refused() {
    let (app, rig) = rig();
    for fields in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "content-length: 0\r\ntransfer-encoding: chunked\r\n",
        "Content-Length: 5\r\nTRANSFER-ENCODING: Chunked\r\n",
    ] {
        rig.refuses(&[(&post(fields, "0\r\n\r\n"), 400)]);
    }
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9112 section 6.3 (5): an invalid `Content-Length` cannot be recovered from.
#[test]
fn content_length_is_one_decimal_number() {
    let (app, rig) = rig();
    for value in [
        "",
        "5, 5",
        "5,6",
        "+5",
        "-5",
        "5 5",
        "0x5",
        "5.0",
        "5e0",
        "five",
        "18446744073709551616",
        "99999999999999999999",
        "\u{0665}",
    ] {
        rig.refuses(&[(&post(&format!("content-length: {value}\r\n"), "12345"), 400)]);
    }
    rig.refuses(&[(&post("content-length: 5\r\ncontent-length: 6\r\n", "12345"), 400)]);
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9110 section 8.6: lines that say the same are sent on as one.
#[test]
fn equal_content_lengths_become_one() {
    let (app, rig) = rig();
    let (response, _) =
        rig.ask(post("content-length: 5\r\nContent-Length: 5\r\nconnection: close\r\n", "12345"));
    assert_eq!(response.status, 200);
    let seen = app.last().to_ascii_lowercase();
    assert_eq!(seen.matches("content-length: 5\r\n").count(), 1, "{seen}");
    assert!(seen.ends_with("\r\n\r\n12345"), "{seen}");
}

/// RFC 9112 section 6.1: a coding that is not understood is 501, and `chunked` comes once and last.
#[test]
fn transfer_codings_other_than_chunked_are_refused() {
    let (app, rig) = rig();
    for value in [
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "identity",
        "xchunked",
        "chunkedx",
        "\"chunked\"",
        "chunked;q=1",
        "chunked,",
        ",chunked",
        "",
    ] {
        rig.refuses(&[(&post(&format!("transfer-encoding: {value}\r\n"), "0\r\n\r\n"), 501)]);
    }
    let twice = "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n";
    rig.refuses(&[(&post(twice, "0\r\n\r\n"), 501)]);
    let hidden = "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n";
    rig.refuses(&[(&post(hidden, "0\r\n\r\n"), 501)]);
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// The ways to hide a coding from one of two readers, all of which end in a refusal.
#[test]
fn hidden_transfer_codings_are_refused() {
    let (app, rig) = rig();
    for line in [
        "transfer-encoding : chunked",
        " transfer-encoding: chunked",
        "x: y\r\n transfer-encoding: chunked",
        "transfer-encoding\t: chunked",
        "transfer-encoding: \u{b}chunked",
        "transfer-encoding: chunked\u{0}",
        "transfer-encoding:\u{c}chunked",
        "x: y\rtransfer-encoding: chunked",
        "x: y\ntransfer-encoding: chunked",
    ] {
        rig.refuses(&[(&post(&format!("content-length: 5\r\n{line}\r\n"), "0\r\n\r\n"), 400)]);
    }
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9112 section 6.1: `Transfer-Encoding` in HTTP/1.0 is faulty framing.
#[test]
fn http_10_has_no_transfer_coding() {
    let app = Upstream::well();
    let rig = Rig::with(
        cluster("app", &[app.at()]),
        json!({ "http_protocol_options": { "accept_http_10": true } }),
    );
    let text =
        "POST / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    rig.refuses(&[(text, 400)]);
    assert_eq!(app.seen(), Vec::<String>::new());
}

/// RFC 9112 section 6.3 (7): a request without framing fields has no body; what follows is the next request.
#[test]
fn a_request_without_framing_has_no_body() {
    let (app, rig) = rig();
    let text = rig.exchange(
        "POST /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    );
    assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{text}");
    assert_eq!(app.seen().len(), 2);
}

/// RFC 9110 section 8.6: where a method lets expect a body, its absence is said.
#[test]
fn the_absence_of_a_body_is_said_where_one_is_expected() {
    let (app, rig) = rig();
    for (method, said) in
        [("POST", true), ("PUT", true), ("PATCH", true), ("GET", false), ("DELETE", false), ("HEAD", false)]
    {
        rig.exchange(format!("{method} / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"));
        assert_eq!(app.last().contains("content-length: 0\r\n"), said, "{}", app.last());
    }
}

/// RFC 9112 section 6: a body is a body, whatever it looks like; requests are never taken out of one.
#[test]
fn a_request_inside_a_body_stays_there() {
    let (app, rig) = rig();
    let inner = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let length = inner.len();
    rig.exchange(post(&format!("content-length: {length}\r\nconnection: close\r\n"), inner));
    assert_eq!(app.seen().len(), 1);
    assert!(app.last().ends_with(inner));
    let chunked = format!("{length:x}\r\n{inner}\r\n0\r\n\r\n");
    rig.exchange(post("transfer-encoding: chunked\r\nconnection: close\r\n", &chunked));
    assert_eq!(app.seen().len(), 2);
    assert!(app.last().contains(inner));
    rig.exchange(format!(
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{inner}"
    ));
    assert_eq!(app.seen().len(), 3, "a GET may have a body");
    assert!(app.last().ends_with(inner));
}

/// RFC 9112 section 7.1: sizes are hexadecimal digits and nothing else, and large ones do not overflow.
#[test]
fn chunk_sizes_have_their_form() {
    let (app, rig) = rig();
    for size in [
        "",
        "x",
        "0x5",
        "+5",
        "-5",
        " 5",
        "5 x",
        "5\t5",
        "fffffffffffffffff",
        "8000000000000000",
        "10000000000000005",
        "5\u{0}",
    ] {
        let (response, rest) =
            rig.ask(post("transfer-encoding: chunked\r\n", &format!("{size}\r\n12345\r\n0\r\n\r\n")));
        assert_eq!((response.status, rest.as_str()), (400, ""), "{size:?}");
    }
    assert_eq!(app.seen(), Vec::<String>::new(), "none became a request");
    rig.ask(post("transfer-encoding: chunked\r\nconnection: close\r\n", "0005\r\n12345\r\n0\r\n\r\n"));
    assert!(app.last().ends_with("5\r\n12345\r\n0\r\n\r\n"), "{}", app.last());
}

/// RFC 9112 section 7.1: data ends with CR LF where its size says.
#[test]
fn chunk_data_ends_where_its_size_says() {
    let (app, rig) = rig();
    for body in [
        "5\r\n123456\r\n0\r\n\r\n",
        "5\r\n1234\r\n0\r\n\r\n",
        "5\r\n12345\n0\r\n\r\n",
        "5\r\n12345\r0\r\n\r\n",
        "5\n12345\r\n0\r\n\r\n",
        "5\r12345\r\n0\r\n\r\n",
        "5\r\n123450\r\n\r\n",
    ] {
        let (response, rest) = rig.ask(post("transfer-encoding: chunked\r\n", body));
        assert_eq!((response.status, rest.as_str()), (400, ""), "{body:?}");
    }
    assert_eq!(app.seen(), Vec::<String>::new());
    rig.neighbours_are_fine();
}

/// RFC 9112 section 7.1.1: extensions are ignored and end here; those that hide a line end, or have no end, are refused.
#[test]
fn chunk_extensions_are_read_over() {
    let (app, rig) = rig();
    rig.ask(post(
        "transfer-encoding: chunked\r\nconnection: close\r\n",
        "5;a=b;c=\"d;e\"\r\n12345\r\n0 ;last\r\n\r\n",
    ));
    assert!(app.last().ends_with("\r\n\r\n5\r\n12345\r\n0\r\n\r\n"), "{}", app.last());
    let long = "x".repeat(5_000);
    for line in ["5;a\n", "5;a\rb\r\n", "5;\u{1}\r\n", "5 a\r\n", &format!("5;{long}\r\n")] {
        let (response, rest) =
            rig.ask(post("transfer-encoding: chunked\r\n", &format!("{line}12345\r\n0\r\n\r\n")));
        assert_eq!((response.status, rest.as_str()), (400, ""), "{line:?}");
    }
    let many = format!("1;{}\r\nx\r\n", "y".repeat(900)).repeat(40);
    let (response, _) = rig.ask(post("transfer-encoding: chunked\r\n", &format!("{many}0\r\n\r\n")));
    assert_eq!(response.status, 400, "36 KB of extensions");
}

/// RFC 9112 section 7.1.2 and RFC 9110 section 6.5.1: trailers are kept apart from the head, and none may frame, route or
/// authenticate.
#[test]
fn trailers_go_on_without_what_must_not_be_there() {
    let (app, rig) = rig();
    rig.ask(post(
        "transfer-encoding: chunked\r\ntrailer: x-sum\r\nconnection: close\r\n",
        "5\r\n12345\r\n0\r\nx-sum: 1\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\nhost: b\r\nauthorization: no\r\n\r\n",
    ));
    let seen = app.last();
    let (_, body) = seen.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "5\r\n12345\r\n0\r\nx-sum: 1\r\n\r\n");
    for bad in ["x y: z", " folded", "x : y", "x: a\nb: c", "x: a\rb"] {
        let (response, rest) =
            rig.ask(post("transfer-encoding: chunked\r\n", &format!("0\r\n{bad}\r\n\r\n")));
        assert_eq!((response.status, rest.as_str()), (400, ""), "{bad:?}");
    }
}

/// RFC 9112 section 8: a request that ends early is no request; what was begun upstream does not look complete.
#[test]
fn an_incomplete_request_never_looks_complete() {
    let (ended, told) = std::sync::mpsc::channel();
    let ended = std::sync::Mutex::new(ended);
    let app = Upstream::new(move |peer| {
        let whole = peer.request().is_some();
        ended.lock().unwrap().send(whole).unwrap();
    });
    let rig = Rig::h1(app.at());
    for text in [
        post("content-length: 10\r\n", "12345"),
        post("transfer-encoding: chunked\r\n", "5\r\n12345\r\n"),
        post("transfer-encoding: chunked\r\n", "a\r\n12345"),
        post("transfer-encoding: chunked\r\n", "5\r\n12345\r\n0\r\n"),
        post("transfer-encoding: chunked\r\n", "5\r\n12345\r\n0\r\nx: y\r\n"),
    ] {
        let mut client = rig.client();
        client.stream.write_all(text.as_bytes()).unwrap();
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        client.rest();
        assert!(!told.recv_timeout(crate::wire::PATIENCE).unwrap(), "{text:?}");
    }
    rig.settles();
    rig.neighbours_are_fine();
}

/// RFC 9112 section 6.3 (1): responses to HEAD, 204 and 304 have no body, whatever their fields say.
#[test]
fn responses_that_cannot_have_a_body_have_none() {
    for (method, response, fields) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", "content-length: 1000"),
        ("HEAD", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", ""),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", ""),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 1000\r\netag: \"x\"\r\n\r\n",
            "content-length: 1000",
        ),
    ] {
        let app = Upstream::saying(response);
        let rig = Rig::h1(app.at());
        let text = rig.exchange(format!(
            "{method} /1 HTTP/1.1\r\nhost: a\r\n\r\n{method} /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        ));
        let heads: Vec<&str> = text.split("\r\n\r\n").collect();
        assert_eq!(heads.len(), 3, "two heads and nothing else: {text}");
        assert_eq!(heads[2], "");
        assert!(heads[0].contains(fields), "{text}");
        assert!(!heads[0].contains("transfer-encoding"), "{text}");
        assert_eq!(app.connections(), 1, "{response:?} leaves the connection in order");
    }
}

/// RFC 9110 section 8.6 and RFC 9112 section 6.1: neither length nor coding in 204.
#[test]
fn no_content_announces_none() {
    let app = Upstream::saying_once("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n");
    let rig = Rig::h1(app.at());
    let text = rig.exchange("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert!(text.starts_with("HTTP/1.1 204 No Content\r\n"), "{text}");
    assert!(!text.contains("content-length") && !text.contains("transfer-encoding"), "{text}");
}

/// RFC 9112 section 6.3 (8): a response without framing goes until the connection ends; sent on it is framed, or ends with ours
/// where the client cannot read chunks.
#[test]
fn responses_until_close_are_framed_anew() {
    let app = Upstream::saying_once("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    let manager = json!({ "http_protocol_options": { "accept_http_10": true } });
    let rig = Rig::with(cluster("app", &[app.at()]), manager);
    let (response, _) = rig.ask("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert_eq!(response.headers["transfer-encoding"], "chunked");
    assert_eq!(response.body, "until the end");
    let (response, _) = rig.ask("GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n");
    assert!(!response.headers.contains_key("transfer-encoding"), "RFC 9112 section 6.1: not to HTTP/1.0");
    assert_eq!((response.headers["connection"].as_str(), response.body.as_str()), ("close", "until the end"));
}

/// RFC 9112 section 7.1: chunked responses reach HTTP/1.1 chunked, with their trailers, and HTTP/1.0 without chunks.
#[test]
fn chunked_responses_are_read_and_framed_anew() {
    let app = Upstream::saying(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;ext\r\none\r\n3\r\ntwo\r\n0\r\nx-sum: 6\r\ncontent-length: 1\r\n\r\n",
    );
    let manager = json!({ "http_protocol_options": { "accept_http_10": true } });
    let rig = Rig::with(cluster("app", &[app.at()]), manager);
    let text = rig.exchange("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{head}");
    assert!(body.contains("one") && body.contains("two") && !body.contains("ext"), "{body}");
    assert!(!body.contains("content-length"), "{body}");
    let text = rig.exchange("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    assert!(text.ends_with("\r\n\r\nonetwo"), "{text}");
    assert_eq!(app.connections(), 1);
}
