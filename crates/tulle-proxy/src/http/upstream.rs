//! Getting a connection to the chosen endpoint, and giving it back.

use std::{
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use tulle_engine::{decide::breaker::Resource, runtime::cluster::UpstreamProtocol};
use tulle_http::{Limits, RequestHead, Version, h1};

use super::{attempt::UpstreamFault, h1::H1, side::Side};
use crate::{
    cluster::{
        Host, LocalCluster, PoolKey,
        connecting::{self, ConnectFault},
        host::{Class, H1Upstream, UpstreamFacts},
        local::{Hold, LocalTransport},
    },
    net::stream::Stream,
    worker::Worker,
};

/// How often a request that waits for a connection looks for itself.
const RECHECK: Duration = Duration::from_millis(50);

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
}

/// The pool that a request belongs to.
pub(crate) fn pool_key(cluster: &LocalCluster, host: &Host, request: &RequestHead) -> PoolKey {
    let class = match (&cluster.config.protocol, request.version) {
        (UpstreamProtocol::Http2(_), _) | (UpstreamProtocol::Downstream(..), Version::Http2) => Class::Http2,
        _ => Class::Http1,
    };
    PoolKey { transport: host.transport, class, sni: server_name(cluster, host, request) }
}

fn server_name(cluster: &LocalCluster, host: &Host, request: &RequestHead) -> Arc<str> {
    let Some(LocalTransport::Tls(tls)) = cluster.transports.get(host.transport) else {
        return Arc::clone(&cluster.no_name);
    };
    if cluster.config.http.auto_sni {
        return request.host().into();
    }
    let endpoint = host.endpoint.borrow();
    if tls.context.auto_host_sni && !endpoint.hostname.is_empty() {
        return Arc::clone(&endpoint.hostname);
    }
    Arc::clone(&tls.context.sni)
}

/// A pooled connection, or a new one.
pub(crate) async fn acquire(wish: &Wish<'_>) -> Result<Upstream, Unreachable> {
    let Wish { worker, cluster, host, key, alpn, fresh, priority } = wish;
    if !*fresh && let Some(idle) = poll_fn(|cx| Poll::Ready(host.take_idle(cx, key))).await {
        let H1Upstream { h1, facts, uses, since: _ } = idle;
        return Ok(Upstream { side: Side::H1(h1), facts, uses, reused: true });
    }
    let stats = &cluster.stats;
    let overflow = || Unreachable { fault: UpstreamFault::Overflow, reason: String::new() };
    let connection = match Hold::acquire(cluster, *priority, Resource::Connection) {
        Some(hold) => hold,
        None => {
            stats.upstream_cx_overflow.inc();
            let Some(_pending) = Hold::acquire(cluster, *priority, Resource::Pending) else {
                stats.upstream_rq_pending_overflow.inc();
                return Err(overflow());
            };
            match wait_for_one(wish).await {
                Turn::Idle(H1Upstream { h1, facts, uses, since: _ }) => {
                    return Ok(Upstream { side: Side::H1(h1), facts, uses, reused: true });
                }
                Turn::May(hold) => hold,
            }
        }
    };
    match connecting::connect(worker, cluster, host, key, *alpn, connection).await {
        Ok((stream, facts)) => {
            stats.upstream_cx_total.inc();
            Ok(speak(cluster, key, stream, facts))
        }
        Err(fault) => {
            stats.upstream_cx_connect_fail.inc();
            let (fault, reason) = match fault {
                ConnectFault::Timeout => {
                    stats.upstream_cx_connect_timeout.inc();
                    (UpstreamFault::ConnectTimeout, String::new())
                }
                ConnectFault::Io(error) => {
                    (UpstreamFault::Connect, format!("delayed connect error: {}", words(&error)))
                }
                ConnectFault::Tls(error) => {
                    stats.ssl_connection_error.inc();
                    (UpstreamFault::Connect, format!("TLS_error: {error}"))
                }
                ConnectFault::BrokenTls => (UpstreamFault::Connect, fault.to_string()),
            };
            Err(Unreachable { fault, reason })
        }
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
    let stats = &wish.cluster.stats;
    stats.upstream_rq_pending_total.inc();
    let _waiting = Waiting::new(&stats.upstream_rq_pending_active);
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

/// Keeps a gauge raised.
struct Waiting<'a>(&'a tulle_telemetry::metrics::proxy::Stat);

impl<'a> Waiting<'a> {
    fn new(gauge: &'a tulle_telemetry::metrics::proxy::Stat) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The system's words for an error, without its number.
fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

fn speak(cluster: &LocalCluster, _key: &PoolKey, stream: Stream, facts: Rc<UpstreamFacts>) -> Upstream {
    let http = &cluster.config.http;
    let limits = Limits {
        head_bytes: http.max_response_headers_bytes as usize,
        headers: http.max_response_headers as usize,
        target_bytes: 0,
    };
    cluster.stats.upstream_cx_http1_total.inc();
    let options = h1::Options { limits, accept_http_10: true, allow_custom_methods: true };
    let side = Side::H1(Box::new(H1::new(stream, options)));
    Upstream { side, facts, uses: 1, reused: false }
}

impl Upstream {
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
