//! ALLOW rules that say only what must not be: everything else passes, and so does every spelling of the exception that
//! the rule does not know.

use tulle_api::istio::{AuthorizationAction, AuthorizationPolicy};
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::policies::only_exclusions;
use crate::whole::Whole;

/// An ALLOW rule consists of exclusions, and allows everything else.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0110",
    name: "AllowAllBut",
    severity: Severity::Warning,
    about: "An ALLOW rule consists of exclusions, and allows everything else",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<AuthorizationPolicy>() {
        if spec.action.unwrap_or(AuthorizationAction::Allow) != AuthorizationAction::Allow {
            continue;
        }
        for (i, _) in spec.rules.iter().enumerate().filter(|(_, r)| only_exclusions(r)) {
            let path = FieldPath::from(format!("spec.rules[{i}]").as_str());
            let message = "allows everything but what it excludes";
            out.report(
                object,
                path,
                message,
                "deny the exceptions in a DENY policy, and name here what is allowed",
            );
        }
    }
}
