//! What a worker makes of a listener's configuration: TLS contexts and HTTP managers, ready for connections.

use std::{rc::Rc, sync::Arc};

use tulle_engine::runtime::{
    FilterChain, Listener,
    listener::{DownstreamTransport, ListenerFilterKind, NetworkFilter, Terminal},
};
use tulle_identity::CertificateSource;
use tulle_telemetry::metrics::proxy::{ListenerStats, TcpStats};

use super::sniff;
use crate::{
    http::manager::{self, LocalManager},
    names::Lookups,
    telemetry::{access_log::LocalLog, istio::LocalStats},
    tls::{self, Accepting},
    worker::Worker,
};

/// A listener with its chains made ready.
#[derive(Debug)]
pub(crate) struct LocalListener {
    /// The configuration.
    pub(crate) config: Arc<Listener>,
    /// In the order of `config.chains`.
    chains: Vec<Rc<LocalChain>>,
    default_chain: Option<Rc<LocalChain>>,
    /// Whether the original destination is asked of the kernel.
    pub(crate) wants_original_dst: bool,
    /// Statistics.
    pub(crate) stats: Rc<ListenerStats>,
}

/// A filter chain made ready.
#[derive(Debug)]
pub(crate) struct LocalChain {
    /// The configuration.
    pub(crate) config: Arc<FilterChain>,
    /// How connections are wrapped.
    pub(crate) transport: Transport,
    /// The connection manager, where the chain speaks HTTP.
    pub(crate) manager: Option<Rc<LocalManager>>,
    /// Access logs of a TCP proxy.
    pub(crate) logs: Vec<LocalLog>,
    /// Statistics of a TCP proxy.
    pub(crate) tcp_stats: Option<Rc<TcpStats>>,
    /// What is known of the hosts that server names of TLS name, and the port to connect to.
    pub(crate) lookups: Option<(Rc<Lookups>, u16)>,
    /// What of Istio's metrics is reported of connections.
    pub(crate) istio: Option<LocalStats>,
    /// Statistics of the listener.
    pub(crate) stats: Rc<ListenerStats>,
    /// The certificate that connections of this chain are met with.
    certificate: Option<CertificateSource>,
}

/// How a chain's connections are wrapped.
#[derive(Debug)]
pub(crate) enum Transport {
    /// In the clear.
    Plain,
    /// In TLS.
    Tls(Accepting),
    /// In TLS that cannot be set up: connections are refused. The reason was logged when the listener came.
    Broken,
}

impl LocalListener {
    /// Makes `config` ready.
    pub(crate) fn new(worker: &Worker, config: &Arc<Listener>) -> Self {
        let stats = worker.telemetry.store.borrow_mut().proxy.listeners.get(&config.stat_prefix);
        let ready = |chain: &Arc<FilterChain>| Rc::new(LocalChain::new(worker, config, chain, &stats));
        Self {
            chains: config.chains.iter().map(ready).collect(),
            default_chain: config.default_chain.as_ref().map(ready),
            wants_original_dst: config.use_original_dst
                || config.filters.iter().any(|f| f.kind == ListenerFilterKind::OriginalDst),
            config: Arc::clone(config),
            stats,
        }
    }

    /// The chain that is made of `chosen`, one of the listener's own.
    pub(crate) fn chain(&self, chosen: &Arc<FilterChain>) -> Option<Rc<LocalChain>> {
        self.chains.iter().chain(&self.default_chain).find(|c| Arc::ptr_eq(&c.config, chosen)).cloned()
    }

    /// What to find out about a connection to `port` before a chain is chosen.
    pub(crate) fn sniff_plan(&self, port: u16) -> sniff::Plan {
        let mut plan = sniff::Plan {
            tls: false,
            http: false,
            proxy: None,
            timeout: self.config.inspect_timeout,
            continue_on_timeout: self.config.continue_on_timeout,
        };
        for filter in self.config.filters.iter().filter(|f| !f.disabled.holds(port)) {
            match filter.kind {
                ListenerFilterKind::OriginalDst => {}
                ListenerFilterKind::TlsInspector { max_client_hello: _ } => plan.tls = true,
                ListenerFilterKind::HttpInspector => plan.http = true,
                ListenerFilterKind::ProxyProtocol { optional, v1, v2 } => {
                    plan.proxy = Some(sniff::Preamble { optional, v1, v2 });
                }
            }
        }
        plan
    }
}

impl LocalChain {
    fn new(
        worker: &Worker,
        listener: &Listener,
        config: &Arc<FilterChain>,
        stats: &Rc<ListenerStats>,
    ) -> Self {
        let secrets = &worker.settings.secrets;
        let (transport, certificate) = match &config.transport {
            DownstreamTransport::Plain => (Transport::Plain, None),
            DownstreamTransport::Tls(context) => match tls::server(context, secrets) {
                Ok((config, certificate)) => (Transport::Tls(config), Some(certificate)),
                Err(error) => {
                    tracing::error!(
                        listener = %listener.name, chain = %config.name, %error,
                        "TLS cannot be set up: connections of this chain are refused"
                    );
                    (Transport::Broken, None)
                }
            },
        };
        let mut chain = Self {
            config: Arc::clone(config),
            transport,
            manager: None,
            logs: Vec::new(),
            tcp_stats: None,
            lookups: None,
            istio: None,
            stats: Rc::clone(stats),
            certificate,
        };
        match &config.terminal {
            Terminal::Http(manager) => {
                chain.manager = Some(Rc::new(LocalManager::new(worker, manager, listener.direction)));
            }
            Terminal::Tcp(proxy) => {
                chain.logs = LocalLog::all(worker, &proxy.access_logs);
                let stats = config.filters.iter().find_map(|filter| match filter {
                    NetworkFilter::IstioStats(stats) => Some(stats),
                    _ => None,
                });
                chain.istio = stats.map(|stats| {
                    let reporter = manager::reporter(listener.direction, stats);
                    LocalStats::new(&worker.telemetry, reporter, stats)
                });
                chain.lookups = config.filters.iter().find_map(|filter| match filter {
                    NetworkFilter::ForwardProxy(by_sni) => {
                        Some((worker.lookups.of(&by_sni.names), by_sni.port))
                    }
                    _ => None,
                });
                let mut store = worker.telemetry.store.borrow_mut();
                chain.tcp_stats = Some(store.proxy.tcp.get(&proxy.stat_prefix));
            }
        }
        chain
    }

    /// The URI name of the certificate that a client meets now; empty for none.
    pub(crate) fn local_uri_san(&self) -> Arc<str> {
        let current = self.certificate.as_ref().and_then(CertificateSource::current);
        current
            .and_then(|c| c.info().uri_sans.first().map(|s| Arc::from(s.as_str())))
            .unwrap_or_else(|| "".into())
    }
}
