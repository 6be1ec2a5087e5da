//! Opening a connection to an endpoint, TLS included.

use std::{
    cell::Cell,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use rustls::pki_types::ServerName;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tulle_engine::runtime::cluster::ProxyProtocol;
use tulle_identity::{PeerFault, peer_fault};
use tulle_telemetry::metrics::proxy::ClusterStats;

use super::{
    host::{Between, Host, PoolKey, UpstreamFacts},
    local::{Hold, LocalCluster, LocalTransport},
};
use crate::{
    net::{
        connect::{self, Keepalive, SocketPlan},
        proxy_header,
        stream::{Stream, Tcp},
    },
    telemetry::audit,
    tls::Connecting,
    worker::Worker,
};

/// Why an endpoint could not be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectFault {
    /// The kernel or the peer refused.
    #[error("{0}")]
    Io(io::Error),
    /// The address to connect from cannot be had.
    #[error("failed to bind to {0}: {1}")]
    Source(SocketAddr, io::Error),
    /// It took longer than the cluster's `connect_timeout`.
    #[error("connection timeout")]
    Timeout,
    /// The TLS handshake failed.
    #[error("TLS error: {0}")]
    Tls(io::Error),
    /// TLS cannot be set up.
    #[error("TLS is not set up for this cluster")]
    BrokenTls,
}

impl From<connect::Failed> for ConnectFault {
    fn from(failed: connect::Failed) -> Self {
        match failed {
            connect::Failed::Source(address, error) => Self::Source(address, error),
            connect::Failed::Peer(error) => Self::Io(error),
        }
    }
}

impl ConnectFault {
    /// Envoy's transport failure reason: in the transport's words; empty where there is none.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Timeout => String::new(),
            Self::Source(address, error) => format!("failed to bind to {address}: {}", words(error)),
            Self::Io(error) => format!("delayed connect error: {}", words(error)),
            Self::Tls(error) => format!("TLS_error: {error}"),
            Self::BrokenTls => self.to_string(),
        }
    }
}

/// The system's words for an error, without its number.
fn words(error: &io::Error) -> String {
    let mut text = error.to_string();
    text.truncate(text.find(" (os error").unwrap_or(text.len()));
    text
}

impl ConnectFault {
    /// Counts it.
    pub(crate) fn count(&self, stats: &ClusterStats) {
        stats.upstream_cx_connect_fail.inc();
        match self {
            Self::Timeout => stats.upstream_cx_connect_timeout.inc(),
            Self::Tls(error) => {
                stats.ssl_connection_error.inc();
                match peer_fault(error) {
                    Some(PeerFault::Names) => stats.ssl_fail_verify_san.inc(),
                    Some(PeerFault::Missing | PeerFault::Certificate) => stats.ssl_fail_verify_error.inc(),
                    None => {}
                }
            }
            Self::Io(_) | Self::Source(..) | Self::BrokenTls => {}
        }
    }
}

/// Connects to `host`, offering `alpn` instead of the transport socket's own protocols where given.
pub(crate) async fn connect(
    worker: &Rc<Worker>,
    cluster: &LocalCluster,
    host: &Rc<Host>,
    key: &PoolKey,
    alpn: Option<&[Arc<str>]>,
    hold: Hold,
) -> Result<(Stream, Rc<UpstreamFacts>), ConnectFault> {
    let counted = (worker.count(|g| &g.upstream), host.count_connection(), hold);
    let attempt = establish(worker, cluster, host, key, alpn);
    let attempt = tokio::time::timeout(cluster.config.connect_timeout, attempt).await;
    let stream = attempt.map_err(|_| ConnectFault::Timeout)?.inspect_err(|fault| {
        if let ConnectFault::Tls(error) = fault {
            let subject = format!("connection to {}", cluster.config.name);
            audit::refused(&worker.settings.audit, error, &subject, ("endpoint", host.address));
        }
    })?;
    let principal = stream.peer_principal().unwrap_or_else(|| Arc::clone(&cluster.no_name));
    let facts = UpstreamFacts {
        local: stream.tcp().socket().local_addr().ok(),
        // An endpoint of several addresses may have answered at any of them.
        remote: match host.addresses(cluster.config.happy_eyeballs)[..] {
            [only] => Some(only),
            _ => stream.tcp().socket().peer_addr().ok(),
        },
        principal,
        opened: Instant::now(),
        peer_id: Cell::new(None),
        _counted: counted,
    };
    Ok((stream, Rc::new(facts)))
}

/// After how long without an answer an endpoint's next address is tried beside the ones before (Envoy's, RFC 8305 section 5).
const NEXT_ATTEMPT: Duration = Duration::from_millis(300);

async fn establish(
    worker: &Worker,
    cluster: &LocalCluster,
    host: &Host,
    key: &PoolKey,
    alpn: Option<&[Arc<str>]>,
) -> Result<Stream, ConnectFault> {
    let tls = match cluster.transports.get(key.transport) {
        None | Some(LocalTransport::Plain) => None,
        Some(LocalTransport::Tls(tls)) => {
            Some(tls.config(alpn, &worker.settings.secrets).map_err(|_| ConnectFault::BrokenTls)?)
        }
    };
    let version = cluster.config.transports.get(key.transport).and_then(|t| t.proxy_protocol);
    let preamble = version.map(|version| (version, key.owner.as_deref().copied()));
    if let Some(path) = host.socket() {
        let socket = connect::connect_unix(&path).await.map_err(ConnectFault::Io)?;
        return wrap(socket, preamble, key, host.address.ip(), tls).await;
    }
    let one = |address| reach(worker, cluster, address, (key, preamble), tls.clone());
    match host.addresses(cluster.config.happy_eyeballs)[..] {
        [only] => one(only).await,
        ref several => first_of(several, one).await,
    }
}

/// Tries addresses in turn: the next one as soon as one fails, or beside it after a while; the first connection that is
/// ready, TLS included, is taken. The last failure counts when there is none.
async fn first_of<T, F>(
    addresses: &[SocketAddr],
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<T, ConnectFault>
where
    F: Future<Output = Result<T, ConnectFault>>,
{
    let mut left = addresses.iter();
    let mut under_way: Vec<Pin<Box<F>>> = left.next().map(|a| Box::pin(attempt(*a))).into_iter().collect();
    loop {
        let any = std::future::poll_fn(|cx| {
            for (i, one) in under_way.iter_mut().enumerate() {
                if let Poll::Ready(result) = one.as_mut().poll(cx) {
                    return Poll::Ready((i, result));
                }
            }
            Poll::Pending
        });
        let ended = if left.len() == 0 {
            Some(any.await)
        } else {
            tokio::time::timeout(NEXT_ATTEMPT, any).await.ok()
        };
        match ended {
            Some((_, Ok(done))) => return Ok(done),
            Some((i, Err(fault))) => {
                drop(under_way.swap_remove(i));
                if left.len() == 0 && under_way.is_empty() {
                    return Err(fault);
                }
            }
            None => {}
        }
        under_way.extend(left.next().map(|a| Box::pin(attempt(*a))));
    }
}

/// Connects to one address of an endpoint.
async fn reach(
    worker: &Worker,
    cluster: &LocalCluster,
    address: SocketAddr,
    (key, preamble): (&PoolKey, Option<Preamble>),
    tls: Option<Connecting>,
) -> Result<Stream, ConnectFault> {
    let sources = &cluster.config.source_addresses;
    let plan = SocketPlan {
        // Of the same family; where there is none the kernel refuses, as in Envoy.
        bind: sources.iter().find(|s| s.is_ipv4() == address.is_ipv4()).or(sources.first()).copied(),
        mark: worker.settings.mark,
        keepalive: cluster.config.keepalive.map(Keepalive::from),
    };
    let socket = connect::connect(address, &plan).await?;
    wrap(socket, preamble, key, address.ip(), tls).await
}

/// What begins a connection: which version of the PROXY protocol, and who is told of.
type Preamble = (ProxyProtocol, Option<Between>);

/// Says who the client is, and puts TLS around what follows.
async fn wrap(
    mut socket: TcpStream,
    preamble: Option<Preamble>,
    key: &PoolKey,
    ip: IpAddr,
    tls: Option<Connecting>,
) -> Result<Stream, ConnectFault> {
    if let Some((version, client)) = preamble {
        let own = || Some((socket.local_addr().ok()?, socket.peer_addr().ok()?));
        let header = proxy_header::encode(version, client, own());
        socket.write_all(&header).await.map_err(ConnectFault::Io)?;
    }
    let endpoint = socket.peer_addr().ok();
    let tcp = Tcp::new(socket);
    let Some(tls) = tls else { return Ok(Stream::Plain(tcp)) };
    let name = server_name(&key.sni, ip);
    let stream = tls.connect(name, endpoint, tcp).await.map_err(ConnectFault::Tls)?;
    Ok(Stream::TlsClient(Box::new(stream)))
}

/// The name to ask for; without a valid one the address, which is not sent (RFC 6066 section 3).
fn server_name(sni: &str, ip: IpAddr) -> ServerName<'static> {
    match ServerName::try_from(sni) {
        Ok(name) if !sni.is_empty() => name.to_owned(),
        _ => ServerName::IpAddress(ip.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn addresses(n: u16) -> Vec<SocketAddr> {
        (0..n).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect()
    }

    /// `says` gives each address its delay in milliseconds, and whether it answers then. Who was tried when.
    async fn race(says: &[(u64, bool)]) -> (Option<u16>, Vec<(u16, u64)>) {
        let start = tokio::time::Instant::now();
        let tried = RefCell::new(Vec::new());
        let attempt = |address: SocketAddr| {
            let port = address.port();
            tried.borrow_mut().push((port, u64::try_from(start.elapsed().as_millis()).unwrap()));
            let (delay, answers) = says[usize::from(port)];
            async move {
                tokio::time::sleep(Duration::from_millis(delay)).await;
                if answers { Ok(port) } else { Err(ConnectFault::Timeout) }
            }
        };
        let won = first_of(&addresses(says.len().try_into().unwrap()), attempt).await.ok();
        (won, tried.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_follows_a_failure_at_once_and_silence_after_a_while() {
        assert_eq!(race(&[(10, true), (0, true)]).await, (Some(0), vec![(0, 0)]));
        assert_eq!(race(&[(10, false), (5, true)]).await, (Some(1), vec![(0, 0), (1, 10)]));
        let silent = race(&[(9000, true), (9000, true), (50, true)]).await;
        assert_eq!(silent, (Some(2), vec![(0, 0), (1, 300), (2, 600)]));
        let late = race(&[(400, true), (9000, true)]).await;
        assert_eq!(late, (Some(0), vec![(0, 0), (1, 300)]), "the first may still win");
        let none = race(&[(10, false), (400, false), (20, false)]).await;
        assert_eq!(none, (None, vec![(0, 0), (1, 10), (2, 310)]));
    }
}
