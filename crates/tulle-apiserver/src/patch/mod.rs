//! Patches: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7386), and Kubernetes' strategic merge patch.
//!
//! Each is a function from a document and a patch to a new document; the document itself is not touched.

mod json;
mod merge;
mod strategic;

pub use json::json;
pub use merge::merge;
pub use strategic::strategic;

use serde_json::Value;

/// Deepest nesting of a patched document. Documents that are read are no deeper, so nothing that was patched could
/// not be read again.
pub const MAX_DEPTH: usize = 120;

/// Why a patch was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// It is not a patch of its kind; 400.
    #[error("{0}")]
    Malformed(String),
    /// It cannot be done to this document; 422.
    #[error("{0}")]
    Unapplicable(String),
}

fn malformed<T>(message: impl Into<String>) -> Result<T, PatchError> {
    Err(PatchError::Malformed(message.into()))
}

fn unapplicable<T>(message: impl Into<String>) -> Result<T, PatchError> {
    Err(PatchError::Unapplicable(message.into()))
}

/// Whether `value` is nested deeper than `levels`.
fn deeper_than(value: &Value, levels: usize) -> bool {
    let below = |v: &Value| levels == 0 || deeper_than(v, levels - 1);
    match value {
        Value::Array(list) => levels == 0 || list.iter().any(below),
        Value::Object(map) => levels == 0 || map.values().any(below),
        _ => false,
    }
}

/// A value in a message: short ones as they are.
fn brief(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
        other => {
            let text = other.to_string();
            if text.chars().count() <= 60 { text } else { "a long text".to_owned() }
        }
    }
}
