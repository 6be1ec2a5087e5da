//! The beginning of a connection: where it was meant to go, what it speaks, which chain takes it.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tulle_engine::runtime::listener::{DownstreamTransport, Terminal};
use tulle_identity::{PeerFault, PeerIdentity, peer_fault};
use tulle_telemetry::events::DownstreamEvent;

use super::{
    chain::{LocalChain, LocalListener, Transport},
    facts::{Arrival, Conn, TlsFacts},
    registry::Slot,
    sniff::{self, SniffError, Sniffed},
};
use crate::{
    http,
    net::{
        connect::{self, no_delay},
        original_dst::{original_destination, unmapped},
        stream::{Stream, Tcp},
    },
    tcp,
    telemetry::audit,
    tls,
    worker::Worker,
};

/// Why a connection ended before its chain's terminal filter saw it.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Sniff(#[from] SniffError),
    #[error("no filter chain takes the connection")]
    NoChain,
    #[error("the chain's TLS is not set up")]
    BrokenTls,
    #[error("TLS handshake: {0}")]
    Handshake(std::io::Error),
    #[error("TLS handshake took too long")]
    HandshakeTimeout,
    #[error("the client sent no server name")]
    NoServerName,
}

/// Serves one accepted connection, from the peer to this end, until it is over.
///
/// The beginning and each terminal filter have memory of their own, so that a connection costs what its present stage needs.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    accepted: Rc<Slot>,
    stream: TcpStream,
    ends: (SocketAddr, SocketAddr),
) {
    let counted = worker.count(|g| &g.downstream);
    no_delay(&stream);
    let Some((conn, stream)) = Box::pin(begin(worker, accepted, stream, ends)).await else { return };
    let listener = Rc::clone(&conn.listener);
    proceed(conn, stream).await;
    listener.stats.downstream_cx_active.dec();
    listener.stats.downstream_cx_destroy.inc();
    drop(counted);
}

/// Finds out where the connection goes and sets its TLS up; `None` if it was refused.
async fn begin(
    worker: Rc<Worker>,
    accepted: Rc<Slot>,
    stream: TcpStream,
    (peer, local): (SocketAddr, SocketAddr),
) -> Option<(Rc<Conn>, Stream)> {
    let start = Instant::now();
    let (slot, listener, mut arrival) = locate(&worker, accepted, &stream, unmapped(peer), unmapped(local));
    listener.stats.downstream_cx_total.inc();
    listener.stats.downstream_cx_active.inc();
    let mut tcp = Tcp::new(stream);
    let audit = worker.settings.audit.is_on().then(|| worker.settings.audit.clone());
    let refusal = match settle(&listener, &mut tcp, &mut arrival).await {
        Ok(chain) => match wrap(&chain, &arrival, tcp).await {
            Ok((stream, tls)) => {
                let conn = Conn {
                    id: worker.next_id(),
                    deadline: worker.timers.deadline(),
                    slot,
                    listener,
                    chain,
                    arrival,
                    tls,
                    start,
                    peer_id: Cell::new(None),
                    last_card: RefCell::default(),
                    limiter: std::cell::OnceCell::new(),
                    own_pools: RefCell::default(),
                    worker,
                };
                return Some((Rc::new(conn), stream));
            }
            Err(refusal) => refusal,
        },
        Err(refusal) => {
            connect::reset_tcp(tcp);
            refusal
        }
    };
    report(&listener, peer, &refusal);
    if let (Refusal::Handshake(error), Some(audit)) = (&refusal, &audit) {
        let subject = format!("connection to {} at {}", arrival.destination, listener.config.name);
        audit::refused(audit, error, &subject, ("client", arrival.peer));
    }
    listener.stats.downstream_cx_active.dec();
    listener.stats.downstream_cx_destroy.inc();
    None
}

/// The listener that the connection belongs to, and where it was going.
fn locate(
    worker: &Worker,
    accepted: Rc<Slot>,
    stream: &TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
) -> (Rc<Slot>, Rc<LocalListener>, Arrival) {
    let mut listener = accepted.current();
    let original = if listener.wants_original_dst { original_destination(stream, local) } else { None };
    let redirected = original.is_some_and(|o| o != local);
    let destination = original.unwrap_or(local);
    let mut slot = accepted;
    if listener.config.use_original_dst
        && redirected
        && let Some(target) = worker.listeners.borrow().for_destination(destination)
        && !Rc::ptr_eq(&target, &slot)
    {
        listener = target.current();
        slot = target;
    }
    let arrival = Arrival {
        peer,
        direct_peer: peer,
        destination,
        redirected,
        server_name: Arc::from(""),
        protocols: Default::default(),
        is_tls: false,
    };
    (slot, listener, arrival)
}

/// Finds out what the connection speaks and which chain takes it.
async fn settle(
    listener: &LocalListener,
    tcp: &mut Tcp,
    arrival: &mut Arrival,
) -> Result<Rc<LocalChain>, Refusal> {
    let plan = listener.sniff_plan(arrival.destination.port());
    let Sniffed { addresses, hello, http } = sniff::sniff(tcp, plan).await?;
    if let Some((client, destination)) = addresses {
        // Where the client was going decides the chain, as in Envoy; it is not an address to connect to.
        (arrival.peer, arrival.destination, arrival.redirected) = (client, destination, false);
    }
    if let Some(hello) = hello {
        arrival.is_tls = true;
        arrival.protocols = hello.alpn;
        if let Some(name) = hello.server_name {
            arrival.server_name = name.into();
        }
    } else if let Some(http) = http {
        arrival.protocols.push(http.alpn().to_vec());
    }
    arrival.find_chain(listener).ok_or(Refusal::NoChain)
}

/// Puts TLS around the connection where the chain says so.
async fn wrap(
    chain: &LocalChain,
    arrival: &Arrival,
    tcp: Tcp,
) -> Result<(Stream, Option<Box<TlsFacts>>), Refusal> {
    let config = match &chain.transport {
        Transport::Plain => return Ok((Stream::Plain(tcp), None)),
        Transport::Tls(accepting) => accepting,
        Transport::Broken => {
            connect::reset_tcp(tcp);
            return Err(Refusal::BrokenTls);
        }
    };
    if let DownstreamTransport::Tls(context) = &chain.config.transport
        && context.require_sni
        && arrival.server_name.is_empty()
    {
        connect::reset_tcp(tcp);
        return Err(Refusal::NoServerName);
    }
    let handshake = config.accept(tcp);
    // Without a limit of its own a handshake would hold a socket for as long as a client likes.
    let limit = chain.config.handshake_timeout.unwrap_or(Duration::from_secs(15));
    match tokio::time::timeout(limit, handshake).await {
        Err(_) => Err(Refusal::HandshakeTimeout),
        Ok(Err(error)) => Err(Refusal::Handshake(error)),
        Ok(Ok(stream)) => {
            chain.stats.ssl_handshake.inc();
            if tls::is_resumed(stream.get_ref().1) {
                chain.stats.ssl_session_reused.inc();
            }
            let facts = tls_facts(chain, &stream);
            Ok((Stream::TlsServer(Box::new(stream)), Some(Box::new(facts))))
        }
    }
}

fn tls_facts(chain: &LocalChain, stream: &TlsStream<Tcp>) -> TlsFacts {
    let (_, session) = stream.get_ref();
    // A chain that passed verification can be read; were it otherwise, the peer would count as unknown.
    let peer = session.peer_certificates().and_then(|c| PeerIdentity::read(c).ok().flatten());
    TlsFacts {
        version: match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        },
        alpn: session.alpn_protocol().map(<[u8]>::to_vec),
        subject: peer.as_ref().and_then(|p| p.info().ok()).map(|i| i.subject).unwrap_or_default(),
        fingerprint: peer.as_ref().map(PeerIdentity::fingerprint).unwrap_or_default(),
        local_uri_san: chain.local_uri_san(),
        peer,
    }
}

/// Hands the connection to its terminal filter.
async fn proceed(conn: Rc<Conn>, stream: Stream) {
    match &conn.chain.config.terminal {
        Terminal::Tcp(proxy) => {
            let proxy = Arc::clone(proxy);
            Box::pin(tcp::proxy::serve(conn, proxy, stream)).await;
        }
        Terminal::Http(_) => {
            if tcp::admission::is_guarded(&conn)
                && let Err(denied) = Box::pin(tcp::admission::ask(&conn, None)).await
            {
                audit::denied(&conn, &denied.details, || {
                    format!("connection to {}", conn.arrival.destination)
                });
                tracing::debug!(listener = %conn.listener.config.name, ?denied, "connection refused");
                tokio::time::sleep(denied.delay.unwrap_or_default()).await;
                stream.reset();
                return;
            }
            http::serve(conn, stream).await;
        }
    }
}

fn report(listener: &LocalListener, peer: SocketAddr, refusal: &Refusal) {
    let event = match refusal {
        // Port scans and health checks of load balancers look like this all day long.
        Refusal::Sniff(SniffError::Silent) => return,
        Refusal::NoChain => DownstreamEvent::NoFilterChain,
        Refusal::HandshakeTimeout | Refusal::Sniff(SniffError::Timeout) => {
            DownstreamEvent::TlsHandshakeTimeout
        }
        Refusal::Sniff(SniffError::Preamble(_)) => DownstreamEvent::ProxyProtocol,
        Refusal::Sniff(_) | Refusal::BrokenTls | Refusal::Handshake(_) | Refusal::NoServerName => {
            DownstreamEvent::TlsHandshakeFailed
        }
    };
    event.count_listener(&listener.stats);
    if let Refusal::Handshake(error) = refusal {
        match peer_fault(error) {
            Some(PeerFault::Missing) => listener.stats.ssl_fail_verify_no_cert.inc(),
            Some(PeerFault::Names) => listener.stats.ssl_fail_verify_san.inc(),
            Some(PeerFault::Certificate) => listener.stats.ssl_fail_verify_error.inc(),
            None => {}
        }
    }
    tracing::debug!(listener = %listener.config.name, %peer, event = event.name(), reason = %refusal, "connection refused");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The room that a call takes while it waits.
    fn room<A, B, C, D, F>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    fn room_of_three<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    /// What is needed now and then only (TLS, questions to services, a request) has memory of its own: a connection that waits costs
    /// what it needs to wait.
    #[test]
    fn a_connection_that_waits_is_small() {
        assert!(room(serve) <= 1280, "{} bytes for a connection", room(serve));
        let tcp = room_of_three(tcp::proxy::serve);
        assert!(tcp <= 2560, "{tcp} bytes more for TCP");
    }
}
