//! The listener `virtualInbound`: what arrives at the workload.

mod chains;

use std::cell::RefCell;
use std::sync::Arc;

use tulle_base::Provenance;
use tulle_mesh::Snapshot;
use tulle_mesh::envoy_filter::PatchContext;
use tulle_mesh::policy::PeerModes;
use tulle_mesh::port::{Protocol, Serving};
use tulle_mesh::service::Service;
use tulle_proto::envoy::core::TrafficDirection;
use tulle_proto::envoy::kind::Int32Range;
use tulle_proto::envoy::listener::{
    FilterChain, FilterChainMatch, Listener, ListenerFilter, ListenerFilterChainMatchPredicate,
    listener_filter_chain_match_predicate::{MatchSet, Rule},
};

use super::{INBOUND_PORT, Made, direction, tcp};
use crate::access_log;
use crate::envoy_filter::Patches;
use crate::filters;
use crate::jwt;
use crate::names::BLACK_HOLE;
use crate::pb::{address, duration, u32v};
use crate::proxy::Proxy;
use crate::rate_limit;
use crate::rbac;
use crate::resource::Resource;
use crate::sources::Sources;

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
    pub(crate) endpoint: Option<(String, u16)>,
}

/// The declared ports of a proxy's workload: its Sidecar's ingress, else those of services that select it.
pub(crate) fn ports(snapshot: &Snapshot, proxy: &Proxy) -> Vec<Port> {
    if let Some(sidecar) = snapshot.sidecar(proxy.namespace(), &proxy.labels)
        && !sidecar.ingress.is_empty()
    {
        let port = |(i, ingress): (usize, &tulle_mesh::sidecar::Ingress)| Port {
            target: ingress.port,
            number: ingress.port,
            protocol: ingress.protocol,
            service: None,
            made_by: sidecar.meta.provenance(format!("ingress[{i}]")),
            endpoint: default_endpoint(&ingress.default_endpoint, &proxy.ip),
        };
        let mut all: Vec<Port> = sidecar.ingress.iter().enumerate().map(port).collect();
        all.sort_by_key(|p| p.target);
        all.dedup_by_key(|p| p.target);
        return all;
    }
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
        }
    };
    declared
        .into_iter()
        .map(port)
        .filter(|p| p.protocol != Protocol::Udp && p.target != INBOUND_PORT)
        .collect()
}

/// `127.0.0.1:PORT` or `0.0.0.0:PORT` (the pod's own address); sockets by path are not built.
fn default_endpoint(text: &str, ip: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host {
        "0.0.0.0" | "[::]" => ip,
        other => other.trim_start_matches('[').trim_end_matches(']'),
    };
    Some((host.to_owned(), port.parse().ok()?))
}

/// The listener, and those that patches add; nothing if one takes it away.
pub(crate) fn listeners(snapshot: &Snapshot, proxy: &Proxy) -> Vec<Resource> {
    let patches = Patches::of(snapshot, proxy);
    let (listener, sources) = listener(snapshot, proxy, &patches);
    let mut out = Made::new(&patches, PatchContext::SidecarInbound);
    out.add(listener, sources);
    out.finish()
}

fn listener(snapshot: &Snapshot, proxy: &Proxy, patches: &Patches) -> (Listener, Sources) {
    let mesh = snapshot.mesh();
    let (namespace, labels) = (proxy.namespace(), &proxy.labels);
    let modes = snapshot.peer_modes(namespace, labels);
    let authorizations = snapshot.authorizations(namespace, labels);
    let mut rbac = rbac::filters(&authorizations);
    let ports = ports(snapshot, proxy);
    let mut sources = Sources::default();
    let limits = rate_limit::filters(snapshot, namespace, labels, &mut sources);
    // Who somebody is comes before what he may do.
    if let Some(tokens) = jwt::filter(snapshot, namespace, labels, false, &mut sources) {
        rbac.http.insert(0, tokens);
    }
    let sources = RefCell::new(sources);
    let builder = chains::Builder {
        mesh,
        stock: proxy.stock_envoy,
        rbac: &rbac,
        patches,
        sources: &sources,
        limits: &limits,
    };
    let mut all = vec![black_hole(snapshot, proxy)];
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
    let mut sources = sources.into_inner();
    authorizations.iter().for_each(|p| sources.add(&p.meta));
    snapshot.peers_in_force(namespace, labels).iter().for_each(|p| sources.add(&p.meta));
    ports.iter().for_each(|p| sources.add_ref(&p.made_by.resource));
    let listener = Listener {
        name: "virtualInbound".into(),
        address: Some(address(proxy.families.wildcard(), INBOUND_PORT)),
        additional_addresses: proxy.families.more_addresses(INBOUND_PORT),
        filter_chains: all,
        listener_filters: inspectors(&ports),
        listener_filters_timeout: Some(duration(mesh.protocol_detection_timeout)),
        continue_on_listener_filters_timeout: true,
        traffic_direction: direction(TrafficDirection::Inbound),
        access_log: access_log::of_listener(mesh),
        ..Listener::default()
    };
    (listener, sources)
}

/// Chains that nobody declared remember the policy that chose their mode.
fn decided_by(chain: &mut FilterChain, modes: &PeerModes) {
    if let (None, Some(meta)) = (&chain.metadata, &modes.decided_by) {
        chain.metadata = crate::pb::provenance(&meta.provenance(""));
    }
}

/// A connection to the proxy's own port would come back for ever.
fn black_hole(snapshot: &Snapshot, proxy: &Proxy) -> FilterChain {
    let mut filters = Vec::new();
    if !proxy.stock_envoy {
        filters.push(filters::stats_tcp(false));
    }
    filters.push(tcp::to_cluster(snapshot.mesh(), BLACK_HOLE));
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
