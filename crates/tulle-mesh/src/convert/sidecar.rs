//! Sidecar to scope.

use tulle_api::istio as api;
use tulle_base::{Host, Selector};

use super::cx::Cx;
use super::destination_rule::pool;
use super::gateway::server_tls;
use super::virtual_service::destination;
use crate::config::OutboundPolicy;
use crate::destination::ConnectionPool;
use crate::port::Protocol;
use crate::sidecar::{Bind, Egress, EgressHost, Ingress, LocalEndpoint, NamespaceMatch, Sidecar};

/// What a Sidecar says.
pub(super) fn sidecar(cx: &mut Cx<'_>, spec: &api::Sidecar) -> Sidecar {
    let api::Sidecar { workload_selector, ingress, egress, inbound_connection_pool, outbound_traffic_policy } =
        spec;
    let mut egress_proxy = None;
    let outbound = outbound_traffic_policy.as_ref().map(|policy| {
        let api::OutboundTrafficPolicy { mode, egress_proxy: proxy } = policy;
        let path = "spec.outboundTrafficPolicy.egressProxy";
        match mode {
            Some(api::OutboundTrafficMode::AllowAny) => {
                egress_proxy = proxy.as_ref().map(|d| destination(cx, d, path));
                OutboundPolicy::AllowAny
            }
            // The value of an empty block is 0, which is REGISTRY_ONLY (traps 14).
            Some(api::OutboundTrafficMode::RegistryOnly) | None => {
                cx.not_applied(proxy.is_some(), path, "only what may pass goes there; write mode: ALLOW_ANY");
                OutboundPolicy::RegistryOnly
            }
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
        egress_proxy,
        inbound_pool: inbound_connection_pool
            .as_ref()
            .map(|p| inbound_pool(cx, "spec.inboundConnectionPool", p)),
        ingress: ingress.iter().enumerate().filter_map(|(i, l)| ingress_of(cx, i, l)).collect(),
    }
}

fn egress_of(cx: &mut Cx<'_>, index: usize, e: &api::IstioEgressListener) -> Egress {
    let api::IstioEgressListener { port, bind, capture_mode, hosts } = e;
    let path = format!("spec.egress[{index}]");
    let none = api::Port::default();
    let api::Port { number, protocol, name: _, target_port: _ } = port.as_ref().unwrap_or(&none);
    let bind = match bind.strip_prefix("unix://") {
        Some(socket) => Bind::Socket(socket.to_owned()),
        None if bind.is_empty() => Bind::Unsaid,
        None => Bind::Ip(bind.clone()),
    };
    // A socket has no port: 0 stands for it.
    let number = number.filter(|n| *n != 0 || !matches!(bind, Bind::Socket(_)));
    Egress {
        port: cx.port(number, &format!("{path}.port.number")),
        protocol: Protocol::parse(protocol),
        captured: *capture_mode != Some(api::CaptureMode::None) && !matches!(bind, Bind::Socket(_)),
        bind,
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
    let api::Port { number, protocol, name, target_port: _ } = port;
    let endpoint = LocalEndpoint::parse(default_endpoint).unwrap_or_else(|| {
        let message = format!("{default_endpoint:?} is no endpoint, so that the same port is asked");
        cx.warn(
            &format!("{path}.defaultEndpoint"),
            message,
            "write 127.0.0.1:PORT, 0.0.0.0:PORT or unix://PATH",
        );
        LocalEndpoint::Same
    });
    Some(Ingress {
        port: cx.port(*number, &format!("{path}.port.number"))?,
        protocol: Protocol::parse(protocol).unwrap_or(Protocol::Sniff),
        name: name.clone(),
        endpoint,
        bind: bind.clone(),
        captured: *capture_mode != Some(api::CaptureMode::None),
        tls: tls.as_ref().map(server_tls),
        pool: connection_pool.as_ref().map(|p| inbound_pool(cx, &format!("{path}.connectionPool"), p)),
    })
}

/// Limits toward the application. Which version of HTTP it speaks is said by its port, as in Istio.
fn inbound_pool(cx: &mut Cx<'_>, path: &str, p: &api::ConnectionPoolSettings) -> ConnectionPool {
    let mut out = pool(p);
    let reason = "applications get the protocol of their port";
    let upgrades = std::mem::take(&mut out.h2_upgrade).is_some();
    cx.not_applied(upgrades, &format!("{path}.http.h2UpgradePolicy"), reason);
    let keeps = std::mem::take(&mut out.use_client_protocol);
    cx.not_applied(keeps, &format!("{path}.http.useClientProtocol"), reason);
    out
}
