//! Rules about `ServiceEntry` and `WorkloadEntry`.

use std::collections::HashSet;

use super::common::{self, PortProtocol, export_to, protocol};
use super::names;
use super::rules::Rules;
use crate::istio::{ServiceEntry, ServiceEntryPort, ServiceEntryResolution, WorkloadEntry};
use crate::meta::ObjectMeta;
use crate::schema::At;

/// Checks a ServiceEntry.
pub(super) fn check(given: &ServiceEntry, meta: &ObjectMeta, at: &At<'_>, rules: &mut Rules) {
    let ServiceEntry {
        hosts,
        addresses,
        ports,
        location: _,
        resolution,
        endpoints,
        workload_selector,
        export_to: exports,
        subject_alt_names: _,
    } = given;
    let resolution = resolution.unwrap_or(ServiceEntryResolution::None);
    check_hosts(hosts, resolution, endpoints.is_empty(), at, rules);
    for (i, address) in addresses.iter().enumerate() {
        let here = at.field("addresses");
        rules.check(&here.index(i), names::ip_or_cidr(address));
        let ranges = matches!(resolution, ServiceEntryResolution::None | ServiceEntryResolution::Static);
        if address.contains('/') && !ranges {
            rules.error(&here.index(i), "a range needs resolution NONE or STATIC", "");
        }
    }
    check_ports(ports, &at.field("ports"), rules);
    rules.exclusive(
        at,
        &[("endpoints", !endpoints.is_empty()), ("workloadSelector", workload_selector.is_some())],
    );
    if let Some(selector) = workload_selector {
        common::selector_labels(&selector.labels, &at.field("workloadSelector").field("labels"), rules);
    }
    check_resolution(given, resolution, at, rules);
    let port_names: HashSet<&str> = ports.iter().map(|p| p.name.as_str()).collect();
    let list = at.field("endpoints");
    for (i, endpoint) in endpoints.iter().enumerate() {
        let fqdn = resolution != ServiceEntryResolution::Static;
        check_endpoint(endpoint, Some(&port_names), fqdn, &list.index(i), rules);
    }
    export_to(exports, &meta.namespace, true, &at.field("exportTo"), rules);
}

/// Checks a WorkloadEntry.
pub(super) fn check_workload(given: &WorkloadEntry, at: &At<'_>, rules: &mut Rules) {
    check_endpoint(given, None, true, at, rules);
}

fn check_hosts(
    hosts: &[String],
    resolution: ServiceEntryResolution,
    no_endpoints: bool,
    at: &At<'_>,
    rules: &mut Rules,
) {
    let at = at.field("hosts");
    if hosts.is_empty() {
        rules.error(&at, "must have an entry", "name the service");
    }
    let by_dns = matches!(resolution, ServiceEntryResolution::Dns | ServiceEntryResolution::DnsRoundRobin);
    for (i, host) in hosts.iter().enumerate() {
        let here = at.index(i);
        if host == "*" {
            rules.error(&here, "a service cannot be named *", "name a domain, such as *.example.com");
            continue;
        }
        rules.check(&here, names::wildcard_domain(host));
        if by_dns && no_endpoints && host.starts_with('*') {
            rules.error(
                &here,
                format!("{host:?} cannot be looked up in DNS"),
                "give endpoints, or resolution NONE",
            );
        }
        if resolution == ServiceEntryResolution::DynamicDns && !host.starts_with('*') {
            rules.error(&here, "resolution DYNAMIC_DNS is for wildcard hosts", "use resolution DNS");
        }
    }
}

fn check_ports(ports: &[ServiceEntryPort], at: &At<'_>, rules: &mut Rules) {
    let (mut seen_names, mut numbers) = (HashSet::new(), HashSet::new());
    for (i, ServiceEntryPort { number, protocol: name, name: port_name, target_port }) in
        ports.iter().enumerate()
    {
        let here = at.index(i);
        if !seen_names.insert(port_name) {
            rules.error(
                &here.field("name"),
                format!("there are two ports named {port_name:?}"),
                "rename one",
            );
        }
        if !numbers.insert(number) {
            rules.error(&here.field("number"), format!("port {number} is given twice"), "keep one");
        }
        rules.check(&here.field("name"), names::dns_label(port_name));
        rules.check(&here.field("number"), names::port((*number).into()));
        common::port(*target_port, &here.field("targetPort"), rules);
        if !name.is_empty() && protocol(name).is_none() {
            common::unknown_protocol(name, &here.field("protocol"), rules);
        }
    }
}

fn check_resolution(
    given: &ServiceEntry,
    resolution: ServiceEntryResolution,
    at: &At<'_>,
    rules: &mut Rules,
) {
    let kind_of = |p: &ServiceEntryPort| protocol(&p.protocol).unwrap_or(PortProtocol::Tcp);
    let tcp = given.ports.iter().any(|p| kind_of(p) == PortProtocol::Tcp);
    match resolution {
        ServiceEntryResolution::None if !given.endpoints.is_empty() => {
            rules.error(&at.field("endpoints"), "are not used with resolution NONE", "use STATIC or DNS");
        }
        ServiceEntryResolution::None if given.workload_selector.is_some() => {
            rules.warn(&at.field("workloadSelector"), "has no effect with resolution NONE", "use STATIC");
        }
        ServiceEntryResolution::DnsRoundRobin if given.endpoints.len() > 1 => {
            rules.error(
                &at.field("endpoints"),
                "resolution DNS_ROUND_ROBIN has one endpoint at most",
                "use DNS",
            );
        }
        ServiceEntryResolution::DynamicDns => {
            for (field, set) in
                [("addresses", !given.addresses.is_empty()), ("endpoints", !given.endpoints.is_empty())]
            {
                if set {
                    rules.error(&at.field(field), "cannot be set with resolution DYNAMIC_DNS", "remove it");
                }
            }
            if tcp {
                rules.error(
                    &at.field("ports"),
                    "resolution DYNAMIC_DNS is for HTTP, HTTP2, GRPC and TLS ports",
                    "",
                );
            }
        }
        _ => {}
    }
    if resolution != ServiceEntryResolution::None && given.hosts.len() > 1 && tcp {
        let message = "several hosts cannot be told apart on a TCP port";
        rules.error(&at.field("hosts"), message, "write one ServiceEntry per host");
    }
    if given.addresses.is_empty() && tcp && resolution == ServiceEntryResolution::None {
        let message = "a TCP port without addresses takes the traffic of every address on this port";
        rules.warn(&at.field("addresses"), message, "give the addresses");
    }
}

fn check_endpoint(
    given: &WorkloadEntry,
    ports: Option<&HashSet<&str>>,
    fqdn: bool,
    at: &At<'_>,
    rules: &mut Rules,
) {
    let WorkloadEntry { address, ports: own, labels, network, locality: _, weight: _, service_account: _ } =
        given;
    let here = at.field("address");
    if let Some(path) = address.strip_prefix("unix://") {
        rules.check(&here, names::unix_path(path));
        if !own.is_empty() {
            rules.error(&at.field("ports"), "a socket of the file system has no ports", "remove them");
        }
        if ports.is_some_and(|p| p.len() != 1) {
            rules.error(&here, "a socket of the file system serves exactly one port", "");
        }
    } else if address.is_empty() {
        if network.is_empty() {
            rules.error(&here, "is required", "give an address or a network");
        }
    } else if !names::is_ip(address) {
        let checked = if fqdn { names::fqdn(address) } else { Err(String::new()) };
        let wanted = if fqdn {
            "an IP address or a host name"
        } else {
            "an IP address, as resolution STATIC needs it"
        };
        rules.check(&here, checked.map_err(|_| format!("{address:?} is not {wanted}")));
    }
    for (name, number) in own {
        let list = at.field("ports");
        rules.check(&list.field(name), names::port((*number).into()));
        if ports.is_some_and(|p| !p.contains(name.as_str())) {
            rules.error(&list.field(name), format!("the service has no port named {name:?}"), "");
        }
    }
    common::labels(labels, &at.field("labels"), rules);
}
