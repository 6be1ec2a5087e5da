//! Findings about manifests, as `validate` and `analyze` collect and print them.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};
use tulle_api::Object;
use tulle_base::{Diagnostic, Diagnostics, FieldPath, ResourceRef, Severity, SourceSpan};

use crate::outcome::Failure;

/// Largest file that is read; the parser refuses less, and says so.
const MAX_BYTES: u64 = 17 << 20;

/// What was found in all files.
#[derive(Default)]
pub(crate) struct Findings {
    files: Vec<PathBuf>,
    stdin: Option<Vec<u8>>,
    places: HashMap<ResourceRef, Option<SourceSpan>>,
    /// The problems found so far.
    pub(crate) diagnostics: Diagnostics,
}

impl Findings {
    /// Reads the manifests at `paths` (files, folders, `-` for standard input), and gives each object to `keep`. An object that
    /// was there before is a problem, and not kept.
    pub(crate) fn read(paths: &[PathBuf], mut keep: impl FnMut(Arc<Object>)) -> Result<Self, Failure> {
        let mut found = Self::default();
        for path in paths {
            if path.as_os_str() == "-" {
                let mut bytes = Vec::new();
                std::io::stdin()
                    .take(MAX_BYTES)
                    .read_to_end(&mut bytes)
                    .context("standard input")
                    .map_err(Failure::usage)?;
                found.file("-", &bytes, &mut keep);
                found.stdin = Some(bytes);
                continue;
            }
            for file in tulle_store::manifest_files(std::slice::from_ref(path)).map_err(Failure::usage)? {
                let bytes = read(&file).map_err(Failure::usage)?;
                found.file(&file.to_string_lossy(), &bytes, &mut keep);
                found.files.push(file);
            }
        }
        Ok(found)
    }

    fn file(&mut self, name: &str, bytes: &[u8], keep: &mut impl FnMut(Arc<Object>)) {
        let (objects, diagnostics) = tulle_api::parse_manifests(name, bytes);
        self.diagnostics.extend(diagnostics);
        for object in objects {
            let resource = object.resource();
            match (self.places.get(&resource), &object.origin) {
                (None, origin) => {
                    self.places.insert(resource, origin.clone());
                    keep(Arc::new(object));
                }
                (Some(first), Some(second)) => {
                    let first = first.as_ref().map(ToString::to_string).unwrap_or_default();
                    let message = format!("is defined at {first} and again here");
                    let twice = Diagnostic::error(FieldPath::root(), message).with_fix("remove one of them");
                    self.diagnostics.push(twice.with_span(second.clone()).with_resource(resource));
                }
                (Some(_), None) => {}
            }
        }
    }

    /// Counts objects of a running mesh, which are in no file.
    pub(crate) fn add_mesh(&mut self, objects: impl Iterator<Item = ResourceRef>) {
        self.places.extend(objects.map(|resource| (resource, None)));
    }

    /// Adds what was found about the objects afterwards, with the places of the fields.
    ///
    /// # Errors
    /// A file that cannot be read any more.
    pub(crate) fn add(&mut self, mut later: Diagnostics) -> Result<(), Failure> {
        if let Some(bytes) = &self.stdin {
            tulle_api::refine_places("-", bytes, &mut later);
        }
        for file in &self.files {
            let name = file.to_string_lossy();
            if later.iter().any(|d| d.span.as_ref().is_some_and(|s| *s.file == *name)) {
                tulle_api::refine_places(&name, &read(file).map_err(Failure::usage)?, &mut later);
            }
        }
        self.diagnostics.extend(later);
        Ok(())
    }

    /// How many problems of this severity there are.
    pub(crate) fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == severity).count()
    }

    /// Prints the problems, a line each, and a summary to stderr. Ends early when nobody reads any more.
    #[allow(clippy::print_stderr, reason = "the summary is not part of the result")]
    pub(crate) fn print_text(&self) {
        let mut out = std::io::stdout().lock();
        for diagnostic in &self.diagnostics {
            let written = match diagnostic.severity {
                Severity::Error => writeln!(out, "{diagnostic}"),
                other => writeln!(out, "{diagnostic} [{other}]"),
            };
            if written.is_err() {
                break;
            }
        }
        eprintln!(
            "{} objects in {} files: {} errors, {} warnings",
            self.places.len(),
            self.files.len() + usize::from(self.stdin.is_some()),
            self.count(Severity::Error),
            self.count(Severity::Warning)
        );
    }

    /// Prints the problems as one JSON object, if somebody reads it.
    pub(crate) fn print_json(&self) {
        let problems: Vec<Value> = self.diagnostics.iter().map(as_json).collect();
        let files = self.files.len() + usize::from(self.stdin.is_some());
        let whole = json!({"objects": self.places.len(), "files": files, "problems": problems});
        drop(writeln!(std::io::stdout().lock(), "{whole}"));
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).with_context(|| file.display().to_string())?;
    opened.take(MAX_BYTES).read_to_end(&mut bytes).with_context(|| file.display().to_string())?;
    Ok(bytes)
}

fn as_json(diagnostic: &Diagnostic) -> Value {
    let Diagnostic { severity, code, span, resource, field, message, fix } = diagnostic;
    let resource = resource.as_ref().map(|r| {
        let ResourceRef { group, kind, namespace, name } = r;
        json!({"group": group, "kind": kind, "namespace": namespace, "name": name})
    });
    json!({
        "severity": severity.to_string(),
        "code": code,
        "file": span.as_ref().map(|s| &*s.file),
        "line": span.as_ref().map(|s| s.line),
        "column": span.as_ref().map(|s| s.column),
        "resource": resource,
        "field": field.as_str(),
        "message": message,
        "fix": fix,
    })
}
