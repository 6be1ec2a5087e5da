//! Local rate limits: a token bucket for each filter and worker.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use tulle_engine::runtime::filter::LocalRateLimit;
use tulle_http::ResponseHead;
use tulle_telemetry::{ResponseFlag, details as d};

use super::{context, exchange::Exchange, reply::Reply};

/// The buckets of a worker, by the address of their configuration, which the key keeps alive.
#[derive(Debug, Default)]
pub(crate) struct Buckets(RefCell<HashMap<usize, Bucket, RandomState>>);

#[derive(Debug)]
struct Bucket {
    _config: Arc<LocalRateLimit>,
    tokens: f64,
    filled: Instant,
}

impl Buckets {
    /// Takes a token if there is one. A bucket is shared out evenly over `workers`.
    fn take(&self, config: &Arc<LocalRateLimit>, workers: usize, now: Instant) -> bool {
        let share = |amount: u32| f64::from(amount) / workers.max(1) as f64;
        let mut buckets = self.0.borrow_mut();
        let key = Arc::as_ptr(config) as usize;
        // Buckets of configurations that are gone are only held by us.
        if buckets.len() > 256 {
            buckets.retain(|_, b| Arc::strong_count(&b._config) > 1);
        }
        let max = share(config.max_tokens).max(1.0);
        let bucket = buckets.entry(key).or_insert_with(|| Bucket {
            _config: Arc::clone(config),
            tokens: max,
            filled: now,
        });
        let interval = config.fill_interval.max(Duration::from_millis(1));
        let fills = now.duration_since(bucket.filled).as_secs_f64() / interval.as_secs_f64();
        if fills >= 1.0 {
            bucket.tokens = (bucket.tokens + fills.floor() * share(config.tokens_per_fill)).min(max);
            bucket.filled += interval.mul_f64(fills.floor());
        }
        let ok = bucket.tokens >= 1.0;
        if ok {
            bucket.tokens -= 1.0;
        }
        ok
    }
}

/// Asks the bucket of a filter.
pub(crate) fn ask(x: &mut Exchange<'_>, limit: &Arc<LocalRateLimit>) -> Option<Reply> {
    if !limit.enabled.hits(x.record.random) {
        return None;
    }
    let worker = &x.conn.worker;
    let stats = &x.manager.stats;
    if worker.buckets.take(limit, worker.settings.workers, Instant::now()) {
        stats.local_rate_limit_ok.inc();
        return None;
    }
    stats.local_rate_limit_rate_limited.inc();
    if !limit.enforced.hits(x.record.random) {
        return None;
    }
    stats.local_rate_limit_enforced.inc();
    let mut reply =
        Reply::new(limit.status, "local_rate_limited", d::LOCAL_RATE_LIMITED).flag(ResponseFlag::RateLimited);
    reply.grpc = Some(if limit.as_resource_exhausted { 8 } else { 14 });
    let mut head = Box::new(ResponseHead::new(limit.status));
    let mut text = String::new();
    let cx = context::of(x, "");
    tulle_engine::decide::header_ops::apply_to_response(
        &limit.response_headers,
        &mut head,
        &x.s.request,
        &cx,
        &mut text,
    );
    reply.headers = Some(head);
    Some(reply)
}
