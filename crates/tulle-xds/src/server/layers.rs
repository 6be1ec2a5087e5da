//! Several sets seen as one.

use std::sync::Arc;

use hashbrown::HashMap;

use super::ids::SetId;
use super::set::Set;
use crate::Resource;

/// The sets of one type that a stream is bound to. No name is in two of them.
pub type Layers = Arc<[SetId]>;

/// What `name` stands for, to a stream that asked for it by name (`named`) or for everything.
pub(super) fn lookup<'a>(
    sets: &'a HashMap<SetId, Set>,
    layers: &Layers,
    name: &str,
    named: bool,
) -> Option<&'a Arc<Resource>> {
    let in_force = layers.iter().filter_map(|id| sets.get(id)).find_map(|set| set.current(name));
    if in_force.is_some() || !named {
        return in_force;
    }
    layers.iter().filter_map(|id| sets.get(id)).find_map(|set| set.stand_in(name))
}

/// Epoch of the last change of `name`; 0 when it never existed.
pub(super) fn epoch_of(sets: &HashMap<SetId, Set>, layers: &Layers, name: &str) -> u64 {
    layers.iter().filter_map(|id| sets.get(id)).map(|set| set.epoch_of(name)).max().unwrap_or(0)
}

/// Every resource that exists in the sets.
pub(super) fn resources<'a>(
    sets: &'a HashMap<SetId, Set>,
    layers: &'a Layers,
) -> impl Iterator<Item = &'a Arc<Resource>> {
    layers.iter().filter_map(|id| sets.get(id)).flat_map(Set::resources)
}
