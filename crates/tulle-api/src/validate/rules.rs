//! Collecting what an object breaks.

use tulle_base::{Diagnostic, Diagnostics, ResourceRef, Severity, SourceSpan};

use crate::object::Object;
use crate::schema::At;

/// The findings about one object.
pub(super) struct Rules {
    resource: ResourceRef,
    origin: Option<SourceSpan>,
    found: Diagnostics,
    errors: usize,
}

/// Findings of each sort that are kept; a document with more is repaired step by step.
const MOST: usize = 1000;

impl Rules {
    pub(super) fn new(object: &Object) -> Self {
        Self { resource: object.resource(), origin: object.origin.clone(), found: Vec::new(), errors: 0 }
    }

    pub(super) fn error(&mut self, at: &At<'_>, message: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Error, at, message, fix);
    }

    pub(super) fn warn(&mut self, at: &At<'_>, message: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Warning, at, message, fix);
    }

    pub(super) fn note(&mut self, at: &At<'_>, message: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Info, at, message, fix);
    }

    /// An error if `checked` says so.
    pub(super) fn check(&mut self, at: &At<'_>, checked: Result<(), String>) {
        if let Err(message) = checked {
            self.error(at, message, "");
        }
    }

    /// An error at each place where more than one of `fields` is set, naming the first.
    pub(super) fn exclusive(&mut self, at: &At<'_>, fields: &[(&str, bool)]) {
        let mut set = fields.iter().filter(|(_, set)| *set).map(|(name, _)| *name);
        let Some(first) = set.next() else { return };
        for other in set {
            self.error(&at.field(other), format!("cannot be set together with {first}"), "keep one of them");
        }
    }

    fn add(&mut self, severity: Severity, at: &At<'_>, message: impl Into<String>, fix: impl Into<String>) {
        let others = self.found.len() - self.errors;
        let kept = if severity == Severity::Error { self.errors } else { others };
        if kept >= MOST {
            return;
        }
        self.errors += usize::from(severity == Severity::Error);
        let mut finding = Diagnostic::new(severity, at.path(), message).with_fix(fix);
        finding.span.clone_from(&self.origin);
        self.found.push(finding.with_resource(self.resource.clone()));
    }

    /// Findings that were made elsewhere.
    pub(super) fn extend(&mut self, found: Diagnostics) {
        for mut finding in found {
            finding.span.clone_from(&self.origin);
            self.found.push(finding.with_resource(self.resource.clone()));
        }
    }

    pub(super) fn finish(self) -> Diagnostics {
        self.found
    }
}
