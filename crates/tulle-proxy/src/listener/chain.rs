//! What a worker makes of a listener's configuration: TLS contexts and HTTP managers, ready for connections.

use std::{rc::Rc, sync::Arc};

use rustls::ServerConfig;
use tulle_engine::runtime::{
    FilterChain, Listener,
    listener::{DownstreamTransport, ListenerFilterKind},
};

use super::sniff;
use crate::{tls, worker::Worker};

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
}

/// A filter chain made ready.
#[derive(Debug)]
pub(crate) struct LocalChain {
    /// The configuration.
    pub(crate) config: Arc<FilterChain>,
    /// How connections are wrapped.
    pub(crate) transport: Transport,
}

/// How a chain's connections are wrapped.
#[derive(Debug)]
pub(crate) enum Transport {
    /// In the clear.
    Plain,
    /// In TLS.
    Tls(Arc<ServerConfig>),
    /// In TLS that cannot be set up: connections are refused. The reason was logged when the listener came.
    Broken,
}

impl LocalListener {
    /// Makes `config` ready.
    pub(crate) fn new(worker: &Worker, config: &Arc<Listener>) -> Self {
        let ready = |chain: &Arc<FilterChain>| Rc::new(LocalChain::new(worker, config, chain));
        Self {
            chains: config.chains.iter().map(ready).collect(),
            default_chain: config.default_chain.as_ref().map(ready),
            wants_original_dst: config.use_original_dst
                || config.filters.iter().any(|f| f.kind == ListenerFilterKind::OriginalDst),
            config: Arc::clone(config),
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
            timeout: self.config.inspect_timeout,
            continue_on_timeout: self.config.continue_on_timeout,
        };
        for filter in self.config.filters.iter().filter(|f| !f.disabled.holds(port)) {
            match filter.kind {
                ListenerFilterKind::OriginalDst => {}
                ListenerFilterKind::TlsInspector { max_client_hello: _ } => plan.tls = true,
                ListenerFilterKind::HttpInspector => plan.http = true,
            }
        }
        plan
    }
}

impl LocalChain {
    fn new(worker: &Worker, listener: &Listener, config: &Arc<FilterChain>) -> Self {
        let transport = match &config.transport {
            DownstreamTransport::Plain => Transport::Plain,
            DownstreamTransport::Tls(context) => match tls::server(context, &worker.settings.secrets) {
                Ok(config) => Transport::Tls(config),
                Err(error) => {
                    tracing::error!(listener = %listener.name, chain = %config.name, %error, "TLS cannot be set up: connections of this chain are refused");
                    Transport::Broken
                }
            },
        };
        Self { config: Arc::clone(config), transport }
    }
}
