//! Lists: selectors, pieces, versions.

use serde_json::json;

use crate::support::Api;

const PATH: &str = "/api/v1/namespaces/shop/configmaps";

fn names(list: &serde_json::Value) -> Vec<String> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn pieces_of_a_list_come_from_one_moment() {
    let api = Api::start();
    for name in ["a", "b", "c", "d", "e"] {
        api.config_map(name, &json!({}), &json!({}));
    }
    let first = api.get(&format!("{PATH}?limit=2")).ok();
    assert_eq!(
        (names(&first), &first["metadata"]["remainingItemCount"]),
        (vec!["a".into(), "b".into()], &json!(3))
    );
    // What happens in between is not seen.
    api.delete(&format!("{PATH}/d")).ok();
    api.config_map("c2", &json!({}), &json!({}));
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = api.get(&format!("{PATH}?limit=2&continue={token}")).ok();
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let token = second["metadata"]["continue"].as_str().unwrap();
    let third = api.get(&format!("{PATH}?limit=2&continue={token}")).ok();
    assert_eq!((names(&third), &third["metadata"]["continue"]), (vec!["e".to_owned()], &json!(null)));
    assert_eq!(api.get(&format!("{PATH}?limit=2&continue=rubbish")).code, 400);
    let old = api.get(&format!("{PATH}?continue=eyJpZCI6MSwibmV4dCI6Mn0"));
    assert_eq!((old.code, old.reason()), (410, "Expired".into()));
}

#[test]
fn selectors_select() {
    let api = Api::start();
    api.config_map("a", &json!({"app": "x", "tier": "1"}), &json!({}));
    api.config_map("b", &json!({"app": "y"}), &json!({}));
    let select = |query: &str| names(&api.get(&format!("{PATH}?{query}")).ok());
    assert_eq!(select("labelSelector=app+in+(x,y),!tier"), ["b"]);
    assert_eq!(select("fieldSelector=metadata.name%3Da"), ["a"]);
    assert_eq!(select("fieldSelector=metadata.name!%3Da&labelSelector=app"), ["b"]);
    assert_eq!(api.get(&format!("{PATH}?labelSelector=a+in+(b")).reason(), "BadRequest");
    assert_eq!(api.get(&format!("{PATH}?fieldSelector=spec.x%3Da")).reason(), "BadRequest");
}

#[test]
fn versions_are_exact_or_new_enough() {
    let api = Api::start();
    api.config_map("a", &json!({}), &json!({}));
    let version = api.get(PATH).ok()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    for fine in ["0", &version, "1"] {
        assert_eq!(api.get(&format!("{PATH}?resourceVersion={fine}")).code, 200);
    }
    let exact = |v: &str| api.get(&format!("{PATH}?resourceVersionMatch=Exact&resourceVersion={v}"));
    assert_eq!(exact(&version).code, 200);
    api.config_map("b", &json!({}), &json!({}));
    assert_eq!((exact(&version).code, exact("0").code, exact("").code), (410, 400, 400));
    let future = api.get(&format!("{PATH}?resourceVersion=999999"));
    assert_eq!((future.code, future.reason()), (504, "Timeout".into()));
    assert_eq!(future.body["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    assert_eq!(api.get(&format!("{PATH}?resourceVersion=x")).code, 400);
}

#[test]
fn metadata_alone_can_be_asked_for() {
    let api = Api::start();
    api.config_map("a", &json!({}), &json!({"k": "1"}));
    let accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let list = api.request("GET", PATH, &[("accept", accept)], b"").ok();
    assert_eq!(
        (&list["kind"], &list["items"][0]["kind"]),
        (&json!("PartialObjectMetadataList"), &json!("PartialObjectMetadata"))
    );
    assert_eq!(
        (&list["items"][0]["metadata"]["name"], &list["items"][0]["data"]),
        (&json!("a"), &json!(null))
    );
}
