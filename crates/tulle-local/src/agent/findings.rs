//! What is wrong with the manifests now, by file.

use std::collections::BTreeMap;

use tulle_base::{Diagnostic, ResourceRef, Severity};
use tulle_store::{LocalStore, Report};
use tulle_telemetry::audit::{Entry, Event};

use super::protocol::FromAgent;
use crate::cluster::view::View;

/// The open findings: those of a file go when the file is read again.
#[derive(Debug, Default)]
pub(super) struct Findings {
    by_file: BTreeMap<String, Vec<String>>,
}

impl Findings {
    /// All of them, by file.
    pub(super) fn all(&self) -> Vec<String> {
        self.by_file.values().flatten().cloned().collect()
    }

    /// What of the files is not taken, for the audit log.
    pub(super) fn refusals(report: &Report) -> impl Iterator<Item = Entry> {
        report.diagnostics.iter().filter(|d| d.severity == Severity::Error).map(|d| {
            let subject = d.resource.as_ref().map(ToString::to_string).unwrap_or_default();
            let reason = format!("{}: {}", d.field, d.message);
            Entry::new(Event::ConfigRefused, file_of(d), subject).refused(reason.trim_start_matches(": "))
        })
    }

    /// Takes note of a look at the files, and returns what is worth telling. `before` is what there was until then; `None`
    /// at the start, when everything is new.
    pub(super) fn take(
        &mut self,
        report: &Report,
        store: &dyn LocalStore,
        before: Option<&View>,
    ) -> Vec<FromAgent> {
        let mut news = Vec::new();
        let files =
            report.put.iter().filter_map(|r| store.get_now(r)?.origin.clone()).map(|o| o.file.to_string());
        for file in files.chain(report.diagnostics.iter().map(file_of)) {
            self.by_file.remove(&file);
        }
        if let Some(before) = before {
            let changed = report.put.iter().filter(|r| differs(r, store, before));
            news.extend(changed.map(|r| FromAgent::Note(format!("applied {r}"))));
        }
        news.extend(report.deleted.iter().map(|r| FromAgent::Note(format!("deleted {r}"))));
        for d in report.diagnostics.iter().filter(|d| d.severity >= Severity::Warning) {
            let text = format!("{}: {d}", d.severity);
            news.push(FromAgent::Diagnostic(text.clone()));
            self.by_file.entry(file_of(d)).or_default().push(text);
        }
        news
    }
}

fn file_of(diagnostic: &Diagnostic) -> String {
    diagnostic.span.as_ref().map(|s| s.file.to_string()).unwrap_or_default()
}

/// Whether an object says something else than before: one that only moved in its file does not.
fn differs(resource: &ResourceRef, store: &dyn LocalStore, before: &View) -> bool {
    let Some(now) = store.get_now(resource) else { return false };
    let old = before.find(now.kind(), &resource.namespace, &resource.name);
    old.is_none_or(|old| {
        (&old.spec, &old.meta.labels, &old.meta.annotations)
            != (&now.spec, &now.meta.labels, &now.meta.annotations)
    })
}
