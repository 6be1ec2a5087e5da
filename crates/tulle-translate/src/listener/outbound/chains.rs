//! Filter chains of outbound listeners.

use tulle_base::Provenance;
use tulle_mesh::Snapshot;
use tulle_mesh::routing::{GatewayRef, L4Match, L4Route, RouteSet};
use tulle_mesh::service::{Service, ServicePort};
use tulle_proto::envoy::listener::{Filter, FilterChain, FilterChainMatch};

use super::with_stats;
use crate::dynamic;
use crate::external_auth;
use crate::listener::hcm;
use crate::listener::tcp::{self, Carried};
use crate::names::ClusterName;
use crate::pb::{cidr, provenance};
use crate::route::sidecar::claim_where;
use crate::tls::{alpn, strings};
use crate::view::View;

/// A chain for opaque bytes.
pub(super) struct TcpChain {
    server_names: Vec<String>,
    subnets: Vec<String>,
    /// What finds the host that connections name, if they do.
    finder: Option<Filter>,
    terminal: Filter,
    made_by: Provenance,
}

impl TcpChain {
    /// Whether it asks for a server name.
    pub(super) fn by_server_name(&self) -> bool {
        !self.server_names.is_empty()
    }

    /// Whether it asks for nothing.
    pub(super) fn takes_all(&self) -> bool {
        self.server_names.is_empty() && self.subnets.is_empty()
    }

    /// Whether `other` would take the same connections: only one of them can be.
    pub(super) fn same_match(&self, other: &Self) -> bool {
        self.server_names == other.server_names && self.subnets == other.subnets
    }

    /// As Envoy's message.
    pub(super) fn chain(&self, view: &View) -> FilterChain {
        let matches = (!self.takes_all()).then(|| FilterChainMatch {
            server_names: self.server_names.clone(),
            prefix_ranges: self.subnets.iter().filter_map(|s| cidr(s)).collect(),
            ..FilterChainMatch::default()
        });
        let mut filters = with_stats(view, self.terminal.clone());
        let last = filters.len() - 1;
        filters.splice(last..last, self.finder.clone());
        FilterChain {
            filter_chain_match: matches,
            filters,
            metadata: provenance(&self.made_by),
            ..FilterChain::default()
        }
    }
}

/// The chain for HTTP without TLS. Any HTTP service of the port is behind its routes; `made_by` opened the port.
pub(super) fn http(
    snapshot: &Snapshot,
    view: &View,
    prefix: &str,
    routes: &str,
    made_by: &Provenance,
) -> FilterChain {
    let wanted = hcm::Wanted {
        sessions: snapshot.keeps_sessions(),
        auth: external_auth::filters(view, &snapshot.mesh_external_auth()).collect(),
    };
    FilterChain {
        filter_chain_match: Some(FilterChainMatch {
            transport_protocol: "raw_buffer".into(),
            application_protocols: strings(alpn::PLAIN_HTTP),
            ..FilterChainMatch::default()
        }),
        filters: vec![hcm::with_rds(
            snapshot.mesh(),
            view,
            hcm::Side::Outbound,
            (prefix, routes),
            &[],
            &wanted,
        )],
        metadata: provenance(made_by),
        ..FilterChain::default()
    }
}

/// The chains of a TCP or TLS port: as routes say, else one to the service. `subnets` narrow them where the listener is
/// shared.
pub(super) fn tcp(
    snapshot: &Snapshot,
    view: &View,
    service: &Service,
    port: &ServicePort,
    subnets: &[String],
) -> Vec<TcpChain> {
    let shared =
        subnets.is_empty() && service.bindable_addresses().next().is_none() && !service.is_headless();
    let tls = port.protocol.is_tls();
    let written = claim_where(snapshot, view, &service.hostname, |set| {
        if tls { !set.tls.is_empty() } else { !set.tcp.is_empty() }
    });
    if let Some(set) = written {
        let rules = if tls { &set.tls } else { &set.tcp };
        let chains: Vec<TcpChain> =
            rules.iter().flat_map(|rule| of_rule(snapshot, view, set, rule, port.number, subnets)).collect();
        if !chains.is_empty() {
            return chains;
        }
    }
    let cluster = ClusterName::outbound(&service.hostname, port.number, "").to_string();
    let named = dynamic::is(service);
    let server_names =
        if tls && (shared || named) { vec![service.hostname.as_str().to_owned()] } else { Vec::new() };
    vec![TcpChain {
        server_names,
        subnets: subnets.to_vec(),
        finder: named.then(|| dynamic::by_sni(service, port.number)),
        terminal: tcp::to_cluster(&view.traced.logs, &cluster, Carried::of(snapshot, view, &cluster)),
        made_by: service.meta.provenance(""),
    }]
}

fn of_rule(
    snapshot: &Snapshot,
    view: &View,
    set: &RouteSet,
    rule: &L4Route,
    port: u16,
    subnets: &[String],
) -> Vec<TcpChain> {
    let Some(terminal) = tcp::to_destinations(snapshot, view, &rule.destinations, port) else {
        return Vec::new();
    };
    let finder = dynamic_destination(view, rule, port);
    let chain = |block: Option<&L4Match>| TcpChain {
        server_names: block
            .map(|b| b.sni_hosts.iter().map(|h| h.as_str().to_owned()).collect())
            .unwrap_or_default(),
        subnets: block
            .map(|b| b.destination_subnets.clone())
            .filter(|s| !s.is_empty())
            .unwrap_or_else(|| subnets.to_vec()),
        finder: finder.clone(),
        terminal: terminal.clone(),
        made_by: set.meta.provenance(rule.rule.clone()),
    };
    if rule.matches.is_empty() {
        return vec![chain(None)];
    }
    let applies = |b: &&L4Match| b.applies(&GatewayRef::Mesh, &view.namespace, &view.labels, port);
    rule.matches.iter().filter(applies).map(|b| chain(Some(b))).collect()
}

/// What finds the hosts of a rule's only destination, where connections name them.
fn dynamic_destination(view: &View, rule: &L4Route, port: u16) -> Option<Filter> {
    let [single] = &rule.destinations[..] else { return None };
    let service = view.service(&single.destination.host).filter(|s| dynamic::is(s))?;
    Some(dynamic::by_sni(service, single.destination.port.unwrap_or(port)))
}
