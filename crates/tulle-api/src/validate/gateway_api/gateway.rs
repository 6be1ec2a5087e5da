//! Rules about listeners.

use std::collections::HashSet;

use super::{hostname, port};
use crate::gateway_api::{FromNamespaces, GatewayListener, GatewaySpec, TlsModeType};
use crate::schema::At;
use crate::validate::common::at_most;
use crate::validate::names;
use crate::validate::rules::Rules;

/// Checks a Gateway.
pub(super) fn check(given: &GatewaySpec, at: &At<'_>, rules: &mut Rules) {
    check_listeners(&given.listeners, &at.field("listeners"), rules);
    let list = at.field("addresses");
    at_most(given.addresses.len(), 16, &list, rules);
    let mut seen = HashSet::new();
    for (i, address) in given.addresses.iter().enumerate() {
        let here = list.index(i);
        if !address.value.is_empty() && !seen.insert((&address.address_type, &address.value)) {
            rules.error(&here.field("value"), format!("{:?} is given twice", address.value), "keep one");
        }
        if address.value.is_empty() {
            continue;
        }
        match address.address_type.as_str() {
            "" | "IPAddress" => rules.check(&here.field("value"), names::ip(&address.value)),
            "Hostname" => rules.check(&here.field("value"), names::fqdn(&address.value)),
            _ => {}
        }
    }
    let Some(frontend) = given.tls.as_ref().and_then(|t| t.frontend.as_ref()) else { return };
    let mut ports = HashSet::new();
    for (i, entry) in frontend.per_port.iter().enumerate() {
        let tls = at.field("tls");
        let list = tls.field("frontend");
        let list = list.field("perPort");
        let here = list.index(i);
        port(Some(entry.port), &here.field("port"), rules);
        if !ports.insert(entry.port) {
            rules.error(&here.field("port"), format!("{} is given twice", entry.port), "keep one");
        }
    }
}

/// Checks listeners: each by itself, and that no two claim the same.
pub(super) fn check_listeners(given: &[GatewayListener], at: &At<'_>, rules: &mut Rules) {
    at_most(given.len(), 64, at, rules);
    let (mut seen, mut claims) = (HashSet::new(), HashSet::new());
    for (i, listener) in given.iter().enumerate() {
        let here = at.index(i);
        if !seen.insert(&listener.name) {
            let message = format!("{:?} is the name of another listener", listener.name);
            rules.error(&here.field("name"), message, "give each its own");
        }
        if !claims.insert((listener.port, &listener.protocol, &listener.hostname)) {
            let message = "another listener has the same port, protocol and hostname";
            rules.error(&here, message, "remove one of them");
        }
        check_listener(listener, &here, rules);
    }
}

fn check_listener(given: &GatewayListener, at: &At<'_>, rules: &mut Rules) {
    rules.check(&at.field("name"), names::object_name(&given.name));
    port(Some(given.port), &at.field("port"), rules);
    hostname(&given.hostname, &at.field("hostname"), rules);
    let protocol = given.protocol.as_str();
    if matches!(protocol, "TCP" | "UDP") && !given.hostname.is_empty() {
        rules.error(&at.field("hostname"), format!("{protocol} has no host names"), "remove it");
    }
    match &given.tls {
        Some(_) if matches!(protocol, "HTTP" | "TCP" | "UDP") => {
            rules.error(&at.field("tls"), format!("does not go with protocol {protocol}"), "remove it");
        }
        None if matches!(protocol, "HTTPS" | "TLS") => {
            rules.error(&at.field("tls"), format!("is required for protocol {protocol}"), "");
        }
        Some(tls) => {
            let here = at.field("tls");
            let passes = tls.mode == Some(TlsModeType::Passthrough);
            if protocol == "HTTPS" && passes {
                rules.error(&here.field("mode"), "HTTPS is terminated", "write Terminate, or protocol TLS");
            }
            at_most(tls.certificate_refs.len(), 64, &here.field("certificateRefs"), rules);
            if !passes && tls.certificate_refs.is_empty() && tls.options.is_empty() {
                let message = "is required where TLS is terminated";
                rules.error(&here.field("certificateRefs"), message, "name a secret");
            }
        }
        None => {}
    }
    let Some(namespaces) = given.allowed_routes.as_ref().and_then(|a| a.namespaces.as_ref()) else { return };
    let here = at.field("allowedRoutes");
    let here = here.field("namespaces");
    let by_label = namespaces.from == Some(FromNamespaces::Selector);
    if by_label != namespaces.selector.is_some() {
        let message = if by_label { "is required for from: Selector" } else { "is for from: Selector only" };
        rules.error(&here.field("selector"), message, "");
    }
}
