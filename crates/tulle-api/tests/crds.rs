//! The custom resource definitions are ones that Kubernetes takes: structural, with one stored version, complete.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::collections::BTreeSet;

use expect_test::expect_file;
use serde_json::Value;
use tulle_api::{Kind, crd};

/// Golden file; `UPDATE_EXPECT=1 cargo test -p tulle-api --test crds` writes it anew.
#[test]
fn definition_of_a_kind() {
    let definition = crd::definition(Kind::PeerAuthentication.info());
    expect_file!["golden/crd-peer-authentication.json"]
        .assert_eq(&format!("{}\n", serde_json::to_string_pretty(&definition).unwrap()));
}

#[test]
fn every_kind_of_the_mesh_has_one() {
    let all = crd::all();
    let istio = Kind::ALL.iter().filter(|k| k.info().group.ends_with(".istio.io")).count();
    assert!(istio >= 10 && all.len() >= istio);
    let mut names = BTreeSet::new();
    for definition in &all {
        let spec = &definition["spec"];
        let name =
            format!("{}.{}", spec["names"]["plural"].as_str().unwrap(), spec["group"].as_str().unwrap());
        assert_eq!(definition["metadata"]["name"], name.as_str());
        assert!(names.insert(name.clone()), "{name} is there twice");
        let versions = spec["versions"].as_array().unwrap();
        assert_eq!(versions.iter().filter(|v| v["storage"] == true).count(), 1, "{name}");
        for version in versions {
            assert_eq!(version["served"], true);
            structural(&version["schema"]["openAPIV3Schema"], &name);
        }
    }
}

/// What `apiextensions.k8s.io/v1` asks of a structural schema: a type everywhere, no references, nothing but checks in
/// `oneOf` and its like, and keys of lists that are required scalars or have a default.
fn structural(schema: &Value, path: &str) {
    let known = [
        "type",
        "format",
        "description",
        "properties",
        "additionalProperties",
        "items",
        "required",
        "enum",
        "minimum",
        "maximum",
        "default",
        "oneOf",
        "anyOf",
        "allOf",
        "x-kubernetes-int-or-string",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-map-type",
    ];
    let map = schema.as_object().unwrap();
    for key in map.keys() {
        assert!(known.contains(&key.as_str()), "{path}: {key}");
    }
    let free = ["x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"];
    assert!(map.contains_key("type") || free.iter().any(|f| schema[f] == true), "{path}: has no type");
    assert!(!(map.contains_key("properties") && map.contains_key("additionalProperties")), "{path}: both");
    let text = map.get("description").map(|d| d.as_str().unwrap());
    assert_ne!(text, Some(""), "{path}: empty description");
    for group in ["oneOf", "anyOf", "allOf"] {
        let checks = map.get(group).map(|c| c.as_array().unwrap().clone()).unwrap_or_default();
        checks
            .iter()
            .filter(|_| schema["x-kubernetes-int-or-string"] != true)
            .for_each(|c| check_only(c, path));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        structural(field, &format!("{path}.{name}"));
    }
    if let Some(of) = map.get("additionalProperties") {
        structural(of, &format!("{path}{{}}"));
    }
    if schema["type"] == "array" {
        structural(&schema["items"], &format!("{path}[]"));
        keys(schema, path);
    }
}

fn check_only(check: &Value, path: &str) {
    for key in check.as_object().unwrap().keys() {
        assert!(["oneOf", "anyOf", "not", "required"].contains(&key.as_str()), "{path}: {key} in a check");
    }
}

fn keys(schema: &Value, path: &str) {
    let list = schema["x-kubernetes-list-type"].as_str().unwrap_or_else(|| panic!("{path}: no list type"));
    let keys = schema.get("x-kubernetes-list-map-keys");
    assert_eq!(list == "map", keys.is_some(), "{path}: keys");
    for key in keys.and_then(Value::as_array).into_iter().flatten() {
        let items = &schema["items"];
        let field = &items["properties"][key.as_str().unwrap()];
        let scalar = ["string", "integer", "boolean"].contains(&field["type"].as_str().unwrap_or_default());
        assert!(scalar, "{path}: key {key} is no scalar");
        let required = items["required"].as_array().is_some_and(|r| r.contains(key));
        assert!(required || field.get("default").is_some(), "{path}: key {key} may be missing");
    }
}
