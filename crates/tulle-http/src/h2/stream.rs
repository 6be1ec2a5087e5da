//! Streams: their state and their windows (RFC 9113 sections 5.1 and 5.2).

use crate::HeaderList;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// How far one direction of a stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Half {
    /// The (final) head is still to come.
    #[default]
    Head,
    /// Body or trailers may come.
    Body,
    /// END_STREAM.
    Closed,
}

#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Its number; 0 for a slot that is free.
    id: u32,
    pub(super) recv: Half,
    pub(super) send: Half,
    /// Bytes that the peer may still send.
    pub(super) recv_window: i64,
    /// Bytes released and not announced yet.
    pub(super) released: u32,
    /// Bytes handed out and not released.
    pub(super) held: u32,
    /// Bytes that we may still send; below 0 after the peer shrinks its initial window.
    pub(super) send_window: i64,
    /// Bytes of body still to come by Content-Length.
    pub(super) expected: Option<u64>,
    /// Client: no body follows, whatever Content-Length says (HEAD).
    pub(super) bodiless: bool,
    /// Body to be sent.
    pub(super) queue: VecDeque<Bytes>,
    pub(super) queued: usize,
    /// END_STREAM follows the queue.
    pub(super) end_queued: bool,
    /// Trailers follow the queue, and end the stream.
    pub(super) trailers: Option<Box<HeaderList>>,
    /// In the ring of streams with something to send.
    pub(super) ready: bool,
    /// The sender was told to wait.
    pub(super) blocked: bool,
}

impl Stream {
    fn reuse(&mut self) {
        let queue = std::mem::take(&mut self.queue);
        *self = Self { queue, ..Self::default() };
        self.queue.clear();
        if self.queue.capacity() > 64 {
            self.queue = VecDeque::new();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.recv == Half::Closed && self.send == Half::Closed
    }

    /// Adds to the send window; `false` over 2^31-1.
    pub(super) fn grow_send_window(&mut self, by: i64) -> bool {
        self.send_window += by;
        self.send_window <= i64::from(super::settings::MAX_WINDOW)
    }
}

/// Open streams by number. Slots are used again, with the memory of their queues.
#[derive(Debug, Default)]
pub(super) struct Streams {
    slots: Vec<Stream>,
    free: Vec<u32>,
    index: HashMap<u32, u32, BuildHasherDefault<IdHasher>>,
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        self.index.contains_key(&id)
    }

    pub(super) fn get(&self, id: u32) -> Option<&Stream> {
        self.index.get(&id).map(|slot| &self.slots[*slot as usize])
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        self.index.get(&id).map(|slot| &mut self.slots[*slot as usize])
    }

    pub(super) fn insert(&mut self, id: u32, send_window: u32, recv_window: u32) -> &mut Stream {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Stream::default());
            self.slots.len() as u32 - 1
        });
        self.index.insert(id, slot);
        let stream = &mut self.slots[slot as usize];
        stream.id = id;
        stream.send_window = i64::from(send_window);
        stream.recv_window = i64::from(recv_window);
        stream
    }

    /// Forgets a stream; the bytes that it held.
    pub(super) fn remove(&mut self, id: u32) -> Option<u32> {
        let slot = self.index.remove(&id)?;
        let stream = &mut self.slots[slot as usize];
        let held = stream.held;
        stream.reuse();
        self.free.push(slot);
        if self.index.is_empty() && self.slots.len() > 64 {
            self.slots = Vec::new();
            self.free = Vec::new();
        }
        Some(held)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        self.index.keys().copied()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Stream)> {
        self.slots.iter_mut().filter(|stream| stream.id != 0).map(|stream| (stream.id, stream))
    }
}

/// Spreads stream numbers, which go up by two. A peer cannot choose them freely, and the number of open ones is bounded.
#[derive(Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Numbers of streams that we reset lately: what still comes for them is on its way and no error.
#[derive(Debug, Default)]
pub(super) struct Recent {
    ids: VecDeque<u32>,
}

impl Recent {
    const MOST: usize = 256;

    pub(super) fn add(&mut self, id: u32) {
        if self.ids.len() == Self::MOST {
            self.ids.pop_front();
        }
        self.ids.push_back(id);
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        self.ids.contains(&id)
    }
}
