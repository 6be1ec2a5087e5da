//! What preferences by locality make resources depend on, of the clients that get them.

use std::collections::BTreeSet;

use super::{Map, Snapshot};
use crate::destination::{DestinationRule, LoadBalancer, LocalityLb, Outlier};
use crate::service::Service;

/// Something of a client on which the endpoints that it gets may depend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// What the mesh's own preference asks for.
    Mesh,
    /// Its locality.
    Locality,
    /// Its node.
    Node,
    /// A label.
    Label(String),
}

impl Snapshot {
    /// What preferences of this mesh ask of clients: where it is empty, all clients get equal endpoints.
    pub fn asks(&self) -> BTreeSet<Ask> {
        let mut out: BTreeSet<Ask> = self.asks.keys().cloned().collect();
        // Shares hold for every destination; nearness only with ejection.
        let everywhere = !self.mesh.locality.distribute.is_empty() || self.mesh.outlier.is_some();
        if out.remove(&Ask::Mesh) || everywhere {
            of_setting(&self.mesh.locality, &mut out);
        }
        out
    }
}

/// What a rule asks for. Outlier detection alone brings the mesh's preference into force.
pub(super) fn of_rule(rule: &DestinationRule) -> BTreeSet<Ask> {
    let mut out = BTreeSet::new();
    let mut blocks =
        |lb: Option<&LoadBalancer>, outlier: Option<&Outlier>| match lb.and_then(|l| l.locality.as_ref()) {
            Some(setting) => of_setting(setting, &mut out),
            None if outlier.is_some() => drop(out.insert(Ask::Mesh)),
            None => {}
        };
    for policy in std::iter::once(&rule.policy).chain(rule.subsets.iter().map(|s| &s.policy)) {
        blocks(policy.load_balancer.as_ref(), policy.outlier.as_ref());
        for (_, port) in &policy.ports {
            blocks(port.load_balancer.as_ref(), port.outlier.as_ref());
        }
    }
    out
}

/// What a service asks for by itself.
pub(super) fn of_service(service: &Service) -> BTreeSet<Ask> {
    let labels = service.distribution.labels().iter().map(|key| Ask::Label((*key).to_owned()));
    labels.chain(service.node_local.then_some(Ask::Node)).collect()
}

fn of_setting(setting: &LocalityLb, out: &mut BTreeSet<Ask>) {
    let LocalityLb { enabled, distribute, failover, failover_priority } = setting;
    if !enabled {
        return;
    }
    if !distribute.is_empty() || failover_priority.is_empty() || !failover.is_empty() {
        out.insert(Ask::Locality);
    }
    let own = failover_priority.iter().filter(|label| label.value.is_none());
    out.extend(own.map(|label| Ask::Label(label.key.clone())));
}

/// Counts one document more or less that asks for each of `asks`.
pub(super) fn count(map: &mut Map<Ask, usize>, asks: BTreeSet<Ask>, adding: bool) {
    for ask in asks {
        let before = map.get(&ask).copied().unwrap_or(0);
        match if adding { before + 1 } else { before.saturating_sub(1) } {
            0 => drop(map.remove_mut(&ask)),
            now => map.insert_mut(ask, now),
        }
    }
}
