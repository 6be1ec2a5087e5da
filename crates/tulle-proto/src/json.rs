//! Messages as protobuf JSON, with `Any` unfolded: how people write bootstraps and read configuration dumps.
//!
//! Works on descriptors, which take tens of megabytes once loaded: keep a [`Json`] only for as long as it is needed.

use std::fmt;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor,
    ReflectMessage, SerializeOptions, Value as Field,
};
use serde_json::Value;
use tulle_base::{FieldPath, nearest};

use crate::any::full_name;

/// Descriptors of every message that the type URL table names, with what they refer to (`examples/prune_descriptors.rs`).
static DESCRIPTORS: &[u8] = include_bytes!("../descriptors/envoy.bin");

/// Stands for a message without descriptor inside an `Any`.
const STAND_IN: &str = "google.protobuf.Struct";

/// Why JSON is not a message, or a message cannot be written as JSON.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The descriptors in this build are damaged.
    #[error("descriptors: {0}")]
    Descriptors(#[from] prost_reflect::DescriptorError),
    /// There is no such message.
    #[error("no message is called {0}")]
    NoSuchMessage(String),
    /// Fields that do not exist; all of them.
    #[error("{}", Lines(.0))]
    Fields(Vec<FieldProblem>),
    /// A value of the wrong kind.
    #[error("{0}")]
    Value(#[from] serde_json::Error),
    /// Bytes that are not that message.
    #[error("the message does not decode")]
    Decode(#[from] prost::DecodeError),
}

/// Something in a document that the message has no place for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// Where, in the words of the document.
    pub path: FieldPath,
    /// What is wrong there.
    pub message: String,
}

struct Lines<'a>(&'a [FieldProblem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, FieldProblem { path, message }) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{path}: {message}")?;
        }
        Ok(())
    }
}

/// Reads and writes messages as JSON.
#[derive(Debug)]
pub struct Json(DescriptorPool);

impl Json {
    /// Loads the descriptors.
    ///
    /// # Errors
    /// [`JsonError::Descriptors`], which a test of this crate rules out.
    pub fn load() -> Result<Self, JsonError> {
        Ok(Self(DescriptorPool::decode(DESCRIPTORS)?))
    }

    /// Encodes a document as the message `type_name` (`envoy.config.bootstrap.v3.Bootstrap`, or a type URL). Field names may be
    /// written in either case, as protobuf JSON allows.
    ///
    /// # Errors
    /// [`JsonError::Fields`] with every unknown field or type, or [`JsonError::Value`] for the first value of the wrong kind.
    pub fn encode(&self, type_name: &str, document: &Value) -> Result<Vec<u8>, JsonError> {
        let message = self.message(type_name)?;
        let mut problems = Vec::new();
        self.check(&message, document, &FieldPath::root(), &mut problems);
        if !problems.is_empty() {
            return Err(JsonError::Fields(problems));
        }
        let options = DeserializeOptions::new().deny_unknown_fields(true);
        Ok(DynamicMessage::deserialize_with_options(message, document, &options)?.encode_to_vec())
    }

    /// Writes an encoded message as JSON, fields named as in the `.proto` files. What has no descriptor here appears as
    /// `google.protobuf.Struct` with its type and its size.
    ///
    /// # Errors
    /// [`JsonError`] when there is no such message or the bytes are not it.
    pub fn decode(&self, type_name: &str, bytes: &[u8]) -> Result<Value, JsonError> {
        let mut message = DynamicMessage::decode(self.message(type_name)?, bytes)?;
        self.replace_unknown(&mut message);
        let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(true);
        Ok(message.serialize_with_options(serde_json::value::Serializer, &options)?)
    }

    fn message(&self, type_name: &str) -> Result<MessageDescriptor, JsonError> {
        let name = full_name(type_name);
        self.0.get_message_by_name(name).ok_or_else(|| JsonError::NoSuchMessage(name.to_owned()))
    }

    /// Finds every field that does not exist.
    fn check(&self, kind: &MessageDescriptor, value: &Value, path: &FieldPath, out: &mut Vec<FieldProblem>) {
        let Value::Object(members) = value else { return };
        if kind.full_name() == "google.protobuf.Any" {
            return self.check_any(value, path, out);
        }
        // Messages with a JSON form of their own (Struct, Duration, wrappers).
        if kind.full_name().starts_with("google.protobuf.") {
            return;
        }
        for (name, value) in members {
            let at = path.field(name);
            match kind.get_field_by_json_name(name).or_else(|| kind.get_field_by_name(name)) {
                Some(field) => self.check_field(&field, value, &at, out),
                None if name == "@type" => {}
                None => {
                    let names: Vec<String> = kind.fields().map(|f| f.name().to_owned()).collect();
                    let hint = nearest::nearest(name, names.iter().map(String::as_str))
                        .map(|n| format!("; did you mean {n}?"))
                        .unwrap_or_default();
                    let message = format!("{} has no such field{hint}", kind.full_name());
                    out.push(FieldProblem { path: at, message });
                }
            }
        }
    }

    fn check_field(
        &self,
        field: &FieldDescriptor,
        value: &Value,
        at: &FieldPath,
        out: &mut Vec<FieldProblem>,
    ) {
        let Kind::Message(kind) = field.kind() else { return };
        if field.is_map() {
            if let (Kind::Message(kind), Value::Object(entries)) =
                (kind.map_entry_value_field().kind(), value)
            {
                entries.iter().for_each(|(key, value)| self.check(&kind, value, &at.field(key), out));
            }
        } else if let (true, Value::Array(items)) = (field.is_list(), value) {
            items.iter().enumerate().for_each(|(i, value)| self.check(&kind, value, &at.index(i), out));
        } else {
            self.check(&kind, value, at, out);
        }
    }

    fn check_any(&self, value: &Value, path: &FieldPath, out: &mut Vec<FieldProblem>) {
        let mut problem = |message| out.push(FieldProblem { path: path.field("@type"), message });
        match value.get("@type").and_then(Value::as_str) {
            None => problem("missing; it names the type of this message".to_owned()),
            Some(url) => match self.message(url) {
                Ok(kind) => self.check(&kind, value, path, out),
                Err(_) => problem(format!("{} is not supported", full_name(url))),
            },
        }
    }

    fn replace_unknown(&self, message: &mut DynamicMessage) {
        if message.descriptor().full_name() == "google.protobuf.Any" {
            return self.replace_unknown_any(message);
        }
        for (_, field) in message.fields_mut() {
            match field {
                Field::Message(inner) => self.replace_unknown(inner),
                Field::List(items) => items.iter_mut().for_each(|item| {
                    if let Field::Message(inner) = item {
                        self.replace_unknown(inner);
                    }
                }),
                Field::Map(entries) => entries.values_mut().for_each(|item| {
                    if let Field::Message(inner) = item {
                        self.replace_unknown(inner);
                    }
                }),
                _ => {}
            }
        }
    }

    fn replace_unknown_any(&self, any: &mut DynamicMessage) {
        let url = match any.get_field_by_name("type_url").as_deref() {
            Some(Field::String(url)) => url.clone(),
            _ => return,
        };
        let bytes = match any.get_field_by_name("value").as_deref() {
            Some(Field::Bytes(bytes)) => bytes.clone(),
            _ => return,
        };
        let inner = self.message(&url).ok().and_then(|kind| DynamicMessage::decode(kind, bytes.clone()).ok());
        let (url, value) = match inner {
            Some(mut inner) => {
                self.replace_unknown(&mut inner);
                (url, inner.encode_to_vec())
            }
            None => match self.stand_in(&url, bytes.len()) {
                Some(stand_in) => (format!("{}{STAND_IN}", crate::type_url::PREFIX), stand_in),
                None => return,
            },
        };
        any.set_field_by_name("type_url", Field::String(url));
        any.set_field_by_name("value", Field::Bytes(value.into()));
    }

    fn stand_in(&self, url: &str, size: usize) -> Option<Vec<u8>> {
        let document = serde_json::json!({ "type_url": url, "bytes": size });
        self.encode(STAND_IN, &document).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LISTENER: &str = "envoy.config.listener.v3.Listener";

    #[test]
    fn a_document_survives_the_way_through_the_message() {
        let document = json!({
            "name": "http",
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": 8080 } },
            "filter_chains": [{ "filters": [{ "name": "tcp", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": "t", "cluster": "c", "idle_timeout": "5s",
            } }] }],
        });
        let json = Json::load().unwrap();
        let bytes = json.encode(LISTENER, &document).unwrap();
        let message = crate::envoy::listener::Listener::decode(bytes.as_slice()).unwrap();
        assert_eq!(message.filter_chains.len(), 1);
        assert_eq!(json.decode(LISTENER, &bytes).unwrap(), document);
    }

    #[test]
    fn every_unknown_field_is_named_with_the_nearest_known_one() {
        let document = json!({
            "nam": "x",
            "filterChains": [{ "filters": [
                { "typed_config": { "@type": "type.googleapis.com/none.Such" } },
                { "typed_config": { "cluster": "c" } },
            ] }],
        });
        let error = Json::load().unwrap().encode(LISTENER, &document).unwrap_err().to_string();
        assert!(
            error.contains("nam: envoy.config.listener.v3.Listener has no such field; did you mean name?"),
            "{error}"
        );
        assert!(
            error.contains("filterChains[0].filters[0].typed_config.@type: none.Such is not supported"),
            "{error}"
        );
        assert!(error.contains("filterChains[0].filters[1].typed_config.@type: missing"), "{error}");
    }

    #[test]
    fn messages_without_descriptor_are_shown_by_type() {
        let stats = crate::pack(&crate::istio::stats::PluginConfig::default());
        let filter = crate::envoy::listener::Filter {
            name: "istio.stats".into(),
            config_type: Some(crate::envoy::listener::filter::ConfigType::TypedConfig(stats)),
        };
        let shown =
            Json::load().unwrap().decode("envoy.config.listener.v3.Filter", &filter.encode_to_vec()).unwrap();
        assert_eq!(shown["typed_config"]["value"]["type_url"], "type.googleapis.com/stats.PluginConfig");
    }

    #[test]
    fn every_message_of_the_table_that_envoy_has_can_be_written() {
        let json = Json::load().unwrap();
        for url in crate::type_url::ALL {
            let known = json.message(url).is_ok();
            assert_eq!(
                known,
                full_name(url).starts_with("envoy.") && !full_name(url).contains("metadataexchange"),
                "{url}"
            );
        }
    }
}
