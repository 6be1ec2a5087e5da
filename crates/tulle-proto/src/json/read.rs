//! From a document to a message, by reflection.

use base64::Engine as _;
use prost_reflect::prost::{Message as _, bytes::Bytes};
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};
use tulle_base::FieldPath;
use tulle_base::nearest::nearest;

use super::FieldProblem;
use super::duration::{parse_duration, parse_timestamp};
use serde_json::{Map, Value as Json};

/// More problems than this are not told.
const MAX_PROBLEMS: usize = 200;

pub(super) fn message(
    pool: &DescriptorPool,
    descriptor: &MessageDescriptor,
    node: &Json,
) -> Result<DynamicMessage, Vec<FieldProblem>> {
    let mut reader = Reader { pool, problems: Vec::new() };
    let message = reader.message(descriptor, node, &FieldPath::root());
    match message {
        Some(message) if reader.problems.is_empty() => Ok(message),
        _ => Err(reader.problems),
    }
}

struct Reader<'p> {
    pool: &'p DescriptorPool,
    problems: Vec<FieldProblem>,
}

impl Reader<'_> {
    fn problem(&mut self, path: &FieldPath, message: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(FieldProblem { path: path.clone(), message: message.into() });
        }
    }

    fn message(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Json,
        path: &FieldPath,
    ) -> Option<DynamicMessage> {
        match descriptor.full_name() {
            "google.protobuf.Any" => return self.any(descriptor, node, path),
            "google.protobuf.Struct" | "google.protobuf.ListValue" | "google.protobuf.Value" => {
                return self.dynamic(descriptor, node, path);
            }
            "google.protobuf.Duration" | "google.protobuf.Timestamp" => {
                return self.time(descriptor, node, path);
            }
            name if is_wrapper(name) => {
                let mut message = DynamicMessage::new(descriptor.clone());
                let field = descriptor.get_field_by_name("value")?;
                message.set_field(&field, self.scalar(&field.kind(), node, path)?);
                return Some(message);
            }
            _ => {}
        }
        let Json::Object(members) = node else {
            self.problem(path, format!("must be an object, not {}", what(node)));
            return None;
        };
        self.fields(descriptor, members, path)
    }

    fn fields(
        &mut self,
        descriptor: &MessageDescriptor,
        members: &Map<String, Json>,
        path: &FieldPath,
    ) -> Option<DynamicMessage> {
        let mut message = DynamicMessage::new(descriptor.clone());
        let mut oneofs: Vec<(String, String)> = Vec::new();
        let in_any = members.contains_key("@type") && !descriptor.full_name().starts_with("google.");
        for (name, node) in members.iter().filter(|(name, _)| !(in_any && *name == "@type")) {
            let path = path.field(name);
            let found =
                descriptor.get_field_by_name(name).or_else(|| descriptor.get_field_by_json_name(name));
            let Some(field) = found else {
                let known: Vec<String> = descriptor.fields().map(|f| f.name().to_owned()).collect();
                let hint = nearest(name, known.iter().map(String::as_str))
                    .map_or_else(|| known_names(&known), |near| format!("; did you mean {near}?"));
                self.problem(&path, format!("is not a field of {}{hint}", descriptor.full_name()));
                continue;
            };
            if node.is_null() && !is_value(&field) {
                continue;
            }
            if message.has_field(&field) {
                self.problem(&path, "is there twice, under both of its names");
                continue;
            }
            if let Some(oneof) = field.containing_oneof().filter(|o| !is_synthetic(&field, o)) {
                if let Some((_, other)) = oneofs.iter().find(|(known, _)| known == oneof.name()) {
                    self.problem(&path, format!("cannot stand beside {other}"));
                    continue;
                }
                oneofs.push((oneof.name().to_owned(), name.clone()));
            }
            if let Some(value) = self.field(&field, node, &path) {
                message.set_field(&field, value);
            }
        }
        Some(message)
    }

    fn field(&mut self, field: &FieldDescriptor, node: &Json, path: &FieldPath) -> Option<Value> {
        if field.is_map() {
            return self.map(field, node, path);
        }
        if !field.is_list() {
            return self.value(&field.kind(), node, path);
        }
        let Json::Array(items) = node else {
            self.problem(path, format!("must be a list, not {}", what(node)));
            return None;
        };
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            list.extend(self.value(&field.kind(), item, &path.index(index)));
        }
        Some(Value::List(list))
    }

    fn map(&mut self, field: &FieldDescriptor, node: &Json, path: &FieldPath) -> Option<Value> {
        let Json::Object(members) = node else {
            self.problem(path, format!("must be an object, not {}", what(node)));
            return None;
        };
        let Kind::Message(entry) = field.kind() else { return None };
        let (key_kind, value_kind) =
            (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let mut map = std::collections::HashMap::new();
        for (name, node) in members {
            let path = path.field(name);
            let key = match key_kind {
                Kind::String => Some(MapKey::String(name.clone())),
                Kind::Bool => name.parse().ok().map(MapKey::Bool),
                Kind::Uint32 | Kind::Fixed32 => name.parse().ok().map(MapKey::U32),
                Kind::Uint64 | Kind::Fixed64 => name.parse().ok().map(MapKey::U64),
                Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => name.parse().ok().map(MapKey::I32),
                _ => name.parse().ok().map(MapKey::I64),
            };
            let Some(key) = key else {
                self.problem(&path, "is not a key of this map");
                continue;
            };
            if let Some(value) = self.value(&value_kind, node, &path) {
                map.insert(key, value);
            }
        }
        Some(Value::Map(map))
    }

    fn value(&mut self, kind: &Kind, node: &Json, path: &FieldPath) -> Option<Value> {
        match kind {
            Kind::Message(descriptor) => self.message(descriptor, node, path).map(Value::Message),
            kind => self.scalar(kind, node, path),
        }
    }

    fn scalar(&mut self, kind: &Kind, node: &Json, path: &FieldPath) -> Option<Value> {
        let value = match (kind, node) {
            (Kind::Enum(descriptor), _) => return self.enumeration(descriptor, node, path),
            (Kind::Bool, Json::Bool(b)) => Some(Value::Bool(*b)),
            (Kind::Bool, _) => return self.mistyped(node, path, "true or false"),
            (Kind::String, Json::String(text)) => Some(Value::String(text.clone())),
            (Kind::String, _) => return self.mistyped(node, path, "a text (write it in quotes)"),
            (Kind::Bytes, Json::String(text)) => decode_base64(text).map(|b| Value::Bytes(Bytes::from(b))),
            (Kind::Bytes, _) => return self.mistyped(node, path, "a text in base64"),
            (kind, Json::String(text)) => number(kind, text),
            (kind, Json::Number(n)) => number(kind, &n.to_string()),
            _ => None,
        };
        if value.is_none() {
            self.problem(path, format!("must be {}, not {}", wanted(kind), shown(node)));
        }
        value
    }

    fn mistyped(&mut self, node: &Json, path: &FieldPath, want: &str) -> Option<Value> {
        self.problem(path, format!("must be {want}, not {}", what(node)));
        None
    }

    fn enumeration(&mut self, descriptor: &EnumDescriptor, node: &Json, path: &FieldPath) -> Option<Value> {
        let number = match node {
            Json::String(name) => descriptor.get_value_by_name(name).map(|value| value.number()),
            Json::Number(n) => n
                .as_i64()
                .and_then(|n| descriptor.get_value(i32::try_from(n).ok()?))
                .map(|value| value.number()),
            _ => return self.mistyped(node, path, "the name of a value"),
        };
        if number.is_none() {
            let names: Vec<String> = descriptor.values().map(|value| value.name().to_owned()).collect();
            let written = node.as_str().unwrap_or_default();
            let hint = nearest(written, names.iter().map(String::as_str))
                .map_or_else(|| known_names(&names), |near| format!("; did you mean {near}?"));
            self.problem(path, format!("{} is not a value of {}{hint}", shown(node), descriptor.full_name()));
        }
        number.map(Value::EnumNumber)
    }

    /// `{"@type": URL, ...}`; the fields of the message stand beside `@type`, or in `value` for messages whose JSON form is
    /// special.
    fn any(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Json,
        path: &FieldPath,
    ) -> Option<DynamicMessage> {
        let Json::Object(members) = node else {
            self.problem(path, format!("must be an object with @type, not {}", what(node)));
            return None;
        };
        let Some(type_node) = members.get("@type") else {
            self.problem(path, "needs @type, such as type.googleapis.com/envoy.extensions...");
            return None;
        };
        let Json::String(url) = type_node else {
            self.problem(&path.field("@type"), "must be a text");
            return None;
        };
        let name = crate::any::full_name(url);
        let Some(inner) = self.pool.get_message_by_name(name) else {
            let known: Vec<String> = self.pool.all_messages().map(|m| m.full_name().to_owned()).collect();
            let hint = nearest(name, known.iter().map(String::as_str))
                .map(|near| format!("; did you mean {near}?"))
                .unwrap_or_default();
            self.problem(&path.field("@type"), format!("{name:?} is not a known message{hint}"));
            return None;
        };
        let message = if has_special_form(name) {
            let value = members.get("value").unwrap_or(&Json::Null);
            self.message(&inner, value, &path.field("value"))?
        } else {
            self.fields(&inner, members, path)?
        };
        let mut any = DynamicMessage::new(descriptor.clone());
        any.set_field_by_name("type_url", Value::String(url.clone()));
        any.set_field_by_name("value", Value::Bytes(message.encode_to_vec().into()));
        Some(any)
    }

    /// `Struct`, `ListValue` and `Value`: any JSON.
    fn dynamic(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Json,
        path: &FieldPath,
    ) -> Option<DynamicMessage> {
        let mut message = DynamicMessage::new(descriptor.clone());
        match (descriptor.full_name(), node) {
            ("google.protobuf.Struct", Json::Object(_)) => {
                let field = descriptor.get_field_by_name("fields")?;
                message.set_field(&field, self.map(&field, node, path)?);
            }
            ("google.protobuf.ListValue", Json::Array(_)) => {
                let field = descriptor.get_field_by_name("values")?;
                message.set_field(&field, self.field(&field, node, path)?);
            }
            ("google.protobuf.Value", json) => {
                let name = match json {
                    Json::Null => "null_value",
                    Json::Bool(_) => "bool_value",
                    Json::Number(_) => "number_value",
                    Json::String(_) => "string_value",
                    Json::Array(_) => "list_value",
                    Json::Object(_) => "struct_value",
                };
                let field = descriptor.get_field_by_name(name)?;
                let value = match json {
                    Json::Null => Value::EnumNumber(0),
                    _ => self.value(&field.kind(), node, path)?,
                };
                message.set_field(&field, value);
            }
            _ => {
                let want = if descriptor.full_name().ends_with("Struct") { "an object" } else { "a list" };
                self.problem(path, format!("must be {want}, not {}", what(node)));
                return None;
            }
        }
        Some(message)
    }

    fn time(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Json,
        path: &FieldPath,
    ) -> Option<DynamicMessage> {
        let duration = descriptor.full_name() == "google.protobuf.Duration";
        let parsed = match node {
            Json::String(text) if duration => parse_duration(text),
            Json::String(text) => parse_timestamp(text),
            _ => None,
        };
        let Some((seconds, nanos)) = parsed else {
            let want = if duration {
                "a duration in seconds such as 0.25s"
            } else {
                "a time such as 2026-08-01T00:00:00Z"
            };
            self.problem(path, format!("must be {want}, not {}", shown(node)));
            return None;
        };
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field_by_name("seconds", Value::I64(seconds));
        message.set_field_by_name("nanos", Value::I32(nanos));
        Some(message)
    }
}

/// What a value is, for messages.
fn what(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// A scalar as it was written, or what the value is.
fn shown(value: &Json) -> String {
    match value {
        Json::Number(_) | Json::String(_) => value.to_string(),
        _ => what(value).to_owned(),
    }
}

fn known_names(names: &[String]) -> String {
    if names.len() > 12 { String::new() } else { format!("; known are {}", names.join(", ")) }
}

fn is_value(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Message(m) if m.full_name() == "google.protobuf.Value")
}

/// A oneof that protoc makes for an `optional` field.
fn is_synthetic(field: &FieldDescriptor, oneof: &prost_reflect::OneofDescriptor) -> bool {
    field.field_descriptor_proto().proto3_optional() && oneof.fields().len() == 1
}

pub(crate) fn is_wrapper(name: &str) -> bool {
    name.strip_prefix("google.protobuf.").is_some_and(|rest| {
        matches!(
            rest,
            "BoolValue"
                | "BytesValue"
                | "DoubleValue"
                | "FloatValue"
                | "Int32Value"
                | "Int64Value"
                | "StringValue"
                | "UInt32Value"
                | "UInt64Value"
        )
    })
}

/// Whether the JSON form of a message is not an object of its fields, so that an `Any` holds it in `value`.
pub(super) fn has_special_form(name: &str) -> bool {
    is_wrapper(name)
        || matches!(
            name,
            "google.protobuf.Any"
                | "google.protobuf.Struct"
                | "google.protobuf.ListValue"
                | "google.protobuf.Value"
                | "google.protobuf.Duration"
                | "google.protobuf.Timestamp"
        )
}

fn wanted(kind: &Kind) -> &'static str {
    match kind {
        Kind::Uint32 | Kind::Fixed32 => "a whole number from 0 to 4294967295",
        Kind::Uint64 | Kind::Fixed64 => "a whole number, 0 or more",
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => "a whole number of 32 bits",
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "a whole number of 64 bits",
        Kind::Float | Kind::Double => "a number",
        Kind::Bytes => "a text in base64",
        _ => "another type",
    }
}

fn number(kind: &Kind, text: &str) -> Option<Value> {
    let whole = || -> Option<i128> {
        // `1e3` and `1.0` are whole numbers too.
        text.parse().ok().or_else(|| {
            let float: f64 = text.parse().ok()?;
            #[allow(clippy::cast_possible_truncation, reason = "checked to be whole and within 2^53")]
            (float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0).then_some(float as i128)
        })
    };
    match kind {
        Kind::Uint32 | Kind::Fixed32 => u32::try_from(whole()?).ok().map(Value::U32),
        Kind::Uint64 | Kind::Fixed64 => u64::try_from(whole()?).ok().map(Value::U64),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => i32::try_from(whole()?).ok().map(Value::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => i64::try_from(whole()?).ok().map(Value::I64),
        #[allow(clippy::cast_possible_truncation, reason = "the field has 32 bits")]
        Kind::Float => text.parse::<f64>().ok().map(|n| Value::F32(n as f32)),
        Kind::Double => text.parse().ok().map(Value::F64),
        _ => None,
    }
}

/// Standard or URL-safe alphabet, with or without padding.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    let text = text.trim_end_matches('=');
    STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()
}
