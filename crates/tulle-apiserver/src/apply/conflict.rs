//! What keeps an object from being applied.

use std::collections::BTreeMap;

use super::managed::{Entry, Operation};

/// Why an object was not applied.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ApplyError {
    /// Other managers own fields that it would change; 409.
    #[error("{}", message(.0))]
    Conflicts(Vec<Conflict>),
    /// It is not an object of its kind; 422 with each field and what is wrong with it.
    #[error("{}", .0.iter().map(|(field, what)| format!("{field}: {what}")).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<(String, String)>),
}

/// A field that another manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The other manager as Kubernetes names it: `"kubectl-edit" using apps/v1 at 2026-08-01T10:00:00Z`.
    pub manager: String,
    /// The field, such as `.spec.replicas`.
    pub field: String,
}

impl Conflict {
    /// The sentence about it in the causes of the answer (type `FieldManagerConflict`).
    pub fn message(&self) -> String {
        format!("conflict with {}", self.manager)
    }
}

/// The name of a manager in conflicts.
pub(super) fn name(entry: &Entry) -> String {
    let mut name = format!("{:?}", entry.manager);
    if !entry.subresource.is_empty() {
        name = format!("{name} with subresource {:?}", entry.subresource);
    }
    match (entry.operation, &entry.time) {
        (Operation::Apply, _) => name,
        (Operation::Update, None) => format!("{name} using {}", entry.api_version),
        (Operation::Update, Some(time)) => format!("{name} using {} at {time}", entry.api_version),
    }
}

/// The message of the answer. Clients print it, so it has Kubernetes' form.
fn message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: {}: {}", one.message(), one.field);
    }
    let mut by_manager: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for conflict in conflicts {
        by_manager.entry(&conflict.manager).or_default().push(&conflict.field);
    }
    let mut lines = Vec::new();
    for (manager, fields) in by_manager {
        lines.push(format!("conflicts with {manager}:"));
        lines.extend(fields.into_iter().map(|f| format!("- {f}")));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}
