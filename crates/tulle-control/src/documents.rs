//! The resources of the mesh that carry a status, as the store has them, and the last good form of each.

use std::collections::HashMap;
use std::sync::Arc;

use tulle_api::{Kind, Object};
use tulle_base::{Diagnostics, ResourceRef, Severity};
use tulle_mesh::entry::is_healthy;

/// One resource.
#[derive(Debug)]
pub(crate) struct Document {
    /// As the store has it.
    pub(crate) current: Arc<Object>,
    /// The last form that no proxy refused; what a refusing proxy is given instead.
    pub(crate) good: Option<Arc<Object>>,
    /// The epoch of its last change.
    pub(crate) changed: u64,
    /// What is wrong with it by itself; with an error it is not in force.
    pub(crate) problems: Diagnostics,
}

impl Document {
    /// Whether it is refused as it is written.
    pub(crate) fn is_invalid(&self) -> bool {
        self.problems.iter().any(|d| d.severity == Severity::Error)
    }
}

/// What a put meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It says what it said: only its status, or what the store keeps of it, is another.
    Same,
    /// It is to be put in force.
    Changed,
    /// It is refused as it is written: what was in force before stays.
    Invalid,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Documents(HashMap<ResourceRef, Document>);

impl Documents {
    /// Takes in what the store has. `refused`: the form that it has had so far was refused by a proxy, or never in force.
    pub(crate) fn put(&mut self, object: &Arc<Object>, epoch: u64, refused: bool) -> Taken {
        let resource = object.resource();
        let before = self.0.get(&resource);
        if before.is_some_and(|d| same(&d.current, object)) {
            if let Some(document) = self.0.get_mut(&resource) {
                document.current = object.clone();
            }
            return Taken::Same;
        }
        let good = before.and_then(|d| match refused || d.is_invalid() {
            true => d.good.clone(),
            false => Some(d.current.clone()),
        });
        let problems = tulle_api::validate(object);
        let document = Document { current: object.clone(), good, changed: epoch, problems };
        let taken = if document.is_invalid() { Taken::Invalid } else { Taken::Changed };
        self.0.insert(resource, document);
        taken
    }

    /// The resource is gone.
    pub(crate) fn delete(&mut self, resource: &ResourceRef) {
        self.0.remove(resource);
    }

    /// The resources of a kind, as the store has them.
    pub(crate) fn of_kind(&self, kind: Kind) -> Vec<Arc<Object>> {
        let all = self.0.values().map(|d| &d.current).filter(|o| o.kind() == kind);
        all.cloned().collect()
    }

    pub(crate) fn get(&self, resource: &ResourceRef) -> Option<&Document> {
        self.0.get(resource)
    }
}

/// Whether two forms say the same: what the store and others note of an object does not count, but for the health of a
/// WorkloadEntry.
fn same(a: &Object, b: &Object) -> bool {
    a.spec == b.spec
        && a.api_version == b.api_version
        && a.meta.generation == b.meta.generation
        && a.meta.labels == b.meta.labels
        && a.meta.annotations == b.meta.annotations
        && a.meta.creation_timestamp == b.meta.creation_timestamp
        && (a.kind() != Kind::WorkloadEntry || is_healthy(a) == is_healthy(b))
}

/// Whether resources of this kind carry the mesh's status: those of Istio, of the Gateway API, our own, and Ingresses.
pub(crate) fn has_status(kind: Kind) -> bool {
    is_of_the_mesh(kind.info().group) || kind == Kind::Ingress
}

/// Whether the kinds of this group are the mesh's own.
pub(crate) fn is_of_the_mesh(group: &str) -> bool {
    group.ends_with(".istio.io")
        || matches!(group, "gateway.networking.k8s.io" | "gateway.networking.x-k8s.io")
        || group == tulle_api::policy::GROUP
}
