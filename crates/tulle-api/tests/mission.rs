//! Every YAML block of the mission documents is read for what it says, or refused with the line and the reason.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::fmt::Write as _;
use std::path::Path;

use expect_test::expect_file;

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

#[test]
fn every_file_is_read_or_refused_with_reason() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mission");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let all: Vec<_> =
        files.iter().filter(|f| f.extension().is_some_and(|e| e == "yaml")).map(|f| read(f)).collect();
    expect_file!["mission/expected.txt"].assert_eq(&all.join("\n"));
}
