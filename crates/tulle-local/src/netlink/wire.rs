//! Netlink messages and attributes: how they are laid out (`include/uapi/linux/netlink.h`).

/// The message is a request.
pub const REQUEST: u16 = 0x1;
/// The sender wants an answer even to success.
pub const ACK: u16 = 0x4;
/// Fail if the object is there.
pub const EXCL: u16 = 0x200;
/// Make the object if it is not there.
pub const CREATE: u16 = 0x400;
/// Add at the end of a list.
pub const APPEND: u16 = 0x800;

const NESTED: u16 = 0x8000;
const NLMSG_ERROR: u16 = 2;
const HEADER: usize = 16;

/// Messages under construction, one after the other.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    sequence: u32,
}

/// Where a message or attribute began, to be closed once its length is known.
#[derive(Debug)]
#[must_use = "close it, or its length stays zero"]
pub struct Open(usize);

impl Buffer {
    /// Begins a message of `kind`; its fixed part and attributes follow, then [`Buffer::close_message`].
    pub fn message(&mut self, kind: u16, flags: u16) -> Open {
        self.pad();
        let at = self.bytes.len();
        self.sequence += 1;
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&self.sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        Open(at)
    }

    /// Ends the message.
    pub fn close_message(&mut self, open: Open) {
        self.pad();
        let len = u32::try_from(self.bytes.len() - open.0).unwrap_or(u32::MAX);
        self.bytes[open.0..open.0 + 4].copy_from_slice(&len.to_ne_bytes());
    }

    /// Bytes as they are: a message's fixed part.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// One attribute. Values are far below the limit of 64 KiB by construction.
    pub fn attr(&mut self, kind: u16, value: &[u8]) {
        self.pad();
        let len = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    /// A text attribute with the closing NUL.
    pub fn attr_str(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attr(kind, &bytes);
    }

    /// A number in network byte order, as nftables wants them.
    pub fn attr_be32(&mut self, kind: u16, value: u32) {
        self.attr(kind, &value.to_be_bytes());
    }

    /// A number in the machine's byte order, as links want them.
    pub fn attr_u32(&mut self, kind: u16, value: u32) {
        self.attr(kind, &value.to_ne_bytes());
    }

    /// An attribute made of attributes, written by `body`.
    pub fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        self.pad();
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&0u16.to_ne_bytes());
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        body(self);
        self.pad();
        let len = u16::try_from(self.bytes.len() - at).unwrap_or(u16::MAX);
        self.bytes[at..at + 2].copy_from_slice(&len.to_ne_bytes());
    }

    /// Sets a flag on a message begun earlier.
    pub fn add_flags(&mut self, open: usize, flags: u16) {
        let at = open + 6;
        let old = u16::from_ne_bytes([self.bytes[at], self.bytes[at + 1]]);
        self.bytes[at..at + 2].copy_from_slice(&(old | flags).to_ne_bytes());
    }

    /// Bytes written so far; also where the next message begins.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The messages, ready to be sent.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

/// An answer of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Done,
    /// Refused with this errno (positive).
    Refused(i32),
    /// Some other message.
    Other(u16),
}

/// The answers in one datagram. Broken lengths end the list.
pub fn replies(mut bytes: &[u8]) -> Vec<Reply> {
    let mut out = Vec::new();
    while bytes.len() >= HEADER {
        let len = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        if len < HEADER || len > bytes.len() {
            break;
        }
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        out.push(match (kind, bytes.get(HEADER..HEADER + 4)) {
            (NLMSG_ERROR, Some(&[a, b, c, d])) => match i32::from_ne_bytes([a, b, c, d]) {
                0 => Reply::Done,
                errno => Reply::Refused(errno.saturating_neg()),
            },
            _ => Reply::Other(kind),
        });
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or(&[]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_padding() {
        let mut b = Buffer::default();
        let m = b.message(16, ACK);
        b.attr(3, b"lo\0");
        b.nest(18, |b| b.attr_be32(1, 7));
        b.close_message(m);
        let bytes = b.into_bytes();
        assert_eq!(bytes.len(), 16 + 8 + 12);
        assert_eq!(bytes[..8], [36, 0, 0, 0, 16, 0, 5, 0]);
        assert_eq!(bytes[16..24], [7, 0, 3, 0, b'l', b'o', 0, 0]);
        assert_eq!(bytes[24..], [12, 0, 18, 0x80, 8, 0, 1, 0, 0, 0, 0, 7]);
    }

    #[test]
    fn answers_are_read_and_rubbish_ends_the_list() {
        let mut ok = vec![36, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        ok.resize(36, 0);
        let mut bad = ok.clone();
        bad[16..20].copy_from_slice(&(-17i32).to_ne_bytes());
        let both: Vec<u8> = ok.into_iter().chain(bad).chain([1, 2, 3]).collect();
        assert_eq!(replies(&both), [Reply::Done, Reply::Refused(17)]);
        assert_eq!(replies(&[9; 16]), []);
    }
}
