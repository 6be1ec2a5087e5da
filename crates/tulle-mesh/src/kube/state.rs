//! What became of documents of the Gateway API.

use std::sync::Arc;

use super::{Parent, RouteKind};
use crate::gateway::Gateway;
use crate::meta::NsName;
use crate::routing::RouteSet;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it holds.
    pub holds: bool,
    /// Why, in one word of the Gateway API.
    pub reason: &'static str,
    /// Why.
    pub message: String,
}

impl Finding {
    /// A condition that holds.
    pub fn yes(reason: &'static str) -> Self {
        Self { holds: true, reason, message: String::new() }
    }

    /// A condition that does not hold.
    pub fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self { holds: false, reason, message: message.into() }
    }
}

/// What became of a Gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayState {
    /// The controller that serves it.
    pub controller: String,
    /// Hosts of the Services in front of the pods that serve it.
    pub services: Vec<String>,
    /// Addresses at which they are reached from outside of the mesh.
    pub addresses: Vec<String>,
    /// What is wrong with the Gateway as a whole.
    pub problems: Vec<(String, String)>,
    /// How many ListenerSets it takes.
    pub listener_sets: usize,
    /// Its listeners, in the order written.
    pub listeners: Vec<ListenerState>,
}

/// What became of a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerState {
    /// Its name.
    pub name: String,
    /// The name of the gateway that it became.
    pub internal: NsName,
    /// Kinds of routes that it takes.
    pub kinds: Vec<RouteKind>,
    /// Accepted.
    pub accepted: Finding,
    /// ResolvedRefs.
    pub resolved: Finding,
    /// Conflicted, which holds when another listener claims the same.
    pub conflicted: Finding,
    /// Where it is reached, if that is not as it is written: a note beside `Programmed`.
    pub reach: Reach,
    /// What it became; `None` when it is not served.
    pub gateway: Option<Arc<Gateway>>,
}

/// Where a listener is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Wherever its Services are.
    #[default]
    AsWritten,
    /// Here, from outside of the mesh.
    At(String),
    /// Not from everywhere; why.
    Limited(String),
}

/// What became of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteState {
    /// Its parents that are this mesh's, in the order written.
    pub parents: Vec<ParentState>,
    /// The routes in force: one set for gateways, one for each service.
    pub sets: Vec<Arc<RouteSet>>,
}

/// What became of a route at one of its parents.
#[derive(Clone, Debug, PartialEq)]
pub struct ParentState {
    /// The parent.
    pub parent: Parent,
    /// The controller that serves it.
    pub controller: String,
    /// Accepted.
    pub accepted: Finding,
    /// ResolvedRefs.
    pub resolved: Finding,
    /// PartiallyInvalid: rules that are not served, if there are any.
    pub partially_invalid: Option<String>,
}

/// What became of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyState {
    /// Accepted.
    pub accepted: Finding,
    /// ResolvedRefs.
    pub resolved: Finding,
    /// The Gateways that it concerns, and their controllers.
    pub ancestors: Vec<(NsName, String)>,
}

impl RouteState {
    /// The conditions that do not hold, with the field that they are about.
    pub fn complaints(&self) -> impl Iterator<Item = (String, &Finding)> {
        self.parents
            .iter()
            .enumerate()
            .flat_map(|(i, p)| {
                [(format!("spec.parentRefs[{i}]"), &p.accepted), ("spec.rules".to_owned(), &p.resolved)]
            })
            .filter(|(_, f)| !f.holds)
    }
}
