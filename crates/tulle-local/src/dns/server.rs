//! DNS over UDP and TCP (RFC 1035), answered from the [`Zone`] in force.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use super::{Forwarder, Lookup, Zone};

/// How long an answer may be kept, in seconds: endpoints come and go.
const TTL: u32 = 5;
/// Questions answered at a time.
const MAX_QUESTIONS: usize = 1024;
/// TCP connections at a time, and how long one may be silent.
const MAX_CONNECTIONS: usize = 128;
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Longest answer by UDP to somebody who did not say otherwise (RFC 1035 4.2.1).
const UDP_LIMIT: usize = 512;

/// Why the DNS of the node did not start.
#[derive(Debug, thiserror::Error)]
#[error("DNS on {address}: {source}")]
pub struct DnsError {
    /// Where it should have listened.
    pub address: SocketAddr,
    /// What the kernel said.
    pub source: io::Error,
}

/// The DNS of the node.
#[derive(Clone, Debug)]
pub struct DnsServer {
    zone: Arc<RwLock<Arc<Zone>>>,
    forwarder: Option<Arc<Forwarder>>,
}

impl DnsServer {
    /// Listens on each of `addresses`, UDP and TCP, until the runtime ends.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub async fn start(
        addresses: impl IntoIterator<Item = SocketAddr>,
        forwarder: Option<Forwarder>,
    ) -> Result<Self, DnsError> {
        let server = Self { zone: Arc::default(), forwarder: forwarder.map(Arc::new) };
        for address in addresses {
            let fail = |source| DnsError { address, source };
            let udp = UdpSocket::bind(address).await.map_err(fail)?;
            let tcp = TcpListener::bind(address).await.map_err(fail)?;
            tokio::spawn(server.clone().serve_udp(Arc::new(udp)));
            tokio::spawn(server.clone().serve_tcp(tcp));
        }
        Ok(server)
    }

    /// Replaces the names of the mesh.
    pub fn set_zone(&self, zone: Zone) {
        *self.zone.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(zone);
    }

    async fn serve_udp(self, socket: Arc<UdpSocket>) {
        let slots = Arc::new(Semaphore::new(MAX_QUESTIONS));
        let mut buf = vec![0; 4096];
        loop {
            let Ok((len, from)) = socket.recv_from(&mut buf).await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            // Beyond the limit questions are dropped: the asker repeats them.
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
            let (server, socket, question) = (self.clone(), Arc::clone(&socket), buf[..len].to_vec());
            tokio::spawn(async move {
                if let Some(answer) = server.answer(&question, true).await {
                    let _ = socket.send_to(&answer, from).await;
                }
                drop(slot);
            });
        }
    }

    async fn serve_tcp(self, listener: TcpListener) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
            let server = self.clone();
            tokio::spawn(async move {
                // A broken connection is the client's affair.
                let _ = server.converse(stream).await;
                drop(slot);
            });
        }
    }

    async fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let len = tokio::time::timeout(TCP_IDLE, stream.read_u16()).await??;
            let mut question = vec![0; usize::from(len)];
            tokio::time::timeout(TCP_IDLE, stream.read_exact(&mut question)).await??;
            let Some(answer) = self.answer(&question, false).await else { return Ok(()) };
            let len = u16::try_from(answer.len()).map_err(io::Error::other)?;
            stream.write_all(&[&len.to_be_bytes()[..], &answer].concat()).await?;
        }
    }

    /// The answer to a question; `None` for what is not a question at all.
    async fn answer(&self, question: &[u8], udp: bool) -> Option<Vec<u8>> {
        let query = Message::from_vec(question).ok()?;
        if query.metadata.message_type != MessageType::Query {
            return None;
        }
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.metadata.recursion_desired = query.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.add_queries(query.queries.iter().cloned());
        let [one] = query.queries.as_slice() else {
            answer.metadata.response_code = ResponseCode::FormErr;
            return answer.to_vec().ok();
        };
        if query.metadata.op_code != OpCode::Query {
            answer.metadata.response_code = ResponseCode::NotImp;
            return answer.to_vec().ok();
        }
        let zone = Arc::clone(&self.zone.read().unwrap_or_else(PoisonError::into_inner));
        match zone.lookup(&one.name().to_ascii()) {
            Lookup::Foreign => return self.forward(question, answer).await,
            Lookup::Missing => answer.metadata.response_code = ResponseCode::NXDomain,
            Lookup::Addresses(addresses) => {
                add_addresses(&mut answer, one.name(), one.query_type(), &addresses)
            }
            Lookup::Alias(target) => add_alias(&mut answer, one.name(), &target, &zone, one.query_type()),
        }
        answer.metadata.authoritative = true;
        let bytes = answer.to_vec().ok()?;
        let limit = usize::from(query.max_payload()).max(UDP_LIMIT);
        if udp && bytes.len() > limit { answer.truncate().to_vec().ok() } else { Some(bytes) }
    }

    async fn forward(&self, question: &[u8], mut answer: Message) -> Option<Vec<u8>> {
        if let Some(forwarder) = &self.forwarder {
            if let Some(bytes) = forwarder.ask(question).await {
                return Some(bytes);
            }
            answer.metadata.response_code = ResponseCode::ServFail;
        } else {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        answer.to_vec().ok()
    }
}

/// The addresses of the family asked for. A name without any of it is answered all the same, with none.
fn add_addresses(answer: &mut Message, name: &Name, wanted: RecordType, addresses: &[IpAddr]) {
    let data = addresses.iter().filter_map(|address| match (address, wanted) {
        (IpAddr::V4(v4), RecordType::A | RecordType::ANY) => Some(RData::A(A(*v4))),
        (IpAddr::V6(v6), RecordType::AAAA | RecordType::ANY) => Some(RData::AAAA(AAAA(*v6))),
        _ => None,
    });
    answer.add_answers(data.map(|data| Record::from_rdata(name.clone(), TTL, data)));
}

fn add_alias(answer: &mut Message, name: &Name, target: &str, zone: &Zone, wanted: RecordType) {
    let Ok(target_name) = Name::from_ascii(format!("{target}.")) else {
        answer.metadata.response_code = ResponseCode::ServFail;
        return;
    };
    answer.add_answer(Record::from_rdata(name.clone(), TTL, RData::CNAME(CNAME(target_name.clone()))));
    if let Lookup::Addresses(addresses) = zone.lookup(target) {
        add_addresses(answer, &target_name, wanted, &addresses);
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;

    use super::*;

    fn server() -> DnsServer {
        let server = DnsServer { zone: Arc::default(), forwarder: None };
        let mut zone = Zone::default();
        zone.add_service("shop", "cart", &[IpAddr::from([10, 96, 0, 9])]);
        zone.add_service("shop", "both", &["10.96.0.8", "fd00:10:96::8"].map(|ip| ip.parse().unwrap()));
        let many: Vec<IpAddr> = (1..100).map(|n| IpAddr::from([10, 244, 0, n])).collect();
        zone.add_service("shop", "many", &many);
        zone.add_alias("shop", "other", "cart.shop.svc.cluster.local");
        server.set_zone(zone);
        server
    }

    async fn ask(name: &str, kind: RecordType, udp: bool) -> Message {
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let answer = server().answer(&query.to_vec().unwrap(), udp).await.unwrap();
        Message::from_vec(&answer).unwrap()
    }

    #[tokio::test]
    async fn ours_is_answered_and_foreign_names_fail_fast_without_resolvers() {
        let a = ask("cart.shop.svc.cluster.local.", RecordType::A, true).await;
        assert_eq!(a.answers.len(), 1);
        assert!(a.metadata.authoritative);
        let a = ask("cart.shop.svc.cluster.local.", RecordType::AAAA, true).await;
        assert_eq!((a.answers.len(), a.metadata.response_code), (0, ResponseCode::NoError));
        let a = ask("none.shop.svc.cluster.local.", RecordType::A, true).await;
        assert_eq!(a.metadata.response_code, ResponseCode::NXDomain);
        let a = ask("example.com.", RecordType::A, true).await;
        assert_eq!(a.metadata.response_code, ResponseCode::NXDomain);
        let a = ask("other.shop.svc.cluster.local.", RecordType::A, true).await;
        assert_eq!(a.answers.len(), 2);
    }

    #[tokio::test]
    async fn each_question_gets_its_family() {
        for (kind, wanted) in [
            (RecordType::A, &["10.96.0.8"][..]),
            (RecordType::AAAA, &["fd00:10:96::8"]),
            (RecordType::ANY, &["10.96.0.8", "fd00:10:96::8"]),
        ] {
            let a = ask("both.shop.svc.cluster.local.", kind, true).await;
            let got: Vec<String> = a.answers.iter().map(|r| r.data.to_string()).collect();
            assert_eq!(got, wanted, "{kind}");
        }
    }

    #[tokio::test]
    async fn long_answers_are_cut_for_udp_alone() {
        let a = ask("many.shop.svc.cluster.local.", RecordType::A, true).await;
        assert!(a.metadata.truncation && a.answers.is_empty());
        let a = ask("many.shop.svc.cluster.local.", RecordType::A, false).await;
        assert_eq!(a.answers.len(), 99);
    }

    #[tokio::test]
    async fn rubbish_gets_no_answer() {
        assert_eq!(server().answer(&[0; 5], true).await, None);
        assert_eq!(server().answer(&[0xff; 64], true).await, None);
    }
}
