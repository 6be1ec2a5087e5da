//! The documents under `/openapi/v3`: an index, and for each group and version what its kinds look like and where they are.
//! From them clients explain fields, make patches, and learn which parameters the server takes. Older clients read the
//! one document under `/openapi/v2`.

mod components;
mod paths;
mod protobuf;
mod v2;

pub use protobuf::protobuf;
pub use v2::v2;

use serde_json::{Map, Value, json};
use tulle_api::Kind;
use tulle_api::kind::KindInfo;

use components::Components;

/// The index, served under `/openapi/v3`. Each entry has a hash of its document, so that clients keep what they have read.
pub fn index() -> Value {
    let mut paths = Map::new();
    for (group, version) in group_versions() {
        let Some(document) = document(group, version) else { continue };
        let path = path(group, version);
        let hash = fingerprint(&document.to_string());
        let url = format!("/openapi/v3/{path}?hash={hash:016X}");
        paths.insert(path, json!({"serverRelativeURL": url}));
    }
    json!({"paths": paths})
}

/// The document of a group (empty for the core group) and version, served under `/openapi/v3/api/v1` or
/// `/openapi/v3/apis/GROUP/VERSION`; `None` if there is no such group and version.
pub fn document(group: &str, version: &str) -> Option<Value> {
    let kinds = kinds(group, version);
    let first = kinds.first()?;
    let prefix = prefix(first.group, version);
    let mut components = Components::new(prefix);
    let mut paths = Map::new();
    for info in kinds {
        let names = components.kind(info, version);
        paths::add(info, version, &names, &mut paths);
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Tulle", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": components.finish()},
    }))
}

/// Every group and version with kinds.
pub fn group_versions() -> Vec<(&'static str, &'static str)> {
    let mut all: Vec<_> = Kind::ALL
        .iter()
        .map(|k| k.info())
        .flat_map(|info| info.versions.iter().map(|v| (info.group, *v)))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn kinds(group: &str, version: &str) -> Vec<&'static KindInfo> {
    Kind::ALL
        .iter()
        .map(|k| k.info())
        .filter(|info| info.group == group && info.versions.contains(&version))
        .collect()
}

/// Where a group and version is served, without the slash before it.
fn path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// What the names of schemas begin with: as Kubernetes names its own, the reversed group for others.
fn prefix(group: &str, version: &str) -> String {
    let own = match group.split_once('.') {
        None if group.is_empty() => Some("core"),
        None => Some(group),
        Some((name, "k8s.io" | "authorization.k8s.io")) => Some(name),
        Some(_) => None,
    };
    match own {
        Some(name) => format!("io.k8s.api.{name}.{version}"),
        None => {
            let reversed: Vec<&str> = group.rsplit('.').collect();
            format!("{}.{version}", reversed.join("."))
        }
    }
}

/// FNV-1a, 64 bits: the documents are ours, so nobody makes two of them collide.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reference leads somewhere, and every kind is found by group, version and kind.
    #[test]
    fn documents_are_complete() {
        for (group, version) in group_versions() {
            let document = document(group, version).unwrap();
            let schemas = document["components"]["schemas"].as_object().unwrap();
            let mut references = Vec::new();
            collect(&document, &mut references);
            assert!(references.len() > 20);
            for reference in references {
                let name = reference.strip_prefix("#/components/schemas/").unwrap();
                assert!(schemas.contains_key(name), "{group}/{version}: {reference} leads nowhere");
            }
            for info in kinds(group, version) {
                let gvk = json!([{"group": group, "version": version, "kind": info.kind}]);
                let found = schemas.values().filter(|s| s["x-kubernetes-group-version-kind"] == gvk).count();
                assert_eq!(found, 1, "{group}/{version} {}", info.kind);
            }
        }
    }

    fn collect<'v>(value: &'v Value, out: &mut Vec<&'v str>) {
        match value {
            Value::Object(map) => {
                out.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|v| collect(v, out));
            }
            Value::Array(list) => list.iter().for_each(|v| collect(v, out)),
            _ => {}
        }
    }

    /// kubectl asks the first PATCH that it finds for a kind, so each must have every parameter.
    #[test]
    fn patches_take_the_parameters_that_clients_look_for() {
        for (group, version) in group_versions() {
            let document = document(group, version).unwrap();
            for (path, item) in document["paths"].as_object().unwrap() {
                let Some(patch) = item.get("patch") else { continue };
                let names: Vec<_> = patch["parameters"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|p| p["name"].as_str().unwrap())
                    .collect();
                for name in ["dryRun", "fieldValidation", "fieldManager", "force"] {
                    assert!(names.contains(&name), "{path}: {name}");
                }
            }
        }
    }

    #[test]
    fn fields_refer_to_their_types() {
        let document = document("apps", "v1").unwrap();
        let schema = |name: &str| document["components"]["schemas"][name].clone();
        let deployment = schema("io.k8s.api.apps.v1.Deployment");
        let spec = &deployment["properties"]["spec"]["allOf"][0]["$ref"];
        assert_eq!(spec, "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec");
        let containers = &schema("io.k8s.api.apps.v1.PodSpec")["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
        assert_eq!(containers["items"]["$ref"], "#/components/schemas/io.k8s.api.apps.v1.Container");
        let index = index();
        let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
        assert!(url.starts_with("/openapi/v3/apis/apps/v1?hash="), "{url}");
    }

    #[test]
    fn names_of_schemas() {
        assert_eq!(prefix("", "v1"), "io.k8s.api.core.v1");
        assert_eq!(prefix("discovery.k8s.io", "v1"), "io.k8s.api.discovery.v1");
        assert_eq!(prefix("networking.istio.io", "v1beta1"), "io.istio.networking.v1beta1");
        assert_eq!(prefix("gateway.networking.k8s.io", "v1"), "io.k8s.networking.gateway.v1");
    }
}
