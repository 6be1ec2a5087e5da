//! Merging values into messages.

use tulle_mesh::envoy_filter::PatchValue;
use tulle_proto::{Any, Message, Overlay};

/// Merges `overlay` into `target`; whether that could be done.
pub(super) fn into<M: Message>(target: &mut M, overlay: &Overlay, replace_lists: bool) -> bool {
    let merged = overlay.onto(&target.to_wire(), replace_lists);
    match merged.and_then(|bytes| M::from_wire(&bytes).ok()) {
        Some(merged) => {
            *target = merged;
            true
        }
        None => false,
    }
}

/// Merges the configuration of an extension into one of the same type; whether it is of the same type.
pub(super) fn into_any(target: &mut Any, value: &PatchValue, replace_lists: bool) -> bool {
    let Some((url, overlay)) = &value.typed_config else { return false };
    if tulle_proto::any::full_name(url) != tulle_proto::any::full_name(&target.type_url) {
        return false;
    }
    match overlay.onto(&target.value, replace_lists) {
        Some(merged) => {
            target.value = merged;
            true
        }
        None => false,
    }
}
