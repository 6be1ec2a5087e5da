//! Several policies of one level for the same workloads: the oldest holds, the others say nothing.

use std::collections::BTreeMap;

use tulle_api::Object;
use tulle_api::istio::PeerAuthentication;
use tulle_base::{FieldPath, Labels, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::age;
use crate::whole::Whole;

/// A PeerAuthentication has no effect beside an older one of the same level.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0106",
    name: "SecondPeerAuthentication",
    severity: Severity::Warning,
    about: "A PeerAuthentication has no effect beside an older one of the same level",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let none = Labels::new();
    let mut levels: BTreeMap<(&str, &Labels), Vec<&Object>> = BTreeMap::new();
    for (object, spec) in whole.all::<PeerAuthentication>() {
        let labels = spec.selector.as_ref().map_or(&none, |s| &s.match_labels);
        levels.entry((&object.meta.namespace, labels)).or_default().push(object);
    }
    for ((namespace, labels), mut claims) in levels {
        claims.sort_by(|a, b| age::by_age(a, b));
        let Some((winner, losers)) = claims.split_first() else { continue };
        let whom = if labels.is_empty() {
            format!("the namespace {namespace}")
        } else {
            "the same workloads".into()
        };
        for loser in losers {
            let message = format!(
                "has no effect: {} is for {whom} too and {}",
                winner.resource(),
                age::reason(winner, loser)
            );
            out.report(loser, FieldPath::from("spec"), message, "merge the two and delete one");
        }
    }
}
