//! The bodies of gRPC-Web ("PROTOCOL-WEB" of gRPC): base64 in requests, and trailers as a last frame of responses.

use std::io;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tulle_http::HeaderList;

/// The flag of a frame that holds trailers.
const TRAILERS: u8 = 0x80;

/// Reads base64 that comes in pieces; several texts may follow each other, each with its padding.
#[derive(Debug, Default)]
pub(crate) struct Unbase64 {
    /// Characters that make no group of four yet.
    rest: Vec<u8>,
}

impl Unbase64 {
    /// Decodes what can be decoded.
    pub(crate) fn feed(&mut self, data: &[u8]) -> io::Result<Vec<u8>> {
        self.rest.extend_from_slice(data);
        let whole = self.rest.len() / 4 * 4;
        let mut out = Vec::with_capacity(whole / 4 * 3);
        for group in self.rest[..whole].chunks(4) {
            let bytes = STANDARD.decode(group).map_err(io::Error::other)?;
            out.extend_from_slice(&bytes);
        }
        self.rest.drain(..whole);
        Ok(out)
    }

    /// The end: nothing may be left.
    pub(crate) fn end(&self) -> io::Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(io::Error::other("base64 ends inside a group")) }
    }
}

/// Writes the body of a response, in base64 or as it is, and its trailers behind it.
#[derive(Debug, Default)]
pub(crate) struct WebBody {
    /// Whether it is written in base64, frame by frame.
    text: bool,
    /// The head of the present frame as far as it has come.
    head: Vec<u8>,
    /// Bytes of the present frame still to come.
    left: usize,
    /// Bytes that make no group of three yet.
    group: Vec<u8>,
}

impl WebBody {
    /// A body; `text` writes it in base64.
    pub(crate) fn new(text: bool) -> Self {
        Self { text, ..Self::default() }
    }

    /// Writes a piece of the body.
    pub(crate) fn feed(&mut self, mut data: &[u8]) -> Vec<u8> {
        if !self.text {
            return data.to_vec();
        }
        let mut out = Vec::with_capacity(data.len() / 3 * 4 + 8);
        while !data.is_empty() {
            if self.head.len() < 5 {
                let (now, later) = data.split_at(data.len().min(5 - self.head.len()));
                self.head.extend_from_slice(now);
                data = later;
                if let [_, a, b, c, d] = self.head[..] {
                    self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                    self.group.extend_from_slice(&self.head);
                }
            } else {
                let (now, later) = data.split_at(data.len().min(self.left));
                self.group.extend_from_slice(now);
                self.left -= now.len();
                data = later;
            }
            if self.head.len() == 5 {
                let ends = self.left == 0;
                self.write(ends, &mut out);
                if ends {
                    self.head.clear();
                }
            }
        }
        out
    }

    /// Writes whole groups, or at the end of a frame everything.
    fn write(&mut self, all: bool, out: &mut Vec<u8>) {
        let count = if all { self.group.len() } else { self.group.len() / 3 * 3 };
        out.extend_from_slice(STANDARD.encode(&self.group[..count]).as_bytes());
        self.group.drain(..count);
    }

    /// Writes the end of the body: what was left of a frame that was cut off, and the frame of the trailers.
    pub(crate) fn end(&mut self, trailers: &HeaderList) -> Vec<u8> {
        let mut out = Vec::new();
        if self.head.len() < 5 {
            self.group.append(&mut self.head);
        }
        self.write(true, &mut out);
        if trailers.is_empty() {
            return out;
        }
        let mut lines = Vec::new();
        for field in trailers.iter() {
            lines.extend(field.name.iter().map(u8::to_ascii_lowercase));
            lines.push(b':');
            lines.extend_from_slice(field.value);
            lines.extend_from_slice(b"\r\n");
        }
        let mut frame = vec![TRAILERS];
        frame.extend_from_slice(&u32::try_from(lines.len()).unwrap_or(u32::MAX).to_be_bytes());
        frame.extend_from_slice(&lines);
        if self.text {
            out.extend_from_slice(STANDARD.encode(&frame).as_bytes());
        } else {
            out.extend_from_slice(&frame);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(flag: u8, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        [&[flag], &length[..], data].concat()
    }

    #[test]
    fn base64_comes_in_any_pieces() {
        let text = [STANDARD.encode(b"one message"), STANDARD.encode(b"and another")].concat();
        for size in 1..9 {
            let mut decoder = Unbase64::default();
            let pieces = text.as_bytes().chunks(size).map(|piece| decoder.feed(piece).unwrap());
            assert_eq!(pieces.collect::<Vec<_>>().concat(), b"one messageand another", "pieces of {size}");
            decoder.end().unwrap();
        }
        assert!(Unbase64::default().feed(b"a!cd").is_err());
        assert!(Unbase64::default().feed(b"====").is_err());
        let mut torn = Unbase64::default();
        torn.feed(b"YWJ").unwrap();
        assert!(torn.end().is_err());
    }

    #[test]
    fn each_frame_is_a_text_and_trailers_are_the_last() {
        let body = [frame(0, b"hello"), frame(0, b""), frame(1, b"x")].concat();
        let trailers: HeaderList = [("Grpc-Status", "0"), ("grpc-message", "a b")].into_iter().collect();
        let last = frame(0x80, b"grpc-status:0\r\ngrpc-message:a b\r\n");
        let want: String = [&frame(0, b"hello"), &frame(0, b""), &frame(1, b"x"), &last]
            .into_iter()
            .map(|f| STANDARD.encode(f))
            .collect();
        for size in 1..20 {
            let mut text = WebBody::new(true);
            let mut out: Vec<u8> = body.chunks(size).flat_map(|piece| text.feed(piece)).collect();
            out.extend(text.end(&trailers));
            assert_eq!(String::from_utf8(out).unwrap(), want, "pieces of {size}");
        }
        let mut plain = WebBody::new(false);
        let mut out = plain.feed(&body);
        out.extend(plain.end(&trailers));
        assert_eq!(out, [body, last].concat());
    }

    #[test]
    fn what_is_cut_off_is_not_lost() {
        let mut text = WebBody::new(true);
        let mut out = text.feed(&frame(0, b"hello")[..8]);
        out.extend(text.end(&HeaderList::new()));
        assert_eq!(STANDARD.decode(out).unwrap(), &frame(0, b"hello")[..8]);
        let mut head = WebBody::new(true);
        assert!(head.feed(&[0, 0]).is_empty());
        assert_eq!(STANDARD.decode(head.end(&HeaderList::new())).unwrap(), [0, 0]);
    }
}
