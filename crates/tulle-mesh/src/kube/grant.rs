//! ReferenceGrants: who may refer to objects of a namespace.

use crate::kube::ObjectName;
use crate::meta::Meta;

/// A ReferenceGrant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The document behind it; what it grants is in its namespace.
    pub meta: Meta,
    /// Who may refer.
    pub from: Vec<Referrer>,
    /// To what.
    pub to: Vec<Granted>,
}

/// Objects that may refer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
}

/// Objects that may be referred to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name; `None` is every one.
    pub name: Option<String>,
}

impl Grant {
    /// Whether a Gateway API object of `kind` in `namespace` may refer to `to`, which is in the grant's namespace.
    pub fn allows(&self, kind: &str, namespace: &str, to: &ObjectName) -> bool {
        let from = |f: &Referrer| f.group == super::GROUP && f.kind == kind && f.namespace == namespace;
        let target = |t: &Granted| {
            t.group == to.group && t.kind == to.kind && t.name.as_ref().is_none_or(|n| *n == to.name.name)
        };
        self.meta.namespace() == to.name.namespace && self.from.iter().any(from) && self.to.iter().any(target)
    }
}
