//! What the Kubernetes API does with applied objects, and properties that hold for all of them.

use proptest::prelude::*;
use serde_json::{Value, json};
use tulle_api::Kind;
use tulle_api::schema::Shape;
use tulle_api::value::Timestamp;

use super::{ApplyError, Managed, Writer, apply, update};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(1_785_578_400 + seconds)
}

fn shape() -> Shape {
    Shape::object(Kind::Deployment.info())
}

fn writer<'a>(manager: &'a str, now: &'a Timestamp) -> Writer<'a> {
    Writer { manager, subresource: "", now, shape: shape() }
}

fn applied(live: Option<&Value>, object: &Value, manager: &str, now: i64) -> Result<Value, ApplyError> {
    apply(live, object, false, &writer(manager, &at(now)))
}

fn updated(before: Option<&Value>, after: &Value, manager: &str, now: i64) -> Value {
    update(before, after, &writer(manager, &at(now)))
}

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": spec})
}

fn containers(list: Value) -> Value {
    deployment(json!({"template": {"spec": {"containers": list}}}))
}

/// Fields by manager.
fn owners(object: &Value) -> Vec<(String, Vec<String>)> {
    Managed::of(object).unwrap().0.into_iter().map(|e| (e.manager, e.fields.paths())).collect()
}

fn without_owners(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"].as_object_mut().unwrap().remove("managedFields");
    object
}

#[test]
fn an_applier_owns_what_it_applies() {
    let object = containers(json!([{"name": "c", "image": "x", "ports": [{"containerPort": 80}]}]));
    let live = applied(None, &object, "ci", 0).unwrap();
    assert_eq!(without_owners(&live), object);
    assert_eq!(
        live["metadata"]["managedFields"],
        json!([{
            "manager": "ci", "operation": "Apply", "apiVersion": "apps/v1", "time": "2026-08-01T10:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
                ".": {}, "f:name": {}, "f:image": {},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
            }}}}}},
        }])
    );
    // The same again changes nothing, not even the time.
    assert_eq!(applied(Some(&live), &object, "ci", 60).unwrap(), live);
}

#[test]
fn what_is_no_longer_applied_goes() {
    let first = containers(json!([{"name": "a", "image": "x", "tty": true}, {"name": "b", "image": "y"}]));
    let live = applied(None, &first, "ci", 0).unwrap();
    let second = containers(json!([{"name": "a", "image": "x"}]));
    let live = applied(Some(&live), &second, "ci", 1).unwrap();
    assert_eq!(without_owners(&live), second);
}

#[test]
fn what_others_own_stays() {
    let live = applied(None, &containers(json!([{"name": "a", "image": "x"}])), "ci", 0).unwrap();
    let mut edited = live.clone();
    edited["metadata"]["labels"] = json!({"team": "red"});
    edited["spec"]["template"]["spec"]["containers"][0]["tty"] = json!(true);
    let live = updated(Some(&live), &edited, "kubectl-edit", 1);
    assert_eq!(
        owners(&live)[1],
        (
            "kubectl-edit".into(),
            vec![
                ".metadata.labels".into(),
                ".metadata.labels.team".into(),
                ".spec.template.spec.containers[name=\"a\"].tty".into()
            ]
        )
    );
    // The container is left out, but somebody else has a field in it.
    let live = applied(Some(&live), &deployment(json!({"replicas": 2})), "ci", 2).unwrap();
    let expected = json!({"replicas": 2, "template": {"spec": {"containers": [{"name": "a", "tty": true}]}}});
    let mut expected_gone = expected.clone();
    expected_gone["template"]["spec"]["containers"][0].as_object_mut().unwrap().remove("name");
    assert!([&expected, &expected_gone].contains(&&live["spec"]), "{}", live["spec"]);
    assert_eq!(live["metadata"]["labels"], json!({"team": "red"}));
}

#[test]
fn both_own_what_both_apply() {
    let object = deployment(json!({"replicas": 2, "paused": true}));
    let live = applied(None, &object, "a", 0).unwrap();
    let live = applied(Some(&live), &deployment(json!({"replicas": 2})), "b", 1).unwrap();
    assert_eq!(
        owners(&live),
        [
            ("a".into(), vec![".spec.paused".into(), ".spec.replicas".into()]),
            ("b".into(), vec![".spec.replicas".into()])
        ]
    );
    let live = applied(Some(&live), &deployment(json!({})), "a", 2).unwrap();
    assert_eq!(live["spec"], json!({"replicas": 2}));
    let live = applied(Some(&live), &deployment(json!({})), "b", 3).unwrap();
    assert_eq!(live["spec"].get("replicas"), None);
}

#[test]
fn conflicts_name_the_other_manager() {
    let live = applied(None, &deployment(json!({"replicas": 1})), "ci", 0).unwrap();
    let mut scaled = live.clone();
    scaled["spec"]["replicas"] = json!(5);
    let live = updated(Some(&live), &scaled, "scaler", 1);
    assert_eq!(owners(&live), [("scaler".into(), vec![".spec.replicas".into()])]);

    let wanted = deployment(json!({"replicas": 2}));
    let error = applied(Some(&live), &wanted, "ci", 2).unwrap_err();
    let other = "\"scaler\" using apps/v1 at 2026-08-01T10:00:01Z";
    assert_eq!(
        error.to_string(),
        format!("Apply failed with 1 conflict: conflict with {other}: .spec.replicas")
    );
    let ApplyError::Conflicts(conflicts) = error else { panic!("{error:?}") };
    assert_eq!((conflicts[0].manager.as_str(), conflicts[0].field.as_str()), (other, ".spec.replicas"));

    let forced = apply(Some(&live), &wanted, true, &writer("ci", &at(2))).unwrap();
    assert_eq!(forced["spec"]["replicas"], 2);
    assert_eq!(owners(&forced), [("ci".into(), vec![".spec.replicas".into()])]);
    // An equal value is no conflict.
    assert!(applied(Some(&live), &deployment(json!({"replicas": 5})), "ci", 2).is_ok());
}

#[test]
fn many_conflicts_are_one_message() {
    let live = applied(None, &deployment(json!({"replicas": 1, "paused": true})), "a", 0).unwrap();
    let error =
        applied(Some(&live), &deployment(json!({"replicas": 2, "paused": false})), "b", 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"a\":\n- .spec.paused\n- .spec.replicas"
    );
}

#[test]
fn status_has_its_own_owner() {
    let live = applied(None, &deployment(json!({"replicas": 1})), "ci", 0).unwrap();
    let now = at(1);
    let mut after = live.clone();
    after["status"] = json!({"replicas": 1, "conditions": [{"type": "Available", "status": "True"}]});
    let controller = Writer { subresource: "status", ..writer("controller", &now) };
    let live = update(Some(&live), &after, &controller);
    let entry = &live["metadata"]["managedFields"][1];
    assert_eq!((&entry["subresource"], &entry["manager"]), (&json!("status"), &json!("controller")));
    // An object that is applied with a status says nothing about the status.
    let mut object = deployment(json!({"replicas": 1}));
    object["status"] = json!({"replicas": 7});
    assert_eq!(applied(Some(&live), &object, "ci", 2).unwrap(), live);
    // And the other way round.
    let mut of_status = object.clone();
    of_status["spec"]["replicas"] = json!(9);
    of_status["status"] = json!({"readyReplicas": 1});
    let after = apply(Some(&live), &of_status, false, &Writer { manager: "other", ..controller }).unwrap();
    assert_eq!((&after["spec"]["replicas"], &after["status"]["readyReplicas"]), (&json!(1), &json!(1)));
}

#[test]
fn objects_that_nobody_managed() {
    let live = deployment(json!({"replicas": 1, "paused": true}));
    let error = applied(Some(&live), &deployment(json!({"replicas": 2})), "ci", 0).unwrap_err();
    assert!(error.to_string().contains("\"before-first-apply\" using apps/v1"), "{error}");
    let after = applied(Some(&live), &deployment(json!({"replicas": 1})), "ci", 0).unwrap();
    assert_eq!(after["spec"], live["spec"]);
    assert_eq!(owners(&after).len(), 2);
    // Updates do not begin to manage it.
    assert_eq!(
        updated(Some(&live), &deployment(json!({"replicas": 3})), "m", 0)["metadata"].get("managedFields"),
        None
    );
}

#[test]
fn kubectl_takes_over_what_it_applied_on_the_client_s_side() {
    let object = deployment(json!({"replicas": 1}));
    let mut annotated = object.clone();
    annotated["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/last-applied-configuration": object.to_string()});
    let live = updated(None, &annotated, "kubectl-client-side-apply", 0);
    let wanted = deployment(json!({"replicas": 2}));
    assert!(applied(Some(&live), &wanted, "another", 1).is_err());
    let after = applied(Some(&live), &wanted, "kubectl", 1).unwrap();
    assert_eq!(after["spec"]["replicas"], 2);
    let noted = after["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].as_str();
    assert_eq!(serde_json::from_str::<Value>(noted.unwrap()).unwrap(), wanted);
    // Not what somebody else changed in between.
    let mut scaled = live.clone();
    scaled["spec"]["replicas"] = json!(5);
    let live = updated(Some(&live), &scaled, "scaler", 2);
    assert!(applied(Some(&live), &wanted, "kubectl", 3).is_err());
}

#[test]
fn clients_can_replace_the_entries() {
    let live = applied(None, &deployment(json!({"replicas": 1})), "ci", 0).unwrap();
    let mut reset = live.clone();
    reset["metadata"]["managedFields"] = json!([{}]);
    assert_eq!(owners(&updated(Some(&live), &reset, "m", 1)), []);
    let mut renamed = live.clone();
    renamed["metadata"]["managedFields"][0]["manager"] = json!("cd");
    assert_eq!(
        owners(&updated(Some(&live), &renamed, "m", 1)),
        [("cd".into(), vec![".spec.replicas".into()])]
    );
    let mut empty = live.clone();
    empty["metadata"]["managedFields"] = json!([]);
    assert_eq!(owners(&updated(Some(&live), &empty, "m", 1)), owners(&live));
}

#[test]
fn order_of_lists() {
    let names = |object: &Value| -> String {
        let list = object["spec"]["template"]["spec"]["containers"].as_array().unwrap();
        list.iter().map(|c| c["name"].as_str().unwrap()).collect()
    };
    let list = |names: &str| containers(names.chars().map(|c| json!({"name": c.to_string()})).collect());
    let live = applied(None, &list("abc"), "a", 0).unwrap();
    let live = applied(Some(&live), &list("xcy"), "b", 1).unwrap();
    assert_eq!(names(&live), "xabcy");
    let live = applied(Some(&live), &list("cba"), "a", 2).unwrap();
    assert_eq!(names(&live), "xcbay");
    assert_eq!(names(&applied(Some(&live), &list("cba"), "a", 3).unwrap()), names(&live));
}

#[test]
fn what_cannot_be_applied_is_named() {
    let problems = |object: &Value| match applied(None, object, "ci", 0) {
        Err(ApplyError::Invalid(problems)) => problems,
        other => panic!("{other:?}"),
    };
    let named = |object: Value| -> Vec<String> {
        problems(&object).into_iter().map(|(field, what)| format!("{field}: {what}")).collect()
    };
    assert_eq!(named(json!([])), [": must be a mapping"]);
    assert_eq!(
        named(containers(json!([{"image": "x"}, 5, {"name": "a"}, {"name": "a"}]))),
        [
            "spec.template.spec.containers[0]: must have name, which tells it apart",
            "spec.template.spec.containers[1]: must be a mapping, not 5",
            "spec.template.spec.containers[3]: is there twice: [name=\"a\"]",
        ]
    );
    assert_eq!(named(containers(json!("x"))), ["spec.template.spec.containers: must be a list"]);
    assert_eq!(named(deployment(json!(1))), ["spec: must be a mapping"]);
    let mut managed = deployment(json!({}));
    managed["metadata"]["managedFields"] = json!([{"manager": "m"}]);
    assert_eq!(named(managed), ["metadata.managedFields: must be left out of an object that is applied"]);
    assert!(super::check_manager(&"x".repeat(200)).is_err() && super::check_manager("a\nb").is_err());
}

/// Some of the fields of a Deployment: scalars, a mapping, a keyed list and one that is a single value.
fn objects() -> impl Strategy<Value = Value> {
    let labels = proptest::collection::btree_map("[a-c]", "[x-z]", 0..3);
    let container =
        (proptest::option::of("[x-z]"), proptest::option::of(proptest::collection::vec("[x-z]", 0..3)));
    let list = proptest::collection::btree_map("[a-d]", container, 0..4)
        .prop_map(|all| all.into_iter().collect::<Vec<_>>())
        .prop_shuffle();
    (proptest::option::of(0..3), proptest::option::of(labels), list).prop_map(|(replicas, labels, list)| {
        let mut object = deployment(json!({}));
        if let Some(replicas) = replicas {
            object["spec"]["replicas"] = json!(replicas);
        }
        if let Some(labels) = labels {
            object["metadata"]["labels"] = json!(labels);
        }
        let containers: Vec<Value> = list
            .into_iter()
            .map(|(name, (image, args))| {
                let mut container = json!({"name": name});
                image.into_iter().for_each(|image| container["image"] = json!(image));
                args.into_iter().for_each(|args| container["args"] = json!(args));
                container
            })
            .collect();
        if !containers.is_empty() {
            object["spec"]["template"] = json!({"spec": {"containers": containers}});
        }
        object
    })
}

/// An object after a history of applies.
fn history() -> impl Strategy<Value = Option<Value>> {
    let steps = proptest::collection::vec((objects(), "[a-c]", proptest::bool::ANY), 0..5);
    steps.prop_map(|steps| {
        let mut live: Option<Value> = None;
        for (i, (object, manager, by_apply)) in steps.into_iter().enumerate() {
            let now = at(i64::try_from(i).unwrap());
            let writer = writer(&manager, &now);
            live = Some(if by_apply {
                apply(live.as_ref(), &object, true, &writer).unwrap()
            } else {
                update(live.as_ref(), &object, &writer)
            });
        }
        live
    })
}

/// Whether all of `part` is in `whole`; elements of lists of containers are found by name.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(w), Value::Object(p)) => {
            p.iter().all(|(k, v)| w.get(k).is_some_and(|w| contains(w, v)))
        }
        (Value::Array(w), Value::Array(p)) if p.iter().all(Value::is_object) => {
            p.iter().all(|p| w.iter().any(|w| w["name"] == p["name"] && contains(w, p)))
        }
        _ => whole == part,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn applying_twice_is_applying_once(live in history(), object in objects()) {
        let once = apply(live.as_ref(), &object, true, &writer("m", &at(100))).unwrap();
        let twice = apply(Some(&once), &object, false, &writer("m", &at(200))).unwrap();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn what_was_applied_is_there_and_owned(live in history(), object in objects()) {
        let after = apply(live.as_ref(), &object, true, &writer("m", &at(100))).unwrap();
        prop_assert!(contains(&after, &object), "{} in {}", object, after);
        let mut fields = super::walk::fields(&object, &shape());
        super::UNOWNED.iter().for_each(|path| fields.cut(path));
        let owned = owners(&after).into_iter().find(|(m, _)| m == "m").map(|(_, f)| f).unwrap_or_default();
        prop_assert_eq!(owned, fields.paths());
    }

    #[test]
    fn disjoint_applies_commute(labels in "[a-c]", replicas in 0..5, image in "[x-z]", live in history()) {
        let mut first = deployment(json!({"replicas": replicas}));
        first["metadata"]["labels"] = json!({ labels: "first" });
        let second = containers(json!([{"name": "zz", "image": image}]));
        let both = |a: (&Value, &str), b: (&Value, &str)| {
            let one = apply(live.as_ref(), a.0, true, &writer(a.1, &at(100))).unwrap();
            apply(Some(&one), b.0, true, &writer(b.1, &at(100))).unwrap()
        };
        prop_assert_eq!(both((&first, "p"), (&second, "q")), both((&second, "q"), (&first, "p")));
    }

    #[test]
    fn owners_are_written_as_they_are_read(live in history()) {
        for entry in live.iter().flat_map(|l| Managed::of(l).unwrap().0) {
            let set = &entry.fields;
            prop_assert_eq!(&super::Set::from_json(&set.to_json()).unwrap(), set);
        }
    }

    #[test]
    fn nothing_panics(text in "[\\PC]{0,40}", object in objects(), live in history()) {
        let junk = serde_json::from_str(&text).unwrap_or(json!({"apiVersion": 1, "spec": [text], "metadata": null}));
        let _ = apply(live.as_ref(), &junk, true, &writer("m", &at(1)));
        let _ = apply(Some(&junk), &object, false, &writer("m", &at(1)));
        update(Some(&junk), &object, &writer("m", &at(1)));
        update(live.as_ref(), &junk, &writer("m", &at(1)));
    }
}
