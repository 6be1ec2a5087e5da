//! Tables, as kubectl prints them, and the documents that explain the kinds.

use serde_json::{Value, json};

use crate::support::Api;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

#[test]
fn lists_and_watches_come_as_tables() {
    let api = Api::start();
    api.config_map("a", &json!({}), &json!({"k": "1"}));
    let path = "/api/v1/namespaces/shop/configmaps";
    let table = api.request("GET", path, &[("accept", TABLE)], b"").ok();
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    let columns: Vec<&str> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(columns, ["Name", "Data", "Age"]);
    let row = &table["rows"][0];
    assert_eq!((&row["cells"][0], &row["cells"][1]), (&json!("a"), &json!(1)));
    assert_eq!(
        (&row["object"]["kind"], &row["object"]["data"]),
        (&json!("PartialObjectMetadata"), &Value::Null)
    );
    let whole = api.request("GET", &format!("{path}?includeObject=Object"), &[("accept", TABLE)], b"").ok();
    assert_eq!(whole["rows"][0]["object"]["data"]["k"], "1");
    let one = api.request("GET", &format!("{path}/a"), &[("accept", TABLE)], b"").ok();
    assert_eq!(one["rows"][0]["cells"][0], "a");
    let mut watch = api.watch_with(&format!("{path}?watch=1"), &format!("accept: {TABLE}\r\n"));
    let first = watch.next().unwrap();
    assert_eq!((&first["type"], &first["object"]["rows"][0]["cells"][0]), (&json!("ADDED"), &json!("a")));
    assert!(first["object"]["columnDefinitions"].is_array());
    api.delete(&format!("{path}/a")).ok();
    let gone = watch.next().unwrap();
    assert_eq!((&gone["type"], &gone["object"]["columnDefinitions"]), (&json!("DELETED"), &Value::Null));
}

#[test]
fn kinds_are_explained() {
    let api = Api::start();
    let index = api.get("/openapi/v3").ok();
    let url = index["paths"]["apis/networking.istio.io/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let document = api.get(&url).ok();
    assert_eq!(document["openapi"], "3.0.0");
    let path = "/apis/networking.istio.io/v1/namespaces/{namespace}/virtualservices/{name}";
    assert!(
        document["paths"][path]["patch"].is_object(),
        "{:?}",
        document["paths"].as_object().unwrap().keys()
    );
    assert_eq!(api.get("/openapi/v3/apis/nothing/v1").reason(), "NotFound");
}
