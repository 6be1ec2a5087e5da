//! What comes from the store goes in.

use std::sync::Arc;
use std::time::Instant;

use tulle_api::{Kind, Object};
use tulle_base::ResourceRef;
use tulle_mesh::Change;
use tulle_store::{Follow, Update};
use tulle_telemetry::audit::{Entry, Event};

use super::discovery::Turned;
use super::{World, unix_now};
use crate::documents::{Taken, has_status};
use crate::metrics::Metric;
use crate::rooms::{Step, reference};
use crate::{roots, rotation};

impl World {
    /// Takes in changes of the store.
    pub(super) fn take(&mut self, updates: Vec<Update>, follow: &Follow, at: Instant) {
        let mut changes = Vec::with_capacity(updates.len());
        let mut turned = Turned::new();
        let mut synced = false;
        for update in &updates {
            if let Update::Put(object) = update {
                self.version = self.version.max(object.meta.resource_version.parse().unwrap_or(0));
            }
        }
        self.begin();
        if let Some(told) = &self.outside.told {
            for update in &updates {
                // The dashboard ends only when everything does.
                let _ = told.send(update.clone());
            }
        }
        let mut secrets = false;
        for update in updates {
            match update {
                // The mesh knows which Secrets hold certificates, not what they are.
                Update::Put(object) if object.kind() == Kind::Secret => {
                    self.secrets.change(&self.outside.hub, &object, true, at);
                    secrets = true;
                    changes.push(Change::Put(object));
                }
                Update::Delete(object) if object.kind() == Kind::Secret => {
                    self.secrets.change(&self.outside.hub, &object, false, at);
                    secrets = true;
                    changes.push(Change::Delete(object.resource()));
                }
                Update::Put(object) => {
                    self.note(&object, true);
                    if object.kind() == Kind::Namespace {
                        turned.extend(self.discovery.label(&object, true));
                    }
                    if self.discovery.sees(&object) {
                        changes.extend(self.put(object));
                    }
                }
                Update::Delete(object) => {
                    self.note(&object, false);
                    if object.kind() == Kind::Namespace {
                        turned.extend(self.discovery.label(&object, false));
                    }
                    changes.push(self.delete(&object));
                }
                Update::Synced => synced = true,
            }
        }
        changes.extend(self.turn(&turned, follow));
        let before = Instant::now();
        let mut step = self.rooms.step(&changes, &self.documents);
        let selectors = self.rooms.truth().mesh().discovery.clone();
        let turned = self.discovery.select(&selectors, follow.known().map(|o| o.meta.namespace.as_str()));
        if !turned.is_empty() {
            let more = self.turn(&turned, follow);
            step.merge(self.rooms.step(&more, &self.documents));
            changes.extend(more);
        }
        // Faults that were over before they came do not begin.
        if self.rooms.truth().next_end().is_some() || self.rooms.truth().now() > 0 {
            step.merge(self.rooms.time(unix_now()));
        }
        self.want_keys(&step);
        self.outside.metrics.observe(Metric::SnapshotTime, &[], before.elapsed().as_secs_f64());
        self.say_settings(&changes, &step);
        if step.keys.get(&0).is_some_and(|k| k.mesh) {
            self.publish_trust(at);
        }
        for resource in &step.noted {
            if self.documents.get(resource).is_some() {
                self.ledger.touch(resource);
            }
        }
        if synced && !self.synced {
            self.become_ready();
        }
        let changed: Vec<ResourceRef> = changes.iter().map(reference).collect();
        if self.synced {
            self.spread(&step, at);
            self.pardon(&changed, at);
            if secrets {
                self.grant_all(at);
            }
        }
        self.outside.hub.mark();
        self.show();
    }

    /// What is in namespaces that are read from now on comes, what is in those that are not any more goes.
    fn turn(&mut self, turned: &Turned, follow: &Follow) -> Vec<Change> {
        if turned.is_empty() {
            return Vec::new();
        }
        tracing::info!(?turned, "namespaces are read, or not any more");
        let mut changes = Vec::new();
        for object in follow.known().filter(|o| o.kind() != Kind::Secret) {
            match turned.get(&object.meta.namespace) {
                Some(true) => changes.extend(self.put(object.clone())),
                Some(false) => changes.push(self.delete(object)),
                None => {}
            }
        }
        changes
    }

    /// Tells that settings of the mesh are in force, or why they are not: a ConfigMap has no status.
    fn say_settings(&self, changes: &[Change], step: &Step) {
        if step.keys.get(&0).is_some_and(|k| k.mesh) {
            tracing::info!("other settings of the mesh are in force");
        }
        let puts = changes.iter().filter(|c| matches!(c, Change::Put(_))).map(reference);
        for map in puts.filter(|r| r.kind == "ConfigMap") {
            for problem in self.rooms.truth().diagnostics_of(&map) {
                tracing::warn!(%problem, "settings of the mesh");
            }
        }
    }

    /// Takes in an object; what of it concerns the mesh.
    fn put(&mut self, object: Arc<Object>) -> Option<Change> {
        if !has_status(object.kind()) {
            return Some(Change::Put(object));
        }
        let resource = object.resource();
        self.outside.flow.remember(&resource, object.status.as_ref());
        let refused = self.refusing.contains_key(&resource) || self.rooms.is_held(&resource);
        match self.documents.put(&object, self.epoch, refused) {
            Taken::Same => None,
            Taken::Changed => {
                self.tell_change(&object, "written", None);
                self.ledger.changed(&resource);
                Some(Change::Put(object))
            }
            Taken::Invalid => {
                self.tell_change(&object, "written", Some("it is invalid; its status says why"));
                self.ledger.touch(&resource);
                let label = [("type", object.kind().info().kind)];
                self.outside.metrics.add(Metric::RejectedConfigs, &label, 1.0);
                None
            }
        }
    }

    fn delete(&mut self, object: &Object) -> Change {
        let resource = object.resource();
        if has_status(object.kind()) {
            self.tell_change(object, "deleted", None);
            self.documents.delete(&resource);
            self.ledger.forget(&resource);
            self.outside.flow.forget(&resource);
        }
        Change::Delete(resource)
    }

    /// Tells the audit log what the mesh is configured by; what was there at the start is no change.
    fn tell_change(&self, object: &Object, change: &'static str, refused: Option<&str>) {
        if !self.synced {
            return;
        }
        let entry = Entry::new(Event::ConfigChanged, rotation::actor(object), object.resource().to_string())
            .with("change", change)
            .with("version", object.meta.resource_version.as_str());
        self.outside.audit.record(match refused {
            Some(reason) => entry.refused(reason),
            None => entry,
        });
    }

    /// What else has to know of an object.
    fn note(&mut self, object: &Arc<Object>, there: bool) {
        let event = if there { "update" } else { "delete" };
        let kind = object.kind();
        let metric = match kind.info().kind {
            "Service" | "EndpointSlice" | "Endpoints" | "Pod" | "Node" | "Namespace" => {
                Metric::RegistryEvents
            }
            _ => Metric::ConfigEvents,
        };
        self.outside.metrics.add(metric, &[("type", kind.info().kind), ("event", event)], 1.0);
        if there && rotation::concerns(object, &self.rooms.truth().mesh().root_namespace) {
            // The CA ends only when everything does.
            let _ = self.outside.ca_requests.send(object.clone());
        }
        if there {
            self.outside.accounts.put(object);
        } else {
            self.outside.accounts.delete(object);
        }
        let namespace = match kind {
            Kind::Namespace if there => {
                self.namespaces.insert(object.meta.name.clone());
                Some(&object.meta.name)
            }
            Kind::Namespace => {
                self.namespaces.remove(&object.meta.name);
                None
            }
            // Somebody changed it, or took it away; unless it went with its namespace.
            Kind::ConfigMap if roots::concerns(object) => {
                Some(&object.meta.namespace).filter(|ns| self.namespaces.contains(*ns))
            }
            _ => None,
        };
        if let Some(namespace) = namespace {
            // The publisher ends only when everything does.
            let _ = self.outside.namespaces.send(namespace.clone());
        }
    }
}
