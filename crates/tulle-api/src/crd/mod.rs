//! Custom resource definitions (`apiextensions.k8s.io/v1`) for the kinds that configure the mesh, from their tables.

mod columns;

pub use columns::{PrinterColumn, columns};

use serde_json::{Map, Value, json};

use crate::kind::{Body, Kind, KindInfo};
use crate::schema::{Referred, Schemas, description};
use crate::status::{self, is_mesh};

/// The definitions of all kinds of the mesh, in the order of the table of kinds.
pub fn all() -> Vec<Value> {
    Kind::ALL.iter().map(|k| k.info()).filter(|info| is_mesh(info.group)).map(definition).collect()
}

/// The definition of a kind. Its preferred version is the stored one; all versions have the same schema.
pub fn definition(info: &'static KindInfo) -> Value {
    let mut metadata = json!({"name": format!("{}.{}", info.plural, info.group)});
    if info.group.ends_with(".k8s.io") {
        // Kubernetes asks for this annotation in its own groups.
        metadata["annotations"] = json!({
            "api-approved.kubernetes.io": "unapproved, the schema is generated from Tulle's own tables",
        });
    }
    let schema = schema(info);
    let versions: Vec<Value> = info.versions.iter().map(|v| version(info, v, &schema)).collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {
            "group": info.group,
            "names": names(info),
            "scope": if info.namespaced { "Namespaced" } else { "Cluster" },
            "versions": versions,
        },
    })
}

fn names(info: &KindInfo) -> Value {
    let mut names = json!({
        "kind": info.kind,
        "listKind": format!("{}List", info.kind),
        "plural": info.plural,
        "singular": info.kind.to_ascii_lowercase(),
        "categories": categories(info),
    });
    if !info.short.is_empty() {
        names["shortNames"] = json!(info.short);
    }
    names
}

/// Names under which clients list the kind together with others, such as `kubectl get istio-io`.
pub fn categories(info: &KindInfo) -> Vec<String> {
    match info.group.strip_suffix(".istio.io") {
        Some(area) => vec!["istio-io".to_owned(), format!("{area}-istio-io")],
        None if info.group.starts_with("gateway.networking.") => vec!["gateway-api".to_owned()],
        None => Vec::new(),
    }
}

fn version(info: &KindInfo, name: &str, schema: &Value) -> Value {
    let mut version = json!({
        "name": name,
        "served": true,
        "storage": name == info.versions[0],
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": columns(info).iter().map(column).collect::<Vec<_>>(),
    });
    if status::record(info).is_some() {
        version["subresources"] = json!({"status": {}});
    }
    version
}

fn column(column: &PrinterColumn) -> Value {
    let mut written = json!({
        "name": column.name, "type": column.column_type, "description": column.description,
        "jsonPath": column.path,
    });
    if column.priority > 0 {
        written["priority"] = json!(column.priority);
    }
    written
}

/// The structural schema of a kind's objects.
pub fn schema(info: &'static KindInfo) -> Value {
    let mut schemas = Structural;
    let mut properties = Map::new();
    let mut required = Vec::new();
    let body = schemas.of_record(info.record);
    match info.body {
        Body::Spec => {
            if body.get("required").is_some() {
                required.push(json!("spec"));
            }
            properties.insert("spec".into(), body);
        }
        Body::Top => {
            required.extend(body.get("required").and_then(Value::as_array).cloned().unwrap_or_default());
            if let Some(fields) = body.get("properties").and_then(Value::as_object) {
                properties.extend(fields.clone());
            }
        }
    }
    for (name, doc) in [("apiVersion", "Group and version."), ("kind", "Kind.")] {
        properties.insert(name.into(), json!({"type": "string", "description": doc}));
    }
    properties.insert("metadata".into(), json!({"type": "object"}));
    if let Some(table) = status::record(info) {
        let mut status = schemas.of_record(table);
        // Statuses are written by components of several versions; what they say more than this is kept.
        status["x-kubernetes-preserve-unknown-fields"] = json!(true);
        properties.insert("status".into(), status);
    }
    let mut schema = json!({
        "type": "object", "description": description(info.record.doc), "properties": properties,
    });
    if !required.is_empty() {
        schema["required"] = Value::Array(required);
    }
    schema
}

/// Writes every record where it is used, as structural schemas have no references.
struct Structural;

impl Schemas for Structural {
    fn refer(&mut self, _: Referred) -> Option<Value> {
        None
    }

    fn patches(&self) -> bool {
        false
    }
}
