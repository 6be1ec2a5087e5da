//! Where problems are collected while a document is read.

use std::sync::Arc;

use tulle_base::{Diagnostic, Diagnostics, FieldPath, Severity, SourceSpan};

use super::{At, Notice};
use crate::node::Node;

/// At most this many problems are kept per document; the rest are counted.
const MAX_PROBLEMS: usize = 200;

/// Collects the problems of one document.
#[derive(Debug)]
pub struct Context {
    file: Arc<str>,
    unknown: Severity,
    quiet: bool,
    fragment: bool,
    problems: Diagnostics,
    dropped: usize,
    failed: bool,
}

impl Context {
    /// An empty collection for a document of `file`; `unknown` says how bad an unknown field is.
    pub fn new(file: Arc<str>, unknown: Severity) -> Self {
        Self { file, unknown, quiet: false, fragment: false, problems: Vec::new(), dropped: 0, failed: false }
    }

    /// Whether fields without effect are worth a note only: what Kubernetes has for clusters means nothing on one
    /// machine, and every manifest has some of it.
    pub fn set_quiet(&mut self, quiet: bool) {
        self.quiet = quiet;
    }

    /// Whether the document is only a part of a resource: what it does not say counts as empty, so that the rest can be
    /// read and checked.
    pub fn set_fragment(&mut self, fragment: bool) {
        self.fragment = fragment;
    }

    /// Whether the document is only a part of a resource.
    pub fn is_fragment(&self) -> bool {
        self.fragment
    }

    /// Whether an error was reported.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Reports `problem` at `line` and `column` (0 for a document that did not come from a file).
    pub fn report(&mut self, line: u32, column: u32, problem: Diagnostic) {
        self.failed |= problem.severity == Severity::Error;
        if self.is_full() {
            self.dropped += 1;
            return;
        }
        let span = SourceSpan { file: self.file.clone(), line, column };
        self.problems.push(if line == 0 { problem } else { problem.with_span(span) });
    }

    /// Whether something was reported about `field`.
    pub fn speaks_of(&self, field: &FieldPath) -> bool {
        self.problems.iter().any(|p| p.field == *field)
    }

    /// Whether more problems are only counted, so that nothing needs to be looked up for them.
    pub fn is_full(&self) -> bool {
        self.problems.len() >= MAX_PROBLEMS
    }

    /// Reports an error about the value `node`.
    pub fn error(&mut self, node: &Node, at: &At<'_>, message: impl Into<String>, fix: impl Into<String>) {
        self.report(node.line, node.column, Diagnostic::error(at.path(), message).with_fix(fix));
    }

    /// Reports that the value `node` is not `wanted` (such as `a list`).
    pub fn wrong_type(&mut self, node: &Node, at: &At<'_>, wanted: &str) {
        self.error(node, at, format!("must be {wanted} but is {}", node.describe()), "");
    }

    pub(crate) fn unknown_field(
        &mut self,
        line: u32,
        column: u32,
        at: &At<'_>,
        fix: impl FnOnce() -> String,
    ) {
        if self.is_full() {
            self.failed |= self.unknown == Severity::Error;
            self.dropped += 1;
            return;
        }
        let message = match self.unknown {
            Severity::Error => "unknown field",
            _ => "unknown field, without effect",
        };
        self.report(line, column, Diagnostic::new(self.unknown, at.path(), message).with_fix(fix()));
    }

    pub(super) fn notice(&mut self, line: u32, column: u32, at: &At<'_>, notice: Notice) {
        let (severity, message, fix) = match notice {
            Notice::None => return,
            Notice::Deprecated(fix) => (Severity::Warning, "deprecated".to_owned(), fix),
            Notice::NotPortable(meaning) => (Severity::Info, format!("not portable: {meaning}"), ""),
            Notice::NoEffect(reason) if self.quiet => {
                (Severity::Info, format!("has no effect: {reason}"), "")
            }
            Notice::NoEffect(reason) => (Severity::Warning, format!("has no effect: {reason}"), ""),
            Notice::Planned(missing) => (Severity::Warning, format!("kept, not in force yet: {missing}"), ""),
        };
        self.report(line, column, Diagnostic::new(severity, at.path(), message).with_fix(fix));
    }

    /// Everything reported, by line.
    pub fn finish(mut self) -> Diagnostics {
        self.problems.sort_by_key(|p| p.span.as_ref().map(|s| (s.line, s.column)));
        if self.dropped > 0 {
            let last = self.problems.last().and_then(|p| p.span.clone());
            let more = format!("{} more problems in this document", self.dropped);
            let mut summary =
                Diagnostic::error(At::ROOT.path(), more).with_fix("repair the ones above first");
            summary.span = last;
            self.problems.push(summary);
        }
        self.problems
    }
}
