//! Patches of every kind, and server-side apply with its conflicts.

use serde_json::json;

use crate::support::Api;

const PATH: &str = "/api/v1/namespaces/shop/configmaps/a";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/web";

fn deployment(image: &str) -> serde_json::Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
            {"name": "web", "image": image}]}}}})
}

#[test]
fn three_kinds_of_patches() {
    let api = Api::start();
    api.config_map("a", &json!({"app": "x"}), &json!({"k": "1", "old": "1"}));
    let merged = api.patch(PATH, "merge", &json!({"data": {"k": "2", "old": null}})).ok();
    assert_eq!(merged["data"], json!({"k": "2"}));
    let operations = json!([{"op": "test", "path": "/data/k", "value": "2"}, {"op": "add", "path": "/data/n", "value": "3"}]);
    assert_eq!(api.patch(PATH, "json", &operations).ok()["data"], json!({"k": "2", "n": "3"}));
    let failed = api.patch(PATH, "json", &json!([{"op": "test", "path": "/data/k", "value": "9"}]));
    assert_eq!((failed.code, failed.reason()), (422, "Invalid".into()));
    assert_eq!(api.patch(PATH, "json", &json!({"op": "test"})).code, 400);
    api.send("POST", "/apis/apps/v1/namespaces/shop/deployments", &deployment("echo:1")).ok();
    let containers = json!([{"name": "side", "image": "echo:2"}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let strategic = api.patch(DEPLOYMENT, "strategic-merge", &patch).ok();
    assert_eq!(strategic["spec"]["template"]["spec"]["containers"].as_array().unwrap().len(), 2);
    assert_eq!(strategic["metadata"]["generation"], 2);
    let merged = api.patch(DEPLOYMENT, "merge", &patch).ok();
    assert_eq!(merged["spec"]["template"]["spec"]["containers"].as_array().unwrap().len(), 1);
    let stale = json!({"metadata": {"resourceVersion": "1"}, "data": {"k": "5"}});
    assert_eq!(api.patch(PATH, "merge", &stale).reason(), "Conflict");
    assert_eq!(api.patch(PATH, "merge", &json!({"metadata": {"name": "b"}})).code, 400);
}

#[test]
fn applying_makes_changes_and_keeps_track_of_owners() {
    let api = Api::start();
    let apply = |manager: &str, image: &str, force: bool| {
        api.patch(&format!("{DEPLOYMENT}?fieldManager={manager}&force={force}"), "apply", &deployment(image))
    };
    let made = apply("one", "echo:1", false);
    assert_eq!(made.code, 201, "{}", made.text);
    assert_eq!(made.body["metadata"]["managedFields"][0]["manager"], "one");
    let again = apply("one", "echo:1", false);
    assert_eq!(again.code, 200);
    assert_eq!(again.body["metadata"]["resourceVersion"], made.body["metadata"]["resourceVersion"]);
    let refused = apply("two", "echo:2", false);
    assert_eq!((refused.code, refused.reason()), (409, "Conflict".into()));
    let cause = &refused.body["details"]["causes"][0];
    assert_eq!(cause["reason"], "FieldManagerConflict");
    assert_eq!(cause["field"], ".spec.template.spec.containers[name=\"web\"].image");
    apply("two", "echo:2", true).ok();
    assert_eq!(apply("one", "echo:3", false).code, 409);
    // A field that is no longer applied goes, if nobody else has it.
    let mut less = deployment("echo:2");
    less["spec"]["replicas"] = 3.into();
    let with = api.patch(&format!("{DEPLOYMENT}?fieldManager=two"), "apply", &less).ok();
    assert_eq!(with["spec"]["replicas"], 3);
    let without = apply("two", "echo:2", false).ok();
    assert_eq!(without["spec"]["replicas"], json!(null));
    assert_eq!(api.patch(DEPLOYMENT, "apply", &deployment("x")).code, 400, "a manager is needed");
    let dry =
        api.patch("/api/v1/namespaces/shop/configmaps/b?fieldManager=x&dryRun=All", "apply", &json!({}));
    assert_eq!((dry.code, api.get("/api/v1/namespaces/shop/configmaps/b").code), (201, 404));
}

#[test]
fn updates_own_what_they_change_and_a_write_without_change_is_none() {
    let api = Api::start();
    let made = api.config_map("a", &json!({}), &json!({"k": "1"}));
    assert_eq!(made["metadata"]["managedFields"][0]["operation"], "Update");
    let same = api.send("PUT", PATH, &made).ok();
    assert_eq!(same, made);
    let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "2"}});
    let refused = api.patch(&format!("{PATH}?fieldManager=x"), "apply", &applied);
    assert_eq!(refused.code, 409, "{}", refused.text);
}

#[test]
fn a_status_is_patched_on_its_own() {
    let api = Api::start();
    api.send("POST", "/apis/apps/v1/namespaces/shop/deployments", &deployment("echo:1")).ok();
    let patch = json!({"spec": {"replicas": 9}, "status": {"replicas": 4}});
    let written = api.patch(&format!("{DEPLOYMENT}/status"), "merge", &patch).ok();
    assert_eq!((&written["status"]["replicas"], &written["spec"]["replicas"]), (&json!(4), &json!(null)));
    let managers = written["metadata"]["managedFields"].as_array().unwrap();
    assert!(managers.iter().any(|m| m["subresource"] == "status"), "{managers:?}");
    assert_eq!(api.patch("/api/v1/namespaces/shop/configmaps/a/status", "merge", &json!({})).code, 404);
}
