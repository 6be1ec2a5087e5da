//! One try of a request.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Instant,
};

use tulle_engine::{
    decide::{
        names::Target,
        outlier::{self, Outcome},
        retry::{self, Failure},
        rewrite,
    },
    runtime::{Endpoint, route::HostRewrite},
};
use tulle_http::{Known, h1::Persistence};
use tulle_telemetry::details as d;

use super::{
    Plan, Tried, Tries,
    ends::{client_gone, idle, too_slow},
    prepare,
};
use crate::{
    cluster::{
        host::Class,
        local::{Chosen, Wanted},
    },
    http::{
        attempt::{Answer, Attempt, AttemptEnd, ClientFault, Late, Replay, UpstreamFault},
        context,
        digits::Digits,
        exchange::Exchange,
        filters::meanwhile,
        reply::Reply,
        side::Length,
        upstream::{self, Unreachable, Upstream, Wish},
    },
    names::{Forwarded, Lookups},
    trace,
};

/// One try: an endpoint, a connection to it, the request, and the head of its response.
pub(super) async fn attempt(
    x: &mut Exchange<'_>,
    plan: &Plan<'_>,
    replay: &mut Replay,
    tries: &mut Tries,
) -> Tried {
    tries.stale = false;
    let forwarded = match plan.cluster.lookups(&x.conn.worker.lookups) {
        None => None,
        // Boxed: nobody else needs room for it.
        Some(lookups) => match Box::pin(named(x, plan, lookups)).await {
            Ok(found) => found,
            Err(reply) => return Tried::Over(reply),
        },
    };
    let chosen = match of_session(x, plan, tries) {
        Ok(Some(chosen)) => Some(chosen),
        Ok(None) => choose(x, plan, tries, forwarded.as_ref()),
        Err(status) => {
            plan.cluster.stats.upstream_cx_none_healthy.inc();
            return Tried::Over(Reply { status, ..Reply::no_host() });
        }
    };
    let Some(chosen) = chosen else {
        plan.cluster.stats.upstream_cx_none_healthy.inc();
        return Tried::Over(Reply::no_host());
    };
    begin(x, plan, &chosen);
    let worker = Rc::clone(&x.conn.worker);
    let mut key = upstream::pool_key(&plan.cluster, &chosen.host, &x.s.request);
    key.owner = x.conn.owner(&plan.cluster, &chosen.host);
    if plan.terminates {
        key.class = Class::Tcp;
    }
    let wish = Wish {
        worker: &worker,
        cluster: &plan.cluster,
        host: &chosen.host,
        key: &key,
        alpn: x.manager.alpn_for(key.class, x.s.request.version),
        fresh: tries.fresh,
        priority: plan.priority,
        is_check: false,
    };
    let mut up = match reach(x, &wish).await {
        Ok(up) => up,
        Err(blocked) => return unreached(x, plan, &chosen, blocked),
    };
    if plan.cluster.config.outlier.is_some_and(|o| o.split_local_origin) {
        report(x, plan, &chosen, Outcome::Connected);
    }
    let end = talk(x, plan, replay, &mut up, tries).await;
    match end {
        AttemptEnd::Response(answer) => {
            answered(x, plan, &chosen);
            Tried::Response(up, chosen, key, answer)
        }
        AttemptEnd::Upstream(fault) => broken(x, plan, &chosen, &up, fault, tries),
        AttemptEnd::Client(ClientFault::Gone) => {
            client_gone(x);
            Tried::Over(Reply::new(0, "", d::DOWNSTREAM_REMOTE_DISCONNECT))
        }
        AttemptEnd::Client(ClientFault::Malformed) => Tried::Over(x.malformed()),
        AttemptEnd::Client(ClientFault::Encoding) => Tried::Over(x.undecodable()),
        AttemptEnd::Late(late) => late_before_response(x, plan, &chosen, late),
    }
}

/// The endpoint of the request's session, for its first try; an error is the status where it cannot be asked and no other shall be.
fn of_session(x: &Exchange<'_>, plan: &Plan<'_>, tries: &mut Tries) -> Result<Option<Chosen>, u16> {
    let Some(kept) = x.left.session.as_ref().filter(|_| tries.tried.is_empty()) else { return Ok(None) };
    let Some(at) = kept.at() else { return Ok(None) };
    let found = plan.cluster.at(at);
    let gone = found.is_none();
    let Some(chosen) = found.flatten() else { return kept.fails_with(gone).map_or(Ok(None), Err) };
    tries.tried.push(chosen.host.address);
    tries.priorities.push(chosen.host.endpoint.borrow().priority);
    Ok(Some(chosen))
}

/// The host that the request names, with its addresses; `None` where there are none.
async fn named(
    x: &mut Exchange<'_>,
    plan: &Plan<'_>,
    lookups: &Rc<Lookups>,
) -> Result<Option<Forwarded>, Reply> {
    let Some(target) = Target::of(&x.s.request.authority, plan.cluster.usual_port()) else { return Ok(None) };
    let found = meanwhile(x, lookups.find(&target)).await?;
    Ok(found.ok().map(|addresses| Forwarded { target, addresses }))
}

/// An endpoint, passing over those that have been tried if the policy says so.
fn choose(
    x: &Exchange<'_>,
    plan: &Plan<'_>,
    tries: &mut Tries,
    forwarded: Option<&Forwarded>,
) -> Option<Chosen> {
    let policy = plan.to.retry.as_deref();
    // The first try takes any.
    let passed_over =
        policy.map(|p| &p.passed_over).filter(|over| !over.is_none() && !tries.tried.is_empty());
    let looks = passed_over.and(policy).map_or(1, |p| p.host_selection_attempts);
    let avoid = |at, endpoint: &Endpoint| {
        passed_over.is_some_and(|over| retry::passes_over(over, endpoint, tries.tried.contains(&at)))
    };
    let destination = upstream::destination(&plan.cluster, &x.s.request, x.conn.arrival.original());
    // Every so many tries the priorities that were tried by then are passed over.
    let settled = policy.and_then(|p| p.previous_priorities).map_or(0, |every| {
        let tried = u32::try_from(tries.priorities.len()).unwrap_or(u32::MAX);
        tried / every * every
    });
    let wanted = Wanted {
        destination,
        forwarded,
        hash: plan.hash.hash,
        avoid: &avoid,
        attempts: looks,
        tried_priorities: &tries.priorities[..settled as usize],
    };
    let chosen = plan.cluster.choose(&wanted)?;
    tries.tried.push(chosen.host.address);
    tries.priorities.push(chosen.host.endpoint.borrow().priority);
    Some(chosen)
}

/// What the endpoint and the number of the try change about the request, and the clock of the try.
fn begin(x: &mut Exchange<'_>, plan: &Plan<'_>, chosen: &Chosen) {
    if matches!(plan.to.host_rewrite, HostRewrite::FromEndpoint) {
        rewrite_to_endpoint(x, plan, chosen);
    }
    trace::end_try(x, true);
    x.record.try_status = 0;
    x.record.attempts += 1;
    if x.record.attempts > 1 {
        let elapsed = x.s.clocks.completed.map(|at| at.elapsed()).unwrap_or_default();
        prepare::tell_deadline(x, plan, elapsed);
    }
    x.record.host = Some(Rc::clone(&chosen.host));
    x.record.upstream = None;
    if plan.found.virtual_host.attempt_count_in_request {
        let digits = Digits::of(u64::from(x.record.attempts));
        x.s.request.headers.set(Known::XEnvoyAttemptCount, digits.text());
    }
    trace::begin::attempt(x);
    if let Some(limit) = plan.times.per_try {
        x.s.clocks.per_try.set(Instant::now() + limit);
    }
    if let Some(limit) = plan.times.per_try_idle {
        x.s.clocks.try_may_rest(limit);
    }
}

/// Writes the request and waits for the head of a response.
async fn talk(
    x: &mut Exchange<'_>,
    plan: &Plan<'_>,
    replay: &mut Replay,
    up: &mut Upstream,
    tries: &mut Tries,
) -> AttemptEnd {
    plan.cluster.stats.upstream_rq_total.inc();
    x.record.upstream = Some(Rc::clone(&up.facts));
    x.record.upstream_h2 = up.side.version() == tulle_http::Version::Http2;
    if plan.terminates {
        x.s.clocks.per_try.clear();
        x.s.response.clear();
        return AttemptEnd::Response(Answer { length: Length::Unknown, keep_alive: false, tunnel: true });
    }
    let persistence = if plan.upgrade { Persistence::Upgrade } else { Persistence::KeepAlive };
    up.side.write_request(&x.s.request, x.incoming.length, persistence);
    let mut attempt = Attempt {
        down: x.down,
        up: &mut up.side,
        flow: &mut x.flow,
        replay,
        replayed: 0,
        ended: x.incoming.length.is_empty(),
        informed: 0,
        clocks: &mut x.s.clocks,
        request: &x.s.request,
        upgrade: plan.upgrade,
    };
    let end = attempt.run(&mut x.s.response).await;
    tries.written = (attempt.replayed, attempt.ended);
    x.s.clocks.per_try.clear();
    if !matches!(end, AttemptEnd::Response(_)) {
        x.s.clocks.try_idle.clear();
    }
    end
}

/// There is no connection.
fn unreached(x: &mut Exchange<'_>, plan: &Plan<'_>, chosen: &Chosen, blocked: Blocked) -> Tried {
    match blocked {
        Blocked::Unreachable(Unreachable { fault: UpstreamFault::Overflow, reason }) => {
            x.record.trouble("circuit_open", || super::again::overflow(plan, "connections"));
            Tried::Failed(Failure::Overflow, UpstreamFault::Overflow, reason)
        }
        Blocked::Unreachable(Unreachable { fault, reason }) => {
            chosen.host.errors.set(chosen.host.errors.get() + 1);
            report(x, plan, chosen, Outcome::LocalOrigin);
            Tried::Failed(Failure::Connect, fault, reason)
        }
        Blocked::Client => {
            client_gone(x);
            Tried::Over(Reply::new(0, "", d::DOWNSTREAM_REMOTE_DISCONNECT))
        }
        Blocked::Late(late) => late_before_response(x, plan, chosen, late),
    }
}

/// The endpoint has answered.
fn answered(x: &mut Exchange<'_>, plan: &Plan<'_>, chosen: &Chosen) {
    let status = x.s.response.status;
    let outcome = outlier::counts_as(&x.s.response, plan.cluster.config.errors.as_deref());
    report(x, plan, chosen, outcome);
    plan.cluster.stats.count_status(status);
    if status >= 500 {
        chosen.host.errors.set(chosen.host.errors.get() + 1);
    }
    x.record.try_status = status;
    x.record.answered.get_or_insert_with(|| x.record.start.elapsed());
}

/// The connection failed before an answer.
fn broken(
    x: &mut Exchange<'_>,
    plan: &Plan<'_>,
    chosen: &Chosen,
    up: &Upstream,
    fault: UpstreamFault,
    tries: &mut Tries,
) -> Tried {
    chosen.host.errors.set(chosen.host.errors.get() + 1);
    if fault == UpstreamFault::GoneAway || (up.reused && fault == UpstreamFault::Closed) {
        tries.stale = !tries.fresh;
        tries.unseen = fault == UpstreamFault::GoneAway;
        tries.fresh = true;
    } else {
        report(x, plan, chosen, Outcome::LocalOrigin);
    }
    plan.cluster.stats.upstream_rq_rx_reset.inc();
    let failure = match fault {
        UpstreamFault::Refused | UpstreamFault::GoneAway => Failure::Refused,
        _ => Failure::Reset { request_sent: true },
    };
    Tried::Failed(failure, fault, String::new())
}

/// Tells outlier detection what came of a try.
fn report(x: &mut Exchange<'_>, plan: &Plan<'_>, chosen: &Chosen, outcome: Outcome) {
    if let Some(cause) = plan.cluster.report(chosen, outcome, x.conn.worker.uptime()) {
        x.record.trouble("ejection", || {
            let mut all = on(plan, chosen);
            all.push(("cause", format!("{cause:?}")));
            all
        });
    }
}

/// Where a try went.
fn on(plan: &Plan<'_>, chosen: &Chosen) -> Vec<(&'static str, String)> {
    vec![("cluster", plan.cluster.config.name.to_string()), ("endpoint", chosen.host.address.to_string())]
}

fn rewrite_to_endpoint(x: &mut Exchange<'_>, plan: &Plan<'_>, chosen: &Chosen) {
    let hostname = std::sync::Arc::clone(&chosen.host.endpoint.borrow().hostname);
    let mut request = std::mem::take(&mut x.s.request);
    let cx = context::of(x, &plan.found.route.name);
    rewrite::rewrite_host(
        plan.to,
        plan.weighted,
        &mut request,
        &cx,
        Some(&hostname),
        x.manager.router.suppress_envoy_headers,
    );
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
    match late {
        Late::Try => {
            stats.upstream_rq_per_try_timeout.inc();
            report(x, plan, chosen, Outcome::LocalOrigin);
            x.record.trouble("per_try_timeout", || on(plan, chosen));
            Tried::Failed(Failure::PerTryTimeout, UpstreamFault::Reset, String::new())
        }
        Late::TryIdle => {
            stats.upstream_rq_per_try_idle_timeout.inc();
            report(x, plan, chosen, Outcome::LocalOrigin);
            x.record.trouble("per_try_timeout", || on(plan, chosen));
            Tried::Failed(Failure::PerTryIdleTimeout, UpstreamFault::Reset, String::new())
        }
        Late::Route => {
            stats.upstream_rq_timeout.inc();
            report(x, plan, chosen, Outcome::LocalOrigin);
            x.record.trouble("timeout", || on(plan, chosen));
            Tried::Over(Reply::too_slow(plan.times.quiet, d::RESPONSE_TIMEOUT))
        }
        Late::Idle => Tried::Over(idle(x)),
        Late::Request => Tried::Over(too_slow(x)),
        Late::Duration => Tried::Over(Reply::life_over()),
    }
}
