//! How far each proxy is: up to which change of the store it has answered everything.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tulle_xds::server::{CoreEvent, StreamId};

/// Shared between the task that knows the mesh and whoever asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Everything up to this epoch was taken in by the server.
    marked: u64,
    /// As the server tells it.
    streams: HashMap<StreamId, u64>,
    /// Epochs, and the version of the store that was known in each; the oldest is one that everybody has reached.
    versions: VecDeque<(u64, u64)>,
}

impl Standing {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Epoch `epoch` begins, in which the store is known up to `version`.
    pub(crate) fn begin(&self, epoch: u64, version: u64) {
        let mut state = self.state();
        state.versions.push_back((epoch, version));
        let lowest = state.streams.keys().map(|s| state.low(*s)).min().unwrap_or(state.marked);
        while state.versions.get(1).is_some_and(|(next, _)| *next <= lowest) {
            state.versions.pop_front();
        }
    }

    /// A stream is there.
    pub(crate) fn opened(&self, stream: StreamId) {
        self.state().streams.insert(stream, 0);
    }

    /// A stream is gone.
    pub(crate) fn closed(&self, stream: StreamId) {
        self.state().streams.remove(&stream);
    }

    /// The server took in everything up to `epoch`; returns the epoch that this was before.
    pub(crate) fn marked(&self, epoch: u64) -> u64 {
        std::mem::replace(&mut self.state().marked, epoch)
    }

    /// A stream got on, or fell behind; returns how far it was and how far it is.
    pub(crate) fn reached(&self, stream: StreamId, epoch: u64) -> (u64, u64) {
        let mut state = self.state();
        let before = state.low(stream);
        if let Some(known) = state.streams.get_mut(&stream) {
            *known = epoch;
        }
        (before, state.low(stream))
    }

    /// Up to which epoch a stream has answered everything.
    pub(crate) fn low(&self, stream: StreamId) -> u64 {
        self.state().low(stream)
    }

    /// Whether a stream has answered everything there is.
    pub(crate) fn is_settled(&self, stream: StreamId) -> bool {
        self.state().streams.get(&stream) == Some(&CoreEvent::SETTLED)
    }

    /// The version of the store that is known.
    pub(crate) fn newest(&self) -> u64 {
        self.state().versions.back().map_or(0, |(_, version)| *version)
    }

    /// Up to which version of the store a stream has answered everything.
    pub(crate) fn version(&self, stream: StreamId) -> u64 {
        let state = self.state();
        let low = state.low(stream);
        let reached = state.versions.iter().rev().find(|(epoch, _)| *epoch <= low);
        reached.map_or(0, |(_, version)| *version)
    }
}

impl State {
    fn low(&self, stream: StreamId) -> u64 {
        match self.streams.get(&stream) {
            None => 0,
            Some(epoch) => (*epoch).min(self.marked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_reached_when_the_server_took_it_in_and_the_stream_answered() {
        let standing = Standing::default();
        let stream = StreamId(1);
        standing.opened(stream);
        standing.begin(1, 10);
        standing.begin(2, 20);
        assert_eq!(standing.version(stream), 0);
        standing.reached(stream, CoreEvent::SETTLED);
        assert_eq!(standing.version(stream), 0, "the server has not taken it in");
        standing.marked(1);
        assert_eq!(standing.version(stream), 10);
        standing.marked(2);
        assert_eq!(standing.version(stream), 20);
        standing.begin(3, 30);
        standing.begin(4, 40);
        standing.reached(stream, 2);
        standing.marked(4);
        assert_eq!(standing.version(stream), 20);
        standing.reached(stream, 3);
        assert_eq!(standing.version(stream), 30);
        standing.reached(stream, CoreEvent::SETTLED);
        assert_eq!((standing.version(stream), standing.is_settled(stream)), (40, true));
    }
}
