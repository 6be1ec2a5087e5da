//! Names that are not the mesh's: asked of the host's resolvers over a socket that the host side made before the mesh had a
//! network of its own.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::oneshot;

/// How long one resolver may take.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Questions under way at a time; more are answered with a failure at once.
const MAX_PENDING: usize = 512;

/// The resolvers of a `resolv.conf`.
pub fn resolvers(resolv_conf: &str) -> Vec<SocketAddr> {
    resolv_conf
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (Some("nameserver"), Some(address)) = (words.next(), words.next()) else { return None };
            let address: IpAddr = address.parse().ok()?;
            Some(SocketAddr::new(address, 53))
        })
        .collect()
}

/// Asks resolvers.
#[derive(Debug)]
pub struct Forwarder {
    socket: Arc<UdpSocket>,
    resolvers: Vec<SocketAddr>,
    pending: Arc<Mutex<HashMap<u16, oneshot::Sender<Vec<u8>>>>>,
}

impl Forwarder {
    /// Uses `socket`, which is in the host's network. Must be called in a runtime.
    ///
    /// # Errors
    /// When the socket cannot be used without waiting.
    pub fn new(socket: std::net::UdpSocket, resolvers: Vec<SocketAddr>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let v4 = socket.local_addr()?.is_ipv4();
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let pending: Arc<Mutex<HashMap<u16, oneshot::Sender<Vec<u8>>>>> = Arc::default();
        let resolvers: Vec<SocketAddr> = resolvers.into_iter().filter(|r| r.is_ipv4() == v4).collect();
        tokio::spawn(receive(Arc::clone(&socket), Arc::clone(&pending), resolvers.clone()));
        Ok(Self { socket, resolvers, pending })
    }

    /// Asks the resolvers in turn; `None` if nobody answers.
    pub async fn ask(&self, query: &[u8]) -> Option<Vec<u8>> {
        let id = u16::from_be_bytes([*query.first()?, *query.get(1)?]);
        for resolver in &self.resolvers {
            let (own, answer) = self.register()?;
            let mut sent = query.to_vec();
            sent[..2].copy_from_slice(&own.to_be_bytes());
            let answer = match self.socket.send_to(&sent, resolver).await {
                Ok(_) => tokio::time::timeout(PATIENCE, answer).await.ok().and_then(Result::ok),
                Err(_) => None,
            };
            lock(&self.pending).remove(&own);
            if let Some(mut answer) = answer {
                answer[..2].copy_from_slice(&id.to_be_bytes());
                return Some(answer);
            }
        }
        None
    }

    /// An unused question number and where its answer will arrive.
    fn register(&self) -> Option<(u16, oneshot::Receiver<Vec<u8>>)> {
        let (sender, answer) = oneshot::channel();
        let mut pending = lock(&self.pending);
        if pending.len() >= MAX_PENDING {
            return None;
        }
        let id = std::iter::repeat_with(|| fastrand::u16(..)).find(|id| !pending.contains_key(id))?;
        pending.insert(id, sender);
        Some((id, answer))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn receive(
    socket: Arc<UdpSocket>,
    pending: Arc<Mutex<HashMap<u16, oneshot::Sender<Vec<u8>>>>>,
    resolvers: Vec<SocketAddr>,
) {
    let mut buf = vec![0; 4096];
    loop {
        match socket.recv_from(&mut buf).await {
            Ok((len, from)) if len >= 12 && resolvers.contains(&from) => {
                let id = u16::from_be_bytes([buf[0], buf[1]]);
                if let Some(sender) = lock(&pending).remove(&id) {
                    // Nobody waiting any more is fine.
                    let _ = sender.send(buf[..len].to_vec());
                }
            }
            Ok(_) => {}
            // Such as ICMP errors of an earlier question; a pause, in case it is lasting.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_read() {
        let text =
            "# by hand\nnameserver 192.0.2.1\nsearch lan\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\n";
        let wanted: Vec<SocketAddr> =
            ["192.0.2.1:53", "[2001:db8::1]:53"].iter().map(|a| a.parse().unwrap()).collect();
        assert_eq!(resolvers(text), wanted);
    }

    #[tokio::test]
    async fn an_answer_gets_the_askers_number() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = server.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buf = [0; 64];
            let (len, from) = server.recv_from(&mut buf).await.unwrap();
            server.send_to(&buf[..len], from).await.unwrap();
        });
        let f = Forwarder::new(std::net::UdpSocket::bind("127.0.0.1:0").unwrap(), vec![to]).unwrap();
        let question = [7, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(f.ask(&question).await.unwrap(), question);
        assert_eq!(f.ask(&[1]).await, None);
    }
}
