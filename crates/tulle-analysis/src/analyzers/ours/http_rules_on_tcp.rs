//! Rules about HTTP at workloads that have TCP ports.
//!
//! On such a port an ALLOW rule with HTTP fields is dropped and allows nothing; a DENY rule keeps its other parts and denies
//! more than it says.

use std::collections::BTreeSet;

use tulle_api::istio::{AuthorizationAction, AuthorizationPolicy};
use tulle_base::{FieldPath, Labels, Severity};
use tulle_mesh::port::Serving;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::policies::{Policy, concerns_port, has_http_parts};
use crate::reason::text::some_of;
use crate::whole::Whole;

/// An AuthorizationPolicy has conditions on HTTP for TCP ports: ALLOW allows nothing there, DENY denies more.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0108",
    name: "HttpRulesOnTcp",
    severity: Severity::Warning,
    about: "An AuthorizationPolicy has conditions on HTTP for TCP ports: ALLOW allows nothing there, DENY denies more",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<AuthorizationPolicy>() {
        let policy = Policy { object, spec };
        if !policy.enforced_by_sidecars() || !spec.rules.iter().any(has_http_parts) {
            continue;
        }
        let ports = tcp_ports(whole, &policy);
        for (i, rule) in spec.rules.iter().enumerate().filter(|(_, r)| has_http_parts(r)) {
            let concerned: Vec<String> = ports
                .iter()
                .filter(|(number, _)| concerns_port(rule, *number))
                .map(|(number, host)| format!("{number} ({host})"))
                .collect();
            if concerned.is_empty() {
                continue;
            }
            let effect = match policy.action() {
                AuthorizationAction::Allow => "the rule allows nothing",
                AuthorizationAction::Deny => {
                    "only the rule's other parts count, and it denies more than it says"
                }
                AuthorizationAction::Audit | AuthorizationAction::Custom => "the rule is not looked at",
            };
            let path = FieldPath::from(format!("spec.rules[{i}]").as_str());
            let message = format!(
                "has conditions on HTTP, but TCP is spoken at port {}: there {effect}",
                some_of(&concerned)
            );
            out.report(
                object,
                path,
                message,
                "name the HTTP ports in operation.ports, or make a policy of its own for TCP",
            );
        }
    }
}

/// The ports of the selected workloads that services declare to be TCP, with the service.
fn tcp_ports(whole: &Whole<'_>, policy: &Policy<'_>) -> BTreeSet<(u16, String)> {
    let none = Labels::new();
    let namespace = policy.object.meta.namespace.as_str();
    let scope = (namespace != whole.root_namespace()).then_some(namespace);
    let selector = policy.selector().unwrap_or(&none);
    let mut out = BTreeSet::new();
    for pods in whole.pods().select(scope, selector).filter(|p| p.in_mesh()) {
        for (service, port, target) in whole.fronts().ports_of(pods) {
            if port.protocol.serving() == Some(Serving::Tcp) {
                out.insert((target, service.hostname.to_string()));
            }
        }
    }
    out
}
