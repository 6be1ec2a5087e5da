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
    obey(x, plan, verdict, tries, || match failure {
        Failure::Connect => "connect-failure".to_owned(),
        Failure::Refused => "refused-stream".to_owned(),
        Failure::Reset { request_sent: _ } => "reset".to_owned(),
        Failure::PerTryTimeout | Failure::PerTryIdleTimeout => "per-try-timeout".to_owned(),
        Failure::Overflow => "overflow".to_owned(),
    })
    .await
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
    let status = x.s.response.status;
    obey(x, plan, verdict, tries, || status.to_string()).await
}

async fn obey(
    x: &mut Exchange<'_>,
    plan: &Plan<'_>,
    verdict: RetryVerdict,
    tries: &mut Tries,
    why: impl FnOnce() -> String,
) -> Result<bool, Reply> {
    let stats = &plan.cluster.stats;
    match verdict {
        RetryVerdict::No => Ok(false),
        RetryVerdict::LimitReached => {
            stats.upstream_rq_retry_limit_exceeded.inc();
            x.record.flags.insert(ResponseFlag::UpstreamRetryLimitExceeded);
            let attempts = x.record.attempts;
            x.record.trouble("retry_limit_exceeded", || vec![("attempts", attempts.to_string())]);
            Ok(false)
        }
        RetryVerdict::After(wait) => {
            // It is under way from its wait until what comes of it is known.
            tries.retrying = Hold::acquire(&plan.cluster, plan.priority, Resource::Retry);
            if tries.retrying.is_none() {
                stats.upstream_rq_retry_overflow.inc();
                x.record.flags.insert(ResponseFlag::UpstreamOverflow);
                x.record.trouble("circuit_open", || overflow(plan, "retries"));
                return Ok(false);
            }
            stats.upstream_rq_retry.inc();
            let (attempt, host) = (x.record.attempts + 1, x.record.host.clone());
            x.record.trouble("retry", || {
                let mut all = vec![
                    ("attempt", attempt.to_string()),
                    ("reason", why()),
                    ("back_off_ms", wait.as_millis().to_string()),
                ];
                all.extend(host.map(|host| ("endpoint", host.address.to_string())));
                all
            });
            stats.upstream_rq_retry_backoff_exponential.inc();
            pause(x, plan, wait).await.map(|()| true)
        }
    }
}

/// Which breaker is open.
pub(super) fn overflow(plan: &Plan<'_>, breaker: &str) -> Vec<(&'static str, String)> {
    vec![("cluster", plan.cluster.config.name.to_string()), ("breaker", breaker.to_owned())]
}

/// Waits before the next try, unless the client goes away or time runs out.
async fn pause(x: &mut Exchange<'_>, plan: &Plan<'_>, wait: Duration) -> Result<(), Reply> {
    x.s.clocks.try_idle.clear();
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
        Some(Late::Try | Late::TryIdle) => Ok(()),
        Some(Late::Route) => {
            x.record.trouble("timeout", Vec::new);
            Err(Reply::too_slow(plan.times.quiet, d::RESPONSE_TIMEOUT))
        }
        Some(Late::Duration) => Err(Reply::life_over()),
        Some(Late::Idle) => Err(idle(x)),
        Some(Late::Request) => Err(too_slow(x)),
        None => {
            client_gone(x);
            Err(Reply::new(0, "", d::DOWNSTREAM_REMOTE_DISCONNECT))
        }
    }
}
