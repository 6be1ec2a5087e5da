//! Keys of tokens are fetched from addresses that resources name, and the control plane refuses none of them.

use tulle_api::istio::RequestAuthentication;
use tulle_api::kubernetes::Deployment;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::text::some_of;
use crate::whole::Whole;

/// The control plane fetches keys of tokens from any address that a resource names.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0175",
    name: "JwksUriFetchUnrestricted",
    severity: Severity::Warning,
    about: "The control plane fetches keys of tokens from any address that a resource names",
    check,
};

const VARIABLE: &str = "BLOCKED_CIDRS_IN_JWKS_URIS";

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let fetching: Vec<String> = whole
        .all::<RequestAuthentication>()
        .filter(|(_, s)| s.jwt_rules.iter().any(|r| r.jwks.is_empty()))
        .map(|(o, _)| o.resource().to_string())
        .collect();
    if fetching.is_empty() {
        return;
    }
    for (object, spec) in whole.all::<Deployment>() {
        if object.meta.labels.get("app").is_none_or(|app| app != "istiod") {
            continue;
        }
        let containers = &spec.template.spec.containers;
        let mut variables = containers.iter().flat_map(|c| &c.env);
        if !variables.any(|e| e.name == VARIABLE && !e.value.is_empty()) {
            let message = format!("fetches keys from any address that {} names", some_of(&fetching));
            let fix = format!("set {VARIABLE} to the ranges that it must not reach");
            out.report(object, FieldPath::from("spec.template.spec.containers"), message, fix);
        }
    }
}
