//! A value that is replaced as a whole while others read it.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

/// A cell with the newest value of something, empty until the first one is there. Clones are the same cell.
///
/// Reading takes no lock and never waits for a writer.
pub struct Watched<T>(Arc<Inner<T>>);

struct Inner<T> {
    value: ArcSwapOption<T>,
    version: watch::Sender<u64>,
}

impl<T> Watched<T> {
    /// An empty cell.
    pub fn empty() -> Self {
        Self(Arc::new(Inner { value: ArcSwapOption::empty(), version: watch::Sender::new(0) }))
    }

    /// A cell that has its value already.
    pub fn of(value: T) -> Self {
        let cell = Self::empty();
        cell.set(Arc::new(value));
        cell
    }

    /// The newest value, if there is one.
    pub fn get(&self) -> Option<Arc<T>> {
        self.0.value.load_full()
    }

    /// Replaces the value and wakes everyone who waits for a change.
    pub fn set(&self, value: Arc<T>) {
        self.0.value.store(Some(value));
        self.0.version.send_modify(|v| *v += 1);
    }

    /// Takes the value away: what depends on it fails closed from now on.
    pub fn clear(&self) {
        self.0.value.store(None);
        self.0.version.send_modify(|v| *v += 1);
    }

    /// How often the value was replaced; 0 while there never was one.
    pub fn version(&self) -> u64 {
        *self.0.version.borrow()
    }

    /// Waits until the version is above `seen` and returns it.
    pub async fn changed_since(&self, seen: u64) -> u64 {
        let mut receiver = self.0.version.subscribe();
        // The sender lives in `self`, so waiting cannot fail while this runs.
        receiver.wait_for(|v| *v > seen).await.map_or(seen, |v| *v)
    }

    /// Whether both are the same cell.
    pub fn same_cell(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Watched<T> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("version", &self.version()).finish_non_exhaustive()
    }
}
