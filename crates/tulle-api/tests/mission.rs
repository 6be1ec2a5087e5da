//! Every YAML block of the mission documents validates: it is read for what it says, or it is said to be a part of a
//! resource or none, of which nothing is applied.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use tulle_base::Severity;

/// What reading a file gives: its objects, then its diagnostics.
fn read(path: &Path) -> String {
    let name = path.file_name().unwrap().to_string_lossy();
    let (objects, diagnostics) = tulle_api::parse_manifests(&name, &std::fs::read(path).unwrap());
    let mut out = format!("# {name}\n");
    for object in objects {
        writeln!(out, "{}", object.resource()).unwrap();
    }
    for diagnostic in diagnostics {
        writeln!(out, "{}: {diagnostic}", diagnostic.severity).unwrap();
    }
    out
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mission");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    files
}

#[test]
fn what_is_read_and_said_of_each() {
    let all: Vec<_> = files().iter().map(|f| read(f)).collect();
    expect_file!["mission/expected.txt"].assert_eq(&all.join("\n"));
}

/// A document without `metadata`, or that is no resource at all, is named as such; whatever it says is checked, and what
/// it lacks is a warning. Everything else is a whole resource without errors.
#[test]
fn every_file_validates() {
    let mut parts = Vec::new();
    for file in files() {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let (objects, diagnostics) = tulle_api::parse_manifests(&name, &std::fs::read(&file).unwrap());
        let errors: Vec<_> = diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        if diagnostics.iter().any(tulle_api::is_fragment) {
            assert!(objects.is_empty(), "{name} is a part and is applied all the same");
            parts.push(name);
        }
    }
    let wanted = [
        "istio-architecture-05",
        "resilience-01",
        "resilience-04",
        "resilience-05",
        "resilience-06",
        "resilience-07",
        "technical-10",
        "technical-12",
        "technical-17",
        "technical-18",
    ];
    assert_eq!(parts, wanted);
}
