//! HTTP/2 connections of both sides, which answer whatever comes.

use bytes::{Buf as _, Bytes, BytesMut};
use tulle_http::h2::{Config, Connection, Event, PREFACE, Role};
use tulle_http::{RequestHead, ResponseHead};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "http2",
    run,
    words: &[
        "\u{0}\u{0}\u{0}\u{4}\u{0}\u{0}\u{0}\u{0}\u{0}",
        "\u{0}\u{0}\u{6}\u{1}\u{5}\u{0}\u{0}\u{0}\u{1}",
        "\u{0}\u{0}\u{0}\u{0}\u{1}\u{0}\u{0}\u{0}\u{1}",
        "\u{0}\u{0}\u{4}\u{8}\u{0}\u{0}\u{0}\u{0}\u{0}",
        "\u{0}\u{0}\u{4}\u{3}\u{0}\u{0}\u{0}\u{0}\u{1}",
        "\u{0}\u{0}\u{8}\u{6}\u{0}\u{0}\u{0}\u{0}\u{0}",
        "\u{0}\u{0}\u{8}\u{7}\u{0}\u{0}\u{0}\u{0}\u{0}",
    ],
};

/// Most bytes that a connection may have to send after each piece of input.
const MOST_OUTPUT: usize = 8 << 20;

fn run(bytes: &[u8]) {
    let [choice, step, rest @ ..] = bytes else { return };
    let client = choice & 1 == 1;
    let config = Config { extended_connect: choice & 2 == 2, huffman: choice & 4 == 4, ..Config::default() };
    let mut connection = Connection::new(if client { Role::Client } else { Role::Server }, config);
    let mut input = BytesMut::new();
    if client {
        for _ in 0..2 {
            let head = RequestHead { authority: "a".into(), path: "/".into(), ..RequestHead::default() };
            let _ = connection.send_request(&head, true);
        }
    } else {
        input.extend_from_slice(PREFACE);
    }
    for piece in rest.chunks(usize::from(*step).max(1)) {
        input.extend_from_slice(piece);
        loop {
            match connection.recv(&mut input) {
                Ok(Some(event)) => answer(&mut connection, event),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        connection.flush();
        while connection.take_writable().is_some() {}
        let written = connection.output().remaining();
        assert!(written < MOST_OUTPUT, "{written} bytes to send");
        connection.output().advance(written);
    }
}

/// As an application would.
fn answer(connection: &mut Connection, event: Event) {
    match event {
        Event::Request { stream, .. } => {
            let mut head = RequestHead::default();
            connection.take_request(&mut head);
            let _ = connection.send_response(stream, &ResponseHead::new(200), false);
            let _ = connection.send_data(stream, Bytes::from_static(&[0; 1000]), true);
        }
        Event::Data { stream, data, .. } => connection.release_capacity(stream, data.len()),
        _ => {}
    }
}
