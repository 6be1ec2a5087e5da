//! Rules that make clients send what the workloads refuse: plain text, or TLS of another kind, where mutual TLS of the mesh is
//! required.

use tulle_api::istio::{ClientTlsMode, ClientTlsSettings, DestinationRule, TrafficPolicy};
use tulle_base::{FieldPath, Host, Labels, Severity};
use tulle_mesh::policy::MtlsMode;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::fronts::target;
use crate::reason::hosts::fqdn;
use crate::reason::matches::contains;
use crate::whole::Whole;

/// A DestinationRule makes clients send plain text or foreign TLS to workloads that accept mutual TLS only.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0103",
    name: "TlsOffTowardsStrict",
    severity: Severity::Error,
    about: "A DestinationRule makes clients send plain text or foreign TLS to workloads that accept mutual TLS only",
    check,
};

/// One block that says how clients encrypt.
struct Block<'a> {
    path: FieldPath,
    mode: ClientTlsMode,
    /// Only for this port.
    port: Option<u32>,
    /// Ports that have a block of their own.
    others: Vec<u32>,
    /// Only for endpoints with these labels.
    labels: &'a Labels,
}

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let none = Labels::new();
    for (object, spec) in whole.all::<DestinationRule>() {
        let mut blocks = Vec::new();
        let top = FieldPath::from("spec.trafficPolicy");
        blocks_of(spec.traffic_policy.as_ref(), &top, &none, &mut blocks);
        for (i, subset) in spec.subsets.iter().enumerate() {
            let path = FieldPath::from(format!("spec.subsets[{i}].trafficPolicy").as_str());
            blocks_of(subset.traffic_policy.as_ref(), &path, &subset.labels, &mut blocks);
        }
        let host = fqdn(&spec.host, &object.meta.namespace, whole.mesh());
        for block in blocks {
            if let Some(refusing) = refusing(whole, &object.meta.namespace, &host, &block) {
                let message = format!(
                    "{} towards {refusing}, which accepts the mesh's mutual TLS only: every call fails",
                    block.mode.as_str()
                );
                out.report(object, block.path, message, "write ISTIO_MUTUAL or remove the block");
            }
        }
    }
}

fn blocks_of<'a>(
    policy: Option<&TrafficPolicy>,
    at: &FieldPath,
    labels: &'a Labels,
    out: &mut Vec<Block<'a>>,
) {
    let Some(policy) = policy else { return };
    let number = |p: &tulle_api::istio::PortTrafficPolicy| p.port.as_ref().and_then(|p| p.number);
    let others: Vec<u32> = policy.port_level_settings.iter().filter_map(number).collect();
    let foreign = |tls: Option<&ClientTlsSettings>| {
        let mode = tls?.mode.unwrap_or(ClientTlsMode::Disable);
        (mode != ClientTlsMode::IstioMutual).then_some(mode)
    };
    if let Some(mode) = foreign(policy.tls.as_ref()) {
        out.push(Block { path: at.field("tls"), mode, port: None, others, labels });
    }
    for (i, port) in policy.port_level_settings.iter().enumerate() {
        if let Some(mode) = foreign(port.tls.as_ref()) {
            let path = at.field("portLevelSettings").index(i).field("tls");
            out.push(Block { path, mode, port: number(port), others: Vec::new(), labels });
        }
    }
}

/// The first service port behind which a workload refuses what the block makes clients send.
fn refusing(whole: &Whole<'_>, namespace: &str, host: &Host, block: &Block<'_>) -> Option<String> {
    let snapshot = whole.snapshot();
    let (fronts, all) = (whole.fronts(), whole.pods());
    for (i, service) in fronts.services.iter().enumerate() {
        if !host.covers(&service.hostname) || service.mesh_external {
            continue;
        }
        // Of several rules the most specific holds.
        let client = if namespace == whole.root_namespace() { service.namespace() } else { namespace };
        let rule =
            snapshot.destination_rule(&service.hostname, client, Some(service.namespace()), &Labels::new());
        if rule.is_none_or(|r| r.host != *host) {
            continue;
        }
        let concerned = service.ports.iter().filter(|p| match block.port {
            Some(only) => u32::from(p.number) == only,
            None => !block.others.contains(&u32::from(p.number)),
        });
        for port in concerned {
            let pods = fronts.of_service(i).iter().map(|id| all.get(*id));
            let strict = pods.filter(|p| p.injected && contains(p.labels(), block.labels)).find(|p| {
                let modes = snapshot.peer_modes(p.namespace(), p.labels());
                target(port, p).is_some_and(|t| modes.of_port(t) == MtlsMode::Strict)
            });
            if let Some(strict) = strict {
                return Some(format!(
                    "{} port {} ({})",
                    service.hostname,
                    port.number,
                    strict.object.resource()
                ));
            }
        }
    }
    None
}
