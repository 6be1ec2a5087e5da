//! What an analyzer is, and where its findings go.

use tulle_api::Object;
use tulle_base::{Diagnostic, Diagnostics, FieldPath, Severity};

use crate::whole::Whole;

/// One question about a whole configuration. The answer is a function of the configuration alone.
#[derive(Clone, Copy, Debug)]
pub struct Analyzer {
    /// The code of its findings: `ISTnnnn` where Istio has one, `TULnnnn` otherwise.
    pub code: &'static str,
    /// Istio's name of the message, or one of the same sort.
    pub name: &'static str,
    /// How much its findings matter, unless one is worth less.
    pub severity: Severity,
    /// What it finds, in one sentence, for the documentation.
    pub about: &'static str,
    /// Looks for it.
    pub check: fn(&Whole<'_>, &mut Findings),
}

/// The findings of one analyzer.
#[derive(Debug)]
pub struct Findings {
    code: &'static str,
    severity: Severity,
    found: Diagnostics,
}

impl Findings {
    /// Runs `analyzer` over `whole`.
    pub fn of(analyzer: &Analyzer, whole: &Whole<'_>) -> Diagnostics {
        let mut out = Self { code: analyzer.code, severity: analyzer.severity, found: Diagnostics::new() };
        (analyzer.check)(whole, &mut out);
        out.found
    }

    /// Reports that `field` of `object` is wrong: `message` in one sentence without a full stop, `fix` the way out.
    pub fn report(
        &mut self,
        object: &Object,
        field: impl Into<FieldPath>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.report_as(self.severity, object, field, message, fix);
    }

    /// As [`Findings::report`], with a severity of its own.
    pub fn report_as(
        &mut self,
        severity: Severity,
        object: &Object,
        field: impl Into<FieldPath>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let mut finding = Diagnostic::new(severity, field.into(), message)
            .with_fix(fix)
            .with_code(self.code)
            .with_resource(object.resource());
        finding.span.clone_from(&object.origin);
        self.found.push(finding);
    }
}
