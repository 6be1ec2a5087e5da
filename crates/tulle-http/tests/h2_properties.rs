//! HTTP/2 for any bytes at all, and for any cutting of the wire: nothing panics, memory is bounded, what goes in comes
//! out.

use bytes::{Buf, Bytes, BytesMut};
use proptest::prelude::*;
use std::collections::HashMap;
use tulle_http::h2::{Config, Connection, Event, PREFACE, Role, StreamId};
use tulle_http::hpack::{Decoder, Encoder, huffman_decode, huffman_encode};
use tulle_http::{HeaderList, Limits, Method, RequestHead, ResponseHead};

/// A frame that is well-formed often enough to reach deep.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let heads = prop::sample::select(vec![
        b"\x82\x86\x84\x01\x01a".to_vec(),
        b"\x83\x87\x84\x01\x01a\x0f\x0d\x013".to_vec(),
        b"\x88".to_vec(),
        b"\x40\x01a\x01b\xbe".to_vec(),
        b"\x00\x0bgrpc-status\x010".to_vec(),
    ]);
    let payload = prop_oneof![
        3 => heads,
        2 => prop::collection::vec(any::<u8>(), 0..20),
        1 => Just(vec![0, 0, 0, 1]),
        1 => Just(vec![0; 8]),
        1 => Just(vec![0, 4, 0, 0, 0, 9]),
    ];
    let flags = prop::sample::select(vec![0u8, 1, 4, 5, 8, 0x0d, 0x20, 0x25, 0xff]);
    (0u8..12, flags, prop::sample::select(vec![0u32, 1, 1, 1, 3, 3, 5, 2]), payload).prop_map(
        |(kind, flags, stream, payload)| {
            let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
            out.extend([kind, flags]);
            out.extend(stream.to_be_bytes());
            out.extend(payload);
            out
        },
    )
}

fn settle(conn: &mut Connection) -> usize {
    conn.flush();
    while conn.take_writable().is_some() {}
    let written = conn.output().remaining();
    conn.output().advance(written);
    written
}

/// Answers whatever comes, as an application would.
fn answer(conn: &mut Connection, event: Event) {
    match event {
        Event::Request { stream, .. } => {
            let mut head = RequestHead::default();
            conn.take_request(&mut head);
            let _ = conn.send_response(stream, &ResponseHead::new(200), false);
            let _ = conn.send_data(stream, Bytes::from(vec![0; 5000]), true);
        }
        Event::Data { stream, data, .. } => conn.release_capacity(stream, data.len()),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_frames_are_taken_or_refused(frames in prop::collection::vec(frame(), 0..12), noise in prop::collection::vec(any::<u8>(), 0..30), client: bool) {
        let mut conn = Connection::new(if client { Role::Client } else { Role::Server }, Config::default());
        if client {
            for _ in 0..2 {
                let head = RequestHead { authority: "a".into(), path: "/".into(), ..Default::default() };
                conn.send_request(&head, true).expect("open");
            }
        }
        let mut input = BytesMut::new();
        if !client {
            input.extend_from_slice(PREFACE);
        }
        input.extend_from_slice(b"\0\0\0\x04\0\0\0\0\0");
        for frame in frames {
            input.extend_from_slice(&frame);
            while let Ok(Some(event)) = conn.recv(&mut input) {
                answer(&mut conn, event);
            }
            prop_assert!(settle(&mut conn) < 400_000);
        }
        input.extend_from_slice(&noise);
        while let Ok(Some(event)) = conn.recv(&mut input) {
            answer(&mut conn, event);
        }
        settle(&mut conn);
    }

    #[test]
    fn any_bytes_as_a_field_block(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..4)) {
        let mut decoder = Decoder::new(4096);
        for block in blocks {
            let mut list = HeaderList::new();
            if decoder.decode(&block, &Limits::default(), &mut list).is_err() {
                break;
            }
            prop_assert!(list.len() <= 100);
        }
    }

    #[test]
    fn any_bytes_as_huffman(text in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut out = Vec::new();
        let _ = huffman_decode(&text, &mut out);
        prop_assert!(out.len() <= text.len() * 8 / 5 + 1);
        let (mut code, mut again) = (Vec::new(), Vec::new());
        huffman_encode(&text, &mut code);
        huffman_decode(&code, &mut again).expect("ours");
        prop_assert_eq!(again, text);
    }

    #[test]
    fn field_blocks_round_trip(
        lists in prop::collection::vec(prop::collection::vec(("[a-f-]{1,8}|cookie|authorization|content-type", "[!-~]{0,40}"), 0..8), 1..12),
        sizes in prop::collection::vec(0usize..5000, 12),
        huffman: bool,
    ) {
        let (mut encoder, mut decoder) = (Encoder::new(4096, huffman), Decoder::new(4096));
        for (fields, size) in lists.iter().zip(sizes) {
            if size < 300 {
                encoder.set_allowed(size);
            }
            let list: HeaderList = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut block = Vec::new();
            encoder.begin(&mut block);
            encoder.fields(&list, |_, _| false, &mut block);
            let mut again = HeaderList::new();
            decoder.decode(&block, &Limits::default(), &mut again).expect("ours");
            prop_assert_eq!(again, list);
        }
    }
}

/// Both ends are ours; the wire is cut anywhere.
#[derive(Default)]
struct Side {
    input: BytesMut,
    bodies: HashMap<StreamId, Vec<u8>>,
    ended: usize,
}

fn carry(from: &mut Connection, to: &mut Side, step: usize) -> bool {
    from.flush();
    while from.take_writable().is_some() {}
    let take = from.output().remaining().min(step);
    let bytes = from.output().copy_to_bytes(take);
    to.input.extend_from_slice(&bytes);
    take > 0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn bodies_arrive_whatever_the_windows_and_the_cuts(
        sizes in prop::collection::vec(prop_oneof![Just(0usize), 1usize..100, 1000usize..300_000], 1..6),
        steps in prop::collection::vec(prop_oneof![1usize..50, 1000usize..70_000], 1..6),
        stream_window in 65_535u32..200_000,
        connection_window in 65_535u32..200_000,
    ) {
        let config = Config { stream_window, connection_window, ..Config::default() };
        let (mut client, mut server) = (Connection::new(Role::Client, config), Connection::new(Role::Server, config));
        let (mut at_client, mut at_server) = (Side::default(), Side::default());
        let mut sizes_by_stream = HashMap::new();
        for size in &sizes {
            let head = RequestHead { method: Method::Post, authority: "a".into(), path: "/".into(), ..Default::default() };
            let stream = client.send_request(&head, false).expect("open");
            client.send_data(stream, Bytes::from(vec![stream.get() as u8; *size]), true).expect("open");
            sizes_by_stream.insert(stream, *size);
        }
        let mut head = RequestHead::default();
        let mut turns = steps.iter().cycle();
        for _ in 0..10_000_000 {
            let step = *turns.next().expect("cycle");
            let mut moved = carry(&mut client, &mut at_server, step);
            while let Some(event) = server.recv(&mut at_server.input).expect("no error") {
                match event {
                    Event::Request { stream, end: false } => {
                        server.take_request(&mut head);
                        server.send_response(stream, &ResponseHead::new(200), false).expect("open");
                    }
                    Event::Data { stream, data, end } => {
                        server.release_capacity(stream, data.len());
                        server.send_data(stream, data, end).expect("open");
                    }
                    Event::Settings => {}
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            moved |= carry(&mut server, &mut at_client, step);
            while let Some(event) = client.recv(&mut at_client.input).expect("no error") {
                match event {
                    Event::Response { .. } | Event::Settings => {}
                    Event::Data { stream, data, end } => {
                        client.release_capacity(stream, data.len());
                        at_client.bodies.entry(stream).or_default().extend_from_slice(&data);
                        at_client.ended += usize::from(end);
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            if !moved {
                break;
            }
        }
        prop_assert_eq!(at_client.ended, sizes.len());
        for (stream, size) in sizes_by_stream {
            prop_assert!(at_client.bodies[&stream] == vec![stream.get() as u8; size]);
        }
        prop_assert_eq!((client.open_streams(), server.open_streams()), (0, 0));
    }
}
