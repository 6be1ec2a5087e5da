//! From client-side to server-side apply: fields that kubectl noted in its annotation are its own.

use serde_json::Value;
use tulle_api::schema::Shape;

use super::set::Set;
use super::walk;

/// Where kubectl keeps what it applied last on the client's side.
pub(crate) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The fields that kubectl applied on the client's side and nobody changed since.
pub(super) fn last_applied_fields(live: &Value, shape: &Shape) -> Set {
    let Some(applied) = annotation(live).and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
        return Set::default();
    };
    let mut fields = walk::fields(&applied, shape);
    let difference = walk::difference(live, &applied, shape);
    fields.subtract(&difference.changed());
    fields
}

/// Keeps the annotation true, so that client-side apply works after server-side apply.
pub(super) fn refresh_last_applied(live: &Value, applied: &Value, merged: &mut Value) {
    if annotation(live).is_none() {
        return;
    }
    let mut noted = applied.clone();
    if let Some(annotations) = noted.get_mut("metadata").and_then(|m| m.get_mut("annotations"))
        && let Some(annotations) = annotations.as_object_mut()
    {
        annotations.remove(LAST_APPLIED);
    }
    if let Some(text) = merged.pointer_mut("/metadata/annotations").and_then(|a| a.get_mut(LAST_APPLIED)) {
        *text = Value::String(format!("{noted}\n"));
    }
}

fn annotation(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(LAST_APPLIED)?.as_str()
}
