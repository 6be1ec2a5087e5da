//! Opening upstream connections.

use std::{
    io,
    net::SocketAddr,
    os::{fd::OwnedFd, linux::net::SocketAddrExt as _},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

/// How an upstream socket is set up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SocketPlan {
    /// Source address, for example 127.0.0.6 for inbound traffic so that the redirection lets it pass.
    pub(crate) bind: Option<SocketAddr>,
    /// `SO_MARK`: the mark by which the redirection knows the proxy's own traffic. Needs CAP_NET_ADMIN.
    pub(crate) mark: Option<u32>,
    /// TCP keepalive, off unless the cluster asks for it.
    pub(crate) keepalive: Option<Keepalive>,
}

/// TCP keepalive of Envoy's `tcp_keepalive`; unset parts are the kernel's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keepalive {
    /// Unanswered probes until the connection counts as dead.
    pub(crate) probes: Option<u32>,
    /// Idle time before the first probe.
    pub(crate) time: Option<Duration>,
    /// Time between probes.
    pub(crate) interval: Option<Duration>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The source address cannot be had.
    Source(SocketAddr, io::Error),
    /// The peer does not answer, or the system has no socket.
    Peer(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Peer(error)
    }
}

/// Connects to `address` as `plan` says. The caller bounds the time.
///
/// # Errors
/// What the kernel says of the socket, the source address or the peer.
pub(crate) async fn connect(address: SocketAddr, plan: &SocketPlan) -> Result<TcpStream, Failed> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(mark) = plan.mark {
        socket.set_mark(mark)?;
    }
    if let Some(keepalive) = plan.keepalive {
        socket.set_tcp_keepalive(&keepalive.into())?;
    }
    if let Some(bind) = plan.bind {
        socket.bind(&bind.into()).map_err(|error| Failed::Source(bind, error))?;
    }
    Ok(TcpSocket::from_std_stream(socket.into()).connect(address).await?)
}

impl From<Keepalive> for TcpKeepalive {
    fn from(value: Keepalive) -> Self {
        let Keepalive { probes, time, interval } = value;
        let mut out = TcpKeepalive::new();
        if let Some(probes) = probes {
            out = out.with_retries(probes);
        }
        if let Some(time) = time {
            out = out.with_time(time);
        }
        if let Some(interval) = interval {
            out = out.with_interval(interval);
        }
        out
    }
}

/// Connects to the Unix socket at `path`; a leading `@` means the abstract namespace.
///
/// # Errors
/// What the kernel says of the path or the peer.
pub(crate) async fn connect_unix(path: &str) -> io::Result<TcpStream> {
    let stream = match path.strip_prefix('@') {
        Some(name) => {
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            // Connecting to a socket of this machine does not wait, but for a place in its queue.
            let stream = std::os::unix::net::UnixStream::connect_addr(&address)?;
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)?
        }
        None => UnixStream::connect(path).await?,
    };
    from_unix(stream)
}

/// A connection of a Unix socket as what all others are: reading and writing are the same, and it has no address.
fn from_unix(stream: UnixStream) -> io::Result<TcpStream> {
    let descriptor = OwnedFd::from(stream.into_std()?);
    TcpStream::from_std(descriptor.into())
}

/// Small writes go out at once.
pub(crate) fn no_delay(stream: &TcpStream) {
    // A socket that refuses the option is about to fail in a way that is reported where it is used.
    let _ = SockRef::from(stream).set_tcp_nodelay(true);
}

/// Ends a connection with RST instead of FIN, so that the peer knows that it was cut off.
pub(crate) fn reset(stream: TcpStream) {
    // A socket that refuses the option is closed in the ordinary way.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

/// [`reset`] for a connection that has been looked at.
pub(crate) fn reset_tcp(tcp: super::stream::Tcp) {
    reset(tcp.into_socket());
}
