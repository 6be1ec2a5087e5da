//! The router: cluster, endpoint, tries, and the response on its way back.
//!
//! [`prepare`] changes the request once; [`once`] is one try; [`again`] decides whether another follows; [`answer`] passes the
//! response on; [`mirror`] sends copies elsewhere.

mod again;
mod answer;
mod ends;
mod mirror;
mod once;
mod prepare;

use std::rc::Rc;

use smallvec::SmallVec;
use tulle_engine::{
    decide::{
        breaker::Resource,
        hash,
        retry::{Failure, RetryState},
        route::{Found, pick_cluster},
        timeout::{self, Timeouts},
    },
    runtime::{
        RouteTable,
        route::{ClusterChoice, Forward, Priority, WeightedCluster},
    },
};
use tulle_telemetry::{ResponseFlag, details as d};

pub(crate) use self::answer::tell_request_id;
pub(crate) use self::ends::{client_gone, idle, too_slow};
use super::{
    attempt::{Answer, Replay, UpstreamFault},
    deliver::Rest,
    exchange::Exchange,
    reply::Reply,
    upstream::Upstream,
};
use crate::cluster::{
    LocalCluster, PoolKey,
    local::{Chosen, Hold},
};

/// The most that is kept of a request's body for another try where nothing else is configured.
const REPLAY_LIMIT: u64 = 64 * 1024;

/// What is fixed for all tries of a request.
pub(super) struct Plan<'t> {
    pub(super) table: &'t RouteTable,
    pub(super) found: &'t Found<'t>,
    pub(super) to: &'t Forward,
    pub(super) weighted: Option<&'t WeightedCluster>,
    pub(super) cluster: Rc<LocalCluster>,
    pub(super) priority: usize,
    pub(super) times: Timeouts,
    pub(super) upgrade: bool,
    /// CONNECT ends here: the endpoint gets the bytes of the tunnel.
    pub(super) terminates: bool,
    pub(super) hash: hash::RequestHash,
}

/// What came of one try.
pub(super) enum Tried {
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
    let hash = if to.hash_policies.is_empty() { hash::RequestHash::default() } else { hash_of(x, to) };
    let picked = pick_cluster(&to.cluster, &x.s.request, x.record.random, hash.hash);
    let weighted = match (&to.cluster, picked.weighted) {
        // Found again in the route, so that it does not borrow the request.
        (ClusterChoice::Weighted(all), Some(w)) => all.clusters.iter().find(|c| std::ptr::eq(*c, w)),
        _ => None,
    };
    let cluster = x.conn.worker.cluster(picked.name);
    let outcome = to_cluster(x, (table, found), to, (cluster, weighted), hash).await;
    outcome.map_err(|mut reply| {
        x.change_reply(table, found, weighted, &mut reply);
        reply
    })
}

/// Forwards the request to the cluster that was picked, if there is one of that name.
async fn to_cluster(
    x: &mut Exchange<'_>,
    (table, found): (&RouteTable, &Found<'_>),
    to: &Forward,
    (cluster, weighted): (Option<Rc<LocalCluster>>, Option<&WeightedCluster>),
    hash: hash::RequestHash,
) -> Result<(), Reply> {
    let Some(cluster) = cluster else {
        x.manager.stats.no_cluster.inc();
        return Err(Reply::no_cluster(to.cluster_not_found_status));
    };
    x.record.cluster = Some(Rc::clone(&cluster));
    if cluster.drops() {
        return Err(Reply::new(503, "drop overload", "drop_overload").flag(ResponseFlag::DropOverload));
    }
    let trusted = x.record.trusted;
    let mut retry = RetryState::new(to.retry.as_deref(), &x.s.request, trusted);
    let times = timeout::resolve(to, &x.manager.config.timeouts, &mut x.s.request, trusted);
    let priority = usize::from(to.priority == Priority::High);
    let upgrade = prepare::wants_upgrade(x, to)?;
    let terminates = to.connect_terminate && x.s.request.is_connect();
    let plan = Plan { table, found, to, weighted, cluster, priority, times, upgrade, terminates, hash };
    let Some(_request) = Hold::acquire(&plan.cluster, priority, Resource::Request) else {
        plan.cluster.stats.upstream_rq_pending_overflow.inc();
        x.record.trouble("circuit_open", || again::overflow(&plan, "requests"));
        return Err(Reply::upstream(UpstreamFault::Overflow, false, ""));
    };
    prepare::prepare(x, &plan);
    let keeps = retry.as_ref().is_some_and(|r| r.left() > 0) || !to.mirrors.is_empty();
    let limit = if keeps { found.route.buffer_limit.unwrap_or(REPLAY_LIMIT) } else { 0 };
    let mut replay = match x.held.take() {
        Some(body) => Replay::held(body),
        None => Replay::new(usize::try_from(limit).unwrap_or(usize::MAX)),
    };
    plan.cluster.stats.upstream_rq_active.inc();
    let outcome = try_on(x, &plan, &mut retry, &mut replay).await;
    plan.cluster.stats.upstream_rq_active.dec();
    outcome
}

/// Tries until a response is delivered, or until the client gets another answer.
async fn try_on(
    x: &mut Exchange<'_>,
    plan: &Plan<'_>,
    retry: &mut Option<RetryState<'_>>,
    replay: &mut Replay,
) -> Result<(), Reply> {
    let mut tries = Tries::default();
    loop {
        match once::attempt(x, plan, replay, &mut tries).await {
            Tried::Over(reply) => return Err(reply),
            Tried::Response(up, chosen, key, answer) => {
                if again::after_response(x, plan, retry, replay, &mut tries).await? {
                    continue;
                }
                mirror::send(x, plan, replay);
                if tries.rest(replay).bytes.is_empty() {
                    replay.drop_copy();
                }
                let rest = tries.rest(replay);
                answer::deliver(x, plan, up, chosen, key, answer, rest).await;
                return Ok(());
            }
            Tried::Failed(failure, fault, reason) => {
                let harmless = tries.unseen || x.s.request.method.is_idempotent();
                if tries.stale && replayable(x, replay) && harmless {
                    // The pooled connection had been closed by its peer; the request never got anywhere.
                    continue;
                }
                if !again::after_failure(x, plan, retry, replay, failure, &mut tries).await? {
                    x.record.transport_failure.clone_from(&reason);
                    return Err(failed(x, plan, failure, fault, &reason));
                }
            }
        }
    }
}

/// What is remembered from one try to the next.
#[derive(Default)]
pub(super) struct Tries {
    pub(super) tried: SmallVec<[std::net::SocketAddr; 4]>,
    /// The priorities of these.
    pub(super) priorities: SmallVec<[u32; 4]>,
    /// The present try is a retry, and counts as one under way.
    pub(super) retrying: Option<Hold>,
    /// The last try used a pooled connection that its peer had closed.
    pub(super) stale: bool,
    /// That peer has said that it never saw the request, so that it may be sent again whatever its method.
    pub(super) unseen: bool,
    /// Pooled connections are not used any more: one was stale.
    pub(super) fresh: bool,
    /// How much of the kept body has been written to the present upstream, and whether its end has.
    pub(super) written: (usize, bool),
}

impl Tries {
    /// What the present upstream has not got yet of the part of the body that had been read before.
    fn rest<'r>(&self, replay: &'r Replay) -> Rest<'r> {
        let bytes = replay.bytes().and_then(|bytes| bytes.get(self.written.0..)).unwrap_or_default();
        Rest { bytes, ended: self.written.1 }
    }
}

/// What the client gets when the last try failed.
fn failed(x: &Exchange<'_>, plan: &Plan<'_>, failure: Failure, fault: UpstreamFault, reason: &str) -> Reply {
    match failure {
        Failure::PerTryTimeout => return Reply::too_slow(plan.times.quiet, d::UPSTREAM_PER_TRY_TIMEOUT),
        Failure::PerTryIdleTimeout => {
            return Reply::too_slow(plan.times.quiet, d::UPSTREAM_PER_TRY_IDLE_TIMEOUT);
        }
        _ => {}
    }
    Reply::upstream(fault, x.record.attempts > 1, reason)
}

/// The hash of the request by the route's policies.
fn hash_of(x: &Exchange<'_>, to: &Forward) -> hash::RequestHash {
    hash::request_hash(&to.hash_policies, &x.s.request, x.record.remote.ip(), &mut || fastrand::u64(..))
}

fn replayable(x: &Exchange<'_>, replay: &Replay) -> bool {
    x.flow.bytes == 0 || replay.bytes().is_some()
}
