//! Access logging without a provider: the mesh has no default one, so that the entry does nothing.

use tulle_api::istio::Telemetry;
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::written::mesh_config;
use crate::whole::Whole;

/// Access logging names no provider and the mesh has no default one.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "IST0157",
    name: "InvalidTelemetryProvider",
    severity: Severity::Warning,
    about: "Access logging names no provider and the mesh has no default one",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let written = mesh_config(whole.objects());
    let defaults = written.and_then(|m| m.default_providers).is_some_and(|p| !p.access_logging.is_empty());
    if defaults {
        return;
    }
    for (object, spec) in whole.all::<Telemetry>() {
        for (i, entry) in spec.access_logging.iter().enumerate().filter(|(_, e)| e.providers.is_empty()) {
            if entry.disabled == Some(true) {
                continue;
            }
            let path = FieldPath::from(format!("spec.accessLogging[{i}].providers").as_str());
            let message = "names no provider, and the mesh has no default one: the entry is ignored";
            out.report(object, path, message, "write providers: [{name: envoy}]");
        }
    }
}
