//! What proxies do: they come, go, take what they were sent or refuse it.

use tulle_xds::server::{CoreEvent, HubEvent, StreamId};

use super::World;
use super::clients::Opening;
use crate::metrics::Metric;
use crate::register;

impl World {
    pub(super) fn hear(&mut self, event: HubEvent) {
        match event {
            HubEvent::Opening { stream, node, peer, protocol } => {
                let opening = Opening { stream, node, peer, protocol };
                if self.synced {
                    self.begin();
                    self.open(opening);
                    self.outside.hub.mark();
                } else {
                    self.waiting.push(opening);
                }
            }
            HubEvent::Closed { stream } => self.close(stream),
            HubEvent::Core(event) => self.core_event(event),
            HubEvent::Marked { epoch } => {
                let before = self.outside.standing.marked(epoch);
                self.ledger.touch_due(before, epoch);
                self.try_again();
            }
            HubEvent::Sent { stream, kind, bytes, .. } => {
                self.note_push(stream);
                let label = [("type", self.types.label(kind))];
                self.outside.metrics.add(Metric::Pushes, &label, 1.0);
                self.outside.metrics.observe(Metric::ConfigSize, &label, bytes as f64);
            }
            HubEvent::Expelled { stream, violation } => {
                self.outside.metrics.add(Metric::InternalErrors, &[], 1.0);
                tracing::warn!(proxy = self.name_of(stream), %violation, "stream ended");
            }
        }
    }

    fn core_event(&mut self, event: CoreEvent) {
        let metrics = &self.outside.metrics;
        match event {
            CoreEvent::Accepted { converged_in, .. } => {
                if let Some(time) = converged_in {
                    metrics.observe(Metric::Convergence, &[], time.as_secs_f64());
                }
            }
            CoreEvent::Refused { stream, kind, errors } => self.refused(stream, kind, errors),
            CoreEvent::Reached { stream, epoch } => self.reached(stream, epoch),
            CoreEvent::StaleNonce { .. } => metrics.add(Metric::ExpiredNonce, &[], 1.0),
            CoreEvent::UnknownType { stream, type_url, problem } if type_url == register::HEALTH => {
                let client = self.clients.get(&stream);
                if client.is_some_and(|client| register::wanted(&client.proxy).is_some()) {
                    tracing::info!(proxy = self.name_of(stream), ?problem, "workload told its health");
                    self.tell_registrar(register::Told::Health(stream, problem));
                }
            }
            CoreEvent::UnknownType { stream, type_url, problem: _ } => {
                tracing::debug!(
                    proxy = self.name_of(stream),
                    type_url,
                    "asked for a type that is not served"
                );
            }
        }
    }

    /// A proxy got on, or fell behind.
    fn reached(&mut self, stream: StreamId, epoch: u64) {
        let (before, now) = self.outside.standing.reached(stream, epoch);
        let Some(client) = self.clients.get(&stream) else { return };
        if before < client.joined || now < client.joined {
            self.ledger.touch_holder(client.own.holder);
            if let Some(shared) = self.views.get(&client.view_key()) {
                self.ledger.touch_holder(shared.holder);
            }
        } else {
            self.ledger.touch_due(before.min(now), before.max(now));
        }
        self.try_again();
    }

    pub(super) fn name_of(&self, stream: StreamId) -> String {
        self.clients.get(&stream).map(|c| c.proxy.pod.to_string()).unwrap_or_default()
    }
}
