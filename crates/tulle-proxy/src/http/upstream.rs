//! Getting a connection to the chosen endpoint, and giving it back.

use std::{
    future::poll_fn,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use tulle_engine::{
    decide::{breaker::Resource, matcher::HeaderView as _},
    runtime::{
        cluster::{Discovery, UpstreamProtocol},
        http_manager::Http2Options,
    },
};
use tulle_http::{Limits, RequestHead, Version, h1, h2::Role, uri::split_port};

use super::{
    attempt::UpstreamFault,
    downstream_h2,
    h1::H1,
    h2::{DriveError, H2, H2Stream, Io, pings::Pings},
    side::Side,
};
use crate::{
    cluster::{
        Host, LocalCluster, PoolKey,
        connecting::{self, ConnectFault},
        host::{Class, H1Upstream, H2Upstream, UpstreamFacts},
        local::{Hold, LocalTransport},
    },
    net::stream::Stream,
    tls::is_resumed,
    worker::{Worker, timers::Deadline},
};

/// How often a request that waits for a connection looks for itself.
const RECHECK: Duration = Duration::from_millis(50);

/// How long a connection that has ended may take to write out what is left.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A connection that a request may use.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Where the request is written.
    pub(crate) side: Side,
    /// What is known of the connection.
    pub(crate) facts: Rc<UpstreamFacts>,
    /// Requests it has carried, this one included.
    uses: u32,
    /// Whether it had carried requests before: a peer may close it at any moment.
    pub(crate) reused: bool,
}

/// No connection: what failed, and the transport's own words.
#[derive(Debug)]
pub(crate) struct Unreachable {
    pub(crate) fault: UpstreamFault,
    pub(crate) reason: String,
}

/// What a request asks of its connection.
pub(crate) struct Wish<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) cluster: &'a Rc<LocalCluster>,
    pub(crate) host: &'a Rc<Host>,
    pub(crate) key: &'a PoolKey,
    pub(crate) alpn: Option<&'a [Arc<str>]>,
    /// Whether pooled connections are not to be used.
    pub(crate) fresh: bool,
    /// Which circuit breakers count it: 0 default, 1 high.
    pub(crate) priority: usize,
    /// Whether it is a health check, which is no request that waits.
    pub(crate) is_check: bool,
}

/// The pool that a request belongs to.
pub(crate) fn pool_key(cluster: &LocalCluster, host: &Host, request: &RequestHead) -> PoolKey {
    let class = match (&cluster.config.protocol, request.version) {
        (UpstreamProtocol::Http2(_), _) | (UpstreamProtocol::Downstream(..), Version::Http2) => Class::Http2,
        _ => Class::Http1,
    };
    PoolKey { transport: host.transport, class, sni: server_name(cluster, host, request), owner: None }
}

fn server_name(cluster: &LocalCluster, host: &Host, request: &RequestHead) -> Arc<str> {
    let Some(LocalTransport::Tls(tls)) = cluster.transports.get(host.transport) else {
        return Arc::clone(&cluster.no_name);
    };
    let http = &cluster.config.http;
    if http.auto_sni {
        let named = Some(&http.auto_sni_header).filter(|name| !name.is_empty() && !name.starts_with(':'));
        let named = named.and_then(|name| request.headers.get_str(&**name));
        return named.map_or(request.host(), |value| split_port(value).0).into();
    }
    let endpoint = host.endpoint.borrow();
    if tls.context.auto_host_sni && !endpoint.hostname.is_empty() {
        return Arc::clone(&endpoint.hostname);
    }
    Arc::clone(&tls.context.sni)
}

/// Where a request for an original-destination cluster goes: a header may name it, otherwise where the client was going.
pub(crate) fn destination(
    cluster: &LocalCluster,
    request: &RequestHead,
    original: Option<SocketAddr>,
) -> Option<SocketAddr> {
    let Discovery::OriginalDst(settings) = &cluster.config.discovery else { return original };
    let named = settings.header.as_ref().and_then(|key| request.first(key));
    named.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).or(original)
}

/// A pooled connection, or a new one.
pub(crate) async fn acquire(wish: &Wish<'_>) -> Result<Upstream, Unreachable> {
    let shares = may_share(wish);
    let mut pending = None;
    loop {
        if !wish.fresh
            && let Some(pooled) = pooled(wish, shares).await
        {
            return Ok(pooled);
        }
        if pending.is_none() && !wish.is_check {
            pending = Some(Pending::begin(wish)?);
        }
        if !shares {
            return open(wish).await;
        }
        match wish.host.begin_opening(wish.key) {
            Ok(_opening) => return open(wish).await,
            Err(other) => other.notified().await,
        }
    }
}

/// Whether a connection of this kind may turn out to carry many requests at a time.
fn may_share(wish: &Wish<'_>) -> bool {
    match wish.key.class {
        Class::Http2 => return true,
        Class::Tcp => return false,
        Class::Http1 => {}
    }
    let Some(LocalTransport::Tls(tls)) = wish.cluster.transports.get(wish.key.transport) else {
        return false;
    };
    let offered = wish.alpn.unwrap_or(&tls.context.common.alpn);
    offered.iter().any(|p| matches!(&**p, "tulle-h1" | "h2" | "istio-h2"))
}

async fn pooled(wish: &Wish<'_>, shares: bool) -> Option<Upstream> {
    if shares && let Some(shared) = wish.host.take_shared(wish.key) {
        return Some(Upstream::of_shared(&shared, true));
    }
    let idle = poll_fn(|cx| Poll::Ready(wish.host.take_idle(cx, wish.key))).await?;
    Some(Upstream::of_idle(idle))
}

/// A new connection, as soon as the circuit breaker lets one be opened.
async fn open(wish: &Wish<'_>) -> Result<Upstream, Unreachable> {
    let Wish { worker, cluster, host, key, alpn, fresh: _, priority, is_check: _ } = wish;
    let stats = &cluster.stats;
    let hold = match Hold::acquire(cluster, *priority, Resource::Connection) {
        Some(hold) => hold,
        // As Envoy, an endpoint always gets one connection: with none at all nobody would ever free one.
        None if host.connections.get() == 0 && Hold::allows_none(cluster, *priority) => Hold::uncounted(),
        None => {
            stats.upstream_cx_overflow.inc();
            match wait_for_one(wish).await {
                Turn::Idle(idle) => return Ok(Upstream::of_idle(idle)),
                Turn::May(hold) => hold,
            }
        }
    };
    match connecting::connect(worker, cluster, host, key, *alpn, hold).await {
        Ok((stream, facts)) => {
            stats.upstream_cx_total.inc();
            if let Stream::TlsClient(tls) = &stream {
                stats.ssl_handshake.inc();
                if is_resumed(tls.get_ref().1) {
                    stats.ssl_session_reused.inc();
                }
            }
            Ok(speak(wish, stream, facts))
        }
        Err(fault) => {
            fault.count(stats);
            Err(fault.into())
        }
    }
}

impl From<ConnectFault> for Unreachable {
    fn from(fault: ConnectFault) -> Self {
        let kind = match fault {
            ConnectFault::Timeout => UpstreamFault::ConnectTimeout,
            ConnectFault::Source(..) => UpstreamFault::Source,
            ConnectFault::Io(_) | ConnectFault::Tls(_) | ConnectFault::BrokenTls => UpstreamFault::Connect,
        };
        Self { fault: kind, reason: fault.reason() }
    }
}

/// What a request that waits for a connection gets at last.
enum Turn {
    /// One that another request has finished with.
    Idle(H1Upstream),
    /// Leave to open one.
    May(Hold),
}

/// Waits until a connection is free or may be opened. The caller bounds the time.
async fn wait_for_one(wish: &Wish<'_>) -> Turn {
    loop {
        let freed = wish.cluster.freed.notified();
        let mut freed = std::pin::pin!(freed);
        freed.as_mut().enable();
        if let Some(idle) = poll_fn(|cx| Poll::Ready(wish.host.take_idle(cx, wish.key))).await {
            return Turn::Idle(idle);
        }
        if let Some(hold) = Hold::acquire(wish.cluster, wish.priority, Resource::Connection) {
            return Turn::May(hold);
        }
        // Another worker may free what this one waits for without telling: look again before long.
        let _ = tokio::time::timeout(RECHECK, freed).await;
    }
}

/// A request for which there is no connection yet: it waits until one is open, or free. As in Envoy, the circuit breaker
/// counts it from the start, even if the connection can be opened at once.
struct Pending<'a> {
    active: &'a tulle_telemetry::metrics::proxy::Stat,
    _hold: Hold,
}

impl<'a> Pending<'a> {
    fn begin(wish: &Wish<'a>) -> Result<Self, Unreachable> {
        let stats = &wish.cluster.stats;
        let Some(hold) = Hold::acquire(wish.cluster, wish.priority, Resource::Pending) else {
            stats.upstream_rq_pending_overflow.inc();
            return Err(Unreachable { fault: UpstreamFault::Overflow, reason: String::new() });
        };
        stats.upstream_rq_pending_total.inc();
        stats.upstream_rq_pending_active.inc();
        Ok(Self { active: &stats.upstream_rq_pending_active, _hold: hold })
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.active.dec();
    }
}

/// Begins to speak HTTP on a new connection: which version follows from the negotiated protocol, without one from the
/// configuration.
fn speak(wish: &Wish<'_>, stream: Stream, facts: Rc<UpstreamFacts>) -> Upstream {
    let cluster = wish.cluster;
    let http = &cluster.config.http;
    let limits = Limits {
        head_bytes: http.max_response_headers_bytes as usize,
        headers: http.max_response_headers as usize,
        target_bytes: 0,
    };
    let shared = match stream.alpn() {
        _ if wish.key.class == Class::Tcp => false,
        Some(b"tulle-h1" | b"h2" | b"istio-h2") => true,
        Some(b"http/1.1" | b"istio-http/1.1" | b"http/1.0") => false,
        _ => wish.key.class == Class::Http2,
    };
    if !shared {
        cluster.stats.upstream_cx_http1_total.inc();
        let options = h1::Options { limits, accept_http_10: true, allow_custom_methods: true };
        let mut side = Side::H1(Box::new(H1::new(stream, options)));
        if wish.key.class == Class::Tcp {
            side.become_tunnel();
        }
        return Upstream { side, facts, uses: 1, reused: false };
    }
    cluster.stats.upstream_cx_http2_total.inc();
    let options = match &cluster.config.protocol {
        UpstreamProtocol::Http2(options)
        | UpstreamProtocol::Downstream(_, options)
        | UpstreamProtocol::Auto(_, options) => options.clone(),
        UpstreamProtocol::Http1(_) => Http2Options::default(),
    };
    let h2 = H2::new(Role::Client, downstream_h2::config(&options, limits, false));
    let pings = Pings::new(&wish.worker.timers, &h2, options.keepalive);
    let most = http.max_requests_per_connection;
    let left = std::cell::Cell::new(if most == 0 { u32::MAX } else { most });
    let upstream = Rc::new(H2Upstream { h2, facts, left });
    wish.host.put_shared(wish.key, &upstream);
    tokio::task::spawn_local(drive(
        Rc::clone(wish.host),
        Rc::clone(&upstream),
        Io::new(stream),
        wish.worker.timers.deadline(),
        (http.idle_timeout.unwrap_or_default(), http.max_connection),
        (most, Rc::clone(&cluster.stats)),
        pings,
    ));
    Upstream::of_shared(&upstream, false)
}

/// The driver of an upstream HTTP/2 connection: lives until the connection ends.
async fn drive(
    host: Rc<Host>,
    upstream: Rc<H2Upstream>,
    mut io: Io,
    deadline: Deadline,
    (idle, life): (Duration, Option<Duration>),
    (most, stats): (u32, Rc<tulle_telemetry::metrics::proxy::ClusterStats>),
    mut pings: Option<Pings>,
) {
    let h2 = &upstream.h2;
    deadline.set(idle);
    let mut busy = true;
    let end = poll_fn(|cx| {
        let driven = h2.poll_drive(cx, &mut io, &mut |_| {});
        let now_busy = h2.open_streams() > 0;
        if busy && !now_busy {
            deadline.set(idle);
            h2.silent_since.set(Some(Instant::now()));
        }
        busy = now_busy;
        // One that was taken and has not opened its stream yet is not among the opened.
        if most != 0 && h2.opened.get() >= most && !busy && !h2.leaving.get() {
            stats.upstream_cx_max_requests.inc();
            h2.leave();
        }
        if driven.is_pending() {
            let passed = deadline.poll_passed(cx) && !busy;
            if busy {
                deadline.set(idle);
            }
            if passed || life.is_some_and(|max| upstream.facts.opened.elapsed() >= max) {
                h2.leave();
            }
            if pings.as_mut().is_some_and(|pings| pings.poll(cx, h2).is_ready()) {
                return Poll::Ready(Err(DriveError::Silent));
            }
        }
        driven
    })
    .await;
    if let Err(error) = &end {
        tracing::debug!(endpoint = %host.address, %error, "upstream HTTP/2 connection ended");
    }
    host.drop_shared(h2);
    h2.die();
    deadline.set(LAST_WORDS);
    poll_fn(|cx| {
        let done = h2.poll_last_words(cx, &mut io).is_ready() || deadline.poll_passed(cx);
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl Upstream {
    fn of_idle(idle: H1Upstream) -> Self {
        let H1Upstream { h1, facts, uses, since: _ } = idle;
        Self { side: Side::H1(h1), facts, uses, reused: true }
    }

    fn of_shared(shared: &H2Upstream, reused: bool) -> Self {
        shared.left.set(match shared.left.get() {
            u32::MAX => u32::MAX,
            left => left.saturating_sub(1),
        });
        let side = Side::H2(Box::new(H2Stream::to_open(Rc::clone(&shared.h2))));
        Self { side, facts: Rc::clone(&shared.facts), uses: 1, reused }
    }

    /// Gives a connection back whose exchange is complete.
    pub(crate) fn give_back(
        self,
        worker: &Worker,
        cluster: &LocalCluster,
        host: &Rc<Host>,
        key: &PoolKey,
        now: Instant,
    ) {
        let http = &cluster.config.http;
        let worn = http.max_requests_per_connection != 0 && self.uses >= http.max_requests_per_connection;
        let old = http.max_connection.is_some_and(|max| now.duration_since(self.facts.opened) >= max);
        if worn {
            cluster.stats.upstream_cx_max_requests.inc();
        }
        if worn || old {
            return;
        }
        match self.side {
            Side::H2(_) => {}
            Side::H1(h1) => {
                if h1.has_unread() || !h1.is_flushed() {
                    return;
                }
                host.put_idle(key, H1Upstream { h1, facts: self.facts, uses: self.uses, since: now }, now);
                worker.sweeper.watch(host, http.idle_timeout);
                cluster.freed.notify_one();
            }
        }
    }
}
