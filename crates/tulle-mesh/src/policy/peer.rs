//! PeerAuthentication and its precedence.

use std::collections::BTreeMap;

use tulle_base::{Labels, Selector};

use crate::meta::Meta;

/// Whether connections must be mutual TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MtlsMode {
    /// Plain text only.
    Disable,
    /// Both.
    Permissive,
    /// Mutual TLS only.
    Strict,
}

/// A PeerAuthentication. `None` is UNSET: inherited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAuthentication {
    /// The document behind it.
    pub meta: Meta,
    /// The workloads it is for; `None` or empty is the whole namespace.
    pub selector: Option<Selector>,
    /// Mode of every port.
    pub mode: Option<MtlsMode>,
    /// Modes of ports of the workload (not of the service).
    pub ports: BTreeMap<u16, Option<MtlsMode>>,
}

/// The modes in force at one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerModes {
    /// For ports not listed.
    pub mode: MtlsMode,
    /// For these ports of the workload.
    pub ports: BTreeMap<u16, MtlsMode>,
    /// Who decided on `mode`, for provenance.
    pub decided_by: Option<Meta>,
}

impl PeerModes {
    /// The mode of the workload's port `number`.
    pub fn of_port(&self, number: u16) -> MtlsMode {
        self.ports.get(&number).copied().unwrap_or(self.mode)
    }
}

/// The policies in force for a workload of `namespace` with `labels`, the nearest last: the mesh's, the namespace's, the
/// workload's; the oldest at each level.
pub fn in_force<'a>(
    policies: impl Iterator<Item = &'a PeerAuthentication>,
    root_namespace: &str,
    namespace: &str,
    labels: &Labels,
) -> [Option<&'a PeerAuthentication>; 3] {
    let (mut mesh, mut ns, mut workload) = (None, None, None);
    for policy in policies {
        let selector = policy.selector.as_ref().filter(|s| !s.is_empty());
        let slot = match selector {
            None if policy.meta.namespace() == namespace => &mut ns,
            None if policy.meta.namespace() == root_namespace => &mut mesh,
            Some(selector) if policy.meta.namespace() == namespace && selector.matches(labels) => {
                &mut workload
            }
            _ => continue,
        };
        oldest(slot, policy);
    }
    [mesh, ns, workload]
}

/// The modes in force for a workload of `namespace` with `labels`: port beats workload beats namespace beats mesh; the
/// oldest wins at each level; UNSET inherits; the default is PERMISSIVE. A policy with a selector counts in its own
/// namespace only, so one in the root namespace has no effect elsewhere (traps 12).
pub fn effective_modes<'a>(
    policies: impl Iterator<Item = &'a PeerAuthentication>,
    root_namespace: &str,
    namespace: &str,
    labels: &Labels,
) -> PeerModes {
    let [mesh, ns, workload] = in_force(policies, root_namespace, namespace, labels);
    // In the root namespace itself, the namespace's policy is the mesh's.
    let mut modes = PeerModes { mode: MtlsMode::Permissive, ports: BTreeMap::new(), decided_by: None };
    for level in [mesh, ns, workload].into_iter().flatten() {
        if let Some(mode) = level.mode {
            modes.mode = mode;
            modes.decided_by = Some(level.meta.clone());
        }
    }
    if let Some(workload) = workload {
        for (port, mode) in &workload.ports {
            modes.ports.insert(*port, mode.unwrap_or(modes.mode));
        }
    }
    modes
}

fn oldest<'a>(slot: &mut Option<&'a PeerAuthentication>, policy: &'a PeerAuthentication) {
    if slot.is_none_or(|held| policy.meta.by_age(&held.meta).is_lt()) {
        *slot = Some(policy);
    }
}

#[cfg(test)]
mod tests {
    use tulle_base::ResourceRef;

    use super::*;

    fn policy(
        ns: &str,
        name: &str,
        mode: Option<MtlsMode>,
        selector: Option<Selector>,
    ) -> PeerAuthentication {
        PeerAuthentication {
            meta: Meta {
                resource: ResourceRef::new("security.istio.io", "PeerAuthentication", ns, name),
                version: "v1".into(),
                created: String::new(),
            },
            selector,
            mode,
            ports: BTreeMap::new(),
        }
    }

    fn modes(policies: &[PeerAuthentication]) -> PeerModes {
        let labels: Labels = [("app".to_owned(), "cart".to_owned())].into();
        effective_modes(policies.iter(), "istio-system", "shop", &labels)
    }

    #[test]
    fn the_nearer_level_wins_and_unset_inherits() {
        assert_eq!(modes(&[]).mode, MtlsMode::Permissive);
        let mesh = policy("istio-system", "default", Some(MtlsMode::Strict), None);
        assert_eq!(modes(std::slice::from_ref(&mesh)).mode, MtlsMode::Strict);
        let unset = policy("shop", "default", None, None);
        assert_eq!(modes(&[mesh.clone(), unset]).mode, MtlsMode::Strict);
        let ns = policy("shop", "default", Some(MtlsMode::Disable), None);
        let cart = Selector::from_iter([("app", "cart")]);
        let mut workload = policy("shop", "cart", Some(MtlsMode::Permissive), Some(cart.clone()));
        workload.ports = [(8080, Some(MtlsMode::Strict)), (9090, None)].into();
        let all = modes(&[mesh.clone(), ns, workload]);
        assert_eq!(all.mode, MtlsMode::Permissive);
        assert_eq!(all.of_port(8080), MtlsMode::Strict);
        assert_eq!(all.of_port(9090), MtlsMode::Permissive);
        assert_eq!(all.of_port(80), MtlsMode::Permissive);
        let root_selected = policy("istio-system", "sel", Some(MtlsMode::Strict), Some(cart));
        assert_eq!(modes(&[root_selected]).mode, MtlsMode::Permissive);
    }

    #[test]
    fn the_oldest_wins_within_a_level() {
        let mut a = policy("shop", "a", Some(MtlsMode::Disable), None);
        a.meta.created = "2026-02-01T00:00:00Z".into();
        let mut b = policy("shop", "b", Some(MtlsMode::Strict), None);
        b.meta.created = "2026-01-01T00:00:00Z".into();
        assert_eq!(modes(&[a, b]).mode, MtlsMode::Strict);
    }
}
