//! `grpc.health.v1.Health/Check` over plaintext HTTP/2, as small as it can be: one request without compression of its
//! headers, and of the answer only the data frames are read (the header compression of the other side concerns nobody here).

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ProbeError;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
/// Frames read until the answer must have come, and their greatest length (the default of HTTP/2).
const MAX_FRAMES: usize = 64;
const MAX_FRAME: usize = 16_384;

pub(super) async fn check(mut stream: TcpStream, port: u16, service: &str) -> Result<(), ProbeError> {
    let fail = |e| ProbeError::Connection(port, e);
    stream.write_all(&request(service)).await.map_err(fail)?;
    let mut message = Vec::new();
    for _ in 0..MAX_FRAMES {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.map_err(fail)?;
        let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if len > MAX_FRAME {
            return Err(ProbeError::Grpc("the answer is not HTTP/2"));
        }
        let mut body = vec![0; len];
        stream.read_exact(&mut body).await.map_err(fail)?;
        let (kind, flags) = (head[3], head[4]);
        match kind {
            SETTINGS if flags & ACK == 0 => {
                stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await.map_err(fail)?;
            }
            PING if flags & ACK == 0 => {
                stream.write_all(&frame(PING, ACK, 0, &body)).await.map_err(fail)?;
            }
            DATA => message.extend_from_slice(&body),
            RST_STREAM | GOAWAY => return Err(ProbeError::Grpc("the server refused the call")),
            _ => {}
        }
        let ended = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
        if let Some(result) = verdict(&message, ended) {
            return result.map_err(ProbeError::Grpc);
        }
    }
    Err(ProbeError::Grpc("no answer among the first frames"))
}

/// What the message says, once it is whole: `HealthCheckResponse { status = 1: SERVING 1 }`.
fn verdict(message: &[u8], ended: bool) -> Option<Result<(), &'static str>> {
    if let [_, a, b, c, d, body @ ..] = message {
        let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        if body.len() >= len {
            return Some(match &body[..len] {
                [0x08, 1] => Ok(()),
                [0x08, 2] => Err("NOT_SERVING"),
                [0x08, 3] => Err("SERVICE_UNKNOWN"),
                _ => Err("UNKNOWN"),
            });
        }
    }
    ended.then_some(Err("the call failed; does the server implement grpc.health.v1.Health?"))
}

fn request(service: &str) -> Vec<u8> {
    let mut headers = vec![0x83, 0x86]; // :method POST, :scheme http (RFC 7541 appendix A)
    for (name, value) in [
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("user-agent", "kube-probe/1.34"),
        ("te", "trailers"),
    ] {
        // Literal without indexing, new name; every length is below 127.
        headers.push(0);
        for text in [name, value] {
            headers.push(u8::try_from(text.len()).unwrap_or(0));
            headers.extend_from_slice(text.as_bytes());
        }
    }
    // Kubernetes allows names of services up to 253 bytes.
    let service = service.get(..service.len().min(253)).unwrap_or_default();
    let mut body = Vec::new();
    if !service.is_empty() {
        body.push(0x0a);
        let len = service.len();
        if len > 127 {
            body.push(u8::try_from(len & 0x7f).unwrap_or(0) | 0x80);
            body.push(u8::try_from(len >> 7).unwrap_or(0));
        } else {
            body.push(u8::try_from(len).unwrap_or(0));
        }
        body.extend_from_slice(service.as_bytes());
    }
    let mut message = vec![0];
    message.extend_from_slice(&u32::try_from(body.len()).unwrap_or(0).to_be_bytes());
    message.extend_from_slice(&body);
    [
        PREFACE.to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, END_HEADERS, 1, &headers),
        frame(DATA, END_STREAM, 1, &message),
    ]
    .concat()
}

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap_or(0).to_be_bytes();
    let mut out = vec![len[1], len[2], len[3], kind, flags];
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_answer_says() {
        assert_eq!(verdict(&[0, 0, 0, 0, 2, 8, 1], false), Some(Ok(())));
        assert_eq!(verdict(&[0, 0, 0, 0, 2, 8, 2], false), Some(Err("NOT_SERVING")));
        assert_eq!(verdict(&[0, 0, 0, 0, 0], false), Some(Err("UNKNOWN")));
        assert_eq!(verdict(&[0, 0, 0, 0, 2, 8], false), None);
        assert!(verdict(&[], true).unwrap().is_err());
    }

    #[test]
    fn the_request_names_the_service() {
        let bytes = request("shop.Cart");
        assert!(bytes.starts_with(PREFACE));
        assert!(
            bytes.ends_with(&[0, 0, 0, 0, 11, 0x0a, 9, b's', b'h', b'o', b'p', b'.', b'C', b'a', b'r', b't'])
        );
        assert!(request(&"x".repeat(200)).windows(3).any(|w| w == [0x0a, 0xc8, 1]));
    }
}
