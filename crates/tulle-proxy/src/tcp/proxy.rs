//! Connections whose chain forwards bytes: L4 authorization, cluster, endpoint, relay.

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tulle_engine::{
    decide::{breaker::Resource, names::Target, outlier::Outcome},
    runtime::{TcpProxy, listener::TcpClusters},
};
use tulle_telemetry::{
    ResponseFlag, ResponseFlags,
    access_log::RequestRecord,
    metrics::{TagsId, TcpKey, proxy::TcpStats},
};

use super::{
    admission::{self, Denied},
    relay::{Direction as Flow, End, Limits, Report, relay},
    tunnel,
};
use crate::{
    cluster::{
        LocalCluster, PoolKey, connecting,
        host::{Class, UpstreamFacts},
        local::{Chosen, Hold, LocalTransport, Wanted},
    },
    http::side::Side,
    listener::facts::Conn,
    names::Forwarded,
    net::stream::Stream,
    telemetry::{audit, istio::Parties},
    tls::is_resumed,
};

/// What is remembered of a connection for its log line.
pub(super) struct Outcomes {
    pub(super) flags: ResponseFlags,
    details: String,
    pub(super) transport_failure: String,
    bytes: (u64, u64),
    cluster: Option<Rc<LocalCluster>>,
    upstream: Option<(Chosen, Rc<UpstreamFacts>)>,
    /// The endpoint that was tried last.
    tried: Option<SocketAddr>,
    /// Tries to connect.
    pub(super) attempts: u32,
}

/// Serves a connection to its end.
pub(crate) async fn serve(conn: Rc<Conn>, proxy: Arc<TcpProxy>, down: Stream) {
    let Some(stats) = conn.chain.tcp_stats.clone() else { return };
    let wall = SystemTime::now();
    stats.downstream_cx_total.inc();
    let mut outcomes = Outcomes {
        flags: ResponseFlags::NONE,
        details: String::new(),
        transport_failure: String::new(),
        bytes: (0, 0),
        cluster: None,
        upstream: None,
        tried: None,
        attempts: 0,
    };
    match Box::pin(admission::ask(&conn, Some(&stats))).await {
        Ok(audited) => {
            // Now, and not at its end, which may be days away.
            if let Some(policy) = audited {
                audit::audited(&conn, &policy, 0, || subject(&conn));
            }
            forward(&conn, &proxy, (&stats, wall), down, &mut outcomes).await;
        }
        Err(Denied { details, flag, delay }) => {
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            outcomes.details = details;
            flag.into_iter().for_each(|flag| outcomes.flags.insert(flag));
            down.reset();
        }
    }
    audit::denied(&conn, &outcomes.details, || subject(&conn));
    log(&conn, wall, &outcomes);
}

/// What is asked for, for the audit log.
fn subject(conn: &Conn) -> String {
    format!("connection to {}", conn.arrival.destination)
}

async fn forward(
    conn: &Rc<Conn>,
    proxy: &TcpProxy,
    (stats, wall): (&TcpStats, SystemTime),
    down: Stream,
    out: &mut Outcomes,
) {
    let name = pick(&proxy.clusters);
    let Some(cluster) = conn.worker.cluster(name) else {
        stats.downstream_cx_no_route.inc();
        out.flags.insert(ResponseFlag::NoClusterFound);
        down.reset();
        return;
    };
    out.cluster = Some(Rc::clone(&cluster));
    let connected = match &proxy.tunnel {
        None => Box::pin(connect(conn, proxy, &cluster, out))
            .await
            .map(|(up, c, facts)| (Far::Bytes(up), c, facts)),
        Some(through) => {
            let opened = Box::pin(tunnel::open(conn, proxy, through, &cluster, out)).await;
            opened.map(|(up, c, facts)| (Far::Http(up), c, facts))
        }
    };
    let Some((far, chosen, facts)) = connected else {
        // Such a connection is one for metrics as well, with the flags that say why.
        Counter::open(conn, &cluster, out, wall).close(out.flags);
        down.reset();
        return;
    };
    out.upstream = Some((chosen, Rc::clone(&facts)));
    let mut counter = Counter::open(conn, &cluster, out, wall);
    let idle = proxy.idle_timeout.unwrap_or_default();
    let deadline = conn.worker.timers.deadline();
    let report = {
        // Kept beside the report, which does not come where the connection has lived for too long.
        let total = Cell::new((0, 0));
        let mut moved = |received, sent| {
            total.set((total.get().0 + received, total.get().1 + sent));
            counter.moved(received, sent);
        };
        // Bytes have no natural end: a relay lives until the worker is stopped at the deadline of the drain.
        let closing = |_: &mut std::task::Context<'_>| false;
        let limits = Limits { deadline: &deadline, idle, on_moved: &mut moved, closing: &closing };
        let relayed = far.relay(down, limits);
        match proxy.max_duration {
            None => relayed.await,
            Some(max) => match tokio::time::timeout(max, relayed).await {
                Ok(report) => report,
                Err(_) => {
                    stats.max_downstream_connection_duration.inc();
                    out.flags.insert(ResponseFlag::DurationTimeout);
                    let (received, sent) = total.get();
                    Report { received, sent, end: End::Idle }
                }
            },
        }
    };
    stats.downstream_cx_rx_bytes_total.add(report.received);
    stats.downstream_cx_tx_bytes_total.add(report.sent);
    out.bytes = (report.received, report.sent);
    match &report.end {
        End::Finished | End::Drained => {}
        End::Idle => stats.idle_timeout.inc(),
        End::Downstream(error) => {
            tracing::debug!(peer = %conn.arrival.peer, %error, "downstream broke off");
            out.flags.insert(ResponseFlag::DownstreamConnectionTermination);
        }
        End::Upstream(error) => {
            tracing::debug!(cluster = %cluster.config.name, %error, "upstream broke off");
            out.flags.insert(ResponseFlag::UpstreamConnectionTermination);
        }
    }
    counter.close(out.flags);
}

/// The way to the endpoint.
enum Far {
    /// A connection of its own.
    Bytes(Stream),
    /// A message body.
    Http(Side),
}

impl Far {
    /// Moves bytes both ways to the end. A side that was cut off learns it from a reset, not from an orderly end.
    async fn relay(self, mut down: Stream, limits: Limits<'_>) -> Report {
        let mut up = match self {
            Self::Http(side) => return tunnel::relay(down, side, limits).await,
            Self::Bytes(up) => up,
        };
        let report = relay(&mut down, &mut up, Flow::default(), Flow::default(), limits).await;
        match report.end {
            End::Downstream(_) => up.reset(),
            End::Upstream(_) => down.reset(),
            End::Finished | End::Idle | End::Drained => {}
        }
        report
    }
}

fn pick(clusters: &TcpClusters) -> &str {
    match clusters {
        TcpClusters::Single(name) => name,
        TcpClusters::Weighted { clusters, total } => {
            let mut left = fastrand::u64(..(*total).max(1));
            for (name, weight) in clusters {
                if left < u64::from(*weight) {
                    return name;
                }
                left -= u64::from(*weight);
            }
            clusters.last().map_or("", |(name, _)| name)
        }
    }
}

/// Connects to an endpoint, trying others as often as configured.
async fn connect(
    conn: &Rc<Conn>,
    proxy: &TcpProxy,
    cluster: &Rc<LocalCluster>,
    out: &mut Outcomes,
) -> Option<(Stream, Chosen, Rc<UpstreamFacts>)> {
    let worker = &conn.worker;
    let client = conn.arrival.peer.ip().to_canonical().to_string();
    let hash = proxy.hash_source_ip.then(|| tulle_engine::decide::hash::xxh64(client.as_bytes(), 0));
    let forwarded = if cluster.names().is_some() { forwarded(conn).await } else { None };
    for attempt in 0..proxy.max_connect_attempts.max(1) {
        out.attempts = attempt + 1;
        let destination = conn.arrival.original();
        let wanted = Wanted { destination, forwarded: forwarded.as_ref(), hash, ..Wanted::ANY };
        let Some(chosen) = cluster.choose(&wanted) else {
            cluster.stats.upstream_cx_none_healthy.inc();
            out.flags.insert(ResponseFlag::NoHealthyUpstream);
            return None;
        };
        let address = chosen.host.address;
        let Some(hold) = Hold::acquire(cluster, 0, Resource::Connection) else {
            cluster.stats.upstream_cx_overflow.inc();
            out.flags.insert(ResponseFlag::UpstreamOverflow);
            return None;
        };
        let sni = match cluster.transports.get(chosen.host.transport) {
            Some(LocalTransport::Tls(tls)) => Arc::clone(&tls.context.sni),
            _ => Arc::clone(&cluster.no_name),
        };
        let owner = cluster.proxy_protocol(&chosen.host).map(|_| Box::new(conn.between()));
        let key = PoolKey { transport: chosen.host.transport, class: Class::Tcp, sni, owner };
        match connecting::connect(worker, cluster, &chosen.host, &key, None, hold).await {
            Ok((stream, facts)) => {
                cluster.stats.upstream_cx_total.inc();
                if let Stream::TlsClient(tls) = &stream {
                    cluster.stats.ssl_handshake.inc();
                    if is_resumed(tls.get_ref().1) {
                        cluster.stats.ssl_session_reused.inc();
                    }
                }
                let _ = cluster.report(&chosen, Outcome::Connected, worker.uptime());
                return Some((stream, chosen, facts));
            }
            Err(fault) => {
                out.tried = Some(address);
                fault.count(&cluster.stats);
                let _ = cluster.report(&chosen, Outcome::LocalOrigin, worker.uptime());
                out.transport_failure = fault.reason();
                tracing::debug!(cluster = %cluster.config.name, endpoint = %chosen.host.address, %fault, "no upstream connection");
            }
        }
    }
    out.flags.insert(ResponseFlag::UpstreamConnectionFailure);
    out.flags.insert(ResponseFlag::UpstreamRetryLimitExceeded);
    None
}

/// The host that the server name of TLS names, as a filter of the chain finds it.
async fn forwarded(conn: &Conn) -> Option<Forwarded> {
    let (lookups, port) = conn.chain.lookups.as_ref()?;
    let target = Target { port: *port, ..Target::of(&conn.arrival.server_name, *port)? };
    let addresses = lookups.find(&target).await.inspect_err(|why| {
        tracing::debug!(%target, %why, "a server name leads nowhere");
    });
    Some(Forwarded { addresses: addresses.ok()?, target })
}

/// Keeps `istio_tcp_*` up to date while bytes move.
struct Counter<'a> {
    conn: &'a Conn,
    key: Option<TcpKey>,
    every: Duration,
    pending: (u64, u64),
    reported: Instant,
}

impl<'a> Counter<'a> {
    fn open(conn: &'a Conn, cluster: &Rc<LocalCluster>, out: &Outcomes, wall: SystemTime) -> Self {
        let telemetry = &conn.worker.telemetry;
        let key = conn.chain.istio.as_ref().map(|stats| {
            let tags = match stats.changes_labels() {
                true => stats.tags(telemetry, &line(conn, wall, out)),
                false => TagsId::default(),
            };
            let parties = Parties {
                reporter: stats.reporter,
                conn,
                cluster: Some(cluster),
                host: out.upstream.as_ref().map(|(c, _)| &c.host),
                upstream: out.upstream.as_ref().map(|(_, facts)| &**facts),
                told: None,
                authority: None,
                tags,
            };
            telemetry.tcp_key(&parties, ResponseFlags::NONE)
        });
        let every = conn.chain.istio.as_ref().map_or(Duration::MAX, |stats| stats.every);
        let this = Self { conn, key, every, pending: (0, 0), reported: Instant::now() };
        if let Some(key) = &this.key {
            telemetry.store.borrow_mut().tcp_opened(key, this.now());
        }
        this
    }

    fn now(&self) -> u32 {
        self.conn.worker.seconds(Instant::now())
    }

    fn moved(&mut self, received: u64, sent: u64) {
        self.pending.0 += received;
        self.pending.1 += sent;
        if self.key.is_some() && self.reported.elapsed() >= self.every {
            self.flush();
            self.reported = Instant::now();
        }
    }

    fn flush(&mut self) {
        let (received, sent) = std::mem::take(&mut self.pending);
        if let Some(key) = &self.key {
            self.conn.worker.telemetry.store.borrow_mut().tcp_bytes(key, sent, received, self.now());
        }
    }

    fn close(mut self, flags: ResponseFlags) {
        self.flush();
        let now = self.now();
        if let Some(key) = self.key {
            let key = TcpKey { flags, ..key };
            self.conn.worker.telemetry.store.borrow_mut().tcp_closed(&key, now);
        }
    }
}

fn log(conn: &Conn, wall: SystemTime, out: &Outcomes) {
    if conn.chain.logs.is_empty() {
        return;
    }
    let line = line(conn, wall, out);
    for log in &conn.chain.logs {
        log.write(&conn.worker, &line, None, fastrand::u64(..));
    }
}

/// What is known of a connection, for logs and labels.
fn line<'a>(conn: &'a Conn, wall: SystemTime, out: &'a Outcomes) -> RequestRecord<'a> {
    let cluster = out.cluster.as_ref().map(|c| &c.config);
    let tls = conn.tls.as_ref();
    RequestRecord {
        start: wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
        duration: Some(conn.start.elapsed()),
        response_flags: out.flags,
        connection_termination_details: &out.details,
        bytes_received: out.bytes.0,
        bytes_sent: out.bytes.1,
        attempts: out.attempts,
        upstream_host: out.upstream.as_ref().map(|(c, _)| c.host.address).or(out.tried),
        upstream_remote_address: out.upstream.as_ref().and_then(|(_, facts)| facts.remote),
        upstream_local_address: out.upstream.as_ref().and_then(|(_, facts)| facts.local),
        upstream_cluster: cluster.map_or("", |c| &c.stat_name),
        upstream_cluster_raw: cluster.map_or("", |c| &c.name),
        upstream_transport_failure_reason: &out.transport_failure,
        downstream_local_address: Some(conn.arrival.destination),
        downstream_remote_address: Some(conn.arrival.peer),
        downstream_direct_remote_address: Some(conn.arrival.direct_peer),
        requested_server_name: &conn.arrival.server_name,
        filter_chain_name: &conn.chain.config.name,
        downstream_peer_uri_san: conn.identity().and_then(|p| p.principal()).map_or("", |p| p),
        downstream_local_uri_san: tls.map_or("", |t| &t.local_uri_san),
        upstream_peer_uri_san: out.upstream.as_ref().map_or("", |(_, f)| &f.principal),
        downstream_tls_version: tls.map_or("", |t| t.version),
        connection_id: conn.id,
        ..RequestRecord::default()
    }
}
