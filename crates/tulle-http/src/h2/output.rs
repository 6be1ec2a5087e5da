//! Bytes to write: frames in one buffer, large bodies as views between them.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::IoSlice;

/// What waits to be written to the socket. Write from it through [`Buf`]: `chunks_vectored` for one vectored write, then
/// `advance` by what was written.
#[derive(Debug, Default)]
pub struct Output {
    buf: Vec<u8>,
    /// How much of `buf` is written.
    at: usize,
    /// Views, each to be written when `at` has come to its place in `buf`.
    views: VecDeque<(usize, Bytes)>,
    view_bytes: usize,
    /// Bytes written since the connection began.
    written: u64,
}

/// Written bytes kept in front of unwritten ones before they are moved away.
const SLACK: usize = 64 * 1024;

impl Output {
    /// Nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at == self.buf.len() && self.views.is_empty()
    }

    /// Bytes that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buf.len() - self.at + self.view_bytes
    }

    /// Bytes written since the connection began.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Gives back memory while nothing waits, if it is more than `keep` bytes.
    pub(super) fn shrink(&mut self, keep: usize) {
        if self.is_empty() && self.buf.capacity() + self.views.capacity() * size_of::<(usize, Bytes)>() > keep
        {
            self.buf = Vec::new();
            self.at = 0;
            self.views = VecDeque::new();
        }
    }

    /// The buffer, to append frames.
    pub(super) fn buf(&mut self) -> &mut Vec<u8> {
        &mut self.buf
    }

    /// Appends a view.
    pub(super) fn push_view(&mut self, view: Bytes) {
        self.view_bytes += view.len();
        self.views.push_back((self.buf.len(), view));
    }

    /// The end of what can be written from `buf` before a view.
    fn run_end(&self) -> usize {
        self.views.front().map_or(self.buf.len(), |(place, _)| *place)
    }

    fn tidy(&mut self) {
        if self.is_empty() {
            self.buf.clear();
            self.at = 0;
        } else if self.at >= SLACK {
            self.buf.drain(..self.at);
            for (place, _) in &mut self.views {
                *place -= self.at;
            }
            self.at = 0;
        }
    }
}

impl Buf for Output {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        let end = self.run_end();
        match self.views.front() {
            Some((_, view)) if self.at == end => view,
            _ => &self.buf[self.at..end],
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let (mut at, mut filled) = (self.at, 0);
        let mut put = |bytes: &'a [u8]| {
            if bytes.is_empty() {
                return true;
            }
            match slices.get_mut(filled) {
                Some(slice) => {
                    *slice = IoSlice::new(bytes);
                    filled += 1;
                    true
                }
                None => false,
            }
        };
        for (place, view) in &self.views {
            if !(put(&self.buf[at..*place]) && put(view)) {
                return filled;
            }
            at = *place;
        }
        put(&self.buf[at..]);
        filled
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len(), "advanced beyond what waits");
        self.written += count as u64;
        while count > 0 {
            let end = self.run_end();
            if self.at < end {
                let step = count.min(end - self.at);
                self.at += step;
                count -= step;
            } else if let Some((_, view)) = self.views.front_mut() {
                let step = count.min(view.len());
                view.advance(step);
                self.view_bytes -= step;
                count -= step;
                if view.is_empty() {
                    self.views.pop_front();
                }
            }
        }
        self.tidy();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Output {
        let mut output = Output::default();
        output.buf().extend_from_slice(b"ab");
        output.push_view(Bytes::from_static(b"CDE"));
        output.push_view(Bytes::from_static(b"F"));
        output.buf().extend_from_slice(b"gh");
        output.push_view(Bytes::from_static(b"I"));
        output
    }

    #[test]
    fn order_is_kept_whatever_the_writes_take() {
        for step in 1..=9 {
            let mut output = filled();
            let mut written = Vec::new();
            while !output.is_empty() {
                let mut slices = [IoSlice::new(&[]); 8];
                let count = output.chunks_vectored(&mut slices);
                let all: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
                assert_eq!(all.len(), output.len());
                assert!(all.starts_with(output.chunk()));
                let take = step.min(all.len());
                written.extend_from_slice(&all[..take]);
                output.advance(take);
            }
            assert_eq!(written, b"abCDEFghI");
            assert_eq!(output.buf.len(), 0);
        }
    }

    #[test]
    fn few_slices_are_a_prefix() {
        let output = filled();
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(output.chunks_vectored(&mut slices), 2);
        assert_eq!((&*slices[0], &*slices[1]), (&b"ab"[..], &b"CDE"[..]));
    }
}
