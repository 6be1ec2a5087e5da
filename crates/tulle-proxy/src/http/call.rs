//! Calls that the proxy makes for itself, to a service behind a cluster: over the same pools, breakers and statistics as requests.

use std::{
    future::poll_fn,
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};

use tulle_engine::decide::{breaker::Resource, outlier::Outcome};
use tulle_http::{
    HeaderList, Known, RequestHead, ResponseHead,
    h1::{Persistence, RequestSent},
};

use super::{
    attempt::UpstreamFault,
    side::{Length, Piece},
    upstream::{self, Upstream, Wish},
};
use crate::{
    cluster::{
        LocalCluster,
        local::{Chosen, Hold, Wanted},
    },
    worker::Worker,
};

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Called {
    /// The head.
    pub(crate) head: ResponseHead,
    /// The body, if it was to be kept.
    pub(crate) body: Vec<u8>,
    /// The trailers.
    pub(crate) trailers: HeaderList,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallFault {
    /// The cluster does not exist.
    #[error("there is no cluster {0}")]
    NoCluster(String),
    /// It has no endpoint to send to.
    #[error("no healthy upstream")]
    NoHost,
    /// The connection failed, or there was none.
    #[error("{0:?} {1}")]
    Upstream(UpstreamFault, String),
    /// The answer is longer than is kept.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// What is done with the body of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keep {
    /// It is read and forgotten.
    Nothing,
    /// It is kept, up to so many bytes; a longer one is a fault.
    UpTo(usize),
}

/// Calls an endpoint of the cluster with that name.
pub(crate) async fn by_name(
    worker: &Rc<Worker>,
    cluster: &str,
    head: &RequestHead,
    body: &[u8],
    keep: Keep,
) -> Result<Called, CallFault> {
    let found = worker.cluster(cluster).ok_or_else(|| CallFault::NoCluster(cluster.to_owned()))?;
    call(worker, &found, head, body, keep).await
}

/// Calls an endpoint of a cluster. Dropping the future gives the call up.
pub(crate) async fn call(
    worker: &Rc<Worker>,
    cluster: &Rc<LocalCluster>,
    head: &RequestHead,
    body: &[u8],
    keep: Keep,
) -> Result<Called, CallFault> {
    let Some(_request) = Hold::acquire(cluster, 0, Resource::Request) else {
        cluster.stats.upstream_rq_pending_overflow.inc();
        return Err(CallFault::Upstream(UpstreamFault::Overflow, String::new()));
    };
    let _active = Active::new(cluster);
    let mut fresh = false;
    loop {
        let Some(chosen) = cluster.choose(&Wanted::ANY) else {
            cluster.stats.upstream_cx_none_healthy.inc();
            return Err(CallFault::NoHost);
        };
        let mut reused = false;
        let result = once(worker, cluster, &chosen, (head, body), keep, (fresh, &mut reused)).await;
        let uptime = worker.uptime();
        match result {
            Ok(called) => {
                cluster.stats.count_status(called.head.status);
                let _ = cluster.report(&chosen, Outcome::Status(called.head.status), uptime);
                return Ok(called);
            }
            // The pooled connection had been closed by its peer: the call never got anywhere.
            Err(CallFault::Upstream(UpstreamFault::Closed, _)) if reused && !fresh => fresh = true,
            Err(fault) => {
                let _ = cluster.report(&chosen, Outcome::LocalOrigin, uptime);
                return Err(fault);
            }
        }
    }
}

async fn once(
    worker: &Rc<Worker>,
    cluster: &Rc<LocalCluster>,
    chosen: &Chosen,
    (head, body): (&RequestHead, &[u8]),
    keep: Keep,
    (fresh, reused): (bool, &mut bool),
) -> Result<Called, CallFault> {
    let key = upstream::pool_key(cluster, &chosen.host, head);
    let wish = Wish {
        worker,
        cluster,
        host: &chosen.host,
        key: &key,
        alpn: None,
        fresh,
        priority: 0,
        is_check: false,
    };
    let mut up = upstream::acquire(&wish).await.map_err(|u| CallFault::Upstream(u.fault, u.reason))?;
    *reused = up.reused;
    cluster.stats.upstream_rq_total.inc();
    let said = !body.is_empty() || head.headers.contains(Known::ContentLength);
    let length = if said { Length::Known(body.len() as u64) } else { Length::None };
    up.side.write_request(head, length, Persistence::KeepAlive);
    let broken = |fault: UpstreamFault| CallFault::Upstream(fault, String::new());
    write_body(&mut up, body).await.ok_or_else(|| broken(UpstreamFault::Closed))?;
    let mut called = Called::default();
    let keep_alive = read_head(&mut up, head, &mut called.head).await.map_err(broken)?;
    read_body(&mut up, &mut called.body, keep).await?;
    called.trailers.extend(up.side.trailers());
    if keep_alive {
        up.give_back(worker, cluster, &chosen.host, &key, Instant::now());
    }
    Ok(called)
}

async fn write_body(up: &mut Upstream, body: &[u8]) -> Option<()> {
    let mut rest = body;
    while !rest.is_empty() {
        let room = poll_fn(|cx| up.side.poll_room(cx)).await.ok()?;
        let (now, later) = rest.split_at(rest.len().min(room));
        up.side.write_data(now).ok()?;
        rest = later;
    }
    if !body.is_empty() {
        up.side.write_end(&HeaderList::new()).ok()?;
    }
    Some(())
}

/// Reads the final head. Whether the connection may be used again.
async fn read_head(
    up: &mut Upstream,
    request: &RequestHead,
    head: &mut ResponseHead,
) -> Result<bool, UpstreamFault> {
    loop {
        let answer = poll_fn(|cx| {
            let _ = up.side.poll_flush(cx);
            let sent = RequestSent { method: &request.method, upgrade: false };
            up.side.poll_response(cx, sent, head)
        })
        .await?;
        if !head.is_informational() {
            return Ok(answer.keep_alive);
        }
    }
}

async fn read_body(up: &mut Upstream, body: &mut Vec<u8>, keep: Keep) -> Result<(), CallFault> {
    poll_fn(|cx| {
        loop {
            match up.side.poll_piece(cx) {
                Poll::Ready(Ok(Piece::Data)) => {
                    let data = up.side.data();
                    let count = data.len();
                    if let Keep::UpTo(most) = keep {
                        if body.len() + count > most {
                            return Poll::Ready(Err(CallFault::TooLong(most)));
                        }
                        body.extend_from_slice(data);
                    }
                    up.side.consume(count);
                }
                Poll::Ready(Ok(Piece::End)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(_)) => {
                    return Poll::Ready(Err(CallFault::Upstream(UpstreamFault::Closed, String::new())));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// Ends a call that takes longer; `None` waits as long as it takes.
pub(crate) async fn within<T>(limit: Option<Duration>, call: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, call).await.ok(),
        None => Some(call.await),
    }
}

/// Counts a call among those under way.
struct Active<'a>(&'a LocalCluster);

impl<'a> Active<'a> {
    fn new(cluster: &'a LocalCluster) -> Self {
        cluster.stats.upstream_rq_active.inc();
        Self(cluster)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.stats.upstream_rq_active.dec();
    }
}
