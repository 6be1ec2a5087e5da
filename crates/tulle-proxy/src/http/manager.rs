//! A connection manager made ready for a worker.

use std::{rc::Rc, sync::Arc};

use tulle_engine::runtime::{
    HttpFilterKind, HttpManager,
    filter::{IstioAlpn, IstioStats, PeerMetadata, RouterOptions},
    http_manager::{HeaderCase, RouteSource, SchemeHandling},
    listener::Direction,
};
use tulle_http::{Limits, h1};
use tulle_telemetry::metrics::{Reporter, proxy::HttpStats};

use super::local_reply::LocalReplies;
use crate::{
    cluster::host::Class,
    names::Lookups,
    telemetry::{access_log::LocalLog, istio::LocalStats},
    trace::LocalTracing,
    worker::{Worker, state::LocalTable},
};

/// A connection manager with everything that need not be looked up for each request.
#[derive(Debug)]
pub(crate) struct LocalManager {
    /// The configuration.
    pub(crate) config: Arc<HttpManager>,
    /// Its statistics.
    pub(crate) stats: Rc<HttpStats>,
    /// Its access logs.
    pub(crate) logs: Vec<LocalLog>,
    /// How HTTP/1 is read.
    pub(crate) h1: h1::Options,
    /// Who reports `istio_*` metrics; `None` where nobody does.
    pub(crate) istio: Option<LocalStats>,
    /// The exchange of peer metadata.
    pub(crate) peer_metadata: PeerMetadata,
    /// Protocols to offer upstream, by the protocol of the request.
    pub(crate) alpn: Option<IstioAlpn>,
    /// The router's options.
    pub(crate) router: RouterOptions,
    /// Whether some filter sees every response.
    pub(crate) encodes: bool,
    /// Whether gRPC messages are counted.
    pub(crate) counts_messages: bool,
    /// Whether some log tells of trailers.
    pub(crate) logs_trailers: bool,
    /// Changes to responses of our own; `None` for none.
    pub(crate) local_replies: Option<LocalReplies>,
    /// Tracing.
    pub(crate) tracing: Option<LocalTracing>,
    /// What is known of the hosts that requests name, by the number of the filter that asks.
    pub(crate) lookups: Vec<(usize, Rc<Lookups>)>,
    inline: Option<LocalTable>,
}

impl LocalManager {
    /// Makes `config`, of a listener of that direction, ready.
    pub(crate) fn new(worker: &Worker, config: &Arc<HttpManager>, direction: Direction) -> Self {
        // First: these ask the store for counters, as what follows does.
        let tracing = config.tracing.as_ref().map(|t| LocalTracing::new(worker, t, direction));
        let logs = LocalLog::all(worker, &config.access_logs);
        let mut manager = Self {
            stats: worker.telemetry.store.borrow_mut().proxy.http.get(&config.stat_prefix),
            logs,
            h1: options(config),
            istio: None,
            peer_metadata: PeerMetadata::default(),
            alpn: None,
            router: RouterOptions::default(),
            encodes: false,
            counts_messages: false,
            logs_trailers: false,
            lookups: Vec::new(),
            local_replies: LocalReplies::new(&config.local_replies).unwrap_or_else(|error| {
                tracing::error!(%error, "local_reply_config left out");
                None
            }),
            tracing,
            inline: match &config.routes {
                RouteSource::Inline(table) => Some(Rc::new(Arc::clone(table))),
                RouteSource::Rds(_) => None,
            },
            config: Arc::clone(config),
        };
        manager.logs_trailers = manager.logs.iter().any(LocalLog::reads_trailers);
        manager.encodes = config.filters.iter().any(|filter| {
            matches!(
                filter.kind,
                HttpFilterKind::HeaderMutation(_)
                    | HttpFilterKind::HealthCheck(_)
                    | HttpFilterKind::Compressor(_)
                    | HttpFilterKind::Decompressor(_)
            )
        });
        for (number, filter) in config.filters.iter().enumerate() {
            if let HttpFilterKind::ForwardProxy(names) = &filter.kind {
                manager.lookups.push((number, worker.lookups.of(names)));
            }
        }
        for filter in config.filters.iter().filter(|f| !f.disabled) {
            match &filter.kind {
                HttpFilterKind::IstioStats(stats) => {
                    manager.istio =
                        Some(LocalStats::new(&worker.telemetry, reporter(direction, stats), stats));
                }
                HttpFilterKind::PeerMetadata(how) => merge(&mut manager.peer_metadata, *how),
                HttpFilterKind::IstioAlpn(alpn) => manager.alpn = Some(alpn.clone()),
                HttpFilterKind::GrpcStats(_) => manager.counts_messages = true,
                HttpFilterKind::Router(router) => manager.router = router.clone(),
                HttpFilterKind::Rbac(_)
                | HttpFilterKind::Fault(_)
                | HttpFilterKind::Cors
                | HttpFilterKind::LocalRateLimit(_)
                | HttpFilterKind::HeaderMutation(_)
                | HttpFilterKind::SetMetadata(_)
                | HttpFilterKind::Buffer(_)
                | HttpFilterKind::HealthCheck(_)
                | HttpFilterKind::Csrf(_)
                | HttpFilterKind::GrpcWeb
                | HttpFilterKind::Compressor(_)
                | HttpFilterKind::Decompressor(_)
                | HttpFilterKind::GlobalRateLimit(_)
                | HttpFilterKind::Jwt(_)
                | HttpFilterKind::ExtAuthz(_)
                | HttpFilterKind::ForwardProxy(_)
                | HttpFilterKind::StatefulSession(_) => {}
            }
        }
        warn_of_what_is_missing(config);
        manager
    }

    /// The route table in force: new requests use the newest.
    pub(crate) fn table(&self, worker: &Worker) -> Option<LocalTable> {
        match (&self.inline, &self.config.routes) {
            (Some(table), _) => Some(Rc::clone(table)),
            (None, RouteSource::Rds(name)) => worker.route_table(name),
            (None, RouteSource::Inline(_)) => None,
        }
    }

    /// The protocols to offer on a connection of this class for a request of this version; `None` leaves the transport
    /// socket's own.
    pub(crate) fn alpn_for(&self, class: Class, version: tulle_http::Version) -> Option<&[Arc<str>]> {
        let alpn = self.alpn.as_ref()?;
        let list = match class {
            Class::Http2 => &alpn.http2,
            Class::Http1 if version == tulle_http::Version::Http10 => &alpn.http10,
            Class::Http1 => &alpn.http11,
            Class::Tcp => return None,
        };
        (!list.is_empty()).then_some(list.as_slice())
    }
}

/// Says what a configuration asks for that is not done here: it is served all the same, as without these fields.
fn warn_of_what_is_missing(config: &HttpManager) {
    let missing = [
        (config.http1.header_case == HeaderCase::ProperWords, "http_protocol_options.header_key_format"),
        (config.scheme == SchemeHandling::MatchUpstream, "scheme_header_transformation.match_upstream"),
    ];
    for (_, field) in missing.into_iter().filter(|(set, _)| *set) {
        tracing::warn!(stat_prefix = %config.stat_prefix, field, "this field of a connection manager has no effect");
    }
}

fn options(config: &HttpManager) -> h1::Options {
    let head = config.limits.max_headers_bytes as usize;
    h1::Options {
        limits: Limits { head_bytes: head, headers: config.limits.max_headers as usize, target_bytes: head },
        accept_http_10: config.http1.accept_http_10,
        allow_custom_methods: config.http1.allow_custom_methods,
    }
}

/// Who reports what passes a listener of this direction.
pub(crate) fn reporter(direction: Direction, stats: &IstioStats) -> Reporter {
    match direction {
        _ if stats.server_gateway => Reporter::Waypoint,
        Direction::Inbound => Reporter::Destination,
        Direction::Outbound | Direction::Unspecified => Reporter::Source,
    }
}

fn merge(into: &mut PeerMetadata, from: PeerMetadata) {
    let PeerMetadata {
        read_from_request,
        read_from_response,
        write_to_response,
        write_to_request,
        skip_external,
    } = from;
    into.read_from_request |= read_from_request;
    into.read_from_response |= read_from_response;
    into.write_to_response |= write_to_response;
    into.write_to_request |= write_to_request;
    into.skip_external |= skip_external;
}
