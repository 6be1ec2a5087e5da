//! HTTP/1 for any bytes at all: nothing panics, what is written is read back.

use bytes::BytesMut;
use proptest::prelude::*;
use tulle_http::h1::{
    BodyDecoder, BodyEncoder, BodyEvent, BodyLength, Options, Persistence, RequestSent, parse_request,
    parse_response, write_request, write_response,
};
use tulle_http::{HeaderList, Limits, Method, RequestHead, ResponseHead};

/// Bytes that look like HTTP often enough to reach deep.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "GET ",
        "POST ",
        "/",
        "*",
        " HTTP/1.1",
        " HTTP/1.0",
        "\r\n",
        "\r\n\r\n",
        "Host: a",
        "Content-Length: ",
        "Transfer-Encoding: chunked",
        "chunked",
        ":",
        " ",
        "\t",
        "\r",
        "\n",
        "0",
        "5",
        "ff",
        ";",
        "Connection: close",
        "HTTP/1.1 200 OK",
        "http://b",
        "#",
        "Expect: 100-continue",
        "\0",
        "\u{e9}",
    ]);
    let piece = prop_oneof![4 => words.prop_map(|w| w.as_bytes().to_vec()), 1 => prop::collection::vec(any::<u8>(), 0..6)];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn fields() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", "[!-~]([ -~\t]{0,20}[!-~])?"), 0..8).prop_map(
        |fields| {
            let taken = [
                "host",
                "content-length",
                "transfer-encoding",
                "connection",
                "keep-alive",
                "upgrade",
                "proxy-connection",
                "expect",
            ];
            fields.into_iter().filter(|(name, _)| !taken.contains(&name.to_lowercase().as_str())).collect()
        },
    )
}

fn list(fields: &[(String, String)]) -> HeaderList {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_taken_or_refused(bytes in noise()) {
        let options = Options { accept_http_10: true, allow_custom_methods: true, ..Options::default() };
        let mut head = RequestHead::default();
        if let Ok(Some(parsed)) = parse_request(&bytes, &options, &mut head) {
            prop_assert!(parsed.len <= bytes.len());
            // What was taken is written without changing its meaning.
            let mut out = BytesMut::new();
            write_request(&head, parsed.body, Persistence::KeepAlive, &mut out);
            let mut again = RequestHead::default();
            if !head.authority.is_empty() {
                let second = parse_request(&out, &options, &mut again).expect("valid").expect("complete");
                prop_assert_eq!(second.body, parsed.body);
                prop_assert_eq!((&again.path, &again.authority, again.method), (&head.path, &head.authority, head.method));
            }
        }
        let mut head = ResponseHead::default();
        let request = RequestSent { method: &Method::Get, upgrade: true };
        let _ = parse_response(&bytes, &Options::default(), request, &mut head);
    }

    /// A request that is complete with all bytes is not refused with fewer, and the other way round.
    #[test]
    fn prefixes_agree(bytes in noise(), cut in any::<prop::sample::Index>()) {
        let options = Options::default();
        let mut head = RequestHead::default();
        let whole = parse_request(&bytes, &options, &mut head);
        let cut = cut.index(bytes.len() + 1);
        match parse_request(&bytes[..cut], &options, &mut head) {
            Ok(Some(parsed)) => prop_assert_eq!(whole, Ok(Some(parsed))),
            Err(_) => prop_assert!(whole.is_err()),
            Ok(None) => {}
        }
    }

    #[test]
    fn any_bytes_as_a_body(bytes in noise(), length in prop_oneof![Just(BodyLength::Chunked), (0u64..30).prop_map(BodyLength::Length)]) {
        let mut decoder = BodyDecoder::new(length);
        let mut input = BytesMut::from(bytes.as_slice());
        let mut trailers = HeaderList::new();
        for _ in 0..bytes.len() + 2 {
            match decoder.decode(&mut input, &Limits::default(), &mut trailers) {
                Ok(BodyEvent::Data(data)) => prop_assert!(!data.is_empty()),
                Ok(BodyEvent::End | BodyEvent::NeedMore) | Err(_) => return Ok(()),
            }
        }
        prop_assert!(false, "no progress");
    }

    #[test]
    fn requests_round_trip(path in "/[!-\"$-~]{0,30}", fields in fields(), length in prop::option::of(0u64..u64::MAX / 2)) {
        let head = RequestHead { authority: "a.b:80".into(), path, headers: list(&fields), ..Default::default() };
        let body = length.map_or(BodyLength::Chunked, BodyLength::Length);
        let mut out = BytesMut::new();
        write_request(&head, body, Persistence::Close, &mut out);
        let mut again = RequestHead::default();
        let parsed = parse_request(&out, &Options::default(), &mut again).expect("valid").expect("complete");
        prop_assert_eq!((parsed.len, parsed.body, parsed.keep_alive), (out.len(), body, false));
        again.headers.retain(|h| !matches!(h.name, b"content-length" | b"transfer-encoding" | b"connection"));
        prop_assert_eq!(again, head);
    }

    #[test]
    fn responses_round_trip(status in 200u16..600, fields in fields(), length in 0u64..1_000_000) {
        prop_assume!(status != 204 && status != 304);
        let mut head = ResponseHead::new(status);
        head.headers = list(&fields);
        let mut out = BytesMut::new();
        write_response(&head, BodyLength::Length(length), Persistence::KeepAlive, &mut out);
        let mut again = ResponseHead::default();
        let request = RequestSent { method: &Method::Get, upgrade: false };
        let parsed = parse_response(&out, &Options::default(), request, &mut again).expect("valid").expect("complete");
        prop_assert_eq!((parsed.body, parsed.keep_alive), (BodyLength::Length(length), true));
        again.headers.remove("content-length");
        prop_assert_eq!(again, head);
    }

    #[test]
    fn bodies_round_trip(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..10), step in 1usize..50) {
        let mut encoder = BodyEncoder::new(BodyLength::Chunked);
        let mut wire = BytesMut::new();
        for piece in &pieces {
            encoder.push(piece, &mut wire).expect("chunked");
        }
        encoder.finish(&HeaderList::new(), &mut wire).expect("chunked");
        let (mut decoder, mut input, mut body) = (BodyDecoder::new(BodyLength::Chunked), BytesMut::new(), Vec::new());
        let mut reads = wire.chunks(step);
        loop {
            match decoder.decode(&mut input, &Limits::default(), &mut HeaderList::new()).expect("valid") {
                BodyEvent::Data(data) => body.extend_from_slice(&data),
                BodyEvent::NeedMore => input.extend_from_slice(reads.next().expect("ends before the input does")),
                BodyEvent::End => break,
            }
        }
        prop_assert_eq!(body, pieces.concat());
    }
}
