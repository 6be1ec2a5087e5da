//! Several definitions of one host and port: one of them decides about endpoints and resolution.

use std::collections::BTreeMap;

use tulle_api::istio::ServiceEntry;
use tulle_base::{FieldPath, Host, Severity};
use tulle_mesh::service::Registry;
use tulle_mesh::visibility::ExportTo;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::age;
use crate::reason::entries::{Defined, defined};
use crate::whole::Whole;

/// A host and port is defined several times; the one that decides is named.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0206",
    name: "SeveralServiceEntries",
    severity: Severity::Warning,
    about: "A host and port is defined several times; the one that decides is named",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let kubernetes: std::collections::BTreeMap<&Host, _> = whole
        .fronts()
        .services
        .iter()
        .filter(|s| s.registry == Registry::Kubernetes)
        .map(|s| (&s.hostname, &s.meta.resource))
        .collect();
    for (object, spec) in whole.all::<ServiceEntry>() {
        for (i, host) in spec.hosts.iter().enumerate() {
            if let Some(service) = kubernetes.get(&Host::new(host)) {
                let message = format!("{host} is {service}, which is used instead of this entry");
                out.report(object, path(i), message, "remove the host, or choose another name");
            }
        }
    }
    for ((host, port), all) in defined(whole) {
        let mut losers: BTreeMap<usize, &Defined<'_>> = BTreeMap::new();
        for (i, one) in all.iter().enumerate().skip(1) {
            let winner = all[..i].iter().find(|w| one.same_protocol(w) && one.seen_with(w));
            if let Some(winner) = winner {
                losers.insert(i, winner);
            }
        }
        for (i, winner) in losers {
            let loser = &all[i];
            let own = loser.object.meta.namespace.as_str();
            let but = if winner.object.meta.namespace == own || loser.export == ExportTo::Nobody {
                String::new()
            } else {
                format!(" (but in {own}, its own namespace, this one)")
            };
            let message = format!(
                "{host}:{port} is defined by {} too, which {} and decides{but}",
                winner.object.resource(),
                age::reason(winner.object, loser.object)
            );
            out.report(
                loser.object,
                path(loser.index),
                message,
                "merge the two, or export them to different namespaces",
            );
        }
    }
}

fn path(index: usize) -> FieldPath {
    FieldPath::from(format!("spec.hosts[{index}]").as_str())
}
