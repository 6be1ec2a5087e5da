//! What is known of a downstream connection.

use std::{
    cell::{Cell, OnceCell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use smallvec::SmallVec;
use tulle_engine::decide::{
    filter_chain::{self, NewConnection},
    local_rate_limit::Limiter,
    view::{CertificateView, Connection, TlsView},
};
use tulle_identity::PeerIdentity;
use tulle_telemetry::metrics::PeerId;

use super::{
    chain::{LocalChain, LocalListener, Transport},
    registry::Slot,
};
use crate::{
    cluster::{Host, LocalCluster, host::Between},
    http::manager::LocalManager,
    worker::{Worker, timers::Deadline},
};

/// A downstream connection: who, where to, and what was decided when it began. Shared by its requests.
#[derive(Debug)]
pub(crate) struct Conn {
    /// The worker that serves it.
    pub(crate) worker: Rc<Worker>,
    /// The listener it belongs to (after hand-over), whatever its present configuration.
    pub(crate) slot: Rc<Slot>,
    /// The listener's configuration when the connection began: what L4 decisions go by.
    pub(crate) listener: Rc<LocalListener>,
    /// The chain that took it.
    pub(crate) chain: Rc<LocalChain>,
    /// What the chain was chosen by.
    pub(crate) arrival: Arrival,
    /// TLS, once the handshake is done.
    pub(crate) tls: Option<Box<TlsFacts>>,
    /// When it was accepted.
    pub(crate) start: Instant,
    /// Unique on this worker.
    pub(crate) id: u64,
    /// The deadline of the connection's own task.
    pub(crate) deadline: Deadline,
    /// The client, as `istio_*` metrics number it.
    pub(crate) peer_id: Cell<Option<PeerId>>,
    /// What the client last told about itself, and the number of that.
    pub(crate) last_card: RefCell<(Vec<u8>, PeerId)>,
    /// Buckets of a local rate limit that holds for each connection.
    pub(crate) limiter: OnceCell<Limiter>,
    /// Endpoints that have upstream connections for this client alone.
    pub(crate) own_pools: RefCell<Vec<Rc<Host>>>,
}

impl Drop for Conn {
    /// Nobody else may use those connections.
    fn drop(&mut self) {
        let between = self.between();
        self.own_pools.take().iter().for_each(|host| host.forget(&between));
    }
}

/// What was known before a chain was chosen.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// The client: who a load balancer in front says it is, where it is asked.
    pub(crate) peer: SocketAddr,
    /// Who connected: the load balancer where there is one.
    pub(crate) direct_peer: SocketAddr,
    /// What it connected to: the original destination where there is one.
    pub(crate) destination: SocketAddr,
    /// Whether `destination` is what the kernel's redirection changed, so that it may be connected to in turn.
    pub(crate) redirected: bool,
    /// Server name of the TLS hello, lower case; empty for none.
    pub(crate) server_name: Arc<str>,
    /// ALPN of the hello, or what HTTP was found.
    pub(crate) protocols: SmallVec<[Vec<u8>; 2]>,
    /// Whether there was a TLS hello.
    pub(crate) is_tls: bool,
}

/// What the TLS handshake brought.
#[derive(Debug)]
pub(crate) struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub(crate) version: &'static str,
    /// The negotiated protocol.
    pub(crate) alpn: Option<Vec<u8>>,
    /// The client, if it showed a certificate that was accepted.
    pub(crate) peer: Option<PeerIdentity>,
    /// URI SAN of our own certificate; empty for none.
    pub(crate) local_uri_san: Arc<str>,
    /// Subject of the client's certificate; empty for none.
    pub(crate) subject: String,
    /// SHA-256 of the client's certificate in lower-case hex; empty for none.
    pub(crate) fingerprint: String,
}

/// Room for the names that a view refers to.
pub(crate) type Names<'a> = SmallVec<[&'a str; 4]>;

impl Arrival {
    /// The original destination, if the kernel's redirection changed it.
    pub(crate) fn original(&self) -> Option<SocketAddr> {
        self.redirected.then_some(self.destination)
    }

    /// The chain of `listener` that takes the connection.
    pub(crate) fn find_chain(&self, listener: &LocalListener) -> Option<Rc<LocalChain>> {
        let protocols: SmallVec<[&[u8]; 4]> = self.protocols.iter().map(Vec::as_slice).collect();
        let connection = NewConnection {
            destination: self.destination,
            source: self.peer,
            direct_source: self.direct_peer,
            server_name: &self.server_name,
            transport_protocol: if self.is_tls { "tls" } else { "raw_buffer" },
            application_protocols: &protocols,
        };
        listener.chain(filter_chain::find(&listener.config, &connection)?)
    }
}

impl Conn {
    /// The client and what it connected to: tells its connections apart from others'.
    pub(crate) fn between(&self) -> Between {
        (self.arrival.peer, self.arrival.destination)
    }

    /// What connections to `host` are told of this client, where they are for it alone: the endpoint is told who it is, or the
    /// cluster shares no connections.
    pub(crate) fn owner(&self, cluster: &LocalCluster, host: &Rc<Host>) -> Option<Box<Between>> {
        if !cluster.config.pool_per_downstream && cluster.proxy_protocol(host).is_none() {
            return None;
        }
        let mut own = self.own_pools.borrow_mut();
        if !own.iter().any(|h| Rc::ptr_eq(h, host)) {
            own.push(Rc::clone(host));
        }
        Some(Box::new(self.between()))
    }

    /// The names that [`Conn::view`] refers to: URI SANs and DNS SANs of the client.
    pub(crate) fn names(&self) -> (Names<'_>, Names<'_>) {
        match self.identity() {
            None => Default::default(),
            Some(peer) => {
                (peer.uri_sans.iter().map(|s| &**s).collect(), peer.dns_sans.iter().map(|s| &**s).collect())
            }
        }
    }

    /// The connection as decisions see it; `remote` is the client behind other proxies.
    pub(crate) fn view<'a>(
        &'a self,
        remote: SocketAddr,
        (uri_sans, dns_sans): (&'a [&'a str], &'a [&'a str]),
    ) -> Connection<'a> {
        Connection {
            direct_remote: self.arrival.direct_peer,
            remote,
            local: self.arrival.destination,
            server_name: &self.arrival.server_name,
            tls: self.tls.as_ref().map(|tls| TlsView {
                version: tls.version,
                peer: tls.peer.as_ref().map(|_| CertificateView {
                    verified: true,
                    uri_sans,
                    dns_sans,
                    subject: &tls.subject,
                    sha256: &tls.fingerprint,
                    encoded_pem: "",
                    encoded_chain: "",
                }),
                local_uri_san: &tls.local_uri_san,
            }),
        }
    }

    /// The client's verified identity.
    pub(crate) fn identity(&self) -> Option<&PeerIdentity> {
        self.tls.as_ref()?.peer.as_ref()
    }

    /// Whether both sides showed certificates.
    pub(crate) fn is_mutual(&self) -> bool {
        self.identity().is_some()
    }

    /// Notes in `known` that the listener's configuration is another one now, and puts the connection manager of that into
    /// `manager`. Where the connection would now be treated in another way, it keeps what it has until it ends.
    ///
    /// `known` begins with [`Conn::listener`], by which the connection got its first manager: what changes before its first request,
    /// while TLS is set up, holds for that, too.
    pub(crate) fn follow(&self, known: &mut Rc<LocalListener>, manager: &mut Rc<LocalManager>) {
        if let Some(listener) = self.slot.other_than(known) {
            if let Some(newest) = self.manager_in(&listener) {
                *manager = newest;
            }
            *known = listener;
        }
    }

    fn manager_in(&self, listener: &LocalListener) -> Option<Rc<LocalManager>> {
        let chain = self.arrival.find_chain(listener)?;
        if matches!(chain.transport, Transport::Plain) != self.tls.is_none() {
            return None;
        }
        chain.manager.clone()
    }

    /// Whether new requests should go elsewhere: the listener is gone, or the worker is on its way down.
    pub(crate) fn is_draining(&self) -> bool {
        self.slot.is_removed() || self.worker.drain_state() > tulle_base::drain::DrainState::Serving
    }
}
