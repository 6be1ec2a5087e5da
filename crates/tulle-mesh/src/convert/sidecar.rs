//! Sidecar to scope.

use tulle_api::istio as api;
use tulle_base::{Host, Selector};

use super::cx::Cx;
use crate::config::OutboundPolicy;
use crate::port::Protocol;
use crate::sidecar::{Egress, EgressHost, Ingress, NamespaceMatch, Sidecar};

/// What a Sidecar says.
pub(super) fn sidecar(cx: &mut Cx<'_>, spec: &api::Sidecar) -> Sidecar {
    let api::Sidecar { workload_selector, ingress, egress, inbound_connection_pool, outbound_traffic_policy } =
        spec;
    cx.not_applied(
        inbound_connection_pool.is_some(),
        "spec.inboundConnectionPool",
        "limits of inbound connections are not built",
    );
    let outbound =
        outbound_traffic_policy.as_ref().map(|api::OutboundTrafficPolicy { mode, egress_proxy }| {
            let path = "spec.outboundTrafficPolicy.egressProxy";
            cx.not_applied(egress_proxy.is_some(), path, "egress proxies are not built");
            match mode {
                Some(api::OutboundTrafficMode::AllowAny) => OutboundPolicy::AllowAny,
                // The value of an empty block is 0, which is REGISTRY_ONLY (traps 14).
                Some(api::OutboundTrafficMode::RegistryOnly) | None => OutboundPolicy::RegistryOnly,
            }
        });
    Sidecar {
        meta: cx.meta.clone(),
        selector: workload_selector
            .as_ref()
            .map(|api::LabelSelector { labels }| Selector(labels.clone()))
            .filter(|s| !s.is_empty()),
        egress: (!egress.is_empty())
            .then(|| egress.iter().enumerate().map(|(i, e)| egress_of(cx, i, e)).collect()),
        outbound,
        ingress: ingress.iter().enumerate().filter_map(|(i, l)| ingress_of(cx, i, l)).collect(),
    }
}

fn egress_of(cx: &mut Cx<'_>, index: usize, e: &api::IstioEgressListener) -> Egress {
    let api::IstioEgressListener { port, bind, capture_mode, hosts } = e;
    let path = format!("spec.egress[{index}]");
    cx.not_applied(!bind.is_empty(), &format!("{path}.bind"), "listeners on own addresses are not built");
    cx.not_applied(
        *capture_mode == Some(api::CaptureMode::None),
        &format!("{path}.captureMode"),
        "traffic is always redirected by the kernel",
    );
    let number = port.as_ref().and_then(|api::Port { number, protocol: _, name: _, target_port: _ }| *number);
    Egress {
        port: cx.port(number, &format!("{path}.port.number")),
        hosts: hosts.iter().map(|h| egress_host(h)).collect(),
    }
}

fn egress_host(text: &str) -> EgressHost {
    let (namespace, host) = text.split_once('/').unwrap_or(("*", text));
    let namespace = match namespace {
        "*" => NamespaceMatch::Any,
        "." => NamespaceMatch::Own,
        "~" => NamespaceMatch::None,
        name => match name.strip_prefix('~') {
            Some(excluded) => NamespaceMatch::Excluded(excluded.to_owned()),
            None => NamespaceMatch::Named(name.to_owned()),
        },
    };
    EgressHost { namespace, host: Host::new(host) }
}

fn ingress_of(cx: &mut Cx<'_>, index: usize, l: &api::IstioIngressListener) -> Option<Ingress> {
    let api::IstioIngressListener { port, bind, capture_mode, default_endpoint, tls, connection_pool } = l;
    let path = format!("spec.ingress[{index}]");
    cx.not_applied(!bind.is_empty(), &format!("{path}.bind"), "listeners on own addresses are not built");
    cx.not_applied(
        *capture_mode == Some(api::CaptureMode::None),
        &format!("{path}.captureMode"),
        "traffic is always redirected by the kernel",
    );
    cx.not_applied(tls.is_some(), &format!("{path}.tls"), "own certificates are not built");
    cx.not_applied(connection_pool.is_some(), &format!("{path}.connectionPool"), "it is not built");
    let api::Port { number, protocol, name, target_port: _ } = port;
    Some(Ingress {
        port: cx.port(*number, &format!("{path}.port.number"))?,
        protocol: Protocol::parse(protocol).unwrap_or(Protocol::Sniff),
        name: name.clone(),
        default_endpoint: default_endpoint.clone(),
    })
}
