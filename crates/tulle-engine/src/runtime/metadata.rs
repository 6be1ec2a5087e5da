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

/// The value as JSON; whole numbers without fraction.
pub fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(b) => serde_json::Value::from(*b),
        #[allow(clippy::cast_possible_truncation, reason = "checked to be a whole number that fits")]
        Value::Number(n) if n.fract() == 0.0 && n.abs() < 9e15 => serde_json::Value::from(*n as i64),
        Value::Number(n) => serde_json::Value::from(*n),
        Value::String(text) => serde_json::Value::from(&**text),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Struct(fields) => fields.iter().map(|(key, value)| (key.to_string(), json(value))).collect(),
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
