//! Patches of resources: JSON, merge and strategic, and the owners of their fields.

use serde_json::Value;
use tulle_api::Kind;
use tulle_api::schema::Shape;
use tulle_apiserver::{apply, patch};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "patches",
    run,
    words: &[
        "{\"op\":\"",
        "add",
        "remove",
        "replace",
        "move",
        "copy",
        "test",
        "\"path\":\"/",
        "\"from\":\"/",
        "~0",
        "~1",
        "/-",
        "/0",
        "\"value\":",
        "null",
        "\"$patch\":\"delete\"",
        "\"$patch\":\"replace\"",
        "\"$retainKeys\":[",
        "\"$setElementOrder/",
        "\"$deleteFromPrimitiveList/",
        "\"metadata\":",
        "\"managedFields\":[",
        "\"fieldsV1\":{",
        "\"f:spec\":{",
        "\"k:{",
        "\"v:",
        "\"name\":\"a\"",
        "\"containers\":[",
        "\n",
        "{",
        "}",
        "[",
        "]",
    ],
};

/// The first line is a document, the rest a patch.
fn run(bytes: &[u8]) {
    let cut = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    let Some(target) = read(&bytes[..cut]) else { return };
    let _ = apply::Managed::of(&target);
    let Some(sent) = read(&bytes[cut..]) else { return };
    let _ = patch::json(&target, &sent);
    let _ = patch::merge(&target, &sent);
    for kind in [Kind::Pod, Kind::Service, Kind::VirtualService] {
        let _ = patch::strategic(&target, &sent, Shape::object(kind.info()));
    }
}
