//! Istio's standard metrics of requests and TCP connections.

use std::{fmt::Write as _, rc::Rc, sync::Arc, time::Duration};

use tulle_base::resource::Provenance;
use tulle_engine::runtime::filter::{IstioStats, StatsOverrides};
use tulle_telemetry::{
    ResponseFlags,
    access_log::RequestRecord,
    metrics::{
        PeerId, Protocol, Reporter, RequestKey, RequestSample, RulesId, SecurityPolicy, ServiceId,
        ServiceLabels, TagsId, TcpKey, TraceId, TrafficKey,
    },
};

use super::{Telemetry, peer};
use crate::{
    cluster::{Host, LocalCluster, host::UpstreamFacts},
    listener::facts::Conn,
};

/// `istio.stats` of a listener or connection manager, ready for a worker.
#[derive(Debug)]
pub(crate) struct LocalStats {
    /// Which side reports.
    pub(crate) reporter: Reporter,
    /// Whether the host of a request may stand for its service.
    pub(crate) host_counts: bool,
    /// How often what is under way is reported.
    pub(crate) every: Duration,
    /// Changes of labels; `None` for none, which costs nothing.
    changes: Option<(RulesId, Arc<StatsOverrides>)>,
}

impl LocalStats {
    /// Makes `stats`, which `reporter` reports, ready.
    pub(crate) fn new(telemetry: &Telemetry, reporter: Reporter, stats: &IstioStats) -> Self {
        let overrides = &stats.overrides;
        let rules =
            (!overrides.rules.is_empty()).then(|| telemetry.store.borrow_mut().rules(&overrides.rules));
        Self {
            reporter,
            host_counts: stats.host_header_fallback,
            every: stats.tcp_reporting,
            changes: rules.map(|rules| (rules, Arc::clone(overrides))),
        }
    }

    /// Whether labels are changed: then [`LocalStats::tags`] wants a record of the request.
    pub(crate) fn changes_labels(&self) -> bool {
        self.changes.is_some()
    }

    /// The values of a request for the labels that are changed.
    pub(crate) fn tags(&self, telemetry: &Telemetry, record: &RequestRecord<'_>) -> TagsId {
        let Some((rules, overrides)) = &self.changes else { return TagsId::default() };
        telemetry.store.borrow_mut().tags(*rules, &mut |index, out| {
            if let Some(expression) = overrides.values.get(index) {
                // Writing to a String cannot fail.
                let _ = write!(out, "{}", expression.evaluate(record));
            }
        })
    }
}

/// The parts of a request or connection that labels come from.
pub(crate) struct Parties<'a> {
    /// Which side reports.
    pub(crate) reporter: Reporter,
    /// The client's connection.
    pub(crate) conn: &'a Conn,
    /// Where it went.
    pub(crate) cluster: Option<&'a Rc<LocalCluster>>,
    /// The endpoint.
    pub(crate) host: Option<&'a Rc<Host>>,
    /// The connection to it.
    pub(crate) upstream: Option<&'a UpstreamFacts>,
    /// What the far side told about itself, already looked up.
    pub(crate) told: Option<PeerId>,
    /// The request's host, for services that no cluster names.
    pub(crate) authority: Option<&'a str>,
    /// What overrides say of it.
    pub(crate) tags: TagsId,
}

/// How a request ended.
pub(crate) struct Ending<'a> {
    pub(crate) grpc: bool,
    pub(crate) status: u16,
    pub(crate) grpc_status: Option<u32>,
    pub(crate) flags: ResponseFlags,
    pub(crate) duration: Option<Duration>,
    pub(crate) bytes: (u64, u64),
    /// Seconds since the proxy started.
    pub(crate) now: u32,
    /// Milliseconds after 1970.
    pub(crate) wall: u64,
    /// The rule that routed it, where that is for the reporter to tell.
    pub(crate) made_by: Option<&'a Arc<Provenance>>,
}

impl Telemetry {
    /// The labels that all families share.
    pub(crate) fn traffic(&self, parties: &Parties<'_>) -> TrafficKey {
        let service = self.service(parties);
        let (source, destination) = match parties.reporter {
            Reporter::Source => (self.own(), self.server(parties)),
            Reporter::Destination => (self.client(parties), self.own()),
            Reporter::Waypoint => (self.client(parties), self.server(parties)),
        };
        TrafficKey { reporter: parties.reporter, source, destination, service, tags: parties.tags }
    }

    /// Counts one finished request. `trace` finds its trace, if it is to be shown.
    pub(crate) fn request(
        &self,
        parties: &Parties<'_>,
        ending: &Ending<'_>,
        trace: impl FnOnce() -> Option<TraceId>,
    ) {
        let Ending { grpc, status, grpc_status, flags, duration, bytes, now, wall, made_by } = *ending;
        let key = RequestKey {
            traffic: self.traffic(parties),
            protocol: if grpc { Protocol::Grpc } else { Protocol::Http },
            response_code: status,
            grpc_status: if grpc { grpc_status } else { None },
            flags,
            security: security(parties),
        };
        let sample = RequestSample { duration, request_bytes: bytes.0, response_bytes: bytes.1, now, wall };
        let mut store = self.store.borrow_mut();
        store.record_traced(&key, &sample, trace);
        if let Some(made_by) = made_by {
            store.record_route(made_by, &key, &sample);
        }
    }

    /// Counts the gRPC messages of one request: those of the client and those of the server.
    pub(crate) fn messages(&self, parties: &Parties<'_>, requests: u64, responses: u64, now: u32) {
        let traffic = self.traffic(parties);
        self.store.borrow_mut().add_messages(traffic, requests, responses, now);
    }

    /// The labels of a TCP connection.
    pub(crate) fn tcp_key(&self, parties: &Parties<'_>, flags: ResponseFlags) -> TcpKey {
        TcpKey { traffic: self.traffic(parties), flags, security: security(parties) }
    }

    fn client(&self, parties: &Parties<'_>) -> PeerId {
        if let Some(told) = parties.told {
            return told;
        }
        let conn = parties.conn;
        if let Some(known) = conn.peer_id.get() {
            return known;
        }
        let labels = peer::client_labels(conn.identity(), None);
        let id = self.store.borrow_mut().peer(&labels);
        conn.peer_id.set(Some(id));
        id
    }

    fn server(&self, parties: &Parties<'_>) -> PeerId {
        if let Some(told) = parties.told {
            return told;
        }
        let (Some(host), Some(upstream)) = (parties.host, parties.upstream) else {
            return match parties.host {
                Some(host) => self.endpoint(host, ""),
                None => PeerId::default(),
            };
        };
        if let Some(known) = upstream.peer_id.get() {
            return known;
        }
        let id = self.endpoint(host, &upstream.principal);
        upstream.peer_id.set(Some(id));
        id
    }

    fn endpoint(&self, host: &Host, principal: &str) -> PeerId {
        let endpoint = host.endpoint.borrow();
        let labels = peer::server_labels(endpoint.workload.as_deref(), principal, None);
        self.store.borrow_mut().peer(&labels)
    }

    fn service(&self, parties: &Parties<'_>) -> ServiceId {
        let Some(cluster) = parties.cluster else { return self.unrouted(parties) };
        if let Some(known) = cluster.service.get() {
            return known;
        }
        let Some(labels) = service_labels(cluster, parties.reporter) else { return self.unrouted(parties) };
        let id = self.store.borrow_mut().service(&labels);
        cluster.service.set(Some(id));
        id
    }

    /// The service of a request that no cluster names: its host.
    fn unrouted(&self, parties: &Parties<'_>) -> ServiceId {
        let Some(authority) = parties.authority.filter(|a| !a.is_empty()) else {
            return ServiceId::default();
        };
        let host: Arc<str> = authority.into();
        let labels = ServiceLabels { name: Arc::clone(&host), host, ..ServiceLabels::default() };
        self.store.borrow_mut().service(&labels)
    }
}

fn service_labels(cluster: &LocalCluster, reporter: Reporter) -> Option<ServiceLabels> {
    if let Some(service) = cluster.config.services.first() {
        return Some(ServiceLabels {
            host: Arc::clone(&service.host),
            name: Arc::clone(&service.name),
            namespace: Arc::clone(&service.namespace),
        });
    }
    let name = &cluster.config.name;
    match &**name {
        "PassthroughCluster" | "BlackHoleCluster" | "InboundPassthroughCluster" => {
            Some(ServiceLabels { name: Arc::clone(name), ..ServiceLabels::default() })
        }
        _ if reporter == Reporter::Source => {
            // `outbound|PORT|SUBSET|HOST`
            let host: Arc<str> = name.strip_prefix("outbound|")?.rsplit('|').next()?.into();
            let mut parts = host.split('.');
            let short: Arc<str> = parts.next().unwrap_or_default().into();
            let namespace: Arc<str> = parts.next().unwrap_or("unknown").into();
            Some(ServiceLabels { host, name: short, namespace })
        }
        _ => None,
    }
}

/// How the connection was secured. Istio's client side always says `unknown`; ours knows, unless there was no connection.
fn security(parties: &Parties<'_>) -> SecurityPolicy {
    match parties.reporter {
        Reporter::Source => match parties.upstream {
            Some(upstream) if upstream.principal.starts_with("spiffe://") => SecurityPolicy::MutualTls,
            Some(_) => SecurityPolicy::None,
            None => SecurityPolicy::Unknown,
        },
        _ if parties.conn.is_mutual() => SecurityPolicy::MutualTls,
        _ => SecurityPolicy::None,
    }
}
