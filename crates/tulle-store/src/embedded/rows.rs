//! Objects and changes as the database keeps them.

use std::sync::Arc;

use serde_json::Value;
use tulle_api::Object;

use crate::store::{Change, Event, Version};
use crate::wire::messages::{object, object_json};

/// What of an object is kept over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All of it.
    All,
    /// All but its status, which is found out anew.
    WithoutStatus,
    /// Nothing: whoever made it makes it again.
    Nothing,
}

/// Group, plural, namespace and name; unique, and in the order of listings within a kind.
pub(super) fn row_key(object: &Object) -> String {
    let info = object.kind().info();
    format!("{}/{}/{}/{}", info.group, info.plural, object.meta.namespace, object.meta.name)
}

/// The object with its place in a file, as JSON.
pub(super) fn encode(object: &Object) -> Vec<u8> {
    object_json(object).to_string().into_bytes()
}

/// The same without its status.
pub(super) fn encode_without_status(object: &Object) -> Vec<u8> {
    match &object.status {
        None => encode(object),
        Some(_) => {
            let mut object = object.clone();
            object.status = None;
            encode(&object)
        }
    }
}

/// Reads what [`encode`] wrote; the reason in words if it cannot be read.
pub(super) fn decode(bytes: &[u8]) -> Result<Object, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    object(Some(&value)).map_err(|e| e.to_string())
}

/// What kind of change a row of the log is.
pub(super) const PUT: u8 = 1;
/// See [`PUT`].
pub(super) const DELETE: u8 = 2;

/// A change as a row of the log.
pub(super) fn encode_change(change: &Change) -> Option<(u8, Vec<u8>)> {
    match &change.event {
        Event::Put(object) => Some((PUT, encode(object))),
        Event::Delete(object) => Some((DELETE, encode(object))),
        Event::Bookmark => None,
    }
}

/// Reads what [`encode_change`] wrote.
pub(super) fn decode_change(version: Version, tag: u8, bytes: &[u8]) -> Result<Change, String> {
    let object = Arc::new(decode(bytes)?);
    let event = match tag {
        PUT => Event::Put(object),
        DELETE => Event::Delete(object),
        other => return Err(format!("a change of the unknown kind {other}")),
    };
    Ok(Change { version, event })
}
