//! The table of requirements names tests that exist, and every test here is in it.

use std::{collections::BTreeSet, fs, path::Path};

/// `docs/conformance.md`: each test that it names, as `file::test`, is one.
#[test]
fn every_test_of_the_table_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/conformance.md")).unwrap();
    let folder = root.join("crates/tulle-proxy/tests/conformance");
    let mut tests = BTreeSet::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "rs") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        for part in text.split("#[test]\n").skip(1) {
            let function = part.split("fn ").nth(1).and_then(|f| f.split('(').next()).unwrap();
            tests.insert(format!("{name}::{function}"));
        }
    }
    let named: BTreeSet<String> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.contains("::") && !word.contains(' '))
        .map(str::to_owned)
        .collect();
    assert!(named.len() > 100, "{} tests in the table", named.len());
    let missing: Vec<_> = named.difference(&tests).collect();
    assert!(missing.is_empty(), "named in docs/conformance.md, and no test: {missing:#?}");
    let unnamed: Vec<_> = tests.difference(&named).filter(|t| !t.starts_with("table::")).collect();
    assert!(unnamed.is_empty(), "tests that docs/conformance.md does not name: {unnamed:#?}");
}
