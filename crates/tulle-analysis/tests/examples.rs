//! Each analyzer finds what is in its bad example, and is quiet on its good one.
//!
//! The findings of `tests/examples/NAME/bad.yaml` are in `bad.txt` beside it; `UPDATE_EXPECT=1` writes them anew.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tulle_analysis::{Findings, Whole, analyzers};
use tulle_api::Object;
use tulle_base::Severity;
use tulle_mesh::MeshConfig;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples")
}

/// The objects of an example. Examples are valid: only analysis finds something wrong.
fn read(path: &Path, wrong: &mut Vec<String>) -> Vec<Arc<Object>> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let (objects, problems) = tulle_api::parse_manifests(&name, &bytes);
    let errors = problems.iter().filter(|p| p.severity == Severity::Error);
    wrong.extend(errors.map(|e| format!("{}: {e}", path.display())));
    objects.into_iter().map(Arc::new).collect()
}

#[test]
fn good_examples_are_quiet() {
    let mut wrong = Vec::new();
    for (name, analyzer) in analyzers::all() {
        let objects = read(&examples().join(name).join("good.yaml"), &mut wrong);
        let whole = Whole::new(&objects, MeshConfig::default());
        wrong.extend(Findings::of(analyzer, &whole).iter().map(|d| format!("{name}: {d}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bad_examples_are_found() {
    let mut wrong = Vec::new();
    for (name, analyzer) in analyzers::all() {
        let folder = examples().join(name);
        let objects = read(&folder.join("bad.yaml"), &mut wrong);
        let whole = Whole::new(&objects, MeshConfig::default());
        let mut found = Findings::of(analyzer, &whole);
        tulle_api::refine_places("bad.yaml", &std::fs::read(folder.join("bad.yaml")).unwrap(), &mut found);
        if found.is_empty() {
            wrong.push(format!("{name} finds nothing in its bad example"));
        }
        for finding in &found {
            assert_eq!(finding.code, analyzer.code, "{name}");
            assert!(finding.severity <= analyzer.severity, "{name}");
            assert!(finding.span.is_some() && finding.resource.is_some(), "{name}: {finding}");
        }
        let text: String = found.iter().map(|d| format!("{d} [{}]\n", d.severity)).collect();
        let file = folder.join("bad.txt");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&file, &text).unwrap();
        } else if std::fs::read_to_string(&file).ok().as_deref() != Some(&text) {
            wrong.push(format!("{}:\n{text}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "UPDATE_EXPECT=1 writes these anew if they are right:\n{}", wrong.join("\n"));
}

#[test]
fn every_folder_belongs_to_an_analyzer_and_every_code_to_one() {
    let names: BTreeSet<&str> = analyzers::all().map(|(name, _)| *name).collect();
    for entry in std::fs::read_dir(examples()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(name.as_str()), "tests/examples/{name} has no analyzer");
    }
    let codes: BTreeSet<&str> = analyzers::all().map(|(_, a)| a.code).collect();
    assert_eq!(codes.len(), names.len(), "two analyzers have one code");
}
