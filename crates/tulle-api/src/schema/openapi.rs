//! OpenAPI v3 schemas from the tables: structural ones for custom resource definitions, and ones that refer to each
//! other for the documents that clients read.

use serde_json::{Map, Value, json};

use super::{FieldInfo, Merge, Notice, OneofInfo, RecordInfo, TypeInfo};

/// Writes schemas. It decides how a record is shown where it is used.
pub trait Schemas {
    /// A reference to the schema of a record, or of the type of that name, to write instead of the schema itself.
    fn refer(&mut self, to: Referred) -> Option<Value>;

    /// Whether strategic merge patches are told about (`x-kubernetes-patch-merge-key` and the like).
    fn patches(&self) -> bool;

    /// The schema of a value.
    fn of_type(&mut self, ty: &TypeInfo) -> Value
    where
        Self: Sized,
    {
        of_type(self, ty)
    }

    /// The schema of a mapping of which at most one field may be set, written out at its top.
    fn of_oneof(&mut self, info: &'static OneofInfo) -> Value
    where
        Self: Sized,
    {
        of_oneof(self, info)
    }

    /// The schema of a record, written out at its top.
    fn of_record(&mut self, info: &'static RecordInfo) -> Value
    where
        Self: Sized,
    {
        of_record(self, info)
    }
}

/// What a schema can refer to.
#[derive(Clone, Copy, Debug)]
pub enum Referred {
    /// A record.
    Record(&'static RecordInfo),
    /// A record of which exactly one field may be set.
    Oneof(&'static OneofInfo),
    /// A number, or the name of a port, or a percentage.
    IntOrString,
}

fn of_type(schemas: &mut dyn Schemas, ty: &TypeInfo) -> Value {
    match *ty {
        TypeInfo::String => json!({"type": "string"}),
        TypeInfo::Bytes => json!({"type": "string", "format": "byte"}),
        TypeInfo::Bool => json!({"type": "boolean"}),
        TypeInfo::Int { min, max } => integer(min, max),
        TypeInfo::Double => json!({"type": "number", "format": "double"}),
        TypeInfo::Duration => json!({"type": "string", "format": "duration"}),
        TypeInfo::Timestamp => json!({"type": "string", "format": "date-time"}),
        TypeInfo::IntOrString => schemas.refer(Referred::IntOrString).unwrap_or_else(|| {
            json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]})
        }),
        TypeInfo::Json => json!({"x-kubernetes-preserve-unknown-fields": true}),
        TypeInfo::Enum(words) => json!({"type": "string", "enum": words}),
        TypeInfo::List(of) => json!({"type": "array", "items": of_type(schemas, of)}),
        TypeInfo::Map(of) => json!({"type": "object", "additionalProperties": of_type(schemas, of)}),
        TypeInfo::Record(info) => {
            schemas.refer(Referred::Record(info)).unwrap_or_else(|| of_record(schemas, info))
        }
        TypeInfo::Oneof(info) => {
            schemas.refer(Referred::Oneof(info)).unwrap_or_else(|| of_oneof(schemas, info))
        }
    }
}

/// Bounds are written where the format does not say them.
fn integer(min: i128, max: i128) -> Value {
    let mut schema = match (min, max) {
        (_, max) if max <= i128::from(i32::MAX) => json!({"type": "integer", "format": "int32"}),
        _ => json!({"type": "integer", "format": "int64"}),
    };
    let bounds = [i128::from(i32::MIN), i128::from(i64::MIN)];
    if let (false, Ok(min)) = (bounds.contains(&min), i64::try_from(min)) {
        schema["minimum"] = json!(min);
    }
    let bounds = [i128::from(i32::MAX), i128::from(i64::MAX)];
    if let (false, Ok(max)) = (bounds.contains(&max), i64::try_from(max)) {
        schema["maximum"] = json!(max);
    }
    schema
}

/// The schema of a record.
fn of_record(schemas: &mut dyn Schemas, info: &'static RecordInfo) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in info.fields {
        add_field(schemas, field, &mut properties);
        if field.required && field.alias.is_none() {
            required.push(field.name);
        }
    }
    for field in info.oneofs.iter().flat_map(|g| g.members) {
        add_field(schemas, field, &mut properties);
    }
    let mut schema = object(info.doc, properties);
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    exclude(info.oneofs, &mut schema);
    schema
}

/// The schema of a mapping of which at most one field may be set.
fn of_oneof(schemas: &mut dyn Schemas, info: &'static OneofInfo) -> Value {
    let mut properties = Map::new();
    for field in info.members {
        add_field(schemas, field, &mut properties);
    }
    let mut schema = object(info.doc, properties);
    exclude(&[info], &mut schema);
    schema
}

fn object(doc: &str, properties: Map<String, Value>) -> Value {
    let mut schema = json!({"type": "object", "description": description(doc)});
    if !properties.is_empty() {
        schema["properties"] = Value::Object(properties);
    }
    schema
}

fn add_field(schemas: &mut dyn Schemas, field: &'static FieldInfo, properties: &mut Map<String, Value>) {
    let schema = of_field(schemas, field);
    if let Some(alias) = field.alias {
        let mut other = schema.clone();
        other["description"] = json!(format!("Another spelling of {}.", field.name));
        properties.insert(alias.to_owned(), other);
    }
    properties.insert(field.name.to_owned(), schema);
}

fn of_field(schemas: &mut dyn Schemas, field: &'static FieldInfo) -> Value {
    let mut schema = of_type(schemas, &field.ty);
    if schema.get("$ref").is_some() {
        // Beside a reference nothing counts, so it moves into an `allOf` of one.
        schema = json!({"allOf": [schema]});
    }
    schema["description"] = json!(describe(field));
    if let Some(text) = field.default {
        schema["default"] = json!(text);
    }
    merging(schemas.patches(), field, &mut schema);
    schema
}

/// Adds how values merge: `x-kubernetes-list-type` and its like.
fn merging(patches: bool, field: &FieldInfo, schema: &mut Value) {
    let list = matches!(field.ty, TypeInfo::List(_));
    match field.merge {
        Merge::Granular if list => schema["x-kubernetes-list-type"] = json!("atomic"),
        Merge::Granular => {}
        Merge::Atomic if list => schema["x-kubernetes-list-type"] = json!("atomic"),
        Merge::Atomic => schema["x-kubernetes-map-type"] = json!("atomic"),
        Merge::Set => schema["x-kubernetes-list-type"] = json!("set"),
        Merge::Keyed(keys) => {
            schema["x-kubernetes-list-type"] = json!("map");
            schema["x-kubernetes-list-map-keys"] = json!(keys);
        }
    }
    if !patches {
        return;
    }
    let mut strategy = Vec::new();
    if matches!(field.merge, Merge::Set | Merge::Keyed(_)) {
        strategy.push("merge");
    }
    if field.retain_keys {
        strategy.push("retainKeys");
    }
    if let Merge::Keyed([first, ..]) = field.merge {
        schema["x-kubernetes-patch-merge-key"] = json!(first);
    }
    if !strategy.is_empty() {
        schema["x-kubernetes-patch-strategy"] = json!(strategy.join(","));
    }
}

/// Says that at most one member of each group may be set.
fn exclude(groups: &[&OneofInfo], schema: &mut Value) {
    let mut all: Vec<Value> = groups.iter().filter(|g| g.members.len() > 1).map(|g| at_most_one(g)).collect();
    match all.len() {
        0 => {}
        1 => schema["oneOf"] = all.remove(0)["oneOf"].take(),
        _ => schema["allOf"] = json!(all),
    }
}

fn at_most_one(group: &OneofInfo) -> Value {
    let each: Vec<Value> = group.members.iter().map(|m| json!({"required": [m.name]})).collect();
    let mut choices = vec![json!({"not": {"anyOf": each}})];
    choices.extend(each);
    json!({"oneOf": choices})
}

fn describe(field: &FieldInfo) -> String {
    let doc = description(field.doc);
    match field.notice {
        Notice::None => doc,
        Notice::Deprecated(instead) => format!("{doc} Deprecated: {instead}."),
        Notice::NotPortable(meaning) => format!("{doc} Not portable: {meaning}."),
        Notice::NoEffect(reason) => format!("{doc} Has no effect: {reason}."),
        Notice::Planned(missing) => format!("{doc} Not in force yet: {missing}."),
    }
}

/// The documentation of a type or field as one paragraph of plain text.
pub fn description(doc: &str) -> String {
    doc.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ").replace('`', "'")
}
