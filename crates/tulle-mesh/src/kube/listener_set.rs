//! ListenerSets: listeners that others than its owner add to a Gateway.

use super::{AllowedNamespaces, Finding, Listener, ListenerState};
use crate::meta::{Meta, NsName};

/// A ListenerSet, as written.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerSet {
    /// The document behind it.
    pub meta: Meta,
    /// The Gateway; `None` for another kind of parent.
    pub parent: Option<NsName>,
    /// Its listeners, in the order written.
    pub listeners: Vec<Listener>,
}

impl ListenerSet {
    /// Its name.
    pub fn name(&self) -> NsName {
        NsName::new(self.meta.namespace(), self.meta.name())
    }

    /// Whether labels of namespaces matter.
    pub fn selects_namespaces(&self) -> bool {
        self.listeners.iter().any(|l| matches!(l.from, AllowedNamespaces::Selector(_)))
    }
}

/// What became of a ListenerSet.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerSetState {
    /// Its Gateway.
    pub gateway: NsName,
    /// The controller that serves that.
    pub controller: String,
    /// Whether the Gateway takes it.
    pub accepted: Finding,
    /// Its listeners, in the order written.
    pub listeners: Vec<ListenerState>,
}
