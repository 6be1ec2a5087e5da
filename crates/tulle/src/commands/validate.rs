//! `tulle validate`: what is wrong with manifests, before anybody applies them.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};
use tulle_base::{Diagnostic, Diagnostics, FieldPath, ResourceRef, Severity, SourceSpan};

use crate::outcome::{Failure, Outcome};

/// Largest file that is read; the parser refuses less, and says so.
const MAX_BYTES: u64 = 17 << 20;

/// Check manifests offline: every problem of every file, as `file:line: kind ns/name: field: message; fix`.
///
/// Ends with 1 if there are errors, with 2 if a path cannot be read. Example: tulle validate ./manifests
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files, folders (with everything below them that ends in .yaml, .yml or .json), or - for standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Output format: text or json.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

/// What was found in all files.
#[derive(Default)]
struct Found {
    files: usize,
    places: HashMap<ResourceRef, Option<SourceSpan>>,
    diagnostics: Diagnostics,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut found = Found::default();
    for path in &args.paths {
        if path.as_os_str() == "-" {
            let mut bytes = Vec::new();
            std::io::stdin()
                .take(MAX_BYTES)
                .read_to_end(&mut bytes)
                .context("standard input")
                .map_err(Failure::usage)?;
            found.read("-", &bytes);
            continue;
        }
        for file in tulle_store::manifest_files(std::slice::from_ref(path)).map_err(Failure::usage)? {
            found.read(&file.to_string_lossy(), &read(&file).map_err(Failure::usage)?);
        }
    }
    if args.output == "json" {
        found.print_json()
    } else {
        found.print_text()
    }
    let failed = found.count(Severity::Error) > 0;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).with_context(|| file.display().to_string())?;
    opened.take(MAX_BYTES).read_to_end(&mut bytes).with_context(|| file.display().to_string())?;
    Ok(bytes)
}

impl Found {
    fn read(&mut self, name: &str, bytes: &[u8]) {
        let (objects, diagnostics) = tulle_api::parse_manifests(name, bytes);
        self.files += 1;
        self.diagnostics.extend(diagnostics);
        for object in objects {
            let resource = object.resource();
            match (self.places.get(&resource), object.origin) {
                (None, origin) => drop(self.places.insert(resource, origin)),
                (Some(first), Some(second)) => {
                    let first = first.as_ref().map(ToString::to_string).unwrap_or_default();
                    let message = format!("is defined at {first} and again here");
                    let twice = Diagnostic::error(FieldPath::root(), message).with_fix("remove one of them");
                    self.diagnostics.push(twice.with_span(second).with_resource(resource));
                }
                (Some(_), None) => {}
            }
        }
    }

    fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == severity).count()
    }

    #[allow(clippy::print_stdout, reason = "the result of a command goes to stdout")]
    #[allow(clippy::print_stderr, reason = "the summary is not part of the result")]
    fn print_text(&self) {
        for diagnostic in &self.diagnostics {
            match diagnostic.severity {
                Severity::Error => println!("{diagnostic}"),
                other => println!("{diagnostic} [{other}]"),
            }
        }
        eprintln!(
            "{} objects in {} files: {} errors, {} warnings",
            self.places.len(),
            self.files,
            self.count(Severity::Error),
            self.count(Severity::Warning)
        );
    }

    #[allow(clippy::print_stdout, reason = "the result of a command goes to stdout")]
    fn print_json(&self) {
        let problems: Vec<Value> = self.diagnostics.iter().map(as_json).collect();
        println!("{}", json!({"objects": self.places.len(), "files": self.files, "problems": problems}));
    }
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
