//! What is needed to publish resources, while one change is spread.

use std::sync::Arc;
use std::time::Instant;

use tulle_xds::Resource;
use tulle_xds::server::{Hub, TypeId};

use crate::sets::Pool;
use crate::types::Types;

/// What is needed to publish.
pub(crate) struct Press<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) types: Types,
    pub(crate) pool: &'a mut Pool,
    pub(crate) at: Instant,
}

impl Press<'_> {
    /// The shared form of resources of one type.
    pub(crate) fn share(&mut self, kind: TypeId, made: &[tulle_translate::Resource]) -> Vec<Arc<Resource>> {
        made.iter().map(|r| self.pool.share(kind, r, None)).collect()
    }
}
