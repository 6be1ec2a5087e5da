//! Closing connections that nobody needs any more.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    task::{Context, Waker},
    time::{Duration, Instant},
};

use super::host::Host;

/// How often idle connections are looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// The hosts of a worker that have idle connections. Asleep while there are none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sweeper(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    hosts: RefCell<Vec<(Weak<Host>, Option<Duration>)>>,
    running: Cell<bool>,
}

impl Sweeper {
    /// Looks after `host` from now on: idle connections are closed after `limit`, or when the peer closes them.
    pub(crate) fn watch(&self, host: &Rc<Host>, limit: Option<Duration>) {
        if host.swept.replace(true) {
            return;
        }
        self.0.hosts.borrow_mut().push((Rc::downgrade(host), limit));
        if !self.0.running.replace(true) {
            tokio::task::spawn_local(run(Rc::clone(&self.0)));
        }
    }
}

async fn run(inner: Rc<Inner>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        let now = Instant::now();
        // Nobody needs to be woken when one of these becomes readable: the next round sees it.
        let mut cx = Context::from_waker(Waker::noop());
        let mut hosts = inner.hosts.borrow_mut();
        hosts.retain(|(host, limit)| match host.upgrade() {
            None => false,
            Some(host) => {
                let left = host.sweep(&mut cx, now, *limit);
                host.swept.set(left > 0);
                left > 0
            }
        });
        if hosts.is_empty() {
            hosts.shrink_to_fit();
            inner.running.set(false);
            return;
        }
    }
}
