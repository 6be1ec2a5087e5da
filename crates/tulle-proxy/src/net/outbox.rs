//! Bytes on their way out: what codecs write and the connection has not taken yet.

use std::cell::RefCell;

use bytes::BytesMut;

/// Memory up to this size is kept for the next message of any connection.
const KEEP: usize = 64 * 1024;
/// The first size.
const FIRST: usize = 4 * 1024;
/// How many empty outboxes a worker keeps for reuse.
const SHELF: usize = 256;

thread_local! {
    static EMPTY: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// A queue of bytes that codecs append to. Holds no memory while it is empty and released.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: BytesMut,
    start: usize,
}

impl Outbox {
    /// Where codecs append.
    pub(crate) fn bytes(&mut self) -> &mut BytesMut {
        if self.bytes.capacity() == 0 {
            self.bytes = EMPTY.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(FIRST));
        }
        &mut self.bytes
    }

    /// What waits to be written.
    pub(crate) fn data(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == self.start
    }

    /// Drops `count` written bytes from the front.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.bytes.len());
        if self.start >= self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
        }
    }

    /// Gives the memory back if nothing waits.
    pub(crate) fn release_if_empty(&mut self) {
        if self.is_empty() && self.bytes.capacity() > 0 {
            shelve(std::mem::take(&mut self.bytes));
            self.start = 0;
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if self.bytes.capacity() > 0 {
            shelve(std::mem::take(&mut self.bytes));
        }
    }
}

fn shelve(mut bytes: BytesMut) {
    if bytes.capacity() > KEEP {
        return;
    }
    bytes.clear();
    // At the end of the thread the shelf may be gone already; the memory is then simply freed.
    let _ = EMPTY.try_with(|empty| {
        let mut empty = empty.borrow_mut();
        if empty.len() < SHELF {
            empty.push(bytes);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_bytes_go_and_an_empty_outbox_holds_nothing() {
        let mut outbox = Outbox::default();
        outbox.bytes().extend_from_slice(b"hello");
        outbox.consume(2);
        assert_eq!(outbox.data(), b"llo");
        outbox.consume(3);
        outbox.release_if_empty();
        assert_eq!((outbox.len(), outbox.bytes.capacity()), (0, 0));
    }
}
