//! Rules about `ServiceEntry` and `WorkloadEntry`.

use std::collections::HashSet;

use super::common::{self, PortProtocol, export_to, protocol};
use super::names;
use super::rules::Rules;
use crate::istio::{
    ServiceEntry, ServiceEntryLocation, ServiceEntryPort, ServiceEntryResolution, WorkloadEntry,
};
use crate::meta::ObjectMeta;
use crate::schema::At;

/// Checks a ServiceEntry.
pub(super) fn check(given: &ServiceEntry, meta: &ObjectMeta, at: &At<'_>, rules: &mut Rules) {
    let ServiceEntry {
        hosts,
        addresses,
        ports,
        location,
        resolution,
        endpoints,
        workload_selector,
        export_to: exports,
        subject_alt_names: _,
    } = given;
    let resolution = resolution.unwrap_or(ServiceEntryResolution::None);
    check_hosts(hosts, resolution, endpoints.is_empty(), at, rules);
    for (field, count, most) in [
        ("hosts", hosts.len(), 256),
        ("addresses", addresses.len(), 256),
        ("ports", ports.len(), 256),
        ("endpoints", endpoints.len(), 4096),
    ] {
        common::at_most(count, most, &at.field(field), rules);
    }
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
    if resolution == ServiceEntryResolution::DynamicDns
        && *location == Some(ServiceEntryLocation::MeshInternal)
        && meta.labels.get("istio.io/use-waypoint").is_some_and(|w| !w.is_empty() && w != "none")
    {
        let message = "MESH_INTERNAL with resolution DYNAMIC_DNS does not go with a waypoint";
        rules.error(
            &at.field("location"),
            message,
            "write MESH_EXTERNAL, or remove the label istio.io/use-waypoint",
        );
    }
    let port_names: HashSet<&str> = ports.iter().map(|p| p.name.as_str()).collect();
    let list = at.field("endpoints");
    for (i, endpoint) in endpoints.iter().enumerate() {
        let address = match resolution {
            ServiceEntryResolution::Static => Address::IpOrSocket,
            ServiceEntryResolution::Dns | ServiceEntryResolution::DnsRoundRobin => Address::IpOrName,
            ServiceEntryResolution::None | ServiceEntryResolution::DynamicDns => Address::Any,
        };
        check_endpoint(endpoint, Some(&port_names), address, &list.index(i), rules);
    }
    export_to(exports, &meta.namespace, true, &at.field("exportTo"), rules);
}

/// Checks a WorkloadEntry.
pub(super) fn check_workload(given: &WorkloadEntry, at: &At<'_>, rules: &mut Rules) {
    check_endpoint(given, None, Address::Any, at, rules);
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
        if resolution != ServiceEntryResolution::DynamicDns && names::is_partial_wildcard(host) {
            let message = format!("{host:?}: proxies match wildcards of whole labels only");
            rules.warn(&here, message, "write *. and a domain, as in *.example.com");
        }
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
        rules.check(&here.field("name"), names::label(port_name));
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
    let by_name = |p: &ServiceEntryPort| {
        matches!(p.protocol.to_ascii_lowercase().as_str(), "http" | "http2" | "grpc" | "tls")
    };
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
            if !given.ports.iter().all(by_name) {
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

/// What the address of an endpoint may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Address {
    /// An IP address or a socket of the file system.
    IpOrSocket,
    /// An IP address or a name for DNS.
    IpOrName,
    /// Any of these.
    Any,
}

fn check_endpoint(
    given: &WorkloadEntry,
    ports: Option<&HashSet<&str>>,
    allowed: Address,
    at: &At<'_>,
    rules: &mut Rules,
) {
    let WorkloadEntry { address, ports: own, labels, network, locality, weight: _, service_account } = given;
    for (field, text, most) in [
        ("address", address, 256),
        ("network", network, 2048),
        ("locality", locality, 2048),
        ("serviceAccount", service_account, 253),
    ] {
        common::length(text, most, &at.field(field), rules);
    }
    common::at_most(own.len(), 128, &at.field("ports"), rules);
    common::at_most(labels.len(), 256, &at.field("labels"), rules);
    let here = at.field("address");
    let socket = address.strip_prefix("unix://").filter(|_| allowed != Address::IpOrName);
    if let Some(path) = socket {
        rules.check(&here, names::unix_path(path));
        if !own.is_empty() {
            rules.error(&at.field("ports"), "a socket of the file system has no ports", "remove them");
        }
        if ports.is_some_and(|p| p.len() != 1) {
            rules.error(&here, "a socket of the file system serves exactly one port", "");
        }
    } else if address.is_empty() {
        if network.is_empty() || allowed == Address::IpOrName {
            rules.error(&here, "is required", "give an address or, for STATIC, a network");
        } else {
            rules.warn(
                &here,
                format!("is not given: only the gateways of network {network:?} lead there"),
                "",
            );
        }
    } else if !names::is_ip(address) {
        let (checked, wanted) = match allowed {
            Address::IpOrSocket => (Err(String::new()), "an IP address, as resolution STATIC needs it"),
            Address::IpOrName | Address::Any => (names::fqdn(address), "an IP address or a host name"),
        };
        rules.check(&here, checked.map_err(|_| format!("{address:?} is not {wanted}")));
    }
    for (name, number) in own {
        let list = at.field("ports");
        rules.check(&list.field(name), names::label(name));
        rules.check(&list.field(name), names::port((*number).into()));
        if ports.is_some_and(|p| !p.contains(name.as_str())) {
            rules.error(&list.field(name), format!("the service has no port named {name:?}"), "");
        }
    }
    common::labels(labels, &at.field("labels"), rules);
}
