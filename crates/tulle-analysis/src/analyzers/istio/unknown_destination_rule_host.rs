//! Rules for hosts that nothing defines.

use tulle_api::istio::DestinationRule;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::hosts::{fqdn, near_host};
use crate::whole::Whole;

/// A DestinationRule is for a host that nothing defines; the nearest known name is given.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0174",
    name: "UnknownDestinationRuleHost",
    severity: Severity::Warning,
    about: "A DestinationRule is for a host that nothing defines; the nearest known name is given",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let snapshot = whole.snapshot();
    for (object, spec) in whole.all::<DestinationRule>() {
        let namespace = object.meta.namespace.as_str();
        let host = fqdn(&spec.host, namespace, snapshot.mesh());
        let known = if host.is_wildcard() {
            snapshot.services().any(|s| host.overlaps(&s.hostname))
        } else {
            // A wildcard ServiceEntry stands for the names below it.
            snapshot.service(&host, namespace).is_some()
                || whole.fronts().wildcards().any(|w| w.covers(&host))
        };
        if !known {
            let fix = near_host(snapshot, &spec.host, namespace).map_or_else(
                || "define a Service or a ServiceEntry for it".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            out.report(object, FieldPath::from("spec.host"), format!("no service has the host {host}"), fix);
        }
    }
}
