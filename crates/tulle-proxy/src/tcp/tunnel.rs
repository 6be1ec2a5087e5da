//! Bytes inside of HTTP: an endpoint is asked, with CONNECT or POST, to connect to somebody else.

use std::{future::poll_fn, io, rc::Rc, task::Poll, time::Duration};

use tulle_engine::{
    decide::{breaker::Resource, outlier::Outcome},
    runtime::{TcpProxy, cluster::UpstreamProtocol, listener::TcpTunnel},
};
use tulle_http::{
    Limits as HeadLimits, Method, RequestHead, ResponseHead, Version,
    h1::{Options, Persistence, RequestSent},
};
use tulle_telemetry::ResponseFlag;

use super::{
    proxy::Outcomes,
    relay::{End, Limits, Report},
};
use crate::{
    cluster::{
        LocalCluster,
        host::UpstreamFacts,
        local::{Chosen, Hold, Wanted},
    },
    http::{
        flow::{Flow, FlowFault},
        h1::H1,
        side::{Length, Side},
        upstream::{self, Wish},
    },
    listener::facts::Conn,
    net::stream::Stream,
};

/// How long an endpoint may take to answer where connections may be silent for ever.
const LONGEST_ANSWER: Duration = Duration::from_secs(3600);

/// Asks an endpoint to connect to the tunnel's host, trying others as often as configured.
pub(super) async fn open(
    conn: &Rc<Conn>,
    proxy: &TcpProxy,
    tunnel: &TcpTunnel,
    cluster: &Rc<LocalCluster>,
    out: &mut Outcomes,
) -> Option<(Side, Chosen, Rc<UpstreamFacts>)> {
    let worker = &conn.worker;
    let head = ask_for(tunnel, cluster);
    for attempt in 0..proxy.max_connect_attempts.max(1) {
        out.attempts = attempt + 1;
        let Some(chosen) = cluster.choose(&Wanted { destination: conn.arrival.original(), ..Wanted::ANY })
        else {
            cluster.stats.upstream_cx_none_healthy.inc();
            out.flags.insert(ResponseFlag::NoHealthyUpstream);
            return None;
        };
        let Some(_request) = Hold::acquire(cluster, 0, Resource::Request) else {
            cluster.stats.upstream_rq_pending_overflow.inc();
            out.flags.insert(ResponseFlag::UpstreamOverflow);
            return None;
        };
        let mut key = upstream::pool_key(cluster, &chosen.host, &head);
        key.owner = cluster.proxy_protocol(&chosen.host).map(|_| Box::new(conn.between()));
        let wish = Wish {
            worker,
            cluster,
            host: &chosen.host,
            key: &key,
            alpn: None,
            fresh: true,
            priority: 0,
            is_check: false,
        };
        let asked = async {
            let mut up = upstream::acquire(&wish).await.map_err(|u| format!("{:?} {}", u.fault, u.reason))?;
            cluster.stats.upstream_rq_total.inc();
            let status = ask(&mut up.side, &head).await?;
            cluster.stats.count_status(status);
            match (status, &head.method) {
                (200, Method::Post) => {}
                (200..300, Method::Connect) => up.side.become_tunnel(),
                _ => return Err(format!("the tunnel was refused with status {status}")),
            }
            Ok((up.side, up.facts))
        };
        let limit = proxy.idle_timeout.filter(|t| !t.is_zero()).unwrap_or(LONGEST_ANSWER);
        let answered = tokio::time::timeout(limit, asked).await;
        match answered.unwrap_or_else(|_| Err("no answer to the request for a tunnel".to_owned())) {
            Ok((side, facts)) => {
                let _ = cluster.report(&chosen, Outcome::Connected, worker.uptime());
                return Some((side, chosen, facts));
            }
            Err(reason) => {
                let _ = cluster.report(&chosen, Outcome::LocalOrigin, worker.uptime());
                tracing::debug!(cluster = %cluster.config.name, endpoint = %chosen.host.address, %reason, "no tunnel");
                out.transport_failure = reason;
            }
        }
    }
    out.flags.insert(ResponseFlag::UpstreamConnectionFailure);
    out.flags.insert(ResponseFlag::UpstreamRetryLimitExceeded);
    None
}

fn ask_for(tunnel: &TcpTunnel, cluster: &LocalCluster) -> RequestHead {
    let http2 = matches!(cluster.config.protocol, UpstreamProtocol::Http2(_));
    RequestHead {
        method: if tunnel.post_path.is_some() { Method::Post } else { Method::Connect },
        authority: tunnel.hostname.to_string(),
        path: tunnel.post_path.as_deref().unwrap_or_default().to_owned(),
        version: if http2 { Version::Http2 } else { Version::Http11 },
        ..RequestHead::default()
    }
}

/// Sends the request and waits for the head of its answer: the status.
async fn ask(side: &mut Side, head: &RequestHead) -> Result<u16, String> {
    side.write_request(head, Length::Unknown, Persistence::KeepAlive);
    let mut answer = ResponseHead::default();
    poll_fn(|cx| {
        loop {
            let _ = side.poll_flush(cx);
            let sent = RequestSent { method: &head.method, upgrade: false };
            match side.poll_response(cx, sent, &mut answer) {
                Poll::Ready(Ok(_)) if answer.is_informational() => {}
                Poll::Ready(Ok(_)) => return Poll::Ready(Ok(answer.status)),
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(format!("{fault:?}"))),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// Moves bytes both ways until both have ended, one fails, or nothing moves for the idle time.
pub(super) async fn relay(down: Stream, mut up: Side, limits: Limits<'_>) -> Report {
    let Limits { deadline, idle, on_moved, closing } = limits;
    // Both directions are bytes: no head is read.
    let options =
        Options { limits: HeadLimits::default(), accept_http_10: false, allow_custom_methods: false };
    let mut down = Side::H1(Box::new(H1::new(down, options)));
    down.become_tunnel();
    let (mut request, mut response) = (Flow::default(), Flow::default());
    deadline.set(idle);
    let end = poll_fn(|cx| {
        let before = (request.bytes, response.bytes);
        let one = request.poll(cx, &mut down, &mut up, |_| {});
        let sent = up.poll_flush(cx);
        let two = response.poll(cx, &mut up, &mut down, |_| {});
        let received = down.poll_flush(cx);
        let moved = (request.bytes - before.0, response.bytes - before.1);
        if moved != (0, 0) {
            deadline.set(idle);
            on_moved(moved.0, moved.1);
        }
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        match (one, two, sent, received) {
            (Poll::Ready(Err(FlowFault::Read(_))), ..) | (_, Poll::Ready(Err(FlowFault::Write)), ..) => {
                Poll::Ready(End::Downstream(broken()))
            }
            (Poll::Ready(Err(FlowFault::Write)), ..) | (_, Poll::Ready(Err(FlowFault::Read(_))), ..) => {
                Poll::Ready(End::Upstream(broken()))
            }
            (_, _, Poll::Ready(Err(error)), _) => Poll::Ready(End::Upstream(error)),
            (_, _, _, Poll::Ready(Err(error))) => Poll::Ready(End::Downstream(error)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(())), Poll::Ready(_), Poll::Ready(_)) => {
                Poll::Ready(End::Finished)
            }
            _ if closing(cx) => Poll::Ready(End::Drained),
            _ if deadline.poll_passed(cx) => Poll::Ready(End::Idle),
            _ => Poll::Pending,
        }
    })
    .await;
    deadline.clear();
    match end {
        End::Downstream(_) => cut(up),
        End::Upstream(_) => cut(down),
        End::Finished | End::Idle | End::Drained => {}
    }
    Report { received: request.bytes, sent: response.bytes, end }
}

/// Tells a side that the other one broke off.
fn cut(side: Side) {
    match side {
        Side::H1(h1) => h1.into_parts().0.reset(),
        Side::H2(mut h2) => h2.reset(tulle_http::h2::ErrorCode::INTERNAL_ERROR),
    }
}
