//! Workloads that accept plain text.
//!
//! PERMISSIVE is a step of a migration: callers outside of the mesh, or inside with a rule that turns TLS off, stay
//! unencrypted and without identity. Reported where it is written, and once per namespace where nothing is written.

use tulle_api::istio::{MutualTlsMode, PeerAuthentication};
use tulle_base::{FieldPath, Severity};

use crate::analyzer::{Analyzer, Findings};
use crate::reason::text::some_of;
use crate::whole::Whole;

/// Plain text is accepted beside mutual TLS: PERMISSIVE is written, or nothing is.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0101",
    name: "PermissiveMtls",
    severity: Severity::Warning,
    about: "Plain text is accepted beside mutual TLS: PERMISSIVE is written, or nothing is",
    check,
};

const FIX: &str = "write STRICT once every client has a sidecar";

fn check(whole: &Whole<'_>, out: &mut Findings) {
    for (object, spec) in whole.all::<PeerAuthentication>() {
        let permissive = |mode: Option<MutualTlsMode>| mode == Some(MutualTlsMode::Permissive);
        if spec.mtls.as_ref().is_some_and(|m| permissive(m.mode)) {
            let message = "accepts plain text from everyone beside mutual TLS";
            out.report(object, FieldPath::from("spec.mtls.mode"), message, FIX);
        }
        for (port, _) in spec.port_level_mtls.iter().filter(|(_, m)| permissive(m.mode)) {
            let path = FieldPath::from(format!("spec.portLevelMtls.{port}.mode").as_str());
            out.report(object, path, "accepts plain text from everyone beside mutual TLS", FIX);
        }
    }
    for namespace in whole.pods().namespaces() {
        by_default(whole, namespace, out);
    }
}

/// Workloads about which no policy says anything.
fn by_default(whole: &Whole<'_>, namespace: &str, out: &mut Findings) {
    let undecided: Vec<_> = whole
        .pods()
        .of_namespace(namespace)
        .filter(|p| p.injected)
        .filter(|p| whole.snapshot().peer_modes(namespace, p.labels()).decided_by.is_none())
        .collect();
    let Some(first) = undecided.first() else { return };
    let object = whole.pods().namespace_object(namespace).unwrap_or(first.object);
    let names: Vec<&str> = undecided.iter().map(|p| p.object.meta.name.as_str()).collect();
    let message = format!(
        "no PeerAuthentication decides about {} in {namespace}, so that plain text is accepted (PERMISSIVE)",
        some_of(&names)
    );
    let fix =
        format!("add a PeerAuthentication with mode STRICT to {namespace} or {}", whole.root_namespace());
    out.report_as(Severity::Info, object, FieldPath::root(), message, fix);
}
