//! Services in front of the same pods that say different things about one port of theirs.
//!
//! A sidecar serves each port of its pod in one way: what the oldest service says of it.

use std::collections::{BTreeMap, HashSet};

use tulle_base::{FieldPath, Severity};
use tulle_mesh::port::Serving;
use tulle_mesh::service::{Service, ServicePort};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::text::some_of;
use crate::whole::Whole;

/// Several services lead to one port of a workload with different protocols.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0116",
    name: "DeploymentAssociatedToMultipleServices",
    severity: Severity::Warning,
    about: "Several services lead to one port of a workload with different protocols",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for pods in whole.pods().iter() {
        let mut of_target: BTreeMap<u16, Vec<(&Service, &ServicePort)>> = BTreeMap::new();
        for (service, port, target) in whole.fronts().ports_of(pods) {
            of_target.entry(target).or_default().push((service, port));
        }
        for (target, all) in of_target {
            // What is sniffed agrees with everything; datagrams are another port of that number.
            let says = |p: &ServicePort| p.protocol.serving().filter(|s| *s != Serving::Auto);
            let kinds: HashSet<Serving> = all.iter().filter_map(|(_, p)| says(p)).collect();
            if kinds.len() < 2 {
                continue;
            }
            let said: Vec<String> = all
                .iter()
                .map(|(s, p)| format!("{} port {} ({:?})", s.meta.resource, p.number, p.protocol))
                .collect();
            let message = format!(
                "port {target} of its pods has different protocols: {}; what the oldest service says holds",
                some_of(&said)
            );
            let path = FieldPath::from(format!("{}metadata.labels", pods.template).as_str());
            out.report(pods.object, path, message, "give the port the same protocol everywhere");
        }
    }
}
