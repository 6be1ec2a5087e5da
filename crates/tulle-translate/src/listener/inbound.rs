//! The listener `virtualInbound`: what arrives at the workload.

mod chains;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use tulle_base::{Provenance, ResourceRef};
use tulle_mesh::Snapshot;
use tulle_mesh::config::MeshConfig;
use tulle_mesh::destination::ConnectionPool;
use tulle_mesh::envoy_filter::PatchContext;
use tulle_mesh::gateway::ServerTls;
use tulle_mesh::policy::PeerModes;
use tulle_mesh::port::{Protocol, Serving};
use tulle_mesh::service::Service;
use tulle_mesh::sidecar::{Ingress, LocalEndpoint, Sidecar};
use tulle_proto::envoy::core::{Address, TrafficDirection};
use tulle_proto::envoy::kind::Int32Range;
use tulle_proto::envoy::listener::{
    FilterChain, FilterChainMatch, Listener, ListenerFilter, ListenerFilterChainMatchPredicate,
    listener_filter_chain_match_predicate::{MatchSet, Rule},
};

use super::tcp::{self, Carried};
use super::{INBOUND_PORT, Made, direction};
use crate::access_log::Logs;
use crate::envoy_filter::Patches;
use crate::filters;
use crate::jwt;
use crate::names::BLACK_HOLE;
use crate::pb::{address, duration, pipe, u32v};
use crate::proxy::Proxy;
use crate::rate_limit;
use crate::rbac;
use crate::resource::Resource;
use crate::sources::Sources;
use crate::telemetry;
use crate::view;

/// A port of the workload that its proxy serves by name.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    /// The workload's port.
    pub(crate) target: u16,
    /// The service's port, for names of spans and virtual hosts.
    pub(crate) number: u16,
    /// What is spoken.
    pub(crate) protocol: Protocol,
    /// The service, unless a Sidecar declares the port.
    pub(crate) service: Option<Arc<Service>>,
    /// Who declares it.
    pub(crate) made_by: Provenance,
    /// Where the application listens, if elsewhere.
    pub(crate) endpoint: Option<Address>,
    /// Limits of connections to the application.
    pub(crate) pool: Option<ConnectionPool>,
    /// The Sidecar that says of them.
    pub(crate) limited_by: Option<ResourceRef>,
    /// TLS that is ended here.
    pub(crate) tls: Option<ServerTls>,
    /// What its listener is named after; empty for every address.
    pub(crate) bind: String,
    /// Whether its listener takes connections itself; otherwise they are redirected to `virtualInbound`.
    pub(crate) bound: bool,
}

/// The declared ports of a proxy's workload: its Sidecar's ingress, else those of services that select it.
pub(crate) fn ports(snapshot: &Snapshot, proxy: &Proxy) -> Vec<Port> {
    let sidecar = snapshot.sidecar(proxy.namespace(), &proxy.labels);
    if let Some(sidecar) = sidecar.filter(|s| !s.ingress.is_empty()) {
        let listeners = sidecar.ingress.iter().enumerate();
        let mut all: Vec<Port> = listeners.map(|(i, ingress)| written(sidecar, i, ingress, proxy)).collect();
        all.sort_by_key(|p| p.target);
        all.dedup_by_key(|p| p.target);
        return all;
    }
    let limits = sidecar.and_then(|s| Some((s.inbound_pool.as_ref()?, &s.meta.resource)));
    let declared = snapshot.inbound_ports(proxy.namespace(), &proxy.labels, &proxy.pod, &proxy.ip);
    let port = |p: tulle_mesh::snapshot::InboundPort| {
        let port = &p.service.ports[p.port];
        Port {
            target: p.target,
            number: port.number,
            protocol: port.protocol,
            made_by: p.service.meta.provenance(format!("ports[{}]", p.port)),
            service: Some(Arc::clone(&p.service)),
            endpoint: None,
            pool: limits.map(|(pool, _)| pool.clone()),
            limited_by: limits.map(|(_, resource)| resource.clone()),
            tls: None,
            bind: String::new(),
            bound: false,
        }
    };
    declared
        .into_iter()
        .map(port)
        .filter(|p| p.protocol != Protocol::Udp && p.target != INBOUND_PORT)
        .collect()
}

/// A port as a Sidecar writes it.
fn written(sidecar: &Sidecar, index: usize, ingress: &Ingress, proxy: &Proxy) -> Port {
    let endpoint = match &ingress.endpoint {
        // The listener itself stands where the application would be looked for.
        LocalEndpoint::Same if !ingress.captured => Some(address(proxy.families.loopback(), ingress.port)),
        LocalEndpoint::Same => None,
        LocalEndpoint::Pod(port) => Some(address(&proxy.ip, *port)),
        LocalEndpoint::Ip(ip, port) => Some(address(ip, *port)),
        LocalEndpoint::Socket(path) => Some(pipe(path)),
    };
    let pool = ingress.pool.as_ref().or(sidecar.inbound_pool.as_ref());
    Port {
        target: ingress.port,
        number: ingress.port,
        protocol: ingress.protocol,
        service: None,
        made_by: sidecar.meta.provenance(format!("ingress[{index}]")),
        endpoint,
        pool: pool.cloned(),
        limited_by: pool.map(|_| sidecar.meta.resource.clone()),
        tls: ingress.tls.clone(),
        bind: ingress.bind.clone(),
        bound: !ingress.captured,
    }
}

impl Port {
    /// The name of its listener, whether that is one of its own or a part of `virtualInbound`.
    pub(crate) fn listener_name(&self) -> String {
        let bind = if self.bind.is_empty() { "0.0.0.0" } else { &self.bind };
        format!("{bind}_{}", self.target)
    }
}

/// The listener, and those that patches add; nothing if one takes it away.
pub(crate) fn listeners(snapshot: &Snapshot, proxy: &Proxy) -> Vec<Resource> {
    let patches = Patches::of(snapshot, proxy);
    let mut out = Made::new(&patches, PatchContext::SidecarInbound);
    for (listener, sources) in all(snapshot, proxy, &patches) {
        out.add(listener, sources);
    }
    out.finish()
}

/// `virtualInbound`, and the listeners that a Sidecar places by itself.
fn all(snapshot: &Snapshot, proxy: &Proxy, patches: &Patches) -> Vec<(Listener, Sources)> {
    let mesh = snapshot.mesh();
    let (namespace, labels) = (proxy.namespace(), &proxy.labels);
    let modes = snapshot.peer_modes(namespace, labels);
    let authorizations = snapshot.authorizations(namespace, labels);
    let tokens = snapshot.tokens_of(namespace, labels);
    // Who somebody is comes before what he may do.
    let checked = jwt::filter(snapshot, &tokens, &BTreeMap::new(), false);
    let rbac = rbac::Builder::new(snapshot, namespace).filters(&authorizations).with_tokens(checked);
    let (placed, ports): (Vec<Port>, Vec<Port>) = ports(snapshot, proxy).into_iter().partition(|p| p.bound);
    let mut sources = Sources::default();
    let limits = rate_limit::filters(snapshot, namespace, labels, &mut sources);
    let sources = RefCell::new(sources);
    let settings = view::settings_of(snapshot, proxy);
    let metrics = telemetry::of_server(snapshot, proxy);
    let traced = crate::tracing::of(snapshot, proxy, &settings, tulle_mesh::telemetry::Mode::Server);
    let builder = chains::Builder {
        mesh,
        proxy: &settings,
        stock: proxy.stock_envoy,
        metrics: metrics.as_ref(),
        traced: &traced,
        rbac: &rbac,
        patches,
        sources: &sources,
        limits: &limits,
    };
    let mut all = vec![black_hole(snapshot, proxy, &traced.logs)];
    all.extend(builder.passthrough(0, modes.mode));
    // Ports with a mode of their own that no service declares.
    for (port, mode) in &modes.ports {
        if !ports.iter().any(|p| p.target == *port) {
            all.extend(builder.passthrough(*port, *mode));
        }
    }
    for port in &ports {
        all.extend(builder.port(port, modes.of_port(port.target)));
    }
    for chain in &mut all {
        decided_by(chain, &modes);
    }
    let own: Vec<_> = placed.iter().map(|p| (p, builder.port(p, modes.of_port(p.target)))).collect();
    let mut sources = sources.into_inner();
    authorizations.iter().for_each(|p| sources.add(&p.meta));
    tokens.iter().for_each(|p| sources.add(&p.meta));
    snapshot.peers_in_force(namespace, labels).iter().for_each(|p| sources.add(&p.meta));
    ports.iter().chain(&placed).for_each(|p| sources.add_ref(&p.made_by.resource));
    let own = own
        .into_iter()
        .map(|(port, chains)| (of_port((mesh, &traced.logs), proxy, port, chains), sources.clone()));
    let own: Vec<_> = own.collect();
    let listener = Listener {
        name: "virtualInbound".into(),
        address: Some(address(proxy.families.wildcard(), INBOUND_PORT)),
        additional_addresses: proxy.families.more_addresses(INBOUND_PORT),
        filter_chains: all,
        per_connection_buffer_limit_bytes: settings.connections.downstream_buffer.and_then(u32v),
        listener_filters: inspectors(&ports),
        listener_filters_timeout: Some(duration(mesh.protocol_detection_timeout)),
        continue_on_listener_filters_timeout: true,
        traffic_direction: direction(TrafficDirection::Inbound),
        access_log: traced.logs.listener.clone(),
        ..Listener::default()
    };
    std::iter::once((listener, sources)).chain(own).collect()
}

/// A listener for one port, to which nothing is redirected.
fn of_port(
    (mesh, logs): (&MeshConfig, &Logs),
    proxy: &Proxy,
    port: &Port,
    chains: Vec<FilterChain>,
) -> Listener {
    let wildcard = port.bind.is_empty();
    let ip = if wildcard { proxy.families.wildcard() } else { port.bind.as_str() };
    let mut listener_filters = vec![filters::tls_inspector()];
    if port.protocol.serving() == Some(Serving::Auto) {
        listener_filters.push(filters::http_inspector());
    }
    Listener {
        name: port.listener_name(),
        address: Some(address(ip, port.target)),
        additional_addresses: if wildcard { proxy.families.more_addresses(port.target) } else { Vec::new() },
        filter_chains: chains,
        listener_filters,
        listener_filters_timeout: Some(duration(mesh.protocol_detection_timeout)),
        continue_on_listener_filters_timeout: true,
        traffic_direction: direction(TrafficDirection::Inbound),
        access_log: logs.listener.clone(),
        ..Listener::default()
    }
}

/// Chains that nobody declared remember the policy that chose their mode.
fn decided_by(chain: &mut FilterChain, modes: &PeerModes) {
    if let (None, Some(meta)) = (&chain.metadata, &modes.decided_by) {
        chain.metadata = crate::pb::provenance(&meta.provenance(""));
    }
}

/// A connection to the proxy's own port would come back for ever.
fn black_hole(snapshot: &Snapshot, proxy: &Proxy, logs: &Logs) -> FilterChain {
    let metrics = telemetry::of_server(snapshot, proxy);
    let mut filters: Vec<_> = metrics.iter().map(filters::stats_tcp).collect();
    filters.push(tcp::to_cluster(logs, BLACK_HOLE, Carried::default()));
    FilterChain {
        name: "virtualInbound-blackhole".into(),
        filter_chain_match: Some(FilterChainMatch {
            destination_port: u32v(u32::from(INBOUND_PORT)),
            ..FilterChainMatch::default()
        }),
        filters,
        ..FilterChain::default()
    }
}

/// TLS is looked for everywhere; HTTP only where the protocol is not declared.
fn inspectors(ports: &[Port]) -> Vec<ListenerFilter> {
    let declared = ports.iter().filter(|p| p.protocol.serving() != Some(Serving::Auto)).map(|p| p.target);
    let mut declared: Vec<u16> = std::iter::once(INBOUND_PORT).chain(declared).collect();
    declared.sort_unstable();
    let http = ListenerFilter { filter_disabled: Some(on_ports(&declared)), ..filters::http_inspector() };
    vec![filters::original_dst(), filters::tls_inspector(), http]
}

fn on_ports(ports: &[u16]) -> ListenerFilterChainMatchPredicate {
    let one = |port: &u16| ListenerFilterChainMatchPredicate {
        rule: Some(Rule::DestinationPortRange(Int32Range {
            start: i32::from(*port),
            end: i32::from(*port) + 1,
        })),
    };
    match ports {
        [single] => one(single),
        several => ListenerFilterChainMatchPredicate {
            rule: Some(Rule::OrMatch(MatchSet { rules: several.iter().map(one).collect() })),
        },
    }
}
