//! A cluster as a worker has it.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use rustls::ClientConfig;
use tulle_engine::decide::{
    balance::{self, ActiveRequest, Balancer},
    breaker::{Breaker, Resource},
    outlier::{Cause, Detector, Outcome},
};
use tulle_engine::runtime::{
    Cluster, Endpoint, EndpointSet,
    cluster::{Discovery, UpstreamTransport},
    endpoint::Health,
    net::{Address, TcpKeepalive},
    tls::UpstreamTls,
};
use tulle_identity::Secrets;

use tulle_telemetry::metrics::{ServiceId, proxy::ClusterStats};

use super::host::{Host, HostActive};
use crate::{
    net::connect::Keepalive,
    tls::{self, TlsError},
};

/// How many original destinations a cluster remembers at most.
const MAX_ORIGINAL: usize = 4096;

/// A cluster with its endpoints and their connections.
#[derive(Debug)]
pub(crate) struct LocalCluster {
    /// The configuration.
    pub(crate) config: Arc<Cluster>,
    /// In the order of `config.transports`.
    pub(crate) transports: Vec<LocalTransport>,
    /// `None` until endpoints have arrived.
    loaded: RefCell<Option<Loaded>>,
    /// Endpoints of original destinations.
    original: RefCell<HashMap<SocketAddr, Rc<Host>, RandomState>>,
    /// What all workers have in common.
    pub(crate) shared: RefCell<Shared>,
    /// Wakes a request that waits for a connection.
    pub(crate) freed: tokio::sync::Notify,
    /// The empty server name.
    pub(crate) no_name: Arc<str>,
    /// Statistics.
    pub(crate) stats: Rc<ClusterStats>,
    /// The service it stands for, as `istio_*` metrics number it.
    pub(crate) service: Cell<Option<ServiceId>>,
}

/// Endpoints as they arrived.
#[derive(Debug)]
struct Loaded {
    /// By index of the endpoint set; `None` where the address cannot be connected to.
    hosts: Vec<Option<Rc<Host>>>,
    balancer: Balancer,
    /// Shares of requests that are dropped, in parts of a million.
    drops: Vec<u32>,
}

/// What all workers have in common of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    /// Limits for requests of default and of high priority.
    pub breakers: Arc<[Breaker; 2]>,
    /// Which endpoints are ejected; `None` where the cluster does not ask for it.
    pub detector: Option<Arc<Detector>>,
}

/// An endpoint that was chosen for a request. While it lives the request counts as under way there.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// The endpoint.
    pub(crate) host: Rc<Host>,
    /// Its index in the endpoint set, for outlier detection.
    index: Option<u32>,
    _balanced: Option<ActiveRequest>,
    _active: HostActive,
}

/// How connections are wrapped.
#[derive(Debug)]
pub(crate) enum LocalTransport {
    /// Not at all.
    Plain,
    /// In TLS.
    Tls(LocalTls),
}

/// A TLS context and the configurations made of it, one for each list of protocols that was asked for.
#[derive(Debug)]
pub(crate) struct LocalTls {
    /// The context.
    pub(crate) context: Arc<UpstreamTls>,
    made: RefCell<Vec<MadeFor>>,
}

/// A list of protocols and the configuration that offers them.
type MadeFor = (Option<Vec<Arc<str>>>, Arc<ClientConfig>);

impl LocalTls {
    /// The configuration that offers `alpn`, made when it is first asked for.
    pub(crate) fn config(
        &self,
        alpn: Option<&[Arc<str>]>,
        secrets: &Secrets,
    ) -> Result<Arc<ClientConfig>, TlsError> {
        let mut made = self.made.borrow_mut();
        if let Some((_, config)) = made.iter().find(|(list, _)| list.as_deref() == alpn) {
            return Ok(Arc::clone(config));
        }
        let config = tls::client(&self.context, alpn, secrets).inspect_err(|error| {
            tracing::error!(%error, "TLS towards endpoints cannot be set up");
        })?;
        made.push((alpn.map(<[_]>::to_vec), Arc::clone(&config)));
        Ok(config)
    }
}

impl LocalCluster {
    /// Makes `config` ready.
    pub(crate) fn new(config: Arc<Cluster>, shared: Shared, stats: Rc<ClusterStats>) -> Self {
        let transports = config
            .transports
            .iter()
            .map(|t| match &t.transport {
                UpstreamTransport::Plain => LocalTransport::Plain,
                UpstreamTransport::Tls(context) => {
                    LocalTransport::Tls(LocalTls { context: Arc::clone(context), made: RefCell::default() })
                }
            })
            .collect();
        let cluster = Self {
            transports,
            loaded: RefCell::new(None),
            original: RefCell::default(),
            shared: RefCell::new(shared),
            freed: tokio::sync::Notify::new(),
            no_name: "".into(),
            stats,
            service: Cell::new(None),
            config,
        };
        if let Discovery::Static(set) = &cluster.config.discovery {
            cluster.load(Arc::clone(set));
        }
        cluster
    }

    /// The name under which endpoints arrive for it; `None` where none do.
    pub(crate) fn endpoints_name(&self) -> Option<&Arc<str>> {
        match &self.config.discovery {
            Discovery::Eds(name) => Some(name),
            Discovery::StrictDns(..) | Discovery::LogicalDns(..) => Some(&self.config.name),
            Discovery::Static(_) | Discovery::OriginalDst(_) => None,
        }
    }

    /// Whether endpoints are awaited.
    pub(crate) fn is_warming(&self) -> bool {
        self.endpoints_name().is_some() && self.loaded.borrow().is_none()
    }

    /// Takes over a new set of endpoints. Those that stay keep their connections.
    pub(crate) fn load(&self, set: Arc<EndpointSet>) {
        let drops = set.drops.iter().map(|(_, share)| *share).collect();
        let (before, old) = match self.loaded.borrow_mut().take() {
            Some(Loaded { hosts, balancer, .. }) => (hosts, Some(balancer)),
            None => (Vec::new(), None),
        };
        let mut known: HashMap<SocketAddr, Rc<Host>, RandomState> =
            before.into_iter().flatten().map(|host| (host.address, host)).collect();
        let hosts = set
            .endpoints
            .iter()
            .map(|endpoint| {
                let Address::Ip(address) = endpoint.address else { return None };
                let transport = self.config.transport_for(&endpoint.transport_socket_match);
                Some(match known.remove(&address) {
                    Some(host) if host.transport == transport => {
                        *host.endpoint.borrow_mut() = Arc::clone(endpoint);
                        host
                    }
                    _ => Rc::new(Host::new(address, Arc::clone(endpoint), transport)),
                })
            })
            .collect();
        for host in known.into_values() {
            host.retire();
        }
        let balancer = Balancer::new(
            self.config.lb,
            self.config.lb_common,
            Arc::clone(&set),
            self.shared.borrow().detector.clone(),
            fastrand::u64(..),
            old.as_ref(),
        );
        self.stats.membership_total.set(set.endpoints.len() as u64);
        self.stats.membership_change.inc();
        *self.loaded.borrow_mut() = Some(Loaded { hosts, balancer, drops });
    }

    /// Chooses an endpoint for a request or connection that was made to `destination`, if it was redirected here. Those for which `avoid` says so are
    /// passed over if another is found within `attempts` tries; `hash` decides where the policy hashes. `None`: there is none to ask.
    pub(crate) fn choose(
        &self,
        destination: Option<SocketAddr>,
        hash: Option<u64>,
        avoid: &dyn Fn(SocketAddr) -> bool,
        attempts: u32,
    ) -> Option<Chosen> {
        if matches!(self.config.discovery, Discovery::OriginalDst(_)) {
            // Without redirection the destination is the proxy itself: forwarding there would never end.
            let host = self.original(destination?)?;
            let _active = host.count_active();
            return Some(Chosen { host, index: None, _balanced: None, _active });
        }
        let mut loaded = self.loaded.borrow_mut();
        let Loaded { hosts, balancer, drops: _ } = loaded.as_mut()?;
        let passed_over = |host: &balance::Host| match host.endpoint.address {
            Address::Ip(address) => avoid(address),
            _ => true,
        };
        let picked = balancer.pick_by_hash(hash, &mut || fastrand::u64(..), &passed_over, attempts)?;
        let host = Rc::clone(hosts.get(picked.index as usize)?.as_ref()?);
        let _active = host.count_active();
        Some(Chosen { index: Some(picked.index), _balanced: Some(picked.begin()), _active, host })
    }

    /// Whether the cluster's drop policy wants a request dropped.
    pub(crate) fn drops(&self) -> bool {
        let loaded = self.loaded.borrow();
        let shares = loaded.iter().flat_map(|l| &l.drops);
        shares.into_iter().any(|share| fastrand::u32(..1_000_000) < *share)
    }

    /// Tells outlier detection what came of a request. `now` counts from the start of the process.
    pub(crate) fn report(&self, chosen: &Chosen, outcome: Outcome, now: Duration) {
        let shared = self.shared.borrow();
        let (Some(detector), Some(index)) = (&shared.detector, chosen.index) else { return };
        if let Some(cause) = detector.record(index, outcome, now, fastrand::u64(..)) {
            self.stats.outlier_ejections_enforced_total.inc();
            match cause {
                Cause::Consecutive5xx => self.stats.outlier_ejections_enforced_consecutive_5xx.inc(),
                Cause::ConsecutiveGateway => {
                    self.stats.outlier_ejections_enforced_consecutive_gateway_failure.inc();
                }
                Cause::ConsecutiveLocalOrigin => {
                    self.stats.outlier_ejections_enforced_consecutive_local_origin_failure.inc();
                }
                _ => {}
            }
            tracing::info!(cluster = %self.config.name, endpoint = %chosen.host.address, ?cause, "endpoint ejected");
        }
    }

    /// Whether outlier detection has ejected the endpoint with this address.
    pub(crate) fn is_ejected(&self, address: SocketAddr) -> bool {
        let (loaded, shared) = (self.loaded.borrow(), self.shared.borrow());
        let (Some(loaded), Some(detector)) = (&*loaded, &shared.detector) else { return false };
        let at = loaded.hosts.iter().position(|h| h.as_ref().is_some_and(|h| h.address == address));
        at.is_some_and(|at| u32::try_from(at).is_ok_and(|at| detector.is_ejected(at)))
    }

    /// All endpoints known at present.
    pub(crate) fn hosts(&self) -> Vec<Rc<Host>> {
        let loaded = self.loaded.borrow();
        let listed = loaded.iter().flat_map(|l| l.hosts.iter().flatten());
        listed.chain(self.original.borrow().values()).cloned().collect()
    }

    /// The endpoint for a connection that was made to `destination`; `None` where the cluster is not of that kind.
    pub(crate) fn original(&self, destination: SocketAddr) -> Option<Rc<Host>> {
        let Discovery::OriginalDst(settings) = &self.config.discovery else { return None };
        let mut address = destination;
        if let Some(port) = settings.port {
            address.set_port(port);
        }
        let mut original = self.original.borrow_mut();
        let now = Instant::now();
        if !original.contains_key(&address) && original.len() >= MAX_ORIGINAL {
            original.retain(|_, h| {
                h.connections.get() > 0 || now.duration_since(h.used.get()) < settings.cleanup
            });
        }
        let host = original.entry(address).or_insert_with(|| {
            let endpoint = Endpoint {
                address: Address::Ip(address),
                hostname: "".into(),
                weight: 1,
                health: Health::Healthy,
                locality: Arc::default(),
                priority: 0,
                transport_socket_match: Default::default(),
                lb: Default::default(),
                workload: None,
                metadata: Arc::default(),
            };
            let transport = self.config.transport_for(&endpoint.transport_socket_match);
            Rc::new(Host::new(address, Arc::new(endpoint), transport))
        });
        host.used.set(now);
        Some(Rc::clone(host))
    }

    /// Closes idle connections: the cluster is gone or has been replaced.
    pub(crate) fn retire(&self) {
        self.hosts().iter().for_each(|host| host.retire());
    }
}

impl From<TcpKeepalive> for Keepalive {
    fn from(value: TcpKeepalive) -> Self {
        let TcpKeepalive { probes, time_seconds, interval_seconds } = value;
        let seconds = |s: u32| std::time::Duration::from_secs(u64::from(s));
        Self { probes, time: time_seconds.map(seconds), interval: interval_seconds.map(seconds) }
    }
}

/// Something that a circuit breaker counts, for as long as this lives. Where there is no limit nothing is counted.
#[derive(Debug)]
pub(crate) struct Hold(Option<(Rc<LocalCluster>, usize, Resource)>);

impl Hold {
    /// Counts one more of `what`; `None` if the limit of this priority (0 default, 1 high) is reached.
    pub(crate) fn acquire(cluster: &Rc<LocalCluster>, priority: usize, what: Resource) -> Option<Self> {
        let config = &cluster.config;
        let limits = if priority == 0 { &config.circuit_breakers } else { &config.circuit_breakers_high };
        let limit = match what {
            Resource::Connection => limits.max_connections,
            Resource::Pending => limits.max_pending,
            Resource::Request => limits.max_requests,
            Resource::Retry if limits.retry_budget.is_some() => 0,
            Resource::Retry => limits.max_retries,
        };
        if limit == u32::MAX {
            return Some(Self(None));
        }
        let allowed = cluster.shared.borrow().breakers[priority.min(1)].try_acquire(limits, what);
        allowed.then(|| Self(Some((Rc::clone(cluster), priority.min(1), what))))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some((cluster, priority, what)) = &self.0 {
            cluster.shared.borrow().breakers[*priority].release(*what);
        }
    }
}
