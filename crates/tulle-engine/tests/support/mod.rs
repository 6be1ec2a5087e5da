//! What the tests of compilation have in common.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses a part, and a test may stop"
)]

use prost::{Message, Name};
use serde_json::Value;
use tulle_proto::json::Json;

/// The message that a document stands for.
pub fn message<M: Message + Name + Default>(document: &Value) -> M {
    thread_local!(static JSON: Json = Json::load().unwrap());
    let bytes = match JSON.with(|json| json.encode(&M::full_name(), document)) {
        Ok(bytes) => bytes,
        Err(error) => panic!("{error}"),
    };
    M::decode(bytes.as_slice()).unwrap()
}

/// Puts `value` at `path` (`a.b[0].c`) of a document; what is missing on the way must be there but for the last step.
pub fn put(document: &mut Value, path: &str, value: Value) {
    let pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
    if let Some(place) = document.pointer_mut(&pointer) {
        *place = value;
        return;
    }
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
    parent[name] = value;
}
