//! Deadlines that are kept to the millisecond, cheap to set again and again.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use tokio::time::Sleep;

/// One exact deadline of a task. Its timer is made when first needed and stays for the next request: putting it off touches
/// no timer wheel, and turning it off touches nothing.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
    set: bool,
}

impl Alarm {
    /// Sets it to `at`.
    pub(crate) fn set(&mut self, at: Instant) {
        self.set = true;
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(at.into()),
            None => self.timer = Some(Box::pin(tokio::time::sleep_until(at.into()))),
        }
    }

    /// Turns it off.
    pub(crate) fn clear(&mut self) {
        self.set = false;
    }

    /// Whether it is set.
    pub(crate) fn is_set(&self) -> bool {
        self.set
    }

    /// Ready once, when the time has come; pending while it is off.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(timer) = self.timer.as_mut().filter(|_| self.set) else { return Poll::Pending };
        let polled = timer.as_mut().poll(cx);
        self.set = polled.is_pending();
        polled
    }
}
