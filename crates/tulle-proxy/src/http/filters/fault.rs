//! `envoy.filters.http.fault`.

use std::{
    future::poll_fn,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use tulle_engine::{
    decide::{
        fault,
        route::{Found, pick_cluster},
    },
    runtime::{fault::Fault, route::Action},
};
use tulle_telemetry::{ResponseFlag, details as d, metrics::proxy::HttpStats};

use crate::http::{
    attempt::{ClientFault, Late},
    exchange::Exchange,
    forward,
    pace::Pace,
    reply::Reply,
};

/// A request under a fault, from when it meets it until it is over.
#[derive(Debug)]
pub(super) struct Active {
    count: Arc<AtomicU32>,
    stats: Rc<HttpStats>,
}

impl Active {
    fn begin(x: &Exchange<'_>) -> Self {
        let active =
            Self { count: Arc::clone(&x.conn.worker.settings.faults), stats: Rc::clone(&x.manager.stats) };
        active.count.fetch_add(1, Ordering::Relaxed);
        active.stats.fault_active_faults.inc();
        active
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.stats.fault_active_faults.dec();
    }
}

/// Draws the faults of the request and lets it have them.
pub(super) async fn inject(
    x: &mut Exchange<'_>,
    found: Option<&Found<'_>>,
    fault: &Arc<Fault>,
) -> Option<Reply> {
    let cluster = match found.map(|f| &f.route.action) {
        Some(Action::Forward(to)) => pick_cluster(&to.cluster, &x.s.request, x.record.random, None).name,
        _ => "",
    };
    let active = x.conn.worker.settings.faults.load(Ordering::Relaxed);
    if fault.max_active.is_some_and(|max| active >= max) {
        x.manager.stats.fault_faults_overflow.inc();
    }
    let faults = fault::decide(fault, &x.s.request, cluster, active, &mut || fastrand::u64(..));
    if faults.is_empty() {
        return None;
    }
    if x.left.fault.is_none() {
        x.left.fault = Some(Box::new(Active::begin(x)));
    }
    let stats = &x.manager.stats;
    if let Some(kbps) = faults.response_kbps {
        stats.fault_response_rl_injected.inc();
        x.record.noted("fault", || vec![("response_kbps", kbps.to_string())]);
        x.back.work.get_or_insert_default().pace = Some(Pace::new(kbps));
    }
    if let Some(delay) = faults.delay {
        stats.fault_delays_injected.inc();
        x.record.noted("fault", || vec![("delay_ms", delay.as_millis().to_string())]);
        x.record.flags.insert(ResponseFlag::DelayInjected);
        let gone = wait(x, delay).await;
        if gone.is_some() {
            return gone;
        }
    }
    let abort = faults.abort?;
    x.manager.stats.fault_aborts_injected.inc();
    x.record.trouble("fault", || vec![("abort", abort.http_status.to_string())]);
    let mut reply = Reply::new(abort.http_status, abort.body.to_owned(), d::FAULT_FILTER_ABORT)
        .flag(ResponseFlag::FaultInjected);
    reply.grpc = abort.grpc_status;
    Some(reply)
}

/// Waits, unless the client goes away meanwhile or the stream has been idle for too long.
async fn wait(x: &mut Exchange<'_>, delay: Duration) -> Option<Reply> {
    x.s.clocks.per_try.set(Instant::now() + delay);
    let (down, clocks, complete) = (&mut *x.down, &mut x.s.clocks, x.flow.done);
    let end = poll_fn(|cx| {
        if complete && down.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(ClientFault::Gone));
        }
        clocks.poll(cx).map(Ok)
    })
    .await;
    match end {
        Ok(Late::Try) => {
            x.s.clocks.moved();
            None
        }
        Ok(_) => Some(forward::idle(x)),
        Err(_) => {
            forward::client_gone(x);
            Some(Reply::new(0, "", d::DOWNSTREAM_REMOTE_DISCONNECT))
        }
    }
}
