//! Policies without rules that nothing complements: as ALLOW they deny every request.

use tulle_api::istio::{AuthorizationAction, AuthorizationPolicy};
use tulle_base::{FieldPath, Labels, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::policies::Policy;
use crate::reason::text::some_of;
use crate::whole::Whole;

/// An ALLOW policy without rules denies everything, and no other policy allows anything.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0109",
    name: "DeniesEverything",
    severity: Severity::Warning,
    about: "An ALLOW policy without rules denies everything, and no other policy allows anything",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let none = Labels::new();
    for (object, spec) in whole.all::<AuthorizationPolicy>() {
        let policy = Policy { object, spec };
        let empty = policy.action() == AuthorizationAction::Allow && spec.rules.is_empty();
        if !empty || !policy.enforced_by_sidecars() {
            continue;
        }
        let namespace = object.meta.namespace.as_str();
        let scope = (namespace != whole.root_namespace()).then_some(namespace);
        let selector = policy.selector().unwrap_or(&none);
        let closed: Vec<String> = whole
            .pods()
            .select(scope, selector)
            .filter(|p| p.in_mesh() && !something_allowed(whole, p.namespace(), p.labels()))
            .map(|p| p.object.resource().to_string())
            .collect();
        if !closed.is_empty() {
            let message =
                format!("denies every request to {}, as no other policy allows any", some_of(&closed));
            out.report(object, FieldPath::from("spec"), message, "add an ALLOW policy for what they serve");
        }
    }
}

fn something_allowed(whole: &Whole<'_>, namespace: &str, labels: &Labels) -> bool {
    let mut policies = whole.policies().of(namespace, labels);
    policies.any(|p| p.action() == AuthorizationAction::Allow && !p.spec.rules.is_empty())
}
