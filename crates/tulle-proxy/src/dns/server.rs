//! The sockets of the pod's DNS.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tulle_base::agent::DnsConfig;
use tulle_proto::istio::nds::NameTable;
use tulle_telemetry::metrics::{Extra, ExtraKind};

use super::answer::{Verdict, answer, refusal};
use super::forward::Upstreams;
use super::table::Names;

/// Questions that are under way at a time; what comes on top is dropped and repeated by the asker.
const MAX_QUESTIONS: usize = 512;
/// TCP connections at a time, and how long one may be silent.
const MAX_CONNECTIONS: usize = 64;
const TCP_IDLE: Duration = Duration::from_secs(10);

/// The pod's DNS. Belongs to the main thread.
#[derive(Debug)]
pub(crate) struct NameServer {
    names: RefCell<Names>,
    upstreams: Upstreams,
    turn: Cell<usize>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    requests: Cell<u64>,
    forwarded: Cell<u64>,
    failed: Cell<u64>,
}

fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl NameServer {
    /// Listens, UDP and TCP, for as long as the main thread runs.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(crate) async fn start(
        config: &DnsConfig,
        namespace: &str,
        domain: &str,
        mark: Option<u32>,
    ) -> io::Result<Rc<Self>> {
        let DnsConfig { listen, also_listen, upstreams, capture: _ } = config;
        let server = Rc::new(Self {
            names: RefCell::new(Names::new(namespace, domain)),
            upstreams: Upstreams::new(upstreams.clone(), mark),
            turn: Cell::new(0),
            counts: Counts::default(),
        });
        for address in std::iter::once(listen).chain(also_listen) {
            let udp = Rc::new(UdpSocket::bind(address).await?);
            let tcp = TcpListener::bind(address).await?;
            tokio::task::spawn_local(Rc::clone(&server).serve_udp(udp));
            tokio::task::spawn_local(Rc::clone(&server).serve_tcp(tcp));
        }
        Ok(server)
    }

    /// Takes in a name table, or the entry of one host.
    pub(crate) fn update(&self, resource: &str, table: &NameTable) {
        self.names.borrow_mut().update(resource, table);
    }

    /// Forgets a name table or entry.
    pub(crate) fn remove(&self, resource: &str) {
        self.names.borrow_mut().remove(resource);
    }

    /// All names with their addresses.
    pub(crate) fn names(&self) -> Vec<(String, Vec<String>)> {
        self.names.borrow().all()
    }

    /// What was counted.
    pub(crate) fn stats(&self) -> Vec<Extra> {
        let counter = |name, cell: &Cell<u64>| {
            #[allow(clippy::cast_precision_loss, reason = "exact up to 2^53 questions")]
            Extra::metric(name, ExtraKind::Counter, cell.get() as f64)
        };
        vec![
            counter("istio_agent_dns_requests_total", &self.counts.requests),
            counter("istio_agent_dns_upstream_requests_total", &self.counts.forwarded),
            counter("istio_agent_dns_upstream_failures_total", &self.counts.failed),
        ]
    }

    async fn serve_udp(self: Rc<Self>, socket: Rc<UdpSocket>) {
        let slots = Arc::new(Semaphore::new(MAX_QUESTIONS));
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            let Ok((len, from)) = socket.recv_from(&mut buffer).await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
            let packet = buffer[..len].to_vec();
            match self.begin(&packet, true) {
                Verdict::Answer(answer) => reply(&socket, &answer, from).await,
                Verdict::Ignore => {}
                Verdict::Forward(query) => {
                    let (server, socket) = (Rc::clone(&self), Rc::clone(&socket));
                    tokio::task::spawn_local(async move {
                        if let Some(answer) = server.forward(&query, &packet, true).await {
                            reply(&socket, &answer, from).await;
                        }
                        drop(slot);
                    });
                }
            }
        }
    }

    async fn serve_tcp(self: Rc<Self>, listener: TcpListener) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
            let server = Rc::clone(&self);
            tokio::task::spawn_local(async move {
                // A broken connection is the client's affair.
                let _ = server.converse(stream).await;
                drop(slot);
            });
        }
    }

    async fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let len = tokio::time::timeout(TCP_IDLE, stream.read_u16()).await??;
            let mut packet = vec![0; usize::from(len)];
            tokio::time::timeout(TCP_IDLE, stream.read_exact(&mut packet)).await??;
            let answer = match self.begin(&packet, false) {
                Verdict::Answer(answer) => Some(answer),
                Verdict::Forward(query) => self.forward(&query, &packet, false).await,
                Verdict::Ignore => None,
            };
            let Some(answer) = answer else { return Ok(()) };
            let len = u16::try_from(answer.len()).map_err(io::Error::other)?;
            let whole = [&len.to_be_bytes()[..], &answer].concat();
            tokio::time::timeout(TCP_IDLE, stream.write_all(&whole)).await??;
        }
    }

    fn begin(&self, packet: &[u8], udp: bool) -> Verdict {
        count(&self.counts.requests);
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        answer(&self.names.borrow(), packet, udp, turn)
    }

    async fn forward(&self, query: &hickory_proto::op::Message, packet: &[u8], udp: bool) -> Option<Vec<u8>> {
        count(&self.counts.forwarded);
        match self.upstreams.ask(query, packet, udp).await {
            Ok(answer) => Some(answer),
            Err(error) => {
                count(&self.counts.failed);
                tracing::debug!(%error, "no upstream server answered");
                refusal(query, ResponseCode::ServFail).to_vec().ok()
            }
        }
    }
}

/// An asker that has gone away is no problem.
async fn reply(socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    let _ = socket.send_to(answer, to).await;
}
