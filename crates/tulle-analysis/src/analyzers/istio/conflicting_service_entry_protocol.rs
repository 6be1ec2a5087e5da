//! ServiceEntries that give one host and port different protocols.

use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::entries::defined;
use crate::whole::Whole;

/// ServiceEntries give one host and port different protocols.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0177",
    name: "ConflictingServiceEntryProtocol",
    severity: Severity::Warning,
    about: "ServiceEntries give one host and port different protocols",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for ((host, port), all) in defined(whole) {
        for (i, one) in all.iter().enumerate() {
            let rivals = all.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, r)| r);
            let rival = rivals.into_iter().find(|r| !one.same_protocol(r) && one.seen_with(r));
            if let Some(rival) = rival {
                let path = FieldPath::from(format!("spec.ports[{}].protocol", one.port).as_str());
                let message = format!(
                    "{host}:{port} speaks {} here, but {} in {}: the older one decides",
                    one.protocol,
                    rival.protocol,
                    rival.object.resource()
                );
                out.report(one.object, path, message, "give both the same protocol");
            }
        }
    }
}
