//! Rules about `WorkloadGroup`.

use super::common::{labels, not_negative, port};
use super::names;
use super::rules::Rules;
use crate::istio::{HealthCheckMethod, ReadinessProbe, WorkloadGroup};
use crate::schema::At;

/// Checks a WorkloadGroup.
pub(super) fn check(given: &WorkloadGroup, at: &At<'_>, rules: &mut Rules) {
    let WorkloadGroup { metadata, template, probe } = given;
    if let Some(metadata) = metadata {
        labels(&metadata.labels, &at.field("metadata").field("labels"), rules);
    }
    let here = at.field("template");
    if !template.address.is_empty() {
        rules.warn(&here.field("address"), "each workload registers its own", "remove it");
    }
    if !template.labels.is_empty() {
        rules.warn(&here.field("labels"), "labels of the entries are those of metadata", "move them there");
    }
    labels(&template.labels, &here.field("labels"), rules);
    for (name, number) in &template.ports {
        rules.check(&here.field("ports").field(name), names::port((*number).into()));
    }
    if let Some(probe) = probe {
        check_probe(probe, &at.field("probe"), rules);
    }
}

fn check_probe(given: &ReadinessProbe, at: &At<'_>, rules: &mut Rules) {
    let ReadinessProbe {
        initial_delay_seconds,
        timeout_seconds,
        period_seconds,
        success_threshold,
        failure_threshold,
        health_check_method,
    } = given;
    for (field, value) in [
        ("initialDelaySeconds", initial_delay_seconds),
        ("timeoutSeconds", timeout_seconds),
        ("periodSeconds", period_seconds),
        ("successThreshold", success_threshold),
        ("failureThreshold", failure_threshold),
    ] {
        not_negative(*value, &at.field(field), rules);
    }
    match health_check_method {
        None => rules.error(at, "says nothing about how to ask", "give httpGet, tcpSocket, exec or grpc"),
        Some(HealthCheckMethod::HttpGet(http)) => {
            let here = at.field("httpGet");
            port(Some(http.port), &here.field("port"), rules);
            if !http.path.is_empty() && !http.path.starts_with('/') {
                rules.error(&here.field("path"), format!("{:?} does not begin with /", http.path), "");
            }
            if !matches!(http.scheme.as_str(), "" | "HTTP" | "HTTPS") {
                let message = format!("must be HTTP or HTTPS but is {:?}", http.scheme);
                rules.error(&here.field("scheme"), message, "");
            }
        }
        Some(HealthCheckMethod::TcpSocket(tcp)) => {
            port(Some(tcp.port), &at.field("tcpSocket").field("port"), rules);
        }
        Some(HealthCheckMethod::Grpc(grpc)) => {
            port(Some(grpc.port.unwrap_or(0)), &at.field("grpc").field("port"), rules);
        }
        Some(HealthCheckMethod::Exec(_)) => {}
    }
}
