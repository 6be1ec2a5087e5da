//! What changed goes out to whom it concerns, and is counted.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use tulle_mesh::ChangedKeys;

use super::World;
use crate::metrics::Metric;
use crate::press::Press;
use crate::rooms::Step;

impl World {
    /// Makes again what depends on what changed, for everybody.
    pub(super) fn spread(&mut self, step: &Step, at: Instant) {
        if step.keys.values().all(ChangedKeys::is_empty) {
            return;
        }
        let before = Instant::now();
        if let Some(changed) = step.keys.get(&0) {
            self.count(changed);
        }
        // Looked at before the views change: what concerns a client is judged by the view that it had.
        let concerned = self.concerned(step);
        let mut press = Press {
            hub: &self.outside.hub,
            types: self.types,
            pool: &mut self.pool,
            ledger: &mut self.ledger,
            at,
        };
        for ((room, _), shared) in &mut self.views {
            if let Some(changed) = step.keys.get(room).filter(|c| !c.is_empty()) {
                shared.update(&mut press, self.rooms.snapshot(*room), changed);
            }
        }
        let metrics = Arc::clone(&self.outside.metrics);
        metrics.observe(Metric::DebounceTime, &[], before.saturating_duration_since(at).as_secs_f64());
        for refresh in concerned {
            metrics.observe(Metric::QueueTime, &[], before.elapsed().as_secs_f64());
            self.refresh(refresh, at);
        }
        self.pool.count(&self.outside.metrics);
        self.outside.metrics.observe(Metric::PushTime, &[], before.elapsed().as_secs_f64());
    }

    pub(super) fn count(&self, changed: &ChangedKeys) {
        let metrics = &self.outside.metrics;
        let updates = [
            ("svc", changed.services.len()),
            ("eds", changed.endpoints.len()),
            (
                "config",
                changed.routes.len()
                    + changed.destinations.len()
                    + changed.policies.len()
                    + changed.telemetry.len(),
            ),
        ];
        for (kind, n) in updates.iter().filter(|(_, n)| *n > 0) {
            metrics.add(Metric::InboundUpdates, &[("type", kind)], *n as f64);
        }
        let causes = [
            ("service", !changed.services.is_empty()),
            ("endpoint", !changed.endpoints.is_empty()),
            ("config", updates[2].1 > 0),
            ("proxy", !changed.workloads.is_empty()),
            ("global", changed.mesh),
        ];
        for (cause, _) in causes.iter().filter(|(_, yes)| *yes) {
            metrics.add(Metric::PushTriggers, &[("type", cause)], 1.0);
        }
        let snapshot = self.rooms.truth();
        if !changed.services.is_empty() {
            metrics.set(Metric::Services, &[], snapshot.services().count() as f64);
        }
        if !changed.routes.is_empty() {
            let sets: HashSet<_> = snapshot.routes().map(|(_, r)| r.meta.resource.clone()).collect();
            metrics.set(Metric::VirtualServices, &[], sets.len() as f64);
        }
    }
}
