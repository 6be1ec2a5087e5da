//! What the API says about itself.

use serde_json::{Value, json};

use crate::support::Api;

#[test]
fn every_kind_is_told_of_in_every_version() {
    let api = Api::start();
    assert_eq!(api.get("/api").ok()["versions"], json!(["v1"]));
    let groups = api.get("/apis").ok();
    let group = |name: &str| {
        groups["groups"].as_array().unwrap().iter().find(|g| g["name"] == name).cloned().unwrap()
    };
    assert_eq!(group("networking.istio.io")["preferredVersion"]["version"], "v1");
    assert_eq!(group("apps")["versions"][0]["groupVersion"], "apps/v1");
    for kind in tulle_api::Kind::ALL.iter().map(|k| k.info()) {
        for version in kind.versions {
            let path = if kind.group.is_empty() {
                format!("/api/{version}")
            } else {
                format!("/apis/{}/{version}", kind.group)
            };
            let list = api.get(&path).ok();
            let own = list["resources"]
                .as_array()
                .unwrap()
                .iter()
                .find(|r| r["name"] == kind.plural)
                .cloned()
                .unwrap();
            assert_eq!((&own["kind"], &own["namespaced"]), (&json!(kind.kind), &json!(kind.namespaced)));
            // What is told of is there.
            assert_eq!(
                api.get(&format!("{path}/{}", kind.plural)).ok()["kind"],
                format!("{}List", kind.kind)
            );
        }
    }
    for nothing in ["/apis/nothing", "/apis/apps/v2", "/api/v2", "/apis/apps/v1/nothing", "/nothing"] {
        assert_eq!(api.get(nothing).reason(), "NotFound", "{nothing}");
    }
}

#[test]
fn everything_is_in_one_document_if_that_is_wanted() {
    let api = Api::start();
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let answer = api.request("GET", "/apis", &[("accept", accept)], b"");
    assert_eq!(
        answer.headers["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    let list = answer.ok();
    let find = |items: &Value, key: &str, wanted: &str| {
        items
            .as_array()
            .unwrap()
            .iter()
            .find(|i| i.pointer(key).is_some_and(|v| v == wanted))
            .cloned()
            .unwrap()
    };
    let apps = find(&list["items"], "/metadata/name", "apps");
    let deployments = find(&apps["versions"][0]["resources"], "/resource", "deployments");
    assert_eq!(
        (&deployments["scope"], &deployments["shortNames"]),
        (&json!("Namespaced"), &json!(["deploy"]))
    );
    let scale = find(&deployments["subresources"], "/subresource", "scale");
    assert_eq!(scale["responseKind"], json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}));
    let core = api.request("GET", "/api", &[("accept", accept)], b"").ok();
    assert!(core["items"][0]["versions"][0]["resources"].as_array().unwrap().len() > 5);
}

/// kubectl before version 1.27 reads the document of OpenAPI v2, and only as protobuf messages.
#[test]
fn older_clients_get_their_document() {
    let api = Api::start();
    let document = api.get("/openapi/v2").ok();
    assert_eq!(document["swagger"], "2.0");
    let accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let answer = api.request("GET", "/openapi/v2", &[("accept", accept)], b"");
    assert_eq!(answer.code, 200);
    assert_eq!(answer.headers["content-type"], "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
}
