//! Sidecars whose egress leaves out a host that VirtualServices of the same namespace have rules for: for their workloads
//! the rules do not exist.

use std::collections::BTreeMap;

use tulle_api::istio::{Sidecar, VirtualService};
use tulle_base::{FieldPath, Host, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::hosts::fqdn;
use crate::reason::routes::for_mesh;
use crate::whole::Whole;

/// A Sidecar hides a host that VirtualServices of its namespace have rules for.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0210",
    name: "HiddenDestination",
    severity: Severity::Warning,
    about: "A Sidecar hides a host that VirtualServices of its namespace have rules for",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let snapshot = whole.snapshot();
    let mut routed: BTreeMap<&str, Vec<(Host, String)>> = BTreeMap::new();
    for (object, spec) in whole.all::<VirtualService>().filter(|(_, s)| for_mesh(s)) {
        let namespace = object.meta.namespace.as_str();
        let hosts =
            spec.hosts.iter().map(|h| (fqdn(h, namespace, snapshot.mesh()), object.resource().to_string()));
        routed.entry(namespace).or_default().extend(hosts);
    }
    for (object, spec) in whole.all::<Sidecar>().filter(|(_, s)| !s.egress.is_empty()) {
        let own = object.meta.namespace.as_str();
        let entries: Vec<&str> = spec.egress.iter().flat_map(|e| &e.hosts).map(String::as_str).collect();
        for (host, by) in routed.get(own).into_iter().flatten() {
            let of = snapshot.service(host, own).map_or(own, |s| s.namespace());
            if !entries.iter().any(|e| shows(e, own, &[own, of], host)) {
                let message = format!("hides {host}, for which {by} has rules: here they do not hold");
                let fix = format!("add {of}/{host} to the hosts of an egress");
                out.report(object, FieldPath::from("spec.egress"), message, fix);
            }
        }
    }
}

/// Whether an entry `namespace/host` of an egress shows `host` of one of the `namespaces`.
fn shows(entry: &str, own: &str, namespaces: &[&str], host: &Host) -> bool {
    let Some((namespace, pattern)) = entry.split_once('/') else { return false };
    let in_namespace = match namespace {
        "*" => true,
        "." => namespaces.contains(&own),
        other => namespaces.contains(&other),
    };
    in_namespace && Host::new(pattern).overlaps(host)
}
