//! A cluster as a worker has it.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
    net::{Ipv6Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use tulle_engine::decide::{
    balance::{self, ActiveRequest, Balancer, Watched},
    breaker::{Breaker, Resource},
    names::Target,
    outlier::{Cause, Outcome, State},
};
use tulle_engine::runtime::{
    Cluster, Endpoint, EndpointSet,
    cluster::{Discovery, ProxyProtocol, UpstreamTransport},
    endpoint::Health,
    forward_proxy::DnsCache,
    net::{Address, TcpKeepalive},
    tls::UpstreamTls,
};
use tulle_identity::Secrets;

use tulle_telemetry::metrics::{ServiceId, proxy::ClusterStats};

use super::host::{Host, HostActive};
use super::outlier;
use crate::{
    names::{AllLookups, Forwarded, Lookups},
    net::connect::Keepalive,
    tls::{self, Connecting, TlsError},
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
    /// Hosts that requests have named.
    forwarded: RefCell<HashMap<Target, Rc<Host>>>,
    /// What is known of them; from when it is first asked for.
    lookups: OnceCell<Rc<Lookups>>,
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
    /// When the process began: the clock of what workers share.
    started: Instant,
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
    /// Which endpoints are ejected, and which are well.
    pub watched: Watched,
}

/// What a request or connection wants of its endpoint.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// What it was made to, if it was redirected here.
    pub(crate) destination: Option<SocketAddr>,
    /// The host that it names, as it was found.
    pub(crate) forwarded: Option<&'a Forwarded>,
    /// Decides where the policy hashes.
    pub(crate) hash: Option<u64>,
    /// Which endpoints are passed over if another is found within `attempts` tries.
    pub(crate) avoid: &'a dyn Fn(SocketAddr, &Endpoint) -> bool,
    /// 1 for no such search.
    pub(crate) attempts: u32,
    /// Priorities that were tried: others are asked if they can take it.
    pub(crate) tried_priorities: &'a [u32],
}

impl Wanted<'_> {
    /// Any endpoint will do.
    pub(crate) const ANY: Wanted<'static> = Wanted {
        destination: None,
        forwarded: None,
        hash: None,
        avoid: &|_, _| false,
        attempts: 1,
        tried_priorities: &[],
    };
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

/// What is known of the health of an endpoint, beside what discovery says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Circuit {
    /// Where outlier detection has it; `None` where there is none.
    pub(crate) state: Option<State>,
    /// How often it was ejected.
    pub(crate) ejections: u64,
    /// It did not answer its health check well.
    pub(crate) failed_check: bool,
}

impl Circuit {
    /// Whether it is asked only in panic.
    pub(crate) fn is_out(self) -> bool {
        self.state == Some(State::Open) || self.failed_check
    }
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
    /// Whether the certificate must carry the name that was asked for.
    checks_host: bool,
    made: RefCell<Vec<MadeFor>>,
}

/// A list of protocols and the configuration that offers them.
type MadeFor = (Option<Vec<Arc<str>>>, Connecting);

impl LocalTls {
    /// The configuration that offers `alpn`, made when it is first asked for.
    pub(crate) fn config(
        &self,
        alpn: Option<&[Arc<str>]>,
        secrets: &Secrets,
    ) -> Result<Connecting, TlsError> {
        let mut made = self.made.borrow_mut();
        if let Some((_, config)) = made.iter().find(|(list, _)| list.as_deref() == alpn) {
            return Ok(config.clone());
        }
        let config = tls::client(&self.context, self.checks_host, alpn, secrets).inspect_err(|error| {
            tracing::error!(%error, "TLS towards endpoints cannot be set up");
        })?;
        made.push((alpn.map(<[_]>::to_vec), config.clone()));
        Ok(config)
    }
}

impl LocalCluster {
    /// Makes `config` ready.
    pub(crate) fn new(
        config: Arc<Cluster>,
        shared: Shared,
        stats: Rc<ClusterStats>,
        started: Instant,
    ) -> Self {
        let transports = config
            .transports
            .iter()
            .map(|t| match &t.transport {
                UpstreamTransport::Plain => LocalTransport::Plain,
                UpstreamTransport::Tls(context) => LocalTransport::Tls(LocalTls {
                    context: Arc::clone(context),
                    checks_host: config.http.auto_san_validation,
                    made: RefCell::default(),
                }),
            })
            .collect();
        let cluster = Self {
            transports,
            loaded: RefCell::new(None),
            original: RefCell::default(),
            forwarded: RefCell::default(),
            lookups: OnceCell::new(),
            shared: RefCell::new(shared),
            freed: tokio::sync::Notify::new(),
            no_name: "".into(),
            stats,
            service: Cell::new(None),
            started,
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
            Discovery::Static(_) | Discovery::OriginalDst(_) | Discovery::Forward(_) => None,
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
                let address = place(&endpoint.address)?;
                let transport = self.config.transport_for(&endpoint.transport_socket_match);
                Some(match known.remove(&address) {
                    Some(host) if host.transport == transport && host.same_addresses(endpoint) => {
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
            (self.config.lb, self.config.lb_common),
            Arc::clone(&set),
            self.shared.borrow().watched.clone(),
            fastrand::u64(..),
            self.started.elapsed(),
            old.as_ref(),
        );
        self.stats.membership_total.set(set.endpoints.len() as u64);
        self.stats.membership_change.inc();
        *self.loaded.borrow_mut() = Some(Loaded { hosts, balancer, drops });
    }

    /// Chooses an endpoint. `None`: there is none to ask.
    pub(crate) fn choose(&self, wanted: &Wanted<'_>) -> Option<Chosen> {
        let Wanted { destination, forwarded, hash, avoid, attempts, tried_priorities } = *wanted;
        let alone = match &self.config.discovery {
            // Without redirection the destination is the proxy itself: forwarding there would never end.
            Discovery::OriginalDst(_) => Some(self.original(destination?)?),
            Discovery::Forward(names) => Some(self.host_of(forwarded?, names)?),
            Discovery::Static(_)
            | Discovery::Eds(_)
            | Discovery::StrictDns(..)
            | Discovery::LogicalDns(..) => None,
        };
        if let Some(host) = alone {
            let _active = host.count_active();
            return Some(Chosen { host, index: None, _balanced: None, _active });
        }
        if let Some(checked) = &self.shared.borrow().watched.checked {
            checked.note_traffic();
        }
        let mut loaded = self.loaded.borrow_mut();
        let Loaded { hosts, balancer, drops: _ } = loaded.as_mut()?;
        let passed_over =
            |host: &balance::Host| place(&host.endpoint.address).is_none_or(|at| avoid(at, &host.endpoint));
        let slow = self.config.lb_common.slow_start.is_some();
        let now = if slow { self.started.elapsed() } else { Duration::ZERO };
        let wish = balance::Wish { hash, passed_over: &passed_over, attempts, tried_priorities, now };
        let picked = balancer.pick(&wish, &mut || fastrand::u64(..))?;
        let host = Rc::clone(hosts.get(picked.index as usize)?.as_ref()?);
        let _active = host.count_active();
        Some(Chosen { index: Some(picked.index), _balanced: Some(picked.begin()), _active, host })
    }

    /// The endpoint at `address`; `None` where there is none, and `Some(None)` where it may not be asked.
    pub(crate) fn at(&self, address: SocketAddr) -> Option<Option<Chosen>> {
        let loaded = self.loaded.borrow();
        let Loaded { hosts, balancer, drops: _ } = loaded.as_ref()?;
        let (picked, fit) = balancer.at(&Address::Ip(address))?;
        let host = Rc::clone(hosts.get(picked.index as usize)?.as_ref()?);
        Some(fit.then(|| {
            let _active = host.count_active();
            Chosen { index: Some(picked.index), _balanced: Some(picked.begin()), _active, host }
        }))
    }

    /// Whether there is an endpoint at `address` that may be asked.
    pub(crate) fn has(&self, address: SocketAddr) -> bool {
        let loaded = self.loaded.borrow();
        loaded.as_ref().and_then(|l| l.balancer.at(&Address::Ip(address))).is_some_and(|(_, fit)| fit)
    }

    /// Which version of the PROXY protocol connections to `host` begin with.
    pub(crate) fn proxy_protocol(&self, host: &Host) -> Option<ProxyProtocol> {
        self.config.transports.get(host.transport)?.proxy_protocol
    }

    /// Whether the cluster's drop policy wants a request dropped.
    pub(crate) fn drops(&self) -> bool {
        let loaded = self.loaded.borrow();
        let shares = loaded.iter().flat_map(|l| &l.drops);
        shares.into_iter().any(|share| fastrand::u32(..1_000_000) < *share)
    }

    /// Tells outlier detection what came of a request. `now` counts from the start of the process.
    pub(crate) fn report(&self, chosen: &Chosen, outcome: Outcome, now: Duration) -> Option<Cause> {
        let shared = self.shared.borrow();
        let (Some(detector), Some(index)) = (&shared.watched.detector, chosen.index) else { return None };
        let cause = detector.record(index, outcome, now, fastrand::u64(..))?;
        outlier::count(&self.stats, cause);
        tracing::info!(cluster = %self.config.name, endpoint = %chosen.host.address, ?cause, "endpoint ejected");
        Some(cause)
    }

    /// What is known of the health of its endpoints, in the order of [`LocalCluster::hosts`] where they are its own.
    pub(crate) fn circuits(&self) -> Vec<(Rc<Host>, Circuit)> {
        let (loaded, shared) = (self.loaded.borrow(), self.shared.borrow());
        let Watched { detector, checked, load: _ } = &shared.watched;
        let listed = loaded.iter().flat_map(|l| l.hosts.iter().zip(0..));
        let circuit = |index: u32| Circuit {
            state: detector.as_ref().and_then(|d| Some(d.monitor(index)?.state())),
            ejections: detector.as_ref().and_then(|d| Some(d.monitor(index)?.ejections())).unwrap_or(0),
            failed_check: checked.as_ref().is_some_and(|c| !c.is_healthy(index)),
        };
        let own = listed.filter_map(|(host, index)| Some((Rc::clone(host.as_ref()?), circuit(index))));
        let (original, forwarded) = (self.original.borrow(), self.forwarded.borrow());
        let found = original.values().chain(forwarded.values());
        own.chain(found.map(|host| (Rc::clone(host), Circuit::default()))).collect()
    }

    /// Writes down what is not counted as it happens: how many endpoints can be asked, and which circuits are open.
    pub(crate) fn measure(&self, first: bool) {
        let (stats, shared) = (&self.stats, self.shared.borrow());
        if let Some(loaded) = self.loaded.borrow_mut().as_mut() {
            let (healthy, degraded) = loaded.balancer.available(&mut || fastrand::u64(..));
            stats.membership_healthy.set(healthy);
            stats.membership_degraded.set(degraded);
        }
        let listed = self.loaded.borrow();
        let (original, forwarded) = (self.original.borrow(), self.forwarded.borrow());
        let found = original.values().chain(forwarded.values());
        let hosts = listed.iter().flat_map(|l| &l.hosts).filter_map(|host| host.as_ref()).chain(found);
        stats.upstream_cx_active.set(hosts.map(|host| u64::from(host.connections.get())).sum());
        drop((listed, original, forwarded));
        if let Some(detector) = &shared.watched.detector {
            stats.outlier_ejections_active.set(u64::from(detector.ejected()));
            if first {
                // Shared by all workers: one of them counts it.
                stats.outlier_ejections_overflow.set(detector.overflow());
            }
        }
        let (limits, now) = (&self.config.circuit_breakers, self.started.elapsed());
        for (gauge, what) in [
            (&stats.circuit_breakers_cx_open, Resource::Connection),
            (&stats.circuit_breakers_rq_pending_open, Resource::Pending),
            (&stats.circuit_breakers_rq_open, Resource::Request),
            (&stats.circuit_breakers_rq_retry_open, Resource::Retry),
        ] {
            gauge.set(u64::from(shared.breakers[0].is_open(limits, what, now)));
        }
    }

    /// Whether any worker has had a request for it.
    pub(crate) fn had_traffic(&self) -> bool {
        self.shared.borrow().watched.checked.as_ref().is_some_and(|c| c.had_traffic())
    }

    /// All endpoints known at present.
    pub(crate) fn hosts(&self) -> Vec<Rc<Host>> {
        let loaded = self.loaded.borrow();
        let listed = loaded.iter().flat_map(|l| l.hosts.iter().flatten());
        listed
            .chain(self.original.borrow().values())
            .chain(self.forwarded.borrow().values())
            .cloned()
            .collect()
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
        let host = original.entry(address).or_insert_with(|| self.alone(address, &[], "".into()));
        host.used.set(now);
        Some(Rc::clone(host))
    }

    /// An endpoint that nobody has configured.
    fn alone(&self, address: SocketAddr, more: &[SocketAddr], hostname: Arc<str>) -> Rc<Host> {
        let endpoint = Endpoint {
            address: Address::Ip(address),
            additional_addresses: more.to_vec(),
            hostname,
            weight: 1,
            health: Health::Healthy,
            locality: Arc::default(),
            priority: 0,
            transport_socket_match: Default::default(),
            lb: Default::default(),
            workload: None,
            metadata: Arc::default(),
            check: None,
        };
        let transport = self.config.transport_for(&endpoint.transport_socket_match);
        Rc::new(Host::new(address, Arc::new(endpoint), transport))
    }

    /// By what the hosts are known that requests name; `None` where they name none.
    pub(crate) fn names(&self) -> Option<&Arc<DnsCache>> {
        match &self.config.discovery {
            Discovery::Forward(names) => Some(names),
            Discovery::Static(_)
            | Discovery::Eds(_)
            | Discovery::StrictDns(..)
            | Discovery::LogicalDns(..)
            | Discovery::OriginalDst(_) => None,
        }
    }

    /// What is known of the hosts that requests name; `None` where they name none.
    pub(crate) fn lookups(&self, all: &AllLookups) -> Option<&Rc<Lookups>> {
        let names = self.names()?;
        Some(self.lookups.get_or_init(|| all.of(names)))
    }

    /// The port of those who name none.
    pub(crate) fn usual_port(&self) -> u16 {
        if matches!(self.transports.last(), Some(LocalTransport::Tls(_))) { 443 } else { 80 }
    }

    /// The endpoint for a host that a request names. With other addresses it is another one, as if it had been replaced.
    fn host_of(&self, forwarded: &Forwarded, names: &DnsCache) -> Option<Rc<Host>> {
        let Forwarded { target, addresses } = forwarded;
        let (first, more) = addresses.split_first()?;
        let mut known = self.forwarded.borrow_mut();
        let now = Instant::now();
        if let Some(host) = known.get(target) {
            let same = host.address == *first && host.endpoint.borrow().additional_addresses == more;
            if same {
                host.used.set(now);
                return Some(Rc::clone(host));
            }
            host.retire();
        } else if known.len() >= names.max_hosts as usize {
            known.retain(|_, h| h.connections.get() > 0 || now.duration_since(h.used.get()) < names.unused);
            if known.len() >= names.max_hosts as usize {
                return None;
            }
        }
        let host = self.alone(*first, more, target.to_string().into());
        known.insert(target.clone(), Rc::clone(&host));
        Some(host)
    }

    /// Closes idle connections: the cluster is gone or has been replaced.
    pub(crate) fn retire(&self) {
        self.hosts().iter().for_each(|host| host.retire());
    }
}

/// By what an endpoint is known. A Unix socket has no address: one of those that nobody routes (RFC 6666) stands for it, made
/// of its path.
pub(crate) fn place(address: &Address) -> Option<SocketAddr> {
    match address {
        Address::Ip(address) => Some(*address),
        Address::Pipe(path) => {
            let hash = tulle_engine::decide::hash::xxh64(path.as_bytes(), 0);
            let bits = (0x0100_u128 << 112) | u128::from(hash);
            Some(SocketAddr::new(Ipv6Addr::from_bits(bits).into(), 0))
        }
        Address::Name(..) => None,
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
    /// For what no circuit breaker counts.
    pub(crate) fn uncounted() -> Self {
        Self(None)
    }

    /// Counts one more of `what`; `None` if the limit of this priority (0 default, 1 high) is reached.
    pub(crate) fn acquire(cluster: &Rc<LocalCluster>, priority: usize, what: Resource) -> Option<Self> {
        let config = &cluster.config;
        let limits = if priority == 0 { &config.circuit_breakers } else { &config.circuit_breakers_high };
        let limit = match what {
            Resource::Connection => limits.max_connections,
            // A budget is a part of the requests under way: they are counted then, whatever their limit.
            Resource::Retry | Resource::Request | Resource::Pending if limits.retry_budget.is_some() => 0,
            Resource::Pending => limits.max_pending,
            Resource::Request => limits.max_requests,
            Resource::Retry => limits.max_retries,
        };
        if limit == u32::MAX {
            return Some(Self(None));
        }
        // Only a budget with an interval asks for the time.
        let timed = limits.retry_budget.is_some_and(|budget| !budget.interval.is_zero());
        let now = if timed { cluster.started.elapsed() } else { Duration::ZERO };
        let allowed = cluster.shared.borrow().breakers[priority.min(1)].try_acquire(limits, what, now);
        allowed.then(|| Self(Some((Rc::clone(cluster), priority.min(1), what))))
    }

    /// Whether the limit on connections is 0.
    pub(crate) fn allows_none(cluster: &LocalCluster, priority: usize) -> bool {
        let config = &cluster.config;
        let limits = if priority == 0 { &config.circuit_breakers } else { &config.circuit_breakers_high };
        limits.max_connections == 0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some((cluster, priority, what)) = &self.0 {
            cluster.shared.borrow().breakers[*priority].release(*what);
        }
    }
}
