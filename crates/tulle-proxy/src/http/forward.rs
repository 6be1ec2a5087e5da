//! The router: cluster, endpoint, tries, and the response on its way back.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

use smallvec::SmallVec;
use tulle_engine::{
    decide::{
        breaker::Resource,
        cors, header_ops,
        outlier::Outcome,
        retry::{Failure, RetryState, RetryVerdict},
        rewrite,
        route::{Found, pick_cluster},
        timeout::{self, Timeouts},
    },
    runtime::{
        RouteTable,
        filter::FilterOverride,
        route::{ClusterChoice, Forward, HostRewrite, Priority, WeightedCluster},
    },
};
use tulle_http::{Known, ResponseHead, h1::Persistence};
use tulle_telemetry::{ResponseFlag, details as d};

use super::{
    attempt::{Answer, Attempt, AttemptEnd, ClientFault, Late, Replay, UpstreamFault},
    context,
    deliver::{Delivery, DeliveryEnd},
    exchange::Exchange,
    headers,
    reply::Reply,
    upstream::{self, Unreachable, Upstream, Wish},
};
use crate::cluster::{
    LocalCluster, PoolKey,
    local::{Chosen, Hold},
};

/// The most that is kept of a request's body for another try where nothing else is configured.
const REPLAY_LIMIT: u64 = 64 * 1024;

/// What is fixed for all tries of a request.
struct Plan<'t> {
    table: &'t RouteTable,
    found: &'t Found<'t>,
    to: &'t Forward,
    weighted: Option<&'t WeightedCluster>,
    cluster: Rc<LocalCluster>,
    priority: usize,
    times: Timeouts,
    upgrade: bool,
}

/// What came of one try.
enum Tried {
    /// A response is to be delivered.
    Response(Upstream, Chosen, PoolKey, Answer),
    /// It failed, for a reason in the transport's words.
    Failed(Failure, UpstreamFault, String),
    /// The request is over.
    Over(Reply),
}

/// Forwards the request and delivers the response. An error is what the client gets instead.
pub(crate) async fn forward(
    x: &mut Exchange<'_>,
    table: &RouteTable,
    found: &Found<'_>,
    to: &Forward,
) -> Result<(), Reply> {
    let picked = pick_cluster(&to.cluster, &x.s.request, x.record.random, None);
    let weighted = match (&to.cluster, picked.weighted) {
        // Found again in the route, so that it does not borrow the request.
        (ClusterChoice::Weighted(all), Some(w)) => all.clusters.iter().find(|c| std::ptr::eq(*c, w)),
        _ => None,
    };
    let Some(cluster) = x.conn.worker.cluster(picked.name) else {
        x.manager.stats.no_cluster.inc();
        return Err(Reply::no_cluster(to.cluster_not_found_status));
    };
    x.record.cluster = Some(Rc::clone(&cluster));
    let trusted = x.record.trusted;
    let mut retry = RetryState::new(to.retry.as_deref(), &x.s.request, trusted);
    let times = timeout::resolve(to, &x.manager.config.timeouts, &mut x.s.request, trusted);
    let priority = usize::from(to.priority == Priority::High);
    let upgrade = wants_upgrade(x, to)?;
    let plan = Plan { table, found, to, weighted, cluster, priority, times, upgrade };
    let Some(_request) = Hold::acquire(&plan.cluster, priority, Resource::Request) else {
        plan.cluster.stats.upstream_rq_pending_overflow.inc();
        return Err(Reply::upstream(UpstreamFault::Overflow, false, ""));
    };
    prepare(x, &plan);
    let limit = if retry.is_some() { found.route.buffer_limit.unwrap_or(REPLAY_LIMIT) } else { 0 };
    let mut replay = Replay::new(usize::try_from(limit).unwrap_or(usize::MAX));
    let mut tries = Tries::default();
    plan.cluster.stats.upstream_rq_active.inc();
    let outcome = loop {
        match attempt(x, &plan, &mut replay, &mut tries).await {
            Tried::Over(reply) => break Err(reply),
            Tried::Response(up, chosen, key, answer) => {
                match again(x, &plan, &mut retry, &replay).await {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(reply) => break Err(reply),
                }
                replay.drop_copy();
                deliver(x, &plan, up, chosen, key, answer).await;
                break Ok(());
            }
            Tried::Failed(failure, fault, reason) => {
                if tries.stale && replayable(x, &replay) && x.s.request.method.is_idempotent() {
                    // The pooled connection had been closed by its peer; the request never got anywhere.
                    continue;
                }
                match retry_failure(x, &plan, &mut retry, &replay, failure).await {
                    Ok(true) => continue,
                    Ok(false) => {
                        x.record.transport_failure.clone_from(&reason);
                        break Err(failed(x, failure, fault, &reason));
                    }
                    Err(reply) => break Err(reply),
                }
            }
        }
    };
    plan.cluster.stats.upstream_rq_active.dec();
    outcome
}

/// What is remembered from one try to the next.
#[derive(Default)]
struct Tries {
    tried: SmallVec<[std::net::SocketAddr; 4]>,
    /// The last try used a pooled connection that its peer had closed.
    stale: bool,
    /// Pooled connections are not used any more: one was stale.
    fresh: bool,
}

/// Whether the request is an upgrade that the configuration lets pass; others are refused as Envoy does.
fn wants_upgrade(x: &mut Exchange<'_>, to: &Forward) -> Result<bool, Reply> {
    let request = &mut x.s.request;
    let kind = if x.incoming.upgrade {
        request.headers.get_str(Known::Upgrade).unwrap_or_default().to_ascii_lowercase()
    } else if !request.protocol.is_empty() {
        request.protocol.to_ascii_lowercase()
    } else {
        return Ok(false);
    };
    if kind.split(',').any(|k| k.trim() == "h2c") {
        // An offer that may be declined by answering in HTTP/1.1 (RFC 9110 section 7.8).
        request.headers.remove(Known::Upgrade);
        return Ok(false);
    }
    let of_route = to.upgrades.iter().find(|(name, _)| **name == *kind).map(|(_, on)| *on);
    let of_manager = || x.manager.config.upgrades.iter().find(|u| *u.kind == *kind).map(|u| u.enabled);
    if of_route.or_else(of_manager).unwrap_or(false) {
        return Ok(true);
    }
    Err(Reply::new(403, "", d::UPGRADE_FAILED))
}

/// Changes the request as the route says, once for all tries.
fn prepare(x: &mut Exchange<'_>, plan: &Plan<'_>) {
    let Plan { table, found, to, weighted, cluster: _, priority: _, times, upgrade: _ } = *plan;
    let suppress = x.manager.router.suppress_envoy_headers;
    let levels = header_ops::levels(table, found.virtual_host, found.route, weighted, false);
    let rewrites_host = !matches!(to.host_rewrite, HostRewrite::None | HostRewrite::FromEndpoint)
        || weighted.is_some_and(|w| !w.host_rewrite.is_empty());
    let changes = levels.iter().flatten().any(|ops| !ops.is_empty());
    if changes || rewrites_host || !matches!(to.path_rewrite, tulle_engine::runtime::route::PathRewrite::None)
    {
        let mut request = std::mem::take(&mut x.s.request);
        let mut text = std::mem::take(&mut x.s.text);
        let cx = context::of(x, &found.route.name);
        for ops in levels.into_iter().flatten().filter(|ops| !ops.is_empty()) {
            header_ops::apply_to_request(ops, &mut request, &cx, &mut text);
        }
        rewrite::rewrite_path(to, &found.route.matches.path, &mut request, &cx, suppress);
        if rewrites_host {
            rewrite::rewrite_host(to, weighted, &mut request, &cx, None);
        }
        x.s.request = request;
        x.s.text = text;
    }
    for name in [Known::XEnvoyRetryOn, Known::XEnvoyRetryGrpcOn, Known::XEnvoyMaxRetries] {
        x.s.request.headers.remove(name);
    }
    if !suppress && let Some(millis) = timeout::expected_millis(&times, x.record.start.elapsed()) {
        let mut digits = itoa(millis);
        x.s.request.headers.set(Known::XEnvoyExpectedRqTimeoutMs, digits.text());
    }
    let outside = plan.cluster.config.external && x.manager.peer_metadata.skip_external;
    if x.manager.peer_metadata.write_to_request && !outside {
        x.conn.worker.telemetry.card.write(&mut x.s.request.headers);
    }
    let clocks = &mut x.s.clocks;
    clocks.route_timeout = times.global;
    clocks.idle_timeout = times.stream_idle.unwrap_or_default();
    if let Some(max) = times.max_stream {
        clocks.life.set(x.record.start + max);
    }
    if x.incoming.expect_continue && !x.manager.config.proxy_100_continue {
        x.s.request.headers.remove(Known::Expect);
        let head = ResponseHead::new(100);
        x.down.write_informational(&head);
    }
    if x.flow.done {
        clocks.request_complete(Instant::now());
    }
}

/// One try.
async fn attempt(x: &mut Exchange<'_>, plan: &Plan<'_>, replay: &mut Replay, tries: &mut Tries) -> Tried {
    tries.stale = false;
    let worker = Rc::clone(&x.conn.worker);
    let cluster = &plan.cluster;
    let policy = plan.to.retry.as_deref();
    let avoids = policy.is_some_and(|p| p.avoid_previous_hosts) && !tries.tried.is_empty();
    let looks = if avoids { policy.map_or(1, |p| p.host_selection_attempts) } else { 1 };
    let avoid = |address| avoids && tries.tried.contains(&address);
    let Some(chosen) = cluster.choose(x.conn.arrival.original(), &avoid, looks) else {
        cluster.stats.upstream_cx_none_healthy.inc();
        return Tried::Over(Reply::no_host());
    };
    if matches!(plan.to.host_rewrite, HostRewrite::FromEndpoint) {
        rewrite_to_endpoint(x, plan, &chosen);
    }
    tries.tried.push(chosen.host.address);
    x.record.attempts += 1;
    x.record.host = Some(Rc::clone(&chosen.host));
    x.record.upstream = None;
    if plan.found.virtual_host.attempt_count_in_request {
        let mut digits = itoa(u64::from(x.record.attempts));
        x.s.request.headers.set(Known::XEnvoyAttemptCount, digits.text());
    }
    if let Some(limit) = plan.times.per_try {
        x.s.clocks.per_try.set(Instant::now() + limit);
    }
    let key = upstream::pool_key(cluster, &chosen.host, &x.s.request);
    let wish = Wish {
        worker: &worker,
        cluster,
        host: &chosen.host,
        key: &key,
        alpn: x.manager.alpn_for(x.s.request.version),
        fresh: tries.fresh,
        priority: plan.priority,
    };
    let mut up = match reach(x, &wish).await {
        Ok(up) => up,
        Err(Blocked::Unreachable(Unreachable { fault, reason })) => {
            chosen.host.errors.set(chosen.host.errors.get() + 1);
            if fault == UpstreamFault::Overflow {
                return Tried::Failed(Failure::Overflow, fault, reason);
            }
            cluster.report(&chosen, Outcome::LocalOrigin, worker.uptime());
            return Tried::Failed(Failure::Connect, fault, reason);
        }
        Err(Blocked::Client) => {
            client_gone(x);
            return Tried::Over(Reply::new(0, "", d::DOWNSTREAM_REMOTE_DISCONNECT));
        }
        Err(Blocked::Late(late)) => return late_before_response(x, plan, &chosen, late),
    };
    cluster.stats.upstream_rq_total.inc();
    x.record.upstream = Some(Rc::clone(&up.facts));
    x.record.upstream_h2 = up.side.version() == tulle_http::Version::Http2;
    let persistence = if plan.upgrade { Persistence::Upgrade } else { Persistence::KeepAlive };
    up.side.write_request(&x.s.request, x.incoming.length, persistence);
    let empty = x.incoming.length.is_empty();
    let end = Attempt {
        down: x.down,
        up: &mut up.side,
        flow: &mut x.flow,
        replay,
        replayed: 0,
        ended: empty,
        clocks: &mut x.s.clocks,
        request: &x.s.request,
        upgrade: plan.upgrade,
    }
    .run(&mut x.s.response)
    .await;
    x.s.clocks.per_try.clear();
    match end {
        AttemptEnd::Response(answer) => {
            let status = x.s.response.status;
            cluster.report(&chosen, Outcome::Status(status), worker.uptime());
            cluster.stats.count_status(status);
            if status >= 500 {
                chosen.host.errors.set(chosen.host.errors.get() + 1);
            }
            x.record.answered.get_or_insert_with(|| x.record.start.elapsed());
            Tried::Response(up, chosen, key, answer)
        }
        AttemptEnd::Upstream(fault) => {
            chosen.host.errors.set(chosen.host.errors.get() + 1);
            if up.reused && fault == UpstreamFault::Closed {
                tries.stale = !tries.fresh;
                tries.fresh = true;
            } else {
                cluster.report(&chosen, Outcome::LocalOrigin, worker.uptime());
            }
            cluster.stats.upstream_rq_rx_reset.inc();
            let failure = match fault {
                UpstreamFault::Refused => Failure::Refused,
                _ => Failure::Reset { request_sent: true },
            };
            Tried::Failed(failure, fault, String::new())
        }
        AttemptEnd::Client(ClientFault::Gone) => {
            client_gone(x);
            Tried::Over(Reply::new(0, "", d::DOWNSTREAM_REMOTE_DISCONNECT))
        }
        AttemptEnd::Client(ClientFault::Malformed) => Tried::Over(x.malformed()),
        AttemptEnd::Late(late) => late_before_response(x, plan, &chosen, late),
    }
}

fn rewrite_to_endpoint(x: &mut Exchange<'_>, plan: &Plan<'_>, chosen: &Chosen) {
    let hostname = std::sync::Arc::clone(&chosen.host.endpoint.borrow().hostname);
    let mut request = std::mem::take(&mut x.s.request);
    let cx = context::of(x, &plan.found.route.name);
    rewrite::rewrite_host(plan.to, plan.weighted, &mut request, &cx, Some(&hostname));
    x.s.request = request;
}

/// Why there is no connection.
enum Blocked {
    Unreachable(Unreachable),
    Client,
    Late(Late),
}

/// A connection to the endpoint, as long as the client waits and time is left.
async fn reach(x: &mut Exchange<'_>, wish: &Wish<'_>) -> Result<Upstream, Blocked> {
    let mut connecting = pin!(upstream::acquire(wish));
    let (down, clocks, complete) = (&mut *x.down, &mut x.s.clocks, x.flow.done);
    poll_fn(|cx| {
        if let Poll::Ready(result) = connecting.as_mut().poll(cx) {
            return Poll::Ready(result.map_err(Blocked::Unreachable));
        }
        // An answer to `Expect: 100-continue` may be waiting to go out.
        let _ = down.poll_flush(cx);
        if complete && down.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Blocked::Client));
        }
        clocks.poll(cx).map(|late| Err(Blocked::Late(late)))
    })
    .await
}

fn late_before_response(x: &mut Exchange<'_>, plan: &Plan<'_>, chosen: &Chosen, late: Late) -> Tried {
    let stats = &plan.cluster.stats;
    let timed_out = |details: &'static str| {
        Reply::new(504, "upstream request timeout", details).flag(ResponseFlag::UpstreamRequestTimeout)
    };
    match late {
        Late::Try => {
            stats.upstream_rq_per_try_timeout.inc();
            plan.cluster.report(chosen, Outcome::LocalOrigin, x.conn.worker.uptime());
            Tried::Failed(Failure::PerTryTimeout, UpstreamFault::Reset, String::new())
        }
        Late::Route => {
            stats.upstream_rq_timeout.inc();
            plan.cluster.report(chosen, Outcome::LocalOrigin, x.conn.worker.uptime());
            Tried::Over(timed_out(d::RESPONSE_TIMEOUT))
        }
        Late::Idle => Tried::Over(idle(x)),
        Late::Request => Tried::Over(too_slow(x)),
        Late::Duration => Tried::Over(Reply::new(504, "stream timeout", d::MAX_DURATION_TIMEOUT)),
    }
}

/// The stream was idle for too long.
pub(crate) fn idle(x: &Exchange<'_>) -> Reply {
    x.manager.stats.downstream_rq_idle_timeout.inc();
    let status = if x.flow.done { 504 } else { 408 };
    Reply::new(status, "stream timeout", d::STREAM_IDLE_TIMEOUT).flag(ResponseFlag::StreamIdleTimeout)
}

/// The request took too long to arrive.
fn too_slow(x: &Exchange<'_>) -> Reply {
    x.manager.stats.downstream_rq_timeout.inc();
    Reply::new(408, "request timeout", d::REQUEST_TIMEOUT).closing()
}

/// Notes that the client went away.
pub(crate) fn client_gone(x: &mut Exchange<'_>) {
    x.keep = false;
    x.manager.stats.downstream_rq_rx_reset.inc();
    x.record.note(ResponseFlag::DownstreamConnectionTermination, d::DOWNSTREAM_REMOTE_DISCONNECT);
}

/// What the client gets when the last try failed.
fn failed(x: &Exchange<'_>, failure: Failure, fault: UpstreamFault, reason: &str) -> Reply {
    if failure == Failure::PerTryTimeout {
        return Reply::new(504, "upstream request timeout", d::UPSTREAM_PER_TRY_TIMEOUT)
            .flag(ResponseFlag::UpstreamRequestTimeout);
    }
    Reply::upstream(fault, x.record.attempts > 1, reason)
}

fn replayable(x: &Exchange<'_>, replay: &Replay) -> bool {
    x.flow.bytes == 0 || replay.bytes().is_some()
}

/// Whether a failed try is followed by another, after its wait.
async fn retry_failure(
    x: &mut Exchange<'_>,
    plan: &Plan<'_>,
    retry: &mut Option<RetryState<'_>>,
    replay: &Replay,
    failure: Failure,
) -> Result<bool, Reply> {
    let Some(state) = retry.as_mut().filter(|_| replayable(x, replay)) else { return Ok(false) };
    let verdict = state.on_failure(failure, fastrand::f64());
    obey(x, plan, verdict).await
}

/// Whether a response is thrown away for another try, after its wait.
async fn again(
    x: &mut Exchange<'_>,
    plan: &Plan<'_>,
    retry: &mut Option<RetryState<'_>>,
    replay: &Replay,
) -> Result<bool, Reply> {
    let Some(state) = retry.as_mut().filter(|_| replayable(x, replay)) else { return Ok(false) };
    if !state.wants(&x.s.response) {
        return Ok(false);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let verdict = state.on_response(&x.s.response, now, fastrand::f64());
    obey(x, plan, verdict).await
}

async fn obey(x: &mut Exchange<'_>, plan: &Plan<'_>, verdict: RetryVerdict) -> Result<bool, Reply> {
    let stats = &plan.cluster.stats;
    match verdict {
        RetryVerdict::No => Ok(false),
        RetryVerdict::LimitReached => {
            stats.upstream_rq_retry_limit_exceeded.inc();
            x.record.flags.insert(ResponseFlag::UpstreamRetryLimitExceeded);
            Ok(false)
        }
        RetryVerdict::After(wait) => {
            let Some(_retry) = Hold::acquire(&plan.cluster, plan.priority, Resource::Retry) else {
                stats.upstream_rq_retry_overflow.inc();
                return Ok(false);
            };
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
        Some(Late::Duration) => Err(Reply::new(504, "stream timeout", d::MAX_DURATION_TIMEOUT)),
        Some(Late::Idle) => Err(idle(x)),
        Some(Late::Request) => Err(too_slow(x)),
        None => {
            client_gone(x);
            Err(Reply::new(0, "", d::DOWNSTREAM_REMOTE_DISCONNECT))
        }
    }
}

/// Passes the response on, and gives the upstream connection back.
async fn deliver(
    x: &mut Exchange<'_>,
    plan: &Plan<'_>,
    mut up: Upstream,
    chosen: Chosen,
    key: PoolKey,
    answer: Answer,
) {
    change_response(x, plan, answer.tunnel);
    let worker = Rc::clone(&x.conn.worker);
    x.record.status = x.s.response.status;
    x.record.details = d::VIA_UPSTREAM.into();
    x.record.grpc_status = headers::grpc_status(&x.s.response.headers);
    let request = (&x.s.request.method, x.s.request.version);
    if answer.tunnel {
        x.manager.stats.downstream_cx_upgrades_total.inc();
        x.keep = false;
        x.s.clocks.route.clear();
        x.flow.done = false;
        up.side.become_tunnel();
        let kind = match &*x.s.request.protocol {
            "" => x.s.request.headers.get_str(Known::Upgrade).unwrap_or_default(),
            protocol => protocol,
        };
        x.down.write_tunnel(&x.s.response, kind);
    } else {
        x.keep = x.down.write_response(&x.s.response, answer.length, request, x.keep);
    }
    x.answered = true;
    let end = Delivery {
        down: x.down,
        up: &mut up.side,
        request: &mut x.flow,
        response: &mut x.back,
        clocks: &mut x.s.clocks,
    }
    .run()
    .await;
    if let Some(status) = headers::grpc_status(up.side.trailers()) {
        x.record.grpc_status = Some(status);
    }
    if let DeliveryEnd::Complete = end {
        x.record.completed = true;
        if !x.flow.done {
            // The response overtook the request: neither connection is at the start of a message.
            x.keep = false;
        } else if answer.keep_alive && !answer.tunnel {
            up.give_back(&worker, &plan.cluster, &chosen.host, &key, Instant::now());
        }
        return;
    }
    x.keep = false;
    broke_off(x, plan, end);
}

fn broke_off(x: &mut Exchange<'_>, plan: &Plan<'_>, end: DeliveryEnd) {
    x.down.abort();
    match end {
        DeliveryEnd::Complete => {}
        DeliveryEnd::Client(_) => client_gone(x),
        DeliveryEnd::Upstream(UpstreamFault::Malformed) => {
            x.record.note(ResponseFlag::UpstreamProtocolError, d::UPSTREAM_PROTOCOL_ERROR_AFTER_RESPONSE);
        }
        DeliveryEnd::Upstream(UpstreamFault::Reset | UpstreamFault::Refused) => {
            x.record.note(
                ResponseFlag::UpstreamRemoteReset,
                "upstream_reset_after_response_started{remote_reset}",
            );
        }
        DeliveryEnd::Upstream(_) => {
            x.record.note(ResponseFlag::UpstreamConnectionTermination, d::UPSTREAM_RESET_AFTER_RESPONSE);
        }
        DeliveryEnd::Late(Late::Route) => {
            plan.cluster.stats.upstream_rq_timeout.inc();
            x.record.note(ResponseFlag::UpstreamRequestTimeout, d::RESPONSE_TIMEOUT);
        }
        DeliveryEnd::Late(Late::Duration) => x.record.details = d::MAX_DURATION_TIMEOUT.into(),
        DeliveryEnd::Late(_) => {
            x.manager.stats.downstream_rq_idle_timeout.inc();
            x.record.note(ResponseFlag::StreamIdleTimeout, d::STREAM_IDLE_TIMEOUT);
        }
    }
}

/// Changes the response's head as configured before the client sees it.
fn change_response(x: &mut Exchange<'_>, plan: &Plan<'_>, tunnel: bool) {
    headers::accept_response(&mut x.s.response, &x.manager.config, x.record.wall, tunnel);
    super::peer::read_response(x);
    if !x.manager.router.suppress_envoy_headers {
        let service = x.record.answered.unwrap_or_default();
        let mut digits = itoa(u64::try_from(service.as_millis()).unwrap_or(u64::MAX));
        x.s.response.headers.set(Known::XEnvoyUpstreamServiceTime, digits.text());
    }
    if plan.found.virtual_host.attempt_count_in_response {
        let mut digits = itoa(u64::from(x.record.attempts));
        x.s.response.headers.set(Known::XEnvoyAttemptCount, digits.text());
    }
    if x.cors
        && let Some(FilterOverride::Cors(policy)) = plan
            .found
            .route
            .filters
            .0
            .iter()
            .map(|(_, change)| change)
            .find(|c| matches!(c, FilterOverride::Cors(_)))
    {
        cors::allow(policy, &x.s.request, &mut x.s.response);
    }
    if x.manager.config.request_id.always_in_response
        && let Some(id) = x.s.request.headers.get(Known::XRequestId)
    {
        x.s.response.headers.set(Known::XRequestId, id);
    }
    let levels =
        header_ops::levels(plan.table, plan.found.virtual_host, plan.found.route, plan.weighted, true);
    if levels.iter().flatten().any(|ops| !ops.is_empty()) {
        let mut response = std::mem::take(&mut x.s.response);
        let mut text = std::mem::take(&mut x.s.text);
        let cx = context::of(x, &plan.found.route.name);
        for ops in levels.into_iter().flatten().filter(|ops| !ops.is_empty()) {
            header_ops::apply_to_response(ops, &mut response, &x.s.request, &cx, &mut text);
        }
        x.s.response = response;
        x.s.text = text;
    }
}

/// The decimal digits of a number, without allocating.
struct Digits([u8; 20], usize);

impl Digits {
    fn text(&mut self) -> &[u8] {
        &self.0[self.1..]
    }
}

fn itoa(mut number: u64) -> Digits {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return Digits(digits, at);
        }
    }
}
