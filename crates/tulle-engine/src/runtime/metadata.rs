//! Values of `google.protobuf.Struct`, as metadata carries them.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A value of metadata.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `null`, or nothing.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A text.
    String(Arc<str>),
    /// A list.
    List(Vec<Value>),
    /// Fields by name.
    Struct(Fields),
}

/// Fields by name.
pub type Fields = BTreeMap<Arc<str>, Value>;

/// Metadata by filter name: `filter_metadata` of Envoy's `Metadata`, and the dynamic metadata of a request.
pub type Metadata = BTreeMap<Arc<str>, Fields>;

impl Value {
    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }
}

/// The value at `path` of `filter`'s metadata; `None` if any step is missing.
pub fn lookup<'m>(metadata: &'m Metadata, filter: &str, path: &[Arc<str>]) -> Option<&'m Value> {
    let (first, rest) = path.split_first()?;
    let mut value = metadata.get(filter)?.get(first)?;
    for key in rest {
        match value {
            Value::Struct(fields) => value = fields.get(key)?,
            _ => return None,
        }
    }
    Some(value)
}
