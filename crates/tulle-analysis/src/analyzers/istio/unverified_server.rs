//! Client TLS of a rule without authorities of its own: whom the server is checked against is left open, or it is not checked.

use tulle_api::istio::DestinationRule;
use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::client_tls::unverified;
use crate::whole::Whole;

/// TLS of a DestinationRule does not say which authorities vouch for the server, or does not check it.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0128",
    name: "NoServerCertificateVerificationDestinationLevel",
    severity: Severity::Warning,
    about: "TLS of a DestinationRule does not say which authorities vouch for the server, or does not check it",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<DestinationRule>() {
        let of_rule = spec.traffic_policy.as_ref().map(|p| (p, "spec.trafficPolicy.tls".to_owned()));
        let of_subsets = spec.subsets.iter().enumerate().filter_map(|(i, s)| {
            Some((s.traffic_policy.as_ref()?, format!("spec.subsets[{i}].trafficPolicy.tls")))
        });
        for (policy, path) in of_rule.into_iter().chain(of_subsets) {
            let Some(unverified) = policy.tls.as_ref().and_then(unverified) else { continue };
            unverified.report(object, &path, out);
        }
    }
}
