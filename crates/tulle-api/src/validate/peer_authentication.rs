//! Rules about `PeerAuthentication`.

use super::common::selector as check_selector;
use super::names;
use super::rules::Rules;
use crate::istio::PeerAuthentication;
use crate::schema::At;

/// Checks a PeerAuthentication.
pub(super) fn check(given: &PeerAuthentication, at: &At<'_>, rules: &mut Rules) {
    let PeerAuthentication { selector, mtls: _, port_level_mtls } = given;
    check_selector(selector.as_ref(), &at.field("selector"), rules);
    let selects = selector.as_ref().is_some_and(|s| !s.match_labels.is_empty());
    let here = at.field("portLevelMtls");
    if !port_level_mtls.is_empty() && !selects {
        rules.error(&here, "needs a selector: ports are those of workloads", "add selector.matchLabels");
    }
    for port in port_level_mtls.keys() {
        rules.check(&here.field(&port.to_string()), names::port((*port).into()));
    }
}
