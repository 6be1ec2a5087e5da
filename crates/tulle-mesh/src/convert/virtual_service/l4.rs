//! Rules for TLS that passes and for other TCP.

use tulle_api::istio as api;
use tulle_base::Host;

use super::destination;
use crate::convert::cx::{Cx, count};
use crate::routing::{HeaderOps, L4Match, L4Route, WeightedDestination};

pub(super) fn tls_route(cx: &mut Cx<'_>, index: usize, r: &api::TlsRoute) -> L4Route {
    let api::TlsRoute { matches, route } = r;
    let rule = format!("tls[{index}]");
    L4Route {
        matches: matches.iter().enumerate().map(|(i, m)| tls_match(cx, &rule, i, m)).collect(),
        destinations: l4_destinations(cx, &rule, route),
        rule,
    }
}

fn tls_match(cx: &mut Cx<'_>, rule: &str, index: usize, m: &api::TlsMatchAttributes) -> L4Match {
    let api::TlsMatchAttributes {
        sni_hosts,
        destination_subnets,
        port,
        source_labels,
        gateways,
        source_namespace,
    } = m;
    L4Match {
        sni_hosts: sni_hosts.iter().map(|h| Host::new(h)).collect(),
        destination_subnets: destination_subnets.clone(),
        port: cx.port(*port, &format!("spec.{rule}.match[{index}].port")),
        source_labels: source_labels.clone(),
        source_namespace: Some(source_namespace.clone()).filter(|n| !n.is_empty()),
        gateways: gateways.iter().map(|g| cx.gateway(g)).collect(),
    }
}

pub(super) fn tcp_route(cx: &mut Cx<'_>, index: usize, r: &api::TcpRoute) -> L4Route {
    let api::TcpRoute { matches, route } = r;
    let rule = format!("tcp[{index}]");
    let matches = matches.iter().enumerate().map(|(i, m)| {
        let api::L4MatchAttributes {
            destination_subnets,
            port,
            source_subnet: _, // said by the reader already: it has no effect
            source_labels,
            gateways,
            source_namespace,
        } = m;
        L4Match {
            sni_hosts: Vec::new(),
            destination_subnets: destination_subnets.clone(),
            port: cx.port(*port, &format!("spec.{rule}.match[{i}].port")),
            source_labels: source_labels.clone(),
            source_namespace: Some(source_namespace.clone()).filter(|n| !n.is_empty()),
            gateways: gateways.iter().map(|g| cx.gateway(g)).collect(),
        }
    });
    let matches = matches.collect();
    L4Route { matches, destinations: l4_destinations(cx, &rule, route), rule }
}

fn l4_destinations(cx: &mut Cx<'_>, rule: &str, route: &[api::RouteDestination]) -> Vec<WeightedDestination> {
    let mut out = Vec::new();
    for (i, api::RouteDestination { destination: to, weight }) in route.iter().enumerate() {
        out.push(WeightedDestination {
            destination: destination(cx, to, &format!("spec.{rule}.route[{i}].destination")),
            weight: count(*weight).unwrap_or(0),
            headers: HeaderOps::default(),
        });
    }
    out
}
