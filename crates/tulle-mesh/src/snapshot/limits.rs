//! How many proxies share the limits of a RateLimit.

use std::sync::Arc;

use tulle_base::ResourceRef;

use super::apply::Apply;
use crate::item::Item;
use crate::policy::RateLimit;
use crate::workload::Workload;

impl Apply {
    /// Counts the proxies that share a RateLimit.
    pub(super) fn count_proxies(&mut self, reference: &ResourceRef) {
        let count = match self.next.items.get(reference).map(Arc::as_ref) {
            Some(Item::RateLimit(limit)) if limit.is_mesh_wide() => self.proxies_of(limit),
            _ => 0,
        };
        if self.next.proxies_of_limit(reference) == count {
            return;
        }
        if count == 0 {
            self.next.proxies_of_limit.remove_mut(reference);
        } else {
            self.next.proxies_of_limit.insert_mut(reference.clone(), count);
        }
        self.keys.limits.insert(reference.namespace.clone());
    }

    /// The ready pods with a proxy that a RateLimit selects.
    fn proxies_of(&self, limit: &RateLimit) -> u32 {
        let own = self.next.pods_in.get(limit.meta.namespace());
        let root = limit.meta.namespace() == self.next.mesh.root_namespace;
        let counts = |w: &Workload| w.ready && w.mtls_ready && limit.selector.matches(&w.labels);
        let pods: Box<dyn Iterator<Item = &Arc<Workload>>> = match root {
            true => Box::new(self.next.workloads.values()),
            false => {
                Box::new(own.into_iter().flat_map(|p| p.iter()).filter_map(|p| self.next.workloads.get(p)))
            }
        };
        u32::try_from(pods.filter(|w| counts(w)).count()).unwrap_or(u32::MAX)
    }
}
