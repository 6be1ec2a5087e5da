//! Protobuf's JSON form: Envoy's YAML and JSON files to protobuf, and protobuf to JSON for dumps.
//!
//! It works by reflection over a descriptor set that is built into the program (`descriptors.bin`, made by
//! `cargo run -p tulle-proto --example descriptors`). A loaded [`Schema`] takes a few megabytes: load it where it is needed
//! and drop it, or, for a bootstrap, call [`bootstrap_to_binary`] in a process that does nothing else.

mod document;
mod duration;
mod read;
mod write;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, prost::Message as _};
use tulle_base::FieldPath;

use crate::envoy::google::Any;

pub use document::{Node, NodeKind, parse_document};

static DESCRIPTORS: &[u8] = include_bytes!("descriptors.bin");

/// Something wrong in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The way to it; empty for the document as a whole.
    pub path: FieldPath,
    /// The line, from 1; 0 where there is none.
    pub line: u32,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for Problem {
    /// `line 7: static_resources.listeners[0].adress: unknown field; did you mean address?`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.path.as_str().is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Why a message has no JSON form here.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum JsonError {
    /// The message is not in the descriptor set.
    #[error("{0} is not known")]
    Unknown(String),
    /// The bytes are not that message.
    #[error("{name} does not decode")]
    Decode {
        /// The message.
        name: String,
        /// What the decoder says.
        #[source]
        source: prost::DecodeError,
    },
}

/// The messages that have a JSON form here: everything that a bootstrap, a discovery response or a dump can hold, as far
/// as the project reads or writes it.
#[derive(Debug)]
pub struct Schema {
    pool: DescriptorPool,
}

impl Schema {
    /// Loads the descriptor set.
    pub fn load() -> Self {
        Self { pool: DescriptorPool::decode(DESCRIPTORS).expect("the descriptor set is built in and tested") }
    }

    /// The bytes of message `name` (its full name) from its JSON form. Field names may be written as in the `.proto` file or
    /// in camel case; unknown ones, wrong types and wrong values are problems, all of which are found.
    ///
    /// # Errors
    /// Every problem.
    pub fn encode(&self, name: &str, node: &Node) -> Result<Vec<u8>, Vec<Problem>> {
        let Ok(descriptor) = self.descriptor(name) else {
            let message = format!("message {name} is not known");
            return Err(vec![Problem { path: FieldPath::root(), line: node.line, message }]);
        };
        read::message(&self.pool, &descriptor, node).map(|message| message.encode_to_vec())
    }

    /// The JSON form of message `name` in `bytes`: field names as in the `.proto` file, defaults left out, secrets
    /// replaced by `[redacted]`. An `Any` of an unknown message keeps its bytes in base64.
    ///
    /// # Errors
    /// [`JsonError`] when the message is unknown or malformed.
    pub fn to_json(&self, name: &str, bytes: &[u8]) -> Result<serde_json::Value, JsonError> {
        let descriptor = self.descriptor(name)?;
        let message = DynamicMessage::decode(descriptor, bytes)
            .map_err(|source| JsonError::Decode { name: name.to_owned(), source })?;
        Ok(write::message(&self.pool, &message, 0))
    }

    /// The JSON form of a typed message.
    ///
    /// # Errors
    /// As [`Schema::to_json`].
    pub fn message_to_json<M: prost::Message + prost::Name>(
        &self,
        message: &M,
    ) -> Result<serde_json::Value, JsonError> {
        self.to_json(&M::full_name(), &message.encode_to_vec())
    }

    /// The JSON form of what `any` holds, with its `@type`.
    pub fn any_to_json(&self, any: &Any) -> serde_json::Value {
        write::any(&self.pool, &any.type_url, &any.value, 0)
    }

    /// Whether message `name` is known.
    pub fn knows(&self, name: &str) -> bool {
        self.pool.get_message_by_name(name).is_some()
    }

    fn descriptor(&self, name: &str) -> Result<MessageDescriptor, JsonError> {
        self.pool.get_message_by_name(name).ok_or_else(|| JsonError::Unknown(name.to_owned()))
    }
}

/// The binary form of an Envoy bootstrap in YAML or JSON.
///
/// # Errors
/// Every problem, syntax first: a document that cannot be parsed has one.
pub fn bootstrap_to_binary(yaml_or_json: &str) -> Result<Vec<u8>, Vec<Problem>> {
    let document = parse_document(yaml_or_json).map_err(|problem| vec![problem])?;
    Schema::load().encode("envoy.config.bootstrap.v3.Bootstrap", &document)
}
