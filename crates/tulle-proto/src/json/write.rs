//! From a message to JSON, by reflection.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value,
};
use serde_json::{Map, Value as Json};

use super::duration::{format_duration, format_timestamp};
use super::read::{has_special_form, is_wrapper};

/// Deepest nesting of messages, `Any`s included.
const MAX_DEPTH: u32 = 200;
/// What stands in place of a secret.
const REDACTED: &str = "[redacted]";

/// Fields that hold secrets: what is in them is never written.
const SECRET_FIELDS: &[&str] = &[
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.private_key",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.password",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.pkcs12",
    "envoy.extensions.transport_sockets.tls.v3.TlsSessionTicketKeys.keys",
    "envoy.extensions.transport_sockets.tls.v3.GenericSecret.secret",
    "envoy.extensions.transport_sockets.tls.v3.GenericSecret.secrets",
];

pub(super) fn message(pool: &DescriptorPool, message: &DynamicMessage, depth: u32) -> Json {
    if depth > MAX_DEPTH {
        return Json::Null;
    }
    let descriptor = message.descriptor();
    let part = |name: &str| message.get_field_by_name(name).map(std::borrow::Cow::into_owned);
    match descriptor.full_name() {
        "google.protobuf.Any" => {
            let url = part("type_url").and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
            let value = part("value").and_then(|v| v.as_bytes().cloned()).unwrap_or_default();
            any(pool, &url, &value, depth + 1)
        }
        name @ ("google.protobuf.Duration" | "google.protobuf.Timestamp") => {
            let seconds = part("seconds").and_then(|v| v.as_i64()).unwrap_or_default();
            let nanos = part("nanos").and_then(|v| v.as_i32()).unwrap_or_default();
            let duration = name.ends_with("Duration");
            Json::String(if duration {
                format_duration(seconds, nanos)
            } else {
                format_timestamp(seconds, nanos)
            })
        }
        "google.protobuf.Value" => match message.fields().next() {
            Some((only, Value::EnumNumber(_))) if only.name() == "null_value" => Json::Null,
            Some((only, inner)) => value(pool, &only.kind(), inner, depth + 1),
            None => Json::Null,
        },
        name if name == "google.protobuf.Struct"
            || name == "google.protobuf.ListValue"
            || is_wrapper(name) =>
        {
            match descriptor.fields().next() {
                Some(only) => field(pool, &only, &message.get_field(&only), depth),
                None => Json::Null,
            }
        }
        _ => {
            let mut members = Map::new();
            for (descriptor, value) in message.fields() {
                let json = if SECRET_FIELDS.contains(&descriptor.full_name()) && !names_a_file(value) {
                    Json::String(REDACTED.to_owned())
                } else {
                    field(pool, &descriptor, value, depth)
                };
                members.insert(descriptor.name().to_owned(), json);
            }
            Json::Object(members)
        }
    }
}

/// Whether a source of data says where the secret is, and not what it is.
fn names_a_file(value: &Value) -> bool {
    let Value::Message(source) = value else { return false };
    source.descriptor().full_name() == "envoy.config.core.v3.DataSource"
        && source.fields().all(|(field, _)| matches!(field.name(), "filename" | "watched_directory"))
}

fn field(pool: &DescriptorPool, descriptor: &FieldDescriptor, value: &Value, depth: u32) -> Json {
    match (value, descriptor.kind()) {
        (Value::List(items), kind) => {
            Json::Array(items.iter().map(|item| self::value(pool, &kind, item, depth)).collect())
        }
        (Value::Map(entries), Kind::Message(entry)) if descriptor.is_map() => {
            let kind = entry.map_entry_value_field().kind();
            let mut sorted: Vec<(String, &Value)> =
                entries.iter().map(|(key, v)| (key_text(key), v)).collect();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            let members = sorted.into_iter().map(|(key, v)| (key, self::value(pool, &kind, v, depth)));
            Json::Object(members.collect())
        }
        (value, kind) => self::value(pool, &kind, value, depth),
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(b) => b.to_string(),
        MapKey::I32(n) => n.to_string(),
        MapKey::I64(n) => n.to_string(),
        MapKey::U32(n) => n.to_string(),
        MapKey::U64(n) => n.to_string(),
        MapKey::String(text) => text.clone(),
    }
}

fn value(pool: &DescriptorPool, kind: &Kind, value: &Value, depth: u32) -> Json {
    match value {
        Value::Bool(b) => Json::Bool(*b),
        Value::I32(n) => Json::from(*n),
        Value::U32(n) => Json::from(*n),
        // Protobuf JSON writes numbers of 64 bits as texts.
        Value::I64(n) => Json::String(n.to_string()),
        Value::U64(n) => Json::String(n.to_string()),
        Value::F32(n) => float(f64::from(*n)),
        Value::F64(n) => float(*n),
        Value::String(text) => Json::String(text.clone()),
        Value::Bytes(bytes) => Json::String(STANDARD.encode(bytes)),
        Value::EnumNumber(number) => match kind {
            Kind::Enum(descriptor) => descriptor
                .get_value(*number)
                .map_or_else(|| Json::from(*number), |value| Json::String(value.name().to_owned())),
            _ => Json::from(*number),
        },
        Value::Message(inner) => message(pool, inner, depth + 1),
        Value::List(items) => {
            Json::Array(items.iter().map(|item| self::value(pool, kind, item, depth)).collect())
        }
        Value::Map(_) => Json::Null,
    }
}

fn float(number: f64) -> Json {
    if number.is_finite() { Json::from(number) } else { Json::String(format!("{number}")) }
}

/// What an `Any` holds, with its type.
pub(super) fn any(pool: &DescriptorPool, url: &str, bytes: &[u8], depth: u32) -> Json {
    let mut members = Map::new();
    members.insert("@type".to_owned(), Json::String(url.to_owned()));
    let name = crate::any::full_name(url);
    let decoded = pool
        .get_message_by_name(name)
        .filter(|_| depth <= MAX_DEPTH)
        .and_then(|descriptor| DynamicMessage::decode(descriptor, bytes).ok());
    match decoded {
        Some(inner) if has_special_form(name) => {
            members.insert("value".to_owned(), message(pool, &inner, depth + 1));
        }
        Some(inner) => {
            if let Json::Object(fields) = message(pool, &inner, depth + 1) {
                members.extend(fields);
            }
        }
        None => {
            members.insert("value".to_owned(), Json::String(STANDARD.encode(bytes)));
        }
    }
    Json::Object(members)
}
