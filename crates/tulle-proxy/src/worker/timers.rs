//! Deadlines that are often set and seldom reached: idle connections, slow headers.
//!
//! Setting one costs a store, not an entry in a timer wheel; a worker looks at all of them twice a second, and not at all
//! while there are none. Deadlines that must be kept to the millisecond (route timeouts, back-off) use the runtime's timers.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use slab::Slab;

/// How late a deadline may be noticed.
const TICK: Duration = Duration::from_millis(500);

/// The coarse deadlines of one worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    slots: RefCell<Slab<Slot>>,
    ticking: Cell<bool>,
}

#[derive(Debug)]
struct Slot {
    due: Option<Instant>,
    waker: Option<Waker>,
}

/// One deadline, off until it is set. Belongs to one task.
#[derive(Debug)]
pub(crate) struct Deadline {
    timers: Timers,
    key: usize,
}

impl Timers {
    /// A new deadline, off.
    pub(crate) fn deadline(&self) -> Deadline {
        let key = self.0.slots.borrow_mut().insert(Slot { due: None, waker: None });
        if !self.0.ticking.replace(true) {
            tokio::task::spawn_local(tick(Rc::clone(&self.0)));
        }
        Deadline { timers: self.clone(), key }
    }

    /// Wakes every task that has polled a deadline, for example because the worker is closing.
    pub(crate) fn wake_all(&self) {
        let wakers: Vec<Waker> =
            self.0.slots.borrow_mut().iter_mut().filter_map(|(_, slot)| slot.waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Deadline {
    /// Sets it `after` from now; zero turns it off, as Envoy's durations do.
    pub(crate) fn set(&self, after: Duration) {
        let due = if after.is_zero() { None } else { Instant::now().checked_add(after) };
        self.timers.0.slots.borrow_mut()[self.key].due = due;
    }

    /// Turns it off.
    pub(crate) fn clear(&self) {
        self.timers.0.slots.borrow_mut()[self.key].due = None;
    }

    /// Turns it off and drops what it knows of the task, which may be another one's from now on.
    pub(crate) fn forget(&self) {
        let mut slots = self.timers.0.slots.borrow_mut();
        let slot = &mut slots[self.key];
        slot.due = None;
        slot.waker = None;
    }

    /// Whether it has passed; otherwise the task is woken when it does, or when all tasks are.
    pub(crate) fn poll_passed(&self, cx: &Context<'_>) -> bool {
        let mut slots = self.timers.0.slots.borrow_mut();
        let slot = &mut slots[self.key];
        if slot.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            // Still asleep as far as the tick knows: it takes the waker when the time has come.
            return false;
        }
        slot.waker = Some(cx.waker().clone());
        slot.due.is_some_and(|due| due <= Instant::now())
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.timers.0.slots.borrow_mut().remove(self.key);
    }
}

async fn tick(timers: Rc<Inner>) {
    let mut due = Vec::new();
    loop {
        tokio::time::sleep(TICK).await;
        let now = Instant::now();
        let mut slots = timers.slots.borrow_mut();
        if slots.is_empty() {
            slots.shrink_to_fit();
            timers.ticking.set(false);
            return;
        }
        due.extend(
            slots
                .iter_mut()
                .filter(|(_, slot)| slot.due.is_some_and(|due| due <= now))
                .filter_map(|(_, slot)| slot.waker.take()),
        );
        drop(slots);
        due.drain(..).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Poll};

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_passed_deadline_wakes_its_task_and_a_cleared_one_does_not() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let timers = Timers::default();
                let short = timers.deadline();
                let cleared = timers.deadline();
                short.set(Duration::from_millis(10));
                cleared.set(Duration::from_millis(10));
                cleared.clear();
                poll_fn(|cx| {
                    assert!(!cleared.poll_passed(cx));
                    if short.poll_passed(cx) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            })
            .await;
    }
}
