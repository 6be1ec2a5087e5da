//! Rules about `Sidecar`.

use std::collections::HashSet;

use super::common::{self, protocol};
use super::destination_rule::check_pool;
use super::gateway::check_tls;
use super::names;
use super::rules::Rules;
use crate::istio::{
    CaptureMode, IstioEgressListener, IstioIngressListener, OutboundTrafficMode, OutboundTrafficPolicy, Port,
    ServerTlsMode, Sidecar,
};
use crate::schema::At;

/// Checks a Sidecar.
pub(super) fn check(given: &Sidecar, at: &At<'_>, rules: &mut Rules) {
    let Sidecar { workload_selector, ingress, egress, inbound_connection_pool, outbound_traffic_policy } =
        given;
    if let Some(selector) = workload_selector {
        common::selector_labels(&selector.labels, &at.field("workloadSelector").field("labels"), rules);
    }
    let mut ports = HashSet::new();
    for (i, listener) in ingress.iter().enumerate() {
        let list = at.field("ingress");
        let here = list.index(i);
        if !ports.insert(listener.port.number) {
            rules.error(&here.field("port").field("number"), "is used by another ingress listener", "");
        }
        check_ingress(listener, &here, rules);
    }
    check_egress(egress, &at.field("egress"), rules);
    check_pool(inbound_connection_pool.as_ref(), &at.field("inboundConnectionPool"), rules);
    if let Some(OutboundTrafficPolicy { mode, egress_proxy }) = outbound_traffic_policy {
        let here = at.field("outboundTrafficPolicy");
        if let Some(proxy) = egress_proxy {
            if *mode != Some(OutboundTrafficMode::AllowAny) {
                rules.error(&here.field("egressProxy"), "needs mode ALLOW_ANY", "write mode: ALLOW_ANY");
            }
            common::destination(proxy, &here.field("egressProxy"), rules);
            if proxy.port.is_none() {
                rules.error(&here.field("egressProxy").field("port"), "is required", "");
            }
        }
        if mode.is_none() && egress_proxy.is_none() {
            rules.note(&here, "an empty policy means REGISTRY_ONLY", "write the mode");
        }
    }
}

fn check_port(port: &Port, bind: &str, at: &At<'_>, rules: &mut Rules) {
    let here = at.field("port");
    if !port.name.is_empty() {
        rules.check(&here.field("name"), names::dns_label(&port.name));
    }
    if !port.protocol.is_empty() && protocol(&port.protocol).is_none() {
        common::unknown_protocol(&port.protocol, &here.field("protocol"), rules);
    }
    if bind.starts_with("unix://") && port.number.unwrap_or(0) == 0 {
        rules.check(&at.field("bind"), names::unix_path(&bind["unix://".len()..]));
        return;
    }
    rules.check(&here.field("number"), names::port(port.number.unwrap_or(0).into()));
    if !bind.is_empty() {
        rules.check(&at.field("bind"), names::ip(bind));
    }
}

fn check_ingress(listener: &IstioIngressListener, at: &At<'_>, rules: &mut Rules) {
    let IstioIngressListener { port, bind, capture_mode: _, default_endpoint, tls, connection_pool } =
        listener;
    check_port(port, bind, at, rules);
    if !default_endpoint.is_empty() {
        rules.check(&at.field("defaultEndpoint"), local_endpoint(default_endpoint));
    }
    if let Some(tls) = tls {
        let here = at.field("tls");
        check_tls(tls, &here, rules);
        if !matches!(tls.mode, Some(ServerTlsMode::Simple | ServerTlsMode::Mutual)) {
            rules.error(&here.field("mode"), "must be SIMPLE or MUTUAL", "");
        }
    }
    check_pool(connection_pool.as_ref(), &at.field("connectionPool"), rules);
}

fn local_endpoint(text: &str) -> Result<(), String> {
    if let Some(path) = text.strip_prefix("unix://") {
        return names::unix_path(path);
    }
    let wrong = || {
        format!(
            "{text:?} is not of the form 127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT or unix://PATH"
        )
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    if !matches!(host, "" | "127.0.0.1" | "0.0.0.0" | "[::1]" | "[::]") {
        return Err(wrong());
    }
    names::port(port.parse().map_err(|_| wrong())?)
}

fn check_egress(egress: &[IstioEgressListener], at: &At<'_>, rules: &mut Rules) {
    let mut ports = HashSet::new();
    for (i, IstioEgressListener { port, bind, capture_mode, hosts }) in egress.iter().enumerate() {
        let here = at.index(i);
        match port {
            None if i + 1 < egress.len() => {
                rules.error(
                    &here,
                    "a listener without port takes every port and must be the last one",
                    "move it down",
                );
            }
            None if !bind.is_empty() => rules.error(&here.field("bind"), "needs a port", ""),
            None => {}
            Some(port) => {
                if !ports.insert((port.number, bind)) {
                    rules.error(
                        &here.field("port").field("number"),
                        "is used by another egress listener",
                        "",
                    );
                }
                check_port(port, bind, &here, rules);
            }
        }
        if bind.starts_with("unix://") && *capture_mode == Some(CaptureMode::Iptables) {
            rules.error(
                &here.field("captureMode"),
                "a socket of the file system cannot be captured",
                "use NONE",
            );
        }
        if hosts.is_empty() {
            rules.error(&here.field("hosts"), "must have an entry", "write \"*/*\" for everything");
        }
        for (j, host) in hosts.iter().enumerate() {
            rules.check(&here.field("hosts").index(j), egress_host(host));
        }
    }
}

fn egress_host(host: &str) -> Result<(), String> {
    let Some((namespace, name)) = host.split_once('/') else {
        return Err(format!("{host:?} is not of the form NAMESPACE/HOST, such as ./* or */*.example.com"));
    };
    let plain = namespace.strip_prefix('~').unwrap_or(namespace);
    if !(matches!(plain, "*" | ".") || (plain.is_empty() && namespace == "~")) {
        names::dns_label(plain)?;
    }
    if name != "*" && !name.contains('.') {
        return Err(format!("{name:?} is a short name; write the full name"));
    }
    names::wildcard_domain(name)
}
