//! Bodies: framing read and written.

use bytes::BytesMut;
use tulle_http::h1::{BodyDecoder, BodyEncoder, BodyError, BodyEvent, BodyLength, EncodeError};
use tulle_http::{HeaderList, Limits};

/// Feeds `text` in pieces of `step` bytes; the body, the trailers and what is left.
fn read(length: BodyLength, text: &[u8], step: usize) -> Result<(Vec<u8>, HeaderList, Vec<u8>), BodyError> {
    let mut decoder = BodyDecoder::new(length);
    let (mut body, mut trailers) = (Vec::new(), HeaderList::new());
    let mut input = BytesMut::new();
    let mut pieces = text.chunks(step);
    loop {
        match decoder.decode(&mut input, &Limits::default(), &mut trailers)? {
            BodyEvent::Data(data) => body.extend_from_slice(&data),
            BodyEvent::End => {
                for piece in pieces {
                    input.extend_from_slice(piece);
                }
                return Ok((body, trailers, input.to_vec()));
            }
            BodyEvent::NeedMore => match pieces.next() {
                Some(piece) => input.extend_from_slice(piece),
                None => decoder.on_eof()?,
            },
        }
    }
}

fn chunked(text: &str) -> Result<String, BodyError> {
    let mut results = (1..=text.len()).map(|step| read(BodyLength::Chunked, text.as_bytes(), step));
    let first = results.next().expect("not empty");
    for result in results {
        assert_eq!(result, first, "depends on where reads end: {text:?}");
    }
    first.map(|(body, trailers, rest)| {
        assert_eq!(rest, b"rest");
        format!("{} {trailers:?}", String::from_utf8_lossy(&body))
    })
}

#[test]
fn chunks_rfc9112_7_1() {
    assert_eq!(chunked("5\r\nhello\r\n0\r\n\r\nrest").unwrap(), "hello []");
    assert_eq!(chunked("5\r\nhello\r\n006\r\n world\r\n0\r\n\r\nrest").unwrap(), "hello world []");
    assert_eq!(chunked("a;x=y;z=\"q\"\r\n0123456789\r\n0;e\r\n\r\nrest").unwrap(), "0123456789 []");
    assert_eq!(chunked("1 ;x\r\na\r\n0\r\n\r\nrest").unwrap(), "a []");
    assert_eq!(chunked("0\r\n\r\nrest").unwrap(), " []");
}

#[test]
fn trailers_rfc9110_6_5() {
    let text = "1\r\na\r\n0\r\nGrpc-Status: 0\r\nContent-Length: 5\r\nHost: b\r\nX: y\r\n\r\nrest";
    assert_eq!(chunked(text).unwrap(), "a [Grpc-Status: 0, X: y]");
}

#[test]
fn bad_chunks_are_refused() {
    use BodyError as E;
    let cases = [
        ("x\r\n", E::ChunkSize),
        ("\r\n", E::ChunkSize),
        ("-1\r\n", E::ChunkSize),
        ("+1\r\n", E::ChunkSize),
        ("0x1\r\n", E::ChunkSize),
        ("FFFFFFFFFFFFFFFF\r\n", E::ChunkSize),
        ("00000000000000001\r\n", E::ChunkSize),
        ("20000000000\r\n", E::ChunkSize),
        ("1\na\r\n", E::ChunkSize),
        ("1\r\nab", E::ChunkEnd),
        ("1\r\na\n", E::ChunkEnd),
        ("1 \r\n", E::ChunkExtension),
        ("1 2\r\n", E::ChunkExtension),
        ("1;a\nb", E::ChunkExtension),
        ("1;a\rb", E::ChunkExtension),
        ("1;\0\r\n", E::ChunkExtension),
    ];
    for (text, error) in cases {
        assert_eq!(chunked(text), Err(error), "{text:?}");
    }
    assert!(matches!(chunked("0\r\nA : b\r\n\r\n"), Err(E::Trailer(_))));
    assert!(matches!(chunked("0\r\nA: b\n\n"), Err(E::Trailer(_))));
    assert_eq!(chunked("5\r\nhel"), Err(E::Truncated));
}

#[test]
fn extensions_and_trailers_have_limits() {
    let endless = format!("1;{}", "x".repeat(2000));
    assert_eq!(read(BodyLength::Chunked, endless.as_bytes(), 100), Err(BodyError::ChunkExtension));
    let many = format!("1;{}\r\na\r\n", "x".repeat(1000)).repeat(20);
    assert_eq!(read(BodyLength::Chunked, many.as_bytes(), 100), Err(BodyError::ChunkExtension));
    let trailers = format!("0\r\nA: {}", "x".repeat(70_000));
    assert_eq!(read(BodyLength::Chunked, trailers.as_bytes(), 1000), Err(BodyError::TrailersTooLarge));
}

#[test]
fn lengths_and_until_close() {
    let (body, _, rest) = read(BodyLength::Length(5), b"hellorest", 2).unwrap();
    assert_eq!((body.as_slice(), rest.as_slice()), (&b"hello"[..], &b"rest"[..]));
    assert_eq!(read(BodyLength::Length(5), b"hell", 2), Err(BodyError::Truncated));
    assert_eq!(read(BodyLength::UntilClose, b"hello", 2).unwrap().0, b"hello");
    assert_eq!(read(BodyLength::None, b"rest", 4).unwrap().0, b"");
}

#[test]
fn pieces_are_views_of_the_read_buffer() {
    let mut input = BytesMut::from(&b"5\r\nhello\r\n"[..]);
    let at = input.as_ptr() as usize + 3;
    let event =
        BodyDecoder::new(BodyLength::Chunked).decode(&mut input, &Limits::default(), &mut HeaderList::new());
    let Ok(BodyEvent::Data(data)) = event else { panic!("{event:?}") };
    assert_eq!((data.as_ref(), data.as_ptr() as usize), (&b"hello"[..], at));
}

#[test]
fn bodies_are_framed() {
    let mut out = BytesMut::new();
    let mut encoder = BodyEncoder::new(BodyLength::Chunked);
    encoder.push(b"hello", &mut out).unwrap();
    encoder.push(b"", &mut out).unwrap();
    encoder.push(&[b'x'; 26], &mut out).unwrap();
    encoder.finish(&[("grpc-status", "0"), ("content-length", "1")].into_iter().collect(), &mut out).unwrap();
    let expected = format!("5\r\nhello\r\n1a\r\n{}\r\n0\r\ngrpc-status: 0\r\n\r\n", "x".repeat(26));
    assert_eq!(out, expected.as_bytes());

    out.clear();
    let mut encoder = BodyEncoder::new(BodyLength::Length(5));
    encoder.push(b"hel", &mut out).unwrap();
    assert_eq!(encoder.finish(&HeaderList::new(), &mut out), Err(EncodeError::TooShort));
    assert_eq!(encoder.push(b"lo!", &mut out), Err(EncodeError::TooLong));
    encoder.push(b"lo", &mut out).unwrap();
    encoder.finish(&HeaderList::new(), &mut out).unwrap();
    assert_eq!(out, &b"hello"[..]);
}
