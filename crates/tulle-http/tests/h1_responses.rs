//! Response heads: what is taken from upstream, what becomes 502, and what is written to clients.

use bytes::BytesMut;
use tulle_http::h1::{
    BodyLength, Options, Persistence, RequestSent, ResponseError, ResponseParsed, parse_response,
    write_informational, write_request, write_response,
};
use tulle_http::{Method, RequestHead, ResponseHead, Version};

fn parse(
    method: Method,
    upgrade: bool,
    text: &str,
) -> Result<Option<(ResponseHead, ResponseParsed)>, ResponseError> {
    let mut head = ResponseHead::default();
    let request = RequestSent { method: &method, upgrade };
    Ok(parse_response(text.as_bytes(), &Options::default(), request, &mut head)?.map(|parsed| (head, parsed)))
}

fn get(text: &str) -> (ResponseHead, ResponseParsed) {
    parse(Method::Get, false, text).expect("no error").expect("complete")
}

#[test]
fn a_usual_response() {
    let (head, parsed) = get("HTTP/1.1 404 Not Here\r\nContent-Length: 3\r\nServer : x\r\n\r\nabc");
    assert_eq!((head.status, head.version), (404, Version::Http11));
    assert_eq!(format!("{:?}", head.headers), "[Content-Length: 3, Server: x]");
    assert_eq!(
        parsed,
        ResponseParsed { len: 56, body: BodyLength::Length(3), keep_alive: true, tunnel: false }
    );
}

#[test]
fn status_lines_rfc9112_4() {
    assert_eq!(get("HTTP/1.1 200\r\n\r\n").0.status, 200);
    assert_eq!(get("HTTP/1.0 599 \r\n\r\n").0.status, 599);
    for line in [
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1  200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/1.2 200 OK",
        "ICY 200 OK",
        "HTTP/1.1 abc",
        "HTTP/1.1 200 a\0",
        "HTTP/1.1 600 x",
        "HTTP/1.1 099 x",
        "200 OK",
    ] {
        assert!(parse(Method::Get, false, &format!("{line}\r\n\r\n")).is_err(), "{line}");
    }
}

#[test]
fn garbage_does_not_wait() {
    for text in ["\0", "SSH-2.0-x", "HTTP/2", "HTTP/1.1 200 OK\nA: b\n\n"] {
        assert!(parse(Method::Get, false, text).is_err(), "{text:?}");
    }
    assert_eq!(parse(Method::Get, false, "HTTP/1.1 20"), Ok(None));
    assert_eq!(parse(Method::Get, false, ""), Ok(None));
}

#[test]
fn body_length_rfc9112_6_3() {
    use BodyLength as L;
    let cases = [
        (Method::Get, "200 OK\r\nContent-Length: 5", L::Length(5), true),
        (Method::Get, "200 OK\r\nTransfer-Encoding: chunked", L::Chunked, true),
        (Method::Get, "200 OK", L::UntilClose, false),
        (Method::Head, "200 OK\r\nContent-Length: 5", L::None, true),
        (Method::Head, "200 OK\r\nTransfer-Encoding: chunked", L::None, true),
        (Method::Get, "304 x\r\nContent-Length: 5", L::None, true),
        (Method::Get, "204 x", L::None, true),
        (Method::Get, "204 x\r\nContent-Length: 5", L::None, false),
        (Method::Get, "204 x\r\nTransfer-Encoding: chunked", L::None, false),
        (Method::Get, "100 Continue", L::None, true),
        (Method::Get, "200 OK\r\nContent-Length: 5\r\nConnection: close", L::Length(5), false),
    ];
    for (method, rest, body, keep_alive) in cases {
        let (_, parsed) = parse(method, false, &format!("HTTP/1.1 {rest}\r\n\r\n")).unwrap().unwrap();
        assert_eq!(
            (parsed.body, parsed.keep_alive, parsed.tunnel),
            (body, keep_alive, false),
            "{method} {rest}"
        );
    }
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: x",
        "Transfer-Encoding: gzip",
    ] {
        assert!(
            parse(Method::Get, false, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")).is_err(),
            "{fields}"
        );
    }
    assert!(parse(Method::Get, false, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
}

#[test]
fn http_10_servers_keep_alive_only_when_they_say_so() {
    assert!(!get("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n").1.keep_alive);
    assert!(get("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n").1.keep_alive);
}

#[test]
fn tunnels() {
    let switched = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(parse(Method::Get, false, switched), Err(ResponseError::UnwantedUpgrade));
    let (head, parsed) = parse(Method::Get, true, switched).unwrap().unwrap();
    assert!(parsed.tunnel && !parsed.keep_alive && parsed.body == BodyLength::UntilClose);
    assert!(!head.headers.contains("content-length"));
    assert!(parse(Method::Connect, false, "HTTP/1.1 200 OK\r\n\r\n").unwrap().unwrap().1.tunnel);
    assert!(
        !parse(Method::Connect, false, "HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n")
            .unwrap()
            .unwrap()
            .1
            .tunnel
    );
}

fn written(write: impl Fn(&mut BytesMut)) -> String {
    let mut out = BytesMut::new();
    write(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn responses_are_written_from_arguments() {
    let mut head = ResponseHead::new(200);
    head.headers = [
        ("X-A", "1"),
        ("Content-Length", "9"),
        ("Connection", "x"),
        ("transfer-encoding", "x"),
        ("X-B", "2"),
        ("Upgrade", "ws"),
    ]
    .into_iter()
    .collect();
    assert_eq!(
        written(|out| write_response(&head, BodyLength::Length(5), Persistence::KeepAlive, out)),
        "HTTP/1.1 200 OK\r\nX-A: 1\r\nX-B: 2\r\ncontent-length: 5\r\n\r\n"
    );
    assert_eq!(
        written(|out| write_response(&head, BodyLength::None, Persistence::Close, out)),
        "HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 9\r\nX-B: 2\r\nconnection: close\r\n\r\n"
    );
    head.status = 101;
    assert_eq!(
        written(|out| write_response(&head, BodyLength::None, Persistence::Upgrade, out)),
        "HTTP/1.1 101 Switching Protocols\r\nX-A: 1\r\nX-B: 2\r\nUpgrade: ws\r\nconnection: upgrade\r\n\r\n"
    );
    assert_eq!(written(|out| write_informational(100, out)), "HTTP/1.1 100 Continue\r\n\r\n");
}

#[test]
fn requests_are_written_with_host_first() {
    let mut head = RequestHead {
        method: Method::Post,
        authority: "a:1".into(),
        path: "/p?q".into(),
        headers: [("Accept", "*/*"), ("X-A", "1")].into_iter().collect(),
        ..Default::default()
    };
    assert_eq!(
        written(|out| write_request(&head, BodyLength::Chunked, Persistence::KeepAlive, out)),
        "POST /p?q HTTP/1.1\r\nHost: a:1\r\nAccept: */*\r\nX-A: 1\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    head.method = Method::Connect;
    head.path.clear();
    head.headers.remove("accept");
    head.headers.set("x-a", b"2");
    assert_eq!(
        written(|out| write_request(&head, BodyLength::None, Persistence::KeepAlive, out)),
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nx-a: 2\r\n\r\n"
    );
}
