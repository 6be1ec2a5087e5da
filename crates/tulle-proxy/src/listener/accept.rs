//! Accept loops.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::net::{TcpListener, TcpStream, UnixListener};

use super::{
    bind::ListenSocket,
    connection,
    limits::{Full, ListenerLimits},
    registry::Slot,
};
use crate::worker::Worker;

/// How long a loop waits after a failure that will not go away at once, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Starts accepting on `socket` for the listener of that name, which the worker knows.
pub(crate) fn start(worker: &Rc<Worker>, name: &Arc<str>, socket: ListenSocket) {
    let Some(slot) = worker.listeners.borrow().get(name) else { return };
    let opened = match socket {
        ListenSocket::Tcp(socket) => TcpListener::from_std(socket).map(Socket::Tcp),
        ListenSocket::Unix(socket) => UnixListener::from_std(socket).map(Socket::Unix),
    };
    let socket = match opened {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(listener = %name, %error, "cannot accept on this listener");
            return;
        }
    };
    let limits = worker.settings.limits.of(name);
    let task = tokio::task::spawn_local(accept(Rc::clone(worker), Rc::clone(&slot), socket, limits));
    slot.add_loop(task.abort_handle());
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Both ends of a connection over the file system: there are no addresses, but the peer is on this machine.
const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl Socket {
    /// A connection, with the addresses of the peer and of this end.
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr, SocketAddr)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                let local = stream.local_addr()?;
                Ok((stream, peer, local))
            }
            Self::Unix(socket) => {
                let (stream, _) = socket.accept().await?;
                // A stream is read and written in the same way whatever the family of its socket.
                let stream = std::net::TcpStream::from(OwnedFd::from(stream.into_std()?));
                Ok((TcpStream::from_std(stream)?, HERE, HERE))
            }
        }
    }
}

async fn accept(worker: Rc<Worker>, slot: Rc<Slot>, socket: Socket, limits: ListenerLimits) {
    loop {
        match socket.accept().await {
            Ok((stream, peer, local)) => {
                if worker.gauges.downstream.get() >= worker.settings.max_connections as u64 {
                    crate::net::connect::reset(stream);
                    tracing::warn!(limit = worker.settings.max_connections, "too many connections: reset");
                    continue;
                }
                let place = match limits.take() {
                    Ok(place) => place,
                    Err(full) => {
                        let stats = &slot.current().stats;
                        match full {
                            Full::Listener => stats.downstream_cx_overflow.inc(),
                            Full::Proxy => stats.downstream_global_cx_overflow.inc(),
                        }
                        // As Envoy does: closed, with a reset only where bytes came.
                        drop(stream);
                        continue;
                    }
                };
                let serve = connection::serve(Rc::clone(&worker), Rc::clone(&slot), stream, (peer, local));
                tokio::task::spawn_local(async move {
                    serve.await;
                    drop(place);
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "accept failed; waiting");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whether the failure concerns only the connection that was to be accepted (accept(2), "Error handling").
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
