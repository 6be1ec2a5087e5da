//! Whether a failed try is followed by another.

use std::{
    future::poll_fn,
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

use tulle_engine::decide::{
    breaker::Resource,
    retry::{Failure, RetryState, RetryVerdict},
};
use tulle_telemetry::{ResponseFlag, details as d};

use super::{
    Plan, Tries,
    ends::{client_gone, idle, too_slow},
    replayable,
};
use crate::{
    cluster::local::Hold,
    http::{
        attempt::{Late, Replay},
        exchange::Exchange,
        reply::Reply,
    },
};

/// Whether a failed try is followed by another, after its wait.
pub(super) async fn after_failure(
    x: &mut Exchange<'_>,
    plan: &Plan<'_>,
    retry: &mut Option<RetryState<'_>>,
    replay: &Replay,
    failure: Failure,
    tries: &mut Tries,
) -> Result<bool, Reply> {
    tries.retrying = None;
    let Some(state) = retry.as_mut().filter(|_| replayable(x, replay)) else { return Ok(false) };
    let verdict = state.on_failure(failure, fastrand::f64());
    obey(x, plan, verdict, tries).await
}

/// Whether a response is thrown away for another try, after its wait.
pub(super) async fn after_response(
    x: &mut Exchange<'_>,
    plan: &Plan<'_>,
    retry: &mut Option<RetryState<'_>>,
    replay: &Replay,
    tries: &mut Tries,
) -> Result<bool, Reply> {
    let retried = tries.retrying.take().is_some();
    let Some(state) = retry.as_mut().filter(|_| replayable(x, replay)) else { return Ok(false) };
    if !state.wants(&x.s.response) {
        if retried {
            plan.cluster.stats.upstream_rq_retry_success.inc();
        }
        return Ok(false);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let verdict = state.on_response(&x.s.response, now, fastrand::f64());
    obey(x, plan, verdict, tries).await
}

async fn obey(
    x: &mut Exchange<'_>,
    plan: &Plan<'_>,
    verdict: RetryVerdict,
    tries: &mut Tries,
) -> Result<bool, Reply> {
    let stats = &plan.cluster.stats;
    match verdict {
        RetryVerdict::No => Ok(false),
        RetryVerdict::LimitReached => {
            stats.upstream_rq_retry_limit_exceeded.inc();
            x.record.flags.insert(ResponseFlag::UpstreamRetryLimitExceeded);
            Ok(false)
        }
        RetryVerdict::After(wait) => {
            // It is under way from its wait until what comes of it is known.
            tries.retrying = Hold::acquire(&plan.cluster, plan.priority, Resource::Retry);
            if tries.retrying.is_none() {
                stats.upstream_rq_retry_overflow.inc();
                x.record.flags.insert(ResponseFlag::UpstreamOverflow);
                return Ok(false);
            }
            stats.upstream_rq_retry.inc();
            stats.upstream_rq_retry_backoff_exponential.inc();
            pause(x, wait).await.map(|()| true)
        }
    }
}

/// Waits before the next try, unless the client goes away or time runs out.
async fn pause(x: &mut Exchange<'_>, wait: Duration) -> Result<(), Reply> {
    x.s.clocks.per_try.set(Instant::now() + wait);
    let (down, clocks, complete) = (&mut *x.down, &mut x.s.clocks, x.flow.done);
    let end = poll_fn(|cx| {
        if complete && down.poll_gone(cx).is_ready() {
            return Poll::Ready(None);
        }
        clocks.poll(cx).map(Some)
    })
    .await;
    match end {
        Some(Late::Try) => Ok(()),
        Some(Late::Route) => Err(Reply::new(504, "upstream request timeout", d::RESPONSE_TIMEOUT)
            .flag(ResponseFlag::UpstreamRequestTimeout)),
        Some(Late::Duration) => Err(Reply::life_over()),
        Some(Late::Idle) => Err(idle(x)),
        Some(Late::Request) => Err(too_slow(x)),
        None => {
            client_gone(x);
            Err(Reply::new(0, "", d::DOWNSTREAM_REMOTE_DISCONNECT))
        }
    }
}
