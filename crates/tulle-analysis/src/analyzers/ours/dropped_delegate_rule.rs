//! Rules of a delegate that its root leaves no room for: one condition that no condition of the root agrees with drops the
//! whole rule.

use std::collections::HashMap;

use tulle_api::Object;
use tulle_api::istio::VirtualService;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::matches::mergeable;
use crate::whole::Whole;

/// A rule of a delegate agrees with no condition of its root and is dropped.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0208",
    name: "DroppedDelegateRule",
    severity: Severity::Warning,
    about: "A rule of a delegate agrees with no condition of its root and is dropped",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let delegates: HashMap<(&str, &str), (&Object, &VirtualService)> = whole
        .all::<VirtualService>()
        .filter(|(_, s)| s.hosts.is_empty())
        .map(|(o, s)| ((o.meta.namespace.as_str(), o.meta.name.as_str()), (o, s)))
        .collect();
    for (root, spec) in whole.all::<VirtualService>() {
        for (i, route) in spec.http.iter().enumerate() {
            let Some(to) = &route.delegate else { continue };
            let namespace = if to.namespace.is_empty() { &root.meta.namespace } else { &to.namespace };
            let Some((object, delegate)) = delegates.get(&(namespace.as_str(), to.name.as_str())) else {
                continue;
            };
            for (k, theirs) in delegate.http.iter().enumerate() {
                let fits =
                    |leaf| route.matches.is_empty() || route.matches.iter().any(|r| mergeable(r, leaf));
                if let Some(j) = theirs.matches.iter().position(|leaf| !fits(leaf)) {
                    let path = FieldPath::from(format!("spec.http[{k}].match[{j}]").as_str());
                    let message = format!(
                        "agrees with no condition of http[{i}] of {}, so that the whole rule is dropped there",
                        root.resource()
                    );
                    out.report(
                        object,
                        path,
                        message,
                        "make it narrower than the root's condition, or leave the field out",
                    );
                }
            }
        }
    }
}
