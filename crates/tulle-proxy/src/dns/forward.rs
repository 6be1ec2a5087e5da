//! Asking the servers that the pod would have asked.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::Message;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

/// How long one server may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The servers, tried in turn.
#[derive(Clone, Debug)]
pub(super) struct Upstreams {
    servers: Vec<SocketAddr>,
    mark: Option<u32>,
}

impl Upstreams {
    /// `mark` lets the questions pass the pod's redirection, which would bring them back to us.
    pub(super) fn new(servers: Vec<SocketAddr>, mark: Option<u32>) -> Self {
        Self { servers, mark }
    }

    /// The first server's answer that belongs to the question.
    ///
    /// # Errors
    /// Those of the last server tried.
    pub(super) async fn ask(&self, query: &Message, packet: &[u8], udp: bool) -> io::Result<Vec<u8>> {
        let mut last = io::Error::new(io::ErrorKind::NotConnected, "no upstream server is configured");
        for server in &self.servers {
            let asked = async {
                if udp {
                    self.by_udp(*server, query, packet).await
                } else {
                    self.by_tcp(*server, packet).await
                }
            };
            match tokio::time::timeout(TIMEOUT, asked).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }

    /// A socket of its own for each question: its port, chosen by the kernel, is part of what an answer must know.
    async fn by_udp(&self, server: SocketAddr, query: &Message, packet: &[u8]) -> io::Result<Vec<u8>> {
        let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).await?;
        if let Some(mark) = self.mark {
            SockRef::from(&socket).set_mark(mark)?;
        }
        socket.connect(server).await?;
        socket.send(packet).await?;
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            let len = socket.recv(&mut buffer).await?;
            if belongs(query, &buffer[..len]) {
                buffer.truncate(len);
                return Ok(buffer);
            }
        }
    }

    async fn by_tcp(&self, server: SocketAddr, packet: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = tulle_identity::connect::dial(server, self.mark).await?;
        let len = u16::try_from(packet.len()).map_err(io::Error::other)?;
        stream.write_all(&[&len.to_be_bytes()[..], packet].concat()).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }
}

/// Whether an answer has the question's id and, as far as it repeats them, its questions.
fn belongs(query: &Message, answer: &[u8]) -> bool {
    Message::from_vec(answer).is_ok_and(|answer| {
        answer.metadata.id == query.metadata.id
            && (answer.queries.is_empty()
                || answer
                    .queries
                    .iter()
                    .zip(&query.queries)
                    .all(|(a, q)| a.query_type == q.query_type && a.name.eq_ignore_root_case(&q.name)))
    })
}
