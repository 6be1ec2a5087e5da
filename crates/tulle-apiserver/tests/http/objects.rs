//! Creating, getting, replacing and deleting.

use serde_json::json;

use crate::support::Api;

const SERVICES: &str = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices";

#[test]
fn an_object_lives_from_create_to_delete() {
    let api = Api::start();
    let made = api.config_map("a", &json!({"app": "cart"}), &json!({"k": "1"}));
    assert_eq!((&made["kind"], &made["apiVersion"]), (&json!("ConfigMap"), &json!("v1")));
    for field in ["uid", "resourceVersion", "creationTimestamp"] {
        assert!(made["metadata"][field].is_string(), "{field}");
    }
    let path = "/api/v1/namespaces/shop/configmaps/a";
    let mut found = api.get(path).ok();
    assert_eq!(found, made);
    found["data"]["k"] = "2".into();
    let written = api.send("PUT", path, &found).ok();
    assert_ne!(written["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    // What was read before that is old now.
    let stale = api.send("PUT", path, &made);
    assert_eq!((stale.code, stale.reason()), (409, "Conflict".into()));
    assert!(stale.text.contains("please apply your changes to the latest version"));
    let gone = api.delete(path).ok();
    assert_eq!((&gone["status"], &gone["details"]["uid"]), (&json!("Success"), &made["metadata"]["uid"]));
    assert_eq!(api.get(path).reason(), "NotFound");
    assert_eq!(api.delete(path).reason(), "NotFound");
}

#[test]
fn what_exists_is_not_created_again_and_names_can_be_made_up() {
    let api = Api::start();
    api.config_map("a", &json!({}), &json!({}));
    let again = api.send("POST", "/api/v1/namespaces/shop/configmaps", &json!({"metadata": {"name": "a"}}));
    assert_eq!((again.code, again.reason()), (409, "AlreadyExists".into()));
    assert_eq!(again.body["message"], "configmaps \"a\" already exists");
    let body = json!({"metadata": {"generateName": "run-"}});
    let names: Vec<String> = (0..2)
        .map(|_| api.send("POST", "/api/v1/namespaces/shop/configmaps", &body).ok())
        .map(|made| made["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(names[0].starts_with("run-") && names[0] != names[1], "{names:?}");
}

#[test]
fn all_problems_are_told_at_once() {
    let api = Api::start();
    let body = json!({"metadata": {"name": "a"}, "spec": {"hosts": ["cart"], "http": [
        {"timeout": "soon", "route": [{"destination": {"host": "cart"}}]},
        {"retries": {"attempts": "many"}, "route": [{"destination": {"host": "cart"}}]}]}});
    let answer = api.send("POST", SERVICES, &body);
    assert_eq!((answer.code, answer.reason()), (422, "Invalid".into()));
    let causes = answer.body["details"]["causes"].as_array().unwrap();
    let fields: Vec<&str> = causes.iter().map(|c| c["field"].as_str().unwrap()).collect();
    assert!(fields.contains(&"spec.http[0].timeout"), "{fields:?}");
    assert!(fields.contains(&"spec.http[1].retries.attempts"), "{fields:?}");
    assert_eq!(api.get(SERVICES).ok()["items"], json!([]));
}

#[test]
fn unknown_fields_are_refused_warned_about_or_dropped() {
    let api = Api::start();
    let body = |name: &str| {
        json!({"metadata": {"name": name}, "spec": {"hosts": ["cart"], "hots": [], "http": [
            {"route": [{"destination": {"host": "cart"}}]}]}})
    };
    let strict = api.send("POST", &format!("{SERVICES}?fieldValidation=Strict"), &body("a"));
    assert_eq!((strict.code, strict.reason()), (400, "BadRequest".into()));
    assert!(strict.text.contains("did you mean hosts?"), "{}", strict.text);
    let warned = api.send("POST", SERVICES, &body("b"));
    assert_eq!(warned.code, 201, "{}", warned.text);
    assert!(warned.warnings[0].contains("unknown field") && warned.warnings[0].starts_with("299 - "));
    let quiet = api.send("POST", &format!("{SERVICES}?fieldValidation=Ignore"), &body("c"));
    assert_eq!((quiet.code, quiet.warnings.len()), (201, 0));
    assert_eq!(quiet.body["spec"]["hots"], json!(null));
}

#[test]
fn a_dry_run_writes_nothing() {
    let api = Api::start();
    let made = api.send(
        "POST",
        "/api/v1/namespaces/shop/configmaps?dryRun=All",
        &json!({"metadata": {"name": "a"}}),
    );
    assert!(made.ok()["metadata"]["uid"].is_string());
    assert_eq!(api.get("/api/v1/namespaces/shop/configmaps/a").code, 404);
    api.config_map("a", &json!({}), &json!({"k": "1"}));
    let path = "/api/v1/namespaces/shop/configmaps/a?dryRun=All";
    api.send("PUT", path, &json!({"metadata": {"name": "a"}, "data": {"k": "2"}})).ok();
    api.delete(path).ok();
    assert_eq!(api.get("/api/v1/namespaces/shop/configmaps/a").ok()["data"]["k"], "1");
    assert_eq!(api.send("PUT", "/api/v1/namespaces/shop/configmaps/a?dryRun=x", &json!({})).code, 400);
}

#[test]
fn any_served_version_reads_and_writes_the_same_object() {
    let api = Api::start();
    let spec = json!({"hosts": ["cart"], "http": [{"route": [{"destination": {"host": "cart"}}]}]});
    let old = "/apis/networking.istio.io/v1alpha3/namespaces/shop/virtualservices";
    let made = api.send("POST", old, &json!({"metadata": {"name": "a"}, "spec": spec})).ok();
    assert_eq!(made["apiVersion"], "networking.istio.io/v1alpha3");
    let new = api.get(&format!("{SERVICES}/a")).ok();
    assert_eq!((&new["apiVersion"], &new["spec"]), (&json!("networking.istio.io/v1"), &spec));
    let wrong =
        api.send("POST", SERVICES, &json!({"apiVersion": "v1", "metadata": {"name": "b"}, "spec": spec}));
    assert_eq!(wrong.reason(), "BadRequest");
}

#[test]
fn finalizers_keep_an_object_until_they_are_gone() {
    let api = Api::start();
    let body = json!({"metadata": {"name": "a", "finalizers": ["x.io/wait"]}});
    api.send("POST", "/api/v1/namespaces/shop/configmaps", &body).ok();
    let path = "/api/v1/namespaces/shop/configmaps/a";
    assert!(api.delete(path).ok()["metadata"]["deletionTimestamp"].is_string());
    let mut marked = api.get(path).ok();
    marked["metadata"]["finalizers"] = json!(["x.io/wait", "x.io/more"]);
    assert_eq!(api.send("PUT", path, &marked).code, 403);
    marked["metadata"]["finalizers"] = json!([]);
    api.send("PUT", path, &marked).ok();
    assert_eq!(api.get(path).code, 404);
}

#[test]
fn what_is_owned_goes_with_its_owner_or_is_orphaned() {
    let api = Api::start();
    let owned = |owner: &serde_json::Value, name: &str| {
        let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"]});
        let body = json!({"metadata": {"name": name, "ownerReferences": [reference]}});
        api.send("POST", "/api/v1/namespaces/shop/configmaps", &body).ok()
    };
    let top = api.config_map("top", &json!({}), &json!({}));
    let middle = owned(&top, "middle");
    owned(&middle, "leaf");
    let free = api.config_map("free", &json!({}), &json!({}));
    owned(&free, "kept");
    api.delete("/api/v1/namespaces/shop/configmaps/top").ok();
    api.delete("/api/v1/namespaces/shop/configmaps/free?propagationPolicy=Orphan").ok();
    let left = api.get("/api/v1/namespaces/shop/configmaps").ok();
    let names: Vec<&str> =
        left["items"].as_array().unwrap().iter().map(|o| o["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["kept"]);
    assert_eq!(left["items"][0]["metadata"]["ownerReferences"], json!(null));
}

#[test]
fn preconditions_guard_deletions() {
    let api = Api::start();
    api.config_map("a", &json!({}), &json!({}));
    let path = "/api/v1/namespaces/shop/configmaps/a";
    for preconditions in [json!({"uid": "other"}), json!({"resourceVersion": "999"})] {
        let answer = api.send("DELETE", path, &json!({"preconditions": preconditions}));
        assert_eq!((answer.code, answer.reason()), (409, "Conflict".into()));
    }
    assert_eq!(api.get(path).code, 200);
}

#[test]
fn collections_are_deleted_by_selector() {
    let api = Api::start();
    for (name, app) in [("a", "x"), ("b", "y"), ("c", "x")] {
        api.config_map(name, &json!({"app": app}), &json!({}));
    }
    let gone = api.delete("/api/v1/namespaces/shop/configmaps?labelSelector=app%3Dx").ok();
    assert_eq!(gone["items"].as_array().unwrap().len(), 2);
    assert_eq!(api.get("/api/v1/configmaps").ok()["items"][0]["metadata"]["name"], "b");
}

#[test]
fn a_namespace_goes_with_everything_in_it() {
    let api = Api::start();
    api.send("POST", "/api/v1/namespaces", &json!({"metadata": {"name": "shop"}})).ok();
    api.config_map("a", &json!({}), &json!({}));
    let mut watch = api.watch("/api/v1/namespaces?watch=1&fieldSelector=metadata.name%3Dshop");
    assert_eq!(watch.event().0, "ADDED");
    let marked = api.delete("/api/v1/namespaces/shop").ok();
    assert_eq!(marked["status"]["phase"], "Terminating");
    while watch.event().0 != "DELETED" {}
    assert_eq!(api.get("/api/v1/namespaces/shop/configmaps/a").code, 404);
    assert_eq!(api.delete("/api/v1/namespaces/default").code, 404);
}

#[test]
fn status_and_scale_are_written_on_their_own() {
    let api = Api::start();
    let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "echo"}]}});
    let body = json!({"metadata": {"name": "a"}, "spec": {"replicas": 1,
        "selector": {"matchLabels": {"app": "a"}}, "template": template}, "status": {"replicas": 7}});
    let path = "/apis/apps/v1/namespaces/shop/deployments";
    let made = api.send("POST", path, &body).ok();
    assert_eq!(made["status"], json!(null));
    let path = format!("{path}/a");
    let mut with_status = made.clone();
    with_status["status"] = json!({"replicas": 1, "readyReplicas": 1});
    with_status["spec"]["replicas"] = 5.into();
    let written = api.send("PUT", &format!("{path}/status"), &with_status).ok();
    assert_eq!((&written["status"]["readyReplicas"], &written["spec"]["replicas"]), (&json!(1), &json!(1)));
    let scale = api.get(&format!("{path}/scale")).ok();
    assert_eq!(
        (&scale["kind"], &scale["spec"]["replicas"], &scale["status"]["selector"]),
        (&json!("Scale"), &json!(1), &json!("app=a"))
    );
    let scaled = api.patch(&format!("{path}/scale"), "merge", &json!({"spec": {"replicas": 3}})).ok();
    assert_eq!(scaled["spec"]["replicas"], 3);
    let now = api.get(&path).ok();
    assert_eq!((&now["spec"]["replicas"], &now["status"]["replicas"]), (&json!(3), &json!(1)));
    assert_eq!(api.patch(&format!("{path}/scale"), "merge", &json!({"spec": {"replicas": -1}})).code, 422);
}
