//! Rules about single objects, beyond the types of their fields.

use tulle_base::Diagnostics;

use crate::object::Object;

/// Every rule that `object` breaks on its own, as Istio's and Kubernetes' validation would. Each finding has its field;
/// the place is that of the object, if known.
pub fn validate(object: &Object) -> Diagnostics {
    let _ = object;
    Vec::new()
}
