//! Documents that are only a part of a resource, as documentation shows them, or nothing of a mesh at all.
//!
//! A document without `metadata` is a part: it is checked for what it says, what it lacks is a warning, and nothing of it
//! is applied. One without `apiVersion` and `kind` that has `metadata` or `spec` is a resource that lost its beginning,
//! which is an error.

use tulle_base::{Diagnostic, Diagnostics, Severity};

use crate::kind::{Body, Kind};
use crate::node::{Data, Entry, Node};
use crate::schema::{FieldInfo, RecordInfo, TypeInfo};

/// The code of the diagnostic that says that a document is not a resource.
pub const CODE: &str = "TUL0001";

/// Whether `diagnostic` says that a document is not a resource of its own, so that nothing of it is applied.
pub fn is_fragment(diagnostic: &Diagnostic) -> bool {
    diagnostic.code == CODE
}

/// Severity, message and fix for a document that is no resource.
pub(crate) fn describe(node: &Node) -> (Severity, String, String) {
    let complete = "give apiVersion, kind and metadata.name to apply it".to_owned();
    match &node.data {
        Data::Map(_) if node.get("apiVersion").is_some() && node.get("kind").is_some() => {
            let lacks = "is a part of a resource: it has no metadata, so that nothing of it is applied";
            (Severity::Warning, lacks.into(), "give metadata.name to apply it".into())
        }
        Data::Map(_) if node.get("metadata").is_some() || node.get("spec").is_some() => {
            let message = "is not a resource: apiVersion and kind are missing".to_owned();
            (Severity::Error, message, "begin it with apiVersion and kind".into())
        }
        Data::Map(entries) => match owner(entries) {
            Some(owner) => {
                let message = format!(
                    "is a part of a resource, nothing of which is applied: its fields are those of {owner}"
                );
                (Severity::Warning, message, complete)
            }
            None => (Severity::Warning, "is not a resource: nothing of it is applied".into(), complete),
        },
        Data::List(items)
            if items.iter().any(|i| i.get("apiVersion").is_some() || i.get("kind").is_some()) =>
        {
            let message = "is a list of resources, which a document cannot be".to_owned();
            (
                Severity::Error,
                message,
                "write them as documents, with --- between them, or as kind: List".into(),
            )
        }
        Data::String(text) if text.contains("apiVersion") || text.contains("kind:") => {
            let message = "is text that looks like a resource".to_owned();
            (Severity::Error, message, "write a blank after each colon".into())
        }
        _ => {
            let message = format!("is {}, not a resource: nothing of it is applied", node.describe());
            (Severity::Warning, message, "remove it, or make it a comment".into())
        }
    }
}

/// What a part of a resource lacks is a warning; what is wrong with the fields it has stays an error.
pub(crate) fn soften(found: &mut Diagnostics, node: &Node) {
    for d in found.iter_mut().filter(|d| d.severity == Severity::Error && !node.has(d.field.as_str())) {
        d.severity = Severity::Warning;
    }
}

/// Whose fields these are: `KIND field.path`, if one record of Istio's kinds has them all. Of several the one with the
/// fewest other fields is named.
fn owner(entries: &[Entry]) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    if entries.is_empty() {
        return None;
    }
    for info in Kind::ALL.iter().map(|k| k.info()).filter(|i| i.group.ends_with("istio.io")) {
        let top = if info.body == Body::Spec { format!("{} spec", info.kind) } else { info.kind.to_owned() };
        search(info.record, &top, 0, entries, &mut best);
    }
    best.map(|(_, path)| path)
}

/// Deepest nesting of Istio's kinds that is looked at.
const MAX_DEPTH: usize = 12;

fn search(
    record: &RecordInfo,
    path: &str,
    depth: usize,
    entries: &[Entry],
    best: &mut Option<(usize, String)>,
) {
    let members = || record.fields.iter().chain(record.oneofs.iter().flat_map(|g| g.members));
    let known = |key: &str| members().any(|f| f.name == key || f.alias == Some(key));
    let count = members().count();
    if entries.iter().all(|e| known(&e.key)) && best.as_ref().is_none_or(|(fewest, _)| count < *fewest) {
        *best = Some((count, path.to_owned()));
    }
    if depth < MAX_DEPTH {
        for field in members() {
            below(field, path, depth, entries, best);
        }
    }
}

fn below(field: &FieldInfo, path: &str, depth: usize, entries: &[Entry], best: &mut Option<(usize, String)>) {
    let (mut ty, mut path) = (&field.ty, format!("{path}.{}", field.name));
    loop {
        match ty {
            TypeInfo::List(of) => {
                path.push_str("[]");
                ty = *of;
            }
            TypeInfo::Map(of) => {
                path.push_str(".*");
                ty = *of;
            }
            TypeInfo::Record(record) => return search(record, &path, depth + 1, entries, best),
            _ => return,
        }
    }
}
