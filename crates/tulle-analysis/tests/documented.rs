//! What Istio's own tasks show, written out with the services and workloads that belong to it: neither validation nor
//! analysis finds an error in it. Nor does analysis in the files that the mission shows, where they are whole.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tulle_analysis::{MeshConfig, analyze};
use tulle_base::Severity;

/// The errors of the only file at `path`, as `analyze` of the command would print them.
fn errors(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let (objects, mut found) = tulle_api::parse_manifests(&name, &bytes);
    let objects: Vec<_> = objects.into_iter().map(Arc::new).collect();
    found.extend(analyze(&objects, MeshConfig::default()));
    tulle_api::refine_places(&name, &bytes, &mut found);
    found.into_iter().filter(|d| d.severity == Severity::Error).map(|d| d.to_string()).collect()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    files
}

#[test]
fn documented_examples_have_no_errors() {
    let files = files("documented");
    assert!(files.len() >= 50, "{}", files.len());
    let wrong: Vec<String> = files.iter().flat_map(|f| errors(f)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let written = text.lines().filter(|l| l.starts_with("kind: ")).count();
        let read = tulle_api::parse_manifests("", text.as_bytes()).0.len();
        assert_eq!(read, written, "every document of {} is read", file.display());
    }
}

/// The mission shows fragments of configurations: services and workloads are left out. So nothing but names that the
/// fragment does not define may be an error.
#[test]
fn mission_files_lack_names_and_nothing_else() {
    let files = files("../../tulle-api/tests/mission");
    assert!(files.len() >= 20, "{}", files.len());
    let all: Vec<String> = files.iter().flat_map(|f| errors(f)).collect();
    let wrong: Vec<&String> = all.iter().filter(|e| !e.ends_with("[IST0101]")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
