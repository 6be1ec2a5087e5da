//! Rules about `VirtualService`.

use super::common::{self, duration_or_zero, export_to, labels};
use super::hosts::Hosts;
use super::http_route;
use super::names;
use super::retry::retry;
use super::rules::Rules;
use crate::istio::{
    HttpRoute, L4MatchAttributes, RouteDestination, TcpRoute, TlsMatchAttributes, TlsRoute, VirtualService,
};
use crate::meta::ObjectMeta;
use crate::schema::At;

/// Checks a VirtualService; one without hosts is a delegate.
pub(super) fn check(given: &VirtualService, meta: &ObjectMeta, at: &At<'_>, rules: &mut Rules) {
    let VirtualService { hosts, gateways, http, tls, tcp, export_to: exports, retries, timeout } = given;
    if hosts.is_empty() {
        delegate(given, at, rules);
    }
    gateway_names(gateways, &at.field("gateways"), rules);
    check_hosts(given, at, rules);
    if http.is_empty() && tls.is_empty() && tcp.is_empty() {
        rules.error(&at.field("http"), "there are no routes", "give http, tls or tcp");
    }
    for (i, route) in http.iter().enumerate() {
        http_route::check(route, hosts.is_empty(), &at.field("http").index(i), rules);
    }
    if !on_gateway(given) {
        claims_need_a_gateway(http, at, rules);
    }
    let covering = Hosts::of(hosts);
    for (i, route) in tls.iter().enumerate() {
        check_tls(route, given, &covering, &at.field("tls").index(i), rules);
    }
    for (i, route) in tcp.iter().enumerate() {
        check_tcp(route, &at.field("tcp").index(i), rules);
    }
    export_to(exports, &meta.namespace, false, &at.field("exportTo"), rules);
    retry(retries.as_ref(), &at.field("retries"), rules);
    duration_or_zero(timeout.as_ref(), &at.field("timeout"), rules);
    unreachable_rules(http, &at.field("http"), rules);
}

fn delegate(given: &VirtualService, at: &At<'_>, rules: &mut Rules) {
    let mut only_http = |field: &str, set: bool| {
        if set {
            let message = "a VirtualService without hosts is a delegate, which has http routes only";
            rules.error(&at.field(field), message, "give hosts, or remove this");
        }
    };
    only_http("gateways", !given.gateways.is_empty());
    only_http("tls", !given.tls.is_empty());
    only_http("tcp", !given.tcp.is_empty());
}

/// Whether the rules are for gateways alone; rules for sidecars too must be what sidecars can do.
fn on_gateway(given: &VirtualService) -> bool {
    !given.gateways.is_empty() && given.gateways.iter().all(|g| g != "mesh")
}

fn check_hosts(given: &VirtualService, at: &At<'_>, rules: &mut Rules) {
    let at = at.field("hosts");
    let by_sni =
        on_gateway(given) && given.tls.iter().flat_map(|t| &t.matches).any(|m| !m.sni_hosts.is_empty());
    let mut before = Hosts::default();
    for (i, host) in given.hosts.iter().enumerate() {
        let here = at.index(i);
        if !names::is_ip(host) {
            rules.check(&here, server_name(host, by_sni));
        }
        if host == "*" && !on_gateway(given) {
            rules.error(&here, "the host * is only for gateways", "name gateways, or the hosts of services");
        }
        if let Some(other) = before.overlapping(host) {
            rules.error(&here, format!("{host:?} overlaps with the host {other:?} above"), "keep one");
        }
        before.insert(host);
    }
}

/// A host with leading wildcard, or the name of a cluster where gateways route by it.
fn server_name(host: &str, by_sni: bool) -> Result<(), String> {
    if by_sni && host.starts_with("outbound_") {
        names::cluster_sni(host)
    } else {
        names::wildcard_domain(host)
    }
}

/// Gateways are named `NAME` or `NAMESPACE/NAME`.
pub(super) fn gateway_names(given: &[String], at: &At<'_>, rules: &mut Rules) {
    for (i, name) in given.iter().enumerate() {
        let here = at.index(i);
        match name.split_once('/') {
            Some((namespace, gateway)) => {
                rules.check(&here, names::dns_label(namespace));
                rules.check(&here, names::dns_label(gateway));
            }
            None => {
                rules.check(&here, names::fqdn(name));
                if let Some((gateway, rest)) = name.split_once('.') {
                    let namespace = rest.split('.').next().unwrap_or_default();
                    rules.warn(
                        &here,
                        "is the old form of a gateway's name",
                        format!("write {namespace}/{gateway}"),
                    );
                }
            }
        }
    }
}

fn claims_need_a_gateway(http: &[HttpRoute], at: &At<'_>, rules: &mut Rules) {
    for (i, route) in http.iter().enumerate() {
        for (j, matched) in route.matches.iter().enumerate() {
            for (field, headers) in
                [("headers", &matched.headers), ("withoutHeaders", &matched.without_headers)]
            {
                for name in headers.keys().filter(|n| http_route::is_claim(n)) {
                    let (list, rule) = (at.field("http"), i);
                    let (rule, matches) = (list.index(rule), "match");
                    let matches = rule.field(matches);
                    let (one, headers) = (matches.index(j), field);
                    rules.error(
                        &one.field(headers).field(name),
                        "routing by the claims of a token works on gateways only",
                        "name gateways",
                    );
                }
            }
        }
    }
}

fn check_tls(route: &TlsRoute, context: &VirtualService, covering: &Hosts, at: &At<'_>, rules: &mut Rules) {
    let TlsRoute { matches, route: destinations } = route;
    if matches.is_empty() {
        rules.error(&at.field("match"), "a tls route needs a condition", "give sniHosts");
    }
    for (i, matched) in matches.iter().enumerate() {
        let list = at.field("match");
        check_tls_match(matched, context, covering, &list.index(i), rules);
    }
    route_destinations(destinations, at, rules);
}

fn check_tls_match(
    matched: &TlsMatchAttributes,
    context: &VirtualService,
    covering: &Hosts,
    at: &At<'_>,
    rules: &mut Rules,
) {
    let TlsMatchAttributes {
        sni_hosts,
        destination_subnets,
        port,
        source_labels,
        gateways,
        source_namespace,
    } = matched;
    if sni_hosts.is_empty() {
        rules.error(&at.field("sniHosts"), "must have an entry", "name a host");
    }
    for (i, sni) in sni_hosts.iter().enumerate() {
        let list = at.field("sniHosts");
        let here = list.index(i);
        if names::is_ip(sni) {
            rules.warn(
                &here,
                "is an IP address, which clients do not send as server name (RFC 6066 section 3)",
                "",
            );
            continue;
        }
        rules.check(&here, server_name(sni, on_gateway(context)));
        let hosts = &context.hosts;
        if !hosts.is_empty() && !covering.cover(sni) {
            let named = hosts[..hosts.len().min(4)].join(", ");
            let more = if hosts.len() > 4 { ", ..." } else { "" };
            let message = format!("{sni:?} is covered by none of the hosts {named}{more}");
            rules.error(&here, message, "add it to hosts");
        }
    }
    l4(destination_subnets, *port, gateways, source_namespace, at, rules);
    labels(source_labels, &at.field("sourceLabels"), rules);
}

fn check_tcp(route: &TcpRoute, at: &At<'_>, rules: &mut Rules) {
    let TcpRoute { matches, route: destinations } = route;
    for (i, matched) in matches.iter().enumerate() {
        let L4MatchAttributes {
            destination_subnets,
            port,
            source_subnet: _,
            source_labels,
            gateways,
            source_namespace,
        } = matched;
        let list = at.field("match");
        let here = list.index(i);
        l4(destination_subnets, *port, gateways, source_namespace, &here, rules);
        labels(source_labels, &here.field("sourceLabels"), rules);
    }
    route_destinations(destinations, at, rules);
}

fn l4(
    subnets: &[String],
    port: Option<u32>,
    gateways: &[String],
    namespace: &str,
    at: &At<'_>,
    rules: &mut Rules,
) {
    for (i, subnet) in subnets.iter().enumerate() {
        rules.check(&at.field("destinationSubnets").index(i), names::ip_or_cidr(subnet));
    }
    common::port(port, &at.field("port"), rules);
    gateway_names(gateways, &at.field("gateways"), rules);
    if !namespace.is_empty() {
        rules.check(&at.field("sourceNamespace"), names::dns_label(namespace));
    }
}

fn route_destinations(given: &[RouteDestination], at: &At<'_>, rules: &mut Rules) {
    let at = at.field("route");
    if given.is_empty() {
        rules.error(&at, "must have a destination", "give route");
    }
    for (i, RouteDestination { destination, weight }) in given.iter().enumerate() {
        let here = at.index(i);
        common::destination(destination, &here.field("destination"), rules);
        common::not_negative(*weight, &here.field("weight"), rules);
    }
    http_route::total_weight(given.iter().map(|d| d.weight), &at, rules);
}

/// Rules after one that matches everything, or that repeat a match, are never used.
fn unreachable_rules(http: &[HttpRoute], at: &At<'_>, rules: &mut Rules) {
    let Some(catch_all) = http.iter().position(http_route::matches_everything) else { return };
    for i in catch_all + 1..http.len() {
        let message = format!("is never used: rule {catch_all} above matches everything");
        rules.warn(
            &at.index(i),
            message,
            format!("move it above http[{catch_all}], or give that rule a match"),
        );
    }
}
