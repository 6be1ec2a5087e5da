//! Tokens that are checked when they are there, and not missed when they are not.
//!
//! A RequestAuthentication refuses invalid tokens only; to require one takes an AuthorizationPolicy.

use tulle_api::istio::{AuthorizationAction, RequestAuthentication};
use tulle_base::{FieldPath, Labels, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::policies::{refuses_missing_token, requires_token};
use crate::reason::text::some_of;
use crate::whole::Whole;

/// A RequestAuthentication checks tokens that no policy requires.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0107",
    name: "TokenNotRequired",
    severity: Severity::Warning,
    about: "A RequestAuthentication checks tokens that no policy requires",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let none = Labels::new();
    for (object, spec) in whole.all::<RequestAuthentication>() {
        if spec.jwt_rules.is_empty() || spec.target_ref.is_some() || !spec.target_refs.is_empty() {
            continue;
        }
        let selector = spec.selector.as_ref().map_or(&none, |s| &s.match_labels);
        let namespace = object.meta.namespace.as_str();
        let everywhere = namespace == whole.root_namespace();
        let scope = (!everywhere).then_some(namespace);
        let selected: Vec<_> = whole.pods().select(scope, selector).filter(|p| p.in_mesh()).collect();
        let open: Vec<&str> = selected
            .iter()
            .filter(|p| !required(whole, p.namespace(), p.labels()))
            .map(|p| p.object.meta.name.as_str())
            .collect();
        let message = match (selected.is_empty(), open.is_empty()) {
            // Nothing is known about the workloads: the selector stands for their labels.
            (true, _) if required(whole, namespace, selector) => continue,
            (true, _) => "a request without a token passes: only invalid tokens are refused".to_owned(),
            (false, true) => continue,
            (false, false) => format!(
                "a request without a token passes at {}: only invalid tokens are refused",
                some_of(&open)
            ),
        };
        let fix =
            "add an AuthorizationPolicy for the same workloads that allows requestPrincipals [\"*\"] only";
        out.report(object, FieldPath::from("spec.jwtRules"), message, fix);
    }
}

/// Whether the policies of a workload let no request without a token pass, on some path at least.
fn required(whole: &Whole<'_>, namespace: &str, labels: &Labels) -> bool {
    whole.policies().of(namespace, labels).any(|policy| match policy.action() {
        AuthorizationAction::Allow => {
            !policy.spec.rules.is_empty() && policy.spec.rules.iter().any(requires_token)
        }
        AuthorizationAction::Deny => policy.spec.rules.iter().any(refuses_missing_token),
        AuthorizationAction::Custom => true,
        AuthorizationAction::Audit => false,
    })
}
