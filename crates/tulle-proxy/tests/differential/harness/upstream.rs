//! An upstream that records what it sees and answers as the case says, in HTTP/1 or, to a client that begins so, HTTP/2.

use std::{
    io::{BufRead, BufReader, Read as _, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    answer::{Answer, Ending, Framing, Seen, Stage},
    upstream_h2,
};

/// A running upstream.
pub struct Upstream {
    pub name: String,
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    /// Held by an upstream that refuses connections.
    _refusing: Option<socket2::Socket>,
}

impl Upstream {
    /// Starts one. A name that begins with `down` stands for an address where nobody listens, one that begins with `v6` for
    /// ::1.
    pub fn start(name: &str, stage: &Stage) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        if name.starts_with("down") {
            let (socket, address) = super::reserve();
            return Self { name: name.to_owned(), address, stop, _refusing: Some(socket) };
        }
        let ip = if name.starts_with("v6") { "[::1]:0" } else { "127.0.0.1:0" };
        let socket = TcpListener::bind(ip).unwrap();
        let address = socket.local_addr().unwrap();
        let (stopped, stage, own) = (Arc::clone(&stop), stage.clone(), name.to_owned());
        thread::spawn(move || {
            let connections = AtomicUsize::new(0);
            for stream in socket.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let number = connections.fetch_add(1, Ordering::Relaxed);
                let (stage, name) = (stage.clone(), own.clone());
                thread::spawn(move || serve(stream, &name, number, &stage));
            }
        });
        Self { name: name.to_owned(), address, stop, _refusing: None }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, name: &str, connection: usize, stage: &Stage) {
    stream.set_nodelay(true).unwrap();
    let told = if name.starts_with("told") { read_preamble(&mut stream) } else { String::new() };
    let mut first = [0; 14];
    let port = stream.peer_addr().map_or(0, |a| a.port());
    let is_h2 = matches!(stream.peek(&mut first), Ok(14)) && &first == b"PRI * HTTP/2.0";
    let template = Seen { upstream: name.to_owned(), connection, port, told, ..Seen::default() };
    if is_h2 {
        upstream_h2::serve(stream, &template, stage);
        return;
    }
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    while one(&mut reader, &mut writer, &template, stage).is_some() {}
    let _ = writer.shutdown(Shutdown::Both);
}

/// What the PROXY protocol says at the beginning of a connection: a line of version 1, or the parts of version 2.
fn read_preamble(stream: &mut TcpStream) -> String {
    let mut read = |count: usize| {
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes).map(|()| bytes).unwrap_or_default()
    };
    let mut first = read(12);
    if first.starts_with(b"PROXY ") {
        while !first.is_empty() && !first.ends_with(b"\r\n") {
            first.extend(read(1));
        }
        let line = super::text(&first).trim_end().to_owned();
        let parts: Vec<&str> = line.split(' ').collect();
        // With colons, so that ports are told by their names.
        return match parts[..] {
            [proxy, family, from, to, source, destination] => {
                format!("{proxy} {family} {from}:{source} {to}:{destination}")
            }
            _ => line,
        };
    }
    let head = read(4);
    let [kind, family, high, low] = head[..] else { return "(nothing)".to_owned() };
    let body = read(usize::from(u16::from_be_bytes([high, low])));
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let address = |at: usize| body[at..at + 4].iter().map(u8::to_string).collect::<Vec<_>>().join(".");
    match (family, body.len()) {
        (0x11, 12) => format!("{kind:x} {family:x} {}:{} {}:{}", address(0), port(8), address(4), port(10)),
        _ => format!("{kind:x} {family:x} {body:?}"),
    }
}

/// Reads one request and answers it; `None` ends the connection.
fn one(
    reader: &mut BufReader<TcpStream>,
    writer: &mut TcpStream,
    template: &Seen,
    stage: &Stage,
) -> Option<()> {
    let (line, headers) = read_head(reader)?;
    let field = |name: &str| headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| &**v);
    let chunked = field("transfer-encoding").is_some_and(|t| t.eq_ignore_ascii_case("chunked"));
    let length = field("content-length").and_then(|l| l.parse().ok());
    let seen = Seen { line: line.clone(), headers: headers.clone(), ..template.clone() };
    let (place, answer) = stage.arrive(seen);
    for status in &answer.informational {
        let reason = tulle_http::reason_phrase(*status);
        writer.write_all(format!("HTTP/1.1 {status} {reason}\r\n\r\n").as_bytes()).ok()?;
    }
    let (body, trailers, complete) = read_body(reader, chunked, length.unwrap_or(0));
    stage.complete(place, body, trailers, complete);
    if !complete {
        return None;
    }
    thread::sleep(answer.delay);
    if matches!(answer.ending, Ending::Reset | Ending::Refuse) {
        return None;
    }
    let head_request = line.starts_with("HEAD ");
    writer.write_all(&write_answer(&answer, &template.upstream, head_request)).ok()?;
    match answer.ending {
        Ending::Keep => {
            (answer.framing == Framing::Length || answer.framing == Framing::Chunked).then_some(())
        }
        Ending::Tunnel => echo(reader, writer),
        _ => {
            // The peer may have more to say; it must not lose the answer to a reset.
            let _ = writer.shutdown(Shutdown::Write);
            let _ = reader.get_ref().set_read_timeout(Some(Duration::from_secs(5)));
            let _ = std::io::copy(reader, &mut std::io::sink());
            None
        }
    }
}

fn write_answer(answer: &Answer, name: &str, head_request: bool) -> Vec<u8> {
    if let Some(raw) = &answer.raw {
        return raw.clone();
    }
    let mut out = format!("HTTP/1.1 {} {}\r\n", answer.status, answer.reason).into_bytes();
    for (name, value) in &answer.headers {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    let bodiless = head_request
        || matches!(answer.status, 204 | 304)
        || answer.status < 200
        || answer.ending == Ending::Tunnel;
    let default = format!("from {name}").into_bytes();
    let body = answer.body.as_ref().unwrap_or(&default);
    let broken = answer.ending == Ending::BreakOff;
    match answer.framing {
        _ if bodiless && !head_request => {}
        Framing::Length if broken => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::Length => out.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes()),
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::Claimed(length) => out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes()),
        Framing::UntilClose => {}
    }
    out.extend_from_slice(b"\r\n");
    if bodiless {
        return out;
    }
    if answer.framing == Framing::Chunked || broken {
        if !body.is_empty() {
            out.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
            out.extend_from_slice(body);
            out.extend_from_slice(b"\r\n");
        }
        if !broken {
            out.extend_from_slice(b"0\r\n");
            for (name, value) in &answer.trailers {
                out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
            out.extend_from_slice(b"\r\n");
        }
    } else {
        out.extend_from_slice(body);
    }
    out
}

fn echo(reader: &mut BufReader<TcpStream>, writer: &mut TcpStream) -> Option<()> {
    loop {
        let count = {
            let bytes = reader.fill_buf().ok()?;
            if bytes.is_empty() {
                return None;
            }
            writer.write_all(bytes).ok()?;
            bytes.len()
        };
        reader.consume(count);
    }
}

/// First line and fields, as they are; `None` at the end of the connection.
fn read_head(reader: &mut impl BufRead) -> Option<(String, Vec<(String, String)>)> {
    let first = read_line(reader)?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Some((first, headers));
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, "(no colon)"));
        headers.push((name.to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned()));
    }
}

/// A line without its end, bytes above ASCII escaped; `None` at the end of the connection.
fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line).ok()? == 0 || line.last() != Some(&b'\n') {
        return None;
    }
    line.pop();
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Some(super::text(&line))
}

fn read_body(
    reader: &mut impl BufRead,
    chunked: bool,
    length: usize,
) -> (Vec<u8>, Vec<(String, String)>, bool) {
    let mut body = vec![0; if chunked { 0 } else { length }];
    if !chunked {
        let mut at = 0;
        while at < body.len() {
            match reader.read(&mut body[at..]) {
                Ok(0) | Err(_) => {
                    body.truncate(at);
                    return (body, Vec::new(), false);
                }
                Ok(count) => at += count,
            }
        }
        return (body, Vec::new(), true);
    }
    loop {
        let Some(line) = read_line(reader) else { return (body, Vec::new(), false) };
        let size = line.split(';').next().and_then(|s| usize::from_str_radix(s.trim(), 16).ok());
        match size {
            Some(0) => break,
            Some(size) => {
                let mut chunk = vec![0; size + 2];
                if reader.read_exact(&mut chunk).is_err() {
                    return (body, Vec::new(), false);
                }
                body.extend_from_slice(&chunk[..size]);
            }
            None => return (body, Vec::new(), false),
        }
    }
    let mut trailers = Vec::new();
    loop {
        match read_line(reader) {
            None => return (body, trailers, false),
            Some(line) if line.is_empty() => return (body, trailers, true),
            Some(line) => {
                let (name, value) = line.split_once(':').unwrap_or((&line, ""));
                trailers.push((name.to_owned(), value.trim().to_owned()));
            }
        }
    }
}
