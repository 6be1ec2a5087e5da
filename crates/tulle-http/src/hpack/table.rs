//! The dynamic table (RFC 7541 sections 2.3.2 and 4).

use crate::Known;
use std::collections::VecDeque;

/// Entries, newest first by index.
#[derive(Debug)]
pub(super) struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    max_size: usize,
}

/// One field as the line `name: value CR LF`, ready to be copied into an arena.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) line: Box<[u8]>,
    pub(super) name_len: usize,
    pub(super) known: Option<Known>,
}

impl Entry {
    pub(super) fn name(&self) -> &[u8] {
        &self.line[..self.name_len]
    }

    pub(super) fn value(&self) -> &[u8] {
        &self.line[self.name_len + 2..self.line.len() - 2]
    }

    /// RFC 7541 section 4.1: 32 bytes more than name and value.
    fn size(&self) -> usize {
        self.line.len() - 4 + 32
    }
}

impl Table {
    pub(super) fn new(max_size: usize) -> Self {
        Self { entries: VecDeque::new(), size: 0, max_size }
    }

    /// The entry inserted `age` insertions ago.
    pub(super) fn get(&self, age: usize) -> Option<&Entry> {
        self.entries.get(age)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn resize(&mut self, max_size: usize) {
        self.max_size = max_size;
        self.evict_to(max_size);
    }

    /// Whether a line (`name: value CR LF`) of so many bytes fits at all.
    pub(super) fn fits(&self, line_len: usize) -> bool {
        line_len - 4 + 32 <= self.max_size
    }

    /// Inserts an entry, evicting old ones; one larger than the table empties it (RFC 7541 section 4.4).
    pub(super) fn insert(&mut self, line: &[u8], name_len: usize, known: Option<Known>) {
        if !self.fits(line.len()) {
            self.evict_to(0);
            return;
        }
        self.evict_to(self.max_size - (line.len() - 4 + 32));
        let entry = Entry { line: line.into(), name_len, known };
        self.size += entry.size();
        self.entries.push_front(entry);
    }

    fn evict_to(&mut self, size: usize) {
        while self.size > size {
            match self.entries.pop_back() {
                Some(entry) => self.size -= entry.size(),
                None => break,
            }
        }
    }
}
