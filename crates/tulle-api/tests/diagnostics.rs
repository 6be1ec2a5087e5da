//! What is wrong is said in full, in words that one can act on. Each file of `tests/diagnostics` lies next to what is said
//! about it; `UPDATE_EXPECT=1` writes it anew.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::fmt::Write as _;
use std::path::Path;

use expect_test::expect_file;
use tulle_base::Severity;

#[test]
fn every_problem_is_told_at_its_line() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    assert!(files.len() > 6);
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy();
        let (objects, diagnostics) = tulle_api::parse_manifests(&name, &std::fs::read(&file).unwrap());
        let mut out = String::new();
        for object in &objects {
            writeln!(out, "read: {}", object.resource()).unwrap();
        }
        for diagnostic in &diagnostics {
            assert!(diagnostic.span.is_some(), "{diagnostic}");
            writeln!(out, "{}: {diagnostic}", diagnostic.severity).unwrap();
        }
        expect_file![file.with_extension("txt")].assert_eq(&out);
        for object in &objects {
            let refused = diagnostics
                .iter()
                .any(|d| d.severity == Severity::Error && d.resource.as_ref() == Some(&object.resource()));
            assert!(!refused, "{} has errors and is read all the same", object.resource());
        }
    }
}

/// Files that are not text as one expects it.
#[test]
fn odd_encodings() {
    let good = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n";
    let with = |bytes: &[u8]| {
        let (objects, diagnostics) = tulle_api::parse_manifests("f", bytes);
        (objects.len(), diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(with(format!("\u{feff}{good}").as_bytes()), (1, vec![]));
    assert_eq!(with(good.replace('\n', "\r\n").as_bytes()), (1, vec![]));
    assert_eq!(with(br#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}"#), (1, vec![]));
    assert_eq!(with(b""), (0, vec![]));
    assert_eq!(with(b"# nothing\n---\n---\n# at all\n"), (0, vec![]));
    assert_eq!(
        with(&[good.as_bytes(), b"---\na: \xff\n"].concat()),
        (1, vec!["f:5: is not UTF-8: byte 0xff; save the file as UTF-8".to_owned()])
    );
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(good.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert_eq!(with(&utf16), (0, vec!["f:1: is UTF-16; save the file as UTF-8".to_owned()]));
}
