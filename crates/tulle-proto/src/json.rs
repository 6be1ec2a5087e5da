//! Messages as protobuf JSON, with `Any` unfolded: how people write bootstraps and read configuration dumps.
//!
//! It works by reflection over a descriptor set that is built into the program (`descriptors.bin`, made by
//! `cargo run -p tulle-proto --example descriptors`). Loaded, it takes many times the memory of a proxy: keep a [`Json`] only
//! for as long as it is needed.

mod duration;
mod read;
mod write;

pub(crate) use read::is_wrapper;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, prost::Message as _};
use serde_json::Value;
use tulle_base::FieldPath;

use crate::any::full_name;
use crate::envoy::google::Any;
use crate::overlay::Overlay;

static DESCRIPTORS: &[u8] = include_bytes!("descriptors.bin");

/// Why JSON is not a message, or a message cannot be written as JSON.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The descriptors in this build are damaged.
    #[error("descriptors: {0}")]
    Descriptors(#[from] prost_reflect::DescriptorError),
    /// There is no such message.
    #[error("no message is called {0}")]
    NoSuchMessage(String),
    /// What is wrong in a document; all of it.
    #[error("{}", lines(.0))]
    Fields(Vec<FieldProblem>),
    /// JSON that cannot be read or written as text.
    #[error("{0}")]
    Value(#[from] serde_json::Error),
    /// Bytes that are not that message.
    #[error("the message does not decode")]
    Decode(#[from] prost::DecodeError),
}

/// Something wrong in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// Where, in the words of the document.
    pub path: FieldPath,
    /// What is wrong there.
    pub message: String,
}

fn lines(problems: &[FieldProblem]) -> String {
    problems.iter().map(|p| format!("{}: {}", p.path, p.message)).collect::<Vec<_>>().join("\n")
}

/// Reads and writes messages as JSON: everything that a bootstrap, a discovery response or a dump can hold, as far as the
/// project reads or writes it.
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

    /// Encodes a document as the message `type_name` (`envoy.config.bootstrap.v3.Bootstrap`, or a type URL). Field names may
    /// be written in either case, as protobuf JSON allows.
    ///
    /// # Errors
    /// [`JsonError::Fields`] with every unknown field or type and every wrong value.
    pub fn encode(&self, type_name: &str, document: &Value) -> Result<Vec<u8>, JsonError> {
        let descriptor = self.descriptor(type_name)?;
        match read::message(&self.0, &descriptor, document) {
            Ok(message) => Ok(message.encode_to_vec()),
            Err(problems) => Err(JsonError::Fields(problems)),
        }
    }

    /// The same, to be merged into messages.
    ///
    /// # Errors
    /// As [`Json::encode`].
    pub fn overlay(&self, type_name: &str, document: &Value) -> Result<Overlay, JsonError> {
        let descriptor = self.descriptor(type_name)?;
        match read::message(&self.0, &descriptor, document) {
            Ok(message) => Ok(Overlay::of(&message)),
            Err(problems) => Err(JsonError::Fields(problems)),
        }
    }

    /// Writes an encoded message as JSON: fields named as in the `.proto` files, defaults left out, secrets replaced by
    /// `[redacted]`. An `Any` of an unknown message keeps its bytes in base64.
    ///
    /// # Errors
    /// [`JsonError`] when there is no such message or the bytes are not it.
    pub fn decode(&self, type_name: &str, bytes: &[u8]) -> Result<Value, JsonError> {
        let message = DynamicMessage::decode(self.descriptor(type_name)?, bytes)?;
        Ok(write::message(&self.0, &message, 0))
    }

    /// What `any` holds as JSON, with its `@type`.
    pub fn any(&self, any: &Any) -> Value {
        write::any(&self.0, &any.type_url, &any.value, 0)
    }

    /// Whether the message is known.
    pub fn knows(&self, type_name: &str) -> bool {
        self.descriptor(type_name).is_ok()
    }

    fn descriptor(&self, type_name: &str) -> Result<MessageDescriptor, JsonError> {
        let name = full_name(type_name);
        self.0.get_message_by_name(name).ok_or_else(|| JsonError::NoSuchMessage(name.to_owned()))
    }
}
