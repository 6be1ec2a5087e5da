//! The controllers: what the manifests want against what is there. Each is a pure function from a [`view::View`] to
//! [`Action`]s; time and randomness are arguments.

pub mod admission;
mod basics;
pub mod endpoints;
pub mod families;
pub mod inject;
mod job;
mod names;
mod pods;
mod replicas;
pub mod routes;
mod stateful;
#[cfg(test)]
mod tests;
pub mod view;

use serde_json::Value;
use tulle_api::Object;
use tulle_base::ResourceRef;

pub use names::Names;
pub use pods::{PodFacts, pod_facts};

use view::View;

/// A change that a controller wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create or replace.
    Put(Box<Object>),
    /// Replace the status.
    Status(ResourceRef, Value),
    /// Delete; a pod is asked to stop first, see `pods::terminate`.
    Delete(ResourceRef),
}

/// Everything that the controllers want changed, given what there is. Applying the actions and asking again ends in no
/// actions, as long as nothing else changes. `now` is in seconds since 1970.
pub fn reconcile(view: &View, names: &mut Names, now: i64) -> Vec<Action> {
    let mut actions = Vec::new();
    basics::reconcile(view, &mut actions);
    inject::reconcile(view, &mut actions);
    replicas::reconcile(view, names, now, &mut actions);
    stateful::reconcile(view, now, &mut actions);
    job::reconcile(view, names, now, &mut actions);
    pods::collect_orphans(view, now, &mut actions);
    endpoints::reconcile(view, &mut actions);
    actions
}
