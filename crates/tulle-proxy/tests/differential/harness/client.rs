//! The client of a case: HTTP/1 as raw bytes, HTTP/2 by our codec, TCP.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use bytes::BytesMut;
use tulle_http::{
    HeaderList, Method, RequestHead, ResponseHead, Scheme,
    h2::{Config, Connection, ErrorCode, Event, Role, StreamId},
};

use super::{
    case::{Request, Turn},
    upstream_h2::{fields, write_out},
};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A message as the client received it, line by line.
#[derive(Clone, Debug, Default)]
pub struct Received {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// What happened beside: `(closed)` and the like.
    pub notes: Vec<String>,
}

pub fn connect(to: SocketAddr, from: [u8; 4]) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None).unwrap();
    if to.is_ipv4() {
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    }
    // What fails from here on, because the proxy has closed at once, is seen by reading.
    let _ = socket.connect(&to.into());
    let stream: TcpStream = socket.into();
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let _ = stream.set_nodelay(true);
    stream
}

/// Sends each turn's bytes and reads its responses.
pub fn http1(stream: &mut TcpStream, turns: &[Turn], until_closed: bool) -> Vec<Received> {
    let mut inbox = Vec::new();
    let mut all = Vec::new();
    let mut closing = until_closed;
    'turns: for turn in turns {
        std::thread::sleep(turn.pause);
        // A peer that has closed is noticed by reading.
        let _ = stream.write_all(&turn.bytes);
        if turn.ends_writing {
            let _ = stream.shutdown(Shutdown::Write);
        }
        for _ in 0..turn.responses {
            let received = response(stream, &mut inbox, &turn.method);
            let over = !received.notes.is_empty();
            closing |= received
                .headers
                .iter()
                .any(|(n, v)| n.eq_ignore_ascii_case("connection") && v.eq_ignore_ascii_case("close"));
            let informational =
                received.line.split(' ').nth(1).is_some_and(|s| s.starts_with('1') && s != "101");
            all.push(received);
            if over {
                break 'turns;
            }
            if informational {
                // The final response follows.
                let received = response(stream, &mut inbox, &turn.method);
                let over = !received.notes.is_empty();
                all.push(received);
                if over {
                    break 'turns;
                }
            }
        }
        if turn.raw_reply > 0 {
            let mut received = Received::default();
            while inbox.len() < turn.raw_reply && more(stream, &mut inbox) == More::Bytes {}
            received.body = std::mem::take(&mut inbox);
            all.push(received);
        }
    }
    let over = all.last().is_some_and(|r| !r.notes.is_empty());
    if closing && !over {
        let end = loop {
            match more(stream, &mut inbox) {
                More::Bytes => {}
                More::Closed => break "(closed)",
                More::Nothing => break "(still open)",
            }
        };
        let mut last = all.pop().unwrap_or_default();
        if !inbox.is_empty() {
            last.notes.push(format!("(then) {}", super::text(&inbox)));
        }
        last.notes.push(end.to_owned());
        all.push(last);
    }
    all
}

/// Sends bytes, ends the direction, reads to the end.
pub fn tcp(stream: &mut TcpStream, bytes: &[u8]) -> Vec<Received> {
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut received = Received::default();
    let end = loop {
        match more(stream, &mut received.body) {
            More::Bytes => {}
            More::Closed => break "(closed)",
            More::Nothing => break "(still open)",
        }
    };
    received.notes.push(end.to_owned());
    vec![received]
}

#[derive(PartialEq, Eq)]
enum More {
    Bytes,
    Closed,
    Nothing,
}

fn more(stream: &mut TcpStream, inbox: &mut Vec<u8>) -> More {
    let mut bytes = [0; 16 * 1024];
    match stream.read(&mut bytes) {
        Ok(0) => More::Closed,
        Ok(count) => {
            inbox.extend_from_slice(&bytes[..count]);
            More::Bytes
        }
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => More::Nothing,
        Err(_) => More::Closed,
    }
}

fn response(stream: &mut TcpStream, inbox: &mut Vec<u8>, method: &str) -> Received {
    let mut received = Received::default();
    let over = |received: &mut Received, how: More| {
        received.notes.push(if how == More::Closed { "(closed early)" } else { "(nothing)" }.to_owned());
    };
    let end = loop {
        if let Some(at) = inbox.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        match more(stream, inbox) {
            More::Bytes => {}
            how => {
                if !inbox.is_empty() {
                    received.notes.push(format!("(part of a head) {}", super::text(inbox)));
                }
                over(&mut received, how);
                return received;
            }
        }
    };
    let head = super::text(&inbox[..end + 2]);
    inbox.drain(..end + 4);
    let mut lines = head.split("\r\n").filter(|l| !l.is_empty());
    received.line = lines.next().unwrap_or_default().to_owned();
    received.headers = lines.map(split).collect();
    let field = |name: &str| {
        received.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone())
    };
    let status = received.line.split(' ').nth(1).and_then(|s| s.parse::<u16>().ok()).unwrap_or(0);
    let bodiless = method == "HEAD"
        || status < 200
        || matches!(status, 204 | 304)
        || (method == "CONNECT" && (200..300).contains(&status));
    let how = if bodiless {
        None
    } else if field("transfer-encoding").is_some() {
        chunked(stream, inbox, &mut received)
    } else if let Some(length) = field("content-length").and_then(|l| l.parse::<usize>().ok()) {
        sized(stream, inbox, &mut received.body, length)
    } else {
        let how = loop {
            match more(stream, inbox) {
                More::Bytes => {}
                how => break how,
            }
        };
        received.body = std::mem::take(inbox);
        received.notes.push(if how == More::Closed { "(until close)" } else { "(no end)" }.to_owned());
        None
    };
    if let Some(how) = how {
        over(&mut received, how);
    }
    received
}

fn split(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or((line, "(no colon)"));
    (name.to_owned(), value.trim_start().to_owned())
}

fn sized(stream: &mut TcpStream, inbox: &mut Vec<u8>, body: &mut Vec<u8>, length: usize) -> Option<More> {
    while inbox.len() < length {
        match more(stream, inbox) {
            More::Bytes => {}
            how => {
                body.append(inbox);
                return Some(how);
            }
        }
    }
    body.extend(inbox.drain(..length));
    None
}

fn line(stream: &mut TcpStream, inbox: &mut Vec<u8>) -> Result<String, More> {
    loop {
        if let Some(at) = inbox.windows(2).position(|w| w == b"\r\n") {
            let line = super::text(&inbox[..at]);
            inbox.drain(..at + 2);
            return Ok(line);
        }
        match more(stream, inbox) {
            More::Bytes => {}
            how => return Err(how),
        }
    }
}

fn chunked(stream: &mut TcpStream, inbox: &mut Vec<u8>, received: &mut Received) -> Option<More> {
    loop {
        let size = match line(stream, inbox) {
            Ok(text) => usize::from_str_radix(text.split(';').next().unwrap_or_default().trim(), 16),
            Err(how) => return Some(how),
        };
        let Ok(size) = size else {
            received.notes.push("(bad chunk)".to_owned());
            return None;
        };
        if size == 0 {
            break;
        }
        if let Some(how) = sized(stream, inbox, &mut received.body, size) {
            return Some(how);
        }
        if let Err(how) = line(stream, inbox) {
            return Some(how);
        }
    }
    loop {
        match line(stream, inbox) {
            Ok(text) if text.is_empty() => return None,
            Ok(text) => received.trailers.push(split(&text)),
            Err(how) => return Some(how),
        }
    }
}

/// Sends all requests at once and reads their responses.
pub fn http2(stream: &mut TcpStream, requests: &[Request]) -> Vec<Received> {
    let mut codec = Connection::new(Role::Client, Config { extended_connect: true, ..Config::default() });
    let mut inbox = BytesMut::new();
    // The peer's settings say whether extended CONNECT may be sent.
    read_settings(stream, &mut codec, &mut inbox);
    let mut ids = Vec::new();
    for request in requests {
        match send(&mut codec, request) {
            Some(id) => ids.push(id),
            None => return vec![Received { notes: vec!["(not sent)".to_owned()], ..Received::default() }],
        }
    }
    let mut open: HashMap<StreamId, Received> = ids.iter().map(|id| (*id, Received::default())).collect();
    let mut done: HashMap<StreamId, Received> = HashMap::new();
    loop {
        let mut broken = false;
        loop {
            match codec.recv(&mut inbox) {
                Ok(Some(event)) => {
                    if let Some(id) = take(&mut codec, &mut open, event)
                        && let Some(received) = open.remove(&id)
                    {
                        done.insert(id, received);
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        if open.is_empty() {
            break;
        }
        let mut bytes = [0; 16 * 1024];
        let count =
            if broken || !write_out(stream, &mut codec) { 0 } else { stream.read(&mut bytes).unwrap_or(0) };
        if count == 0 {
            for (id, mut received) in open.drain() {
                received.notes.push("(connection lost)".to_owned());
                done.insert(id, received);
            }
            break;
        }
        inbox.extend_from_slice(&bytes[..count]);
    }
    ids.iter().map(|id| done.remove(id).unwrap_or_default()).collect()
}

fn read_settings(stream: &mut TcpStream, codec: &mut Connection, inbox: &mut BytesMut) {
    while !codec.is_ready() {
        if !write_out(stream, codec) {
            return;
        }
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).unwrap_or(0);
        if count == 0 {
            return;
        }
        inbox.extend_from_slice(&bytes[..count]);
        while let Ok(Some(_)) = codec.recv(inbox) {}
    }
}

fn send(codec: &mut Connection, request: &Request) -> Option<StreamId> {
    let mut head = RequestHead {
        method: Method::from_bytes(request.method.as_bytes())?,
        scheme: Scheme::Http,
        authority: request.host.clone(),
        path: request.target.clone(),
        protocol: request.protocol.clone(),
        ..RequestHead::default()
    };
    for (name, value) in &request.headers {
        head.headers.append(name.as_str(), value.as_bytes());
    }
    let body = request.body.as_deref();
    let bare = body.is_none() && request.trailers.is_empty() && !request.unfinished;
    let id = codec.send_request(&head, bare).ok()?;
    if let Some(body) = body {
        codec.send_slice(id, body, request.trailers.is_empty() && !request.unfinished).ok()?;
    }
    if !request.trailers.is_empty() {
        let mut list = HeaderList::new();
        for (name, value) in &request.trailers {
            list.append(name.as_str(), value.as_bytes());
        }
        codec.send_trailers(id, &list).ok()?;
    }
    Some(id)
}

fn take(codec: &mut Connection, open: &mut HashMap<StreamId, Received>, event: Event) -> Option<StreamId> {
    match event {
        Event::Response { stream, end } => {
            let mut head = ResponseHead::default();
            codec.take_response(&mut head);
            let received = open.get_mut(&stream)?;
            if head.status < 200 {
                received.notes.push(format!("(first) {}", head.status));
                return None;
            }
            received.line = format!("HTTP/2 {}", head.status);
            received.headers = fields(&head.headers);
            end.then_some(stream)
        }
        Event::Data { stream, data, end } => {
            codec.release_capacity(stream, data.len());
            open.get_mut(&stream)?.body.extend_from_slice(&data);
            end.then_some(stream)
        }
        Event::Trailers { stream } => {
            let mut list = HeaderList::new();
            codec.take_trailers(&mut list);
            open.get_mut(&stream)?.trailers = fields(&list);
            Some(stream)
        }
        Event::Reset { stream, code, .. } => {
            // An answer that is complete may be followed by NO_ERROR (RFC 9113 section 8.1).
            let note = if code == ErrorCode::NO_ERROR {
                "(asked to stop)".to_owned()
            } else {
                format!("(reset {code})")
            };
            open.get_mut(&stream)?.notes.push(note);
            Some(stream)
        }
        _ => None,
    }
}
