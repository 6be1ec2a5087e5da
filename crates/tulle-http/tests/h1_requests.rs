//! Request heads: what is taken, what is refused, with which status.

use tulle_http::h1::{BodyLength, Options, RequestError, RequestParsed, parse_request};
use tulle_http::{Limits, Method, RequestHead, Scheme, Version};

fn parse_with(options: &Options, text: &[u8]) -> Result<Option<(RequestHead, RequestParsed)>, RequestError> {
    let mut head = RequestHead::default();
    Ok(parse_request(text, options, &mut head)?.map(|parsed| (head, parsed)))
}

fn ok(text: &str) -> (RequestHead, RequestParsed) {
    let (head, parsed) =
        parse_with(&Options::default(), text.as_bytes()).expect("no error").expect("complete");
    assert_eq!(parsed.len, text.len());
    (head, parsed)
}

fn status(text: impl AsRef<[u8]>) -> u16 {
    match parse_with(&Options::default(), text.as_ref()) {
        Err(error) => error.status(),
        Ok(Some((head, _))) => panic!("taken: {head:?}"),
        Ok(None) => panic!("waits for more: {}", text.as_ref().escape_ascii()),
    }
}

#[test]
fn a_usual_request() {
    let (head, parsed) = ok(
        "GET /a/b?c=d HTTP/1.1\r\nHost: Reviews.default:9080\r\nUser-Agent: curl/8\r\nX-A: 1\r\nx-a:2\r\n\r\n",
    );
    assert_eq!((head.method, head.scheme, head.version), (Method::Get, Scheme::Http, Version::Http11));
    assert_eq!((head.authority.as_str(), head.path.as_str()), ("Reviews.default:9080", "/a/b?c=d"));
    assert_eq!(format!("{:?}", head.headers), "[User-Agent: curl/8, X-A: 1, x-a: 2]");
    assert_eq!(
        RequestParsed { len: 0, ..parsed },
        RequestParsed {
            len: 0,
            body: BodyLength::None,
            keep_alive: true,
            upgrade: false,
            expect_continue: false
        }
    );
}

#[test]
fn incomplete_heads_ask_for_more_at_every_byte() {
    let text = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    for end in 0..text.len() {
        assert_eq!(parse_with(&Options::default(), &text[..end]), Ok(None), "at {end}");
    }
    assert!(parse_with(&Options::default(), text).unwrap().is_some());
}

#[test]
fn what_follows_is_left_alone() {
    let (_, parsed) =
        parse_with(&Options::default(), b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next").unwrap().unwrap();
    assert_eq!(parsed.len, 29);
}

#[test]
fn forms_of_the_target_rfc9112_3_2() {
    let form = |text: &str| {
        let (head, _) = ok(text);
        (head.authority, head.path, head.scheme)
    };
    let of = |authority: &str, path: &str, scheme| (authority.to_owned(), path.to_owned(), scheme);
    assert_eq!(form("GET http://b:1/p?q HTTP/1.1\r\nHost: a\r\n\r\n"), of("b:1", "/p?q", Scheme::Http));
    assert_eq!(form("GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n"), of("b", "/", Scheme::Https));
    assert_eq!(form("GET http://b?q HTTP/1.1\r\nHost: a\r\n\r\n"), of("b", "/?q", Scheme::Http));
    assert_eq!(form("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), of("a", "*", Scheme::Http));
    assert_eq!(form("OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n"), of("b", "*", Scheme::Http));
    assert_eq!(form("CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n"), of("b:443", "", Scheme::Http));
    for target in
        ["", "a", "*", "/a#b", "http://u@b/", "http://b:x/", "http:///", "ftp://b/", "//b\u{e9}", "/\x7f"]
    {
        assert_eq!(status(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")), 400, "{target}");
    }
    assert_eq!(status("CONNECT b HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(status("CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

#[test]
fn request_lines_rfc9112_3() {
    for line in [
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /",
        "GET / http/1.1",
        "GET / HTTP/1.",
        "G\x01T / HTTP/1.1",
        "BREW / HTTP/1.1",
        "get / HTTP/1.1",
    ] {
        assert_eq!(status(format!("{line}\r\nHost: a\r\n\r\n")), 400, "{line}");
    }
    for version in ["HTTP/1.0", "HTTP/0.9", "HTTP/1.2", "HTTP/2.0"] {
        assert_eq!(status(format!("GET / {version}\r\nHost: a\r\n\r\n")), 426, "{version}");
    }
}

#[test]
fn options_open_http_10_and_custom_methods() {
    let options = Options { accept_http_10: true, allow_custom_methods: true, ..Options::default() };
    let one = |text: &str| parse_with(&options, text.as_bytes()).unwrap().unwrap();
    let (head, parsed) = one("BREW / HTTP/1.0\r\n\r\n");
    assert_eq!((head.version, head.authority.as_str(), parsed.keep_alive), (Version::Http10, "", false));
    assert_eq!(head.method.as_str(), "BREW");
    assert!(one("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").1.keep_alive);
    let error = parse_with(&options, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap_err();
    assert_eq!(error.status(), 400);
}

#[test]
fn host_rfc9112_3_2() {
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
    for host in ["", "u@a", "a:b", "a:99999", "a b", "a/b", "[::1", "a,b:1:2", "a\u{e9}"] {
        assert_eq!(status(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), 400, "{host}");
    }
}

#[test]
fn framing_rfc9112_6() {
    let body = |fields: &str| ok(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).1.body;
    assert_eq!(body(""), BodyLength::None);
    assert_eq!(body("Content-Length: 12\r\n"), BodyLength::Length(12));
    assert_eq!(body("Content-Length: 12\r\ncontent-length: 12\r\n"), BodyLength::Length(12));
    assert_eq!(body("Transfer-Encoding: Chunked\r\n"), BodyLength::Chunked);
    let refused = |fields: &str| status(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    for fields in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
    ] {
        assert_eq!(refused(fields), 400, "{fields}");
    }
    for coding in ["gzip", "gzip, chunked", "chunked, chunked", "identity", "", "chunkedx", "\"chunked\""] {
        assert_eq!(refused(&format!("Transfer-Encoding: {coding}\r\n")), 501, "{coding}");
    }
    assert_eq!(refused("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 501);
}

#[test]
fn equal_lengths_become_one_line() {
    let (head, _) = ok("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 012\r\nContent-Length: 12\r\n\r\n");
    assert_eq!(head.headers.get_all("content-length").collect::<Vec<_>>(), [b"12"]);
}

#[test]
fn field_lines_rfc9112_5() {
    for fields in [
        "A : b\r\n",
        " A: b\r\n",
        "A: b\r\n c\r\n",
        "A\r\n",
        "A b: c\r\n",
        ": b\r\n",
        "A: b\rc\r\n",
        "A: b\0\r\n",
    ] {
        assert_eq!(status(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")), 400, "{fields:?}");
    }
}

#[test]
fn bare_line_feeds_do_not_wait() {
    assert_eq!(status("GET / HTTP/1.1\nHost: a\n\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\n\nB: c\r\n\r\n"), 400);
}

#[test]
fn garbage_does_not_wait() {
    assert_eq!(status(b"\x16\x03\x01\x02\x00\x01"), 400);
    assert_eq!(status(b"\0"), 400);
    assert_eq!(status(b" "), 400);
    assert_eq!(status("x".repeat(24)), 400);
    assert_eq!(status("\r\n".repeat(9)), 400);
}

#[test]
fn sizes() {
    let options =
        Options { limits: Limits { head_bytes: 1000, headers: 5, target_bytes: 100 }, ..Options::default() };
    let status = |text: &str| parse_with(&options, text.as_bytes()).expect_err("refused").status();
    assert_eq!(status(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100))), 414);
    assert_eq!(status(&format!("GET /{}", "x".repeat(200))), 414);
    assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(1000))), 431);
    assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}", "x".repeat(1000))), 431);
    assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(5))), 431);
}

#[test]
fn connection_upgrade_and_expect() {
    let with =
        |fields: &str| ok(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n{fields}\r\n")).1;
    assert!(!with("Connection: a, CLOSE\r\n").keep_alive);
    assert!(with("Connection: keep-alive\r\n").keep_alive);
    assert!(with("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n").upgrade);
    assert!(!with("Upgrade: websocket\r\n").upgrade);
    assert!(!with("Connection: upgrade\r\n").upgrade);
    assert!(with("Expect: 100-Continue\r\n").expect_continue);
    assert!(!with("Expect: else\r\n").expect_continue);
    assert!(!ok("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n").1.expect_continue);
}
