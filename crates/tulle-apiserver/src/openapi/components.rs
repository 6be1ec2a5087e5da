//! The schemas of a document: one for each kind, one for each record, and those that all documents have.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tulle_api::crd;
use tulle_api::kind::{Body, KindInfo};
use tulle_api::meta::ObjectMeta;
use tulle_api::schema::{Record as _, RecordInfo, Referred, Schemas, description};
use tulle_api::status;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/// Names of the schemas of a kind.
pub(super) struct Names {
    /// Of its objects.
    pub(super) object: String,
    /// Of lists of them.
    pub(super) list: String,
}

/// The schemas that were asked for so far.
pub(super) struct Components {
    prefix: String,
    schemas: Map<String, Value>,
    /// By name and documentation of a record, the name of its schema.
    records: BTreeMap<(&'static str, &'static str), String>,
}

impl Components {
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix, schemas: shared(), records: BTreeMap::new() }
    }

    pub(super) fn finish(self) -> Map<String, Value> {
        self.schemas
    }

    /// Adds a kind and the list of it.
    pub(super) fn kind(&mut self, info: &'static KindInfo, version: &str) -> Names {
        let name = format!("{}.{}", self.prefix, info.kind);
        let names = Names { list: format!("{name}List"), object: name };
        let gvk = |kind: String| json!([{"group": info.group, "version": version, "kind": kind}]);
        let mut object = self.object(info);
        object["x-kubernetes-group-version-kind"] = gvk(info.kind.to_owned());
        let mut list = json!({
            "type": "object",
            "description": format!("A list of {} objects.", info.kind),
            "required": ["items"],
            "properties": {
                "items": {"type": "array", "description": "The objects.", "items": reference(&names.object)},
                "metadata": described(&format!("{META}.ListMeta"), "Version of the list and how to go on."),
            },
        });
        add_type(&mut list);
        list["x-kubernetes-group-version-kind"] = gvk(format!("{}List", info.kind));
        self.schemas.insert(names.object.clone(), object);
        self.schemas.insert(names.list.clone(), list);
        names
    }

    fn object(&mut self, info: &'static KindInfo) -> Value {
        let mut object = match info.body {
            Body::Top => self.of_record(info.record),
            Body::Spec => {
                let spec = self.body(info);
                let doc = description(info.record.doc);
                let required = crd::schema(info).get("required").cloned();
                let mut object = json!({"type": "object", "description": doc, "properties": {"spec": described(&spec, &doc)}});
                if let Some(required) = required {
                    object["required"] = required;
                }
                object
            }
        };
        add_type(&mut object);
        object["properties"]["metadata"] =
            described(&self.record(ObjectMeta::INFO), "What every object has.");
        if let Some(table) = status::record(info) {
            let name = self.record(table);
            object["properties"]["status"] = described(&name, "What components report.");
        }
        object
    }

    /// Adds what is below `spec` of a kind; says the name.
    fn body(&mut self, info: &'static KindInfo) -> String {
        if info.record.name != info.kind {
            return self.record(info.record);
        }
        // The listing has the name of the kind, which is that of the whole object here.
        let name = format!("{}.{}Spec", self.prefix, info.kind);
        self.records.insert((info.record.name, info.record.doc), name.clone());
        let schema = self.of_record(info.record);
        self.schemas.insert(name.clone(), schema);
        name
    }

    /// Adds a record if it is not there yet; says the name.
    fn record(&mut self, info: &'static RecordInfo) -> String {
        self.named(info.name, info.doc, |s| s.of_record(info))
    }

    fn named(
        &mut self,
        name: &'static str,
        doc: &'static str,
        schema: impl FnOnce(&mut Self) -> Value,
    ) -> String {
        if let Some(known) = self.records.get(&(name, doc)) {
            return known.clone();
        }
        let general = ["ObjectMeta", "OwnerReference"].contains(&name);
        let prefix = if general { META } else { &self.prefix };
        let mut full = format!("{prefix}.{name}");
        // Two listings may have the same name in different rooms.
        let mut number = 2;
        while self.records.values().any(|taken| *taken == full) {
            full = format!("{prefix}.{name}{number}");
            number += 1;
        }
        self.records.insert((name, doc), full.clone());
        let schema = schema(self);
        self.schemas.insert(full.clone(), schema);
        full
    }
}

impl Schemas for Components {
    fn refer(&mut self, to: Referred) -> Option<Value> {
        let name = match to {
            Referred::Record(info) => self.record(info),
            Referred::Oneof(info) => self.named(info.name, info.doc, |s| s.of_oneof(info)),
            Referred::IntOrString => INT_OR_STRING.to_owned(),
        };
        Some(reference(&name))
    }

    fn patches(&self) -> bool {
        true
    }
}

pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn described(name: &str, doc: &str) -> Value {
    json!({"allOf": [reference(name)], "description": doc})
}

fn add_type(object: &mut Value) {
    object["properties"]["apiVersion"] =
        json!({"type": "string", "description": "Group and version, such as 'apps/v1'."});
    object["properties"]["kind"] = json!({"type": "string", "description": "Kind, such as 'Deployment'."});
}

/// Schemas that every document has.
fn shared() -> Map<String, Value> {
    let text = |doc: &str| json!({"type": "string", "description": doc});
    let number = |doc: &str| json!({"type": "integer", "format": "int64", "description": doc});
    let object = |doc: &str, properties: Value| json!({"type": "object", "description": doc, "properties": properties});
    let list = object(
        "Version of a list, and how to go on.",
        json!({
            "resourceVersion": text("Version of the list, from which it can be watched."),
            "continue": text("What to send to get the rest of the list."),
            "remainingItemCount": number("How many objects the rest has."),
            "selfLink": text("Link to itself, of old API versions."),
        }),
    );
    let status = object(
        "What became of a request.",
        json!({
            "apiVersion": text("v1"),
            "kind": text("Status"),
            "metadata": described(&format!("{META}.ListMeta"), "Version and the like."),
            "status": text("Success or Failure."),
            "message": text("What happened, in a sentence."),
            "reason": text("Why, in one word."),
            "code": {"type": "integer", "format": "int32", "description": "Status code of the answer."},
            "details": {"type": "object", "description": "The object and the fields that it is about.",
                "x-kubernetes-preserve-unknown-fields": true},
        }),
    );
    let options = object(
        "How an object is deleted.",
        json!({
            "apiVersion": text("v1"),
            "kind": text("DeleteOptions"),
            "dryRun": {"type": "array", "items": {"type": "string"}, "description": "All, to try it only."},
            "gracePeriodSeconds": number("Seconds that the object has to go away."),
            "propagationPolicy": text("What becomes of the objects that it owns: Orphan, Background or Foreground."),
            "preconditions": {"type": "object", "description": "What must hold: uid, resourceVersion.",
                "additionalProperties": {"type": "string"}},
        }),
    );
    let event = object(
        "A change of a watched object.",
        json!({
            "type": text("ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."),
            "object": {"description": "The object.", "x-kubernetes-preserve-unknown-fields": true},
        }),
    );
    let patch = json!({"type": "object", "description": "A patch of one of the kinds that its media type names.",
        "x-kubernetes-preserve-unknown-fields": true});
    let either = json!({"description": "A number or a text.", "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}]});
    let mut out = Map::new();
    for (name, schema) in [
        ("ListMeta", list),
        ("Status", status),
        ("DeleteOptions", options),
        ("WatchEvent", event),
        ("Patch", patch),
    ] {
        out.insert(format!("{META}.{name}"), schema);
    }
    out.insert(INT_OR_STRING.to_owned(), either);
    out
}

/// Name of a schema that every document has.
pub(super) fn general(name: &str) -> String {
    format!("{META}.{name}")
}
