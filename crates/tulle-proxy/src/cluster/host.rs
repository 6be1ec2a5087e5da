//! One endpoint with its connections.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::Context,
    time::{Duration, Instant},
};

use smallvec::SmallVec;
use tokio::sync::Notify;
use tulle_engine::runtime::{
    Endpoint,
    net::{Address, HappyEyeballs},
};
use tulle_telemetry::metrics::PeerId;

use super::local::Hold;
use crate::{
    http::{h1::H1, h2::H2},
    worker::state::Counted,
};

/// What must be the same for two requests to share a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoolKey {
    /// Index into the cluster's transports.
    pub(crate) transport: usize,
    /// Protocols offered in TLS, and the codec without TLS.
    pub(crate) class: Class,
    /// Server name.
    pub(crate) sni: Arc<str>,
    /// The client that it is for alone; `None` for everybody.
    pub(crate) owner: Option<Box<Between>>,
}

/// A client, and what it connected to.
pub(crate) type Between = (SocketAddr, SocketAddr);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Requests that came as HTTP/1.
    Http1,
    /// Requests that came as HTTP/2.
    Http2,
    /// Bytes.
    Tcp,
}

/// What is known of an upstream connection.
#[derive(Debug)]
pub(crate) struct UpstreamFacts {
    /// Our address.
    pub(crate) local: Option<SocketAddr>,
    /// The server's.
    pub(crate) remote: Option<SocketAddr>,
    /// The server's URI SAN; empty for none.
    pub(crate) principal: Arc<str>,
    /// When it was opened.
    pub(crate) opened: Instant,
    /// The server, as `istio_*` metrics number it.
    pub(crate) peer_id: Cell<Option<PeerId>>,
    /// Counts it among the worker's upstream connections, the host's, and those that the circuit breaker allows.
    pub(crate) _counted: (Counted, HostConnection, Hold),
}

/// An upstream HTTP/1 connection that carries one request at a time.
#[derive(Debug)]
pub(crate) struct H1Upstream {
    /// The connection.
    pub(crate) h1: Box<H1>,
    /// What is known of it.
    pub(crate) facts: Rc<UpstreamFacts>,
    /// Requests so far, the one under way included.
    pub(crate) uses: u32,
    /// Since when it is idle.
    pub(crate) since: Instant,
}

/// An upstream HTTP/2 connection that carries many requests at a time.
#[derive(Debug)]
pub(crate) struct H2Upstream {
    /// The connection.
    pub(crate) h2: Rc<H2>,
    /// What is known of it.
    pub(crate) facts: Rc<UpstreamFacts>,
    /// How many more requests it may carry; the largest number for any.
    pub(crate) left: Cell<u32>,
}

/// A connection that carries many requests, with its kind.
type SharedPool = (PoolKey, Rc<H2Upstream>);

/// Who waits for a connection that is being opened.
type Awaited = (PoolKey, Rc<Notify>);

/// Idle connections of one kind, the most recent last.
type IdlePool = (PoolKey, Vec<H1Upstream>);

/// One endpoint of one cluster, or one original destination.
#[derive(Debug)]
pub(crate) struct Host {
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// What is configured of it.
    pub(crate) endpoint: RefCell<Arc<Endpoint>>,
    /// Index into the cluster's transports.
    pub(crate) transport: usize,
    /// Requests and connections under way.
    pub(crate) active: Cell<u32>,
    /// Connections, idle ones included.
    pub(crate) connections: Cell<u32>,
    /// Requests so far.
    pub(crate) total: Cell<u64>,
    /// Requests that failed.
    pub(crate) errors: Cell<u64>,
    /// No longer among the cluster's endpoints: idle connections are not kept.
    pub(crate) gone: Cell<bool>,
    /// When it was used last, for original destinations.
    pub(crate) used: Cell<Instant>,
    idle: RefCell<SmallVec<[IdlePool; 1]>>,
    shared: RefCell<SmallVec<[SharedPool; 1]>>,
    /// Connections being opened that may carry many requests: who else wants one waits.
    opening: RefCell<SmallVec<[Awaited; 1]>>,
    /// Whether the sweeper knows of it.
    pub(crate) swept: Cell<bool>,
}

impl Host {
    /// An endpoint without connections.
    pub(crate) fn new(address: SocketAddr, endpoint: Arc<Endpoint>, transport: usize) -> Self {
        Self {
            address,
            endpoint: RefCell::new(endpoint),
            transport,
            active: Cell::new(0),
            connections: Cell::new(0),
            total: Cell::new(0),
            errors: Cell::new(0),
            gone: Cell::new(false),
            used: Cell::new(Instant::now()),
            idle: RefCell::default(),
            shared: RefCell::default(),
            opening: RefCell::default(),
            swept: Cell::new(false),
        }
    }

    /// Whether `endpoint`, at the same first address, has the same further ones: otherwise it is another host, as in Envoy.
    pub(crate) fn same_addresses(&self, endpoint: &Endpoint) -> bool {
        let own = self.endpoint.borrow();
        own.address == endpoint.address && own.additional_addresses == endpoint.additional_addresses
    }

    /// The path of the Unix socket that it is, if it is one.
    pub(crate) fn socket(&self) -> Option<Arc<str>> {
        match &self.endpoint.borrow().address {
            Address::Pipe(path) => Some(Arc::clone(path)),
            Address::Ip(_) | Address::Name(..) => None,
        }
    }

    /// Closes the idle connections of a client that is gone; busy ones end with their request.
    pub(crate) fn forget(&self, client: &Between) {
        let of_client = |key: &PoolKey| key.owner.as_deref() == Some(client);
        self.idle.borrow_mut().retain(|(key, _)| !of_client(key));
        let shared: Vec<_> = self.shared.borrow().iter().filter(|(key, _)| of_client(key)).cloned().collect();
        shared.iter().for_each(|(_, connection)| connection.h2.leave());
    }

    /// Where to connect to, in the order of trying.
    pub(crate) fn addresses(&self, eyeballs: HappyEyeballs) -> SmallVec<[SocketAddr; 1]> {
        let endpoint = self.endpoint.borrow();
        if endpoint.additional_addresses.is_empty() {
            return smallvec::smallvec![self.address];
        }
        let mut all = vec![self.address];
        all.extend(&endpoint.additional_addresses);
        eyeballs.order(&all).into()
    }

    /// A connection that takes another request beside those it carries.
    pub(crate) fn take_shared(&self, key: &PoolKey) -> Option<Rc<H2Upstream>> {
        let shared = self.shared.borrow();
        let fit = |(k, c): &&SharedPool| k == key && c.left.get() > 0 && c.h2.capacity() > 0;
        shared.iter().find(fit).map(|(_, connection)| Rc::clone(connection))
    }

    /// Keeps a connection for further requests.
    pub(crate) fn put_shared(&self, key: &PoolKey, connection: &Rc<H2Upstream>) {
        self.shared.borrow_mut().push((key.clone(), Rc::clone(connection)));
    }

    /// Forgets a connection that has ended.
    pub(crate) fn drop_shared(&self, h2: &Rc<H2>) {
        self.shared.borrow_mut().retain(|(_, c)| !Rc::ptr_eq(&c.h2, h2));
    }

    /// Begins to open a connection of that kind, or says whom to wait for.
    pub(crate) fn begin_opening(self: &Rc<Self>, key: &PoolKey) -> Result<Opening, Rc<Notify>> {
        let mut opening = self.opening.borrow_mut();
        if let Some((_, notify)) = opening.iter().find(|(k, _)| k == key) {
            return Err(Rc::clone(notify));
        }
        let notify = Rc::new(Notify::new());
        opening.push((key.clone(), Rc::clone(&notify)));
        Ok(Opening(Rc::clone(self), notify))
    }

    /// The connection that became idle last and is still alive.
    pub(crate) fn take_idle(&self, cx: &mut Context<'_>, key: &PoolKey) -> Option<H1Upstream> {
        let mut pools = self.idle.borrow_mut();
        let (_, idle) = pools.iter_mut().find(|(k, _)| k == key)?;
        while let Some(mut connection) = idle.pop() {
            if connection.h1.poll_gone(cx).is_pending() {
                connection.uses += 1;
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(crate) fn put_idle(&self, key: &PoolKey, mut connection: H1Upstream, now: Instant) {
        if self.gone.get() {
            return;
        }
        connection.h1.rest();
        connection.since = now;
        let mut pools = self.idle.borrow_mut();
        match pools.iter_mut().find(|(k, _)| k == key) {
            Some((_, idle)) => idle.push(connection),
            None => pools.push((key.clone(), vec![connection])),
        }
    }

    /// Closes idle connections that the peer has closed, or that have waited for longer than `limit`. Returns how many stay.
    pub(crate) fn sweep(&self, cx: &mut Context<'_>, now: Instant, limit: Option<Duration>) -> usize {
        let gone = self.gone.get();
        let mut left = 0;
        for (_, idle) in self.idle.borrow_mut().iter_mut() {
            idle.retain_mut(|c| {
                let late = limit.is_some_and(|limit| now.saturating_duration_since(c.since) >= limit);
                !gone && !late && c.h1.poll_gone(cx).is_pending()
            });
            idle.shrink_to(idle.len() * 2);
            left += idle.len();
        }
        left
    }

    /// Says that it is no longer an endpoint: idle connections are closed, busy ones end with their request.
    pub(crate) fn retire(&self) {
        self.gone.set(true);
        self.idle.borrow_mut().clear();
        let shared = std::mem::take(&mut *self.shared.borrow_mut());
        shared.iter().for_each(|(_, connection)| connection.h2.leave());
    }

    /// Counts a connection for as long as the result lives.
    pub(crate) fn count_connection(self: &Rc<Self>) -> HostConnection {
        self.connections.set(self.connections.get() + 1);
        HostConnection(Rc::clone(self))
    }

    /// Counts a request (or a TCP connection) for as long as the result lives.
    pub(crate) fn count_active(self: &Rc<Self>) -> HostActive {
        self.active.set(self.active.get() + 1);
        self.total.set(self.total.get() + 1);
        HostActive(Rc::clone(self))
    }
}

/// A connection being opened. When this is dropped, those who wait look again.
#[derive(Debug)]
pub(crate) struct Opening(Rc<Host>, Rc<Notify>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.opening.borrow_mut().retain(|(_, n)| !Rc::ptr_eq(n, &self.1));
        self.1.notify_waiters();
    }
}

/// A connection counted at its host.
#[derive(Debug)]
pub(crate) struct HostConnection(Rc<Host>);

impl Drop for HostConnection {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get().saturating_sub(1));
    }
}

/// A request counted at its host.
#[derive(Debug)]
pub(crate) struct HostActive(pub(crate) Rc<Host>);

impl Drop for HostActive {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get().saturating_sub(1));
    }
}
