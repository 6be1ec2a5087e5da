//! HTTP/1: heads of both sides, and bodies however the wire is cut.

use bytes::BytesMut;
use tulle_http::h1::{
    BodyDecoder, BodyEvent, BodyLength, Options, Persistence, RequestSent, parse_request, parse_response,
    write_request,
};
use tulle_http::{HeaderList, Limits, Method, RequestHead, ResponseHead};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "http1",
    run,
    words: &[
        "GET ",
        "POST ",
        "CONNECT ",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "HTTP/1.1 200 OK\r\n",
        "\r\n",
        "\r\n\r\n",
        "Host: a\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Upgrade: x\r\n",
        "0\r\n\r\n",
        "5;a=b\r\n",
        "http://b/",
        "*",
        "#",
        "%2e",
        "Expect: 100-continue\r\n",
        "\t",
        "\u{0}",
        "[::1]:80",
    ],
};

fn run(bytes: &[u8]) {
    // The first byte says what is read, the second where the wire is cut.
    let [choice, step, rest @ ..] = bytes else { return };
    let options = Options {
        accept_http_10: choice & 1 == 0,
        allow_custom_methods: choice & 2 == 0,
        ..Options::default()
    };
    if choice & 4 == 0 {
        request(rest, &options);
    } else {
        response(rest, &options, choice & 8 == 0);
    }
    body(rest, usize::from(*step).max(1), choice & 16 == 0);
}

fn request(bytes: &[u8], options: &Options) {
    let mut head = RequestHead::default();
    let Ok(Some(parsed)) = parse_request(bytes, options, &mut head) else { return };
    assert!(parsed.len <= bytes.len());
    let mut out = BytesMut::new();
    write_request(&head, parsed.body, Persistence::KeepAlive, &mut out);
    if head.authority.is_empty() {
        return;
    }
    let mut again = RequestHead::default();
    let second = parse_request(&out, options, &mut again);
    let second = second.ok().flatten().map(|p| p.body);
    assert_eq!(second, Some(parsed.body), "{:?}", String::from_utf8_lossy(&out));
    assert_eq!((&again.path, &again.authority, again.method), (&head.path, &head.authority, head.method));
}

fn response(bytes: &[u8], options: &Options, to_head: bool) {
    let method = if to_head { Method::Head } else { Method::Get };
    let mut head = ResponseHead::default();
    let sent = RequestSent { method: &method, upgrade: true };
    if let Ok(Some(parsed)) = parse_response(bytes, options, sent, &mut head) {
        assert!(parsed.len <= bytes.len());
    }
}

fn body(bytes: &[u8], step: usize, chunked: bool) {
    let length = if chunked { BodyLength::Chunked } else { BodyLength::UntilClose };
    let mut decoder = BodyDecoder::new(length);
    let (mut input, mut trailers, mut taken) = (BytesMut::new(), HeaderList::new(), 0);
    for piece in bytes.chunks(step) {
        input.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut input, &Limits::default(), &mut trailers) {
                Ok(BodyEvent::Data(data)) => taken += data.len(),
                Ok(BodyEvent::NeedMore) => break,
                Ok(BodyEvent::End) | Err(_) => {
                    assert!(taken <= bytes.len());
                    return;
                }
            }
        }
    }
    let _ = decoder.on_eof();
}
