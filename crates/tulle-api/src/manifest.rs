//! From files to objects: every problem of every document, with its line.

use std::sync::Arc;

use serde_json::Value;
use tulle_base::nearest::nearest;
use tulle_base::{Diagnostic, Diagnostics, FieldPath, ResourceRef, Severity, SourceSpan};

use crate::fragment;
use crate::kind::{Body, Kind, KindInfo, Spec};
use crate::mesh;
use crate::meta::ObjectMeta;
use crate::node::{Data, Entry, Node};
use crate::object::Object;
use crate::schema::{At, Context, Field};
use crate::unsupported;
use crate::validate;
use crate::yaml::{self, MAX_BYTES, Problem};

/// Namespace of objects that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Reads every object of a file (YAML or JSON, any number of documents, `List`s too).
///
/// A document with errors gives diagnostics and no object; the others are read all the same. One that is only a part of a
/// resource gives a warning that says so and what it lacks, and no object either. Objects that name no
/// namespace are in `default`. `file` is the name for diagnostics; the file itself is not touched.
pub fn parse_manifests(file: &str, bytes: &[u8]) -> (Vec<Object>, Diagnostics) {
    let file: Arc<str> = file.into();
    let mut reader = Reader { file, objects: Vec::new(), diagnostics: Vec::new(), unknown: None };
    if bytes.len() > MAX_BYTES {
        let message = format!("is larger than {} MiB", MAX_BYTES >> 20);
        reader.syntax(Problem { line: 1, column: 1, message, fix: "split it".into() });
        return (reader.objects, reader.diagnostics);
    }
    for document in yaml::split(bytes) {
        match document.text {
            Ok(text) => reader.text(text, document.first_line),
            Err(problem) => reader.syntax(problem),
        }
    }
    (reader.objects, once(reader.diagnostics))
}

/// Reads one object from its JSON, as [`Object::to_json`] writes it. What validation says is not asked: it is for
/// objects that were validated when they came in.
///
/// # Errors
/// What is wrong with it, without places.
pub fn decode_object(json: &Value) -> Result<Object, Diagnostics> {
    let mut reader = Reader { file: "".into(), objects: Vec::new(), diagnostics: Vec::new(), unknown: None };
    if let Some((info, kind, node)) = reader.identify(Node::from_json(json)) {
        reader.object(info, kind, node, false);
    }
    let errors = |d: &Diagnostic| d.severity == Severity::Error;
    match reader.objects.pop() {
        Some(object) if !reader.diagnostics.iter().any(errors) => Ok(object),
        _ => Err(reader.diagnostics),
    }
}

/// Reads one object as an API receives it, with everything that is wrong with it, what validation says included. `unknown`
/// says how bad a field is that its kind does not have. Objects that name no namespace are in `default`.
pub fn read_object(json: &Value, unknown: Severity) -> (Option<Object>, Diagnostics) {
    let mut reader =
        Reader { file: "".into(), objects: Vec::new(), diagnostics: Vec::new(), unknown: Some(unknown) };
    if let Some((info, kind, node)) = reader.identify(Node::from_json(json)) {
        reader.object(info, kind, node, true);
    }
    (reader.objects.pop(), reader.diagnostics)
}

/// A report that the same field of the same kind has no effect, or is unknown, is made once per file.
fn once(diagnostics: Diagnostics) -> Diagnostics {
    let mut seen = std::collections::HashSet::new();
    let key = |d: &Diagnostic| {
        let field: String = d.field.as_str().chars().filter(|c| !c.is_ascii_digit()).collect();
        (d.resource.as_ref().map(|r| r.kind.clone()), field, d.message.clone())
    };
    diagnostics.into_iter().filter(|d| d.severity != Severity::Info || seen.insert(key(d))).collect()
}

struct Reader {
    file: Arc<str>,
    objects: Vec<Object>,
    diagnostics: Diagnostics,
    /// How bad unknown fields are; `None`: an error in the mesh's own kinds, a warning in Kubernetes'.
    unknown: Option<Severity>,
}

/// The parts of a document that every kind has, taken out of its mapping.
struct Parts {
    api_version: String,
    metadata: Option<Node>,
    spec: Option<Node>,
    status: Option<Node>,
    rest: Vec<Entry>,
}

impl Reader {
    fn syntax(&mut self, problem: Problem) {
        let span = SourceSpan { file: self.file.clone(), line: problem.line, column: problem.column };
        self.diagnostics.push(
            Diagnostic::error(FieldPath::root(), problem.message).with_fix(problem.fix).with_span(span),
        );
    }

    /// Reads the objects of one document; if its syntax is broken they are only looked at for more problems.
    fn text(&mut self, text: &str, first_line: u32) {
        let (objects, diagnostics) = (self.objects.len(), self.diagnostics.len());
        let read = yaml::read_document(text, first_line);
        let broken = !read.problems.is_empty();
        let resource = read.values.first().and_then(resource_of);
        read.problems.into_iter().for_each(|p| self.syntax(p));
        for problem in &mut self.diagnostics[diagnostics..] {
            problem.resource.clone_from(&resource);
        }
        read.values.into_iter().for_each(|node| self.document(node));
        if broken {
            self.objects.truncate(objects);
        }
    }

    fn report(
        &mut self,
        node: &Node,
        severity: Severity,
        field: &str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let (line, column) = node.locate(field);
        let mut problem = Diagnostic::new(severity, FieldPath::from(field), message).with_fix(fix);
        if line > 0 {
            problem = problem.with_span(SourceSpan { file: self.file.clone(), line, column });
        }
        self.diagnostics.push(problem);
    }

    fn document(&mut self, node: Node) {
        match &node.data {
            Data::Null => {}
            Data::Map(_) if is_list(&node) => self.list(node),
            Data::Map(_) => {
                if let Some((info, kind, node)) = self.identify(node) {
                    self.object(info, kind, node, true);
                }
            }
            _ => self.fragment(&node, None),
        }
    }

    /// Says what a document is that is no resource, and that nothing of it is applied.
    fn fragment(&mut self, node: &Node, resource: Option<ResourceRef>) {
        let (severity, message, fix) = fragment::describe(node);
        self.report(node, severity, "", message, fix);
        if let Some(problem) = self.diagnostics.last_mut() {
            (problem.resource, problem.code) = (resource, fragment::CODE);
        }
    }

    fn list(&mut self, node: Node) {
        let Data::Map(entries) = node.data else { return };
        for entry in entries.into_iter().filter(|e| &*e.key == "items") {
            if let Data::List(items) = entry.value.data {
                items.into_iter().for_each(|item| self.document(item));
            }
        }
    }

    /// Finds the kind of a document, or says why there is none.
    fn identify(&mut self, node: Node) -> Option<(&'static KindInfo, Kind, Node)> {
        let text = |name: &str| node.get(name).and_then(Node::as_str).unwrap_or_default().to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if node.get("apiVersion").is_none() && node.get("kind").is_none() {
            self.fragment(&node, None);
            return None;
        }
        if api_version.is_empty() || kind.is_empty() {
            let (missing, field) = match (api_version.is_empty(), kind.is_empty()) {
                (true, true) => ("apiVersion and kind", ""),
                (true, false) => ("apiVersion", "apiVersion"),
                _ => ("kind", "kind"),
            };
            let message = format!("is not a resource: {missing} must be given as text");
            self.report(&node, Severity::Error, field, message, "");
            return None;
        }
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
        let Some(found) = Kind::find(group, &kind) else {
            self.unknown_kind(&node, group, &kind);
            return None;
        };
        let info = found.info();
        if !info.versions.contains(&version) {
            let message = format!("{kind} is not served in version {version:?}");
            let fix = format!("write {}", info.api_version());
            self.report(&node, Severity::Error, "apiVersion", message, fix);
            if let Some(problem) = self.diagnostics.last_mut() {
                problem.resource = resource_of(&node);
            }
            return None;
        }
        Some((info, found, node))
    }

    fn unknown_kind(&mut self, node: &Node, group: &str, kind: &str) {
        let resource = resource_of(node);
        let before = self.diagnostics.len();
        if let Some(reason) = unsupported::reason(group, kind) {
            let message = format!("kind {kind} is not supported yet and has no effect: {reason}");
            self.report(node, Severity::Warning, "kind", message, "");
        } else if Kind::ALL.iter().any(|k| k.info().group == group) {
            let known: Vec<_> =
                Kind::ALL.iter().map(|k| k.info()).filter(|i| i.group == group).map(|i| i.kind).collect();
            let elsewhere = Kind::ALL.iter().map(|k| k.info()).find(|i| i.kind == kind);
            let fix = match (elsewhere, nearest(kind, known.iter().copied())) {
                (Some(info), _) => format!("did you mean apiVersion: {}?", info.api_version()),
                (None, Some(near)) => format!("did you mean {near}?"),
                (None, None) => format!("known there: {}", known.join(", ")),
            };
            let message = format!("kind {kind} does not exist in {}", place(group));
            self.report(node, Severity::Error, "kind", message, fix);
        } else if let Some(info) = Kind::ALL.iter().map(|k| k.info()).find(|i| i.kind == kind) {
            let message = format!("kind {kind} does not exist in {}", place(group));
            self.report(
                node,
                Severity::Error,
                "apiVersion",
                message,
                format!("did you mean {}?", info.api_version()),
            );
        } else {
            let message = format!("kind {kind} of {group} means nothing to the mesh and has no effect");
            self.report(node, Severity::Warning, "kind", message, "");
        }
        for problem in &mut self.diagnostics[before..] {
            problem.resource.clone_from(&resource);
        }
    }

    fn object(&mut self, info: &'static KindInfo, kind: Kind, node: Node, validated: bool) {
        let mesh = info.group.ends_with("istio.io") || info.group == crate::policy::GROUP;
        let unknown = self.unknown.unwrap_or(if mesh { Severity::Error } else { Severity::Warning });
        let mut cx = Context::new(self.file.clone(), unknown);
        cx.set_quiet(!mesh);
        let in_part = validated && node.get("metadata").is_none();
        cx.set_fragment(in_part);
        let origin = (node.line > 0).then(|| SourceSpan {
            file: self.file.clone(),
            line: node.line,
            column: node.column,
        });
        let parts = parts(&node, info, &mut cx);
        let meta = self.metadata(info, parts.metadata.as_ref(), &node, &mut cx);
        let place = Node { data: Data::Map(parts.rest), line: node.line, column: node.column };
        let spec = match (info.body, &parts.spec) {
            (Body::Top, _) => Spec::decode(kind, &place, &At::ROOT, &mut cx),
            (Body::Spec, Some(spec)) if !spec.is_null() => {
                Spec::decode(kind, spec, &At::ROOT.field("spec"), &mut cx)
            }
            (Body::Spec, _) => {
                let empty = Node { data: Data::Map(Vec::new()), line: node.line, column: node.column };
                Spec::decode(kind, &empty, &At::ROOT.field("spec"), &mut cx)
            }
        };
        let resource = resource_of(&node);
        let mut node = node;
        if kind == Kind::ConfigMap && meta.as_ref().is_some_and(|m| mesh::holds_settings(&m.name)) {
            mesh::unfold(&mut node);
        }
        if let (Some(meta), Some(spec)) = (meta, spec) {
            let status = parts.status.map(|s| s.to_json());
            let object = Object { api_version: parts.api_version, meta, spec, status, origin };
            if validated {
                for problem in validate::validate(&object) {
                    // That a part of a resource lacks a field has been said.
                    if in_part && cx.speaks_of(&problem.field) {
                        continue;
                    }
                    // A place takes a walk through the document to find, and nobody sees it once there are too many.
                    let (line, column) =
                        if cx.is_full() { (0, 0) } else { node.locate(problem.field.as_str()) };
                    cx.report(line, column, problem);
                }
            }
            if !cx.failed() && !in_part {
                self.objects.push(object);
            }
        }
        let mut found = cx.finish();
        if in_part {
            self.fragment(&node, resource.clone());
            fragment::soften(&mut found, &node);
        }
        self.diagnostics.extend(found.into_iter().map(|mut d| {
            d.resource.clone_from(&resource);
            d
        }));
    }

    fn metadata(
        &mut self,
        info: &'static KindInfo,
        metadata: Option<&Node>,
        document: &Node,
        cx: &mut Context,
    ) -> Option<ObjectMeta> {
        let at = At::ROOT.field("metadata");
        let mut meta = match metadata {
            Some(node) if !node.is_null() => ObjectMeta::decode(node, &at, cx)?,
            _ => ObjectMeta::default(),
        };
        if meta.name.is_empty() && meta.generate_name.is_empty() && !cx.is_fragment() {
            let place = metadata.unwrap_or(document);
            cx.error(place, &at.field("name"), "is required", "");
        }
        if !info.namespaced {
            if !meta.namespace.is_empty() {
                let place = metadata.and_then(|m| m.get("namespace")).unwrap_or(document);
                cx.error(
                    place,
                    &at.field("namespace"),
                    format!("a {} belongs to no namespace", info.kind),
                    "remove it",
                );
            }
        } else if meta.namespace.is_empty() {
            DEFAULT_NAMESPACE.clone_into(&mut meta.namespace);
        }
        Some(meta)
    }
}

/// A group in words.
fn place(group: &str) -> &str {
    if group.is_empty() { "the core group" } else { group }
}

/// The resource that a document is about, whatever else is wrong with it.
fn resource_of(node: &Node) -> Option<ResourceRef> {
    let kind = node.get("kind").and_then(Node::as_str)?;
    let api_version = node.get("apiVersion").and_then(Node::as_str).unwrap_or_default();
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let metadata = node.get("metadata");
    let text =
        |name: &str| metadata.and_then(|m| m.get(name)).and_then(Node::as_str).filter(|t| !t.is_empty());
    let namespaced = Kind::find(group, kind).is_none_or(|k| k.info().namespaced);
    let namespace = if namespaced { text("namespace").unwrap_or(DEFAULT_NAMESPACE) } else { "" };
    Some(ResourceRef::new(group, kind, namespace, text("name").unwrap_or_default()))
}

fn is_list(node: &Node) -> bool {
    node.get("kind").and_then(Node::as_str).is_some_and(|k| k.ends_with("List"))
        && matches!(node.get("items").map(|i| &i.data), Some(Data::List(_)))
}

/// Takes a document apart; fields that its kind does not have are reported here, or left for its table to report.
fn parts(node: &Node, info: &KindInfo, cx: &mut Context) -> Parts {
    let mut parts =
        Parts { api_version: String::new(), metadata: None, spec: None, status: None, rest: Vec::new() };
    let Data::Map(entries) = &node.data else { return parts };
    for entry in entries {
        match (&*entry.key, info.body) {
            ("apiVersion", _) => parts.api_version = entry.value.as_str().unwrap_or_default().to_owned(),
            ("kind", _) => {}
            ("metadata", _) => parts.metadata = Some(entry.value.clone()),
            ("status", _) => parts.status = Some(entry.value.clone()).filter(|s| !s.is_null()),
            ("spec", Body::Spec) => parts.spec = Some(entry.value.clone()),
            (_, Body::Top) => parts.rest.push(entry.clone()),
            (key, Body::Spec) => {
                let in_spec = info.record.fields.iter().any(|f| f.name == key);
                let fix = || {
                    if in_spec { format!("it belongs under spec: spec.{key}") } else { "remove it".into() }
                };
                cx.unknown_field(entry.line, entry.column, &At::ROOT.field(key), fix);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Good documents give no complaint, and are written back as they were read.
    #[test]
    fn good_documents_are_kept_word_for_word() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/valid");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let (objects, diagnostics) = parse_manifests(&path.to_string_lossy(), &bytes);
            let complaints = diagnostics.iter().filter(|d| !d.message.contains("not in force yet"));
            assert_eq!(complaints.map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
            let documents: Vec<Value> = yaml::split(&bytes)
                .into_iter()
                .flat_map(|d| yaml::read_document(d.text.unwrap(), d.first_line).values)
                .map(|node| node.to_json())
                .collect();
            assert_eq!(documents.len(), objects.len());
            for (mut document, object) in documents.into_iter().zip(objects) {
                if let Some(uri) = document.pointer_mut("/spec/jwtRules/0").and_then(Value::as_object_mut) {
                    let moved = uri.remove("jwks_uri").unwrap();
                    uri.insert("jwksUri".into(), moved);
                }
                assert_eq!(object.to_json(), document);
                assert_eq!(decode_object(&document).unwrap().spec, object.spec);
            }
        }
    }
}
