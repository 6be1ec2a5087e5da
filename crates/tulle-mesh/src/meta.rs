//! What every modelled resource remembers of the document it came from.

use std::cmp::Ordering;

use tulle_base::{Provenance, ResourceRef};

/// The resource behind a modelled value: name, API version, age.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Meta {
    /// The resource.
    pub resource: ResourceRef,
    /// Version of its API as written, for provenance paths.
    pub version: String,
    /// `metadata.creationTimestamp` in RFC 3339, empty when the store gave none. Such texts sort by time.
    pub created: String,
}

impl Meta {
    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.resource.namespace
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.resource.name
    }

    /// Provenance of `rule` within the resource; empty for the resource as a whole.
    pub fn provenance(&self, rule: impl Into<String>) -> Provenance {
        Provenance { resource: self.resource.clone(), version: self.version.clone(), rule: rule.into() }
    }

    /// Oldest first; ties by name, then by namespace (Istio's `sortConfigByCreationTime`). An unknown age is the oldest,
    /// as Go's zero time is.
    pub fn by_age(&self, other: &Self) -> Ordering {
        self.created
            .cmp(&other.created)
            .then_with(|| self.name().cmp(other.name()))
            .then_with(|| self.namespace().cmp(other.namespace()))
    }
}

/// A namespaced name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NsName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl NsName {
    /// A name from its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl std::fmt::Display for NsName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(name: &str, created: &str) -> Meta {
        Meta {
            resource: ResourceRef::new("g", "K", "ns", name),
            version: "v1".into(),
            created: created.into(),
        }
    }

    #[test]
    fn the_oldest_comes_first_and_ties_go_by_name() {
        let mut all = [
            meta("b", "2026-01-02T00:00:00Z"),
            meta("c", "2026-01-01T00:00:00Z"),
            meta("a", "2026-01-02T00:00:00Z"),
        ];
        all.sort_by(Meta::by_age);
        assert_eq!(all.each_ref().map(Meta::name), ["c", "a", "b"]);
    }
}
