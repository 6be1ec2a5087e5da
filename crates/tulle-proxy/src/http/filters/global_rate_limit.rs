//! `envoy.filters.http.ratelimit`.

use std::{rc::Rc, sync::Arc};

use smallvec::SmallVec;
use tulle_engine::{
    decide::{global_rate_limit as decide, header_ops, route::pick_cluster},
    runtime::{
        filter::FilterOverride,
        global_rate_limit::{GlobalRateLimit, RequestKind},
        route::Action,
    },
};
use tulle_http::{HeaderList, Known, ResponseHead};
use tulle_proto::envoy::ratelimit::{RateLimitRequest, RateLimitResponse};
use tulle_telemetry::ResponseFlag;

use super::{local_rate_limit, meanwhile};
use crate::{
    cluster::LocalCluster,
    http::{
        context,
        digits::Digits,
        exchange::Exchange,
        grpc::{self, GrpcFault},
        reply::{Body, Reply},
    },
};

/// The method of the service.
const METHOD: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";

/// A question, and which of its descriptors the client is told of.
struct Question {
    message: RateLimitRequest,
    told: SmallVec<[bool; 4]>,
    /// The route's cluster, which counts the answers.
    cluster: Rc<LocalCluster>,
}

/// Asks the service of the filter with this number in the chain.
pub(super) async fn ask(
    x: &mut Exchange<'_>,
    number: usize,
    limit: &GlobalRateLimit,
    change: Option<&FilterOverride>,
) -> Option<Reply> {
    let concerned = match limit.requests {
        RequestKind::Both => true,
        RequestKind::Internal => x.record.trusted,
        RequestKind::External => !x.record.trusted,
    };
    if !concerned || !limit.enabled.hits(fastrand::u64(..)) {
        return None;
    }
    let Question { message, told, cluster } = question(x, limit, change)?;
    let worker = Rc::clone(&x.conn.worker);
    let call = grpc::unary::<_, RateLimitResponse>(&worker, &limit.service, METHOD, &message);
    let answer = match meanwhile(x, call).await {
        Ok(answer) => answer,
        Err(reply) => return Some(reply),
    };
    match answer {
        Ok(answer) => obey(x, number, limit, &cluster, (&answer, &told)),
        Err(fault) => failed(limit, &cluster, &fault),
    }
}

fn question(x: &Exchange<'_>, limit: &GlobalRateLimit, change: Option<&FilterOverride>) -> Option<Question> {
    let found = x.found?;
    let Action::Forward(to) = &found.route.action else { return None };
    let name = pick_cluster(&to.cluster, &x.s.request, x.record.random, None).name;
    let cluster = x.conn.worker.cluster(name)?;
    let change = match change {
        Some(FilterOverride::GlobalRateLimit(change)) => Some(&**change),
        _ => None,
    };
    let format = context::of(x, &found.route.name);
    let input = local_rate_limit::input(x, &format);
    let descriptors = decide::descriptors(limit, change, local_rate_limit::route_rules(x)?, &input);
    if descriptors.is_empty() {
        return None;
    }
    let domain = change.map(|c| &c.domain).filter(|d| !d.is_empty()).unwrap_or(&limit.domain);
    let told = descriptors.iter().map(|d| d.headers.unwrap_or(limit.headers)).collect();
    Some(Question { message: decide::request(domain, &descriptors), told, cluster })
}

fn obey(
    x: &mut Exchange<'_>,
    number: usize,
    limit: &GlobalRateLimit,
    cluster: &LocalCluster,
    (answer, told): (&RateLimitResponse, &[bool]),
) -> Option<Reply> {
    if let Some(fields) = answer.dynamic_metadata.as_ref().and_then(tulle_engine::decide::metadata::fields)
        && !fields.is_empty()
    {
        let name = Arc::clone(&limit.metadata_namespace);
        x.metadata.get_or_insert_default().entry(name).or_default().extend(fields);
    }
    let is_over = decide::is_over(answer);
    let mut headers = HeaderList::new();
    for field in &answer.response_headers_to_add {
        add(&mut headers, &field.key, &field.value, &field.raw_value);
    }
    if is_over && limit.marks_limited {
        headers.set("x-envoy-ratelimited", b"true");
    }
    if let Some((limit, remaining, reset)) =
        decide::headers(answer, |n| told.get(n).copied().unwrap_or(false))
    {
        headers.append("x-ratelimit-limit", limit.as_bytes());
        headers.append("x-ratelimit-remaining", Digits::of(remaining.into()).text());
        headers.append("x-ratelimit-reset", Digits::of(reset).text());
    }
    if !is_over {
        cluster.stats.ratelimit_ok.inc();
    } else {
        cluster.stats.ratelimit_over_limit.inc();
        if limit.enforced.hits(fastrand::u64(..)) {
            return Some(refusal(x, limit, answer, headers));
        }
    }
    for field in &answer.request_headers_to_add {
        add(&mut x.s.request.headers, &field.key, &field.value, &field.raw_value);
    }
    if !headers.is_empty() {
        x.left.headers.push((number, headers));
    }
    None
}

/// Adds a field that a service names; what is no field, or frames messages, is left out.
fn add(headers: &mut HeaderList, name: &str, value: &str, raw: &[u8]) {
    if !name.starts_with(':') && !header_ops::is_framing(name) {
        headers.append(name, if value.is_empty() { raw } else { value.as_bytes() });
    }
}

fn refusal(
    x: &mut Exchange<'_>,
    limit: &GlobalRateLimit,
    answer: &RateLimitResponse,
    headers: HeaderList,
) -> Reply {
    let mut reply = Reply::new(limit.status, "", "request_rate_limited").flag(ResponseFlag::RateLimited);
    reply.body = Body::Bytes(answer.raw_body.as_slice().into());
    reply.grpc = Some(if limit.as_resource_exhausted { 8 } else { 14 });
    let mut head = Box::new(ResponseHead::new(limit.status));
    head.headers = headers;
    if limit.retry_after
        && limit.status == 429
        && !head.headers.contains(Known::RetryAfter)
        && let Some(seconds) = decide::retry_after(answer)
    {
        head.headers.append(Known::RetryAfter, Digits::of(seconds).text());
    }
    let mut text = std::mem::take(&mut x.s.text);
    let format = context::of(x, x.found.map_or("", |found| &found.route.name));
    header_ops::apply_to_response(&limit.response_headers, &mut head, &x.s.request, &format, &mut text);
    x.s.text = text;
    reply.headers = Some(head);
    reply
}

fn failed(limit: &GlobalRateLimit, cluster: &LocalCluster, fault: &GrpcFault) -> Option<Reply> {
    tracing::debug!(cluster = %limit.service.cluster, %fault, "the rate limit service does not answer");
    cluster.stats.ratelimit_error.inc();
    if limit.deny_on_error.hits(fastrand::u64(..)) {
        let reply = Reply::new(limit.error_status, "", "rate_limiter_error");
        return Some(reply.flag(ResponseFlag::RateLimitServiceError));
    }
    cluster.stats.ratelimit_failure_mode_allowed.inc();
    None
}

/// Adds to a response what the service said.
pub(super) fn respond(x: &mut Exchange<'_>, number: usize) {
    for (_, headers) in x.left.headers.iter().filter(|(of, _)| *of == number) {
        x.s.response.headers.extend(headers);
    }
}
