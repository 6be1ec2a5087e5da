//! Memory that requests use one after the other.
//!
//! A connection has none while it waits: what a request needs is lent by its worker, and warm from the request before it.

use std::{cell::RefCell, time::Duration};

use tulle_http::{HeaderList, RequestHead, ResponseHead};

use super::attempt::Clocks;
use crate::worker::timers::Timers;

/// How many a worker keeps for the next requests.
const KEPT: usize = 256;
/// One that has grown beyond this is not kept: a flood of large heads leaves nothing behind.
const LARGE: usize = 16 * 1024;

/// What one request works with.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// The request under way.
    pub(crate) request: RequestHead,
    /// Its response.
    pub(crate) response: ResponseHead,
    /// The trailers of the response, where a log tells of them.
    pub(crate) trailers: HeaderList,
    /// Its clocks.
    pub(crate) clocks: Clocks,
    /// Values of header changes.
    pub(crate) text: String,
}

impl Scratch {
    fn new(timers: &Timers) -> Self {
        Self {
            request: RequestHead::default(),
            response: ResponseHead::default(),
            trailers: HeaderList::new(),
            clocks: Clocks {
                route: Default::default(),
                per_try: Default::default(),
                try_idle: Default::default(),
                try_idle_timeout: Duration::ZERO,
                life: Default::default(),
                request: Default::default(),
                idle: timers.deadline(),
                completed: None,
                route_timeout: None,
                idle_timeout: Duration::ZERO,
            },
            text: String::new(),
        }
    }

    /// Bytes of memory in what may grow.
    fn held(&self) -> usize {
        let head = &self.request;
        let texts = head.path.capacity() + head.authority.capacity() + head.protocol.capacity();
        let lists = [&head.headers, &self.response.headers, &self.trailers];
        lists.iter().map(|list| list.capacity()).sum::<usize>() + self.text.capacity() + texts
    }
}

/// Those of a worker that no request uses.
#[derive(Debug, Default)]
#[allow(clippy::vec_box, reason = "they are moved into tasks and back: a pointer moves cheaper")]
pub(crate) struct Scratches(RefCell<Vec<Box<Scratch>>>);

impl Scratches {
    /// One for a request of a task of the worker that `timers` belongs to.
    pub(crate) fn take(&self, timers: &Timers) -> Box<Scratch> {
        self.0.borrow_mut().pop().unwrap_or_else(|| Box::new(Scratch::new(timers)))
    }

    /// Takes one back. Its clocks must be stopped.
    pub(crate) fn give(&self, mut scratch: Box<Scratch>) {
        let mut kept = self.0.borrow_mut();
        if kept.len() >= KEPT || scratch.held() > LARGE {
            return;
        }
        scratch.request.clear();
        scratch.response.clear();
        scratch.trailers.clear();
        // A task that has ended must not live on in the waker that it left.
        scratch.clocks.idle.forget();
        kept.push(scratch);
    }
}
