//! Copies of a request for other clusters, whose answers are thrown away.

use std::{future::poll_fn, rc::Rc, task::Poll, time::Duration};

use tulle_engine::decide::{header_ops, route::header_text};
use tulle_engine::runtime::route::{ClusterName, Mirror};
use tulle_http::{
    HeaderList, RequestHead, ResponseHead,
    h1::{Persistence, RequestSent},
};

use super::Plan;
use crate::{
    cluster::LocalCluster,
    http::{
        attempt::Replay,
        context,
        exchange::Exchange,
        side::{Length, Piece},
        upstream::{self, Upstream, Wish},
    },
    worker::Worker,
};

/// How long a copy may take where the route has no timeout.
const LIMIT: Duration = Duration::from_secs(15);

/// Starts the copies that the route asks for, once the request is complete. A body that could not be kept whole is not copied.
pub(super) fn send(x: &Exchange<'_>, plan: &Plan<'_>, replay: &Replay) {
    if plan.to.mirrors.is_empty() || !x.flow.done || plan.upgrade {
        return;
    }
    let body = match replay.bytes() {
        Some(bytes) => bytes,
        None if x.flow.bytes == 0 => &[],
        None => return,
    };
    for mirror in plan.to.mirrors.iter().filter(|m| m.fraction.hits(fastrand::u64(..))) {
        let name = match &mirror.cluster {
            ClusterName::Name(name) => &**name,
            ClusterName::Header(key) => header_text(&x.s.request, key),
        };
        let Some(cluster) = x.conn.worker.cluster(name) else { continue };
        let head = copy_of(x, plan, mirror);
        let worker = Rc::clone(&x.conn.worker);
        let limit = plan.times.global.unwrap_or(LIMIT);
        let body = body.to_vec();
        tokio::task::spawn_local(async move {
            // A copy that is late is given up; nobody waits for it.
            let _ = tokio::time::timeout(limit, carry(worker, cluster, head, body)).await;
        });
    }
}

fn copy_of(x: &Exchange<'_>, plan: &Plan<'_>, mirror: &Mirror) -> RequestHead {
    let Mirror { cluster: _, fraction: _, shadow_suffix, host_rewrite, headers } = mirror;
    let mut head = x.s.request.clone();
    if !host_rewrite.is_empty() {
        head.authority = host_rewrite.to_string();
    }
    if *shadow_suffix {
        let at = head.host().len();
        head.authority.insert_str(at, "-shadow");
    }
    if !headers.is_empty() {
        let cx = context::of(x, &plan.found.route.name);
        header_ops::apply_to_request(headers, &mut head, &cx, &mut String::new());
    }
    head
}

/// Sends a copy and reads its answer to the end. Whatever fails ends the copy.
async fn carry(
    worker: Rc<Worker>,
    cluster: Rc<LocalCluster>,
    head: RequestHead,
    body: Vec<u8>,
) -> Option<()> {
    let chosen = cluster.choose(None, None, &|_| false, 1)?;
    let key = upstream::pool_key(&cluster, &chosen.host, &head);
    let wish = Wish {
        worker: &worker,
        cluster: &cluster,
        host: &chosen.host,
        key: &key,
        alpn: None,
        fresh: false,
        priority: 0,
    };
    let mut up = upstream::acquire(&wish).await.ok()?;
    cluster.stats.upstream_rq_total.inc();
    let length = if body.is_empty() { Length::None } else { Length::Known(body.len() as u64) };
    up.side.write_request(&head, length, Persistence::KeepAlive);
    write_body(&mut up, &body).await?;
    let mut answer = ResponseHead::default();
    let keep = loop {
        let sent = || RequestSent { method: &head.method, upgrade: false };
        let got = poll_fn(|cx| {
            let _ = up.side.poll_flush(cx);
            up.side.poll_response(cx, sent(), &mut answer)
        })
        .await
        .ok()?;
        if !answer.is_informational() {
            break got.keep_alive;
        }
    };
    cluster.stats.count_status(answer.status);
    poll_fn(|cx| {
        loop {
            match up.side.poll_piece(cx) {
                Poll::Ready(Ok(Piece::Data)) => up.side.consume(up.side.data().len()),
                Poll::Ready(Ok(Piece::End)) => return Poll::Ready(Some(())),
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await?;
    if keep {
        up.give_back(&worker, &cluster, &chosen.host, &key, std::time::Instant::now());
    }
    Some(())
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
