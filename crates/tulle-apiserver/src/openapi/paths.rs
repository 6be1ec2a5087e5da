//! Where the objects of a kind are, and what can be asked there.

use serde_json::{Map, Value, json};
use tulle_api::kind::KindInfo;
use tulle_api::status;

use super::components::{Names, general, reference};
use super::path;

/// Adds the paths of a kind.
pub(super) fn add(info: &KindInfo, version: &str, names: &Names, paths: &mut Map<String, Value>) {
    let root = format!("/{}", path(info.group, version));
    let kind = Operations { info, version, names };
    let collection = if info.namespaced {
        let mut everywhere = Map::new();
        everywhere.insert("get".into(), kind.list());
        paths.insert(format!("{root}/{}", info.plural), Value::Object(everywhere));
        format!("{root}/namespaces/{{namespace}}/{}", info.plural)
    } else {
        format!("{root}/{}", info.plural)
    };
    let within =
        if info.namespaced { vec![in_path("namespace", "Namespace of the object.")] } else { Vec::new() };
    paths.insert(collection.clone(), kind.collection(&within));
    let mut of_one = within;
    of_one.push(in_path("name", "Name of the object."));
    let one = format!("{collection}/{{name}}");
    if status::record(info).is_some() {
        paths.insert(format!("{one}/status"), kind.one(&of_one, false));
    }
    paths.insert(one, kind.one(&of_one, true));
}

struct Operations<'a> {
    info: &'a KindInfo,
    version: &'a str,
    names: &'a Names,
}

impl Operations<'_> {
    /// What can be asked of all objects in one place.
    fn collection(&self, within: &[Value]) -> Value {
        json!({
            "parameters": within,
            "get": self.list(),
            "post": self.write("post", "Makes an object.", WRITING),
            "delete": self.operation(
                "deletecollection", "Deletes the objects that are selected.", LISTING, None, &general("Status"),
            ),
        })
    }

    /// What can be asked of one object, or of its status.
    fn one(&self, within: &[Value], deletable: bool) -> Value {
        let object = &self.names.object;
        let mut item = json!({
            "parameters": within,
            "get": self.operation("get", "Reads the object.", &[], None, object),
            "put": self.write("put", "Replaces the object.", WRITING),
            "patch": self.operation(
                "patch", "Changes parts of the object.", PATCHING, Some(self.patches()), object,
            ),
        });
        if deletable {
            let body = json!({"*/*": {"schema": reference(&general("DeleteOptions"))}});
            item["delete"] =
                self.operation("delete", "Deletes the object.", DELETING, Some(body), &general("Status"));
        }
        item
    }

    fn list(&self) -> Value {
        self.operation("list", "Lists or watches objects.", LISTING, None, &self.names.list)
    }

    fn write(&self, action: &str, doc: &str, parameters: &[Parameter]) -> Value {
        let body = json!({"*/*": {"schema": reference(&self.names.object)}});
        self.operation(action, doc, parameters, Some(body), &self.names.object)
    }

    /// The kinds of patches that the objects take: strategic merge patches only where Kubernetes takes them.
    fn patches(&self) -> Value {
        let mut types = vec![
            "application/apply-patch+yaml",
            "application/json-patch+json",
            "application/merge-patch+json",
        ];
        if tulle_api::crd::categories(self.info).is_empty() {
            types.push("application/strategic-merge-patch+json");
        }
        let schema = json!({"schema": reference(&general("Patch"))});
        types.into_iter().map(|t| (t.to_owned(), schema.clone())).collect::<Map<_, _>>().into()
    }

    fn operation(
        &self,
        action: &str,
        doc: &str,
        parameters: &[Parameter],
        body: Option<Value>,
        answer: &str,
    ) -> Value {
        let parameters: Vec<Value> = parameters.iter().chain(ANY).map(Parameter::write).collect();
        let mut operation = json!({
            "description": doc,
            "parameters": parameters,
            "responses": {"200": {
                "description": "OK",
                "content": {"application/json": {"schema": reference(answer)}},
            }},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind":
                {"group": self.info.group, "version": self.version, "kind": self.info.kind},
        });
        if let Some(content) = body {
            operation["requestBody"] = json!({"content": content});
        }
        operation
    }
}

fn in_path(name: &str, doc: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "description": doc, "schema": {"type": "string"}})
}

/// A parameter of the query.
struct Parameter {
    name: &'static str,
    ty: &'static str,
    doc: &'static str,
}

impl Parameter {
    const fn new(name: &'static str, ty: &'static str, doc: &'static str) -> Self {
        Self { name, ty, doc }
    }

    fn write(&self) -> Value {
        json!({"name": self.name, "in": "query", "description": self.doc, "schema": {"type": self.ty}})
    }
}

const DRY_RUN: Parameter = Parameter::new("dryRun", "string", "All, to try the request only.");
const MANAGER: Parameter = Parameter::new("fieldManager", "string", "Who owns the fields that are written.");
const VALIDATION: Parameter = Parameter::new(
    "fieldValidation",
    "string",
    "What unknown fields mean: Ignore, Warn (default) or Strict.",
);
const ANY: &[Parameter] = &[Parameter::new("pretty", "string", "Whether the answer is indented.")];
const WRITING: &[Parameter] = &[DRY_RUN, MANAGER, VALIDATION];
const PATCHING: &[Parameter] = &[
    DRY_RUN,
    MANAGER,
    VALIDATION,
    Parameter::new("force", "boolean", "Whether an apply takes fields from their owners."),
];
const DELETING: &[Parameter] = &[
    DRY_RUN,
    Parameter::new("gracePeriodSeconds", "integer", "Seconds that the object has to go away."),
    Parameter::new("propagationPolicy", "string", "What becomes of the objects that it owns."),
];
const LISTING: &[Parameter] = &[
    Parameter::new("labelSelector", "string", "Labels that the objects must have."),
    Parameter::new("fieldSelector", "string", "Fields that the objects must have."),
    Parameter::new("limit", "integer", "Most objects of one answer."),
    Parameter::new("continue", "string", "What the answer before said to go on with."),
    Parameter::new("resourceVersion", "string", "Version from which is read or watched."),
    Parameter::new("resourceVersionMatch", "string", "How the version is meant: Exact or NotOlderThan."),
    Parameter::new("watch", "boolean", "Whether changes are sent as they happen."),
    Parameter::new("allowWatchBookmarks", "boolean", "Whether versions are sent between changes."),
    Parameter::new("sendInitialEvents", "boolean", "Whether a watch begins with what there is."),
    Parameter::new("timeoutSeconds", "integer", "Seconds after which a watch ends."),
];
