//! Reading and writing of texts, numbers, lists and mappings.

use std::collections::BTreeMap;

use serde_json::{Number, Value};
use tulle_base::nearest::nearest;

use super::{At, Context, Field, TypeInfo};
use crate::node::{Data, Node};

impl Field for String {
    const TYPE: TypeInfo = TypeInfo::String;
    const REQUIRED: bool = false;

    fn decode(node: &Node, at: &At<'_>, cx: &mut Context) -> Option<Self> {
        match &node.data {
            Data::String(text) => Some(text.to_string()),
            Data::Bool(_, text) | Data::Int(_, text) | Data::Float(_, text) => {
                let message = format!("must be text but is {}", node.describe());
                cx.error(node, at, message, format!("put it in quotes: \"{text}\""));
                None
            }
            Data::Null | Data::List(_) | Data::Map(_) => {
                cx.wrong_type(node, at, "text");
                None
            }
        }
    }

    fn absent() -> Option<Self> {
        Some(String::new())
    }

    fn encode(&self) -> Value {
        Value::String(self.clone())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl Field for bool {
    const TYPE: TypeInfo = TypeInfo::Bool;

    fn decode(node: &Node, at: &At<'_>, cx: &mut Context) -> Option<Self> {
        match &node.data {
            Data::Bool(b, _) => Some(*b),
            _ => {
                cx.wrong_type(node, at, "true or false");
                None
            }
        }
    }

    fn encode(&self) -> Value {
        Value::Bool(*self)
    }
}

macro_rules! whole_numbers {
    ($($ty:ty),+) => { $(
        impl Field for $ty {
            const TYPE: TypeInfo = TypeInfo::Int { min: <$ty>::MIN as i128, max: <$ty>::MAX as i128 };

            fn decode(node: &Node, at: &At<'_>, cx: &mut Context) -> Option<Self> {
                let Some(number) = whole(node) else {
                    cx.wrong_type(node, at, "a whole number");
                    return None;
                };
                let read = <$ty>::try_from(number).ok();
                if read.is_none() {
                    let range = format!("must be between {} and {} but is {number}", <$ty>::MIN, <$ty>::MAX);
                    cx.error(node, at, range, "");
                }
                read
            }

            fn encode(&self) -> Value {
                Value::Number(Number::from(*self))
            }
        }
    )+ };
}
whole_numbers!(i32, i64, u16, u32, u64);

/// A whole number; also one written with an exponent or a fraction of zero, as protobuf JSON and Kubernetes read it.
fn whole(node: &Node) -> Option<i128> {
    match &node.data {
        Data::Int(i, _) => Some(*i),
        #[allow(clippy::cast_possible_truncation, reason = "checked to be whole and small enough")]
        Data::Float(f, _) if f.fract() == 0.0 && f.abs() < 1e15 => Some(*f as i128),
        _ => None,
    }
}

impl Field for f64 {
    const TYPE: TypeInfo = TypeInfo::Double;

    fn decode(node: &Node, at: &At<'_>, cx: &mut Context) -> Option<Self> {
        match &node.data {
            Data::Float(f, _) if f.is_finite() => Some(*f),
            #[allow(clippy::cast_precision_loss, reason = "a double has no more than this")]
            Data::Int(i, _) => Some(*i as f64),
            _ => {
                cx.wrong_type(node, at, "a number");
                None
            }
        }
    }

    fn encode(&self) -> Value {
        #[allow(clippy::cast_possible_truncation, reason = "checked to be whole and small enough")]
        if self.fract() == 0.0 && self.abs() < 1e15 {
            return Value::Number(Number::from(*self as i64));
        }
        Number::from_f64(*self).map_or(Value::Null, Value::Number)
    }
}

impl<T: Field> Field for Option<T> {
    const TYPE: TypeInfo = T::TYPE;
    const REQUIRED: bool = false;

    fn decode(node: &Node, at: &At<'_>, cx: &mut Context) -> Option<Self> {
        T::decode(node, at, cx).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn encode(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::encode)
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Field> Field for Box<T> {
    const TYPE: TypeInfo = T::TYPE;
    const REQUIRED: bool = T::REQUIRED;

    fn decode(node: &Node, at: &At<'_>, cx: &mut Context) -> Option<Self> {
        T::decode(node, at, cx).map(Box::new)
    }

    fn absent() -> Option<Self> {
        T::absent().map(Box::new)
    }

    fn encode(&self) -> Value {
        T::encode(self)
    }

    fn is_absent(&self) -> bool {
        T::is_absent(self)
    }
}

impl<T: Field> Field for Vec<T> {
    const TYPE: TypeInfo = TypeInfo::List(&T::TYPE);
    const REQUIRED: bool = false;

    fn decode(node: &Node, at: &At<'_>, cx: &mut Context) -> Option<Self> {
        let Data::List(items) = &node.data else {
            let message = format!("must be a list but is {}", node.describe());
            cx.error(node, at, message, "begin each element with \"- \"");
            return None;
        };
        // Plain loops here and in `encode`: this is compiled for each type that is listed somewhere.
        let mut out = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let here = at.index(i);
            if item.is_null() {
                cx.error(item, &here, "is empty", "remove it or give it a value");
            } else if let Some(read) = T::decode(item, &here, cx) {
                out.push(read);
            }
        }
        (out.len() == items.len()).then_some(out)
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }

    fn encode(&self) -> Value {
        let mut out = Vec::with_capacity(self.len());
        for item in self {
            out.push(item.encode());
        }
        Value::Array(out)
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

/// What can be the key of a mapping. Documents always write it as text.
pub trait MapKey: Ord + Sized {
    /// Reads a key; a sentence says what is wrong.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the key.
    fn read(text: &str) -> Result<Self, String>;

    /// Writes it back.
    fn write(&self) -> String;
}

impl MapKey for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn write(&self) -> String {
        self.clone()
    }
}

impl MapKey for u32 {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("the key {text:?} must be a whole number"))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl<K: MapKey, T: Field> Field for BTreeMap<K, T> {
    const TYPE: TypeInfo = TypeInfo::Map(&T::TYPE);
    const REQUIRED: bool = false;

    fn decode(node: &Node, at: &At<'_>, cx: &mut Context) -> Option<Self> {
        let Data::Map(entries) = &node.data else {
            cx.wrong_type(node, at, "a mapping");
            return None;
        };
        let mut out = BTreeMap::new();
        let mut ok = true;
        for entry in entries {
            let here = at.field(&entry.key);
            let key = K::read(&entry.key).map_err(|e| cx.error(&entry.value, &here, e, "")).ok();
            let value = if entry.value.is_null() {
                cx.error(&entry.value, &here, "is empty", "remove it or give it a value");
                None
            } else {
                T::decode(&entry.value, &here, cx)
            };
            match (key, value) {
                (Some(key), Some(value)) => drop(out.insert(key, value)),
                _ => ok = false,
            }
        }
        ok.then_some(out)
    }

    fn absent() -> Option<Self> {
        Some(BTreeMap::new())
    }

    fn encode(&self) -> Value {
        let mut out = serde_json::Map::new();
        for (key, value) in self {
            out.insert(key.write(), value.encode());
        }
        Value::Object(out)
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

/// Any JSON, kept as it is.
impl Field for Value {
    const TYPE: TypeInfo = TypeInfo::Json;

    fn decode(node: &Node, _: &At<'_>, _: &mut Context) -> Option<Self> {
        Some(node.to_json())
    }

    fn encode(&self) -> Value {
        self.clone()
    }
}

/// Sets a field of a record that is being written.
#[inline(never)]
pub(crate) fn put(map: &mut serde_json::Map<String, Value>, name: &str, value: Value) {
    map.insert(name.to_owned(), value);
}

/// Reports that a value is none of `words`.
pub(crate) fn unknown_word(node: &Node, at: &At<'_>, words: &'static [&'static str], cx: &mut Context) {
    let fix = match node.as_str().and_then(|text| nearest(text, words.iter().copied())) {
        Some(near) => format!("did you mean {near}?"),
        None => String::new(),
    };
    let message = format!("must be one of {} but is {}", words.join(", "), node.describe());
    cx.error(node, at, message, fix);
}
