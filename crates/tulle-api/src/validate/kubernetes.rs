//! Rules about Kubernetes' resources, as far as they matter on one machine.

use std::collections::HashSet;

use super::common::{labels, not_negative};
use super::names;
use super::pod;
use super::rules::Rules;
use crate::kubernetes::{
    AddressType, ConfigMap, EndpointSlice, Job, PodSelector, PodTemplateSpec, RestartPolicy, Secret,
    SelectorOperator, Service, ServicePort, ServiceType, TransportProtocol,
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
    if !matches!(given.cluster_ip.as_str(), "" | "None") {
        rules.check(&at.field("clusterIP"), names::ip(&given.cluster_ip));
    }
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
