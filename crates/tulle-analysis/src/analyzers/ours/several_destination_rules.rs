//! Several DestinationRules of one namespace for one host: which parts of which hold.
//!
//! With equal `exportTo` (and selector) they are merged: the oldest traffic policy and the oldest subset of a name hold.
//! Otherwise they stay apart, and for a client that sees several the oldest holds alone.

use std::collections::BTreeMap;

use tulle_api::Object;
use tulle_api::istio::DestinationRule;
use tulle_base::{FieldPath, Host, Severity};
use tulle_mesh::visibility::ExportTo;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::age;
use crate::reason::hosts::fqdn;
use crate::whole::Whole;

/// Parts of a DestinationRule have no effect beside an older one for the same host; both are named.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0205",
    name: "SeveralDestinationRules",
    severity: Severity::Warning,
    about: "Parts of a DestinationRule have no effect beside an older one for the same host; both are named",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let mut by_host: BTreeMap<(&str, Host), Vec<(&Object, &DestinationRule)>> = BTreeMap::new();
    for (object, spec) in whole.all::<DestinationRule>() {
        let namespace = object.meta.namespace.as_str();
        let host = fqdn(&spec.host, namespace, whole.mesh());
        by_host.entry((namespace, host)).or_default().push((object, spec));
    }
    for ((_, host), mut rules) in by_host {
        rules.sort_by(|a, b| age::by_age(a.0, b.0));
        for (i, (object, spec)) in rules.iter().enumerate().skip(1) {
            against(&host, object, spec, &rules[..i], out);
        }
    }
}

fn against(
    host: &Host,
    object: &Object,
    spec: &DestinationRule,
    older: &[(&Object, &DestinationRule)],
    out: &mut Findings,
) {
    let export = |spec: &DestinationRule| {
        ExportTo::parse(spec.export_to.iter().map(String::as_str), &object.meta.namespace)
    };
    let merged = |other: &DestinationRule| {
        export(other) == export(spec) && other.workload_selector == spec.workload_selector
    };
    let kin: Vec<_> = older.iter().filter(|(_, s)| merged(s)).collect();
    if kin.is_empty() {
        // A rule for selected clients is more specific than one for all, whatever its age.
        let rival = older.iter().find(|(_, s)| s.workload_selector == spec.workload_selector);
        if let Some((winner, _)) = rival {
            let message = format!(
                "{host} has {} too, with another exportTo: the two are not merged, and for clients that see both the other \
                 one holds, as it {}",
                winner.resource(),
                age::reason(winner, object)
            );
            out.report(
                object,
                FieldPath::from("spec.exportTo"),
                message,
                "give both the same exportTo, or merge them",
            );
        }
        return;
    }
    let holds = kin.iter().find(|(_, s)| s.traffic_policy.is_some());
    if let (Some((winner, _)), Some(_)) = (holds, &spec.traffic_policy) {
        let message = format!(
            "has no effect: the policy for {host} is that of {}, which {}",
            winner.resource(),
            age::reason(winner, object)
        );
        out.report(object, FieldPath::from("spec.trafficPolicy"), message, "merge it into that rule");
    }
    for (i, subset) in spec.subsets.iter().enumerate() {
        let holds = kin.iter().find(|(_, s)| s.subsets.iter().any(|other| other.name == subset.name));
        if let Some((winner, _)) = holds {
            let path = FieldPath::from(format!("spec.subsets[{i}]").as_str());
            let message = format!(
                "has no effect: subset {} of {host} is that of {}, which {}",
                subset.name,
                winner.resource(),
                age::reason(winner, object)
            );
            out.report(object, path, message, "rename it, or merge it into that rule");
        }
    }
}
