//! Byte buffers that exist only while they hold something.
//!
//! A connection that waits holds no memory: its buffers go back to a worker-local shelf when they run empty. Reads begin with
//! 4 KiB and grow to 16 KiB, then 256 KiB, while they keep filling the buffer (performance.md section 5, point 6).

use std::cell::RefCell;

/// The first size of a buffer: a request head, a small body.
pub(crate) const SMALL: usize = 4 * 1024;
/// The second: one TLS record, most bodies.
pub(crate) const MEDIUM: usize = 16 * 1024;
/// The last: bulk transfer.
pub(crate) const LARGE: usize = 256 * 1024;

/// How many empty buffers of each size a worker keeps for reuse.
const SHELF: [usize; 3] = [256, 64, 8];

thread_local! {
    static SHELVES: RefCell<[Vec<Vec<u8>>; 3]> = const { RefCell::new([Vec::new(), Vec::new(), Vec::new()]) };
}

/// A queue of bytes: written at the end, read from the front, empty without memory.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// Initialised memory; `len()` is the room, not the content.
    memory: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// An empty buffer without memory.
    pub(crate) const fn new() -> Self {
        Self { memory: Vec::new(), start: 0, end: 0 }
    }

    /// The bytes that wait to be read.
    pub(crate) fn data(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether no byte waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Drops `count` bytes from the front; more than there are drops all.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Room for at least one more byte, to be filled from the front and confirmed by [`Buffer::filled`]. Grows by one size
    /// when the content takes up the present one.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.end == self.memory.len() {
            if self.start > 0 && self.len() <= self.memory.len() / 2 {
                self.compact();
            } else {
                self.grow(self.len() + 1);
            }
        }
        &mut self.memory[self.end..]
    }

    /// Confirms that the first `count` bytes of [`Buffer::room`] hold data.
    pub(crate) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.memory.len());
    }

    /// Makes the buffer at least `size` bytes large, for example because reads keep filling it.
    pub(crate) fn enlarge(&mut self, size: usize) {
        if self.memory.len() < size {
            self.grow(size);
        }
    }

    /// How large the memory is at present.
    pub(crate) fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Gives the memory back if nothing waits in it.
    pub(crate) fn release_if_empty(&mut self) {
        if self.is_empty() && !self.memory.is_empty() {
            shelve(std::mem::take(&mut self.memory));
            self.start = 0;
            self.end = 0;
        }
    }

    fn compact(&mut self) {
        self.memory.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }

    fn grow(&mut self, needed: usize) {
        let mut larger = take(needed);
        let len = self.len();
        larger[..len].copy_from_slice(self.data());
        shelve(std::mem::replace(&mut self.memory, larger));
        self.start = 0;
        self.end = len;
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if !self.memory.is_empty() {
            shelve(std::mem::take(&mut self.memory));
        }
    }
}

/// Memory of at least `needed` bytes, all initialised.
fn take(needed: usize) -> Vec<u8> {
    let (class, size) = match needed {
        _ if needed <= SMALL => (0, SMALL),
        _ if needed <= MEDIUM => (1, MEDIUM),
        _ if needed <= LARGE => (2, LARGE),
        _ => return vec![0; needed.next_multiple_of(LARGE)],
    };
    SHELVES.with_borrow_mut(|shelves| shelves[class].pop()).unwrap_or_else(|| vec![0; size])
}

fn shelve(memory: Vec<u8>) {
    let class = match memory.len() {
        SMALL => 0,
        MEDIUM => 1,
        LARGE => 2,
        _ => return,
    };
    // At the end of the thread the shelves may be gone already; the memory is then simply freed.
    let _ = SHELVES.try_with(|shelves| {
        let mut shelves = shelves.borrow_mut();
        if shelves[class].len() < SHELF[class] {
            shelves[class].push(memory);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_was_pushed_over_growth_and_compaction() {
        let mut buffer = Buffer::new();
        let mut expected = Vec::new();
        for round in 0..300u32 {
            let chunk = vec![(round % 251) as u8; 97];
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let room = buffer.room();
                let count = room.len().min(rest.len());
                room[..count].copy_from_slice(&rest[..count]);
                buffer.filled(count);
                rest = &rest[count..];
            }
            expected.extend_from_slice(&chunk);
            if round % 3 == 0 {
                buffer.consume(50);
                expected.drain(..50);
            }
        }
        assert_eq!(buffer.data(), expected);
    }

    #[test]
    fn reading_grows_by_sizes_and_an_empty_buffer_holds_nothing() {
        let mut buffer = Buffer::new();
        assert_eq!(buffer.capacity(), 0);
        for size in [SMALL, MEDIUM, LARGE] {
            let room = buffer.room().len();
            buffer.filled(room);
            assert_eq!(buffer.capacity(), size);
        }
        buffer.consume(usize::MAX / 2);
        buffer.release_if_empty();
        assert_eq!(buffer.capacity(), 0);
    }
}
