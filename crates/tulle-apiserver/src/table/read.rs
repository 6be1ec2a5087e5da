//! Reading values out of objects for cells.

use serde_json::{Map, Value, json};

use super::age;

/// What a cell shows where there is nothing.
pub(super) const NONE: &str = "<none>";

/// The text at a JSON pointer; empty if there is none.
pub(super) fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The text at a JSON pointer, or `<none>`.
pub(super) fn text_or_none(object: &Value, pointer: &str) -> Value {
    json!(some(text(object, pointer)))
}

/// The text, or `<none>`.
pub(super) fn some(text: &str) -> &str {
    if text.is_empty() { NONE } else { text }
}

/// The whole number at a JSON pointer; 0 if there is none.
pub(super) fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The list at a JSON pointer; empty if there is none.
pub(super) fn list<'v>(object: &'v Value, pointer: &str) -> &'v [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// How many entries the mapping or list at a JSON pointer has.
pub(super) fn count(object: &Value, pointer: &str) -> usize {
    match object.pointer(pointer) {
        Some(Value::Object(map)) => map.len(),
        Some(Value::Array(list)) => list.len(),
        _ => 0,
    }
}

/// Texts in one cell, or `<none>`; after three of them only how many more there are if `short`.
pub(super) fn join<S: AsRef<str>>(items: impl IntoIterator<Item = S>, short: bool) -> Value {
    let items: Vec<S> = items.into_iter().collect();
    let shown = if short { items.len().min(3) } else { items.len() };
    let mut text = items[..shown].iter().map(AsRef::as_ref).collect::<Vec<_>>().join(",");
    if shown < items.len() {
        text = format!("{text} + {} more...", items.len() - shown);
    }
    json!(some(&text))
}

/// Labels as a selector: `a=b,c=d`.
pub(super) fn labels(object: &Value, pointer: &str) -> Value {
    let nothing = Map::new();
    let map = object.pointer(pointer).and_then(Value::as_object).unwrap_or(&nothing);
    join(map.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())), false)
}

/// Labels and expressions of a selector: `a=b,c in (d,e)`.
pub(super) fn selector(object: &Value, pointer: &str) -> Value {
    let pairs = object.pointer(&format!("{pointer}/matchLabels")).and_then(Value::as_object);
    let mut parts: Vec<String> =
        pairs.into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    for expression in list(object, &format!("{pointer}/matchExpressions")) {
        let (key, values) = (text(expression, "/key"), list(expression, "/values"));
        let values = values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
        parts.push(match text(expression, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    join(parts, false)
}

/// Time since the object was made.
pub(super) fn since_creation(object: &Value, now: i64) -> Value {
    json!(age(text(object, "/metadata/creationTimestamp"), now))
}

/// A condition of the object's status.
pub(super) fn condition<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    list(object, "/status/conditions").iter().find(|c| c["type"] == name)
}
