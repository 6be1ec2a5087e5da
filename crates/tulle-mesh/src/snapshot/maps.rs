//! Small changes of persistent maps.

use std::sync::Arc;

use tulle_base::{Diagnostics, ResourceRef};

use super::{Map, Set};
use crate::meta::Meta;

/// Keeps the findings of a document; none are not kept.
pub(super) fn store_notes(
    into: &mut Map<ResourceRef, Arc<Diagnostics>>,
    reference: &ResourceRef,
    notes: Diagnostics,
) {
    if notes.is_empty() {
        into.remove_mut(reference);
    } else {
        into.insert_mut(reference.clone(), Arc::new(notes));
    }
}

/// Takes what `reference` made out of the list at `key` and puts `new` in, oldest first.
pub(super) fn update_aged<K: Ord + Clone, V: Clone + Send + Sync + 'static>(
    map: &mut Map<K, Arc<Vec<Arc<V>>>>,
    key: &K,
    reference: &ResourceRef,
    new: Option<&V>,
    meta: fn(&V) -> &Meta,
) {
    let mut list = map.get(key).map(|l| Vec::clone(l)).unwrap_or_default();
    list.retain(|v| meta(v).resource != *reference);
    if let Some(new) = new {
        list.push(Arc::new(new.clone()));
        list.sort_by(|a, b| meta(a).by_age(meta(b)));
    }
    if list.is_empty() {
        map.remove_mut(key);
    } else {
        map.insert_mut(key.clone(), Arc::new(list));
    }
}

/// Puts `value` into the set at `key`, or takes it out.
pub(super) fn update_set<K: Ord + Clone, V: Ord + Clone + Send + Sync + 'static>(
    map: &mut Map<K, Set<V>>,
    key: &K,
    value: &V,
    there: bool,
) {
    let old = map.get(key);
    if old.is_some_and(|s| s.contains(value)) == there {
        return;
    }
    let mut set = old.cloned().unwrap_or_default();
    if there {
        set.insert_mut(value.clone());
    } else {
        set.remove_mut(value);
    }
    if set.is_empty() {
        map.remove_mut(key);
    } else {
        map.insert_mut(key.clone(), set);
    }
}
