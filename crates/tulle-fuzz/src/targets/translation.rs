//! A message from HTTP/1 to HTTP/2 and back to HTTP/1, as between two proxies: what comes out is what went in, but for what one
//! connection only is concerned with.

use bytes::{Buf as _, BytesMut};
use tulle_http::h1::{
    BodyDecoder, BodyEncoder, BodyEvent, BodyLength, Options, Persistence, RequestSent, parse_request,
    parse_response, strip_hop_by_hop, write_request, write_response,
};
use tulle_http::h2::{Config, Connection, Event, Role, StreamId};
use tulle_http::{HeaderList, Known, Limits, Method, RequestHead, ResponseHead};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "translation",
    run,
    words: &[
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n",
        "HTTP/1.1 200 OK\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: x, y\r\n",
        "Cookie: a=b\r\n",
        "TE: trailers\r\n",
        "Upgrade: z\r\n",
        "5\r\nhello\r\n0\r\nx: y\r\n\r\n",
        "\r\n\r\n",
        "\u{e9}",
        "\t",
    ],
};

fn run(bytes: &[u8]) {
    let [choice, rest @ ..] = bytes else { return };
    let config = Config { huffman: choice & 2 == 2, ..Config::default() };
    if choice & 1 == 0 { request(rest, config) } else { response(rest, config) }
}

/// Body and trailers, if all of them are there.
fn body(bytes: &[u8], length: BodyLength) -> Option<(Vec<u8>, HeaderList)> {
    let (mut input, mut trailers, mut out) = (BytesMut::from(bytes), HeaderList::new(), Vec::new());
    let mut decoder = BodyDecoder::new(length);
    loop {
        match decoder.decode(&mut input, &Limits::default(), &mut trailers).ok()? {
            BodyEvent::Data(data) => out.extend_from_slice(&data),
            BodyEvent::End => return Some((out, trailers)),
            BodyEvent::NeedMore => {
                decoder.on_eof().ok()?;
                return Some((out, trailers));
            }
        }
    }
}

/// The two ends of a connection.
struct Wire {
    client: Connection,
    server: Connection,
    inboxes: [BytesMut; 2],
}

/// A message as it came out.
#[derive(Default)]
struct Came {
    request: RequestHead,
    response: ResponseHead,
    body: Vec<u8>,
    trailers: HeaderList,
    whole: bool,
}

impl Wire {
    fn new(config: Config) -> Self {
        let client = Connection::new(Role::Client, config);
        Self { client, server: Connection::new(Role::Server, config), inboxes: Default::default() }
    }

    /// Carries what both have to say until neither has more; `came` fills with what reaches the side that listens.
    fn carry(&mut self, came: &mut Came) {
        loop {
            let mut moved = false;
            for to_server in [true, false] {
                let (from, to) = match to_server {
                    true => (&mut self.client, &mut self.server),
                    false => (&mut self.server, &mut self.client),
                };
                let inbox = &mut self.inboxes[usize::from(to_server)];
                from.flush();
                while !from.output().is_empty() {
                    let chunk = from.output().chunk().to_vec();
                    from.output().advance(chunk.len());
                    inbox.extend_from_slice(&chunk);
                    from.flush();
                    moved = true;
                }
                while let Some(event) = to.recv(inbox).expect("our own frames are in order") {
                    take(to, event, came);
                }
            }
            if !moved {
                return;
            }
        }
    }
}

fn take(conn: &mut Connection, event: Event, came: &mut Came) {
    match event {
        Event::Request { end, .. } => {
            conn.take_request(&mut came.request);
            came.whole = end;
        }
        Event::Response { end, .. } => {
            conn.take_response(&mut came.response);
            came.whole = end;
        }
        Event::Data { stream, data, end } => {
            came.body.extend_from_slice(&data);
            conn.release_capacity(stream, data.len());
            came.whole |= end;
        }
        Event::Trailers { .. } => {
            conn.take_trailers(&mut came.trailers);
            came.whole = true;
        }
        Event::Reset { .. } | Event::Refused { .. } => panic!("{event:?}"),
        Event::GoAway { .. } | Event::Pong { .. } | Event::Settings => {}
    }
}

fn send_body(conn: &mut Connection, stream: StreamId, body: &[u8], trailers: &HeaderList) {
    if !body.is_empty() {
        conn.send_slice(stream, body, trailers.is_empty()).expect("the stream is open");
    }
    if !trailers.is_empty() {
        conn.send_trailers(stream, trailers).expect("the stream is open");
    } else if body.is_empty() {
        conn.send_slice(stream, &[], true).expect("the stream is open");
    }
}

/// Names in lower case, cookies as one.
fn plain(list: &HeaderList) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut out: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for field in list.iter() {
        let name = field.name.to_ascii_lowercase();
        match out.iter_mut().find(|(n, _)| *n == name && name == b"cookie") {
            Some((_, value)) => {
                value.extend_from_slice(b"; ");
                value.extend_from_slice(field.value);
            }
            None => out.push((name, field.value.to_vec())),
        }
    }
    // An empty cookie leaves nothing behind its separator.
    for (_, value) in &mut out {
        value.truncate(value.trim_ascii_end().len());
    }
    out
}

fn request(bytes: &[u8], config: Config) {
    let options = Options { allow_custom_methods: true, ..Options::default() };
    let mut head = RequestHead::default();
    let Ok(Some(parsed)) = parse_request(bytes, &options, &mut head) else { return };
    let Some((sent, trailers)) = body(&bytes[parsed.len..], parsed.body) else { return };
    // A head may have a hundred fields; the four of HTTP/2 count as well. A tunnel has no body that is framed.
    if head.headers.len() > 90 || bytes.len() > 40_000 || head.method == Method::Connect {
        return;
    }
    strip_hop_by_hop(&mut head.headers, false);
    let mut wire = Wire::new(config);
    let empty = parsed.body.is_empty();
    let stream = wire.client.send_request(&head, empty).expect("a new connection takes one");
    if !empty {
        send_body(&mut wire.client, stream, &sent, &trailers);
    }
    let mut came = Came::default();
    wire.carry(&mut came);
    let shown = String::from_utf8_lossy(bytes);
    assert!(came.whole, "{shown:?}");
    assert_eq!(
        (head.method, &head.path, &head.authority),
        (came.request.method, &came.request.path, &came.request.authority)
    );
    assert_eq!(plain(&head.headers), plain(&came.request.headers), "{shown:?}");
    assert_eq!(sent, came.body);
    assert_eq!(plain(&trailers), plain(&came.trailers), "{shown:?}");
    // And out again.
    let length = match came.request.headers.get_str(Known::ContentLength).and_then(|l| l.parse().ok()) {
        Some(length) => BodyLength::Length(length),
        None if empty => BodyLength::None,
        None => BodyLength::Chunked,
    };
    let mut out = BytesMut::new();
    write_request(&came.request, length, Persistence::KeepAlive, &mut out);
    frame(length, &came, &mut out);
    let mut again = RequestHead::default();
    let second = parse_request(&out, &options, &mut again).expect("what we write").expect("is whole");
    strip_hop_by_hop(&mut again.headers, false);
    assert_eq!((again.method, &again.path, &again.authority), (head.method, &head.path, &head.authority));
    same_but_for_framing(&head.headers, &again.headers);
    let (data, ends) = body(&out[second.len..], second.body).expect("with its body");
    assert_eq!((data, plain(&ends)), (sent, plain(&trailers)));
}

fn response(bytes: &[u8], config: Config) {
    let options = Options::default();
    let (method, mut head) = (Method::Get, ResponseHead::default());
    let sent = RequestSent { method: &method, upgrade: false };
    let Ok(Some(parsed)) = parse_response(bytes, &options, sent, &mut head) else { return };
    if head.is_informational() || head.headers.len() > 90 || bytes.len() > 40_000 {
        return;
    }
    let Some((sent, trailers)) = body(&bytes[parsed.len..], parsed.body) else { return };
    strip_hop_by_hop(&mut head.headers, false);
    // TE says nothing in a response, and HTTP/2 takes only one value of it; `Host` is a request's.
    if head.headers.contains(Known::Te) || head.headers.contains(Known::Host) {
        return;
    }
    let mut wire = Wire::new(config);
    let ask = RequestHead { authority: "a".into(), path: "/".into(), ..RequestHead::default() };
    let stream = wire.client.send_request(&ask, true).expect("a new connection takes one");
    let mut came = Came::default();
    wire.carry(&mut came);
    let empty = parsed.body.is_empty();
    wire.server.send_response(stream, &head, empty).expect("the stream is open");
    if !empty {
        send_body(&mut wire.server, stream, &sent, &trailers);
    }
    let mut came = Came::default();
    wire.carry(&mut came);
    let shown = String::from_utf8_lossy(bytes);
    assert!(came.whole, "{shown:?}");
    assert_eq!(head.status, came.response.status);
    assert_eq!(plain(&head.headers), plain(&came.response.headers), "{shown:?}");
    assert_eq!((&sent, plain(&trailers)), (&came.body, plain(&came.trailers)), "{shown:?}");
    let length = match parsed.body {
        BodyLength::UntilClose => BodyLength::Chunked,
        other => other,
    };
    let mut out = BytesMut::new();
    write_response(&came.response, length, Persistence::KeepAlive, &mut out);
    frame(length, &came, &mut out);
    let mut again = ResponseHead::default();
    let asked = RequestSent { method: &method, upgrade: false };
    let second = parse_response(&out, &options, asked, &mut again).expect("what we write").expect("is whole");
    strip_hop_by_hop(&mut again.headers, false);
    assert_eq!(again.status, head.status);
    same_but_for_framing(&head.headers, &again.headers);
    let (data, ends) = body(&out[second.len..], second.body).expect("with its body");
    assert_eq!((data, plain(&ends)), (sent, plain(&trailers)));
}

fn frame(length: BodyLength, came: &Came, out: &mut BytesMut) {
    let mut encoder = BodyEncoder::new(length);
    encoder.push(&came.body, out).expect("as long as announced");
    encoder.finish(&came.trailers, out).expect("as long as announced");
}

fn same_but_for_framing(a: &HeaderList, b: &HeaderList) {
    let without = |list: &HeaderList| {
        let mut fields = plain(list);
        fields.retain(|(name, _)| name != b"content-length");
        fields
    };
    assert_eq!(without(a), without(b));
}
