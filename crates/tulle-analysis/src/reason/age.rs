//! Who was there first: Istio's tie-break wherever two resources claim the same.

use std::cmp::Ordering;

use tulle_api::Object;

/// Oldest first; ties by name, then by namespace. An unknown age is the oldest.
pub fn by_age(a: &Object, b: &Object) -> Ordering {
    let created = |o: &Object| o.meta.creation_timestamp.as_ref().map(|t| t.as_str().to_owned());
    created(a)
        .cmp(&created(b))
        .then_with(|| a.meta.name.cmp(&b.meta.name))
        .then_with(|| a.meta.namespace.cmp(&b.meta.namespace))
}

/// Why `winner` goes before `loser`, in words.
pub fn reason(winner: &Object, loser: &Object) -> &'static str {
    if winner.meta.creation_timestamp == loser.meta.creation_timestamp {
        "comes first by name"
    } else {
        "is older"
    }
}
