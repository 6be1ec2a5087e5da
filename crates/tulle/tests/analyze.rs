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

/// What only the proxy knows is refused here too, by the field of the document.
#[test]
fn what_no_proxy_does_is_named_in_envoy_filters() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("filters.yaml");
    let adding = |name: &str, config: &str| {
        format!(
            "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
             configPatches:\n  - applyTo: HTTP_FILTER\n    match: {{context: SIDECAR_INBOUND}}\n    patch:\n      \
             operation: INSERT_FIRST\n      value: {{name: it, typed_config: {{{config}}}}}\n---\n"
        )
    };
    const HTTP: &str = "'@type': type.googleapis.com/envoy.extensions.filters.http";
    let text = [
        adding("lua", &format!("{HTTP}.lua.v3.Lua, inline_code: '--'")),
        adding("wasm", &format!("{HTTP}.wasm.v3.Wasm")),
        adding("faults", &format!("{HTTP}.fault.v3.HTTPFault, delay: {{percentage: {{numerator: 1}}}}")),
        adding(
            "slow",
            &format!("{HTTP}.fault.v3.HTTPFault, response_rate_limit: {{fixed_limit: {{limit_kbps: 1}}}}"),
        ),
    ];
    std::fs::write(&file, text.concat()).unwrap();
    let (code, out) = analyze(&[file.to_str().unwrap()]);
    assert_eq!(code, 1, "{out}");
    let value = "spec.configPatches[0].patch.value.typed_config";
    for (name, field, why) in [
        ("lua", ".@type", "envoy.extensions.filters.http.lua.v3.Lua is refused"),
        ("wasm", ".@type", "envoy.extensions.filters.http.wasm.v3.Wasm is refused"),
        ("faults", ".delay", "needs fixed_delay or header_delay"),
    ] {
        let start = format!("EnvoyFilter shop/{name}: {value}{field}: ");
        assert!(out.lines().any(|l| l.contains(&start) && l.contains(why)), "{name}: {out}");
    }
    assert!(!out.contains("shop/slow: spec.configPatches[0].patch.value"), "it is done: {out}");
}
