//! Client TLS of a port without authorities of its own: whom the server is checked against is left open, or it is not checked.

use tulle_api::istio::DestinationRule;
use tulle_base::Severity;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::client_tls::unverified;
use crate::whole::Whole;

/// TLS of a port of a DestinationRule does not say which authorities vouch for the server, or does not check it.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0129",
    name: "NoServerCertificateVerificationPortLevel",
    severity: Severity::Warning,
    about: "TLS of a port of a DestinationRule does not say which authorities vouch for the server, or does not check it",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<DestinationRule>() {
        let of_rule = spec.traffic_policy.as_ref().map(|p| (p, "spec.trafficPolicy".to_owned()));
        let of_subsets = spec.subsets.iter().enumerate().filter_map(|(i, s)| {
            Some((s.traffic_policy.as_ref()?, format!("spec.subsets[{i}].trafficPolicy")))
        });
        for (policy, above) in of_rule.into_iter().chain(of_subsets) {
            for (i, port) in policy.port_level_settings.iter().enumerate() {
                let Some(unverified) = port.tls.as_ref().and_then(unverified) else { continue };
                unverified.report(object, &format!("{above}.portLevelSettings[{i}].tls"), out);
            }
        }
    }
}
