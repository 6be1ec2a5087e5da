//! Who set which field: kept in `metadata.managedFields` by every write.

use serde_json::Value;
use tulle_api::Object;
use tulle_api::schema::Shape;

use crate::apply::{self, Writer};
use crate::call::now;
use crate::error::ApiError;
use crate::path::Place;
use crate::render;

/// Notes in `after` that `manager` changed it from `before`; `sub` is the subresource, empty for the object itself.
///
/// # Errors
/// 400 for a name of a manager that cannot be kept.
pub(crate) fn update(
    before: Option<&Object>,
    after: &mut Object,
    place: &Place,
    manager: &str,
    sub: &str,
) -> Result<(), ApiError> {
    apply::check_manager(manager).map_err(ApiError::bad_request)?;
    let writer = Writer { manager, subresource: sub, now: &now(), shape: Shape::object(place.kind.info()) };
    let before = before.map(|b| render::object(b, place, None));
    let noted = apply::update(before.as_ref(), &render::object(after, place, None), &writer);
    after.meta.managed_fields = noted["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let same = |b: &Value| {
        without_times(&b["metadata"]["managedFields"]) == without_times(&noted["metadata"]["managedFields"])
    };
    if let Some(before) = before.as_ref().filter(|b| same(b)) {
        // Nothing but the time is new: the object stays as it is, and its version too.
        after.meta.managed_fields =
            before["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    }
    Ok(())
}

fn without_times(entries: &Value) -> Vec<Value> {
    let mut entries = entries.as_array().cloned().unwrap_or_default();
    for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
        entry.remove("time");
    }
    entries
}
