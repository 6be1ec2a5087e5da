//! Resumption of TLS 1.3 sessions between peers that show certificates to each other.
//!
//! A resumed handshake shows none: each side knows the other from the session. It spares both a signature, and both the check of one. So
//! that nobody is believed for longer than a full handshake would:
//!
//! * both sides hold the session's certificates against the roots, rules and time of now, as in a full handshake ([`Recheck`]);
//! * sessions are forgotten when roots or the own certificate change, and after ten minutes, so that peers begin anew instead of being
//!   refused. What counts is when the handshake began: a session that ends a handshake during which they changed is not kept, since it carries
//!   certificates of before, and every session that is resumed from it would;
//! * a session is used once, by the process that has it in its memory: there are no tickets that somebody's key could open.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::server::StoresServerSessions;
use rustls::{CommonState, Error, HandshakeKind, NamedGroup, ServerConfig};
use rustls_pki_types::{ServerName, UnixTime};
use webpki::KeyUsage;

use crate::secrets::{CertificateSource, TrustSource};
use crate::tls::VerifyPeer;
use crate::verify::PeerVerifier;

/// How long a session may be resumed.
const LIFE: Duration = Duration::from_secs(600);
/// Sessions that a server keeps for one configuration; the oldest go first. One is about 2 KB.
const SERVER_SESSIONS: usize = 1024;
/// Endpoints whose sessions a client keeps for one configuration, and how many of each.
const ENDPOINTS: usize = 512;
const EACH: usize = 2;

/// Holds a resumed session's certificates against what is asked of peers now.
#[derive(Clone, Debug)]
pub struct Recheck(Arc<PeerVerifier>);

impl Recheck {
    pub(crate) fn new(verifier: Arc<PeerVerifier>) -> Self {
        Self(verifier)
    }

    /// Asks on the server's side, after the handshake. A full handshake has asked already.
    ///
    /// # Errors
    /// Why the client is refused.
    pub fn client(&self, session: &CommonState) -> Result<(), Error> {
        self.peer(session, None, KeyUsage::client_auth())
    }

    /// Asks on the client's side, after the handshake with the server that was called `name`.
    ///
    /// # Errors
    /// Why the server is refused.
    pub fn server(&self, session: &CommonState, name: &ServerName<'_>) -> Result<(), Error> {
        self.peer(session, Some(name), KeyUsage::server_auth())
    }

    fn peer(
        &self,
        session: &CommonState,
        name: Option<&ServerName<'_>>,
        usage: KeyUsage,
    ) -> Result<(), Error> {
        if session.handshake_kind() != Some(HandshakeKind::Resumed) {
            return Ok(());
        }
        match session.peer_certificates().and_then(<[_]>::split_first) {
            Some((leaf, intermediates)) => self.0.verify(leaf, intermediates, name, UnixTime::now(), usage),
            None if self.0.required => Err(Error::NoCertificatesPresented),
            None => Ok(()),
        }
    }
}

/// What sessions depend on: they are worth nothing when it has changed.
#[derive(Debug)]
pub(crate) struct Epoch {
    trust: Option<TrustSource>,
    own: Option<CertificateSource>,
}

impl Epoch {
    pub(crate) fn new(verify: &VerifyPeer, own: Option<&CertificateSource>) -> Self {
        let trust = match verify {
            VerifyPeer::Nothing => None,
            VerifyPeer::Chain { trust, .. } | VerifyPeer::ChainAndHost { trust, .. } => Some(trust.clone()),
        };
        Self { trust, own: own.cloned() }
    }

    /// A number that grows when either changes.
    fn now(&self) -> u64 {
        let trust = self.trust.as_ref().map_or(0, TrustSource::version);
        trust + self.own.as_ref().map_or(0, CertificateSource::version)
    }
}

/// When a session was kept, and under what.
#[derive(Debug)]
struct Kept<T> {
    at: Instant,
    epoch: u64,
    value: T,
}

impl<T> Kept<T> {
    fn good(self, epoch: u64) -> Option<T> {
        (self.epoch == epoch && self.at.elapsed() < LIFE).then_some(self.value)
    }
}

/// What a server needs to resume sessions of clients with certificates.
#[derive(Clone, Debug)]
pub struct ServerResumption {
    sessions: Arc<ServerSessions>,
    recheck: Recheck,
}

impl ServerResumption {
    pub(crate) fn new(epoch: Epoch, recheck: Recheck) -> Self {
        Self { sessions: Arc::new(ServerSessions { epoch, kept: Mutex::default() }), recheck }
    }

    /// `config` for one handshake that begins now.
    pub fn begin(&self, config: &ServerConfig) -> Arc<ServerConfig> {
        let all = Arc::clone(&self.sessions);
        let mut config = ServerConfig::clone(config);
        config.session_storage = Arc::new(OfHandshake { epoch: all.epoch.now(), all });
        Arc::new(config)
    }

    /// Asks after the handshake whether the client is to be believed; see [`Recheck::client`].
    ///
    /// # Errors
    /// Why the client is refused.
    pub fn finish(&self, session: &CommonState) -> Result<(), Error> {
        self.recheck.client(session)
    }
}

/// The sessions of a server's clients.
#[derive(Debug)]
struct ServerSessions {
    epoch: Epoch,
    kept: Mutex<InOrder>,
}

/// Sessions by their number, and the numbers in the order in which they came.
#[derive(Debug, Default)]
struct InOrder {
    sessions: HashMap<Vec<u8>, Kept<Vec<u8>>>,
    order: VecDeque<Vec<u8>>,
}

/// The same for one handshake.
#[derive(Debug)]
struct OfHandshake {
    all: Arc<ServerSessions>,
    /// When the handshake began.
    epoch: u64,
}

impl StoresServerSessions for OfHandshake {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let kept = Kept { at: Instant::now(), epoch: self.epoch, value };
        // Nothing that runs under the lock can leave the two half changed.
        let mut all = self.all.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let InOrder { sessions, order } = &mut *all;
        // Those that were taken are still in the order, and go with it.
        while order.len() >= SERVER_SESSIONS {
            if let Some(oldest) = order.pop_front() {
                sessions.remove(&oldest);
            }
        }
        order.push_back(key.clone());
        sessions.insert(key, kept);
        true
    }

    /// For TLS 1.2, where sessions are not used up; it is not resumed with certificates.
    fn get(&self, _key: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let kept = self.all.kept.lock().unwrap_or_else(PoisonError::into_inner).sessions.remove(key);
        kept.and_then(|kept| kept.good(self.all.epoch.now()))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

type Tickets = VecDeque<(ServerName<'static>, Kept<Tls13ClientSessionValue>)>;

/// The sessions of a client, by endpoint: one of them is worth nothing at another, even if both have the same name.
#[derive(Debug)]
pub struct ClientSessions {
    epoch: Epoch,
    endpoints: Mutex<HashMap<SocketAddr, Tickets>>,
}

impl ClientSessions {
    pub(crate) fn new(epoch: Epoch) -> Arc<Self> {
        Arc::new(Self { epoch, endpoints: Mutex::default() })
    }

    /// What a connection to `endpoint` that begins now may resume.
    pub fn of(self: &Arc<Self>, endpoint: SocketAddr) -> Resumption {
        let store = OfEndpoint { all: Arc::clone(self), endpoint, epoch: self.epoch.now() };
        Resumption::store(Arc::new(store)).tls12_resumption(rustls::client::Tls12Resumption::Disabled)
    }
}

#[derive(Debug)]
struct OfEndpoint {
    all: Arc<ClientSessions>,
    endpoint: SocketAddr,
    /// When the handshake began.
    epoch: u64,
}

impl ClientSessionStore for OfEndpoint {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        let kept = Kept { at: Instant::now(), epoch: self.epoch, value };
        let mut endpoints = self.all.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        if endpoints.len() >= ENDPOINTS && !endpoints.contains_key(&self.endpoint) {
            let age = |tickets: &Tickets| tickets.back().map(|(_, kept)| kept.at);
            let oldest =
                endpoints.iter().min_by_key(|(_, tickets)| age(tickets)).map(|(endpoint, _)| *endpoint);
            oldest.and_then(|oldest| endpoints.remove(&oldest));
        }
        let tickets = endpoints.entry(self.endpoint).or_default();
        if tickets.len() >= EACH {
            tickets.pop_front();
        }
        tickets.push_back((name, kept));
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let epoch = self.all.epoch.now();
        let mut endpoints = self.all.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let tickets = endpoints.get_mut(&self.endpoint)?;
        let found = tickets.iter().rposition(|(of, _)| of == name)?;
        tickets.remove(found)?.1.good(epoch)
    }
}
