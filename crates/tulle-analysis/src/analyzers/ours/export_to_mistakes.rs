//! Visibility that does not fit: namespaces that do not exist, and rules that are seen further than the subsets they name.

use std::collections::BTreeSet;

use tulle_api::Object;
use tulle_api::istio::{DestinationRule, ServiceEntry, VirtualService};
use tulle_base::nearest::nearest;
use tulle_base::{FieldPath, Labels, Severity};
use tulle_mesh::visibility::ExportTo;

use crate::analyzer::{Analyzer, Findings};
use crate::reason::hosts::fqdn;
use crate::reason::routes::destinations;
use crate::whole::Whole;

/// exportTo names namespaces that do not exist, or shows a rule to clients that do not see its subsets.
pub(super) const ANALYZER: Analyzer = Analyzer {
    code: "TUL0211",
    name: "ExportToMistakes",
    severity: Severity::Warning,
    about: "exportTo names namespaces that do not exist, or shows a rule to clients that do not see its subsets",
    check,
};

fn check(whole: &Whole<'_>, out: &mut Findings) {
    let known = whole.namespaces();
    for (object, spec) in whole.all::<VirtualService>() {
        unknown(object, &spec.export_to, &known, out);
        hidden_subsets(whole, object, spec, &known, out);
    }
    for (object, spec) in whole.all::<DestinationRule>() {
        unknown(object, &spec.export_to, &known, out);
    }
    for (object, spec) in whole.all::<ServiceEntry>() {
        unknown(object, &spec.export_to, &known, out);
    }
}

fn unknown(object: &Object, export: &[String], known: &BTreeSet<&str>, out: &mut Findings) {
    for (i, name) in export.iter().enumerate() {
        if matches!(name.as_str(), "*" | "." | "~") || known.contains(name.as_str()) {
            continue;
        }
        let path = FieldPath::from(format!("spec.exportTo[{i}]").as_str());
        let message = format!("no namespace {name} is known");
        match nearest(name, known.iter().copied()) {
            Some(near) => out.report(object, path, message, format!("did you mean {near}?")),
            None => out.report_as(Severity::Info, object, path, message, "make it, or remove the entry"),
        }
    }
}

/// Subsets that clients of some namespace are routed to, but do not see.
fn hidden_subsets(
    whole: &Whole<'_>,
    object: &Object,
    spec: &VirtualService,
    known: &BTreeSet<&str>,
    out: &mut Findings,
) {
    let (snapshot, own) = (whole.snapshot(), object.meta.namespace.as_str());
    let export = ExportTo::parse(spec.export_to.iter().map(String::as_str), own);
    let none = Labels::new();
    for (to, path) in destinations(object, spec).into_iter().filter(|(to, _)| !to.subset.is_empty()) {
        let host = fqdn(&to.host, own, snapshot.mesh());
        let service = snapshot.service(&host, own);
        let of = service.map(|s| s.namespace());
        let defined = |namespace: &str| {
            let rule = snapshot.destination_rule(&host, namespace, of, &none);
            rule.is_some_and(|r| r.subsets.iter().any(|s| s.name == to.subset))
        };
        let Some(rule) = snapshot.destination_rule(&host, own, of, &none) else { continue };
        // What everyone sees, beside the service, everyone finds.
        let for_all = rule.export_to == ExportTo::All && of == Some(rule.meta.namespace());
        if for_all || !defined(own) {
            continue;
        }
        let blind = known
            .iter()
            .find(|ns| **ns != own && export.visible_to(ns) && has_pods(whole, ns) && !defined(ns));
        if let Some(blind) = blind {
            let message = format!(
                "clients in {blind} see this rule, but not subset {}, which {} defines for {host}: their calls fail",
                to.subset, rule.meta.resource
            );
            let fix =
                format!("export both to the same namespaces, and keep the rule in the namespace of {host}");
            out.report(object, path.field("subset"), message, fix);
        }
    }
}

fn has_pods(whole: &Whole<'_>, namespace: &str) -> bool {
    whole.pods().of_namespace(namespace).next().is_some()
}
