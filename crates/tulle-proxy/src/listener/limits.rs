//! How many connections there may be at a time, over all workers: of a listener, and of all of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tulle_base::agent::ConnectionLimits;

/// The limits of a proxy. Clones share what they count.
#[derive(Clone, Debug, Default)]
pub struct Limits(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    written: ConnectionLimits,
    all: Option<Counter>,
    /// Looked up once for each accept loop.
    listeners: Mutex<HashMap<Arc<str>, Counter>>,
}

impl Limits {
    /// The limits that are written.
    pub fn new(written: ConnectionLimits) -> Self {
        let all = written.all.map(Counter::new);
        Self(Arc::new(Inner { written, all, listeners: Mutex::default() }))
    }

    /// Those that connections of one listener have to keep.
    pub(crate) fn of(&self, listener: &Arc<str>) -> ListenerLimits {
        let own = self.0.written.of(listener).map(|most| {
            let mut all = self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(Arc::clone(listener)).or_insert_with(|| Counter::new(most)).clone()
        });
        ListenerLimits { own, all: self.0.all.clone() }
    }
}

/// The limits of one listener.
#[derive(Debug)]
pub(crate) struct ListenerLimits {
    own: Option<Counter>,
    all: Option<Counter>,
}

/// What is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The listener.
    Listener,
    /// The proxy.
    Proxy,
}

impl ListenerLimits {
    /// Places for a connection, kept until they are dropped.
    pub(crate) fn take(&self) -> Result<(Option<Place>, Option<Place>), Full> {
        let take =
            |counter: &Option<Counter>, full| counter.as_ref().map(|c| c.take().ok_or(full)).transpose();
        Ok((take(&self.own, Full::Listener)?, take(&self.all, Full::Proxy)?))
    }
}

/// Counts up to a limit.
#[derive(Clone, Debug)]
struct Counter {
    most: u64,
    open: Arc<AtomicU64>,
}

impl Counter {
    fn new(most: u64) -> Self {
        Self { most, open: Arc::default() }
    }

    fn take(&self) -> Option<Place> {
        let more = |open: u64| (open < self.most).then_some(open + 1);
        self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Place(Arc::clone(&self.open)))
    }
}

/// One connection that counts.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicU64>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_per_listener_and_over_all_of_them() {
        let by_name = [("wide".to_owned(), 9)].into();
        let limits = Limits::new(ConnectionLimits { all: Some(3), each: Some(2), by_name });
        let (a, b, wide) = (limits.of(&"a".into()), limits.of(&"b".into()), limits.of(&"wide".into()));
        // Another worker's loop of the same listener.
        let a_elsewhere = limits.of(&"a".into());
        let first = a.take().unwrap();
        let _second = a_elsewhere.take().unwrap();
        assert_eq!(a.take().unwrap_err(), Full::Listener);
        let _third = b.take().unwrap();
        assert_eq!(wide.take().unwrap_err(), Full::Proxy);
        // A refusal holds no place of its listener.
        assert_eq!(b.take().unwrap_err(), Full::Proxy);
        drop(first);
        let _fourth = b.take().unwrap();
        assert_eq!(b.take().unwrap_err(), Full::Listener);
    }

    #[test]
    fn nothing_written_limits_nothing() {
        let limits = Limits::default().of(&"a".into());
        assert!((0..1000).all(|_| limits.take().is_ok()));
    }
}
