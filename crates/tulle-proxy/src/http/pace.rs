//! Slowing a body down.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use tulle_engine::decide::throttle::{STEP, Throttle};

use crate::worker::alarm::Alarm;

/// Lets so many bytes go each second, a step's worth at a time.
#[derive(Debug)]
pub(crate) struct Pace {
    throttle: Throttle,
    began: Instant,
    /// Set while nothing may go.
    rest: Alarm,
}

impl Pace {
    /// So many KiB each second, from now on.
    pub(crate) fn new(kbps: u64) -> Self {
        Self {
            throttle: Throttle::new(kbps, std::time::Duration::ZERO),
            began: Instant::now(),
            rest: Alarm::default(),
        }
    }

    /// How many of `wanted` bytes go now, at least one: they count as gone. Waits until there is one.
    pub(crate) fn poll_take(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<usize> {
        loop {
            if self.rest.is_set() && self.rest.poll(cx).is_pending() {
                return Poll::Pending;
            }
            let count = self.throttle.take(wanted, self.began.elapsed());
            if count < wanted {
                // Not byte by byte as they become due.
                self.rest.set(Instant::now() + STEP);
            }
            if count > 0 {
                return Poll::Ready(count);
            }
        }
    }
}
