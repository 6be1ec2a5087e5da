//! How many requests are under way at each endpoint: one number for all workers, as what is busy for one is busy for all.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::runtime::endpoint::EndpointSet;
use crate::runtime::net::Address;

/// The requests under way at one endpoint. A worker keeps its own handle: only the number itself is touched by others.
#[derive(Clone, Debug, Default)]
pub(super) struct Count(Arc<AtomicU32>);

impl Count {
    pub(super) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts a request that begins; it ends when the guard is dropped.
    pub(super) fn begin(self: &Rc<Self>) -> ActiveRequest {
        self.0.fetch_add(1, Ordering::Relaxed);
        ActiveRequest(Rc::clone(self))
    }
}

/// A request under way at an endpoint.
#[derive(Debug)]
pub struct ActiveRequest(Rc<Count>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The requests under way at each endpoint of a cluster, by address. Touched by the path of a request once as it begins and once
/// as it ends.
#[derive(Debug, Default)]
pub struct Load {
    by_address: HashMap<Address, Count>,
}

impl Load {
    /// For the endpoints of `set`; those that were there before keep their numbers.
    pub fn new(set: &EndpointSet, old: Option<&Load>) -> Self {
        let known = |address| old.and_then(|old| old.of(address)).unwrap_or_default();
        let counts = set.endpoints.iter().map(|e| (e.address.clone(), known(&e.address)));
        Self { by_address: counts.collect() }
    }

    pub(super) fn of(&self, address: &Address) -> Option<Count> {
        self.by_address.get(address).cloned()
    }
}
