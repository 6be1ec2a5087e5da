//! Listeners of gateways: one per port, HTTP in one chain, TLS by server name.

use std::collections::BTreeMap;

use tulle_base::Host;
use tulle_mesh::Snapshot;
use tulle_mesh::envoy_filter::PatchContext;
use tulle_mesh::port::Protocol;
use tulle_mesh::routing::{GatewayRef, L4Match, L4Route, RouteSet};
use tulle_proto::envoy::core::{Address, TrafficDirection};
use tulle_proto::envoy::listener::{FilterChain, FilterChainMatch, Listener};

use super::outbound::with_stats;
use super::tcp::{self, Carried};
use super::{Made, direction, hcm};
use crate::edge::{Bound, ServedAs, passes_to, servers};
use crate::external_auth;
use crate::filters;
use crate::guards::Guards;
use crate::names::ClusterName;
use crate::pb::{address, cidr, pipe, provenance, u32v};
use crate::proxy::Proxy;
use crate::rbac;
use crate::resource::Resource;
use crate::sources::Sources;
use crate::tls::{alpn, server as server_tls, strings};
use crate::view::View;

/// Every listener of a gateway. A port without anything to serve has none.
pub(crate) fn listeners(snapshot: &Snapshot, proxy: &Proxy, view: &View) -> Vec<Resource> {
    let mut by_port: BTreeMap<(u16, Option<String>), Vec<Bound>> = BTreeMap::new();
    for bound in servers(snapshot, proxy) {
        let bind = bound.bind().map(str::to_owned);
        by_port.entry((bound.port, bind)).or_default().push(bound);
    }
    let guards = Guards::of(snapshot, proxy);
    let mut out = Made::new(&view.patches, PatchContext::Gateway);
    for ((port, bind), bound) in &by_port {
        let at = (bind.as_deref(), *port);
        if let Some((listener, sources)) = listener(snapshot, view, at, bound, &guards) {
            out.add(listener, sources);
        }
    }
    out.finish()
}

fn listener(
    snapshot: &Snapshot,
    view: &View,
    (bind, port): (Option<&str>, u16),
    bound: &[Bound],
    guards: &Guards<'_>,
) -> Option<(Listener, Sources)> {
    let mut guarded = Sources::default();
    let mut chains: Vec<FilterChain> = Vec::new();
    // All plain HTTP servers of a port share a chain and its routes; it excludes everything else there.
    let http: Vec<&Bound> = bound.iter().filter(|b| b.served_as() == Some(ServedAs::Http)).collect();
    let routes = || bound.iter().flat_map(|b| snapshot.routes_of_gateway(&b.gateway.name()).iter());
    let wanted = &hcm::Wanted {
        sessions: routes().any(|routes| routes.has_sessions()),
        auth: external_auth::filters(view, routes().flat_map(|routes| routes.external_auth())).collect(),
    };
    if let Some(first) = http.first() {
        let guards = &guards.filters(&http, &mut guarded);
        chains.push(http_chain(snapshot, view, first, None, &Filtered { guards, wanted }));
    } else {
        for b in bound {
            let mut filters = || guards.filters(&[b], &mut guarded);
            match b.served_as() {
                Some(ServedAs::Https) => {
                    let place = Filtered { guards: &filters(), wanted };
                    chains.push(http_chain(snapshot, view, b, tls_match(b), &place));
                }
                Some(ServedAs::Passthrough | ServedAs::TlsTcp | ServedAs::Tcp) => {
                    chains.extend(tcp_chains(snapshot, view, b, &filters()));
                }
                Some(ServedAs::AutoPassthrough) => chains.extend(passing_chains(snapshot, view, b)),
                Some(ServedAs::Http) | None => {}
            }
        }
    }
    distinct(&mut chains);
    if chains.is_empty() {
        return None;
    }
    let inspects_tls = chains.iter().any(|c| {
        c.filter_chain_match
            .as_ref()
            .is_some_and(|m| !m.server_names.is_empty() || m.transport_protocol == "tls")
    });
    let first = (view.topology.proxy_protocol == Some(true)).then(filters::proxy_protocol);
    let tls = inspects_tls.then(filters::tls_inspector);
    let listener = Listener {
        name: format!("{}_{port}", bind.unwrap_or(view.families.wildcard())),
        address: Some(bind_address(bind.unwrap_or(view.families.wildcard()), port)),
        additional_addresses: match bind {
            Some(_) => Vec::new(),
            None => view.families.more_addresses(port),
        },
        filter_chains: chains,
        per_connection_buffer_limit_bytes: view.proxy.connections.downstream_buffer.and_then(u32v),
        listener_filters: first.into_iter().chain(tls).collect(),
        traffic_direction: direction(TrafficDirection::Outbound),
        access_log: view.traced.logs.listener.clone(),
        ..Listener::default()
    };
    let mut sources = Sources::of_listener(&listener);
    sources.extend(guarded);
    // Servers that share a chain are all served by it.
    bound.iter().filter(|b| b.served_as().is_some()).for_each(|b| sources.add(b.meta()));
    Some((listener, sources))
}

/// An IP address with its port, or a socket of the file system.
fn bind_address(bind: &str, port: u16) -> Address {
    match bind.strip_prefix("unix://") {
        Some(path) => pipe(path),
        None => address(bind, port),
    }
}

/// Envoy refuses two chains that one connection meets: a server name, or a match without names, stays with the oldest gateway.
fn distinct(chains: &mut Vec<FilterChain>) {
    let mut seen: Vec<FilterChainMatch> = Vec::new();
    chains.retain_mut(|chain| {
        let Some(wanted) = &mut chain.filter_chain_match else {
            let all = FilterChainMatch::default();
            let new = !seen.contains(&all);
            seen.push(all);
            return new;
        };
        let names = std::mem::take(&mut wanted.server_names);
        let same = |other: &&FilterChainMatch| {
            FilterChainMatch { server_names: Vec::new(), ..FilterChainMatch::clone(other) } == *wanted
        };
        let taken: Vec<&FilterChainMatch> = seen.iter().filter(same).collect();
        if names.is_empty() {
            let new = taken.iter().all(|other| !other.server_names.is_empty());
            seen.push(wanted.clone());
            return new;
        }
        let free = |name: &String| taken.iter().all(|other| !other.server_names.contains(name));
        wanted.server_names = names.into_iter().filter(free).collect();
        let new = !wanted.server_names.is_empty();
        if new {
            seen.push(wanted.clone());
        }
        new
    });
}

/// What requests pass on their way to the routes.
struct Filtered<'a> {
    guards: &'a rbac::Filters,
    wanted: &'a hcm::Wanted,
}

fn http_chain(
    snapshot: &Snapshot,
    view: &View,
    b: &Bound,
    matches: Option<FilterChainMatch>,
    Filtered { guards, wanted }: &Filtered<'_>,
) -> FilterChain {
    let routes = b.route_name().unwrap_or_default();
    let prefix = format!("outbound_0.0.0.0_{}", b.port);
    let terminated = b.served_as() == Some(ServedAs::Https);
    let tls = b.server().tls.as_ref().filter(|_| terminated);
    FilterChain {
        filter_chain_match: matches,
        filters: vec![hcm::with_rds(
            snapshot.mesh(),
            view,
            hcm::Side::Gateway,
            (&prefix, &routes),
            &guards.http,
            wanted,
        )],
        transport_socket: tls.map(|t| server_tls(t, strings(&["h2", "http/1.1"]))),
        metadata: made_by(b),
        ..FilterChain::default()
    }
}

fn made_by(b: &Bound) -> Option<tulle_proto::envoy::core::Metadata> {
    provenance(&b.meta().provenance(b.server().rule.clone()))
}

/// By the server's hosts; every name when one of them is `*`.
fn tls_match(b: &Bound) -> Option<FilterChainMatch> {
    let names = server_names(b.server().hosts.iter().map(|h| &h.host));
    (!names.is_empty()).then(|| FilterChainMatch { server_names: names, ..FilterChainMatch::default() })
}

fn server_names<'a>(hosts: impl Iterator<Item = &'a Host>) -> Vec<String> {
    let mut names: Vec<String> = hosts.map(|h| h.as_str().to_owned()).collect();
    if names.iter().any(|n| n == "*") {
        return Vec::new();
    }
    names.sort();
    names.dedup();
    names
}

/// The chains of a server that passes bytes on: as the routes bound to its gateway say.
fn tcp_chains(snapshot: &Snapshot, view: &View, b: &Bound, guards: &rbac::Filters) -> Vec<FilterChain> {
    let by_name = b.served_as() == Some(ServedAs::Passthrough);
    let mut out = Vec::new();
    for set in snapshot.routes_of_gateway(&b.gateway.name()) {
        let served = set.hosts.iter().any(|h| !b.server().intersect(set.meta.namespace(), h).is_empty());
        if !served || !set.export_to.visible_to(&view.namespace) {
            continue;
        }
        let rules = if by_name { &set.tls } else { &set.tcp };
        for rule in rules {
            out.extend(rule_chains(snapshot, view, b, set, rule, guards));
        }
    }
    out
}

/// The chains of a server that passes TLS to the cluster whose name the server name is: one for each cluster of the services that
/// its hosts cover. Only mutual TLS of the mesh passes, told by its ALPN, and only to endpoints that take it, so that nobody
/// gets anywhere without; who that is, the other end looks at.
fn passing_chains(snapshot: &Snapshot, view: &View, b: &Bound) -> Vec<FilterChain> {
    let mut out = Vec::new();
    for service in view.services().filter(|s| passes_to(&b.server().hosts, s)) {
        let (host, namespace) = (&service.hostname, Some(service.namespace()));
        let rule = snapshot.destination_rule(host, &view.namespace, namespace, &view.labels);
        let subsets = || rule.iter().flat_map(|r| &r.subsets).map(|s| s.name.as_str());
        for port in service.ports.iter().filter(|p| p.protocol != Protocol::Udp) {
            for subset in std::iter::once("").chain(subsets()) {
                let cluster = ClusterName::outbound(host, port.number, subset).sni();
                out.push(FilterChain {
                    filter_chain_match: Some(FilterChainMatch {
                        server_names: vec![cluster.clone()],
                        application_protocols: alpn::all_mtls(),
                        ..FilterChainMatch::default()
                    }),
                    filters: with_stats(
                        view,
                        tcp::to_cluster(&view.traced.logs, &cluster, Carried::default()),
                    ),
                    metadata: made_by(b),
                    ..FilterChain::default()
                });
            }
        }
    }
    out
}

fn rule_chains(
    snapshot: &Snapshot,
    view: &View,
    b: &Bound,
    set: &RouteSet,
    rule: &L4Route,
    guards: &rbac::Filters,
) -> Vec<FilterChain> {
    let gateway = GatewayRef::Named(b.gateway.name());
    let port = b.server().port;
    let Some(terminal) = tcp::to_destinations(snapshot, view, &rule.destinations, port) else {
        return Vec::new();
    };
    let terminated = b.served_as() == Some(ServedAs::TlsTcp);
    let chain = |block: Option<&L4Match>| {
        let names = match block.filter(|b| !b.sni_hosts.is_empty()) {
            // A listener of the Gateway API takes no names but its own.
            Some(block) if set.is_kube() => {
                let common = |h| b.server().intersect(set.meta.namespace(), h);
                let names: Vec<Host> = block.sni_hosts.iter().flat_map(common).collect();
                server_names(names.iter())
            }
            Some(block) => server_names(block.sni_hosts.iter()),
            None if terminated => server_names(b.server().hosts.iter().map(|h| &h.host)),
            None => Vec::new(),
        };
        let subnets: Vec<_> =
            block.iter().flat_map(|b| &b.destination_subnets).filter_map(|s| cidr(s)).collect();
        let matches = (!names.is_empty() || !subnets.is_empty()).then(|| FilterChainMatch {
            server_names: names,
            prefix_ranges: subnets,
            ..FilterChainMatch::default()
        });
        let tls = b.server().tls.as_ref().filter(|_| terminated);
        FilterChain {
            filter_chain_match: matches,
            filters: [guards.tcp.clone(), with_stats(view, terminal.clone())].concat(),
            transport_socket: tls.map(|t| server_tls(t, Vec::new())),
            metadata: provenance(&set.meta.provenance(rule.rule.clone())),
            ..FilterChain::default()
        }
    };
    if rule.matches.is_empty() {
        return vec![chain(None)];
    }
    let applies = |m: &&L4Match| m.applies(&gateway, &view.namespace, &view.labels, port);
    rule.matches.iter().filter(applies).map(|m| chain(Some(m))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(names: &[&str], alpn: &[&str]) -> FilterChain {
        let wanted = FilterChainMatch {
            server_names: strings(names),
            application_protocols: strings(alpn),
            ..FilterChainMatch::default()
        };
        let asks = !names.is_empty() || !alpn.is_empty();
        FilterChain { filter_chain_match: asks.then_some(wanted), ..FilterChain::default() }
    }

    #[test]
    fn a_server_name_stays_with_the_oldest() {
        let mut chains = vec![
            chain(&["a", "b"], &[]),
            chain(&["b", "c"], &[]),
            chain(&["a"], &[]),
            chain(&["a"], &["istio"]),
            chain(&[], &[]),
            chain(&[], &[]),
        ];
        distinct(&mut chains);
        let wanted =
            [chain(&["a", "b"], &[]), chain(&["c"], &[]), chain(&["a"], &["istio"]), chain(&[], &[])];
        assert_eq!(chains, wanted);
    }
}
