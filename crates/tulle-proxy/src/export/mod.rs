//! What leaves for collectors, of spans and of access logs: a bounded buffer for each, sent off by a task of the worker.
//!
//! No request waits for a collector. One that is down, slow or refuses costs items, which are counted: what comes while a report is
//! under way waits, up to the buffer's limit.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    time::Duration,
};

use tokio::sync::Notify;
use tulle_engine::runtime::tracing::HttpTarget;
use tulle_http::{Known, Method, RequestHead};

use crate::{
    http::call::{self, Keep},
    worker::Worker,
};

/// The most that a collector may answer.
const MAX_ANSWER: usize = 64 * 1024;
/// How long is waited for collectors when the worker ends.
const LAST: Duration = Duration::from_secs(1);

/// Somebody who takes reports.
pub(crate) trait Collector: 'static {
    /// What reports are made of.
    type Item: std::fmt::Debug + 'static;

    /// How much of it an item is, of what [`Limits`] measure.
    fn weight(&self, item: &Self::Item) -> usize;

    /// Sends a report.
    fn send(&self, worker: &Rc<Worker>, items: Vec<Self::Item>) -> impl Future<Output = Outcome>;

    /// Counts what became of items.
    fn count(&self, what: Counted);
}

/// What became of a report: how many of its items the collector refused, or why it did not take it.
pub(crate) type Outcome = Result<u64, String>;

/// What became of items.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Counted {
    /// There was no room for them.
    Full(u64),
    /// A report was taken.
    Sent {
        /// Items that the collector took.
        taken: u64,
        /// Items that it refused.
        refused: u64,
    },
    /// A report was not taken.
    Failed(u64),
}

/// How much waits, and for how long. All but `delay` are weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// What may wait at most; more is lost.
    pub(crate) most: usize,
    /// So much does not wait.
    pub(crate) batch: usize,
    /// Where a report ends, though more waits.
    pub(crate) report: usize,
    /// How long items wait for others.
    pub(crate) delay: Duration,
}

/// What waits for a collector.
#[derive(Debug)]
pub(crate) struct Outbox<C: Collector> {
    pub(crate) collector: C,
    limits: Limits,
    waiting: RefCell<VecDeque<C::Item>>,
    weight: Cell<usize>,
    sending: Cell<bool>,
    full: Notify,
}

/// The outboxes of a worker, of one kind.
#[derive(Debug)]
pub(crate) struct Outboxes<C: Collector>(RefCell<Vec<Rc<Outbox<C>>>>);

impl<C: Collector> Default for Outboxes<C> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<C: Collector> Outboxes<C> {
    /// The outbox for which `is` holds, shared by all who ask for the same; else a new one.
    pub(crate) fn get(&self, is: impl Fn(&C) -> bool, new: impl FnOnce() -> (C, Limits)) -> Rc<Outbox<C>> {
        let mut all = self.0.borrow_mut();
        // What nobody uses any more goes, once it has nothing left to send.
        all.retain(|o| Rc::strong_count(o) > 1 || !o.is_empty());
        if let Some(known) = all.iter().find(|o| is(&o.collector)) {
            return Rc::clone(known);
        }
        let (collector, limits) = new();
        let outbox = Rc::new(Outbox {
            collector,
            limits,
            waiting: RefCell::default(),
            weight: Cell::new(0),
            sending: Cell::new(false),
            full: Notify::new(),
        });
        all.push(Rc::clone(&outbox));
        outbox
    }

    /// Sends what waits, when the worker ends.
    pub(crate) async fn flush(&self, worker: &Rc<Worker>) {
        let all: Vec<_> = self.0.borrow().clone();
        let work = async {
            for outbox in all {
                while !outbox.is_empty() {
                    outbox.report(worker).await;
                }
            }
        };
        let _ = tokio::time::timeout(LAST, work).await;
    }
}

impl<C: Collector> Outbox<C> {
    fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    /// Takes items, as far as there is room.
    pub(crate) fn take(self: &Rc<Self>, worker: &Rc<Worker>, items: impl IntoIterator<Item = C::Item>) {
        let mut lost = 0;
        for item in items {
            let weight = self.weight.get() + self.collector.weight(&item);
            if weight > self.limits.most {
                lost += 1;
                continue;
            }
            self.weight.set(weight);
            self.waiting.borrow_mut().push_back(item);
        }
        if lost > 0 {
            self.collector.count(Counted::Full(lost));
        }
        if self.weight.get() >= self.limits.batch {
            self.full.notify_one();
        }
        if !self.is_empty() && !self.sending.replace(true) {
            let (outbox, worker) = (Rc::clone(self), Rc::clone(worker));
            tokio::task::spawn_local(async move { outbox.run(&worker).await });
        }
    }

    /// Sends until nothing waits.
    async fn run(&self, worker: &Rc<Worker>) {
        while !self.is_empty() {
            let delay = tokio::time::sleep(self.limits.delay);
            tokio::pin!(delay);
            while self.weight.get() < self.limits.batch {
                tokio::select! {
                    () = &mut delay => break,
                    // Perhaps of a batch before.
                    () = self.full.notified() => {}
                }
            }
            self.report(worker).await;
        }
        self.sending.set(false);
    }

    /// Sends one report.
    async fn report(&self, worker: &Rc<Worker>) {
        let (mut items, mut weight) = (Vec::new(), 0);
        while weight < self.limits.report
            && let Some(item) = self.waiting.borrow_mut().pop_front()
        {
            weight += self.collector.weight(&item);
            items.push(item);
        }
        self.weight.set(self.weight.get().saturating_sub(weight));
        let count = items.len() as u64;
        if count == 0 {
            return;
        }
        match self.collector.send(worker, items).await {
            Ok(refused) => {
                let refused = refused.min(count);
                self.collector.count(Counted::Sent { taken: count - refused, refused });
            }
            Err(error) => {
                self.collector.count(Counted::Failed(count));
                tracing::debug!(error, items = count, "a report to a collector is lost");
            }
        }
    }
}

/// Sends a body; the answer's, if it is a success.
pub(crate) async fn post(
    worker: &Rc<Worker>,
    to: &HttpTarget,
    content_type: &str,
    body: &[u8],
) -> Result<Vec<u8>, String> {
    let mut head = RequestHead {
        method: Method::Post,
        path: to.path.to_string(),
        authority: to.authority.to_string(),
        ..RequestHead::default()
    };
    head.headers.append(Known::ContentType, content_type.as_bytes());
    head.headers.append(Known::ContentLength, body.len().to_string().as_bytes());
    for (name, value) in &to.headers {
        head.headers.append(name, value.as_bytes());
    }
    let work = call::by_name(worker, &to.cluster, &head, body, Keep::UpTo(MAX_ANSWER));
    match call::within(Some(to.timeout), work).await {
        None => Err("no answer in time".to_owned()),
        Some(Err(fault)) => Err(fault.to_string()),
        Some(Ok(called)) if (200..300).contains(&called.head.status) => Ok(called.body),
        Some(Ok(called)) => Err(format!("status {}", called.head.status)),
    }
}
