//! `envoy.filters.http.local_ratelimit`.

use std::{borrow::Cow, sync::Arc};

use tulle_engine::{
    decide::{
        descriptor::{Descriptors, RateLimitInput},
        header_ops,
        local_rate_limit::{self, Limiter, RouteRules},
        route::pick_cluster,
        token_bucket::TokenBucket,
    },
    runtime::{rate_limit::LocalRateLimit, route::Action},
};
use tulle_http::{Known, ResponseHead};
use tulle_telemetry::{ResponseFlag, details as d};

use crate::http::{context, digits::Digits, exchange::Exchange, reply::Reply};

/// What the buckets said.
struct Asked {
    allowed: bool,
    /// The bucket that decided, if a header will tell of it.
    bucket: Option<Arc<TokenBucket>>,
    /// Whether the bucket refuses nothing.
    shadow: bool,
    headers: bool,
}

/// Asks the buckets of the filter with this number in the chain.
pub(super) fn ask(x: &mut Exchange<'_>, number: usize, limit: &LocalRateLimit) -> Option<Reply> {
    if !limit.enabled.hits(fastrand::u64(..)) {
        return None;
    }
    let stats = x.conn.worker.telemetry.store.borrow_mut().proxy.local_rate_limits.get(&limit.stat_prefix);
    stats.enabled.inc();
    let Asked { allowed, bucket, shadow, headers } = asked(x, limit);
    let reset = bucket.as_ref().map(|bucket| bucket.reset_seconds(x.conn.worker.uptime()));
    if headers && let Some(bucket) = bucket {
        x.left.buckets.push((number, bucket));
    }
    if allowed {
        stats.ok.inc();
        return None;
    }
    stats.rate_limited.inc();
    if shadow {
        stats.shadow_mode.inc();
        return None;
    }
    if !limit.enforced.hits(fastrand::u64(..)) {
        if !limit.request_headers_unenforced.is_empty() {
            mark(x, limit);
        }
        return None;
    }
    stats.enforced.inc();
    Some(refusal(x, limit, reset))
}

fn asked(x: &Exchange<'_>, limit: &LocalRateLimit) -> Asked {
    let limiter = match &limit.limiter {
        Some(shared) => shared,
        // The first limit of a connection gives it its buckets, whatever others it meets.
        None => x.conn.limiter.get_or_init(|| Limiter::new(&limit.buckets)),
    };
    let format = context::of(x, x.found.map_or("", |found| &found.route.name));
    let input = input(x, &format);
    let descriptors = if limit.buckets.descriptors.is_empty() {
        Descriptors::new()
    } else {
        local_rate_limit::descriptors(limit, route_rules(x), &input)
    };
    let answer = limiter.ask(&descriptors, x.conn.worker.uptime());
    let headers = answer.headers.unwrap_or(limit.headers);
    let told = headers || (limit.retry_after && !answer.allowed);
    Asked {
        allowed: answer.allowed,
        shadow: answer.bucket.as_ref().is_some_and(|bucket| bucket.shadow),
        bucket: answer.bucket.filter(|_| told).map(Cow::into_owned),
        headers,
    }
}

/// What rate limit rules look at in this request.
pub(super) fn input<'c>(
    x: &'c Exchange<'_>,
    format: &'c tulle_engine::decide::format::FormatContext<'c>,
) -> RateLimitInput<'c> {
    let destination = x.found.and_then(|found| match &found.route.action {
        Action::Forward(to) => Some(pick_cluster(&to.cluster, &x.s.request, x.record.random, None).name),
        _ => None,
    });
    RateLimitInput {
        head: &x.s.request,
        format,
        metadata: x.metadata.as_deref(),
        route_metadata: x.found.and_then(|found| found.route.metadata.as_deref()),
        source_cluster: &x.conn.worker.settings.service_cluster,
        destination_cluster: destination,
    }
}

/// The rules of the route, if it forwards.
pub(super) fn route_rules<'a>(x: &Exchange<'a>) -> Option<RouteRules<'a>> {
    let found = x.found?;
    match &found.route.action {
        Action::Forward(to) => Some(RouteRules {
            route: &to.rate_limits,
            virtual_host: &found.virtual_host.rate_limits,
            include_virtual_host: to.include_virtual_host_rate_limits,
        }),
        _ => None,
    }
}

/// Changes a request over the limit that is let through.
fn mark(x: &mut Exchange<'_>, limit: &LocalRateLimit) {
    let mut request = std::mem::take(&mut x.s.request);
    let mut text = std::mem::take(&mut x.s.text);
    let format = context::of(x, x.found.map_or("", |found| &found.route.name));
    header_ops::apply_to_request(&limit.request_headers_unenforced, &mut request, &format, &mut text);
    x.s.request = request;
    x.s.text = text;
}

fn refusal(x: &mut Exchange<'_>, limit: &LocalRateLimit, reset: Option<u64>) -> Reply {
    let mut reply =
        Reply::new(limit.status, "local_rate_limited", d::LOCAL_RATE_LIMITED).flag(ResponseFlag::RateLimited);
    reply.grpc = Some(if limit.as_resource_exhausted { 8 } else { 14 });
    let mut head = Box::new(ResponseHead::new(limit.status));
    let mut text = std::mem::take(&mut x.s.text);
    let format = context::of(x, x.found.map_or("", |found| &found.route.name));
    header_ops::apply_to_response(&limit.response_headers, &mut head, &x.s.request, &format, &mut text);
    x.s.text = text;
    if limit.retry_after
        && limit.status == 429
        && let Some(seconds) = reset
        && !head.headers.contains(Known::RetryAfter)
    {
        head.headers.append(Known::RetryAfter, Digits::of(seconds.max(1)).text());
    }
    reply.headers = Some(head);
    reply
}

/// Tells the client of the bucket that was asked.
pub(super) fn respond(x: &mut Exchange<'_>, number: usize) {
    let now = x.conn.worker.uptime();
    let headers = &mut x.s.response.headers;
    for (_, bucket) in x.left.buckets.iter().filter(|(of, _)| *of == number) {
        headers.append("x-ratelimit-limit", Digits::of(bucket.max()).text());
        headers.append("x-ratelimit-remaining", Digits::of(bucket.remaining(now)).text());
        headers.append("x-ratelimit-reset", Digits::of(bucket.reset_seconds(now)).text());
    }
}
