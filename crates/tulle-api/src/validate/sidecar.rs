//! Rules about `Sidecar`.

use std::collections::{HashMap, HashSet};

use super::common::{self, PortProtocol, protocol};
use super::destination_rule::check_pool;
use super::gateway::check_tls;
use super::names;
use super::rules::Rules;
use crate::istio::{
    CaptureMode, IstioEgressListener, IstioIngressListener, OutboundTrafficMode, OutboundTrafficPolicy, Port,
    ServerTlsMode, ServerTlsSettings, Sidecar,
};
use crate::meta::ObjectMeta;
use crate::schema::At;

/// Checks a Sidecar.
pub(super) fn check(given: &Sidecar, meta: &ObjectMeta, at: &At<'_>, rules: &mut Rules) {
    let Sidecar { workload_selector, ingress, egress, inbound_connection_pool, outbound_traffic_policy } =
        given;
    if let Some(selector) = workload_selector {
        common::selector_labels(&selector.labels, &at.field("workloadSelector").field("labels"), rules);
    }
    let says_nothing = ingress.is_empty()
        && egress.is_empty()
        && inbound_connection_pool.is_none()
        && outbound_traffic_policy.is_none();
    if says_nothing {
        rules.error(
            at,
            "says nothing",
            "give ingress, egress, inboundConnectionPool or outboundTrafficPolicy",
        );
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
    check_egress(egress, meta, &at.field("egress"), rules);
    check_pool(inbound_connection_pool.as_ref(), &at.field("inboundConnectionPool"), rules);
    if let Some(OutboundTrafficPolicy { mode, egress_proxy }) = outbound_traffic_policy {
        let here = at.field("outboundTrafficPolicy");
        if let Some(proxy) = egress_proxy {
            if *mode != Some(OutboundTrafficMode::AllowAny) {
                rules.error(&here.field("egressProxy"), "needs mode ALLOW_ANY", "write mode: ALLOW_ANY");
            }
            common::destination(proxy, &here.field("egressProxy"), rules);
            if proxy.host.contains('*') {
                let message = format!("{:?} must be one host, without wildcard", proxy.host);
                rules.error(&here.field("egressProxy").field("host"), message, "name a service");
            }
            if proxy.port.is_none() {
                rules.error(&here.field("egressProxy").field("port"), "is required", "");
            }
        }
        if mode.is_none() && egress_proxy.is_none() {
            rules.note(&here, "an empty policy means REGISTRY_ONLY", "write the mode");
        }
    }
}

fn check_port(port: &Port, bind: &str, sockets: bool, at: &At<'_>, rules: &mut Rules) {
    let here = at.field("port");
    if !port.name.is_empty() {
        rules.check(&here.field("name"), names::label(&port.name));
    }
    if !port.protocol.is_empty() && protocol(&port.protocol).is_none() {
        common::unknown_protocol(&port.protocol, &here.field("protocol"), rules);
    }
    if let Some(path) = bind.strip_prefix("unix://").filter(|_| sockets && port.number.unwrap_or(0) == 0) {
        rules.check(&at.field("bind"), names::unix_path(path));
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
    check_port(port, bind, false, at, rules);
    if !default_endpoint.is_empty() {
        rules.check(&at.field("defaultEndpoint"), local_endpoint(default_endpoint));
    }
    if let Some(tls) = tls {
        check_ingress_tls(tls, port, &at.field("tls"), rules);
    }
    let here = at.field("connectionPool");
    check_pool(connection_pool.as_ref(), &here, rules);
    let http = protocol(&port.protocol) == Some(PortProtocol::Http);
    if !http && connection_pool.as_ref().is_some_and(|p| p.http.is_some()) {
        let message = format!("is for HTTP ports, not for {:?}: only tcp holds here", port.protocol);
        rules.warn(&here.field("http"), message, "remove it or correct port.protocol");
    }
}

/// TLS that a sidecar ends itself, with certificates from files.
fn check_ingress_tls(tls: &ServerTlsSettings, port: &Port, at: &At<'_>, rules: &mut Rules) {
    let refused = [
        ("subjectAltNames", !tls.subject_alt_names.is_empty()),
        ("httpsRedirect", tls.https_redirect == Some(true)),
        ("credentialName", !tls.credential_name.is_empty()),
        ("credentialNames", !tls.credential_names.is_empty()),
        ("caCertCredentialName", !tls.ca_cert_credential_name.is_empty()),
        ("tlsCertificates", !tls.tls_certificates.is_empty()),
    ];
    for (field, _) in refused.iter().filter(|(_, set)| *set) {
        rules.error(&at.field(field), "is for gateways, not for sidecars", "remove it; name files");
    }
    if !matches!(tls.mode, Some(ServerTlsMode::Simple | ServerTlsMode::Mutual)) {
        rules.error(&at.field("mode"), "must be SIMPLE or MUTUAL", "");
    }
    if protocol(&port.protocol) != Some(PortProtocol::Tls) {
        let message = format!("a port of protocol {:?} has no TLS", port.protocol);
        rules.error(at, message, "write port.protocol: HTTPS or TLS");
    }
    check_tls(tls, at, rules);
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

fn check_egress(egress: &[IstioEgressListener], meta: &ObjectMeta, at: &At<'_>, rules: &mut Rules) {
    let (mut ports, mut sockets) = (HashSet::new(), HashSet::new());
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
                let number = port.number.unwrap_or(0);
                if number == 0 && !sockets.insert(bind) {
                    rules.error(&here.field("bind"), "is used by another egress listener", "");
                } else if number != 0 && !ports.insert(number) {
                    let field = here.field("port");
                    rules.error(&field.field("number"), "is used by another egress listener", "");
                }
                check_port(port, bind, true, &here, rules);
            }
        }
        if port.is_none() && *capture_mode == Some(CaptureMode::None) && !hosts.is_empty() {
            rules.note(
                &here,
                "each port of these hosts is listened for on this machine itself",
                "name the port, so that no application is in the way",
            );
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
        repeated_hosts(hosts, &meta.namespace, &here.field("hosts"), rules);
    }
}

/// Hosts that another one of the list already brings along.
fn repeated_hosts(hosts: &[String], own: &str, at: &At<'_>, rules: &mut Rules) {
    let mut seen: HashMap<&str, HashSet<&str>> = HashMap::new();
    for (i, host) in hosts.iter().enumerate() {
        let Some((namespace, name)) = host.split_once('/').filter(|(n, _)| !n.starts_with('~')) else {
            continue;
        };
        let names = seen.entry(if namespace == "." { own } else { namespace }).or_default();
        let again = if name == "*" { !names.is_empty() } else { names.contains(name) || names.contains("*") };
        if again {
            rules.warn(&at.index(i), format!("{host:?} and another host of this list overlap"), "keep one");
        }
        names.insert(name);
    }
    if seen.len() > 1 && seen.get("*").is_some_and(|names| names.contains("*")) {
        rules.warn(at, "\"*/*\" brings everything, so that the other hosts add nothing", "keep one of them");
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
    names::whole_wildcard_domain(name)
}
