//! Pings that tell a connection whose peer is gone from one that is silent (Envoy: `connection_keepalive`).

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tulle_engine::runtime::http_manager::Http2Keepalive;

use super::H2;
use crate::worker::timers::{Deadline, Timers};

/// The pings of one connection, asked by its driver.
#[derive(Debug)]
pub(crate) struct Pings {
    settings: Http2Keepalive,
    deadline: Deadline,
    /// How many answers there had been when the last ping was sent that has none.
    asked: Option<u64>,
}

impl Pings {
    /// Pings as configured; `None` where nothing is.
    pub(crate) fn new(timers: &Timers, h2: &H2, settings: Option<Http2Keepalive>) -> Option<Self> {
        let settings = settings?;
        h2.ask_after_silence.set(settings.idle_interval);
        let pings = Self { settings, deadline: timers.deadline(), asked: None };
        pings.rest();
        Some(pings)
    }

    /// Sends a ping when it is time. Ready when the peer has not answered one in time.
    pub(crate) fn poll(&mut self, cx: &Context<'_>, h2: &H2) -> Poll<()> {
        if self.asked.is_some_and(|before| h2.pongs() != before) {
            self.asked = None;
            self.rest();
        }
        let now = h2.ask_now.take() && self.asked.is_none();
        if !self.deadline.poll_passed(cx) && !now {
            return Poll::Pending;
        }
        if self.asked.is_some() {
            return Poll::Ready(());
        }
        self.asked = Some(h2.pongs());
        self.deadline.set(self.settings.timeout);
        h2.ping();
        // The driver's own turn is over: it comes back to write.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Waits for the next time, a little longer than asked so that connections do not keep step.
    fn rest(&self) {
        let interval = self.settings.interval.unwrap_or_default();
        let part = f64::from(self.settings.jitter.per_million()) / 1e6 * fastrand::f64();
        self.deadline
            .set(interval + Duration::try_from_secs_f64(interval.as_secs_f64() * part).unwrap_or_default());
    }
}
