//! Subsets that no pod belongs to: routes to them answer 503.

use tulle_api::istio::DestinationRule;
use tulle_base::nearest::nearest;
use tulle_base::{FieldPath, Labels, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::hosts::fqdn;
use crate::reason::matches::contains;
use crate::whole::Whole;

/// A subset has labels that no pod of the host has.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0173",
    name: "DestinationRuleSubsetNotSelectPods",
    severity: Severity::Error,
    about: "A subset has labels that no pod of the host has",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<DestinationRule>() {
        let host = fqdn(&spec.host, &object.meta.namespace, whole.mesh());
        let Some(service) = whole.fronts().of_host(&host) else { continue };
        let pods = whole.fronts().of_service(service).iter().map(|id| whole.pods().get(*id).labels());
        let written = whole.fronts().services[service].endpoints.iter().map(|e| &e.labels);
        let endpoints: Vec<&Labels> = pods.chain(written).collect();
        if endpoints.is_empty() {
            continue; // The service itself has nobody behind it, or they are not part of what is looked at.
        }
        for (i, subset) in spec.subsets.iter().enumerate() {
            // Topology labels come from nodes, which are not part of the configuration.
            let topology =
                subset.labels.keys().any(|k| k.contains("topology.") || k == "kubernetes.io/hostname");
            if topology || endpoints.iter().any(|labels| contains(labels, &subset.labels)) {
                continue;
            }
            let wanted: Vec<String> = subset.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let there: Vec<String> = endpoints
                .iter()
                .flat_map(|l| l.iter().filter(|(k, _)| subset.labels.contains_key(*k)))
                .map(|(k, v)| format!("{k}={v}"))
                .collect();
            let near =
                wanted.iter().find_map(|w| nearest(w, there.iter().map(String::as_str)).filter(|n| n != w));
            let fix = near
                .map_or_else(|| "write labels that the pods have".into(), |n| format!("did you mean {n}?"));
            let path = FieldPath::from(format!("spec.subsets[{i}].labels").as_str());
            let message =
                format!("no pod of {host} has {}: routes to subset {} fail", wanted.join(", "), subset.name);
            out.report(object, path, message, fix);
        }
    }
}
