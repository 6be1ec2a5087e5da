//! `tulle validate`: output, formats and exit codes.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::path::Path;
use std::process::{Command, Output};

fn validate(args: &[&str]) -> (i32, String, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tulle-api/tests");
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_tulle"))
        .arg("validate")
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn good_manifests_end_with_0() {
    let (code, out, summary) = validate(&["valid"]);
    assert_eq!(code, 0, "{out}{summary}");
    // Kinds that are kept but not in force yet say so, and nothing else is said.
    assert!(out.lines().all(|l| l.contains("kept, not in force yet")), "{out}");
    assert!(summary.contains("in 4 files: 0 errors"), "{summary}");
}

#[test]
fn every_problem_has_its_line_and_the_end_is_1() {
    let (code, out, _) = validate(&["diagnostics/kinds.yaml", "valid/security.yaml", "valid/security.yaml"]);
    assert_eq!(code, 1);
    let first = "diagnostics/kinds.yaml:2: VirtualServise default/slip: kind: kind VirtualServise does not exist in \
                 networking.istio.io; did you mean VirtualService?";
    assert_eq!(out.lines().next(), Some(first));
    let kept = "kinds.yaml:14: XBackend shop/more: kind: has no effect: ";
    assert!(out.lines().any(|l| l.contains(kept) && l.ends_with("[warning]")), "{out}");
    let twice = "valid/security.yaml:2: PeerAuthentication shop/web: is defined at valid/security.yaml:2 and again here; \
                 remove one of them";
    assert!(out.lines().any(|l| l == twice), "{out}");
}

#[test]
fn json_for_programs() {
    let (code, out, _) = validate(&["-o", "json", "diagnostics/sidecar.yaml"]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    let errors = || value["problems"].as_array().unwrap().iter().filter(|p| p["severity"] == "error");
    let error = errors().find(|p| p["resource"]["name"] == "ingress").unwrap();
    assert_eq!(
        (code, &error["line"], &error["field"]),
        (1, &11.into(), &"spec.ingress[0].port.number".into())
    );
}

/// Each file by itself; parts of resources and texts are said to be that, and are no errors.
#[test]
fn every_file_of_the_mission_validates() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tulle-api/tests/mission");
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|n| n.ends_with(".yaml"));
    let mut parts = 0;
    for name in &names {
        let (code, out, summary) = validate(&[&format!("mission/{name}")]);
        assert_eq!(code, 0, "{out}");
        assert!(summary.contains(" in 1 files: 0 errors, "), "{summary}");
        parts += out.lines().filter(|l| l.ends_with("[TUL0001] [warning]")).count();
    }
    assert_eq!((names.len(), parts), (41, 10));
    // Two of them are about the same resource, which one mesh cannot have both.
    let (code, out, _) = validate(&["mission"]);
    let errors: Vec<_> = out.lines().filter(|l| !l.ends_with(']')).collect();
    assert_eq!((code, errors.len()), (1, 1), "{out}");
    assert!(errors[0].contains("VirtualService order-prod/order-service: is defined at"), "{out}");
}

#[test]
fn what_cannot_be_read_ends_with_2() {
    let (code, out, reason) = validate(&["nowhere.yaml"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(reason.contains("nowhere.yaml: No such file"), "{reason}");
    assert_eq!(validate(&[]).0, 2);
}
