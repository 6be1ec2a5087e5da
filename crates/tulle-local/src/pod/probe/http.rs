//! One HTTP/1.1 GET; only the status counts.

use std::fmt::Write as _;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ProbeError;

/// Bytes read until the status must have come.
const MAX_STATUS_LINE: usize = 1024;

pub(super) async fn get(
    mut stream: TcpStream,
    to: SocketAddr,
    path: &str,
    headers: &[(String, String)],
) -> Result<(), ProbeError> {
    let fail = |e| ProbeError::Connection(to.port(), e);
    stream.write_all(request(to, path, headers).as_bytes()).await.map_err(fail)?;
    let mut answer = Vec::new();
    let mut buf = [0; 256];
    while !answer.contains(&b'\n') && answer.len() < MAX_STATUS_LINE {
        match stream.read(&mut buf).await.map_err(fail)? {
            0 => break,
            n => answer.extend_from_slice(&buf[..n]),
        }
    }
    match status(&answer) {
        Some(200..=399) => Ok(()),
        Some(other) => Err(ProbeError::Status(other)),
        None => Err(ProbeError::NotHttp),
    }
}

fn request(to: SocketAddr, path: &str, headers: &[(String, String)]) -> String {
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut text = format!("GET {slash}{path} HTTP/1.1\r\n");
    let given = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    let host = to.to_string();
    for (name, value) in [
        ("Host", host.as_str()),
        ("User-Agent", "kube-probe/1.34"),
        ("Accept", "*/*"),
        ("Connection", "close"),
    ] {
        if !given(name) {
            let _ = write!(text, "{name}: {value}\r\n");
        }
    }
    for (name, value) in
        headers.iter().filter(|(n, v)| !n.contains(['\r', '\n']) && !v.contains(['\r', '\n']))
    {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    text
}

/// The status of `HTTP/1.1 200 OK`.
fn status(answer: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(answer.split(|b| *b == b'\n').next()?).ok()?;
    let mut words = line.split_ascii_whitespace();
    words.next()?.strip_prefix("HTTP/1.")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_and_what_counts() {
        let to: SocketAddr = "10.244.0.3:80".parse().unwrap();
        let text =
            request(to, "healthz?x=1", &[("host".into(), "shop".into()), ("X".into(), "a\r\nb".into())]);
        assert_eq!(
            text,
            "GET /healthz?x=1 HTTP/1.1\r\nUser-Agent: kube-probe/1.34\r\nAccept: */*\r\nConnection: close\r\n\
             host: shop\r\n\r\n"
        );
        assert_eq!(status(b"HTTP/1.1 204 No Content\r\nA: b"), Some(204));
        assert_eq!(status(b"HTTP/1.0 503\r\n"), Some(503));
        for rubbish in [&b""[..], b"SSH-2.0", b"HTTP/1.1", b"\xff\xfe 200\n", b"HTTP/1.1 abc\n"] {
            assert_eq!(status(rubbish), None);
        }
    }
}
