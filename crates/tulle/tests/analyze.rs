//! `tulle analyze`: what its options leave out, and its exit codes.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::path::Path;
use std::process::{Command, Output};

fn analyze(args: &[&str]) -> (i32, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tulle-analysis/tests/examples");
    let Output { status, stdout, .. } = Command::new(env!("CARGO_BIN_EXE_tulle"))
        .arg("analyze")
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap())
}

const BAD: &str = "referenced_resource/bad.yaml";

#[test]
fn findings_have_the_line_of_their_field() {
    let (code, out) = analyze(&[BAD]);
    assert_eq!(code, 1, "{out}");
    let start = format!("{BAD}:73: Gateway edge/edge: spec.selector: no pod has gateway=egde");
    assert!(out.lines().any(|l| l.starts_with(&start) && l.ends_with("[IST0101]")), "{out}");
}

#[test]
fn a_namespace_alone_is_reported() {
    let (code, out) = analyze(&[BAD, "-n", "shop"]);
    assert_eq!(code, 0, "warnings are no errors: {out}");
    assert!(out.contains("AuthorizationPolicy shop/cart") && !out.contains("Gateway edge/edge"), "{out}");
}

#[test]
fn what_is_known_is_left_out() {
    let (code, out) = analyze(&[BAD, "--suppress", "IST0101=Gateway edge/*"]);
    assert_eq!(code, 0, "{out}");
    assert!(!out.contains("no pod has gateway=egde"), "{out}");
    assert_eq!(analyze(&[BAD, "--suppress", "IST0101"]).0, 2);
}

#[test]
fn analyzers_are_listed() {
    let (code, out) = analyze(&["--list-analyzers"]);
    assert_eq!(code, 0);
    assert!(out.lines().any(|l| l.starts_with("IST0101 error    ReferencedResourceNotFound: ")), "{out}");
    let (_, json) = analyze(&["--list-analyzers", "-o", "json"]);
    let all: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(all.as_array().unwrap().len(), out.lines().count());
}

#[test]
fn a_mesh_that_does_not_run_cannot_be_asked() {
    let nowhere = tempfile::tempdir().unwrap();
    let state = nowhere.path().to_str().unwrap();
    assert_eq!(analyze(&["--live", "--state-dir", state]).0, 3);
    assert_eq!(analyze(&[]).0, 2, "neither paths nor a mesh");
}
