//! HTTP/1 read twice: by our parser, and by patterns that are the grammar of RFC 9110 and RFC 9112, word for word. What ours
//! takes the grammar takes too, as the same message of the same length; two readings are what smuggling is made of.

use std::sync::LazyLock;

use regex::bytes::Regex;
use tulle_http::h1::{
    BodyDecoder, BodyLength, Options, RequestSent, parse_request, parse_response, response_length,
};
use tulle_http::{HeaderList, Limits, Method, RequestHead, ResponseHead, Version};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "http1_grammar",
    run,
    words: &[
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\n",
        "HTTP/1.1 200 OK\r\n",
        "\r\n",
        "\r\n\r\n",
        "\r",
        "\n",
        " ",
        "\t",
        ":",
        "\u{0}",
        "\u{b}",
        "Host: b\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 6\r\n",
        "content-length: +5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "transfer-encoding: identity\r\n",
        "X: y\r\n z\r\n",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "5;a=b\r\n",
        "0\r\nx: y\r\n\r\n",
        "http://b/",
    ],
};

/// RFC 9112 section 3 and 5, RFC 9110 section 5.6.2 and 5.5. `obs-text` is a value's, not a target's.
const REQUEST: &str = r"^(?-u:([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/1\.([01])\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*)\r\n)";
/// RFC 9112 section 4; a proxy takes white space before the colon out (section 5.1).
const RESPONSE: &str = r"^(?-u:HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t -~\x80-\xff]*)?\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+[\t ]*:[\t -~\x80-\xff]*\r\n)*)\r\n)";
/// One line of a block, its value without surrounding white space.
const FIELD: &str = r"(?-u:([!#$%&'*+.^_`|~0-9A-Za-z-]+)[\t ]*:[\t ]*((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)[\t ]*\r\n)";
/// RFC 9112 section 7.1, a chunk's line. Extensions are taken for anything without a line end.
const CHUNK: &str = r"^(?-u:([0-9A-Fa-f]+)(?:[\t ]*;[\t -~\x80-\xff]*)?\r\n)";
/// RFC 9112 section 7.1.2.
const TRAILERS: &str = r"^(?-u:(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*\r\n)";

macro_rules! pattern {
    ($name:ident, $text:ident) => {
        static $name: LazyLock<Regex> =
            LazyLock::new(|| Regex::new($text).expect("the pattern is a constant, and the tests use it"));
    };
}
pattern!(REQUEST_HEAD, REQUEST);
pattern!(RESPONSE_HEAD, RESPONSE);
pattern!(FIELD_LINE, FIELD);
pattern!(CHUNK_LINE, CHUNK);
pattern!(TRAILER_BLOCK, TRAILERS);

fn run(bytes: &[u8]) {
    let [choice, rest @ ..] = bytes else { return };
    let options =
        Options { accept_http_10: choice & 1 == 0, allow_custom_methods: true, ..Options::default() };
    if choice & 2 == 0 { request(rest, &options) } else { response(rest, &options) }
}

type Fields<'a> = Vec<(&'a [u8], &'a [u8])>;

fn fields(block: &[u8]) -> Fields<'_> {
    FIELD_LINE
        .captures_iter(block)
        .map(|c| (c.get(1).map_or(&b""[..], |m| m.as_bytes()), c.get(2).map_or(&b""[..], |m| m.as_bytes())))
        .collect()
}

fn values<'a>(fields: &Fields<'a>, name: &str) -> Vec<&'a [u8]> {
    fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| *v).collect()
}

fn request(bytes: &[u8], options: &Options) {
    let mut head = RequestHead::default();
    let Ok(Some(parsed)) = parse_request(bytes, options, &mut head) else { return };
    let shown = String::from_utf8_lossy(bytes);
    // Empty lines in front are no part of the message (RFC 9112 section 2.2).
    let mut text = bytes;
    while let [b'\r', b'\n', rest @ ..] = text {
        text = rest;
    }
    let read = REQUEST_HEAD.captures(text).unwrap_or_else(|| panic!("no request by the grammar: {shown:?}"));
    let part = |at: usize| read.get(at).map_or(&b""[..], |m| m.as_bytes());
    assert_eq!(bytes.len() - text.len() + part(0).len(), parsed.len, "{shown:?}");
    assert_eq!(part(1), head.method.as_str().as_bytes());
    assert_eq!(part(3) == b"0", head.version == Version::Http10);
    let seen = fields(part(4));
    let hosts = values(&seen, "host");
    assert!(hosts.len() == 1 || (hosts.is_empty() && head.version == Version::Http10), "{shown:?}");
    let target = String::from_utf8_lossy(part(2)).into_owned();
    assert!(!target.contains('#'), "{shown:?}");
    let authority = match target.split_once("://") {
        _ if head.method == Method::Connect => target.clone(),
        Some((_, rest)) if !target.starts_with('/') => {
            rest[..rest.find(['/', '?']).unwrap_or(rest.len())].to_owned()
        }
        _ => hosts.first().map_or_else(String::new, |h| String::from_utf8_lossy(h).into_owned()),
    };
    assert_eq!(authority, head.authority, "{shown:?}");
    assert!(
        target.ends_with(&head.path) || head.path == "/" || head.path == "*" || head.path.starts_with("/?")
    );
    same_fields(&seen, &head.headers, "host");
    let length = framing(&seen, head.version).unwrap_or_else(|why| panic!("{why}: {shown:?}"));
    assert_eq!(length.unwrap_or(BodyLength::None), parsed.body, "{shown:?}");
    body(&bytes[parsed.len..], parsed.body);
}

fn response(bytes: &[u8], options: &Options) {
    let mut head = ResponseHead::default();
    let method = Method::Get;
    let sent = RequestSent { method: &method, upgrade: true };
    let Ok(Some(parsed)) = parse_response(bytes, options, sent, &mut head) else { return };
    let shown = String::from_utf8_lossy(bytes);
    let read =
        RESPONSE_HEAD.captures(bytes).unwrap_or_else(|| panic!("no response by the grammar: {shown:?}"));
    let part = |at: usize| read.get(at).map_or(&b""[..], |m| m.as_bytes());
    assert_eq!(part(0).len(), parsed.len, "{shown:?}");
    assert_eq!(part(2), head.status.to_string().as_bytes());
    let seen = fields(part(3));
    if parsed.tunnel {
        assert_eq!(parsed.body, BodyLength::UntilClose);
        return;
    }
    let length = framing(&seen, head.version).unwrap_or_else(|why| panic!("{why}: {shown:?}"));
    // Whether a status has a body at all is the RFC's first question (section 6.3).
    let bodiless = response_length(&method, Version::Http11, head.status, Some(1)) == BodyLength::None;
    let expected = if bodiless { BodyLength::None } else { length.unwrap_or(BodyLength::UntilClose) };
    assert_eq!(expected, parsed.body, "{shown:?}");
    if !bodiless {
        same_fields(&seen, &head.headers, "");
    }
    body(&bytes[parsed.len..], parsed.body);
}

/// The same names and values in the same order, but for `without` and lengths that were said twice.
fn same_fields(seen: &Fields<'_>, list: &HeaderList, without: &str) {
    let plain = |name: &[u8]| {
        !name.eq_ignore_ascii_case(without.as_bytes()) && !name.eq_ignore_ascii_case(b"content-length")
    };
    let theirs: Fields<'_> = seen.iter().filter(|(n, _)| plain(n)).copied().collect();
    let ours: Fields<'_> = list.iter().filter(|h| plain(h.name)).map(|h| (h.name, h.value)).collect();
    assert_eq!(theirs, ours);
}

/// RFC 9112 section 6.3 as it stands, without a reading that it leaves open. `None`: nothing is said.
fn framing(seen: &Fields<'_>, version: Version) -> Result<Option<BodyLength>, &'static str> {
    let (lengths, codings) = (values(seen, "content-length"), values(seen, "transfer-encoding"));
    if !codings.is_empty() {
        let once = codings.len() == 1 && codings[0].eq_ignore_ascii_case(b"chunked");
        return match (lengths.is_empty(), version, once) {
            (false, ..) => Err("both framings"),
            (_, Version::Http10, _) => Err("a coding in HTTP/1.0"),
            (.., false) => Err("a coding that is not chunked"),
            _ => Ok(Some(BodyLength::Chunked)),
        };
    }
    let Some(first) = lengths.first() else { return Ok(None) };
    let digits = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(first).ok().filter(|_| digits).and_then(|t| t.parse().ok());
    let number = number.ok_or("a length that is no number")?;
    let same = |l: &&[u8]| std::str::from_utf8(l).ok().and_then(|t| t.parse::<u64>().ok()) == Some(number);
    if lengths.iter().all(same) { Ok(Some(BodyLength::Length(number))) } else { Err("two lengths") }
}

/// A body that ours takes whole is whole by the grammar, the same, and ends where it does.
fn body(bytes: &[u8], length: BodyLength) {
    let (mut decoder, mut at, mut ours) = (BodyDecoder::new(length), 0, Vec::new());
    let mut trailers = HeaderList::new();
    loop {
        let Ok(step) = decoder.step(&bytes[at..], &Limits::default(), &mut trailers) else { return };
        at += step.skip;
        ours.extend_from_slice(&bytes[at..at + step.data]);
        at += step.data;
        if step.end || decoder.is_done() {
            break;
        }
        if step.data == 0 {
            return;
        }
    }
    let mut rest = bytes;
    let mut theirs: Vec<u8> = Vec::new();
    match length {
        BodyLength::None => {}
        BodyLength::UntilClose => return,
        BodyLength::Length(n) => {
            let (data, behind) = rest.split_at(usize::try_from(n).unwrap_or(usize::MAX));
            theirs.extend_from_slice(data);
            rest = behind;
        }
        BodyLength::Chunked => loop {
            let line = CHUNK_LINE.captures(rest).expect("a chunk's line by the grammar");
            let size = line.get(1).map_or(&b""[..], |m| m.as_bytes());
            let size = u64::from_str_radix(&String::from_utf8_lossy(size), 16).expect("no overflow");
            rest = &rest[line.get(0).map_or(0, |m| m.len())..];
            if size == 0 {
                let block = TRAILER_BLOCK.find(rest).expect("trailers by the grammar");
                rest = &rest[block.len()..];
                break;
            }
            let (data, behind) = rest.split_at(usize::try_from(size).unwrap_or(usize::MAX));
            theirs.extend_from_slice(data);
            rest = behind.strip_prefix(b"\r\n").expect("CR LF behind a chunk");
        },
    }
    assert_eq!(ours, theirs);
    assert_eq!(bytes.len() - rest.len(), at, "the body ends at the same place");
}
