//! Rules about Kubernetes' resources, as far as they matter on one machine.

use std::collections::HashSet;

use super::common::{labels, not_negative};
use super::names;
use super::pod;
use super::rules::Rules;
use crate::kubernetes::{
    AddressType, ConfigMap, EndpointSlice, IpFamily, Job, PodSelector, PodTemplateSpec, RestartPolicy,
    Secret, SelectorOperator, Service, ServicePort, ServiceType, TransportProtocol,
};
use crate::schema::At;
use crate::value::IntOrString;

/// Largest ConfigMap or Secret: 1 MiB (Kubernetes' limit).
const MAX_DATA: usize = 1 << 20;

/// Checks a Service.
pub(super) fn check_service(given: &Service, at: &At<'_>, rules: &mut Rules) {
    labels(&given.selector, &at.field("selector"), rules);
    let list = at.field("ports");
    if given.kind_of_service() == ServiceType::ExternalName {
        rules.check(&at.field("externalName"), names::fqdn(&given.external_name));
    } else if given.ports.is_empty() && !given.is_headless() {
        rules.error(&list, "must have an entry", "give the port");
    }
    check_addresses(given, at, rules);
    let (mut seen_names, mut numbers) = (HashSet::new(), HashSet::new());
    for (i, port) in given.ports.iter().enumerate() {
        let here = list.index(i);
        if port.name.is_empty() && given.ports.len() > 1 {
            rules.error(
                &here.field("name"),
                "is required when there are several ports",
                "name it, such as http-web",
            );
        } else if !seen_names.insert(&port.name) {
            rules.error(
                &here.field("name"),
                format!("there are two ports named {:?}", port.name),
                "rename one",
            );
        }
        if !numbers.insert((port.port, port.transport())) {
            rules.error(&here.field("port"), format!("port {} is given twice", port.port), "keep one");
        }
        check_service_port(port, &here, rules);
    }
}

/// Addresses and their families, as far as the service alone tells (Kubernetes' `ValidateServiceClusterIPsRelatedFields`).
fn check_addresses(given: &Service, at: &At<'_>, rules: &mut Rules) {
    let (ips, families) = (at.field("clusterIPs"), at.field("ipFamilies"));
    if given.kind_of_service() == ServiceType::ExternalName {
        for (field, set) in [
            ("clusterIPs", !given.cluster_ips.is_empty()),
            ("ipFamilies", !given.ip_families.is_empty()),
            ("ipFamilyPolicy", given.ip_family_policy.is_some()),
        ] {
            if set {
                rules.error(&at.field(field), "has no place in an ExternalName service", "remove it");
            }
        }
        return;
    }
    if !matches!(given.cluster_ip.as_str(), "" | "None") {
        rules.check(&at.field("clusterIP"), names::ip(&given.cluster_ip));
    }
    if given.cluster_ips.first().is_some_and(|first| *first != given.cluster_ip) {
        let message = format!("differs from clusterIP, which is {:?}", given.cluster_ip);
        rules.error(&ips.index(0), message, "give the first address in both, or in neither");
    }
    if given.ip_families.len() == 2 && given.ip_families[0] == given.ip_families[1] {
        rules.error(&families.index(1), "is given twice", "keep one");
    }
    for (list, len) in [(&ips, given.cluster_ips.len()), (&families, given.ip_families.len())] {
        if len > 2 {
            rules.error(list, "holds more than two", "keep one of each family");
        }
    }
    let mut seen = HashSet::new();
    for (i, ip) in given.cluster_ips.iter().enumerate() {
        let here = ips.index(i);
        if ip == "None" {
            if given.cluster_ips.len() > 1 {
                rules.error(&here, "stands alone", "write None alone, or addresses");
            }
            continue;
        }
        let Ok(address) = ip.parse::<std::net::IpAddr>() else {
            rules.check(&here, names::ip(ip));
            continue;
        };
        let family = if address.is_ipv4() { IpFamily::Ipv4 } else { IpFamily::Ipv6 };
        if !seen.insert(family) {
            rules.error(&here, format!("is a second {} address", family.as_str()), "keep one of each family");
        }
        if given.ip_families.get(i).is_some_and(|wanted| *wanted != family) {
            let message = format!("is not of the family that ipFamilies[{i}] says");
            rules.error(&here, message, "bring both in the same order");
        }
    }
}

fn check_service_port(port: &ServicePort, at: &At<'_>, rules: &mut Rules) {
    rules.check(&at.field("port"), names::port(port.port.into()));
    if !port.name.is_empty() {
        rules.check(&at.field("name"), names::dns_label(&port.name));
    }
    check_target(port.target_port.as_ref(), &at.field("targetPort"), rules);
    if port.transport() != TransportProtocol::Tcp {
        rules.note(&at.field("protocol"), "the mesh carries TCP only; this port is left alone", "");
    }
}

/// A port of a pod by number or name.
pub(super) fn check_target(given: Option<&IntOrString>, at: &At<'_>, rules: &mut Rules) {
    match given {
        Some(IntOrString::Int(number)) => rules.check(at, names::port((*number).into())),
        Some(IntOrString::String(name)) => rules.check(at, names::port_name(name)),
        None => {}
    }
}

/// Checks a number of pods.
pub(super) fn check_replicas(given: Option<i32>, at: &At<'_>, rules: &mut Rules) {
    not_negative(given, &at.field("replicas"), rules);
}

/// Checks a template and that the selector selects it.
pub(super) fn check_template(
    selector: Option<&PodSelector>,
    template: &PodTemplateSpec,
    at: &At<'_>,
    rules: &mut Rules,
) {
    let here = at.field("template");
    let metadata = here.field("metadata");
    labels(&template.metadata.labels, &metadata.field("labels"), rules);
    if let Some(selector) = selector {
        check_selector(selector, template, at, rules);
    }
    pod::check(&template.spec, &here.field("spec"), rules);
}

fn check_selector(selector: &PodSelector, template: &PodTemplateSpec, at: &At<'_>, rules: &mut Rules) {
    let here = at.field("selector");
    if selector.match_labels.is_empty() && selector.match_expressions.is_empty() {
        rules.error(&here, "selects nothing", "give matchLabels");
    } else if !selector.matches(&template.metadata.labels) {
        let message = "does not select the pods of the template";
        rules.error(&here, message, "put the same labels into template.metadata.labels");
    }
    for (i, expression) in selector.match_expressions.iter().enumerate() {
        let list = here.field("matchExpressions");
        let wants = matches!(expression.operator, Some(SelectorOperator::In | SelectorOperator::NotIn));
        if wants == expression.values.is_empty() {
            let message =
                if wants { "In and NotIn need values" } else { "Exists and DoesNotExist have no values" };
            rules.error(&list.index(i).field("values"), message, "");
        }
    }
}

/// Checks a Job.
pub(super) fn check_job(given: &Job, at: &At<'_>, rules: &mut Rules) {
    not_negative(given.completions, &at.field("completions"), rules);
    not_negative(given.parallelism, &at.field("parallelism"), rules);
    not_negative(given.backoff_limit, &at.field("backoffLimit"), rules);
    check_template(given.selector.as_ref(), &given.template, at, rules);
    if !matches!(given.template.spec.restart_policy, Some(RestartPolicy::Never | RestartPolicy::OnFailure)) {
        let (template, spec) = (at.field("template"), "spec");
        let message = "must be Never or OnFailure for a Job";
        rules.error(&template.field(spec).field("restartPolicy"), message, "write Never");
    }
}

/// Checks a ConfigMap.
pub(super) fn check_config_map(given: &ConfigMap, rules: &mut Rules) {
    for key in given.data.keys() {
        rules.check(&At::ROOT.field("data").field(key), data_key(key));
    }
    for key in given.binary_data.keys() {
        let at = At::ROOT.field("binaryData");
        rules.check(&at.field(key), data_key(key));
        if given.data.contains_key(key) {
            rules.error(&at.field(key), "is in data as well", "keep one");
        }
    }
    let text: usize = given.data.values().map(String::len).sum();
    too_large(text + given.binary_data.values().map(|b| b.0.len()).sum::<usize>(), "data", rules);
}

/// Checks a Secret.
pub(super) fn check_secret(given: &Secret, rules: &mut Rules) {
    for (field, keys) in
        [("data", given.data.keys().collect::<Vec<_>>()), ("stringData", given.string_data.keys().collect())]
    {
        for key in keys {
            rules.check(&At::ROOT.field(field).field(key), data_key(key));
        }
    }
    if given.secret_type == "kubernetes.io/tls" {
        let values = given.values();
        for key in ["tls.crt", "tls.key"].into_iter().filter(|k| !values.contains_key(k)) {
            rules.error(
                &At::ROOT.field("data").field(key),
                "is required for a secret of type kubernetes.io/tls",
                "",
            );
        }
    }
    too_large(given.values().values().map(|v| v.len()).sum(), "data", rules);
}

fn too_large(size: usize, field: &str, rules: &mut Rules) {
    if size > MAX_DATA {
        rules.error(&At::ROOT.field(field), format!("has {size} bytes, more than 1 MiB"), "split it");
    }
}

fn data_key(key: &str) -> Result<(), String> {
    let bytes_ok = key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !key.is_empty() && key.len() <= 253 && bytes_ok && key != "." && key != ".." {
        return Ok(());
    }
    Err(format!("{key:?} is not a key (at most 253 letters, digits, '-', '_' and '.')"))
}

/// Checks an EndpointSlice.
pub(super) fn check_endpoint_slice(given: &EndpointSlice, rules: &mut Rules) {
    for (i, endpoint) in given.endpoints.iter().enumerate() {
        let list = At::ROOT.field("endpoints");
        let here = list.index(i);
        if endpoint.addresses.is_empty() {
            rules.error(&here.field("addresses"), "must have an entry", "");
        }
        for (j, address) in endpoint.addresses.iter().enumerate() {
            let checked = match given.address_type {
                Some(AddressType::Fqdn) => names::fqdn(address),
                _ => names::ip(address),
            };
            rules.check(&here.field("addresses").index(j), checked);
        }
    }
    for (i, port) in given.ports.iter().enumerate() {
        let list = At::ROOT.field("ports");
        if let Some(number) = port.port {
            rules.check(&list.index(i).field("port"), names::port(number.into()));
        }
    }
}
