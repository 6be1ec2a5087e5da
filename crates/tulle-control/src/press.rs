//! What is needed to publish resources, while one change is spread.

use std::sync::Arc;
use std::time::Instant;

use tulle_xds::server::{Hub, TypeId};

use crate::ledger::{Holder, Ledger};
use crate::sets::{Made, Mark, Pool, Published};
use crate::types::Types;

/// What is needed to publish.
pub(crate) struct Press<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) types: Types,
    pub(crate) pool: &'a mut Pool,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) at: Instant,
}

impl Press<'_> {
    /// The shared form of resources of one type.
    pub(crate) fn share(&mut self, kind: TypeId, made: &[tulle_translate::Resource]) -> Vec<Made> {
        made.iter().map(|r| self.pool.share(kind, r, None)).collect()
    }

    /// A set becomes exactly `resources`.
    pub(crate) fn replace(&mut self, set: &mut Published, resources: Vec<Made>) {
        let (holder, ledger) = (set.holder, &mut *self.ledger);
        set.replace(self.hub, resources, self.at, &mut |mark, more| {
            if let Some(holder) = holder {
                note(ledger, holder, mark, more);
            }
        });
    }

    /// One name of a set becomes `resource`, or is gone.
    pub(crate) fn set(&mut self, set: &mut Published, name: &str, resource: Option<Made>) {
        let (holder, ledger) = (set.holder, &mut *self.ledger);
        set.set(self.hub, name, resource, self.at, &mut |mark, more| {
            if let Some(holder) = holder {
                note(ledger, holder, mark, more);
            }
        });
    }
}

fn note(ledger: &mut Ledger, holder: Holder, mark: Mark<'_>, more: bool) {
    match mark {
        Mark::MadeOf(resource) => ledger.count(holder, resource, more),
        Mark::Patched(patch) => ledger.count_patch(holder, patch, more),
    }
}

/// For resources that were not made of any of the mesh's.
pub(crate) fn of_nothing(resource: Arc<tulle_xds::Resource>) -> Made {
    Made { resource, by: Arc::from([]), patches: Arc::from([]) }
}
